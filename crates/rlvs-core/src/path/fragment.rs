//! Fragments. Linux's IPVS has datagrams put together before it looks at them; here each fragment goes its way as it
//! comes, and all of a datagram go to the same server.
//!
//! Only the first fragment has ports. What became of it is noted under what all have in common, and the others follow it,
//! as long as a datagram may take to arrive. One that comes before the first is set aside by the hands until that comes.

use super::{DropReason, Located, Tables};
use crate::maps::{Datagram, FragmentKey, filter_bit};
use crate::wire::{Addr, Packet, Part, Skip};

/// How long a datagram may take to arrive (Linux's `ipfrag_time`).
pub const ARRIVAL_SECS: u32 = 30;

/// What becomes of a fragment that was read: [`Located::New`] to go on as with any packet, [`Located::Up`] if it has to be
/// set aside until its first fragment has come; else what became of that.
#[inline(always)]
pub fn sort<A: Addr, T: Tables<A>>(
    read: Result<(), Skip>,
    packet: &mut Packet<A>,
    tables: &T,
    now: u32,
) -> Located {
    if !concerns_us(packet, tables) {
        return Located::Pass;
    }
    match read {
        Ok(()) if packet.part != Part::Later => Located::New,
        Ok(()) => match tables.datagram(&FragmentKey::of(packet)) {
            Some(known) if now.wrapping_sub(known.at) <= tables.hz().wrapping_mul(ARRIVAL_SECS) => {
                (packet.sport, packet.dport) = (known.sport, known.dport);
                Located::from_code(known.located)
            }
            _ => Located::Up,
        },
        // Too small to hold what it has to (RFC 1858, RFC 3128).
        Err(Skip::Malformed | Skip::Covered) => Located::Drop(DropReason::BadFragment),
        Err(_) => Located::Pass,
    }
}

/// Is the packet for a virtual address, or from a masqueraded server?
#[inline(always)]
fn concerns_us<A: Addr, T: Tables<A>>(packet: &Packet<A>, tables: &T) -> bool {
    let (Some(settings), Some(filter)) = (tables.settings(), tables.filter()) else {
        return false;
    };
    let (to, to_bit) = filter_bit(packet.dst.fold());
    let (from, from_bit) = filter_bit(packet.src.fold());
    settings.services[(A::WORDS > 1) as usize] != 0
        && (filter.virtual_addrs[to & 2047] & to_bit != 0 || filter.real_addrs[from & 2047] & from_bit != 0)
}

/// What became of a first fragment, for the others.
#[inline(always)]
pub fn note<A: Addr>(packet: &Packet<A>, located: Located, now: u32) -> Datagram {
    let located = match located {
        Located::Request(_) | Located::Reply(_) => Located::New,
        // Its sender has got the answer.
        Located::NoServer { .. } => Located::Drop(DropReason::NoServer),
        other => other,
    };
    Datagram { sport: packet.sport, dport: packet.dport, at: now, located: located.code() }
}
