//! Rows about FULLNAT: the server sees an address and port of the director.

use super::{CLIENT, VIP, after, client, server, step, story};
use crate::golden::{Expected, Step, Story};
use crate::lab;
use crate::packet::{ACK, Builder, FIN, PSH, SYN, at, sum, tcp, udp};
use rlvs_core::path::DropReason;

/// The pool of these stories has one port, so that the bytes are known beforehand.
pub(super) const SOURCE: &str = "10.1.0.254:5000";

fn passed_on(mut packet: Builder) -> Vec<u8> {
    packet.ttl -= 1;
    packet.bytes()
}

/// A frame for server `n`, and one for the client.
pub(super) fn to_server(n: u8, packet: Builder) -> Expected {
    Expected::Frame([&lab::server_mac(n)[..], &lab::S0_MAC[..], &[8, 0], &passed_on(packet)].concat())
}

pub(super) fn to_client(packet: Builder) -> Expected {
    Expected::Frame([&lab::ROUTER_MAC[..], &lab::C0_MAC[..], &[8, 0], &passed_on(packet)].concat())
}

/// "Too big" with a quote of `about`.
pub(super) fn too_big(from: &str, to: &str, ttl: u8, about: &[u8]) -> Vec<u8> {
    let message = |check: u16| [&[3, 4][..], &check.to_be_bytes(), &[0, 0, 5, 0], &about[..28]].concat();
    let message = message(!sum(&message(0), 0));
    let place = |ip: &str| at(&format!("{ip}:0"));
    let mut packet = udp(place(from), place(to)).with(|b| b.ttl = ttl).data(&message[8..]).bytes();
    packet[9] = 1;
    packet[20..28].copy_from_slice(&message[..8]);
    packet[10..12].fill(0);
    let check = !sum(&packet[..20], 0);
    packet[10..12].copy_from_slice(&check.to_be_bytes());
    packet
}

pub fn tcp_both_ways() -> Story {
    let syn = |from: &str, to: &str| tcp(at(from), at(to), SYN);
    let ack = |from: &str, to: &str| tcp(at(from), at(to), ACK).data(b"some data");
    let (real, other) = ("10.1.0.2:8080", "10.1.0.1:8080");
    let first = "172.16.0.8:999";
    let mut steps = vec![
        client("the server sees the director", &syn(CLIENT, VIP), to_server(2, syn(SOURCE, real))),
        server(
            2,
            "the client sees the service",
            &tcp(at(real), at(SOURCE), SYN | ACK),
            to_client(tcp(at(VIP), at(CLIENT), SYN | ACK)),
        ),
        client("data", &ack(CLIENT, VIP), to_server(2, ack(SOURCE, real))),
        server(2, "and back", &ack(real, SOURCE), to_client(ack(VIP, CLIENT))),
        client("the same port serves for another server", &syn(first, VIP), to_server(1, syn(SOURCE, other))),
        server(1, "whose answers find their client", &ack(other, SOURCE), to_client(ack(VIP, first))),
        client(
            "no port is left for a second one",
            &syn("172.16.0.7:1", VIP),
            Expected::Drop(DropReason::NoSource),
        ),
        server(3, "a stranger's answer is the stack's", &ack("10.1.0.3:8080", SOURCE), Expected::Pass),
        server(2, "and so is another port's", &ack("10.1.0.2:8081", SOURCE), Expected::Pass),
        server(2, "and what goes straight to a client", &ack(real, CLIENT), Expected::Pass),
    ];
    let quoted = |from: &str, to: &str| ack(from, to).with(|b| b.ttl = 60).bytes();
    let about = quoted(SOURCE, real);
    steps.push(Step {
        from_server: 1,
        ..step(
            "a router on the way to the server: the client learns it",
            lab::from_server(1, &too_big("10.1.0.1", "10.1.0.254", 64, &about)),
            Expected::Frame(
                [
                    &lab::ROUTER_MAC[..],
                    &lab::C0_MAC[..],
                    &[8, 0],
                    &too_big("10.0.0.100", "172.16.0.9", 63, &requoted(&about, CLIENT, VIP)),
                ]
                .concat(),
            ),
        )
    });
    let about = quoted(VIP, CLIENT);
    steps.push(step(
        "a router on the way to the client: the server learns it",
        lab::from_client(&too_big("10.0.0.1", "10.0.0.100", 64, &about)),
        Expected::Frame(
            [
                &lab::server_mac(2)[..],
                &lab::S0_MAC[..],
                &[8, 0],
                &too_big("10.1.0.254", "10.1.0.2", 63, &requoted(&about, real, SOURCE)),
            ]
            .concat(),
        ),
    ));
    steps.push(after(
        "sysctl expire_nodest_conn=1\n-d -t 10.0.0.100:80 -r 10.1.0.2:8080",
        client("the server goes, and the connection with it", &ack(CLIENT, VIP), Expected::Pass),
    ));
    steps.push(after(
        "-a -t 10.0.0.100:80 -r 10.1.0.2:8080 --fullnat",
        client("its port is free again", &syn("172.16.0.6:1", VIP), to_server(2, syn(SOURCE, real))),
    ));
    let rules = format!(
        "source 10.1.0.254 5000 5000\n-A -t {VIP} -s rr\n-a -t {VIP} -r {other} --fullnat\n-a -t {VIP} -r {real} --fullnat"
    );
    story("FULLNAT: the server sees an address of the director", &rules, steps)
}

/// The quoted packet with other addresses and ports; its transport checksum stays as it is.
fn requoted(quoted: &[u8], from: &str, to: &str) -> Vec<u8> {
    let mut packet = quoted.to_vec();
    let (from, to) = (at(from), at(to));
    packet[10..12].fill(0);
    packet[12..16].copy_from_slice(&from.ip().octets());
    packet[16..20].copy_from_slice(&to.ip().octets());
    packet[20..22].copy_from_slice(&from.port().to_be_bytes());
    packet[22..24].copy_from_slice(&to.port().to_be_bytes());
    let check = !sum(&packet[..20], 0);
    packet[10..12].copy_from_slice(&check.to_be_bytes());
    packet
}

pub fn datagrams() -> Story {
    let (vip, real) = ("10.0.0.100:53", "10.1.0.1:5353");
    let steps = vec![
        client("a question", &udp(at(CLIENT), at(vip)), to_server(1, udp(at(SOURCE), at(real)))),
        server(1, "an answer", &udp(at(real), at(SOURCE)), to_client(udp(at(vip), at(CLIENT)))),
        client("another one", &udp(at(CLIENT), at(vip)), to_server(1, udp(at(SOURCE), at(real)))),
        client(
            "by the method before, and still so",
            &udp(at("172.16.0.3:7"), at("10.0.0.100:54")),
            to_server(1, udp(at("172.16.0.3:7"), at("10.1.0.1:54"))),
        ),
        after(
            "-e -u 10.0.0.100:54 -r 10.1.0.1:54 --fullnat",
            client(
                "a connection keeps the method it was opened with",
                &udp(at("172.16.0.3:7"), at("10.0.0.100:54")),
                to_server(1, udp(at("172.16.0.3:7"), at("10.1.0.1:54"))),
            ),
        ),
        client(
            "a new one has the new",
            &udp(at("172.16.0.3:8"), at("10.0.0.100:54")),
            to_server(1, udp(at(SOURCE), at("10.1.0.1:54"))),
        ),
    ];
    let rules = format!(
        "source 10.1.0.254 5000 5000\n-A -u {vip} -s rr\n-a -u {vip} -r {real} --fullnat\n\
         -A -u 10.0.0.100:54 -s rr\n-a -u 10.0.0.100:54 -r 10.1.0.1:54 -m"
    );
    story("FULLNAT of UDP, and a method that changes", &rules, steps)
}

/// A segment with numbers, and perhaps data.
fn segment(from: &str, to: &str, flags: u8, seq: u32, ack: u32, data: &[u8]) -> Builder {
    tcp(at(from), at(to), flags).with(|b| (b.seq, b.ack) = (seq, ack)).data(data)
}

pub fn proxy_protocol() -> Story {
    let full = [0x5a; 1460];
    let real = "10.1.0.1:8080";
    // 172.16.0.9:1111 to 10.0.0.100:80, in 28 bytes.
    const HEADER: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xac\x10\0\x09\x0a\0\0\x64\x04\x57\0\x50";
    const LAST: u8 = FIN | ACK;
    let syn = |from: &str, to: &str, options: &[u8]| {
        segment(from, to, SYN, 999, 0, b"").with(|b| b.tcp_options = options.to_vec())
    };
    // MSS, SACK permitted, timestamps, a Fast Open cookie of four bytes, window scale.
    const OFFERED: &[u8] =
        &[2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 34, 6, 1, 2, 3, 4, 3, 3, 7, 1, 1, 0];
    const LEFT: &[u8] =
        &[2, 4, 5, 180, 1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 253, 6, 1, 2, 3, 4, 3, 3, 7, 1, 1, 0];
    let (c, s) = (
        |f, q, a, d: &[u8]| segment(CLIENT, VIP, f, q, a, d),
        |f, q, a, d: &[u8]| segment(real, SOURCE, f, q, a, d),
    );
    let (c2, s2) = (
        |f, q, a, d: &[u8]| segment(SOURCE, real, f, q, a, d),
        |f, q, a, d: &[u8]| segment(VIP, CLIENT, f, q, a, d),
    );
    let both = |first: Builder, second: Builder| {
        let frame = |packet| match to_server(1, packet) {
            Expected::Frame(frame) => frame,
            other => panic!("{other:?}"),
        };
        Expected::Frames(vec![frame(first), frame(second)])
    };
    let header = |flags| c2(flags, 1000, 501, HEADER);
    let steps = vec![
        client(
            "neither SACK nor Fast Open is offered",
            &syn(CLIENT, VIP, OFFERED),
            to_server(1, syn(SOURCE, real, LEFT)),
        ),
        server(
            1,
            "the server's number is its own",
            &s(SYN | ACK, 500, 1000, b""),
            to_client(s2(SYN | ACK, 500, 1000, b"")),
        ),
        client("the handshake's end carries the header", &c(ACK, 1000, 501, b""), to_server(1, header(ACK))),
        client(
            "data moves on by its length",
            &c(PSH | ACK, 1000, 501, b"question"),
            to_server(1, c2(PSH | ACK, 1028, 501, b"question")),
        ),
        client(
            "data that comes again brings the header with it",
            &c(PSH | ACK, 1000, 501, b"question"),
            both(c2(PSH | ACK, 1028, 501, b"question"), header(PSH | ACK)),
        ),
        step(
            "a full one, too, whatever the link put behind it",
            [lab::from_client(&c(PSH | ACK, 1000, 501, &full).bytes()), vec![0xee; 17]].concat(),
            both(c2(PSH | ACK, 1028, 501, &full), header(PSH | ACK)),
        ),
        server(
            1,
            "half of the header acknowledged is nothing to the client",
            &s(ACK, 501, 1014, b""),
            to_client(s2(ACK, 501, 1000, b"")),
        ),
        server(1, "the whole of it neither", &s(ACK, 501, 1028, b""), to_client(s2(ACK, 501, 1000, b""))),
        client(
            "it is not sent again",
            &c(PSH | ACK, 1000, 501, b"question"),
            to_server(1, c2(PSH | ACK, 1028, 501, b"question")),
        ),
        server(
            1,
            "an answer",
            &s(PSH | ACK, 501, 1036, b"answer"),
            to_client(s2(PSH | ACK, 501, 1008, b"answer")),
        ),
        client("and the end", &c(LAST, 1008, 507, b""), to_server(1, c2(LAST, 1036, 507, b""))),
        after(
            "-e -t 10.0.0.100:80 -r 10.1.0.1:8080 --fullnat",
            server(
                1,
                "is so though new connections do without",
                &s(LAST, 507, 1037, b""),
                to_client(s2(LAST, 507, 1009, b"")),
            ),
        ),
    ];
    let rules = format!(
        "source 10.1.0.254 5000 5000\n-A -t {VIP} -s rr\n-a -t {VIP} -r {real} --fullnat --proxy-protocol"
    );
    story("FULLNAT: the client's address is handed on", &rules, steps)
}
