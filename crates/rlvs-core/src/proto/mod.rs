//! States of connections: what each packet does to them and how long they live then.
//!
//! The tables are those of kernel IPVS (Linux 6.1), observed from outside and from its documentation; a state's
//! timeout is found in `Settings::timeouts` at the protocol's base plus the state.

pub mod ftp;
pub mod sctp;
pub mod sip;
pub mod tcp;
pub mod udp;

use crate::wire::{Packet, ip_proto};

/// Which way a packet goes, and what the state machine sees of the connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum View {
    /// From the client, both directions pass by (NAT).
    Input,
    /// From the real server.
    Output,
    /// From the client, replies take another way (DR, TUN).
    InputOnly,
}

/// Index of the timeout of `state` in `Settings::timeouts`.
#[inline(always)]
pub const fn timeout_index(proto: u8, state: u8) -> usize {
    let base = match proto {
        ip_proto::TCP => 0,
        ip_proto::UDP => 16,
        _ => 32,
    };
    base + (state & 15) as usize
}

/// The state after a packet. `event` is TCP's flags, or SCTP's chunk (see [`event`]).
#[inline(always)]
pub fn next_state(proto: u8, event: u8, view: View, state: u8, secure: bool) -> u8 {
    match proto {
        ip_proto::TCP => tcp::next(event, view, state, secure),
        ip_proto::SCTP => sctp::next(event, view, state),
        _ => udp::NORMAL,
    }
}

/// What a packet means to the state machine of its protocol.
#[inline(always)]
pub fn event<A>(packet: &Packet<A>) -> u8 {
    if packet.proto == ip_proto::SCTP { packet.chunk } else { packet.tcp_flags }
}

/// Does a connection in this state count as active?
#[inline(always)]
pub const fn is_active(proto: u8, state: u8) -> bool {
    match proto {
        ip_proto::TCP => tcp::is_active(state),
        ip_proto::SCTP => sctp::is_active(state),
        _ => false,
    }
}

/// The timeouts in seconds that an instance starts with, at the indices of [`timeout_index`].
pub const DEFAULT_TIMEOUT_SECS: [u32; 64] = {
    let mut t = [2; 64];
    let mut i = 0;
    while i < tcp::TIMEOUT_SECS.len() {
        t[i] = tcp::TIMEOUT_SECS[i];
        i += 1;
    }
    t[16 + udp::NORMAL as usize] = udp::TIMEOUT_SECS;
    let mut i = 0;
    while i < sctp::TIMEOUT_SECS.len() {
        t[32 + i] = sctp::TIMEOUT_SECS[i];
        i += 1;
    }
    t
};

/// The name of a state in listings; a template is `NONE` or `ASSURED`.
pub fn state_name(proto: u8, state: u8, is_template: bool) -> &'static str {
    let names: &[&str] = match proto {
        _ if is_template => &["NONE", "ASSURED"],
        ip_proto::TCP => &tcp::NAMES,
        ip_proto::UDP => &["NONE", "UDP"],
        ip_proto::SCTP => &sctp::NAMES,
        _ => &["NONE"],
    };
    names.get(state as usize).copied().unwrap_or("ERR!")
}
