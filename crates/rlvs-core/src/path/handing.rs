//! The client's address handed on to a server that sees the director (FULLNAT): PROXY protocol, version 2.
//!
//! The header is the first that the server reads of a connection, so everything the client says after it moves on by its length,
//! and what the server acknowledges moves back. Nothing is kept and sent again: the header goes where the client's own
//! segments lead.
//!
//! | segment of the client | becomes |
//! |---|---|
//! | SYN | without the offer of SACK (its numbers would have to move, too) and of Fast Open |
//! | the first byte is still to come, no data (the handshake's ACK) | carries the header |
//! | the first data, once | moved on: the header went before |
//! | the first data again, or without an ACK before it | moved on, with a segment before it that has the header |
//! | all else | moved on |
//!
//! As soon as the server has acknowledged the header, it is not sent again.
//!
//! Source: The PROXY protocol, versions 1 & 2 (HAProxy, 2020), section 2.2.

use crate::conn::Entry;
use crate::mem::Mem;
use crate::proto::View;
use crate::wire::{Addr, Be32, tcp_flags};

/// Words of the longest header.
pub const WORDS: usize = 13;

/// Bytes of the header: the fixed part, two addresses, two ports.
#[inline(always)]
pub const fn header_len<A: Addr>() -> u32 {
    (16 + 2 * 4 * A::WORDS + 4) as u32
}

/// Writes the header of a client's connection: the first [`header_len`] bytes of these words.
#[inline(always)]
pub fn write_header<A: Addr, M: Mem>(conn: Entry<A, M>, words: &mut [Be32; WORDS]) {
    const VERSION_2_PROXY: u8 = 0x21;
    // Address family and transport: TCP over IPv4, over IPv6.
    let kind = if A::WORDS == 1 { 0x11 } else { 0x21 };
    words[0] = Be32::from_bytes([0x0d, 0x0a, 0x0d, 0x0a]);
    words[1] = Be32::from_bytes([0x00, 0x0d, 0x0a, 0x51]);
    words[2] = Be32::from_bytes([0x55, 0x49, 0x54, 0x0a]);
    words[3] = Be32::from_bytes([VERSION_2_PROXY, kind, 0, header_len::<A>() as u8 - 16]);
    let (client, virtual_addr) = (conn.client(), conn.virtual_addr());
    let mut i = 0;
    while i < A::WORDS {
        words[4 + i] = client.word(i);
        words[4 + A::WORDS + i] = virtual_addr.word(i);
        i += 1;
    }
    words[4 + 2 * A::WORDS] = Be32(conn.client_port().0 as u32 | (conn.virtual_port().0 as u32) << 16);
}

/// A TCP segment: numbers in the machine's order, bytes of data.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Segment {
    pub seq: u32,
    pub ack: u32,
    pub flags: u8,
    pub data: u32,
}

impl Segment {
    /// From the words of a TCP header behind its ports: both numbers, and length, flags and window. Also the bytes of the header;
    /// none if it is no header.
    #[inline(always)]
    pub fn read([seq, ack, rest]: [Be32; 3], l4_len: u16) -> Option<(Segment, u32)> {
        const MIN: u32 = 20;
        let [offset, flags, ..] = rest.bytes();
        let (len, l4_len) = ((offset >> 4) as u32 * 4, l4_len as u32);
        if len < MIN || len > l4_len {
            return None;
        }
        Some((Segment { seq: seq.get(), ack: ack.get(), flags, data: l4_len - len }, len))
    }
}

/// The flags of the segment that carries the header for one that follows.
pub const HEADER_FLAGS: u8 = tcp_flags::ACK | tcp_flags::PSH;

/// What else there is to be done with a segment whose numbers were moved.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Extra {
    Nothing,
    /// A SYN: its options are to be [cut](cuts).
    Cut,
    /// The header is to be appended: it has no data.
    Append,
    /// A segment with the header is to be sent, too: its number is the one before the move.
    Before,
}

/// Is this TCP option not to be offered to the server?
#[inline(always)]
pub const fn cuts(option: u8) -> bool {
    const SACK_PERMITTED: u8 = 4;
    const FAST_OPEN: u8 = 34;
    option == SACK_PERMITTED || option == FAST_OPEN
}

/// Moves a segment's numbers.
#[inline(always)]
pub fn hand_on<A: Addr, M: Mem>(conn: Entry<A, M>, view: View, segment: &mut Segment) -> Extra {
    let len = header_len::<A>();
    if view == View::Output {
        if segment.flags & tcp_flags::SYN == 0 && conn.knows_first() {
            segment.ack = acknowledged(conn, segment.ack, len);
        }
        return Extra::Nothing;
    }
    if segment.flags & tcp_flags::SYN != 0 {
        conn.set_first(segment.seq.wrapping_add(1));
        return Extra::Cut;
    }
    if !conn.knows_first() {
        return Extra::Nothing; // it was opened without a SYN (sloppy_tcp)
    }
    let is_first = segment.seq == conn.first();
    segment.seq = segment.seq.wrapping_add(len);
    if !is_first || conn.is_handed_on() {
        return Extra::Nothing;
    }
    if segment.data == 0 && segment.flags & (tcp_flags::FIN | tcp_flags::RST) == 0 {
        segment.seq = conn.first();
        conn.note_header_sent(false);
        return Extra::Append;
    }
    // Data that comes for the first time is behind the header already; if it comes again, that may have been lost.
    let went_before = conn.note_header_sent(true);
    if went_before || segment.flags & tcp_flags::RST != 0 { Extra::Nothing } else { Extra::Before }
}

/// What the server acknowledges, as the client's numbers have it.
#[inline(always)]
fn acknowledged<A: Addr, M: Mem>(conn: Entry<A, M>, ack: u32, len: u32) -> u32 {
    let received = ack.wrapping_sub(conn.first());
    if received as i32 <= 0 {
        return ack;
    }
    if received < len {
        return conn.first();
    }
    conn.note_handed_on();
    ack.wrapping_sub(len)
}
