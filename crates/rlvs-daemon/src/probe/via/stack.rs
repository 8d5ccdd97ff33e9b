//! TCP and UDP of one probe (smoltcp), and the task that moves packets between them and the wire. One connection, or one
//! socket for datagrams, lives in a stack of its own; it ends with who uses it, after a moment to say goodbye.

use super::wire::{Heard, Wire};
use super::{Reason, Start};
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{self, Checksum, Device, DeviceCapabilities, Medium};
use smoltcp::socket::{AnySocket, tcp, udp};
use smoltcp::time::Instant;
use smoltcp::wire::{HardwareAddress, IpAddress, IpCidr, IpEndpoint, Ipv4Packet, Ipv6Packet};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Poll;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

/// No router may send a probe on; see [the room's story](super).
const HOP_LIMIT: u8 = 1;
/// How long a connection that nobody uses any more may take to end.
const GOODBYE: Duration = Duration::from_secs(1);
/// Bytes that wait to be read, or to be sent.
const RECEIVED: usize = 32 << 10;
const TO_SEND: usize = 8 << 10;
/// Of datagrams.
const DATAGRAMS: usize = 4;
const LONGEST_DATAGRAM: usize = 65_535;
/// Packets from the wire at once.
const BATCH: usize = 64;

/// A stack, and the one who is told to look after it.
pub struct Shared {
    stack: Mutex<Stack>,
    moved: Notify,
    left: Notify,
}

pub struct Stack {
    interface: Interface,
    sockets: SocketSet<'static>,
    queue: Queue,
    pub socket: SocketHandle,
    /// Why there is nothing to wait for any more.
    pub failure: Option<String>,
    /// Nobody uses it any more.
    left: bool,
}

impl Shared {
    /// Begins with a socket in its first state.
    fn begin(
        start: Start,
        socket: impl AnySocket<'static>,
        connect: impl FnOnce(&mut Stack) -> Result<(), Reason>,
    ) -> Result<Arc<Shared>, Reason> {
        let mut queue = Queue { received: VecDeque::new(), to_send: Vec::new(), mtu: start.mtu };
        let mut config = Config::new(HardwareAddress::Ip);
        config.random_seed = random();
        let mut interface = Interface::new(config, &mut queue, Instant::now());
        let addr = IpAddress::from(start.from.ip());
        let prefix = if start.from.is_ipv4() { 32 } else { 128 };
        // There is room for one of each.
        interface.update_ip_addrs(|addrs| addrs.push(IpCidr::new(addr, prefix)).unwrap_or_default());
        let routed = match start.from.ip() {
            IpAddr::V4(addr) => interface.routes_mut().add_default_ipv4_route(addr).map(drop),
            IpAddr::V6(addr) => interface.routes_mut().add_default_ipv6_route(addr).map(drop),
        };
        routed.map_err(|_| "no room for a route".to_owned())?;
        let mut sockets = SocketSet::new(Vec::new());
        let socket = sockets.add(socket);
        let mut stack = Stack { interface, sockets, queue, socket, failure: None, left: false };
        connect(&mut stack)?;
        let shared = Arc::new(Shared { stack: Mutex::new(stack), moved: Notify::new(), left: Notify::new() });
        tokio::spawn(drive(Arc::clone(&shared), start));
        Ok(shared)
    }

    pub fn tcp(start: Start, to: IpEndpoint) -> Result<Arc<Shared>, Reason> {
        let mut socket = tcp::Socket::new(
            tcp::SocketBuffer::new(vec![0; RECEIVED]),
            tcp::SocketBuffer::new(vec![0; TO_SEND]),
        );
        socket.set_nagle_enabled(false);
        socket.set_ack_delay(None);
        let from = (IpAddress::from(start.from.ip()), start.from.port());
        Shared::begin(start, socket, |stack| {
            let socket = stack.sockets.get_mut::<tcp::Socket>(stack.socket);
            socket.connect(stack.interface.context(), to, from).map_err(|e| format!("connecting: {e}"))
        })
    }

    pub fn lock(&self) -> MutexGuard<'_, Stack> {
        self.stack.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Something is to be sent.
    pub fn moved(&self) {
        self.moved.notify_one();
    }

    pub fn leave(&self) {
        let mut stack = self.lock();
        stack.left = true;
        stack.close();
        drop(stack);
        self.moved();
        self.left.notify_one();
    }
}

impl Stack {
    pub fn tcp(&mut self) -> &mut tcp::Socket<'static> {
        self.sockets.get_mut(self.socket)
    }

    fn udp(&mut self) -> &mut udp::Socket<'static> {
        self.sockets.get_mut(self.socket)
    }

    /// Gives up: who waits is told why.
    fn fail(&mut self, why: String) {
        self.failure.get_or_insert(why);
        match self.sockets.iter_mut().next() {
            Some((_, smoltcp::socket::Socket::Tcp(socket))) => socket.abort(),
            Some((_, smoltcp::socket::Socket::Udp(socket))) => socket.close(),
            None => {}
        }
    }

    /// Politely.
    fn close(&mut self) {
        match self.sockets.iter_mut().next() {
            Some((_, smoltcp::socket::Socket::Tcp(socket))) => socket.close(),
            Some((_, smoltcp::socket::Socket::Udp(socket))) => socket.close(),
            None => {}
        }
    }

    fn is_over(&self) -> bool {
        self.left
            && match self.sockets.iter().next() {
                Some((_, smoltcp::socket::Socket::Tcp(socket))) => {
                    matches!(socket.state(), tcp::State::Closed | tcp::State::TimeWait)
                }
                _ => true,
            }
    }

    /// Takes in what came and sends what is due; says how long there is nothing to do.
    fn turn(&mut self, wire: &Wire) -> Option<Duration> {
        let now = Instant::now();
        self.interface.poll(now, &mut self.queue, &mut self.sockets);
        for packet in std::mem::take(&mut self.queue.to_send) {
            if let Err(error) = wire.send(&packet) {
                self.fail(error.to_string());
            }
        }
        self.interface.poll_delay(now, &self.sockets).map(Duration::from)
    }
}

async fn drive(shared: Arc<Shared>, start: Start) {
    let Start { mut wire, reserved: _reserved, .. } = start;
    let work = async {
        loop {
            let wait = {
                let mut stack = shared.lock();
                let wait = stack.turn(&wire);
                if stack.is_over() {
                    return;
                }
                wait
            };
            tokio::select! {
                heard = wire.hear() => {
                    take_in(&mut shared.lock(), heard);
                    // More may have come; what is not there yet is not waited for.
                    for _ in 1..BATCH {
                        match timeout(Duration::ZERO, wire.hear()).await {
                            Ok(heard) => take_in(&mut shared.lock(), heard),
                            Err(_) => break,
                        }
                    }
                }
                () = shared.moved.notified() => {}
                () = sleep(wait.unwrap_or_default()), if wait.is_some() => {}
            }
        }
    };
    let goodbye = async {
        shared.left.notified().await;
        sleep(GOODBYE).await;
    };
    let ended = tokio::select! {
        () = work => true,
        () = goodbye => false,
    };
    if !ended {
        let mut stack = shared.lock();
        stack.fail("it was left".into());
        stack.turn(&wire);
    }
}

fn take_in(stack: &mut Stack, heard: io::Result<Heard>) {
    match heard {
        Ok(Heard::Packet(packet)) => stack.queue.received.push_back(packet),
        Ok(Heard::Error(said)) => stack.fail(said),
        Err(error) => stack.fail(error.to_string()),
    }
}

/// Sequence numbers must not be guessed.
fn random() -> u64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    RandomState::new().build_hasher().finish()
}

/// Packets between the stack and the wire.
struct Queue {
    received: VecDeque<Vec<u8>>,
    to_send: Vec<Vec<u8>>,
    mtu: u16,
}

impl Device for Queue {
    type RxToken<'a> = Received;
    type TxToken<'a> = ToSend<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Received, ToSend<'_>)> {
        let packet = self.received.pop_front()?;
        Some((Received(packet), ToSend(&mut self.to_send)))
    }

    fn transmit(&mut self, _: Instant) -> Option<ToSend<'_>> {
        Some(ToSend(&mut self.to_send))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = usize::from(self.mtu);
        // The wire has looked at them already.
        capabilities.checksum.tcp = Checksum::Tx;
        capabilities.checksum.udp = Checksum::Tx;
        capabilities
    }
}

struct Received(Vec<u8>);

impl phy::RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, work: F) -> R {
        work(&self.0)
    }
}

struct ToSend<'a>(&'a mut Vec<Vec<u8>>);

impl phy::TxToken for ToSend<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, work: F) -> R {
        let mut packet = vec![0; length];
        let done = work(&mut packet);
        // Here, and not only at the socket: the stack also answers on its own.
        if packet.first().is_some_and(|byte| byte >> 4 == 4) {
            let mut header = Ipv4Packet::new_unchecked(&mut packet);
            header.set_hop_limit(HOP_LIMIT);
            header.fill_checksum();
        } else {
            Ipv6Packet::new_unchecked(&mut packet).set_hop_limit(HOP_LIMIT);
        }
        self.0.push(packet);
        done
    }
}

/// A socket that talks to the service only.
pub struct Datagrams {
    shared: Arc<Shared>,
    to: IpEndpoint,
}

impl Datagrams {
    pub(super) fn open(start: Start, to: IpEndpoint) -> Result<Datagrams, Reason> {
        let buffer =
            || udp::PacketBuffer::new(vec![udp::PacketMetadata::EMPTY; DATAGRAMS], vec![0; LONGEST_DATAGRAM]);
        let socket = udp::Socket::new(buffer(), buffer());
        let from = (IpAddress::from(start.from.ip()), start.from.port());
        let shared =
            Shared::begin(start, socket, |stack| stack.udp().bind(from).map_err(|e| format!("a port: {e}")))?;
        Ok(Datagrams { shared, to })
    }

    pub async fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        let sent = self.shared.lock().udp().send_slice(bytes, self.to);
        self.shared.moved();
        sent.map(|()| bytes.len()).map_err(|e| io::Error::other(e.to_string()))
    }

    pub async fn recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
        poll_fn(|context| {
            let mut stack = self.shared.lock();
            if let Ok((bytes, _)) = stack.udp().recv() {
                let length = bytes.len().min(buffer.len());
                buffer[..length].copy_from_slice(&bytes[..length]);
                return Poll::Ready(Ok(length));
            }
            if let Some(failure) = &stack.failure {
                return Poll::Ready(Err(io::Error::other(failure.clone())));
            }
            stack.udp().register_recv_waker(context.waker());
            Poll::Pending
        })
        .await
    }
}

impl Drop for Datagrams {
    fn drop(&mut self) {
        self.shared.leave();
    }
}
