//! Which flow comes next, and what a packet of it looks like.
//!
//! Flows are numbers: the lower 15 bits give the client's port, the others its address. They are inserted in the order
//! of their numbers and met in another one, else a table would be read in the order of its memory, and a million
//! connections would look as cheap as a thousand.

use aya_ebpf::macros::map;
use aya_ebpf::maps::Array;
use rlvs_core::wire::checksum::{change, update};
use rlvs_core::wire::{Be16, Be32};

/// Bytes of the template: as much as the shortest Ethernet frame has.
pub const FRAME: usize = 64;
pub const WORDS: usize = FRAME / 4;

/// Set by user space before each run. `crates/rlvs-control/benches/packet/wrapper.rs` has the other half.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Config {
    /// The number of the next packet.
    pub next: u64,
    /// Flows less one; their number is a power of two.
    pub mask: u32,
    /// Bits of the flow's number to mix, half of them: 0 for flows in the order of their numbers.
    pub half_bits: u32,
    /// 0: the client is the packet's source, 1: its destination.
    pub is_reply: u32,
    /// The first client's address, in the machine's order.
    pub first_client: u32,
    /// A frame of flow 0, with a right header checksum; an IPv4 header without options, and ports behind it.
    pub frame: [u32; WORDS],
}

#[map]
pub static CONFIG: Array<Config> = Array::with_max_entries(1, 0);

/// The client of a packet, and the header checksum that goes with its address.
#[derive(Clone, Copy)]
pub struct Client {
    pub addr: Be32,
    pub port: Be16,
    pub ip_check: Be16,
}

const FIRST_PORT: u32 = 1024;
const CHECK_WORD: usize = 6;

/// Takes the next number and makes a client of it.
#[inline(always)]
pub fn next(config: &mut Config) -> Client {
    let number = config.next as u32;
    config.next += 1;
    let flow = if config.half_bits == 0 { number & config.mask } else { mixed(number, config) };
    let addr = Be32::from_bytes(config.first_client.wrapping_add(flow >> 15).to_be_bytes());
    let first = Be32::from_bytes(config.first_client.to_be_bytes());
    let check = config.frame[CHECK_WORD] as u16; // bytes 24 and 25 as they lie in memory
    Client {
        addr,
        port: Be16::new((FIRST_PORT + (flow & 0x7fff)) as u16),
        ip_check: update(Be16(check), change(first.0, addr.0)),
    }
}

/// Another order of the same numbers: each step can be undone, so no two numbers become one.
#[inline(always)]
fn mixed(number: u32, config: &Config) -> u32 {
    let shift = config.half_bits & 15;
    let x = number.wrapping_mul(0x9e37_79b1) & config.mask;
    let x = x ^ x >> shift;
    let x = x.wrapping_mul(0x85eb_ca6b) & config.mask;
    x ^ x >> shift
}
