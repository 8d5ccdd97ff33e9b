//! The real server's side: how much it can take, computed from what the kernel says of this machine, and told to whoever
//! asks on a TCP port.
//!
//! [`machine`] reads /proc, [`formula`] makes a percentage of it, [`forced`] is the operator's word that overrules it,
//! [`serve`] answers: in HAProxy's agent-check words, or as JSON to an HTTP request on the same port.

pub mod forced;
pub mod formula;
pub mod machine;
pub mod serve;

pub use forced::Forced;
pub use formula::{Options, Sample};

use super::answer::LONGEST;
use machine::RunQueue;
use serde::Serialize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What is told.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Told {
    /// The line of agent-check words.
    pub words: String,
    /// By the formula, whatever is forced.
    pub computed_percent: u8,
    pub forced: Option<Forced>,
    #[serde(flatten)]
    pub sample: Sample,
}

/// The line for what was found and forced.
pub fn tell(sample: &Sample, options: &Options, forced: Option<Forced>) -> Told {
    let computed = formula::percent(sample, options);
    let words = match forced {
        None => format!("up ready {computed}%"),
        Some(Forced::Percent(percent)) => format!("up ready {percent}%"),
        Some(Forced::Drain) => format!("up drain {computed}%"),
        Some(Forced::Maint) => "maint".to_string(),
    };
    debug_assert!(words.len() < LONGEST);
    Told { words, computed_percent: computed, forced, sample: sample.clone() }
}

/// The run queue, looked at by a task while this lives.
pub struct RunQueueTask {
    queue: Arc<Mutex<RunQueue>>,
    task: tokio::task::JoinHandle<()>,
}

impl RunQueueTask {
    pub fn start(over: Duration) -> RunQueueTask {
        let queue = Arc::new(Mutex::new(RunQueue::new(over)));
        let ours = Arc::clone(&queue);
        let task = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(machine::EVERY);
            loop {
                ticks.tick().await;
                ours.lock().unwrap_or_else(PoisonError::into_inner).look();
            }
        });
        RunQueueTask { queue, task }
    }

    pub fn with<T>(&self, work: impl FnOnce(&RunQueue) -> T) -> T {
        work(&self.queue.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for RunQueueTask {
    fn drop(&mut self) {
        self.task.abort();
    }
}
