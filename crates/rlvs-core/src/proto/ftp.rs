//! FTP's control connection (RFC 959, RFC 2428): where it says at which port a data connection is going to be opened.
//!
//! | who | says | and the data connection comes |
//! |---|---|---|
//! | server | `227 Entering Passive Mode (h1,h2,h3,h4,p1,p2)` | from the client, to that address and port |
//! | server | `229 Entering Extended Passive Mode (\|\|\|port\|)` | from the client, to that port |
//! | client | `PORT h1,h2,h3,h4,p1,p2` | from the server, to that port |
//! | client | `EPRT \|family\|addr\|port\|` | from the server, to that port |
//!
//! A segment is read byte by byte ([`Reader`]), line after line, for a line is seldom alone where commands are sent ahead. A
//! line that goes on in the next segment is not understood. Of the addresses only those of a 227 matter: clients
//! connect to them, so they have to be the virtual one. It is written over the old one ([`Writer`]), and the line stays as
//! long as it was, so that no sequence number has to be changed afterwards: the text before the numbers ("Entering Passive
//! Mode") gives way, or gets blanks. Clients look for the digits (RFC 1123, section 4.1.2.6).

use crate::fwd::{Edit, Kind};
use crate::wire::tcp_flags::SYN;
use crate::wire::{Addr, Be16, Be32, Packet, Part, ip_proto};

/// The ports of control and data connections (RFC 959).
pub const CONTROL: Be16 = Be16::new(21);
pub const DATA: Be16 = Be16::new(20);

/// So many bytes of a segment are looked at.
pub const LOOKED_AT: u32 = 256;

/// May this packet, which is masqueraded as planned, say something of the kind?
#[inline(always)]
pub fn may_speak<A: Addr>(packet: &Packet<A>, edit: &Edit<A>) -> bool {
    let rewrite = &edit.rewrite;
    let to_server = rewrite.src == packet.src;
    let is_control = if to_server { packet.dport == CONTROL } else { rewrite.sport == CONTROL };
    // FULLNAT rewrites both sides: there the server would connect to an address of the director.
    let is_control = is_control && to_server != (rewrite.dst == packet.dst);
    is_control
        && edit.kind == Kind::Nat
        && packet.proto == ip_proto::TCP
        && packet.part == Part::Whole
        && packet.tcp_flags & SYN == 0
        && packet.l4_len() > 20
}

/// What was said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Said {
    Nothing = 0,
    /// A 227.
    Passive = 1,
    /// A 229.
    ExtendedPassive = 2,
    /// `PORT` or `EPRT`.
    Active = 3,
}

/// Where in a line the reader is. Below [`REST`]: so many of its first four bytes were read.
const REST: u32 = 4;
/// Of a command: the blanks behind it.
const BLANKS: u32 = 5;
/// Text before six numbers.
const TEXT: u32 = 6;
/// Digits that are no part of the six numbers.
const OTHER_DIGITS: u32 = 7;
const NUMBER: u32 = 8;
const COMMA: u32 = 9;
/// Text before a parenthesis, and what comes behind it.
const BEFORE_FIELDS: u32 = 10;
const DELIMITER: u32 = 11;
const FIELDS: u32 = 12;
const PORT: u32 = 13;
const DONE: u32 = 14;

const PASSIVE: u32 = u32::from_be_bytes(*b"227 ");
const EXTENDED_PASSIVE: u32 = u32::from_be_bytes(*b"229 ");
const ACTIVE: u32 = u32::from_be_bytes(*b"port");
const EXTENDED_ACTIVE: u32 = u32::from_be_bytes(*b"eprt");

/// Reads a segment until something was found. Plain numbers, as the loops of programs want them. In the kernel it lies in a
/// map, where the verifier takes every number for unknown; else it would follow each of them through all turns of the loop.
#[derive(Clone, Copy, Debug)]
pub struct Reader {
    state: u32,
    /// The line's first four bytes, in small letters.
    head: u32,
    /// Bytes read.
    at: u32,
    /// Where the text of a 227 begins, where its six numbers do, and where they end.
    text: u32,
    start: u32,
    pub end: u32,
    number: u32,
    /// Numbers or fields of the line that are complete.
    count: u32,
    delimiter: u32,
    port: u32,
}

impl Reader {
    /// At the start of a segment.
    pub const START: Reader = Reader {
        state: 0,
        head: 0,
        at: 0,
        text: 0,
        start: 0,
        end: 0,
        number: 0,
        count: 0,
        delimiter: 0,
        port: 0,
    };

    /// Bytes read so far: the number of the next one.
    #[inline(always)]
    pub fn at(&self) -> u32 {
        self.at
    }

    /// Reads the next byte; true when more would tell nothing.
    #[inline(always)]
    pub fn read(&mut self, byte: u8) -> bool {
        let next = if byte == b'\n' && self.state != NUMBER { 0 } else { self.next(byte) };
        self.state = next;
        self.at = self.at.wrapping_add(1);
        next == DONE
    }

    #[inline(always)]
    fn next(&mut self, byte: u8) -> u32 {
        let digit = (byte as u32).wrapping_sub(b'0' as u32);
        let is_digit = digit < 10;
        match self.state {
            TEXT if is_digit => self.begin(digit),
            TEXT => TEXT,
            OTHER_DIGITS if is_digit => OTHER_DIGITS,
            OTHER_DIGITS => TEXT,
            NUMBER if is_digit => {
                self.number = self.number.wrapping_mul(10).wrapping_add(digit);
                if self.number > 255 { OTHER_DIGITS } else { NUMBER }
            }
            NUMBER => {
                self.port = self.port << 8 | self.number & 255;
                self.count = self.count.wrapping_add(1);
                if self.count == 6 {
                    self.end = self.at;
                    DONE
                } else if byte == b',' {
                    COMMA
                } else if byte == b'\n' {
                    0
                } else {
                    TEXT
                }
            }
            COMMA if is_digit => {
                self.number = digit;
                NUMBER
            }
            COMMA => TEXT,
            BLANKS if byte == b' ' => BLANKS,
            BLANKS if self.text == self.at => REST, // a longer word
            BLANKS if self.head == EXTENDED_ACTIVE => self.delimited(byte),
            BLANKS if is_digit => self.begin(digit),
            BLANKS => REST,
            BEFORE_FIELDS if byte == b'(' => DELIMITER,
            BEFORE_FIELDS => BEFORE_FIELDS,
            DELIMITER => self.delimited(byte),
            FIELDS if byte as u32 != self.delimiter => FIELDS,
            FIELDS => {
                self.count = self.count.wrapping_add(1);
                if self.count == 2 { PORT } else { FIELDS }
            }
            PORT if is_digit => {
                self.port = self.port.wrapping_mul(10).wrapping_add(digit);
                if self.port > 0xffff { REST } else { PORT }
            }
            PORT if byte as u32 == self.delimiter => DONE,
            PORT | REST => REST,
            DONE => DONE,
            letters => self.first_bytes(letters, byte),
        }
    }

    #[inline(always)]
    fn first_bytes(&mut self, letters: u32, byte: u8) -> u32 {
        self.head = self.head << 8 | byte.to_ascii_lowercase() as u32;
        if letters < 3 {
            return letters.wrapping_add(1);
        }
        self.text = self.at.wrapping_add(1);
        match self.head {
            PASSIVE => TEXT,
            EXTENDED_PASSIVE => BEFORE_FIELDS,
            ACTIVE | EXTENDED_ACTIVE => BLANKS,
            _ => REST,
        }
    }

    /// The first digit of six numbers, perhaps.
    #[inline(always)]
    fn begin(&mut self, digit: u32) -> u32 {
        self.start = self.at;
        self.number = digit;
        self.count = 0;
        self.port = 0;
        NUMBER
    }

    #[inline(always)]
    fn delimited(&mut self, byte: u8) -> u32 {
        self.delimiter = byte as u32;
        self.count = 0;
        self.port = 0;
        FIELDS
    }

    /// What a server or a client said; the port with it is never 0.
    #[inline(always)]
    pub fn said(&self, by_server: bool) -> Said {
        if self.state != DONE || self.port & 0xffff == 0 {
            return Said::Nothing;
        }
        match (self.head, by_server) {
            (PASSIVE, true) => Said::Passive,
            (EXTENDED_PASSIVE, true) => Said::ExtendedPassive,
            (ACTIVE | EXTENDED_ACTIVE, false) => Said::Active,
            _ => Said::Nothing,
        }
    }

    #[inline(always)]
    pub fn port(&self) -> Be16 {
        Be16::new(self.port as u16)
    }

    /// The byte before the six numbers.
    #[inline(always)]
    pub fn before(&self) -> u32 {
        self.start.wrapping_sub(1)
    }

    /// Bytes of the six numbers of a 227, and of the text before them.
    #[inline(always)]
    fn lengths(&self) -> (u32, u32) {
        (self.end.wrapping_sub(self.start), self.start.wrapping_sub(self.text))
    }
}

/// The bytes of a segment before the end of the six numbers, of which some are written anew: as many as the longest numbers
/// and a parenthesis have. (Of a short line they begin before the segment, in the TCP header: that part stays as it is.)
pub const WINDOW: u32 = 24;

/// Writes another address into a 227: from right to left, byte by byte. (Lies in a map, too.)
#[derive(Clone, Copy, Debug)]
pub struct Writer {
    /// The six numbers as six bytes, the last one lowest; and how many are left.
    numbers: u64,
    left: u32,
    /// What is left of the number that is being written; 0 behind its first digit.
    rest: u32,
    /// The number that is being written has no digit yet.
    fresh: u32,
    /// Bytes written.
    at: u32,
    /// Bytes of the window that are written: at least what stood there.
    len: u32,
    parenthesis: u32,
}

impl Writer {
    /// None if there is no room for the address. `parenthesis`: the byte before the numbers is one.
    #[inline(always)]
    pub fn new(reader: &Reader, addr: Be32, parenthesis: bool) -> Option<Writer> {
        let numbers = (addr.get() as u64) << 16 | (reader.port & 0xffff) as u64;
        let (old, room) = reader.lengths();
        let new = length(numbers);
        // (It stands in the room.)
        let parenthesis = (parenthesis && room > 0) as u32;
        if new.wrapping_add(parenthesis) > old.wrapping_add(room) || old >= WINDOW {
            return None;
        }
        let len = old.max(new).wrapping_add(parenthesis);
        Some(Writer { numbers, left: 6, rest: 0, fresh: 0, at: 0, len, parenthesis })
    }

    /// The next byte to the left, where `old` stands.
    #[inline(always)]
    pub fn write(&mut self, old: u8) -> u8 {
        if self.at >= self.len {
            return old;
        }
        self.at = self.at.wrapping_add(1);
        if self.fresh == 0 && self.rest == 0 {
            let is_last = self.at == 1;
            if self.left == 0 {
                let parenthesis = self.parenthesis != 0;
                self.parenthesis = 0;
                return if parenthesis { b'(' } else { b' ' };
            }
            self.rest = (self.numbers & 255) as u32;
            self.numbers >>= 8;
            self.left = self.left.wrapping_sub(1);
            self.fresh = 1;
            if !is_last {
                return b',';
            }
        }
        let digit = self.rest % 10;
        self.rest /= 10;
        self.fresh = 0;
        b'0'.wrapping_add(digit as u8)
    }
}

/// Bytes of six numbers and five commas.
#[inline(always)]
fn length(numbers: u64) -> u32 {
    let mut len = 5;
    let mut i = 0;
    while i < 6 {
        let n = (numbers >> (i * 8)) as u32 & 255;
        len += 1 + (n > 9) as u32 + (n > 99) as u32;
        i += 1;
    }
    len
}

/// How a sum changes with the window; `odd`: it begins at an odd place of what is summed.
#[inline(always)]
pub const fn placed(change: u32, odd: bool) -> u32 {
    let sum = crate::wire::checksum::fold(change);
    (if odd { sum.swap_bytes() } else { sum }) as u32
}

/// What a segment says, and its reader: for the host.
pub fn said(segment: &[u8], by_server: bool) -> (Said, Reader) {
    let mut reader = Reader::START;
    for byte in segment.iter().take(LOOKED_AT as usize) {
        if reader.read(*byte) {
            break;
        }
    }
    (reader.said(by_server), reader)
}

#[cfg(test)]
mod tests;
