//! Rows about services: persistence, marks, one-packet scheduling, servers that are quiescent or gone, defences.

use super::sources::too_big;
use super::{VIP, after, client, step, story};
use crate::golden::{Expected, Step, Story};
use crate::lab;
use crate::packet::{ACK, SYN, at, tcp, udp};
use rlvs_core::path::DropReason;

/// A client's SYN from a port of its own, and the server it goes to.
fn opens(label: &str, client_addr: &str, to: &str, n: u8) -> Step {
    let packet = tcp(at(client_addr), at(to), SYN);
    client(label, &packet, Expected::To(n))
}

pub fn persistence() -> Story {
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

pub fn marks() -> Story {
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
        after(
            "sysctl cache_bypass=1",
            client(
                "with cache_bypass others get it themselves",
                &tcp(at("172.16.0.9:3"), at("10.0.0.77:80"), SYN),
                Expected::Pass,
            ),
        ),
        client(
            "the director's own still answers",
            &tcp(at("172.16.0.9:4"), at(VIP), SYN),
            Expected::Error(3, 3),
        ),
    ];
    let rules = "mark 7 6 80\nmark 7 6 443\nmark 7 17 53\n-A -f 7 -s rr -p 100\n-a -f 7 -r 10.1.0.1 -g
        -a -f 7 -r 10.1.0.2 -g\n-a -f 7 -r 10.1.0.3 -g";
    story("a firewall mark joins ports, protocols and addresses", rules, steps)
}

pub fn alone() -> Story {
    let datagram = |n| udp(at(&format!("172.16.0.1:{n}")), at("10.0.0.100:53"));
    let steps = vec![
        client("first", &datagram(777), Expected::To(2)),
        client("the same flow goes on to the next server", &datagram(777), Expected::To(1)),
        client("and round", &datagram(777), Expected::To(2)),
    ];
    let rules = "-A -u 10.0.0.100:53 -s rr -o\n-a -u 10.0.0.100:53 -r 10.1.0.1 -g\n-a -u 10.0.0.100:53 -r 10.1.0.2 -g";
    story("one-packet scheduling: every datagram by itself, no connection", rules, steps)
}

pub fn quiescence() -> Story {
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

pub fn deleted() -> Story {
    let old = |n| tcp(at(&format!("172.16.0.1:{n}")), at(VIP), ACK);
    let answer = tcp(at(VIP), at("172.16.0.1:1"), ACK).bytes();
    let error = lab::from_client(&too_big("10.0.0.1", "10.0.0.100", 64, &answer));
    let steps = vec![
        opens("a connection", "172.16.0.1:1", VIP, 2),
        after(
            "-d -t 10.0.0.100:80 -r 10.1.0.2:80",
            client("its server is gone", &old(1), Expected::Drop(DropReason::ServerGone)),
        ),
        step("an error about it reaches it all the same", error, Expected::To(2)),
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

pub fn defences() -> Story {
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
