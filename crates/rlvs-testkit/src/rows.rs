//! Rows of our own: what the recordings do not have. The same rows run on the host brain and through the loaded
//! programs, which must agree with it byte for byte.

use crate::golden::{Expected, Step, Story};
use crate::lab;
use crate::order::Order;
use crate::packet::{ACK, Builder, Check, FIN, SYN, at, tcp, udp};
use rlvs_core::path::DropReason;

const VIP: &str = "10.0.0.100:80";
const CLIENT: &str = "172.16.0.9:1111";

pub fn stories() -> Vec<Story> {
    vec![
        nobodys(),
        no_server(),
        checksums(),
        shapes(),
        order_of_turns(),
        rules_change(),
        no_neighbour(),
        own_address(),
        link_padding(),
        persistence(),
        marks(),
        alone(),
        quiescence(),
        deleted(),
        defences(),
        sctp(),
    ]
}

fn story(sentence: &str, orders: &str, steps: Vec<Step>) -> Story {
    let orders = orders.lines().map(|l| Order::parse(l.trim())).collect();
    Story { sentence: sentence.into(), orders, server_mtu: 1500, steps, left_out: Vec::new() }
}

fn step(label: &str, frame: Vec<u8>, expected: Expected) -> Step {
    Step { label: label.into(), orders: Vec::new(), from_server: 0, frame, expected }
}

fn client(label: &str, packet: &Builder, expected: Expected) -> Step {
    step(label, lab::from_client(&packet.bytes()), expected)
}

fn server(n: u8, label: &str, packet: &Builder, expected: Expected) -> Step {
    Step { from_server: n, ..step(label, lab::from_server(n, &packet.bytes()), expected) }
}

fn after(orders: &str, step: Step) -> Step {
    Step { orders: orders.lines().map(|l| Order::parse(l.trim())).collect(), ..step }
}

fn to_vip(flags: u8) -> Builder {
    tcp(at(CLIENT), at(VIP), flags)
}

fn nobodys() -> Story {
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

fn no_server() -> Story {
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

fn checksums() -> Story {
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

fn shapes() -> Story {
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
            Expected::Drop(DropReason::WouldFragment),
        ),
        client("ttl 2", &ack().with(|b| b.ttl = 2), Expected::Forwarded),
        client("ttl 1", &ack().with(|b| b.ttl = 1), Expected::Error(11, 0)),
        client("ttl 255", &ack().with(|b| b.ttl = 255), Expected::Forwarded),
        client("every bit of TOS", &ack().with(|b| b.tos = 0xff), Expected::Forwarded),
    ];
    let rules = "-A -t 10.0.0.100:80 -s rr\n-a -t 10.0.0.100:80 -r 10.1.0.1:80 -i";
    story("packets of all shapes through a tunnel", rules, steps)
}

fn order_of_turns() -> Story {
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

fn rules_change() -> Story {
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

fn no_neighbour() -> Story {
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

fn own_address() -> Story {
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

fn link_padding() -> Story {
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

/// A client's SYN from a port of its own, and the server it goes to.
fn opens(label: &str, client_addr: &str, to: &str, n: u8) -> Step {
    let packet = tcp(at(client_addr), at(to), SYN);
    client(label, &packet, Expected::To(n))
}

fn persistence() -> Story {
    let steps = vec![
        opens("the newest server is first", "172.16.0.1:1", VIP, 3),
        opens("the next client gets the next one", "172.16.0.2:1", VIP, 2),
        opens("the first client stays", "172.16.0.1:2", VIP, 3),
        opens("a client of the same network, too", "172.16.0.77:1", "10.0.0.100:81", 3),
        opens("one of another does not", "172.16.1.77:1", "10.0.0.100:81", 2),
        opens("one more of the first network", "172.16.0.78:1", "10.0.0.100:81", 3),
        opens("another port of a service for all ports", "172.16.0.5:1", "10.0.0.200:443", 3),
        opens("the same client, yet another port", "172.16.0.5:2", "10.0.0.200:22", 3),
        opens("another client there", "172.16.0.6:2", "10.0.0.200:22", 2),
    ];
    let mut rules = String::new();
    for (service, option) in
        [(VIP, "-p 100"), ("10.0.0.100:81", "-p 100 -M 255.255.255.0"), ("10.0.0.200:0", "-p 100")]
    {
        rules += &format!("-A -t {service} -s rr {option}\n");
        for n in 1..=3 {
            rules += &format!("-a -t {service} -r 10.1.0.{n} -g\n");
        }
    }
    story("persistence: a client stays with its server", rules.trim_end(), steps)
}

fn marks() -> Story {
    let steps = vec![
        opens("port 80", "172.16.0.1:1", VIP, 3),
        opens("port 443 of another address", "172.16.0.1:2", "10.0.0.77:443", 3),
        client("UDP, too", &udp(at("172.16.0.1:3"), at("10.0.0.100:53")), Expected::To(3)),
        opens("another client", "172.16.0.2:1", "10.0.0.77:443", 2),
        client("a port without a mark", &tcp(at("172.16.0.1:4"), at("10.0.0.100:81"), SYN), Expected::Pass),
        after(
            "-e -f 7 -r 10.1.0.1 -g -w 0\n-e -f 7 -r 10.1.0.2 -g -w 0\n-e -f 7 -r 10.1.0.3 -g -w 0",
            client(
                "nobody is there; an address that is not the director's stays silent",
                &tcp(at("172.16.0.9:1"), at("10.0.0.77:80"), SYN),
                Expected::Drop(DropReason::NoServer),
            ),
        ),
        client("the director's own answers", &tcp(at("172.16.0.9:2"), at(VIP), SYN), Expected::Error(3, 3)),
    ];
    let rules = "mark 7 6 80\nmark 7 6 443\nmark 7 17 53\n-A -f 7 -s rr -p 100\n-a -f 7 -r 10.1.0.1 -g
        -a -f 7 -r 10.1.0.2 -g\n-a -f 7 -r 10.1.0.3 -g";
    story("a firewall mark joins ports, protocols and addresses", rules, steps)
}

fn alone() -> Story {
    let datagram = |n| udp(at(&format!("172.16.0.1:{n}")), at("10.0.0.100:53"));
    let steps = vec![
        client("first", &datagram(777), Expected::To(2)),
        client("the same flow goes on to the next server", &datagram(777), Expected::To(1)),
        client("and round", &datagram(777), Expected::To(2)),
    ];
    let rules = "-A -u 10.0.0.100:53 -s rr -o\n-a -u 10.0.0.100:53 -r 10.1.0.1 -g\n-a -u 10.0.0.100:53 -r 10.1.0.2 -g";
    story("one-packet scheduling: every datagram by itself, no connection", rules, steps)
}

fn quiescence() -> Story {
    let steps = vec![
        opens("a client", "172.16.0.1:1", VIP, 2),
        after(
            "-e -t 10.0.0.100:80 -r 10.1.0.2 -g -w 0",
            opens("comes back at weight 0", "172.16.0.1:2", VIP, 2),
        ),
        opens("another one does not get it", "172.16.0.2:1", VIP, 1),
        after(
            "sysctl expire_quiescent_template=1",
            opens("nor the first one any more", "172.16.0.1:3", VIP, 1),
        ),
        client("its old connection goes on", &tcp(at("172.16.0.1:1"), at(VIP), ACK), Expected::To(2)),
    ];
    let rules = "-A -t 10.0.0.100:80 -s rr -p 100\n-a -t 10.0.0.100:80 -r 10.1.0.1 -g\n-a -t 10.0.0.100:80 -r 10.1.0.2 -g";
    story("a server of weight 0 and its persistent clients", rules, steps)
}

fn deleted() -> Story {
    let old = |n| tcp(at(&format!("172.16.0.1:{n}")), at(VIP), ACK);
    let steps = vec![
        opens("a connection", "172.16.0.1:1", VIP, 2),
        after(
            "-d -t 10.0.0.100:80 -r 10.1.0.2:80",
            client("its server is gone", &old(1), Expected::Drop(DropReason::ServerGone)),
        ),
        after("-a -t 10.0.0.100:80 -r 10.1.0.2 -g", client("and back", &old(1), Expected::To(2))),
        after(
            "sysctl expire_nodest_conn=1\n-d -t 10.0.0.100:80 -r 10.1.0.2:80",
            client("gone, and the connection with it", &old(1), Expected::Pass),
        ),
        after(
            "-D -t 10.0.0.100:80",
            client("without any service all is the stack's", &old(1), Expected::Pass),
        ),
    ];
    let rules =
        "-A -t 10.0.0.100:80 -s rr\n-a -t 10.0.0.100:80 -r 10.1.0.1 -g\n-a -t 10.0.0.100:80 -r 10.1.0.2 -g";
    story("connections of a deleted server", rules, steps)
}

fn defences() -> Story {
    let syn = |n: u16| tcp(at(&format!("172.16.0.1:{n}")), at(VIP), SYN);
    let steps = vec![
        after(
            "sysctl am_droprate=3\nsysctl drop_packet=3",
            client("the first is dropped", &syn(1), Expected::Drop(DropReason::Defence)),
        ),
        client("one passes", &syn(2), Expected::To(1)),
        client("two pass", &syn(3), Expected::To(1)),
        client("the third again is dropped", &syn(4), Expected::Drop(DropReason::Defence)),
        client("not one of an old connection", &syn(3), Expected::To(1)),
    ];
    let rules = "-A -t 10.0.0.100:80 -s rr\n-a -t 10.0.0.100:80 -r 10.1.0.1 -g";
    story("drop_packet drops one new connection of am_droprate", rules, steps)
}

fn sctp() -> Story {
    let chunk = |kind: u8| {
        let mut bytes = udp(at(CLIENT), at("10.0.0.100:5060")).data(&[kind, 0, 0, 4, 0, 0, 0, 0]).bytes();
        bytes[9] = 132;
        bytes[10..12].fill(0);
        let check = !crate::packet::sum(&bytes[..20], 0);
        bytes[10..12].copy_from_slice(&check.to_be_bytes());
        bytes.splice(24..28, [0, 0, 0, 1, 0, 0, 0, 0]); // verification tag and checksum in the place of UDP's length
        let total = bytes.len() as u16;
        bytes[2..4].copy_from_slice(&total.to_be_bytes());
        bytes[10..12].fill(0);
        let check = !crate::packet::sum(&bytes[..20], 0);
        bytes[10..12].copy_from_slice(&check.to_be_bytes());
        lab::from_client(&bytes)
    };
    let steps = vec![
        step("DATA opens nothing", chunk(0), Expected::Pass),
        step("INIT does", chunk(1), Expected::To(1)),
        step("COOKIE ECHO follows", chunk(10), Expected::To(1)),
        step("DATA too", chunk(0), Expected::To(1)),
        step("ABORT too", chunk(6), Expected::To(1)),
    ];
    let rules = "-A --sctp-service 10.0.0.100:5060 -s rr\n-a --sctp-service 10.0.0.100:5060 -r 10.1.0.1 -g";
    story("SCTP: INIT opens an association", rules, steps)
}
