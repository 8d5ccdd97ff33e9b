//! XDP: the common case, before the kernel has done anything with the frame.

use crate::frame::{At, Bytes};
use crate::steps::{rlvs_locate, rlvs_open};
use crate::tables::{Kernel, Xdp, count_drop, jiffies};
use aya_ebpf::bindings::xdp_action::{XDP_DROP, XDP_PASS, XDP_TX};
use aya_ebpf::bindings::xdp_md;
use aya_ebpf::helpers::generated as helpers;
use aya_ebpf::macros::xdp;
use aya_ebpf::programs::XdpContext;
use core::marker::PhantomData;
use rlvs_core::fwd::tun::Encap;
use rlvs_core::fwd::{self, Kind};
use rlvs_core::path::{Decision, DropReason, Located, Plan, Verdict, deliver};
use rlvs_core::wire::eth::{self, EtherType};
use rlvs_core::wire::{Be32, Frame, Packet, ip_proto, ipv4, parse};

#[xdp(frags)]
pub fn rlvs_xdp(context: XdpContext) -> u32 {
    run(context.ctx)
}

#[xdp]
pub fn rlvs_xdp_skb(context: XdpContext) -> u32 {
    run(context.ctx)
}

#[inline(always)]
fn run(context: *mut xdp_md) -> u32 {
    let (frame, _) = bounds(context);
    let Ok(mut packet) = parse(frame) else {
        return XDP_PASS;
    };
    packet.from_driver = true;
    let now = jiffies();
    let mut located = rlvs_locate(&packet, now);
    if located == Located::New.code() {
        located = rlvs_open(&mut packet, now);
    }
    if located == Located::Pass.code() {
        return XDP_PASS;
    }
    rlvs_xdp_finish(context, &packet, located, now) as u32
}

/// The second half of the story and what comes of it.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn rlvs_xdp_finish(
    context: *mut xdp_md,
    packet: *const Packet<Be32>,
    located: u64,
    now: u32,
) -> u64 {
    // SAFETY: null, or a packet on the caller's stack.
    match unsafe { packet.as_ref() } {
        Some(packet) => finish(context, packet, located, now) as u64,
        None => XDP_PASS as u64,
    }
}

#[inline(always)]
fn finish(context: *mut xdp_md, packet: &Packet<Be32>, located: u64, now: u32) -> u32 {
    let (frame, ifindex) = bounds(context);
    let mut plan = Plan::empty();
    match Decision(rlvs_xdp_decide(context, packet, located, now, &mut plan)).verdict() {
        Verdict::Pass | Verdict::Up | Verdict::Answer(..) => XDP_PASS,
        Verdict::Drop(reason) => {
            count_drop(reason);
            XDP_DROP
        }
        Verdict::Forward => match apply(context, frame, packet, &plan) {
            Some(()) if plan.hop.ifindex == ifindex => XDP_TX,
            // SAFETY: plain numbers.
            Some(()) => unsafe { helpers::bpf_redirect(plan.hop.ifindex, 0) as u32 },
            None => {
                count_drop(DropReason::EditFailed);
                XDP_DROP
            }
        },
    }
}

/// What becomes of the packet: the code of a [`Decision`].
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn rlvs_xdp_decide(
    context: *mut xdp_md,
    packet: *const Packet<Be32>,
    located: u64,
    now: u32,
    plan: *mut Plan<Be32>,
) -> u64 {
    let (_, ifindex) = bounds(context);
    let tables = Kernel::<Xdp> { context: context.cast(), ifindex, layer: PhantomData };
    // SAFETY: null, or on the caller's stack.
    match unsafe { packet.as_ref().zip(plan.as_mut()) } {
        Some((packet, plan)) => deliver(packet, Located::from_code(located), &tables, now, plan).0,
        None => Decision::PASS.0,
    }
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

/// Changes the frame as planned.
#[inline(always)]
fn apply(context: *mut xdp_md, frame: Bytes, packet: &Packet<Be32>, plan: &Plan<Be32>) -> Option<()> {
    let head = frame.view(0, eth::HEADER_LEN + ipv4::MIN_LEN)?;
    let new = fwd::rewritten(packet, &plan.edit);
    const IP: usize = eth::HEADER_LEN;
    head.set_u8(IP + ipv4::TTL_AT, new.ttl);
    head.set_be16(IP + ipv4::CHECK_AT, new.ip_check);
    match plan.edit.kind {
        Kind::Direct => {}
        Kind::Nat => {
            let rewrite = &plan.edit.rewrite;
            let (src, dst) = rewrite.addresses(packet);
            head.set_be32(IP + ipv4::SRC_AT, src);
            head.set_be32(IP + ipv4::DST_AT, dst);
            let l4 = frame.view(packet.l4_at as usize & 127, 8)?;
            let ports = rewrite.ports(packet);
            l4.set_be16(0, ports[0]);
            l4.set_be16(2, ports[1]);
            if packet.proto == ip_proto::TCP {
                frame.view(packet.l4_at as usize & 127, 20)?.set_be16(16, new.l4_check);
            } else {
                l4.set_be16(6, new.l4_check);
            }
        }
        Kind::Tunnel => return encapsulate(context, &plan.edit.encap, plan.hop.macs),
    }
    head.set_words(0, plan.hop.macs);
    Some(())
}

/// Puts the outer header in front, and a new Ethernet header in front of that.
#[inline(always)]
fn encapsulate(context: *mut xdp_md, encap: &Encap, macs: [u32; 3]) -> Option<()> {
    // SAFETY: the context of the running program; pointers into the frame are made anew afterwards.
    let (data, end) = unsafe {
        if helpers::bpf_xdp_adjust_head(context, -(ipv4::MIN_LEN as i32)) != 0 {
            return None;
        }
        (
            (&raw const (*context).data).read_volatile() as usize,
            (&raw const (*context).data_end).read_volatile() as usize,
        )
    };
    let head: At = Bytes { data, end }.view(0, eth::HEADER_LEN + ipv4::MIN_LEN)?;
    head.set_words(0, macs);
    head.set_be16(eth::TYPE_AT, EtherType::IPV4.0);
    let words = encap.outer.words();
    let mut i = 0;
    while i < 5 {
        head.set_be32(eth::HEADER_LEN + i * 4, words[i]);
        i += 1;
    }
    Some(())
}
