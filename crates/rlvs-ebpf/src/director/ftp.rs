//! FTP's control connections: what is said on them, in TC.
//!
//! [`hear`] reads a segment, [`rewrite`] puts the virtual address into a 227; then the brain draws the conclusions
//! (`path::data::expect`). The segment lies in `MESSAGE`, and behind it what is needed to read and to change it.

use crate::family::Family;
use crate::frame::bounded;
use crate::maps;
use crate::steps::tables;
use crate::tables::count_drop;
use aya_ebpf::bindings::__sk_buff;
use aya_ebpf::helpers::generated as helpers;
use rlvs_core::conn::{Sets, Step};
use rlvs_core::path::{DropReason, Located};
use rlvs_core::proto::ftp::{LOOKED_AT, Reader, Said, WINDOW, Writer, placed};
use rlvs_core::wire::{Be16, Be32, Packet};

const CHECK_AT: u32 = 16;
/// Where in the buffer the bytes that are written anew are, as they were and as they shall be, and who reads and writes.
const OLD: usize = LOOKED_AT as usize;
const NEW: usize = OLD + 32;
const READER: usize = NEW + 32;
const WRITER: usize = READER + 64;
const _: () = assert!(size_of::<Reader>() <= 64 && WRITER + size_of::<Writer>() <= maps::MESSAGE_LEN);
/// The buffer as the verifier sees it.
const MASK: usize = 511;

/// A segment that may say something: reads it, and puts the virtual address into a 227. What is [to be expected](expect) now: what
/// was said in the upper half, the port in the lower; 0 for nothing.
#[inline(always)]
pub fn hear<A: Family>(skb: *mut __sk_buff, packet: &Packet<A>, located: u64, vip: u32) -> u32 {
    let Some(message) = maps::MESSAGE.get_ptr_mut(0) else {
        return 0;
    };
    let buffer = message.cast::<u8>();
    let l4_at = packet.l4_at as u32;
    // The length of the TCP header (RFC 9293, section 3.1).
    // SAFETY: the context of the running program; one byte of the buffer, which is this processor's own.
    let header_len = unsafe {
        if helpers::bpf_skb_load_bytes(skb.cast(), l4_at.wrapping_add(12), buffer.cast(), 1) != 0 {
            return 0;
        }
        (buffer.read_volatile() >> 4) as u32 * 4
    };
    let all = packet.l4_len() as u32;
    if header_len < 20 || all <= header_len {
        return 0;
    }
    let at = l4_at.wrapping_add(header_len);
    let len = bounded::<LOOKED_AT>(all.wrapping_sub(header_len));
    // SAFETY: as above; the buffer is longer than what is looked at.
    if unsafe { helpers::bpf_skb_load_bytes(skb.cast(), at, buffer.cast(), len) } != 0 {
        return 0;
    }
    // SAFETY: as above; it is all written before it is read.
    let reader = unsafe { &mut *buffer.add(READER).cast::<Reader>() };
    *reader = Reader::START;
    tables::<A>().repeat(LOOKED_AT, &mut Reading { buffer, reader, len });
    let by_server = matches!(Located::from_code(located), Located::Reply(_));
    let said = reader.said(by_server);
    // Six numbers are no address of IPv6.
    if said == Said::Nothing || said == Said::Passive && A::WORDS > 1 {
        return 0;
    }
    if said == Said::Passive && rewrite(skb, buffer, reader, l4_at, at, Be32(vip)).is_none() {
        count_drop(DropReason::FtpNoRoom);
    }
    (said as u32) << 16 | reader.port().0 as u32
}

struct Reading<'r> {
    buffer: *mut u8,
    reader: &'r mut Reader,
    len: u32,
}

impl Step for Reading<'_> {
    #[inline(always)]
    fn step(&mut self) -> bool {
        let at = self.reader.at();
        if at >= self.len {
            return true;
        }
        // SAFETY: masked to the buffer.
        let byte = unsafe { self.buffer.add(at as usize & MASK).read_volatile() };
        self.reader.read(byte)
    }
}

/// Puts the virtual address into the 227 that begins `at` this place of the packet. None if there is no room for it.
#[inline(always)]
fn rewrite(
    skb: *mut __sk_buff,
    buffer: *mut u8,
    reader: &Reader,
    l4_at: u32,
    at: u32,
    vip: Be32,
) -> Option<()> {
    let tables = tables::<Be32>();
    // SAFETY: masked to the buffer.
    let before = unsafe { buffer.add(reader.before() as usize & MASK).read_volatile() };
    // SAFETY: the buffer has room for it.
    let writer = unsafe { &mut *buffer.add(WRITER).cast::<Writer>() };
    *writer = Writer::new(reader, vip, before == b'(')?;
    let window_at = at.wrapping_add(reader.end).wrapping_sub(WINDOW);
    // SAFETY: the context of the running program; the buffer has room for both.
    unsafe {
        let old = buffer.add(OLD).cast();
        if helpers::bpf_skb_load_bytes(skb.cast(), window_at, old, WINDOW) != 0 {
            return None;
        }
        tables.repeat(WINDOW, &mut Writing { buffer, writer, at: tables.unknown(WINDOW) });
        let new = buffer.add(NEW);
        let change = helpers::bpf_csum_diff(old.cast(), WINDOW, new.cast(), WINDOW, 0) as u32;
        let change = placed(change, window_at.wrapping_sub(l4_at) & 1 != 0) as u64;
        let check_at = l4_at.wrapping_add(CHECK_AT);
        if helpers::bpf_skb_store_bytes(skb, window_at, new.cast(), WINDOW, 0) != 0
            || helpers::bpf_l4_csum_replace(skb, check_at, 0, change, 0) != 0
        {
            return None;
        }
    }
    Some(())
}

struct Writing<'w> {
    buffer: *mut u8,
    writer: &'w mut Writer,
    /// Of the window: one more than the place that is written next.
    at: u32,
}

impl Step for Writing<'_> {
    #[inline(always)]
    fn step(&mut self) -> bool {
        self.at = self.at.wrapping_sub(1);
        let at = self.at as usize & 31;
        // SAFETY: both masked to the buffer.
        unsafe {
            let old = self.buffer.add(OLD + at).read_volatile();
            self.buffer.add(NEW + at).write_volatile(self.writer.write(old));
        }
        false
    }
}

/// See `path::data::expect`.
#[inline(always)]
pub fn expect<A: Family>(packet: &Packet<A>, located: u64, heard: u32, now: u32) {
    let said = match heard >> 16 {
        1 => Said::Passive,
        2 => Said::ExtendedPassive,
        _ => Said::Active,
    };
    let located = Located::from_code(located);
    rlvs_core::path::data::expect(packet, located, said, Be16(heard as u16), &tables::<A>(), now);
}

/// The first packet of a connection that may be expected: see `path::data::expected`. Step by step, because of the stack.
#[inline(always)]
pub fn arrived<A: Family>(packet: &Packet<A>, now: u32) -> u64 {
    let awaited = A::awaited(packet, now);
    match Located::from_code(awaited) {
        Located::Request(id) => A::arrive(packet, id, now),
        Located::Reply(id) => A::arrive_back(packet, id, now),
        _ => awaited,
    }
}
