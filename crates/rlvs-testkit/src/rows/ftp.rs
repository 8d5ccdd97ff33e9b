//! Rows about FTP behind NAT: what is said on a control connection, and the data connections that follow.

use super::{client, server, story};
use crate::golden::{Expected, Step, Story};
use crate::lab;
use crate::packet::{ACK, Builder, Check, PSH, SYN, at, tcp};

const VIP: &str = "10.0.0.100:21";
/// Servers need not use port 21.
const SERVER: &str = "10.1.0.1:2121";
const CLIENT: &str = "172.16.0.9:1111";

/// A frame as it is to come out: like this packet, one hop further.
fn to_client(packet: &Builder) -> Expected {
    let packet = packet.clone().with(|b| b.ttl -= 1).bytes();
    Expected::Frame([&lab::ROUTER_MAC[..], &lab::C0_MAC[..], &[8, 0], &packet].concat())
}

fn to_server(packet: &Builder) -> Expected {
    let packet = packet.clone().with(|b| b.ttl -= 1).bytes();
    Expected::Frame([&lab::server_mac(1)[..], &lab::S0_MAC[..], &[8, 0], &packet].concat())
}

fn line(from: &str, to: &str, text: &str) -> Builder {
    tcp(at(from), at(to), PSH | ACK).data(text.as_bytes())
}

/// The server says a line; the client gets another one.
fn answers(text: &str, seen: &str) -> Step {
    server(1, text.trim(), &line(SERVER, CLIENT, text), to_client(&line(VIP, CLIENT, seen)))
}

/// The client says a line.
fn asks(text: &str) -> Step {
    client(text.trim(), &line(CLIENT, VIP, text), to_server(&line(CLIENT, SERVER, text)))
}

/// A SYN of a client, to a port of the server or to nobody.
fn calls(label: &str, from: &str, port: u16, reached: bool) -> Step {
    let syn = |addr: &str| tcp(at(from), at(&format!("{addr}:{port}")), SYN);
    let expected = if reached { to_server(&syn("10.1.0.1")) } else { Expected::Pass };
    client(label, &syn("10.0.0.100"), expected)
}

/// A SYN of server `n`, which the client sees from the virtual address's port 20, or not at all.
fn calls_back(label: &str, n: u8, from: u16, to: &str, reached: bool) -> Step {
    let syn = tcp(at(&format!("10.1.0.{n}:{from}")), at(to), SYN);
    let expected = if reached { to_client(&tcp(at("10.0.0.100:20"), at(to), SYN)) } else { Expected::Pass };
    server(n, label, &syn, expected)
}

/// The control connection.
fn begun() -> Vec<Step> {
    vec![
        client("the control connection", &tcp(at(CLIENT), at(VIP), SYN), Expected::To(1)),
        server(1, "accepted", &tcp(at(SERVER), at(CLIENT), SYN | ACK), Expected::ToClient),
        client("acknowledged", &tcp(at(CLIENT), at(VIP), ACK), Expected::To(1)),
        answers("220 ready\r\n", "220 ready\r\n"),
        asks("USER anonymous\r\n"),
    ]
}

const RULES: &str = "-A -t 10.0.0.100:21 -s rr\n-a -t 10.0.0.100:21 -r 10.1.0.1:2121 -m\n\
                     -A -t 10.0.0.100:80 -s rr\n-a -t 10.0.0.100:80 -r 10.1.0.2:80 -m";

pub fn passive() -> Story {
    let mut steps = begun();
    steps.extend([
        calls("nothing is expected", "172.16.0.9:3000", 51213, false),
        asks("PASV\r\n"),
        answers(
            "227 Entering Passive Mode (10,1,0,1,200,13).\r\n",
            "227 Entering Passive Mod(10,0,0,100,200,13).\r\n",
        ),
        calls("another client has no business there", "172.16.0.8:3000", 51213, false),
        calls("nor this one at the next port", "172.16.0.9:3000", 51214, false),
        calls("the data connection", "172.16.0.9:3000", 51213, true),
        server(
            1,
            "accepted",
            &tcp(at("10.1.0.1:51213"), at("172.16.0.9:3000"), SYN | ACK),
            to_client(&tcp(at("10.0.0.100:51213"), at("172.16.0.9:3000"), SYN | ACK)),
        ),
        client(
            "data",
            &line("172.16.0.9:3000", "10.0.0.100:51213", "227 (1,2,3,4,5,6)\r\n"),
            to_server(&line("172.16.0.9:3000", "10.1.0.1:51213", "227 (1,2,3,4,5,6)\r\n")),
        ),
        calls("it was for one connection", "172.16.0.9:3001", 51213, false),
        answers("227 ok (10,1,0,1,200,14)\r\n", "227 o(10,0,0,100,200,14)\r\n"),
        answers("227 ok (10,1,0,1,200,14)\r\n", "227 o(10,0,0,100,200,14)\r\n"),
        calls("the line was sent again", "172.16.0.9:3001", 51214, true),
        calls("and is good for one connection", "172.16.0.9:3002", 51214, false),
        answers("227 (10,1,0,1,200,15)\r\n", "227 (10,1,0,1,200,15)\r\n"),
        calls("no room for the address", "172.16.0.9:3003", 51215, true),
        answers(
            "229 Entering Extended Passive Mode (|||51216|)\r\n",
            "229 Entering Extended Passive Mode (|||51216|)\r\n",
        ),
        calls("extended", "172.16.0.9:3004", 51216, true),
        answers("227 Entering Passive Mode 10,1,0,1,0,79\r\n", "227 Entering Passive Mod10,0,0,100,0,79\r\n"),
        calls("not one of the system's own ports", "172.16.0.9:3005", 79, false),
        answers(
            "200 ok\r\n227 Entering Passive Mode (255,255,255,255,200,17).\r\n",
            "200 ok\r\n227 Entering Passive Mode      (10,0,0,100,200,17).\r\n",
        ),
        calls("behind another line", "172.16.0.9:3006", 51217, true),
    ]);
    let odd = line(SERVER, CLIENT, "227 Entering Passive Mode (10,1,0,1,200,18).\r\n");
    steps.push(server(
        1,
        "a wrong checksum stays wrong",
        &odd.clone().with(|b| b.check = Check::Wrong),
        Expected::ForwardedWrong,
    ));
    steps.push(server(
        1,
        "behind options",
        &odd.clone().with(|b| b.tcp_options = vec![1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2]),
        Expected::Forwarded,
    ));
    steps.push(calls("another segment of it", "172.16.0.9:3007", 51218, true));
    steps.push(asks("227 Entering Passive Mode (10,1,0,1,200,19).\r\n"));
    steps.push(calls("a client cannot say so", "172.16.0.9:3008", 51219, false));
    // Port 80 is no control connection.
    let to_80 = |flags| tcp(at("172.16.0.9:1112"), at("10.0.0.100:80"), flags);
    steps.push(client("another service", &to_80(SYN), Expected::To(2)));
    let said = "227 Entering Passive Mode (10,1,0,2,200,20).\r\n";
    let other = line("10.1.0.2:80", "172.16.0.9:1112", said);
    steps.push(server(
        2,
        "is not listened to",
        &other,
        to_client(&line("10.0.0.100:80", "172.16.0.9:1112", said)),
    ));
    steps.push(calls("nobody is expected there", "172.16.0.9:3009", 51220, false));
    story("FTP behind NAT: passive", RULES, steps)
}

pub fn active() -> Story {
    let mut steps = begun();
    steps.extend([
        calls_back("nothing is expected", 1, 20, "172.16.0.9:40001", false),
        asks("PORT 172,16,0,9,156,65\r\n"),
        calls_back("the server calls", 1, 20, "172.16.0.9:40001", true),
        client(
            "and is answered",
            &tcp(at("172.16.0.9:40001"), at("10.0.0.100:20"), SYN | ACK),
            to_server(&tcp(at("172.16.0.9:40001"), at("10.1.0.1:20"), SYN | ACK)),
        ),
        server(
            1,
            "data",
            &line("10.1.0.1:20", "172.16.0.9:40001", "PORT 1,2,3,4,5,6\r\n"),
            to_client(&line("10.0.0.100:20", "172.16.0.9:40001", "PORT 1,2,3,4,5,6\r\n")),
        ),
        calls_back("it was for one connection", 1, 20, "172.16.0.9:40002", false),
        asks("PORT 172,16,0,9,156,65\r\n"),
        calls_back("another server has no business there", 2, 20, "172.16.0.9:40001", false),
        calls_back("the same port of the client, another of the server", 1, 55555, "172.16.0.9:40001", true),
        asks("EPRT |1|172.16.0.9|40003|\r\n"),
        calls_back("extended", 1, 20, "172.16.0.9:40003", true),
        answers("PORT 172,16,0,9,156,70\r\n", "PORT 172,16,0,9,156,70\r\n"),
        calls_back("a server cannot say so", 1, 20, "172.16.0.9:40006", false),
        asks("PORT 172,16,0,8,156,65\r\n"),
        calls_back("at the client's own address only", 1, 20, "172.16.0.8:40001", false),
    ]);
    story("FTP behind NAT: active", RULES, steps)
}

/// Without NAT the real server tells its own address, which is the virtual one.
pub fn direct() -> Story {
    let said = "227 Entering Passive Mode (10,1,0,1,200,13).\r\n";
    let server_says = line("10.0.0.100:21", CLIENT, said);
    let steps = vec![
        client("the control connection", &tcp(at(CLIENT), at(VIP), SYN), Expected::To(1)),
        server(1, "an answer that passes by", &server_says, Expected::Pass),
        client("PORT", &line(CLIENT, VIP, "PORT 172,16,0,9,156,65\r\n"), Expected::To(1)),
        calls("nothing is expected", "172.16.0.9:3000", 51213, false),
        calls_back("of nobody", 1, 20, "172.16.0.9:40001", false),
    ];
    let rules = "-A -t 10.0.0.100:21 -s rr\n-a -t 10.0.0.100:21 -r 10.1.0.1:21 -g";
    story("FTP without NAT is not listened to", rules, steps)
}
