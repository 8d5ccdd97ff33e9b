//! The hands: reading and changing the packet through the kernel's helpers.
//!
//! Offsets are counted from the outer IP header, never from the link layer's: the same program serves Ethernet and
//! devices without any link header (tun, WireGuard).

use super::ip::{First, Ip};
use super::{gue, ipv4, ipv6};
use aya_ebpf::EbpfContext;
use aya_ebpf::bindings::{
    __sk_buff, BPF_F_ADJ_ROOM_DECAP_L3_IPV4, BPF_F_ADJ_ROOM_DECAP_L3_IPV6, BPF_F_ADJ_ROOM_FIXED_GSO,
    BPF_FIB_LKUP_RET_FWD_DISABLED, BPF_FIB_LKUP_RET_NOT_FWDED, bpf_adj_room_mode::BPF_ADJ_ROOM_MAC,
    bpf_fib_lookup, bpf_hdr_start_off::BPF_HDR_START_NET,
};
use aya_ebpf::helpers::generated as helpers;
use aya_ebpf::programs::TcContext;
use core::mem::MaybeUninit;
use core::ptr::null_mut;

const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const ETH_P_IP: u16 = 0x0800;
const ETH_P_IPV6: u16 = 0x86dd;
const PACKET_HOST: u32 = 0;
const ETHERNET_LEN: u32 = 14;
/// By how many bytes the fixed headers of IPv6 and IPv4 differ.
const FAMILIES_DIFFER_BY: u32 = (ipv6::LEN - ipv4::LEN) as u32;
/// The longest headers we look at, behind the longest link header (Ethernet with two VLAN tags).
const LONGEST: u32 = 22 + 60 + (gue::LEN + 31 * 4 + ipv6::LEN) as u32;

/// Set by the loader: 1 where the kernel knows `BPF_F_ADJ_ROOM_DECAP_L3_IPV4` and `…_IPV6` (6.3).
#[unsafe(no_mangle)]
static KNOWS_DECAP_L3: u32 = 0;

/// A packet on its way in or out, and what the kernel says about it.
#[repr(C)]
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

    /// The IP header at `offset`, of IPv6 or of IPv4; none if there is none, or not all of it.
    #[inline(always)]
    pub fn ip_at(&self, offset: u32, is_ipv6: bool) -> Option<Ip> {
        let mut ip = MaybeUninit::uninit();
        if !self.read_ip(offset, is_ipv6, ip.as_mut_ptr()) {
            return None;
        }
        // SAFETY: it was written.
        Some(unsafe { ip.assume_init() })
    }

    /// Writes it to `to`; false if there is none. (A function of its own, for its stack; such ones cannot return options.)
    #[inline(never)]
    fn read_ip(&self, offset: u32, is_ipv6: bool, to: *mut Ip) -> bool {
        let first = if is_ipv6 { self.first_of_ipv6(offset) } else { self.read(offset).and_then(ipv4::read) };
        let Some(first) = first else { return false };
        // SAFETY: the caller's room for one; for plain numbers all zeroes is a value.
        let ip = unsafe {
            to.write_bytes(0, 1);
            &mut *to
        };
        ip.set(first);
        ip.is_ipv6 = is_ipv6;
        if is_ipv6 {
            return self.read_to(offset + ipv6::ADDRESSES as u32, &mut ip.source)
                && self.read_to(offset + ipv6::ADDRESSES as u32 + 16, &mut ip.destination);
        }
        let (Some(source), Some(destination)) =
            (self.read(offset + ipv4::ADDRESSES as u32), self.read(offset + ipv4::ADDRESSES as u32 + 4))
        else {
            return false;
        };
        ip.source = ipv4::mapped(source);
        ip.destination = ipv4::mapped(destination);
        true
    }

    #[inline(always)]
    fn first_of_ipv6(&self, offset: u32) -> Option<First> {
        let first = ipv6::read(self.read(offset)?)?;
        if first.protocol != ipv6::FRAGMENT {
            return Some(first);
        }
        Some(ipv6::with_fragment(first, self.read(offset + ipv6::LEN as u32)?))
    }

    /// Whether the sum over the outer header, with its options, is right (RFC 1071); IPv6 has none. Once the inner header
    /// could be read.
    #[inline(never)]
    pub fn is_intact(&self, outer: &Ip) -> bool {
        if outer.is_ipv6 {
            return true;
        }
        // Zeroes add nothing, so the sum is always over 64 bytes.
        let mut bytes = [0u8; 64];
        let last = outer.header_len - 1;
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

    /// Addressed to our MAC, if its link has such.
    #[inline(always)]
    pub fn is_to_us(&self) -> bool {
        self.kind == PACKET_HOST
    }

    /// Whether the kernel would take this packet in rather than forward it: addressed to our MAC, and the way to
    /// `outer`'s destination leads nowhere but here.
    #[inline(never)]
    pub fn is_for_this_host(&self, outer: &Ip) -> bool {
        if !self.is_to_us() {
            return false;
        }
        // SAFETY: plain numbers, for which all zeroes is a value.
        let mut way: bpf_fib_lookup = unsafe { MaybeUninit::zeroed().assume_init() };
        way.family = if outer.is_ipv6 { AF_INET6 } else { AF_INET };
        way.l4_protocol = outer.protocol;
        way.ifindex = self.ifindex;
        if outer.is_ipv6 {
            way.__bindgen_anon_3.ipv6_src = words(&outer.source);
            way.__bindgen_anon_4.ipv6_dst = words(&outer.destination);
        } else {
            way.__bindgen_anon_2.tos = outer.tos;
            way.__bindgen_anon_3.ipv4_src = words(&outer.source)[3];
            way.__bindgen_anon_4.ipv4_dst = words(&outer.destination)[3];
        }
        let size = size_of::<bpf_fib_lookup>() as i32;
        // SAFETY: the context is the program's own, and the kernel reads and writes `size` bytes of `way`.
        let found = unsafe { helpers::bpf_fib_lookup(self.skb.cast(), &raw mut way, size, 0) };
        // "Forwarding is off on this interface" is found out first, and for nothing: the usual case.
        found == BPF_FIB_LKUP_RET_FWD_DISABLED as i64 || found == BPF_FIB_LKUP_RET_NOT_FWDED as i64
    }

    /// Removes the first `len` bytes behind the link header: `outer`, and all before an inner header of IPv6 or IPv4. None if
    /// the kernel could not; what is left is good for nothing then.
    #[inline(always)]
    pub fn remove_outer(&self, outer: &Ip, len: u32, to_ipv6: bool) -> Option<()> {
        // SAFETY: a static that nobody writes while programs run; volatile, because the loader's value is not the
        // compiler's.
        let knows = unsafe { (&raw const KNOWS_DECAP_L3).read_volatile() } != 0;
        // The segments of a GSO packet carry as much as before, whatever header they travelled under.
        let (mut len, mut flags) = (len, u64::from(BPF_F_ADJ_ROOM_FIXED_GSO));
        if knows {
            flags |=
                u64::from(if to_ipv6 { BPF_F_ADJ_ROOM_DECAP_L3_IPV6 } else { BPF_F_ADJ_ROOM_DECAP_L3_IPV4 });
        } else if to_ipv6 != outer.is_ipv6 {
            // Takes the one fixed header for the other: room for 20 bytes more, or less.
            let protocol = if to_ipv6 { ETH_P_IPV6 } else { ETH_P_IP };
            // SAFETY: the context is the program's own; no pointer into the packet is held.
            let rc = unsafe { helpers::bpf_skb_change_proto(self.skb, protocol.to_be(), 0) };
            if rc != 0 {
                return None;
            }
            len = if to_ipv6 { len + FAMILIES_DIFFER_BY } else { len - FAMILIES_DIFFER_BY };
        }
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
        self.read_to(offset, &mut bytes).then_some(bytes)
    }

    #[inline(always)]
    fn read_to<const N: usize>(&self, offset: u32, to: &mut [u8; N]) -> bool {
        let to = to.as_mut_ptr().cast();
        // SAFETY: the context is the program's own, and the kernel writes N bytes to `to`, or refuses.
        let load = || unsafe {
            helpers::bpf_skb_load_bytes_relative(self.skb.cast(), offset, to, N as u32, BPF_HDR_START_NET)
                == 0
        };
        if load() {
            return true;
        }
        // The headers may lie in a page that is not mapped in yet.
        let reach = if self.len < LONGEST { self.len } else { LONGEST };
        // SAFETY: the context is the program's own; no pointer into the packet is held.
        let pulled = unsafe { helpers::bpf_skb_pull_data(self.skb, reach) } == 0;
        pulled && load()
    }

    /// The `len` bytes at `offset` to `to`; whether they are there.
    ///
    /// # Safety
    ///
    /// There is room for them.
    #[inline(always)]
    pub unsafe fn read_many(&self, offset: u32, to: *mut u8, len: u32) -> bool {
        // SAFETY: the context is the program's own; for the room the caller stands.
        let load = || unsafe {
            helpers::bpf_skb_load_bytes_relative(self.skb.cast(), offset, to.cast(), len, BPF_HDR_START_NET)
                == 0
        };
        // Much of it may lie in pages that are not mapped in yet.
        // SAFETY: the context is the program's own; no pointer into the packet is held.
        load() || unsafe { helpers::bpf_skb_pull_data(self.skb, self.len) == 0 } && load()
    }

    /// Puts `len` bytes behind the IP header, and nothing behind them; false if the kernel could not. (`bounded` is `len` too, in a
    /// form that the verifier can follow.)
    ///
    /// # Safety
    ///
    /// So many bytes are there.
    #[inline(always)]
    pub unsafe fn replace_payload(&mut self, ip: &Ip, bytes: *const u8, bounded: u32, len: u32) -> bool {
        // The kernel changes packets by offsets from the link header, if there is one.
        let Some(link_len) = [ETHERNET_LEN, 0].into_iter().find(|len| self.begins_at(*len)) else {
            return false;
        };
        let at = link_len + ip.header_len;
        // SAFETY: the context is the program's own; no pointer into the packet is held.
        if unsafe { helpers::bpf_skb_change_tail(self.skb, at + len, 0) } != 0 {
            return false;
        }
        self.len = at + len;
        // SAFETY: for the bytes the caller stands.
        unsafe { self.store(at, bytes, bounded) }
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
}

/// As the kernel's structures have an address.
#[inline(always)]
fn words(address: &[u8; 16]) -> [u32; 4] {
    let word =
        |at: usize| u32::from_ne_bytes([address[at], address[at + 1], address[at + 2], address[at + 3]]);
    [word(0), word(4), word(8), word(12)]
}
