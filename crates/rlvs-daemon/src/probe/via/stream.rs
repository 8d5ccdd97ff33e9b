//! A TCP connection of a [`stack`](super::stack) as tokio knows connections, so that HTTP and TLS speak over it as over any
//! other.

use super::stack::Shared;
use super::{Reason, Start};
use smoltcp::socket::tcp::State;
use smoltcp::wire::IpEndpoint;
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

pub struct Stream(Arc<Shared>);

impl Stream {
    pub(super) fn open(start: Start, to: IpEndpoint) -> Result<Stream, Reason> {
        Ok(Stream(Shared::tcp(start, to)?))
    }

    pub async fn connected(&mut self) -> io::Result<()> {
        poll_fn(|context| {
            let mut stack = self.0.lock();
            if let Some(failure) = &stack.failure {
                return Poll::Ready(Err(io::Error::other(failure.clone())));
            }
            let socket = stack.tcp();
            match socket.state() {
                State::SynSent | State::SynReceived => {
                    socket.register_send_waker(context.waker());
                    Poll::Pending
                }
                State::Closed => Poll::Ready(Err(ErrorKind::ConnectionRefused.into())),
                _ => Poll::Ready(Ok(())),
            }
        })
        .await
    }

    /// Ends it without a goodbye.
    pub fn reset(&mut self) {
        self.0.lock().tcp().abort();
        self.0.moved();
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut stack = self.0.lock();
        let failure = stack.failure.clone();
        let socket = stack.tcp();
        if socket.can_recv() {
            let read = socket.recv(|bytes| {
                let length = bytes.len().min(buffer.remaining());
                buffer.put_slice(&bytes[..length]);
                (length, ())
            });
            drop(stack);
            self.0.moved(); // there is room again, which the server may wait for
            return Poll::Ready(read.map_err(|e| io::Error::other(e.to_string())));
        }
        if socket.may_recv() {
            socket.register_recv_waker(context.waker());
            return Poll::Pending;
        }
        Poll::Ready(match (failure, socket.state()) {
            (Some(failure), _) => Err(io::Error::other(failure)),
            // It did not say that this is the end.
            (None, State::Closed) => Err(ErrorKind::ConnectionReset.into()),
            (None, _) => Ok(()),
        })
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut stack = self.0.lock();
        if let Some(failure) = &stack.failure {
            return Poll::Ready(Err(io::Error::other(failure.clone())));
        }
        let socket = stack.tcp();
        if !socket.may_send() {
            let kind = if socket.state() == State::Closed {
                ErrorKind::ConnectionReset
            } else {
                ErrorKind::BrokenPipe
            };
            return Poll::Ready(Err(kind.into()));
        }
        if !socket.can_send() {
            socket.register_send_waker(context.waker());
            return Poll::Pending;
        }
        let written = socket.send_slice(bytes).map_err(|e| io::Error::other(e.to_string()));
        drop(stack);
        self.0.moved();
        Poll::Ready(written)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.lock().tcp().close();
        self.0.moved();
        Poll::Ready(Ok(()))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.0.leave();
    }
}
