//! The small network that the recordings of the kernel were made in.
//!
//! ```text
//! clients ─ router 10.0.0.1 ── C0  director  S0 ── 10.1.0.1, 10.1.0.2 … servers
//!                    10.0.0.254, VIP 10.0.0.100    10.1.0.254
//! ```

use crate::network::{Link, Mac};
use crate::world::{Sizes, World};
use std::net::Ipv4Addr;

/// Interface indices of the client side and the server side.
pub const C0: u32 = 3;
pub const S0: u32 = 4;
pub const C0_MAC: Mac = [2, 0, 0, 0, 0, 0xfe];
pub const S0_MAC: Mac = [2, 0, 0, 1, 0, 0xfe];
pub const ROUTER_MAC: Mac = [2, 0, 0, 0, 0, 1];
pub const VIP: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 100);
pub const ROUTER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
pub const DIRECTOR_C: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 254);
pub const DIRECTOR_S: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 254);
/// A client somewhere behind the router.
pub const CLIENT: Ipv4Addr = Ipv4Addr::new(172, 16, 0, 9);
pub const SERVERS: u8 = 8;

pub const fn server(n: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 1, 0, n)
}

pub const fn server_mac(n: u8) -> Mac {
    [2, 0, 0, 1, 0, n]
}

/// The lab without rules.
pub fn world(seed: u64) -> World {
    sized(Sizes::default(), seed)
}

pub fn sized(sizes: Sizes, seed: u64) -> World {
    let mut world = World::new(sizes, seed);
    let net = &mut world.network;
    net.add_link(Link { ifindex: C0, mac: C0_MAC, mtu: 1500, xdp_target: true });
    net.add_link(Link { ifindex: S0, mac: S0_MAC, mtu: 1500, xdp_target: true });
    for addr in [DIRECTOR_C, DIRECTOR_S, VIP] {
        net.add_local(addr);
    }
    net.add_route(Ipv4Addr::new(10, 0, 0, 0), 24, C0, None);
    net.add_route(Ipv4Addr::new(10, 1, 0, 0), 24, S0, None);
    net.add_route(Ipv4Addr::UNSPECIFIED, 0, C0, Some(ROUTER));
    net.set_neighbour(ROUTER, Some(ROUTER_MAC));
    for n in 1..=SERVERS {
        net.set_neighbour(server(n), Some(server_mac(n)));
    }
    world
}

/// A packet as it arrives from the client side.
pub fn from_client(packet: &[u8]) -> Vec<u8> {
    [&C0_MAC[..], &ROUTER_MAC[..], &[8, 0], packet].concat()
}

/// A packet as it arrives from server `n`.
pub fn from_server(n: u8, packet: &[u8]) -> Vec<u8> {
    [&S0_MAC[..], &server_mac(n)[..], &[8, 0], packet].concat()
}

/// Which server a frame goes to, by its MAC.
pub fn server_of(frame: &[u8]) -> Option<u8> {
    (frame[..5] == server_mac(0)[..5]).then_some(frame[5])
}
