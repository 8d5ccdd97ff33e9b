//! The next hop, cached where the packet's state already is.
//!
//! Asking the kernel for a route and a neighbour costs some 200 ns, so the answer is kept a quarter of a second: for
//! requests in the destination's state, for replies in the connection. A cached address would also let the kernel's
//! neighbour entry grow stale, because nothing passes through it; so once a second one packet takes the kernel's own
//! way (TC: `bpf_redirect_neigh`), which has the neighbour probed, and a server that changed its MAC is found again.

use super::{Layer, Tables};
use crate::conn::Entry;
use crate::conn::entry::ReplyHop;
use crate::fwd::Method;
use crate::maps::DestConfig;
use crate::maps::dest_state::*;
use crate::mem::Mem;
use crate::wire::{Addr, Be32};

/// Where a packet leaves the machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hop<A> {
    /// Bits of [`hop_flag`].
    pub flags: u32,
    pub ifindex: u32,
    /// Destination and source MAC as they stand in a frame: 12 bytes in three words.
    pub macs: [u32; 3],
    /// Bytes of the largest IP packet.
    pub mtu: u32,
    /// The neighbour: a router, or the receiver itself.
    pub via: A,
}

/// How long a router is believed (Linux's `mtu_expires`).
pub const MTU_EXPIRES_SECS: u32 = 600;

pub mod hop_flag {
    /// A way exists.
    pub const ROUTED: u32 = 1 << 0;
    /// Both MACs are known.
    pub const RESOLVED: u32 = 1 << 1;
    /// XDP may redirect into the interface.
    pub const XDP_TARGET: u32 = 1 << 2;
    /// The address is the machine's own.
    pub const LOCAL: u32 = 1 << 3;
    /// The packet shall pass through the kernel's neighbour table.
    pub const PROBE: u32 = 1 << 4;
    /// The neighbour is of the other address family (tunnels): [`via`](super::Hop::via) says nothing.
    pub const ACROSS: u32 = 1 << 5;
}

impl<A: Addr> Hop<A> {
    pub fn unroutable() -> Hop<A> {
        Hop { flags: 0, ifindex: 0, macs: [0; 3], mtu: 0, via: A::from_words(|_| Be32(0)) }
    }
    /// To this machine itself: out of its loopback device, in which frames have no addresses.
    #[inline(always)]
    pub fn become_loopback(&mut self) {
        const LOOPBACK: u32 = 1; // always, in every network namespace
        self.flags = hop_flag::LOCAL | hop_flag::ROUTED | hop_flag::RESOLVED;
        (self.ifindex, self.macs, self.mtu) = (LOOPBACK, [0; 3], u16::MAX as u32);
    }
    #[inline(always)]
    pub fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }
}

/// The way to a destination.
#[inline(always)]
pub fn next_hop<A: Addr, T: Tables<A>>(
    dest: &DestConfig,
    state: T::Mem,
    tables: &T,
    now: u32,
    hop: &mut Hop<A>,
) {
    let flags = state.load(HOP_FLAGS);
    let fresh = now.wrapping_sub(state.load(HOP_AT)) < tables.hz() / 4;
    if !fresh || flags & hop_flag::RESOLVED == 0 {
        return refresh(dest, state, tables, now, hop);
    }
    *hop = Hop {
        flags: probe_due(flags, state, tables, now),
        ifindex: state.load(HOP_IFINDEX),
        macs: [state.load(HOP_MACS), state.load(HOP_MACS + 1), state.load(HOP_MACS + 2)],
        mtu: state.load(HOP_MTU),
        via: A::from_words(|i| Be32(state.load(HOP_VIA + i))),
    };
}

#[inline(always)]
fn refresh<A: Addr, T: Tables<A>>(dest: &DestConfig, state: T::Mem, tables: &T, now: u32, hop: &mut Hop<A>) {
    let across = dest.is_across::<A>();
    if across {
        tables.route_across(dest, hop);
    } else {
        tables.route(dest.addr_as(), hop);
    }
    if hop.has(hop_flag::LOCAL) && dest.is_remote() {
        hop.flags = 0; // that is: no route
    }
    if !hop.has(hop_flag::ROUTED) && !hop.has(hop_flag::LOCAL) {
        tables.hinted_route(dest, hop);
    }
    if across {
        hop.flags |= hop_flag::ACROSS;
    }
    if dest.method == Method::Tunnel as u8 {
        let told = tables.path_mtu(dest, now);
        if told != 0 && told < hop.mtu {
            hop.mtu = told;
        }
    }
    let probed_at = state.load(HOP_FLAGS) & !0xff;
    state.store(HOP_IFINDEX, hop.ifindex);
    state.store(HOP_MACS, hop.macs[0]);
    state.store(HOP_MACS + 1, hop.macs[1]);
    state.store(HOP_MACS + 2, hop.macs[2]);
    state.store(HOP_MTU, hop.mtu);
    let mut i = 0;
    while i < A::WORDS {
        state.store(HOP_VIA + i, hop.via.word(i).0);
        i += 1;
    }
    state.store(HOP_FLAGS, hop.flags & 0xff | probed_at);
    state.store(HOP_AT, now);
    hop.flags = probe_due(hop.flags & 0xff | probed_at, state, tables, now);
}

/// Once a second a packet probes. The upper 24 bits of the flags are the jiffies of the last one.
#[inline(always)]
fn probe_due<A: Addr, T: Tables<A>>(flags: u32, state: T::Mem, tables: &T, now: u32) -> u32 {
    let since = (now << 8).wrapping_sub(flags & !0xff) >> 8;
    if since < tables.hz() {
        return flags & 0xff;
    }
    if T::LAYER == Layer::Stack {
        state.store(HOP_FLAGS, flags & 0xff | now << 8);
    }
    flags & 0xff | hop_flag::PROBE
}

/// What the entry keeps of a reply's hop in its four flags; it has no room for the MTU itself.
const KEPT_XDP_TARGET: u8 = 1;
const KEPT_FULL_MTU: u8 = 2;
const KEPT_JUMBO_MTU: u8 = 4;
const FULL_MTU: u32 = 1500;
const JUMBO_MTU: u32 = 9000;

/// The way back to the client of a masqueraded connection, for a packet of this length on the link. The MTU is 9,000 or 1,500, or,
/// when that is not enough or it is smaller, asked anew.
#[inline(always)]
pub fn reply_hop<A: Addr, T: Tables<A>>(
    client: A,
    len: u16,
    conn: Entry<A, T::Set>,
    tables: &T,
    now: u32,
    hop: &mut Hop<A>,
) {
    let quarter = (now / (tables.hz() / 4).max(1)) as u8;
    let kept = conn.reply_hop();
    let mtu = if kept.flags & KEPT_JUMBO_MTU != 0 { JUMBO_MTU } else { FULL_MTU };
    if kept.ifindex != 0 && kept.at == quarter && kept.flags & KEPT_FULL_MTU != 0 && len as u32 <= mtu {
        let xdp = if kept.flags & KEPT_XDP_TARGET != 0 { hop_flag::XDP_TARGET } else { 0 };
        let flags = hop_flag::ROUTED | hop_flag::RESOLVED | xdp;
        *hop = Hop { flags, ifindex: kept.ifindex, macs: kept.macs, mtu, via: client };
        return;
    }
    tables.route(client, hop);
    if hop.has(hop_flag::RESOLVED) && hop.ifindex < 1 << 20 {
        let xdp = if hop.has(hop_flag::XDP_TARGET) { KEPT_XDP_TARGET } else { 0 };
        let full = if hop.mtu >= FULL_MTU { KEPT_FULL_MTU } else { 0 };
        let jumbo = if hop.mtu >= JUMBO_MTU { KEPT_JUMBO_MTU } else { 0 };
        conn.set_reply_hop(ReplyHop {
            at: quarter,
            flags: xdp | full | jumbo,
            ifindex: hop.ifindex,
            macs: hop.macs,
        });
    }
    // In TC each refresh probes; in XDP one in 64, because that packet has to go up.
    if T::LAYER == Layer::Stack || tables.random() & 63 == 0 {
        hop.flags |= hop_flag::PROBE;
    }
}
