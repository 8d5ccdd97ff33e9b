//! Packet sockets that are used again. To close one takes the kernel a while (it waits until no processor looks at it any more),
//! for which the daemon's loop must not stand still. So some are kept, behind a filter that takes nothing, and the
//! others are closed by a thread of their own.

use super::filter::NOTHING;
use super::wire::link_address;
use socket2::{Domain, Socket, Type};
use std::io::{self, Read};
use std::sync::Mutex;
use std::thread;

/// Each is one more filter for packets that are for this host, so not too many; those of some dozens of probes at a time.
const KEPT: usize = 32;

/// Of IPv4, and of IPv6.
#[derive(Default)]
pub struct Taps {
    idle: [Mutex<Vec<Socket>>; 2],
}

impl Taps {
    /// One that takes nothing yet.
    pub fn take(&self, v4: bool) -> io::Result<Socket> {
        if let Some(socket) = self.idle(v4).pop() {
            return Ok(socket);
        }
        // Of no protocol at first: nothing comes in before the filter is there.
        let socket = Socket::new(Domain::PACKET, Type::DGRAM, None)?;
        socket.set_nonblocking(true)?;
        socket.attach_filter(&NOTHING)?;
        // Answers may come by another interface than questions go.
        socket.bind(&link_address(0, v4, &[]))?;
        Ok(socket)
    }

    pub fn put_back(&self, v4: bool, mut socket: Socket) {
        let emptied = socket.attach_filter(&NOTHING).is_ok() && empty(&mut socket);
        let mut idle = self.idle(v4);
        if emptied && idle.len() < KEPT {
            idle.push(socket);
        } else {
            drop(idle);
            close(vec![socket]);
        }
    }

    fn idle(&self, v4: bool) -> std::sync::MutexGuard<'_, Vec<Socket>> {
        self.idle[usize::from(v4)].lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Drop for Taps {
    fn drop(&mut self) {
        let all = [true, false].map(|v4| std::mem::take(&mut *self.idle(v4)));
        close(all.into_iter().flatten().collect());
    }
}

/// Reads what had come in.
fn empty(socket: &mut Socket) -> bool {
    loop {
        // What is longer goes, too.
        if let Err(error) = socket.read(&mut [0; 64]).map(drop) {
            return error.kind() == io::ErrorKind::WouldBlock;
        }
    }
}

fn close(sockets: Vec<Socket>) {
    if !sockets.is_empty() {
        // Where there is no thread to be had, it is done here.
        let _ = thread::Builder::new().name("close".into()).spawn(move || drop(sockets));
    }
}
