//! A small network for one test: two namespaces of its own, joined by two cables.
//!
//! ```text
//! server  10.77.0.1/24    a0 ─── b0  10.77.0.2/24     peer
//!         198.51.100.1/24 a1 ─── b1  198.51.100.2/24
//! ```
//!
//! Nobody else sees it, so tests run side by side; it is gone when its descriptors are closed, however the test ends.

use rlvs_control::realserver;
use rtnetlink::{LinkUnspec, LinkVeth, packet_route::link::LinkMessage};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

pub const SERVER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
pub const PEER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];

pub struct Namespace(File);

pub struct Net {
    pub server: Namespace,
    pub peer: Namespace,
    tidy: bool,
}

impl Namespace {
    fn new() -> Namespace {
        let made = std::thread::spawn(|| {
            // SAFETY: changes this thread alone, which ends right after.
            let rc = unsafe { libc::unshare(libc::CLONE_NEWNET) };
            assert_eq!(rc, 0, "unshare: {}", io::Error::last_os_error());
            File::open("/proc/thread-self/ns/net").unwrap()
        });
        Namespace(made.join().unwrap())
    }

    /// Runs `what` with this namespace as its network.
    pub fn run<T: Send>(&self, what: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let inside = scope.spawn(|| {
                // SAFETY: changes this thread alone, which ends with `what`.
                let rc = unsafe { libc::setns(self.0.as_raw_fd(), libc::CLONE_NEWNET) };
                assert_eq!(rc, 0, "setns: {}", io::Error::last_os_error());
                what()
            });
            inside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}

impl Net {
    pub fn new() -> Net {
        // SAFETY: takes nothing and cannot fail.
        let uid = unsafe { libc::geteuid() };
        assert_eq!(
            uid, 0,
            "these tests make network namespaces and load programs: run them as root (sudo -E cargo test)"
        );
        let net = Net { server: Namespace::new(), peer: Namespace::new(), tidy: true };
        net.server.run(|| {
            for (near, far) in [("a0", "b0"), ("a1", "b1")] {
                let pair = LinkVeth::new(near, far);
                netlink(|h| h.link().add(pair.build()).execute());
                let far = LinkUnspec::new_with_name(far).setns_by_fd(net.peer.0.as_raw_fd());
                set(far.build());
            }
            set(LinkUnspec::new_with_name("a0").address(SERVER_MAC.to_vec()).build());
            configure(&[("a0", "10.77.0.1"), ("a1", "198.51.100.1")]);
        });
        net.peer.run(|| {
            set(LinkUnspec::new_with_name("b0").address(PEER_MAC.to_vec()).build());
            configure(&[("b0", "10.77.0.2"), ("b1", "198.51.100.2")]);
        });
        net
    }
}

impl Net {
    /// Both namespaces end, and nobody tidies up before.
    pub fn abandon(mut self) {
        self.tidy = false;
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        // For pins and journal of a test that failed.
        if self.tidy {
            let _ = self.server.run(realserver::down);
        }
    }
}

fn configure(interfaces: &[(&str, &str)]) {
    for (name, address) in interfaces {
        set(LinkUnspec::new_with_name(name).up().build());
        add_address(name, address, 24);
    }
}

pub fn add_address(device: &str, address: &str, prefix: u8) {
    let (index, address) = (index(device), address.parse().unwrap());
    netlink(|h| h.address().add(index, address, prefix).execute());
}

pub fn set_mtu(device: &str, mtu: u32) {
    set(LinkUnspec::new_with_name(device).mtu(mtu).build());
}

pub fn set_up(device: &str, up: bool) {
    let link = LinkUnspec::new_with_name(device);
    set(if up { link.up().build() } else { link.down().build() });
}

fn set(message: LinkMessage) {
    netlink(|h| h.link().set(message).execute());
}

fn netlink<F: Future<Output = Result<(), rtnetlink::Error>>>(request: impl FnOnce(rtnetlink::Handle) -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
    runtime.block_on(async {
        let (connection, handle, _) = rtnetlink::new_connection().unwrap();
        tokio::spawn(connection);
        request(handle).await.unwrap();
    });
}

pub fn index(device: &str) -> u32 {
    let name = std::ffi::CString::new(device).unwrap();
    // SAFETY: a string that ends in a zero byte and lives over the call.
    let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
    assert_ne!(index, 0, "no interface {device}");
    index
}

pub fn sysctl(key: &str) -> String {
    fs::read_to_string(format!("/proc/sys/net/ipv4/conf/{key}")).unwrap().trim().to_string()
}

pub fn set_sysctl(key: &str, value: &str) {
    fs::write(format!("/proc/sys/net/ipv4/conf/{key}"), value).unwrap();
}

/// All that `up` and `down` could change: every setting, address and route of the namespace.
pub fn snapshot() -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for family in ["ipv4", "ipv6"] {
        let conf = format!("/proc/sys/net/{family}/conf");
        for device in fs::read_dir(conf).into_iter().flatten().flatten() {
            for setting in fs::read_dir(device.path()).unwrap().flatten() {
                // Some cannot be read before they were written.
                if let Ok(value) = fs::read_to_string(setting.path()) {
                    all.insert(setting.path().display().to_string(), value);
                }
            }
        }
    }
    // Every local address is a route in here.
    let read = |file: &str| fs::read_to_string(format!("/proc/thread-self/net/{file}")).unwrap();
    all.insert("fib_trie".into(), read("fib_trie"));
    let mut v6: Vec<String> = read("if_inet6")
        .lines()
        // The kernel gives link-local ones by itself, when it likes; flags say "tentative" for a while.
        .filter(|line| !line.starts_with("fe80"))
        .map(|line| line.split_whitespace().enumerate().filter(|(n, _)| *n != 4).map(|(_, w)| w).collect())
        .collect();
    v6.sort();
    all.insert("if_inet6".into(), v6.join("\n"));
    all
}

/// The far end of an interface without link headers.
pub struct Tun(File);

impl Tun {
    pub fn open(device: &str) -> Tun {
        const TUNSETIFF: libc::c_ulong = 0x4004_54ca;
        let file = fs::OpenOptions::new().read(true).write(true).open("/dev/net/tun").expect("/dev/net/tun");
        // `struct ifreq`: the name, then flags.
        let mut request = [0u8; 40];
        request[..device.len()].copy_from_slice(device.as_bytes());
        request[16..18].copy_from_slice(&((libc::IFF_TUN | libc::IFF_NO_PI) as u16).to_ne_bytes());
        // SAFETY: a whole `struct ifreq` that lives over the call.
        let rc = unsafe { libc::ioctl(file.as_raw_fd(), TUNSETIFF, request.as_mut_ptr()) };
        assert_eq!(rc, 0, "TUNSETIFF: {}", io::Error::last_os_error());
        Tun(file)
    }

    /// The first packet out of the interface that `wanted` knows, if one comes within `patience`.
    pub fn find<T>(&self, patience: Duration, wanted: impl Fn(&[u8]) -> Option<T>) -> Option<T> {
        find(self.0.as_raw_fd(), patience, wanted, |packet| (&self.0).read(packet).unwrap_or(0))
    }
}

/// A raw socket on an interface: whole frames out and in.
pub struct Wire {
    socket: OwnedFd,
    index: u32,
    /// The ethertype, in network order.
    wanted: u16,
}

impl Wire {
    /// All frames, as they are on the cable.
    pub fn open(device: &str) -> Wire {
        Wire::of(device, libc::ETH_P_ALL as u16)
    }

    /// The frames of this ethertype; those that come in as they are behind TC.
    pub fn of(device: &str, ethertype: u16) -> Wire {
        let wanted = ethertype.to_be();
        // SAFETY: plain numbers; a new descriptor comes back, which nobody else knows.
        let socket = unsafe {
            let fd = libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, i32::from(wanted));
            assert!(fd >= 0, "AF_PACKET: {}", io::Error::last_os_error());
            OwnedFd::from_raw_fd(fd)
        };
        let wire = Wire { socket, index: index(device), wanted };
        let (address, len) = wire.address();
        // SAFETY: a whole sockaddr_ll that lives over the call.
        let rc = unsafe { libc::bind(wire.socket.as_raw_fd(), (&raw const address).cast(), len) };
        assert_eq!(rc, 0, "bind: {}", io::Error::last_os_error());
        wire
    }

    pub fn send(&self, frame: &[u8]) {
        let (address, len) = self.address();
        // SAFETY: a frame and a whole sockaddr_ll, both of which live over the call.
        let sent = unsafe {
            libc::sendto(
                self.socket.as_raw_fd(),
                frame.as_ptr().cast(),
                frame.len(),
                0,
                (&raw const address).cast(),
                len,
            )
        };
        assert_eq!(sent, frame.len() as isize, "sendto: {}", io::Error::last_os_error());
    }

    /// The first frame that `wanted` knows, if one comes within `patience`.
    pub fn find<T>(&self, patience: Duration, wanted: impl Fn(&[u8]) -> Option<T>) -> Option<T> {
        let fd = self.socket.as_raw_fd();
        find(fd, patience, wanted, |frame| {
            // SAFETY: the kernel writes at most the buffer's length.
            let len = unsafe { libc::recv(fd, frame.as_mut_ptr().cast(), frame.len(), libc::MSG_DONTWAIT) };
            usize::try_from(len).unwrap_or(0)
        })
    }

    fn address(&self) -> (libc::sockaddr_ll, libc::socklen_t) {
        // SAFETY: plain numbers, for which all zeroes is a value.
        let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_protocol = self.wanted;
        address.sll_ifindex = self.index as i32;
        (address, size_of::<libc::sockaddr_ll>() as libc::socklen_t)
    }
}

/// Waits until something can be read, again and again.
fn find<T>(
    fd: i32,
    patience: Duration,
    wanted: impl Fn(&[u8]) -> Option<T>,
    mut read: impl FnMut(&mut [u8]) -> usize,
) -> Option<T> {
    let end = Instant::now() + patience;
    let mut packet = [0u8; 16384];
    loop {
        let left = end.checked_duration_since(Instant::now())?;
        let mut poll = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
        // SAFETY: one pollfd, which lives over the call.
        if unsafe { libc::poll(&raw mut poll, 1, left.as_millis() as i32 + 1) } != 1 {
            continue;
        }
        let len = read(&mut packet);
        if len > 0
            && let Some(found) = wanted(&packet[..len])
        {
            return Some(found);
        }
    }
}
