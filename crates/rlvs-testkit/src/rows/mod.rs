//! Rows of our own: what the recordings do not have. The same rows run on the host brain and through the loaded
//! programs, which must agree with it byte for byte.

mod fragments;
mod ftp;
mod packets;
mod sctp;
mod secured;
mod services;
mod sources;

use crate::golden::{Expected, Step, Story};
use crate::lab;
use crate::order::Order;
use crate::packet::{Builder, at, tcp};

const VIP: &str = "10.0.0.100:80";
const CLIENT: &str = "172.16.0.9:1111";

pub fn stories() -> Vec<Story> {
    vec![
        packets::nobodys(),
        packets::no_server(),
        packets::checksums(),
        packets::shapes(),
        packets::order_of_turns(),
        packets::rules_change(),
        packets::no_neighbour(),
        packets::own_address(),
        packets::link_padding(),
        fragments::through("-m"),
        fragments::through("-g"),
        fragments::through("-i"),
        secured::through("-m"),
        secured::through("-g"),
        secured::through("-i"),
        ftp::passive(),
        ftp::active(),
        ftp::direct(),
        services::persistence(),
        services::marks(),
        services::alone(),
        services::quiescence(),
        services::deleted(),
        services::defences(),
        sctp::states(),
        sctp::ports(),
        sctp::sources(),
        sources::tcp_both_ways(),
        sources::datagrams(),
        sources::proxy_protocol(),
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
