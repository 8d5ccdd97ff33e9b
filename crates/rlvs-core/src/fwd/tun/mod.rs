//! TUN (tunneling): the whole packet travels inside another one; real servers may be anywhere, and of another address
//! family than the service.
//!
//! ```text
//!            client → director                       director → real server
//! request    CIP:cport → VIP:vport                   DIP → RIP | GRE or UDP, GUE | CIP:cport → VIP:vport
//! reply      real server → client: VIP:vport → CIP:cport
//! ```
//!
//! The real server takes the outer headers off and has the VIP on `lo` (`rlvs realserver up --vip VIP --tunnel ipip`).
//!
//! A plan holds only what the packet decides; the rest of the headers stands in the destination's record, where the hands
//! look when they write them ([`outer`], [`shim`]).

pub mod gre;
pub mod gue;
pub mod ipip;
pub mod outer;

use super::{Edit, Kind};
use crate::maps::sysctl::Setting;
use crate::maps::{DestConfig, Settings};
use crate::path::Tables;
use crate::wire::checksum::pseudo;
use crate::wire::{Addr, Be32, Packet, ip_proto, ipv4, ipv6};

/// Numbers of `DestConfig::tunnel_kind`; those of IPVS (`ip_vs.h`, `IP_VS_CONN_F_TUNNEL_TYPE_*`).
pub mod kind {
    pub const IPIP: u8 = 0;
    pub const GUE: u8 = 1;
    pub const GRE: u8 = 2;
}

/// The headers to put in front.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Encap {
    /// The destination whose record says where to, and in what.
    pub dest: u32,
    /// Bytes of all of them.
    pub overhead: u32,
    /// For the pieces, if it is cut up: half of it goes into an outer IPv4 header, all of it into a fragment header of IPv6.
    pub id: u32,
    pub dont_fragment: bool,
    /// A checksum over everything inside is asked for.
    pub summed: bool,
}

impl Encap {
    /// For edits of another kind.
    pub const NONE: Encap = Encap { dest: 0, overhead: 0, id: 0, dont_fragment: false, summed: false };
}

#[inline(always)]
pub fn plan<A: Addr, T: Tables<A>>(
    packet: &Packet<A>,
    id: u32,
    dest: &DestConfig,
    settings: &Settings,
    tables: &T,
    edit: &mut Edit<A>,
) {
    let discovers = settings.sysctl(Setting::PmtuDisc) != 0;
    // Without checksum what the kernel cuts up later (GSO): it would not sum the pieces.
    let summed = dest.tunnel_checksum != 0 && dest.tunnel_kind != kind::IPIP && packet.segment_len != 0;
    let ip_len = if dest.family == 6 { ipv6::LEN } else { ipv4::MIN_LEN };
    let overhead = (ip_len + 4 * shim_words(dest, summed)) as u32;
    // Only IPv4 asks its carriers not to cut it up; IPv6 in IPv6 never is.
    let dont_fragment = if A::WORDS == 1 { packet.dont_fragment && discovers } else { dest.family == 6 };
    let number = if dont_fragment { 0 } else { tables.random() };
    edit.kind = Kind::Tunnel;
    edit.encap = Encap { dest: id, overhead, id: number, dont_fragment, summed };
}

/// Words between the outer IP header and the packet.
#[inline(always)]
pub fn shim_words(dest: &DestConfig, summed: bool) -> usize {
    match dest.tunnel_kind {
        kind::GUE => gue::WORDS,
        kind::GRE => gre::words(summed),
        _ => 0,
    }
}

/// Of an outer IPv6 header: the packet is to be cut up, and needs a fragment header for that.
#[inline(always)]
pub fn is_cut6<A: Addr>(packet: &Packet<A>, encap: &Encap, dest: &DestConfig, mtu: u32) -> bool {
    A::WORDS == 1 && dest.family == 6 && packet.segment_len as u32 + encap.overhead > mtu
}

/// What stands between the outer IP header and the packet; so many words of it as [`shim_words`] says. `sum` is the ones'
/// complement sum over the packet as it will be inside, if that is asked for.
#[inline(always)]
pub fn shim<A: Addr>(packet: &Packet<A>, encap: &Encap, dest: &DestConfig, sum: u32) -> [Be32; 3] {
    match dest.tunnel_kind {
        kind::GUE => {
            let outer = if !encap.summed {
                0
            } else if dest.family == 6 {
                pseudo(dest.tunnel_src, dest.addr, ip_proto::UDP, 0)
            } else {
                pseudo(dest.tunnel_src[0], dest.addr[0], ip_proto::UDP, 0)
            };
            gue::header(packet, dest.tunnel_port, encap.summed, outer, sum)
        }
        kind::GRE => {
            let [first, second] = gre::header::<A>(encap.summed, sum);
            [first, second, Be32(0)]
        }
        _ => [Be32(0); 3],
    }
}
