//! Clients that go on asking while a test does something to the daemon. Not one of their requests may fail.

use rlvs::lab::Host;
use rlvs::lab::client::{self, Connection};
use std::fs::File;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// A thread in a host's network namespace that does one thing after the other.
pub struct Load {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

impl Load {
    /// `begin` makes what is done again and again.
    pub fn start<Work: FnMut() -> anyhow::Result<()>>(
        host: &Host,
        begin: impl FnOnce() -> anyhow::Result<Work> + Send + 'static,
    ) -> Load {
        let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let path = Path::new("/run/netns").join(host.namespace());
        let namespace = File::open(&path).expect("a namespace");
        let (stopped, count) = (Arc::clone(&stop), Arc::clone(&done));
        let work = move || {
            nix::sched::setns(namespace, nix::sched::CloneFlags::CLONE_NEWNET).expect("its namespace");
            let mut work = begin().expect("a beginning");
            while !stopped.load(Ordering::Relaxed) {
                work().unwrap_or_else(|error| {
                    panic!("request {} failed: {error:#}", count.load(Ordering::Relaxed))
                });
                count.fetch_add(1, Ordering::Relaxed);
            }
        };
        let thread = std::thread::Builder::new().name("load".into()).spawn(work).expect("a thread");
        Load { stop, done, thread: Some(thread) }
    }

    /// One connection after the other, a request on each, and between them a request on one that stays open.
    pub fn of_requests(host: &Host, addr: Ipv4Addr, port: u16) -> Load {
        Load::start(host, move || {
            let mut open = Connection::open(addr, port)?;
            let server = open.who()?;
            Ok(move || {
                client::who(addr, port)?;
                anyhow::ensure!(open.who()? == server, "the open connection is with another server");
                std::thread::sleep(Duration::from_millis(2));
                Ok(())
            })
        })
    }

    pub fn done(&self) -> usize {
        self.done.load(Ordering::Relaxed)
    }

    /// Stops it; fails if something it did has failed. How often it was done.
    pub fn end(mut self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.take().map(JoinHandle::join);
        if let Some(Err(panic)) = ended {
            std::panic::resume_unwind(panic);
        }
        self.done()
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
