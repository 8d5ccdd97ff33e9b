//! Uploads by clients that never hear that their packets are too large, as behind a firewall that drops ICMP: they hang, unless
//! the real server says that less fits (`rlvs realserver up --clamp-mss`).

mod common;

use common::mtu::full_segment_len;
use common::{Cluster, Proto, attach, cluster, ipvsadm, rlvs, serve, within};
use rlvs::lab::{Lab, Topology, VIP, VIP6, plan};
use socket2::{Domain, Protocol, Socket, Type};
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::time::Duration;

/// More than the server's first window.
const BYTES: usize = 300_000;

/// That nothing comes any more can only be waited for.
const HANGS: Duration = Duration::from_secs(4);
const LIMIT: Duration = Duration::from_secs(60);

/// What the server says of an upload; none if nothing comes within `patience`.
fn upload(lab: &Lab, to: IpAddr, patience: Duration) -> Option<String> {
    lab.client().run(|| {
        let mut stream = open(SocketAddr::from((to, 80)));
        stream.set_read_timeout(Some(patience)).expect("a time limit");
        stream.set_write_timeout(Some(patience)).expect("a time limit");
        write!(stream, "POST /upload HTTP/1.1\r\nHost: lab\r\nContent-Length: {BYTES}\r\n\r\n").ok()?;
        // The first segment goes alone: from those that go together (GSO) a link makes what fits.
        let (first, others) = [b'x'; BYTES].split_at(full_segment_len(to, 1500));
        stream.write_all(first).ok()?;
        stream.write_all(others).ok()?;
        // Headers, and a line.
        let mut answer = String::new();
        while answer.is_empty() || answer.ends_with("\r\n") {
            let mut piece = [0; 1000];
            let len = stream.read(&mut piece).ok().filter(|len| *len > 0)?;
            answer += &String::from_utf8_lossy(&piece[..len]);
        }
        Some(answer)
    })
}

/// A connection that never sends less because of ICMP, and lets nobody cut up what it sends (see [`deaf`] for the rest).
fn open(to: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP)).expect("a socket");
    let (level, option, value) = match to {
        SocketAddr::V4(_) => (libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_DO),
        SocketAddr::V6(_) => (libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_INTERFACE),
    };
    let size = size_of_val(&value) as u32;
    // SAFETY: a whole number that lives over the call.
    let rc = unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, (&raw const value).cast(), size) };
    assert_eq!(rc, 0, "MTU_DISCOVER: {}", std::io::Error::last_os_error());
    // Closed, it is over at once: nothing is sent again.
    socket.set_linger(Some(Duration::ZERO)).expect("no lingering");
    socket.set_tcp_nodelay(true).expect("nothing waits");
    socket.connect_timeout(&to.into(), LIMIT).expect("a connection");
    socket.into()
}

/// The client does not believe that any path of IPv4 takes less than 1,500 bytes.
fn deaf(lab: &Lab) {
    lab.client().set_sysctl("net/ipv4/route/min_pmtu", "1500").expect("a setting");
}

/// Packets that the director dropped because they are too large.
fn too_large(lab: &Lab) -> u64 {
    let status = rlvs(lab.director(), "status");
    let line = status.lines().find(|line| line.contains("too-big"));
    line.and_then(|line| line.split_whitespace().find_map(|word| word.parse().ok())).unwrap_or(0)
}

/// Without the option it hangs, and the client sends again and again what is too large; with it all arrives.
fn hangs_but_with(lab: &Cluster, vip: IpAddr, option: &str) {
    for server in lab.servers() {
        rlvs(server, "realserver status");
    }
    assert_eq!(upload(lab, vip, HANGS), None, "{vip}: this proves nothing, it gets through anyhow");
    assert!(too_large(lab) > 1, "{vip}: {}", rlvs(lab.director(), "status"));
    for server in lab.servers() {
        rlvs(server, &format!("realserver up --vip {vip} {option}"));
        let status = rlvs(server, "realserver status");
        assert!(status.contains(&format!("of {vip} at most 1")), "{status}");
    }
    let before = too_large(lab);
    for _ in 0..3 {
        let answer = upload(lab, vip, LIMIT).unwrap_or_else(|| panic!("{vip}: nothing with {option}"));
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains(&BYTES.to_string()), "{answer}");
    }
    assert_eq!(too_large(lab), before, "{vip}: what fits is not too large");
    let clamped = |status: &str| -> u64 {
        let line = status.lines().find_map(|line| line.trim().strip_prefix("clamped "));
        line.and_then(|n| n.trim().parse().ok()).unwrap_or_else(|| panic!("no count: {status}"))
    };
    for server in lab.servers() {
        let status = rlvs(server, "realserver status");
        assert!(clamped(&status) >= 1, "one SYN-ACK from each of three, or more: {status}");
    }
}

#[test]
fn through_a_tunnel() {
    within(180, || {
        for mode in ["tc", "skb"] {
            let lab = cluster(Topology::Tun);
            attach(&lab, mode);
            deaf(&lab);
            serve(&lab, Proto::Tcp, 80, "rr", &[1, 1, 1]);
            hangs_but_with(&lab, VIP.into(), "--clamp-mss");
        }
    });
}

/// No tunnel of ours carries IPv6; but the way to the servers takes less than they think.
#[test]
fn to_ipv6_servers_behind_a_narrow_link() {
    within(180, || {
        let lab = cluster(Topology::Dr);
        lab.hosts().iter().for_each(|host| host.add_ipv6().expect("IPv6"));
        for server in lab.servers() {
            rlvs(server, &format!("realserver up --vip {VIP6}"));
        }
        attach(&lab, "tc");
        lab.director().set_mtu("eth1", 1400).expect("an MTU");
        ipvsadm(&lab, &format!("-A -t [{VIP6}]:80 -s rr"));
        for server in lab.servers() {
            ipvsadm(&lab, &format!("-a -t [{VIP6}]:80 -r [{}]:80 -g", plan::six(server.addr())));
        }
        hangs_but_with(&lab, VIP6.into(), "--clamp-mss 1300");
    });
}
