//! TUN (tunneling): the whole packet travels inside another one; real servers may be anywhere.
//!
//! ```text
//!            client → director                       director → real server
//! request    CIP:cport → VIP:vport                   DIP → RIP | CIP:cport → VIP:vport
//! reply      real server → client: VIP:vport → CIP:cport
//! ```
//!
//! The real server takes the outer header off and has the VIP on `lo` (`rlvs realserver up --vip VIP --tunnel ipip`).

pub mod ipip;

use super::{Edit, Kind};
use crate::maps::sysctl::Setting;
use crate::maps::{DestConfig, Settings};
use crate::path::Tables;
use crate::wire::{Addr, Be32, Packet, ipv4};

/// The header to put in front.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Encap {
    /// Its `total_len` is that of the packet that comes out.
    pub outer: ipv4::Header,
}

impl Encap {
    /// For edits of another kind.
    pub const NONE: Encap = Encap {
        outer: ipv4::Header {
            tos: 0,
            total_len: 0,
            id: 0,
            dont_fragment: false,
            ttl: 0,
            proto: 0,
            src: Be32(0),
            dst: Be32(0),
        },
    };

    #[inline(always)]
    pub fn overhead(&self) -> u32 {
        ipv4::MIN_LEN as u32
    }
}

#[inline(always)]
pub fn plan<A: Addr, T: Tables<A>>(
    packet: &Packet<A>,
    dest: &DestConfig,
    settings: &Settings,
    tables: &T,
    edit: &mut Edit<A>,
) {
    let dont_fragment = packet.dont_fragment && settings.sysctl(Setting::PmtuDisc) != 0;
    let id = if dont_fragment { 0 } else { tables.random() as u16 };
    let outer = ipip::outer(packet, dest.tunnel_src[0], Be32(dest.addr[0].0), dont_fragment, id);
    edit.kind = Kind::Tunnel;
    edit.encap = Encap { outer };
}
