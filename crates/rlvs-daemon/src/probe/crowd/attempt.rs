//! One try, from connecting to the last byte that matters. It reads and writes its socket when it is told that it may; it never
//! waits.

use super::super::http::{self, Answer};
use super::super::{Reason, limit};
use crate::config::model::{CheckKind, HttpCheck, Url};
use crate::machine::CheckSpec;
use nix::sys::epoll::EpollFlags;
use socket2::Socket;
use std::io::{ErrorKind, Read};
use std::sync::Arc;
use std::time::Instant;

const BROKEN: EpollFlags = EpollFlags::EPOLLERR.union(EpollFlags::EPOLLHUP);

pub struct Try<Who> {
    pub who: Who,
    pub spec: Arc<CheckSpec>,
    /// The URL's index.
    url: usize,
    stage: Stage,
    /// When this step, and when the whole try has taken too long.
    step_ends: Instant,
    ends: Instant,
}

enum Stage {
    Connecting,
    Asking { request: Vec<u8>, sent: usize },
    Reading(Answer),
}

impl<Who> Try<Who> {
    /// One that sets out now.
    pub fn new(who: Who, spec: Arc<CheckSpec>, url: usize) -> Try<Who> {
        let now = Instant::now();
        let (step_ends, ends) = (now + spec.timing.connect_timeout, now + limit(&spec));
        Try { who, spec, url, stage: Stage::Connecting, step_ends, ends }
    }

    /// Before this its time is not up.
    pub fn due(&self) -> Instant {
        self.step_ends.min(self.ends)
    }

    /// The kernel has something to tell of its socket. True: the try has passed.
    pub fn go_on(
        &mut self,
        socket: &Socket,
        events: EpollFlags,
        now: Instant,
        buffer: &mut [u8],
    ) -> Result<bool, Reason> {
        let step_ends = now + self.spec.timing.connect_timeout;
        if let Stage::Connecting = self.stage {
            if events.intersects(BROKEN) {
                connected(socket, &self.spec.kind)?;
            } else if !events.contains(EpollFlags::EPOLLOUT) {
                return Ok(false);
            }
            let Some((check, url)) = asked(&self.spec, self.url) else { return Ok(true) };
            let request = http::request(&self.spec, check, url)?;
            (self.step_ends, self.stage) = (step_ends, Stage::Asking { request, sent: 0 });
        }
        let Some((_, url)) = asked(&self.spec, self.url) else { return Ok(true) };
        if let Stage::Asking { request, sent } = &mut self.stage {
            while *sent < request.len() {
                match socket.send_with_flags(&request[*sent..], libc::MSG_NOSIGNAL) {
                    Ok(count) => *sent += count,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                    Err(error) => return Err(format!("the answer: {error}")),
                }
            }
            self.stage = Stage::Reading(Answer::new(url));
        }
        let over = EpollFlags::EPOLLRDHUP | BROKEN;
        let Stage::Reading(answer) = &mut self.stage else { return Ok(false) };
        if !events.intersects(EpollFlags::EPOLLIN | over) {
            return Ok(false);
        }
        loop {
            let count = match (&*socket).read(buffer) {
                Ok(0) => return answer.end(url).map(|()| true),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(format!("{}: {error}", answer.part())),
            };
            if answer.take(&buffer[..count], url)? {
                return answer.judge(url).map(|()| true);
            }
            self.step_ends = step_ends;
            // There may be more, unless less came than there was room for; an end is told only once.
            if count < buffer.len() && !events.intersects(over) {
                return Ok(false);
            }
        }
    }

    /// Is its time up?
    pub fn overdue(&self, now: Instant) -> Option<Reason> {
        if now >= self.ends {
            return Some(format!("not done within {:?}", limit(&self.spec)));
        }
        let what = match &self.stage {
            Stage::Connecting => "connecting",
            Stage::Asking { .. } => "the answer",
            Stage::Reading(answer) => answer.part(),
        };
        let patience = self.spec.timing.connect_timeout;
        (now >= self.step_ends).then(|| format!("{what}: nothing within {patience:?}"))
    }
}

/// What HTTP_GET asks for.
fn asked(spec: &CheckSpec, url: usize) -> Option<(&HttpCheck, &Url)> {
    match &spec.kind {
        CheckKind::Http(http) => http.urls.get(url).map(|url| (http, url)),
        _ => None,
    }
}

/// The socket has an error to tell. A server that takes a connection and then resets it, has taken it.
fn connected(socket: &Socket, kind: &CheckKind) -> Result<(), Reason> {
    match socket.take_error() {
        Ok(None) => Ok(()),
        Ok(Some(error)) => match (error.kind(), kind) {
            (ErrorKind::ConnectionReset | ErrorKind::BrokenPipe, CheckKind::Tcp) => Ok(()),
            (ErrorKind::ConnectionReset | ErrorKind::BrokenPipe, _) => Err(format!("the answer: {error}")),
            _ => Err(format!("connecting: {error}")),
        },
        Err(error) => Err(format!("connecting: {error}")),
    }
}
