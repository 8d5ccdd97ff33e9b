//! What a probe's packet socket takes from the kernel: the answers to this very probe, and ICMP errors about it. A director
//! sees many other packets, and none of them shall be copied; so it is a classic BPF program, run before that.
//!
//! Packets begin with their IP header. The program is a list of cases; the first one of which all conditions hold takes the
//! packet.

use socket2::SockFilter;
use std::net::{IpAddr, SocketAddr};

pub const ICMP: u8 = 1;
pub const TCP: u8 = 6;
pub const UDP: u8 = 17;
pub const ICMPV6: u8 = 58;

/// One probe.
#[derive(Clone, Copy, Debug)]
pub struct Flow {
    /// [`TCP`] or [`UDP`].
    pub protocol: u8,
    pub from: SocketAddr,
    pub to: SocketAddr,
    /// Addresses of the outer header.
    pub outer: Option<(IpAddr, IpAddr)>,
}

/// A load, and what it must give.
enum Condition {
    Byte(u32, u32),
    Half(u32, u32),
    Word(u32, u32),
    /// From where X points to.
    HalfAtX(u32, u32),
    WordAtX(u32, u32),
    /// The packet is no later fragment.
    Unfragmented,
    /// None: makes X point behind the IPv4 header.
    SkipHeader,
}

impl Flow {
    /// Does it go to our port, from theirs?
    pub fn is_answer(&self, packet: &[u8]) -> bool {
        let start = match packet.first().map(|byte| (byte >> 4, byte & 15)) {
            Some((4, words)) => usize::from(words) * 4,
            _ => 40,
        };
        let ports = [self.to.port(), self.from.port()].map(u16::to_be_bytes);
        packet.get(start..start + 4) == Some(ports.as_flattened())
    }
}

use Condition::*;

/// Opcodes: classes, sizes and modes as `linux/filter.h` numbers them.
mod op {
    pub const LD_BYTE: u16 = 0x30; // LD | B | ABS
    pub const LD_HALF: u16 = 0x28;
    pub const LD_WORD: u16 = 0x20;
    pub const LD_HALF_X: u16 = 0x48; // LD | H | IND
    pub const LD_WORD_X: u16 = 0x40;
    pub const LDX_HEADER: u16 = 0xb1; // LDX | B | MSH: 4 * (byte & 15)
    pub const JUMP_IF_EQUAL: u16 = 0x15; // JMP | JEQ | K
    pub const JUMP_IF_BITS: u16 = 0x45; // JMP | JSET | K
    pub const RETURN: u16 = 0x06;
}

/// Takes no packet.
pub const NOTHING: [SockFilter; 1] = [SockFilter::new(op::RETURN, 0, 0, 0)];

/// The whole packet.
const TAKE: u32 = 0x4_0000;
const OFFSET_BITS: u32 = 0x1fff;

pub fn program(flow: &Flow) -> Vec<SockFilter> {
    code(flow).into_iter().map(|(code, jt, jf, k)| SockFilter::new(code, jt, jf, k)).collect()
}

type Instruction = (u16, u8, u8, u32);

fn code(flow: &Flow) -> Vec<Instruction> {
    let mut cases = vec![answer(flow), error(flow.from.ip(), (flow.from.ip(), flow.to.ip()))];
    if let Some((from, to)) = flow.outer
        && from.is_ipv4() == flow.from.is_ipv4()
    {
        cases.push(error(from, (from, to)));
    }
    let mut code: Vec<Instruction> = cases.iter().flat_map(|case| assemble(case)).collect();
    code.push((op::RETURN, 0, 0, 0));
    code
}

fn assemble(case: &[Condition]) -> Vec<Instruction> {
    let length: usize = case.iter().map(|c| if matches!(c, SkipHeader) { 1 } else { 2 }).sum();
    let mut code = Vec::with_capacity(length + 1);
    for condition in case {
        let (load, offset, wanted) = match *condition {
            Byte(offset, wanted) => (op::LD_BYTE, offset, Some(wanted)),
            Half(offset, wanted) => (op::LD_HALF, offset, Some(wanted)),
            Word(offset, wanted) => (op::LD_WORD, offset, Some(wanted)),
            HalfAtX(offset, wanted) => (op::LD_HALF_X, offset, Some(wanted)),
            WordAtX(offset, wanted) => (op::LD_WORD_X, offset, Some(wanted)),
            Unfragmented => (op::LD_HALF, 6, None),
            SkipHeader => {
                code.push((op::LDX_HEADER, 0, 0, 0));
                continue;
            }
        };
        code.push((load, 0, 0, offset));
        // Over the rest of this case and its return.
        let away = (length - code.len()) as u8; // a case has less than 100 instructions
        code.push(match wanted {
            Some(wanted) => (op::JUMP_IF_EQUAL, 0, away, wanted),
            None => (op::JUMP_IF_BITS, away, 0, OFFSET_BITS),
        });
    }
    code.push((op::RETURN, 0, 0, TAKE));
    code
}

fn answer(flow: &Flow) -> Vec<Condition> {
    let (sport, dport) = (u32::from(flow.to.port()), u32::from(flow.from.port()));
    let protocol = u32::from(flow.protocol);
    let mut case = match flow.from {
        SocketAddr::V4(_) => vec![Byte(9, protocol), Unfragmented],
        SocketAddr::V6(_) => vec![Byte(6, protocol)],
    };
    case.extend(addresses(flow.to.ip(), source_at(flow.from.ip()), Word));
    case.extend(addresses(flow.from.ip(), source_at(flow.from.ip()) + length(flow.from.ip()), Word));
    match flow.from {
        SocketAddr::V4(_) => case.extend([SkipHeader, HalfAtX(0, sport), HalfAtX(2, dport)]),
        SocketAddr::V6(_) => case.extend([Half(40, sport), Half(42, dport)]),
    }
    case
}

/// An ICMP error to `to` about a packet with these addresses.
fn error(to: IpAddr, (src, dst): (IpAddr, IpAddr)) -> Vec<Condition> {
    let mut case = match to {
        IpAddr::V4(_) => vec![Byte(9, u32::from(ICMP)), Unfragmented],
        IpAddr::V6(_) => vec![Byte(6, u32::from(ICMPV6))],
    };
    case.extend(addresses(to, source_at(to) + length(to), Word));
    let quoted = 8 + source_at(to);
    match to {
        IpAddr::V4(_) => {
            case.push(SkipHeader);
            case.extend(addresses(src, quoted, WordAtX));
            case.extend(addresses(dst, quoted + 4, WordAtX));
        }
        IpAddr::V6(_) => {
            case.extend(addresses(src, 40 + quoted, Word));
            case.extend(addresses(dst, 40 + quoted + 16, Word));
        }
    }
    case
}

/// Where the source address stands in an IP header.
fn source_at(family_of: IpAddr) -> u32 {
    if family_of.is_ipv4() { 12 } else { 8 }
}

fn length(family_of: IpAddr) -> u32 {
    if family_of.is_ipv4() { 4 } else { 16 }
}

fn addresses(addr: IpAddr, at: u32, word: fn(u32, u32) -> Condition) -> Vec<Condition> {
    let words: Vec<u32> = match addr {
        IpAddr::V4(addr) => vec![addr.into()],
        IpAddr::V6(addr) => {
            let bits = u128::from(addr);
            (0..4).map(|n| (bits >> (96 - 32 * n)) as u32).collect() // one word after the other
        }
    };
    (at..).step_by(4).zip(words).map(|(at, value)| word(at, value)).collect()
}

#[cfg(test)]
#[path = "filter_tests.rs"]
mod tests;
