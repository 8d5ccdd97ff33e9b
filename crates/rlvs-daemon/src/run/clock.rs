//! The machine's time: it begins as the wall's and then never goes back.

use crate::machine::Time;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

#[derive(Clone, Copy)]
pub struct Clock {
    wall: Time,
    began: Instant,
}

impl Clock {
    pub fn start() -> Clock {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Clock { wall, began: Instant::now() }
    }

    pub fn now(self) -> Time {
        self.wall + self.began.elapsed()
    }

    pub fn instant(self, time: Time) -> tokio::time::Instant {
        (self.began + time.saturating_sub(self.wall)).into()
    }
}
