//! The story of a packet on a real server, and the program that tells it.

use super::counter::{COUNTERS as KINDS, Counter};
use super::ip::Ip;
use super::packet::Packet;
use super::pieces::{self, Joined};
use super::{ecn, gre, gue, ipip, opened};
use aya_ebpf::bindings::{BPF_F_NO_PREALLOC, TC_ACT_SHOT, TC_ACT_UNSPEC};
use aya_ebpf::btf_maps::{HashMap, PerCpuArray};
use aya_ebpf::macros::{btf_map, classifier};
use aya_ebpf::programs::TcContext;

/// The addresses (IPv4 as ::ffff:0:0/96, in network order) whose tunnelled packets are ours, and by which tunnel, see
/// [`opened`]. Written by user space only.
#[btf_map]
static OPENED: HashMap<[u8; 16], u32, 4096, { BPF_F_NO_PREALLOC as usize }> = HashMap::new();

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
    /// It waits for the rest of its packet.
    Waits,
    /// On it goes, without its outer header; so many bytes.
    Decapsulated(u32),
}

#[classifier]
pub fn rlvs_realserver(ctx: TcContext) -> i32 {
    match decapsulate(&mut Packet::new(&ctx)) {
        Fate::Pass => {}
        Fate::Leave(why) => count(why, 1),
        Fate::Drop(why) => {
            count(why, 1);
            return TC_ACT_SHOT;
        }
        // (tcx has no word for a packet that is kept.)
        Fate::Waits => return TC_ACT_SHOT,
        Fate::Decapsulated(bytes) => {
            count(Counter::Decapsulated, 1);
            count(Counter::DecapsulatedBytes, u64::from(bytes));
        }
    }
    // To the next program, if any, then to the stack.
    TC_ACT_UNSPEC
}

#[inline(always)]
fn decapsulate(packet: &mut Packet) -> Fate {
    if !packet.is_ipv4() && !packet.is_ipv6() {
        return Fate::Pass;
    }
    let Some(mut outer) = packet.ip_at(0, packet.is_ipv6()) else { return Fate::Pass };
    if outer.is_later_piece() {
        if !packet.is_to_us() {
            return Fate::Pass;
        }
        match pieces::join(packet, &mut outer) {
            Joined::Unknown => return Fate::Pass,
            Joined::Waits => return Fate::Waits,
            Joined::Refused => return Fate::Drop(Counter::DroppedFragment),
            Joined::NoMemory => return Fate::Drop(Counter::DroppedNoMemory),
            // Its first piece was found to be for us to open.
            Joined::Whole => count(Counter::Reassembled, 1),
        }
    }
    let Some(Inside { at, is_ipv6, tunnel }) = inside(packet, &outer) else { return Fate::Pass };
    let Some(inner) = packet.ip_at(at, is_ipv6) else { return Fate::Pass };
    // SAFETY: a copy is made at once.
    if unsafe { OPENED.get(&inner.destination) }.copied() != Some(tunnel) {
        return Fate::Pass;
    }

    // It carries a packet for a VIP. Is it for us to open, and whole?
    if !packet.is_for_this_host(&outer) {
        return Fate::Leave(Counter::LeftOtherHost);
    }
    if !outer.is_whole() {
        if !packet.is_intact(&outer) {
            return Fate::Leave(Counter::LeftMalformed);
        }
        let kept = pieces::keep(packet, &outer);
        if kept.ended_another {
            count(Counter::DroppedFragment, 1);
        }
        return if kept.waits { Fate::Waits } else { Fate::Leave(Counter::LeftFragment) };
    }
    let huge = packet.gso_size != 0 && (outer.is_huge || inner.is_huge);
    let (outer_len, inner_len) = (outer.total_len, inner.total_len);
    if !packet.is_intact(&outer) || !huge && (outer_len > packet.len || outer_len < at + inner.header_len) {
        return Fate::Leave(Counter::LeftMalformed);
    }
    if !huge && (inner_len < inner.header_len || at + inner_len > outer_len) {
        return Fate::Drop(Counter::DroppedMalformed);
    }

    let mark = ecn::decapsulate(outer.ecn(), inner.ecn());
    if mark == ecn::Mark::Drop {
        return Fate::Drop(Counter::DroppedCongestion);
    }
    if packet.remove_outer(&outer, at, is_ipv6).is_none() {
        return Fate::Drop(Counter::DroppedNoMemory);
    }
    if mark == ecn::Mark::SetCe {
        packet.set_ce();
    }
    Fate::Decapsulated(if huge { packet.len - at } else { inner_len })
}

/// What a tunnel packet carries.
struct Inside {
    /// Where its header begins, counted from the outer one.
    at: u32,
    is_ipv6: bool,
    /// By which tunnel it came, see [`opened`].
    tunnel: u32,
}

#[inline(always)]
fn inside(packet: &Packet, outer: &Ip) -> Option<Inside> {
    let behind = outer.header_len;
    if let Some(is_ipv6) = ipip::has_ipv6(outer.protocol) {
        return Some(Inside { at: behind, is_ipv6, tunnel: opened::IPIP });
    }
    match outer.protocol {
        gre::PROTOCOL => {
            let (len, is_ipv6) = gre::read(packet.read(behind)?)?;
            Some(Inside { at: behind + len, is_ipv6, tunnel: opened::GRE })
        }
        gue::PROTOCOL => {
            let gue::Gue { len, port, has_ipv6 } = gue::read(packet.read(behind)?)?;
            Some(Inside { at: behind + len, is_ipv6: has_ipv6, tunnel: opened::gue(port) })
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
