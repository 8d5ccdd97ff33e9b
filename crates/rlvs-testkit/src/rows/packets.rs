//! Rows about packets: nobody's, odd ones, wrong ones; where they come from and go to.

use super::{CLIENT, VIP, after, client, server, step, story, to_vip};
use crate::golden::{Expected, Story};
use crate::lab;
use crate::packet::{ACK, Builder, Check, FIN, SYN, at, tcp, udp};
use rlvs_core::path::DropReason;

pub fn nobodys() -> Story {
    let changed = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut frame = lab::from_client(&to_vip(SYN).data(b"0123456789").bytes());
        change(&mut frame);
        frame
    };
    let v6 = [&lab::C0_MAC[..], &lab::ROUTER_MAC, &[0x86, 0xdd, 0x60], &[0; 60]].concat();
    let arp = [&[0xff; 6][..], &lab::ROUTER_MAC, &[8, 6, 0, 1, 8, 0, 6, 4, 0, 1], &[7; 20]].concat();
    let vlan = [&lab::C0_MAC[..], &lab::ROUTER_MAC, &[0x81, 0, 0, 5, 8, 0], &to_vip(SYN).bytes()].concat();
    let steps = vec![
        client("another port", &tcp(at(CLIENT), at("10.0.0.100:81"), SYN), Expected::Pass),
        client("another protocol on the port", &udp(at(CLIENT), at(VIP)), Expected::Pass),
        client("another address of the director", &tcp(at(CLIENT), at("10.0.0.254:80"), SYN), Expected::Pass),
        client("somebody's address, to be routed", &tcp(at(CLIENT), at("10.1.0.7:80"), SYN), Expected::Pass),
        server(1, "a real server asks something", &udp(at("10.1.0.1:999"), at("9.9.9.9:53")), Expected::Pass),
        server(1, "from its service port", &tcp(at("10.1.0.1:8080"), at(CLIENT), ACK), Expected::Pass),
        client("an ACK that opens nothing", &to_vip(ACK), Expected::Pass),
        step("IPv6", v6, Expected::Pass),
        step("ARP", arp, Expected::Pass),
        step("a VLAN tag", vlan, Expected::Pass),
        step("to a group address of the link", changed(&|f| f[0] |= 1), Expected::Pass),
        step("ICMP", changed(&|f| resum(f, 23, 1)), Expected::Pass),
        step("GRE", changed(&|f| resum(f, 23, 47)), Expected::Pass),
        step("IP version 5", changed(&|f| resum(f, 14, 0x55)), Expected::Pass),
        step("a header of 16 bytes", changed(&|f| resum(f, 14, 0x44)), Expected::Pass),
        step("total length 30, half a TCP header", changed(&|f| resum(f, 17, 30)), Expected::Pass),
        step("total length 19", changed(&|f| resum(f, 17, 19)), Expected::Pass),
        step("longer than the frame, says its header", changed(&|f| resum(f, 17, 51)), Expected::Pass),
        step("a wrong header sum", changed(&|f| f[24] ^= 1), Expected::Pass),
        step("cut off in the TCP header", changed(&|f| f.truncate(50)), Expected::Pass),
    ];
    let rules = "-A -t 10.0.0.100:80 -s rr\n-a -t 10.0.0.100:80 -r 10.1.0.1:8080 -m";
    story("what is nobody's passes bit for bit", rules, steps)
}

/// Sets a byte of the IP header and makes its sum right again.
fn resum(frame: &mut [u8], at: usize, value: u8) {
    frame[at] = value;
    frame[24..26].fill(0);
    let check = !crate::packet::sum(&frame[14..34], 0);
    frame[24..26].copy_from_slice(&check.to_be_bytes());
}

pub fn no_server() -> Story {
    let datagram = udp(at(CLIENT), at("10.0.0.100:53"));
    let steps = vec![
        client("TCP", &to_vip(SYN), Expected::Error(3, 3)),
        client("UDP", &datagram, Expected::Error(3, 3)),
        client("odd length", &datagram.clone().data(b"seven b"), Expected::Error(3, 3)),
        client("1,400 bytes: 548 are quoted", &datagram.clone().data(&[7; 1400]), Expected::Error(3, 3)),
        client("no checksum", &datagram.clone().with(|b| b.check = Check::Absent), Expected::Error(3, 3)),
        client("IP options", &to_vip(SYN).with(|b| b.ip_options = vec![1; 40]), Expected::Error(3, 3)),
        after(
            "-e -u 10.0.0.100:53 -r 10.1.0.1:53 -m -w 1",
            client("it has one now", &datagram, Expected::Forwarded),
        ),
    ];
    let rules =
        "-A -t 10.0.0.100:80 -s rr\n-A -u 10.0.0.100:53 -s wlc\n-a -u 10.0.0.100:53 -r 10.1.0.1:53 -m -w 0";
    story("without a server the client gets ICMP port unreachable", rules, steps)
}

pub fn checksums() -> Story {
    let with = |b: Builder, check| b.with(|b| b.check = check);
    let datagram = |data: &[u8]| udp(at(CLIENT), at("10.0.0.100:53")).data(data);
    let reply = |data: &[u8]| udp(at("10.1.0.1:5353"), at(CLIENT)).data(data);
    use Check::*;
    use Expected::{Forwarded, ForwardedWrong};
    let steps = vec![
        client("opening, whole", &to_vip(SYN), Forwarded),
        client("wrong: stays wrong", &with(to_vip(ACK).data(b"abc"), Wrong), ForwardedWrong),
        client("to be completed by hardware", &with(to_vip(ACK).data(b"abcd"), Partial), ForwardedWrong),
        client("a datagram", &datagram(b"12345"), Forwarded),
        client("a datagram without checksum", &with(datagram(b"12345"), Absent), Forwarded),
        client("without checksum, 1,000 bytes", &with(datagram(&[0xab; 1000]), Absent), Forwarded),
        client("without checksum, 64 bytes of UDP", &with(datagram(&[0xcd; 56]), Absent), Forwarded),
        client("without checksum, no data", &with(datagram(b""), Absent), Forwarded),
        client("a datagram, wrong", &with(datagram(b"12345"), Wrong), ForwardedWrong),
        client("a datagram to be completed", &with(datagram(b"123456"), Partial), ForwardedWrong),
        server(1, "an answer", &reply(b"54321"), Forwarded),
        server(1, "an answer without checksum", &with(reply(b"54321"), Absent), Forwarded),
        server(1, "an answer, wrong", &with(reply(b"54321"), Wrong), ForwardedWrong),
        server(1, "an answer to be completed", &with(reply(b"54321"), Partial), ForwardedWrong),
    ];
    let rules = "-A -t 10.0.0.100:80 -s rr\n-a -t 10.0.0.100:80 -r 10.1.0.1:8080 -m
        -A -u 10.0.0.100:53 -s rr\n-a -u 10.0.0.100:53 -r 10.1.0.1:5353 -m";
    story("NAT updates whole checksums, completes absent ones, and never mends a wrong one", rules, steps)
}

pub fn shapes() -> Story {
    let ack = || to_vip(ACK).with(|b| b.dont_fragment = true);
    let sized = |bytes: usize| ack().data(&vec![0x5a; bytes - 40]);
    let steps = vec![
        client(
            "SYN with 20 bytes of options",
            &to_vip(SYN).with(|b| b.tcp_options = vec![1; 20]),
            Expected::Forwarded,
        ),
        client("40 bytes of IP options", &ack().with(|b| b.ip_options = vec![1; 40]), Expected::Forwarded),
        client(
            "both",
            &ack().with(|b| (b.ip_options, b.tcp_options) = (vec![1; 8], vec![1; 40])),
            Expected::Forwarded,
        ),
        client("1,480 bytes fill the tunnel", &sized(1480), Expected::Forwarded),
        client("1,481 do not fit", &sized(1481), Expected::Error(3, 4)),
        client("1,500 do not fit", &sized(1500), Expected::Error(3, 4)),
        client(
            "1,500 that may be cut up",
            &sized(1500).with(|b| b.dont_fragment = false),
            Expected::Pieces(2),
        ),
        client("ttl 2", &ack().with(|b| b.ttl = 2), Expected::Forwarded),
        client("ttl 1", &ack().with(|b| b.ttl = 1), Expected::Error(11, 0)),
        client("ttl 255", &ack().with(|b| b.ttl = 255), Expected::Forwarded),
        client("every bit of TOS", &ack().with(|b| b.tos = 0xff), Expected::Forwarded),
    ];
    let rules = "-A -t 10.0.0.100:80 -s rr\n-a -t 10.0.0.100:80 -r 10.1.0.1:80 -i";
    story("packets of all shapes through a tunnel", rules, steps)
}

pub fn order_of_turns() -> Story {
    let from = |port: u16, flags| tcp(at(&format!("172.16.0.9:{port}")), at(VIP), flags);
    let mut steps = Vec::new();
    for port in 2000..2040 {
        steps.push(client(&format!("SYN {port}"), &from(port, SYN), Expected::Forwarded));
        steps.push(client(&format!("ACK {port}"), &from(port, ACK), Expected::Forwarded));
        if port % 3 == 0 {
            steps.push(client(&format!("FIN {port}"), &from(port, FIN | ACK), Expected::Forwarded));
        }
    }
    let rules = "-A -t 10.0.0.100:80 -s wlc\n-a -t 10.0.0.100:80 -r 10.1.0.1:80 -g -w 1
        -a -t 10.0.0.100:80 -r 10.1.0.2:80 -g -w 2 -x 8 -y 4\n-a -t 10.0.0.100:80 -r 10.1.0.3:80 -g -w 3
        -a -t 10.0.0.100:80 -r 10.1.0.4:80 -g -w 0";
    story("wlc with weights and a threshold: the same servers in the same order", rules, steps)
}

pub fn rules_change() -> Story {
    let other = |flags| tcp(at("172.16.0.9:1112"), at(VIP), flags);
    let reply = tcp(at("10.1.0.1:8080"), at(CLIENT), ACK);
    let steps = vec![
        client("SYN", &to_vip(SYN), Expected::Forwarded),
        after(
            "-e -t 10.0.0.100:80 -r 10.1.0.1:8080 -m -w 0",
            client("weight 0: what is open goes on", &to_vip(ACK), Expected::Forwarded),
        ),
        client("but nothing new", &other(SYN), Expected::Error(3, 3)),
        after(
            "-d -t 10.0.0.100:80 -r 10.1.0.1:8080",
            client("deleted: silence", &to_vip(ACK), Expected::Drop(DropReason::ServerGone)),
        ),
        server(1, "its own packets still become the VIP's", &reply, Expected::Forwarded),
        after(
            "-a -t 10.0.0.100:80 -r 10.1.0.1:8080 -m\n-a -t 10.0.0.100:80 -r 10.1.0.2:8080 -m",
            client("back, with its connection", &to_vip(ACK), Expected::Forwarded),
        ),
        client("a new one goes to the newest", &other(SYN), Expected::Forwarded),
        after("-D -t 10.0.0.100:80", client("no service: the stack's", &to_vip(ACK), Expected::Pass)),
        client("also a SYN", &tcp(at("172.16.0.9:1113"), at(VIP), SYN), Expected::Pass),
    ];
    let rules = "-A -t 10.0.0.100:80 -s rr\n-a -t 10.0.0.100:80 -r 10.1.0.1:8080 -m";
    story("rules change while connections live", rules, steps)
}

pub fn no_neighbour() -> Story {
    let steps = vec![
        client("SYN", &to_vip(SYN), Expected::Forwarded),
        client("and again", &to_vip(SYN), Expected::Forwarded),
        client("ACK", &to_vip(ACK), Expected::Forwarded),
    ];
    let rules = "-A -t 10.0.0.100:80 -s rr\n-a -t 10.0.0.100:80 -r 10.1.0.99:8080 -m";
    story(
        "a server whose MAC is not known: the kernel is asked to find it, and no packet is lost",
        rules,
        steps,
    )
}

pub fn own_address() -> Story {
    let steps = vec![
        client("the VIP itself, DR", &to_vip(SYN), Expected::Pass),
        client(
            "with another port",
            &tcp(at(CLIENT), at("10.0.0.100:81"), SYN),
            Expected::Drop(DropReason::LocalServer),
        ),
    ];
    let rules = "-A -t 10.0.0.100:80 -s rr\n-a -t 10.0.0.100:80 -r 10.0.0.100:80 -g
        -A -t 10.0.0.100:81 -s rr\n-a -t 10.0.0.100:81 -r 10.0.0.254:8081 -m";
    story("the director as its own real server", rules, steps)
}

pub fn link_padding() -> Story {
    let padded = |packet: Builder| {
        let mut frame = lab::from_client(&packet.bytes());
        frame.resize(60.max(frame.len() + 3), 0xee);
        frame
    };
    let datagram = udp(at(CLIENT), at("10.0.0.100:53")).data(b"abc").with(|b| b.check = Check::Absent);
    let unserved = udp(at(CLIENT), at("10.0.0.100:54")).data(b"abc");
    let steps = vec![
        step("TCP", padded(to_vip(SYN)), Expected::Forwarded),
        step("UDP without checksum: padding is not summed", padded(datagram), Expected::Forwarded),
        step("an error quotes no padding", padded(unserved), Expected::Error(3, 3)),
    ];
    let rules = "-A -t 10.0.0.100:80 -s rr\n-a -t 10.0.0.100:80 -r 10.1.0.1:80 -i
        -A -u 10.0.0.100:53 -s rr\n-a -u 10.0.0.100:53 -r 10.1.0.1:5353 -m\n-A -u 10.0.0.100:54 -s rr";
    story("bytes behind the packet, as short frames have them", rules, steps)
}
