//! Fragments in every order, sent for real: from the far end of the clients' interface to that of the servers'.

use crate::compare::obey;
use crate::lab::{in_a_namespace, index};
use crate::run::{Programs, Way};
use rlvs_testkit::packet::{checks, fragments, reassembled, udp};
use rlvs_testkit::{Order, lab};
use std::io;
use std::net::SocketAddrV4;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

const ETH: usize = 14;

/// A packet socket on an interface.
pub struct Wire(OwnedFd);

impl Wire {
    pub fn on(device: &str) -> Wire {
        const ETH_P_ALL: u16 = 3;
        let protocol = ETH_P_ALL.to_be();
        // SAFETY: plain numbers; the descriptor is nobody else's.
        let fd = unsafe {
            let kind = libc::SOCK_RAW | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
            OwnedFd::from_raw_fd(libc::socket(libc::AF_PACKET, kind, i32::from(protocol)))
        };
        // SAFETY: zeroes are an address; its size is passed along.
        let bound = unsafe {
            let mut at: libc::sockaddr_ll = std::mem::zeroed();
            (at.sll_family, at.sll_protocol, at.sll_ifindex) =
                (libc::AF_PACKET as u16, protocol, index(device) as i32);
            libc::bind(fd.as_raw_fd(), (&raw const at).cast(), size_of_val(&at) as u32)
        };
        assert_eq!(bound, 0, "bind: {}", io::Error::last_os_error());
        Wire(fd)
    }

    pub fn send(&self, frame: &[u8]) {
        // SAFETY: the frame's own bytes.
        let sent = unsafe { libc::send(self.0.as_raw_fd(), frame.as_ptr().cast(), frame.len(), 0) };
        assert_eq!(sent, frame.len() as isize, "send: {}", io::Error::last_os_error());
    }

    /// So many frames that are for somebody here (not what a socket sees of its own interface's sending).
    pub fn receive(&self, count: usize, wanted: impl Fn(&[u8]) -> bool) -> Vec<Vec<u8>> {
        let until = Instant::now() + Duration::from_secs(5);
        let mut frames = Vec::new();
        while frames.len() < count && Instant::now() < until {
            let mut frame = vec![0; 4096];
            // SAFETY: the buffer's own length.
            let len = unsafe { libc::recv(self.0.as_raw_fd(), frame.as_mut_ptr().cast(), frame.len(), 0) };
            if len < 0 {
                std::thread::sleep(Duration::from_millis(1));
                continue;
            }
            frame.truncate(len as usize);
            if wanted(&frame) {
                frames.push(frame);
            }
        }
        frames
    }
}

fn orders(of: &[usize]) -> Vec<Vec<usize>> {
    let [first, rest @ ..] = of else { return vec![vec![]] };
    let with_first = |order: Vec<usize>| {
        (0..=order.len()).map(move |at| [&order[..at], &[*first], &order[at..]].concat()).collect::<Vec<_>>()
    };
    orders(rest).into_iter().flat_map(with_first).collect()
}

pub fn any_order(way: Way) {
    for method in ["-m", "-g", "-i"] {
        in_a_namespace(|director| {
            let port = if method == "-m" { 5353 } else { 53 };
            obey(director, &Order::parse("-A -u 10.0.0.100:53 -s rr"));
            for n in 1..=3 {
                let add = format!("-a -u 10.0.0.100:53 -r 10.1.0.{n}:{port} {method}");
                obey(director, &Order::parse(&add));
            }
            let _programs = Programs::open(director, way);
            let (from, to) = (Wire::on("c1"), Wire::on("s1"));
            let data: Vec<u8> = (0..5000u32).map(|i| (i / 8 + i * 31) as u8).collect();
            for (number, order) in (1..).zip(orders(&[0, 1, 2, 3])) {
                let client = SocketAddrV4::new(lab::CLIENT, 2000 + number);
                let packet = udp(client, SocketAddrV4::new(lab::VIP, 53)).data(&data);
                let packet = packet.with(|b| (b.id, b.dont_fragment) = (number, false)).bytes();
                let parts = fragments(&packet, 1400);
                order.iter().for_each(|i| from.send(&lab::from_client(&parts[*i])));
                let is_ipv4_to_a_server = |f: &[u8]| f[12..14] == [8, 0] && lab::server_of(f).is_some();
                let got = to.receive(parts.len(), is_ipv4_to_a_server);
                let mut describe =
                    || format!("{way:?} {method} {order:?} {:?}", director.status().unwrap().drops);
                assert_eq!(got.len(), parts.len(), "{}", describe());
                let server = lab::server_of(&got[0]);
                assert!(got.iter().all(|f| lab::server_of(f) == server), "{}", describe());
                let skip = if method == "-i" { ETH + 20 } else { ETH };
                let whole = reassembled(got.iter().map(|f| f[skip..].to_vec()).collect());
                assert_eq!(checks(&whole), (true, true), "{}", describe());
                assert_eq!(whole[28..], packet[28..], "{}", describe());
            }
            let waiting = director.instance().unwrap().expect("one").global.words(0);
            use rlvs_core::mem::Mem;
            assert_eq!(waiting.load(rlvs_core::maps::global::ASIDE), 0, "fragments still wait");
        });
    }
}
