//! The checks that there are thousands of a second: TCP_CHECK, and HTTP_GET without TLS and without a regular expression,
//! straight to the real server.
//!
//! They share a loop, so that one costs little more than its packets: no task, no timer and no buffer of its own, and not
//! even a socket of its own. A socket that has reached its server is dissolved (`connect` to no address: the connection is
//! reset, so that neither side remembers it, and the port is free) and serves the next check; the kernel goes on watching
//! it. What happens within a millisecond is looked at together.
//!
//! ```text
//! begin     a socket from those that are idle, or a new one, sets out
//! turn      waits until something has happened, or somebody's time may be up, and says who has ended and how
//!   look      what the kernel tells: connected? then TCP_CHECK has passed, HTTP_GET asks; bytes go to the answer
//!   sweep     whose time is up
//! ```

mod attempt;

use super::{Reason, socket};
use crate::config::model::{CheckKind, Connect};
use crate::machine::{CheckSpec, Outcome};
use attempt::Try;
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use socket2::{Protocol, SockAddr, SockAddrStorage, Socket, Type};
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::sleep_until;

/// How long what happens is gathered before it is looked at.
const TOGETHER: Duration = Duration::from_millis(1);
/// Where many wait in vain, they are gone through no more often.
const SWEEP: Duration = Duration::from_millis(20);
/// Sockets that are kept for checks to come, of each family: as many as set out together after the machine was busy otherwise.
const IDLE: usize = 2048;
/// What is read at a time.
const BUFFER: usize = 64 << 10;

/// `Who` is told who has ended.
pub struct Crowd<Who> {
    epoll: AsyncFd<Watched>,
    places: Vec<Place<Who>>,
    /// Places without a socket.
    free: Vec<usize>,
    /// Places whose socket is nobody's: of IPv4, of IPv6.
    idle: [Vec<usize>; 2],
    under_way: usize,
    /// Nobody's time is up before.
    next_sweep: Option<Instant>,
    looked: Instant,
    ended: Vec<(Who, Outcome)>,
    events: Vec<EpollEvent>,
    buffer: Box<[u8]>,
}

struct Watched(Epoll);

impl AsRawFd for Watched {
    fn as_raw_fd(&self) -> RawFd {
        self.0.0.as_raw_fd()
    }
}

struct Place<Who> {
    socket: Option<Socket>,
    try_: Option<Try<Who>>,
}

/// Is this one for a crowd?
pub fn takes(spec: &CheckSpec, step: usize) -> bool {
    if spec.way.is_some() {
        return false; // by a stack of its own
    }
    match &spec.kind {
        CheckKind::Tcp => true,
        CheckKind::Http(http) => {
            http.tls.is_none() && http.urls.get(step).is_some_and(|url| url.regex.is_none())
        }
        _ => false,
    }
}

/// A crowd of one.
pub async fn alone(spec: Arc<CheckSpec>, step: usize) -> Outcome {
    let mut crowd = match Crowd::new() {
        Ok(crowd) => crowd,
        Err(error) => return Outcome::Failed(format!("epoll: {error}")),
    };
    crowd.begin((), spec, step);
    match crowd.turn().await.pop() {
        Some((_, outcome)) => outcome,
        None => Outcome::Failed("nothing came of it".into()),
    }
}

impl<Who> Crowd<Who> {
    /// To be made within a runtime.
    pub fn new() -> io::Result<Crowd<Who>> {
        let epoll = Watched(Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?);
        // SAFETY: the descriptor is the epoll's own, which is not taken out and is closed when this is dropped.
        let epoll = unsafe { AsyncFd::register_with_interest(epoll, Interest::READABLE) }?;
        Ok(Crowd {
            epoll,
            places: Vec::new(),
            free: Vec::new(),
            idle: [Vec::new(), Vec::new()],
            under_way: 0,
            next_sweep: None,
            looked: Instant::now(),
            ended: Vec::new(),
            events: vec![EpollEvent::empty(); 512],
            buffer: vec![0; BUFFER].into_boxed_slice(),
        })
    }

    /// One of those that [`takes`] is tried; `step` is the URL's index.
    pub fn begin(&mut self, who: Who, spec: Arc<CheckSpec>, step: usize) {
        let place = match self.set_out(&spec) {
            Ok(place) => place,
            Err(reason) => {
                self.ended.push((who, Outcome::Failed(reason)));
                return;
            }
        };
        let begun = Try::new(who, spec, step);
        self.under_way += 1;
        self.sweep_by(begun.due());
        self.places[place].try_ = Some(begun);
    }

    /// Waits for those who are under way, and says who has ended. What is not waited for to its end is not lost.
    pub async fn turn(&mut self) -> Vec<(Who, Outcome)> {
        loop {
            if !self.ended.is_empty() {
                return std::mem::take(&mut self.ended);
            }
            let Some(sweep) = self.next_sweep.filter(|_| self.under_way > 0) else {
                return std::future::pending().await;
            };
            sleep_until((self.looked + TOGETHER).into()).await;
            tokio::select! {
                ready = self.epoll.readable() => {
                    // What comes from now on wakes us again.
                    if let Ok(mut ready) = ready {
                        ready.clear_ready();
                    }
                }
                () = sleep_until(sweep.into()) => {}
            }
            self.look();
            self.sweep();
        }
    }

    fn set_out(&mut self, spec: &CheckSpec) -> Result<usize, Reason> {
        let to = SockAddr::from(socket::target(spec));
        let (place, new) = match is_plain(spec).then(|| self.idle[family(spec)].pop()).flatten() {
            Some(place) => (place, false),
            None => {
                let socket = socket::prepared(spec, &spec.connect, Type::STREAM, Some(Protocol::TCP));
                let socket = socket.map_err(|error| format!("a socket: {error}"))?;
                (self.place(socket), true)
            }
        };
        let Some(socket) = &self.places[place].socket else { return Err("no socket".into()) };
        let worked = match socket.connect(&to) {
            Err(error) if error.raw_os_error() != Some(Errno::EINPROGRESS as i32) => {
                Err(format!("connecting: {error}"))
            }
            _ if new => {
                let all =
                    EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT | EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLET;
                let watched = self.epoll.get_ref().0.add(socket, EpollEvent::new(all, place as u64));
                watched.map_err(|error| format!("a socket: {error}"))
            }
            _ => Ok(()),
        };
        if worked.is_err() {
            self.close(place);
        }
        worked.map(|()| place)
    }

    fn place(&mut self, socket: Socket) -> usize {
        let place = Place { socket: Some(socket), try_: None };
        match self.free.pop() {
            Some(at) => {
                self.places[at] = place;
                at
            }
            None => {
                self.places.push(place);
                self.places.len() - 1
            }
        }
    }

    fn close(&mut self, place: usize) {
        self.places[place].socket = None;
        self.free.push(place);
    }

    /// What the kernel has to tell.
    fn look(&mut self) {
        let mut events = std::mem::take(&mut self.events);
        loop {
            let count = match self.epoll.get_ref().0.wait(&mut events, EpollTimeout::ZERO) {
                Ok(count) => count,
                Err(Errno::EINTR) => continue,
                Err(_) => 0,
            };
            let now = Instant::now();
            for event in &events[..count] {
                let place = event.data() as usize; // as it was given
                // A socket that is idle was dissolved by us, and says so.
                let Place { socket: Some(socket), try_: Some(try_) } = &mut self.places[place] else {
                    continue;
                };
                match try_.go_on(socket, event.events(), now, &mut self.buffer) {
                    Ok(false) => {}
                    Ok(true) => self.end(place, Outcome::Passed),
                    Err(reason) => self.end(place, Outcome::Failed(reason)),
                }
            }
            if count < events.len() {
                break;
            }
        }
        self.events = events;
        self.looked = Instant::now();
    }

    /// Whose time is up.
    fn sweep(&mut self) {
        let now = self.looked;
        if self.next_sweep.is_none_or(|at| now < at) {
            return;
        }
        self.next_sweep = None;
        for place in 0..self.places.len() {
            let Some(try_) = &self.places[place].try_ else { continue };
            match try_.overdue(now) {
                Some(reason) => self.end(place, Outcome::Failed(reason)),
                None => {
                    let by = try_.due().max(now + SWEEP);
                    self.sweep_by(by);
                }
            }
        }
    }

    fn sweep_by(&mut self, at: Instant) {
        self.next_sweep = Some(self.next_sweep.map_or(at, |earlier| earlier.min(at)));
    }

    fn end(&mut self, place: usize, outcome: Outcome) {
        let Place { socket: Some(socket), try_ } = &mut self.places[place] else { return };
        let Some(ended) = try_.take() else { return };
        self.under_way -= 1;
        let idle = &mut self.idle[family(&ended.spec)];
        // Only where all went well, and for everybody: others are made anew.
        let is_kept = outcome == Outcome::Passed && is_plain(&ended.spec) && idle.len() < IDLE;
        if is_kept && dissolve(socket).is_ok() {
            idle.push(place);
        } else {
            let _ = socket.set_linger(Some(Duration::ZERO));
            self.close(place);
        }
        self.ended.push((ended.who, outcome));
    }
}

/// Anybody's socket would do for it.
fn is_plain(spec: &CheckSpec) -> bool {
    let Connect { ip: _, port: _, via: _, bind_to, bind_if, bind_port, fwmark } = &spec.connect;
    bind_to.is_none() && bind_if.is_none() && bind_port.is_none() && fwmark.is_none()
}

fn family(spec: &CheckSpec) -> usize {
    usize::from(spec.target.addr.is_ipv6())
}

/// Ends the connection with a reset and leaves the socket as if it were new (connect(2): an address of family AF_UNSPEC).
fn dissolve(socket: &Socket) -> io::Result<()> {
    let nowhere = SockAddrStorage::zeroed();
    let length = nowhere.size_of();
    // SAFETY: the storage is as long as is said, and all zeroes are an address of the family AF_UNSPEC, which is 0.
    let nowhere = unsafe { SockAddr::new(nowhere, length) };
    socket.connect(&nowhere)
}

#[cfg(test)]
mod tests;
