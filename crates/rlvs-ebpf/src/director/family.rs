//! What the two address families do not share: their tables, their headers, how the kernel is asked for a way.
//!
//! Everything else is written once, for any [`Family`]. A packet's family is known from its frame's type on, so IPv4 pays
//! nothing for IPv6.

use crate::frame::{At, Bytes, ptr};
use crate::maps;
use crate::steps::{self, Steps};
use crate::tc::store;
use aya_ebpf::bindings::{__sk_buff, BPF_F_RECOMPUTE_CSUM, bpf_fib_lookup};
use aya_ebpf::helpers::generated as helpers;
use aya_ebpf::maps::Array;
use rlvs_core::conn::entry::NewEntry;
use rlvs_core::conn::{Flow, SET_WORDS};
use rlvs_core::fwd::Rewritten;
use rlvs_core::maps::global;
use rlvs_core::path::Plan;
use rlvs_core::wire::{
    Addr, Be16, Be32, Packet, Quote, Skip, checksum, eth, icmp, ip_proto, ipv4, ipv6, read_fragment,
    read_fragment6, read_quote, read_quote6,
};

/// An IPv6 address.
pub type Six = [Be32; 4];

const IP: usize = eth::HEADER_LEN;

pub trait Family: Addr + Steps<Self> {
    /// The number of the family in the kernel's interfaces.
    const NUMBER: u8;
    /// Bytes of a header without options or extensions.
    const HEADER_LEN: usize;
    /// Bytes of a packet that an ICMP error quotes at most.
    const MAX_QUOTE: usize;
    /// Where in `GLOBAL` the sweep's place is.
    const SWEEP_AT: usize;

    fn table() -> &'static Array<[u32; SET_WORDS]>;
    /// Sets of the table, less one.
    fn set_mask() -> u32;

    /// The ids of a connection by a client's packet, and by a server's (which is the flow's virtual address then).
    fn inbound(flow: impl FnOnce() -> Flow<Self>) -> u64;
    fn outbound(flow: impl FnOnce() -> Flow<Self>) -> u64;

    /// The id of a template or mapping.
    fn kept(flow: impl FnOnce() -> Flow<Self>) -> u64;

    /// What is large goes where the family has room for it: on the stack, or in [`Scratch`](maps::Scratch).
    fn settled(flow: &Flow<Self>) -> Option<&Flow<Self>>;
    fn with_entry<R>(
        new: impl FnOnce() -> NewEntry<Self>,
        work: impl FnOnce(&NewEntry<Self>) -> R,
    ) -> Option<R>;
    fn with_plan<R>(work: impl FnOnce(&mut Plan<Self>) -> R) -> Option<R>;

    fn ask_for(self, question: &mut bpf_fib_lookup);
    fn next_hop(answer: &bpf_fib_lookup) -> Self;

    /// XDP: writes the header's time to live, and what goes with it. `head` is the frame's start, as long as both headers.
    fn set_ttl(head: At, new: &Rewritten);
    fn set_addresses(head: At, src: Self, dst: Self);
    /// TC: writes time to live and addresses. All of it in one call, for each has its price.
    fn store_head(
        skb: *mut __sk_buff,
        packet: &Packet<Self>,
        new: &Rewritten,
        addresses: (Self, Self),
    ) -> Option<()>;

    /// TC: another length of the packet.
    fn store_len(skb: *mut __sk_buff, packet: &Packet<Self>, total_len: u16) -> Option<()>;

    /// Goes on reading where a fragment was found.
    fn read_fragment(frame: Bytes, packet: &mut Packet<Self>) -> Result<(), Skip>;
    /// Reads what an ICMP error quotes, into a place that the family has for it.
    fn read_quote(frame: Bytes, packet: &Packet<Self>, quote: &mut Quote<Self>) -> Result<(), Skip>;
    fn with_quote<R>(work: impl FnOnce(&mut Quote<Self>) -> R) -> Option<R>;

    /// TC: writes the IP and ICMP headers of an error to the packet's sender; `id` is a random number, `sum` that of the
    /// quote, `quote` its length.
    fn store_error(
        skb: *mut __sk_buff,
        packet: &Packet<Self>,
        error: icmp::Error,
        id: u16,
        quote: u32,
        sum: u32,
    ) -> Option<()>;
}

impl Family for Be32 {
    const NUMBER: u8 = 2; // AF_INET
    const HEADER_LEN: usize = ipv4::MIN_LEN;
    const MAX_QUOTE: usize = icmp::MAX_QUOTE;
    const SWEEP_AT: usize = global::SWEEP_AT;

    #[inline(always)]
    fn table() -> &'static Array<[u32; SET_WORDS]> {
        &maps::CONNS
    }
    #[inline(always)]
    fn set_mask() -> u32 {
        maps::SET_MASK.load()
    }

    // Numbers, not a pointer: nothing of the flow has to be written to the stack.
    #[inline(always)]
    fn inbound(flow: impl FnOnce() -> Flow<Be32>) -> u64 {
        let f = flow();
        let ports = f.client_port.0 as u32 | (f.virtual_port.0 as u32) << 16;
        steps::rlvs_find_inbound(f.client.0, f.virtual_addr.0, ports, f.proto as u32)
    }
    #[inline(always)]
    fn outbound(flow: impl FnOnce() -> Flow<Be32>) -> u64 {
        let f = flow();
        let ports = f.client_port.0 as u32 | (f.virtual_port.0 as u32) << 16;
        steps::rlvs_find_outbound(f.client.0, f.virtual_addr.0, ports, f.proto as u32)
    }

    #[inline(always)]
    fn kept(flow: impl FnOnce() -> Flow<Be32>) -> u64 {
        <Be32 as Steps<Be32>>::find_kept(&flow())
    }

    #[inline(always)]
    fn settled(flow: &Flow<Be32>) -> Option<&Flow<Be32>> {
        Some(flow)
    }
    #[inline(always)]
    fn with_entry<R>(
        new: impl FnOnce() -> NewEntry<Be32>,
        work: impl FnOnce(&NewEntry<Be32>) -> R,
    ) -> Option<R> {
        Some(work(&new()))
    }
    #[inline(always)]
    fn with_plan<R>(work: impl FnOnce(&mut Plan<Be32>) -> R) -> Option<R> {
        Some(work(&mut Plan::empty()))
    }

    #[inline(always)]
    fn ask_for(self, question: &mut bpf_fib_lookup) {
        question.__bindgen_anon_4.ipv4_dst = self.0;
    }
    #[inline(always)]
    fn next_hop(answer: &bpf_fib_lookup) -> Be32 {
        // SAFETY: all fields of the union are plain integers.
        Be32(unsafe { answer.__bindgen_anon_4.ipv4_dst })
    }

    #[inline(always)]
    fn set_ttl(head: At, new: &Rewritten) {
        head.set_u8(IP + ipv4::TTL_AT, new.ttl);
        head.set_be16(IP + ipv4::CHECK_AT, new.ip_check);
    }
    #[inline(always)]
    fn set_addresses(head: At, src: Be32, dst: Be32) {
        head.set_be32(IP + ipv4::SRC_AT, src);
        head.set_be32(IP + ipv4::DST_AT, dst);
    }
    #[inline(always)]
    fn store_head(
        skb: *mut __sk_buff,
        packet: &Packet<Be32>,
        new: &Rewritten,
        (src, dst): (Be32, Be32),
    ) -> Option<()> {
        // TTL, protocol, checksum, both addresses: twelve bytes in a row.
        let check = new.ip_check.bytes();
        let ttl_word = Be32::from_bytes([new.ttl, packet.wire_proto(), check[0], check[1]]);
        store(skb, (IP + ipv4::TTL_AT) as u32, &[ttl_word, src, dst], 0)
    }

    #[inline(always)]
    fn store_len(skb: *mut __sk_buff, packet: &Packet<Be32>, total_len: u16) -> Option<()> {
        let (old, new) = (Be16::new(packet.total_len), Be16::new(total_len));
        store(skb, (IP + ipv4::TOTAL_LEN_AT) as u32, &new, 0)?;
        let check_at = (IP + ipv4::CHECK_AT) as u32;
        // SAFETY: the context of the running program, an offset inside the packet.
        let summed = unsafe { helpers::bpf_l3_csum_replace(skb, check_at, old.0 as u64, new.0 as u64, 2) };
        (summed == 0).then_some(())
    }

    #[inline(always)]
    fn read_fragment(frame: Bytes, packet: &mut Packet<Be32>) -> Result<(), Skip> {
        read_fragment(frame, packet)
    }
    #[inline(always)]
    fn read_quote(frame: Bytes, packet: &Packet<Be32>, quote: &mut Quote<Be32>) -> Result<(), Skip> {
        read_quote(frame, packet, quote)
    }
    #[inline(always)]
    fn with_quote<R>(work: impl FnOnce(&mut Quote<Be32>) -> R) -> Option<R> {
        Some(work(&mut Quote::empty()))
    }

    #[inline(always)]
    fn store_error(
        skb: *mut __sk_buff,
        packet: &Packet<Be32>,
        error: icmp::Error,
        id: u16,
        quote: u32,
        sum: u32,
    ) -> Option<()> {
        let outer = ipv4::Header {
            tos: icmp::tos(packet.tos),
            total_len: ((ipv4::MIN_LEN + icmp::HEADER_LEN) as u32 + quote) as u16,
            id,
            dont_fragment: false,
            ttl: icmp::TTL,
            proto: ip_proto::ICMP,
            src: packet.dst,
            dst: packet.src,
        };
        let w = outer.words();
        let [head, rest] = icmp_words(error.kind_and_code(), error.rest(), sum);
        store(skb, IP as u32, &[w[0], w[1], w[2], w[3], w[4], head, rest], 0)
    }
}

impl Family for Six {
    const NUMBER: u8 = 10; // AF_INET6
    const HEADER_LEN: usize = ipv6::LEN;
    const MAX_QUOTE: usize = icmp::MAX_QUOTE6;
    const SWEEP_AT: usize = global::SWEEP_AT6;

    #[inline(always)]
    fn table() -> &'static Array<[u32; SET_WORDS]> {
        &maps::CONNS6
    }
    #[inline(always)]
    fn set_mask() -> u32 {
        maps::SET_MASK6.load()
    }

    #[inline(always)]
    fn inbound(flow: impl FnOnce() -> Flow<Six>) -> u64 {
        ask_about(flow, |flow| steps::rlvs6_find_inbound(flow))
    }
    #[inline(always)]
    fn outbound(flow: impl FnOnce() -> Flow<Six>) -> u64 {
        ask_about(flow, |flow| steps::rlvs6_find_outbound(flow))
    }

    #[inline(always)]
    fn kept(flow: impl FnOnce() -> Flow<Six>) -> u64 {
        ask_about(flow, |flow| <Six as Steps<Six>>::find_kept(flow))
    }

    #[inline(always)]
    fn settled(flow: &Flow<Six>) -> Option<&Flow<Six>> {
        let scratch = maps::scratch()?;
        scratch.flow = *flow;
        Some(&scratch.flow)
    }
    #[inline(always)]
    fn with_entry<R>(
        new: impl FnOnce() -> NewEntry<Six>,
        work: impl FnOnce(&NewEntry<Six>) -> R,
    ) -> Option<R> {
        let scratch = maps::scratch()?;
        scratch.entry = new();
        // Read back from there when it is needed; the compiler would rather keep copies on the stack.
        Some(work(core::hint::black_box(&scratch.entry)))
    }
    #[inline(always)]
    fn with_plan<R>(work: impl FnOnce(&mut Plan<Six>) -> R) -> Option<R> {
        let scratch = maps::scratch()?;
        scratch.plan = Plan::empty();
        Some(work(&mut scratch.plan))
    }

    #[inline(always)]
    fn ask_for(self, question: &mut bpf_fib_lookup) {
        question.__bindgen_anon_4.ipv6_dst = self.map(|word| word.0);
    }
    #[inline(always)]
    fn next_hop(answer: &bpf_fib_lookup) -> Six {
        // SAFETY: all fields of the union are plain integers.
        unsafe { answer.__bindgen_anon_4.ipv6_dst }.map(Be32)
    }

    #[inline(always)]
    fn set_ttl(head: At, new: &Rewritten) {
        head.set_u8(IP + ipv6::HOP_LIMIT_AT, new.ttl);
    }
    #[inline(always)]
    fn set_addresses(head: At, src: Six, dst: Six) {
        let mut i = 0;
        while i < 4 {
            head.set_be32(IP + ipv6::SRC_AT + i * 4, src[i]);
            head.set_be32(IP + ipv6::DST_AT + i * 4, dst[i]);
            i += 1;
        }
    }
    #[inline(always)]
    fn store_head(
        skb: *mut __sk_buff,
        packet: &Packet<Six>,
        new: &Rewritten,
        (s, d): (Six, Six),
    ) -> Option<()> {
        // From the payload's length on the header is nine words in a row. It has no checksum that would make up for the
        // change, so the kernel has to note it in the sum that hardware made of the whole packet.
        let flags = BPF_F_RECOMPUTE_CSUM as u64;
        let len = packet.total_len.wrapping_sub(ipv6::LEN as u16).to_be_bytes();
        let first = Be32::from_bytes([len[0], len[1], packet.wire_proto(), new.ttl]);
        let words = [first, s[0], s[1], s[2], s[3], d[0], d[1], d[2], d[3]];
        if packet.l4_at.wrapping_sub(packet.ip_at) as usize == ipv6::LEN {
            return store(skb, (IP + ipv6::PAYLOAD_LEN_AT) as u32, &words, flags);
        }
        // What comes next is an extension header, which is not in the packet's description.
        store(skb, (IP + ipv6::HOP_LIMIT_AT) as u32, &new.ttl, flags)?;
        // SAFETY: inside the words.
        let done = unsafe {
            let at = (IP + ipv6::SRC_AT) as u32;
            helpers::bpf_skb_store_bytes(skb, at, ptr(&words[1]), 32, flags)
        };
        (done == 0).then_some(())
    }

    #[inline(always)]
    fn store_len(skb: *mut __sk_buff, _: &Packet<Six>, total_len: u16) -> Option<()> {
        let len = Be16::new(total_len.wrapping_sub(ipv6::LEN as u16));
        store(skb, (IP + ipv6::PAYLOAD_LEN_AT) as u32, &len, 0)
    }

    #[inline(always)]
    fn read_fragment(frame: Bytes, packet: &mut Packet<Six>) -> Result<(), Skip> {
        read_fragment6(frame, packet)
    }
    #[inline(always)]
    fn read_quote(frame: Bytes, packet: &Packet<Six>, quote: &mut Quote<Six>) -> Result<(), Skip> {
        read_quote6(frame, packet, quote)
    }
    #[inline(always)]
    fn with_quote<R>(work: impl FnOnce(&mut Quote<Six>) -> R) -> Option<R> {
        Some(work(&mut maps::scratch()?.quote))
    }

    #[inline(always)]
    fn store_error(
        skb: *mut __sk_buff,
        packet: &Packet<Six>,
        error: icmp::Error,
        _: u16,
        quote: u32,
        sum: u32,
    ) -> Option<()> {
        let len = icmp::HEADER_LEN as u32 + quote;
        let (s, d) = (packet.dst, packet.src);
        // ICMPv6 sums a pseudo header, too (RFC 4443, section 2.3).
        let sum = checksum::add(sum, checksum::pseudo(s, d, ip_proto::ICMPV6, len as u16));
        let [head, rest] = icmp_words(error.kind_and_code6(), error.rest(), sum);
        let f = ipv6::first_words(0, len as u16, ip_proto::ICMPV6, icmp::TTL);
        let words = [f[0], f[1], s[0], s[1], s[2], s[3], d[0], d[1], d[2], d[3], head, rest];
        store(skb, IP as u32, &words, 0)
    }
}

/// The flow is written where it stays, not on the stack first.
#[inline(always)]
fn ask_about(flow: impl FnOnce() -> Flow<Six>, question: impl FnOnce(&Flow<Six>) -> u64) -> u64 {
    let Some(scratch) = maps::scratch() else {
        return steps::NOBODY;
    };
    scratch.flow = flow();
    question(&scratch.flow)
}

/// The ICMP header, its checksum filled in; `sum` is that of all that follows, and comes before.
#[inline(always)]
fn icmp_words((kind, code): (u8, u8), rest: u32, sum: u32) -> [Be32; 2] {
    let head = Be32::from_bytes([kind, code, 0, 0]);
    let rest = Be32::new(rest);
    let check: Be16 = checksum::finish(checksum::add(checksum::add(head.0, rest.0), sum));
    let check = check.bytes();
    [Be32::from_bytes([kind, code, check[0], check[1]]), rest]
}
