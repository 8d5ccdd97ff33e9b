//! The story of a packet on a real server, and the program that tells it.

use super::counter::{COUNTERS as KINDS, Counter};
use super::ipv4::Header;
use super::packet::Packet;
use super::{ecn, gre, gue, ipip, opened};
use aya_ebpf::bindings::{BPF_F_NO_PREALLOC, TC_ACT_SHOT, TC_ACT_UNSPEC};
use aya_ebpf::btf_maps::{HashMap, PerCpuArray};
use aya_ebpf::macros::{btf_map, classifier};
use aya_ebpf::programs::TcContext;

/// The addresses (in network order) whose tunnelled packets are ours, and by which tunnel, see [`opened`]. Written by user
/// space only.
#[btf_map]
static VIPS: HashMap<u32, u32, 4096, { BPF_F_NO_PREALLOC as usize }> = HashMap::new();

/// How many packets met which fate, per CPU; see [`Counter`]. Written by the program only.
#[btf_map]
static COUNTERS: PerCpuArray<u64, { KINDS as usize }> = PerCpuArray::new();

/// What becomes of the packet.
enum Fate {
    /// None of our business: on it goes, as it came.
    Pass,
    /// Our business, but the kernel shall deal with it: on it goes, as it came.
    Leave(Counter),
    Drop(Counter),
    /// On it goes, without its outer header; so many bytes.
    Decapsulated(u32),
}

#[classifier]
pub fn rlvs_realserver(ctx: TcContext) -> i32 {
    match decapsulate(&Packet::new(&ctx)) {
        Fate::Pass => {}
        Fate::Leave(why) => count(why, 1),
        Fate::Drop(why) => {
            count(why, 1);
            return TC_ACT_SHOT;
        }
        Fate::Decapsulated(bytes) => {
            count(Counter::Decapsulated, 1);
            count(Counter::DecapsulatedBytes, u64::from(bytes));
        }
    }
    // To the next program, if any, then to the stack.
    TC_ACT_UNSPEC
}

#[inline(always)]
fn decapsulate(packet: &Packet) -> Fate {
    if !packet.is_ipv4() {
        return Fate::Pass;
    }
    let Some(outer) = packet.ipv4_at(0) else { return Fate::Pass };
    if outer.is_later_fragment() {
        return Fate::Pass;
    }
    let Some((inner_at, tunnel)) = inner_at(packet, &outer) else { return Fate::Pass };
    let Some(inner) = packet.ipv4_at(inner_at) else { return Fate::Pass };
    // SAFETY: a copy is made at once.
    if unsafe { VIPS.get(inner.destination()) }.copied() != Some(tunnel) {
        return Fate::Pass;
    }

    // It carries a packet for a VIP. Is it for us to open, and whole?
    if !packet.is_for_this_host(&outer) {
        return Fate::Leave(Counter::LeftOtherHost);
    }
    if outer.is_fragment() {
        return Fate::Leave(Counter::LeftFragment);
    }
    // Lengths are 16 bits: a GSO packet too long for them has 0.
    let huge = packet.gso_size != 0 && (outer.total_len() == 0 || inner.total_len() == 0);
    let (outer_len, inner_len) = (outer.total_len(), inner.total_len());
    if !packet.is_intact(&outer)
        || !huge && (outer_len > packet.len || outer_len < inner_at + inner.header_len())
    {
        return Fate::Leave(Counter::LeftMalformed);
    }
    if !huge && (inner_len < inner.header_len() || inner_at + inner_len > outer_len) {
        return Fate::Drop(Counter::DroppedMalformed);
    }

    let mark = ecn::decapsulate(outer.ecn(), inner.ecn());
    if mark == ecn::Mark::Drop {
        return Fate::Drop(Counter::DroppedCongestion);
    }
    if packet.remove_outer(inner_at).is_none() {
        return Fate::Drop(Counter::DroppedNoMemory);
    }
    if mark == ecn::Mark::SetCe {
        packet.set_ce();
    }
    Fate::Decapsulated(if huge { packet.len - inner_at } else { inner_len })
}

/// Where the inner header begins, counted from the outer one, and by which tunnel the packet came.
#[inline(always)]
fn inner_at(packet: &Packet, outer: &Header) -> Option<(u32, u32)> {
    if let Some(at) = ipip::inner_at(outer) {
        return Some((at, opened::IPIP));
    }
    let behind = outer.header_len();
    match outer.protocol() {
        gre::PROTOCOL => Some((behind + gre::len(packet.read(behind)?)?, opened::GRE)),
        gue::PROTOCOL => {
            let (len, port) = gue::len(packet.read(behind)?)?;
            Some((behind + len, opened::gue(port)))
        }
        _ => None,
    }
}

#[inline(always)]
fn count(what: Counter, by: u64) {
    if let Some(counter) = COUNTERS.get_ptr_mut(what as u32) {
        // SAFETY: this CPU's own slot, which no other program run touches at the same time.
        unsafe { *counter += by };
    }
}
