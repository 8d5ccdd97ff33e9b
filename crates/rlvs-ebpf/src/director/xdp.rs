//! XDP: the common case, before the kernel has done anything with the frame.

use crate::family::{Family, Six};
use crate::frame::{At, Bytes};
use crate::ftp::arrived;
use crate::maps;
use crate::tables::{Kernel, Xdp, count_drop, jiffies};
use crate::trace;
use aya_ebpf::bindings::xdp_action::{XDP_DROP, XDP_PASS, XDP_TX};
use aya_ebpf::bindings::xdp_md;
use aya_ebpf::helpers::generated as helpers;
use aya_ebpf::macros::xdp;
use aya_ebpf::programs::XdpContext;
use rlvs_core::fwd::tun::{self, Encap, outer};
use rlvs_core::fwd::{self, Kind};
use rlvs_core::maps::DestConfig;
use rlvs_core::path::{Decision, DropReason, Layer, Located, Plan, Verdict, deliver};
use rlvs_core::wire::eth::{self, EtherType};
use rlvs_core::wire::{Be32, Frame, Packet, Skip, ip_proto, ipv4, ipv6, read, read6};

const IP: usize = eth::HEADER_LEN;

#[xdp(frags)]
pub fn rlvs_xdp(context: XdpContext) -> u32 {
    run::<true>(context.ctx)
}

#[xdp]
pub fn rlvs_xdp_skb(context: XdpContext) -> u32 {
    run::<true>(context.ctx)
}

/// The same two where there is no service of IPv6.
#[xdp(frags)]
pub fn rlvs_xdp4(context: XdpContext) -> u32 {
    run::<false>(context.ctx)
}

#[xdp]
pub fn rlvs_xdp4_skb(context: XdpContext) -> u32 {
    run::<false>(context.ctx)
}

#[inline(always)]
fn run<const SIX: bool>(context: *mut xdp_md) -> u32 {
    let mut packet = Packet::<Be32>::empty();
    match read(bounds(context).0, &mut packet) {
        Ok(()) => carry_out(context, &mut packet),
        Err(Skip::OtherLink) if SIX => match read_ipv6(context) {
            Some(packet) => carry_out(context, packet),
            None => XDP_PASS,
        },
        Err(_) => XDP_PASS,
    }
}

#[inline(always)]
fn read_ipv6(context: *mut xdp_md) -> Option<&'static mut Packet<Six>> {
    let scratch = maps::scratch()?;
    is_ipv6(context, &mut scratch.packet).then_some(&mut scratch.packet)
}

/// A function of its own: it shares no stack with what follows.
#[inline(never)]
fn is_ipv6(context: *mut xdp_md, packet: &mut Packet<Six>) -> bool {
    read6(bounds(context).0, packet).is_ok()
}

#[inline(always)]
fn carry_out<A: Family>(context: *mut xdp_md, packet: &mut Packet<A>) -> u32 {
    if !is_all_there(context, packet) {
        return XDP_PASS; // the stack counts and drops it
    }
    packet.from_driver = true;
    let now = jiffies();
    let mut located = A::locate(packet, now);
    if located == Located::Awaited.code() {
        located = arrived(packet, now);
    }
    if located == Located::New.code() {
        located = A::open(packet, now);
    }
    if located == Located::Pass.code() {
        return XDP_PASS;
    }
    A::xdp_finish(context, packet, located, now) as u32
}

/// Is the frame as long as its IP header says? (Only its first buffer is between the bounds.)
#[inline(always)]
fn is_all_there<A: Family>(context: *mut xdp_md, packet: &Packet<A>) -> bool {
    let (frame, wanted) = (bounds(context).0, packet.total_len as usize + IP);
    // SAFETY: the context of the running program.
    wanted <= frame.end - frame.data || wanted as u64 <= unsafe { helpers::bpf_xdp_get_buff_len(context) }
}

/// The second half of the story, and what comes of it (`XDP_…`).
#[inline(always)]
pub fn finish<A: Family>(context: *mut xdp_md, packet: &Packet<A>, located: u64, now: u32) -> u32 {
    A::with_plan(|plan| finish_with(context, packet, located, now, plan)).unwrap_or(XDP_PASS)
}

#[inline(always)]
fn finish_with<A: Family>(
    context: *mut xdp_md,
    packet: &Packet<A>,
    located: u64,
    now: u32,
    plan: &mut Plan<A>,
) -> u32 {
    let (frame, ifindex) = bounds(context);
    let mut decision = Decision(A::xdp_decide(context, packet, located, now, plan));
    if decision == Decision::FORWARD && applied(context, frame, packet, plan).is_none() {
        decision = Decision::drop(DropReason::EditFailed);
    }
    trace::note(packet, located, decision, plan, Layer::Driver, ifindex);
    match decision.verdict() {
        Verdict::Pass | Verdict::Up | Verdict::Answer(..) | Verdict::Split => XDP_PASS,
        Verdict::Drop(reason) => {
            count_drop(reason);
            XDP_DROP
        }
        Verdict::Forward if plan.hop.ifindex == ifindex => XDP_TX,
        // SAFETY: plain numbers.
        Verdict::Forward => unsafe { helpers::bpf_redirect(plan.hop.ifindex, 0) as u32 },
    }
}

/// What becomes of the packet: the code of a [`Decision`].
#[inline(always)]
pub fn decide<A: Family>(
    context: *mut xdp_md,
    packet: &Packet<A>,
    located: u64,
    now: u32,
    plan: &mut Plan<A>,
) -> u64 {
    let ifindex = bounds(context).1;
    let tables = Kernel::<A, Xdp>::new(context.cast(), ifindex);
    deliver(packet, Located::from_code(located), &tables, now, plan).0
}

/// The frame's bounds and where it came in.
#[inline(always)]
fn bounds(context: *mut xdp_md) -> (Bytes, u32) {
    // SAFETY: the context of the running program; each field is read once, or the verifier loses track.
    unsafe {
        let data = (&raw const (*context).data).read_volatile() as usize;
        let end = (&raw const (*context).data_end).read_volatile() as usize;
        (Bytes { data, end }, (&raw const (*context).ingress_ifindex).read_volatile())
    }
}

/// For IPv6 a function of its own, because of the stack.
#[inline(always)]
fn applied<A: Family>(context: *mut xdp_md, frame: Bytes, packet: &Packet<A>, plan: &Plan<A>) -> Option<()> {
    #[inline(never)]
    fn apart<A: Family>(context: *mut xdp_md, packet: &Packet<A>, plan: &Plan<A>) -> Option<()> {
        apply(context, bounds(context).0, packet, plan)
    }
    if A::WORDS == 1 { apply(context, frame, packet, plan) } else { apart(context, packet, plan) }
}

/// Changes the frame as planned.
#[inline(always)]
fn apply<A: Family>(context: *mut xdp_md, frame: Bytes, packet: &Packet<A>, plan: &Plan<A>) -> Option<()> {
    let head = frame.view(0, eth::HEADER_LEN + A::HEADER_LEN)?;
    let new = fwd::rewritten(packet, &plan.edit);
    A::set_ttl(head, &new);
    match plan.edit.kind {
        Kind::Direct => {}
        Kind::Nat => {
            let rewrite = &plan.edit.rewrite;
            A::set_addresses(head, rewrite.src, rewrite.dst);
            let l4 = frame.view(packet.l4_at as usize & 127, 8)?;
            l4.set_be16(0, rewrite.sport);
            l4.set_be16(2, rewrite.dport);
            if packet.proto == ip_proto::TCP {
                frame.view(packet.l4_at as usize & 127, 20)?.set_be16(16, new.l4_check);
            } else {
                l4.set_be16(6, new.l4_check);
            }
        }
        Kind::Tunnel => return encapsulate(context, packet, &plan.edit.encap, &plan.hop.macs),
    }
    head.set_words(0, plan.hop.macs);
    Some(())
}

/// Puts the outer headers in front, and a new Ethernet header in front of those. XDP makes no checksum over what is inside
/// (see `can_finish`).
#[inline(never)]
fn encapsulate<A: Family>(
    context: *mut xdp_md,
    packet: &Packet<A>,
    encap: &Encap,
    macs: &[u32; 3],
) -> Option<()> {
    let dest = maps::DEST.get(encap.dest)?;
    // SAFETY: the context of the running program; pointers into the frame are made anew afterwards.
    if unsafe { helpers::bpf_xdp_adjust_head(context, (encap.overhead as i32).wrapping_neg()) } != 0 {
        return None;
    }
    let frame = bounds(context).0;
    if dest.family == 6 {
        let head = frame.view(0, IP + ipv6::LEN)?;
        head.set_words(0, *macs);
        head.set_be16(eth::TYPE_AT, EtherType::IPV6.0);
        set_all(head, &outer::header6(packet, encap, dest));
        set_shim(frame, IP + ipv6::LEN, packet, encap, dest)
    } else {
        let head = frame.view(0, IP + ipv4::MIN_LEN)?;
        head.set_words(0, *macs);
        head.set_be16(eth::TYPE_AT, EtherType::IPV4.0);
        set_all(head, &outer::header4(packet, encap, dest));
        set_shim(frame, IP + ipv4::MIN_LEN, packet, encap, dest)
    }
}

/// Writes the IP header.
#[inline(always)]
fn set_all<const WORDS: usize>(head: At, words: &[Be32; WORDS]) {
    let mut i = 0;
    while i < WORDS {
        head.set_be32(IP + i * 4, words[i]);
        i += 1;
    }
}

/// Writes what stands between the outer IP header and the packet.
#[inline(always)]
fn set_shim<A: Family>(
    frame: Bytes,
    at: usize,
    packet: &Packet<A>,
    encap: &Encap,
    dest: &DestConfig,
) -> Option<()> {
    if dest.tunnel_kind == tun::kind::IPIP {
        return Some(());
    }
    let words = tun::shim(packet, encap, dest, 0);
    frame.view(at, 4)?.set_be32(0, words[0]);
    if dest.tunnel_kind == tun::kind::GUE {
        let rest = frame.view(at, 12)?;
        rest.set_be32(4, words[1]);
        rest.set_be32(8, words[2]);
    }
    Some(())
}
