//! The hands: reading and changing the packet through the kernel's helpers.
//!
//! Offsets are counted from the outer IP header, never from the link layer's: the same program serves Ethernet and
//! devices without any link header (tun, WireGuard).

use super::gue;
use super::ipv4::{self, Header};
use aya_ebpf::EbpfContext;
use aya_ebpf::bindings::{
    __sk_buff, BPF_F_ADJ_ROOM_FIXED_GSO, BPF_FIB_LKUP_RET_FWD_DISABLED, BPF_FIB_LKUP_RET_NOT_FWDED,
    bpf_adj_room_mode::BPF_ADJ_ROOM_MAC, bpf_fib_lookup, bpf_hdr_start_off::BPF_HDR_START_NET,
};
use aya_ebpf::helpers::generated as helpers;
use aya_ebpf::programs::TcContext;
use core::mem::MaybeUninit;
use core::ptr::null_mut;

const AF_INET: u8 = 2;
const ETH_P_IP: u16 = 0x0800;
const ETH_P_IPV6: u16 = 0x86dd;
const PACKET_HOST: u32 = 0;
/// The longest headers we look at, behind the longest link header (Ethernet with two VLAN tags).
const LONGEST: u32 = 22 + 60 + (gue::LEN + 31 * 4 + ipv4::LEN) as u32;

/// Set by the loader: `BPF_F_ADJ_ROOM_DECAP_L3_IPV4` where the kernel knows it (6.3), else 0.
#[unsafe(no_mangle)]
static ROOM_FLAGS: u64 = 0;

/// A packet on its way in or out, and what the kernel says about it.
pub struct Packet {
    skb: *mut __sk_buff,
    protocol: u32,
    kind: u32,
    /// In bytes, with the link header.
    pub len: u32,
    pub gso_size: u32,
    ifindex: u32,
}

impl Packet {
    #[inline(always)]
    pub fn new(ctx: &TcContext) -> Packet {
        let skb: *mut __sk_buff = ctx.as_ptr().cast();
        // SAFETY: the context is valid for the whole run. Volatile: the verifier refuses the merged reads (through a
        // changed context pointer) that the compiler would like to make of these.
        unsafe {
            Packet {
                skb,
                protocol: (&raw const (*skb).protocol).read_volatile(),
                kind: (&raw const (*skb).pkt_type).read_volatile(),
                len: (&raw const (*skb).len).read_volatile(),
                gso_size: (&raw const (*skb).gso_size).read_volatile(),
                ifindex: (&raw const (*skb).ifindex).read_volatile(),
            }
        }
    }

    #[inline(always)]
    pub fn is_ipv4(&self) -> bool {
        self.protocol == u32::from(ETH_P_IP.to_be())
    }

    #[inline(always)]
    pub fn is_ipv6(&self) -> bool {
        self.protocol == u32::from(ETH_P_IPV6.to_be())
    }

    /// The IPv4 header at `offset`; none if there is none, or not all of it.
    #[inline(always)]
    pub fn ipv4_at(&self, offset: u32) -> Option<Header> {
        Header::new(self.read(offset)?)
    }

    /// Whether the sum over the outer header, with its options, is right (RFC 1071). Once the inner header could be read.
    #[inline(always)]
    pub fn is_intact(&self, outer: &Header) -> bool {
        // Zeroes add nothing, so the sum is always over 64 bytes.
        let mut bytes = [0u8; 64];
        let last = outer.header_len() - 1;
        // The verifier must see that 1 <= len <= 64: volatile, so that the compiler does not leave out what it knows.
        // SAFETY: a local variable.
        let len = (unsafe { (&raw const last).read_volatile() } & 63) + 1;
        // SAFETY: the kernel writes `len` bytes to `bytes`, or refuses.
        let read = unsafe {
            helpers::bpf_skb_load_bytes_relative(
                self.skb.cast(),
                0,
                bytes.as_mut_ptr().cast(),
                len,
                BPF_HDR_START_NET,
            )
        };
        // SAFETY: the kernel reads 64 bytes from `bytes`, and none from the other.
        let sum = unsafe { helpers::bpf_csum_diff(null_mut(), 0, bytes.as_mut_ptr().cast(), 64, 0) };
        read == 0 && ipv4::is_sum_of_intact(sum as u32)
    }

    /// Whether the kernel would take this packet in rather than forward it: addressed to our MAC, and the way to
    /// `outer`'s destination leads nowhere but here.
    #[inline(always)]
    pub fn is_for_this_host(&self, outer: &Header) -> bool {
        if self.kind != PACKET_HOST {
            return false;
        }
        // SAFETY: plain numbers, for which all zeroes is a value.
        let mut way: bpf_fib_lookup = unsafe { MaybeUninit::zeroed().assume_init() };
        way.family = AF_INET;
        way.l4_protocol = outer.protocol();
        way.ifindex = self.ifindex;
        way.__bindgen_anon_2.tos = outer.tos();
        way.__bindgen_anon_3.ipv4_src = outer.source();
        way.__bindgen_anon_4.ipv4_dst = outer.destination();
        let size = size_of::<bpf_fib_lookup>() as i32;
        // SAFETY: the context is the program's own, and the kernel reads and writes `size` bytes of `way`.
        let found = unsafe { helpers::bpf_fib_lookup(self.skb.cast(), &raw mut way, size, 0) };
        // "Forwarding is off on this interface" is found out first, and for nothing: the usual case.
        found == BPF_FIB_LKUP_RET_FWD_DISABLED as i64 || found == BPF_FIB_LKUP_RET_NOT_FWDED as i64
    }

    /// Removes the first `len` bytes behind the link header. None if the kernel could not; the packet is as it was then.
    #[inline(always)]
    pub fn remove_outer(&self, len: u32) -> Option<()> {
        // SAFETY: a static that nobody writes while programs run; volatile, because the loader's value is not the
        // compiler's.
        let flags = unsafe { (&raw const ROOM_FLAGS).read_volatile() };
        // The segments of a GSO packet carry as much as before, whatever header they travelled under.
        let flags = flags | u64::from(BPF_F_ADJ_ROOM_FIXED_GSO);
        // SAFETY: the context is the program's own; no pointer into the packet is held.
        let rc = unsafe { helpers::bpf_skb_adjust_room(self.skb, -(len as i32), BPF_ADJ_ROOM_MAC, flags) };
        if rc != 0 {
            return None;
        }
        // The hash was that of director and real server, one for all clients.
        // SAFETY: the context is the program's own.
        unsafe { helpers::bpf_set_hash_invalid(self.skb) };
        Some(())
    }

    /// Marks the packet "congestion experienced", with its header's checksum.
    #[inline(always)]
    pub fn set_ce(&self) {
        // SAFETY: the context is the program's own.
        let _ = unsafe { helpers::bpf_skb_ecn_set_ce(self.skb) };
    }

    /// Some bytes at `offset`, if they are there.
    #[inline(always)]
    pub fn read<const N: usize>(&self, offset: u32) -> Option<[u8; N]> {
        let mut bytes = [0u8; N];
        if self.read_linear(offset, &mut bytes) {
            return Some(bytes);
        }
        // The headers may lie in a page that is not mapped in yet.
        let reach = if self.len < LONGEST { self.len } else { LONGEST };
        // SAFETY: the context is the program's own; no pointer into the packet is held.
        let pulled = unsafe { helpers::bpf_skb_pull_data(self.skb, reach) } == 0;
        if pulled && self.read_linear(offset, &mut bytes) { Some(bytes) } else { None }
    }

    /// Whether the link header has so many bytes: the IP header stands behind them.
    #[inline(always)]
    pub fn begins_at(&self, link_len: u32) -> bool {
        let mut bytes = [0u8; ipv4::LEN];
        // SAFETY: room for so many bytes.
        let loaded = unsafe { self.load(link_len, bytes.as_mut_ptr(), ipv4::LEN as u32) };
        loaded && self.read(0).is_some_and(|header: [u8; ipv4::LEN]| header == bytes)
    }

    /// The `len` bytes at `offset` of the whole packet, with its link header, to `to`; whether they are there.
    ///
    /// # Safety
    ///
    /// There is room for them.
    #[inline(always)]
    pub unsafe fn load(&self, offset: u32, to: *mut u8, len: u32) -> bool {
        // SAFETY: the context is the program's own; for the room the caller stands.
        unsafe { helpers::bpf_skb_load_bytes(self.skb.cast(), offset, to.cast(), len) == 0 }
    }

    /// The same the other way.
    ///
    /// # Safety
    ///
    /// So many bytes are there.
    #[inline(always)]
    pub unsafe fn store(&self, offset: u32, from: *const u8, len: u32) -> bool {
        // SAFETY: the context is the program's own; for the bytes the caller stands.
        unsafe { helpers::bpf_skb_store_bytes(self.skb, offset, from.cast(), len, 0) == 0 }
    }

    /// What was covered by the checksum at `offset` changed by so much. Right also for one that hardware is to complete.
    #[inline(always)]
    pub fn move_checksum(&self, offset: u32, change: u32) {
        // SAFETY: the context is the program's own.
        let _ = unsafe { helpers::bpf_l4_csum_replace(self.skb, offset, 0, u64::from(change), 0) };
    }

    #[inline(always)]
    fn read_linear<const N: usize>(&self, offset: u32, bytes: &mut [u8; N]) -> bool {
        // SAFETY: the kernel writes N bytes to `bytes`, or refuses.
        let rc = unsafe {
            helpers::bpf_skb_load_bytes_relative(
                self.skb.cast(),
                offset,
                bytes.as_mut_ptr().cast(),
                N as u32,
                BPF_HDR_START_NET,
            )
        };
        rc == 0
    }
}
