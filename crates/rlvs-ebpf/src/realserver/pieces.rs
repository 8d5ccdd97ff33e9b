//! Outer packets that came in fragments, put together.
//!
//! The director cuts an outer packet up where the client's packet may be cut up and is too long for the tunnel; so may a router on
//! the way (RFC 791, section 3.2). The kernel would put it together behind TC, and finds nobody there who takes tunnel packets. So
//! the pieces wait here: each is taken out of the stack's hands, its payload laid down behind that of the one before, and the last
//! one is made as long as the whole and goes on with all of it.
//!
//! They have to come in order. That is no more than Ethernet does: all pieces of a packet have the same addresses and nothing
//! else to be told apart by, so a card has one queue for them. A piece out of turn ends its packet. Nothing waits longer than
//! a second; a later packet takes an abandoned one's place.
//!
//! A slot is claimed for the time that a piece is laid down. Should two processors want the same one, one of them does without.

use super::ip::{Cut, Ip};
use super::packet::Packet;
use aya_ebpf::btf_maps::Array;
use aya_ebpf::helpers::generated as helpers;
use aya_ebpf::macros::btf_map;
use core::intrinsics::{AtomicOrdering, atomic_cxchg};

/// How many packets can be on their way at the same time. A power of two.
const SLOTS: usize = 64;
/// The longest packet, behind its outer header. A power of two.
const MOST: u32 = 16 * 1024;
/// (Twice that: the verifier does not know that offset and length of a piece together are less.)
const ROOM: usize = 2 * MOST as usize;
const PATIENCE_NS: u64 = 1_000_000_000;

#[btf_map]
static PIECES: Array<Slot, SLOTS> = Array::new();

/// The payload of a packet, as far as it has come.
#[repr(C)]
pub struct Slot {
    source: [u8; 16],
    destination: [u8; 16],
    id: u32,
    /// How many bytes; 0 if the slot is free.
    len: u32,
    /// When the first one came, on the kernel's monotonic clock.
    since_ns: u64,
    /// 1 while somebody has it.
    claimed: u32,
    protocol: u8,
    /// One of the pieces met congestion (RFC 3168, section 5.3).
    met_congestion: bool,
    bytes: [u8; ROOM],
}

/// What became of a first piece.
pub struct Kept {
    /// It waits for those behind it; else it is none that can be kept.
    pub waits: bool,
    /// Another packet had its place, and was not whole yet.
    pub ended_another: bool,
}

/// What became of a later piece.
pub enum Joined {
    /// Nobody knows the packet it is of.
    Unknown,
    /// It waits for those behind it.
    Waits,
    /// It came out of turn.
    Refused,
    /// The kernel has no memory for the whole.
    NoMemory,
    /// The packet is whole now.
    Whole,
}

/// Keeps a first piece.
#[inline(always)]
pub fn keep(packet: &Packet, ip: &Ip) -> Kept {
    let Some(claim) = Claim::of(ip) else { return Kept { waits: false, ended_another: false } };
    let slot = claim.0;
    // SAFETY: the slot is ours alone.
    unsafe {
        let ended_another = (&raw const (*slot).len).read_volatile() != 0;
        (*slot).source = ip.source;
        (*slot).destination = ip.destination;
        (*slot).id = ip.cut.id;
        (*slot).protocol = ip.protocol;
        (*slot).since_ns = helpers::bpf_ktime_get_ns();
        (*slot).met_congestion = false;
        (&raw mut (*slot).len).write_volatile(0);
        let waits = lay_down(packet, ip, slot);
        claim.release();
        Kept { waits, ended_another }
    }
}

/// Joins a later piece to those before it. If it was the last one, `packet` and `ip` are those of the whole.
#[inline(always)]
pub fn join(packet: &mut Packet, ip: &mut Ip) -> Joined {
    let Some(claim) = Claim::of(ip) else { return Joined::Unknown };
    // SAFETY: the slot is ours alone.
    let joined = unsafe { join_to(packet, ip, claim.0) };
    claim.release();
    joined
}

#[inline(always)]
unsafe fn join_to(packet: &mut Packet, ip: &mut Ip, slot: *mut Slot) -> Joined {
    // SAFETY: the caller's slot.
    unsafe {
        let len = (&raw const (*slot).len).read_volatile();
        if len == 0
            || (*slot).id != ip.cut.id
            || (*slot).protocol != ip.protocol
            || (*slot).source != ip.source
            || (*slot).destination != ip.destination
        {
            return Joined::Unknown;
        }
        let late = helpers::bpf_ktime_get_ns().wrapping_sub((*slot).since_ns) > PATIENCE_NS;
        if late || len != ip.cut.offset || !packet.is_intact(ip) || !lay_down(packet, ip, slot) {
            (&raw mut (*slot).len).write_volatile(0);
            return Joined::Refused;
        }
        if ip.cut.more_follow {
            return Joined::Waits;
        }
        let whole = (&raw const (*slot).len).read_volatile();
        (&raw mut (*slot).len).write_volatile(0);
        let bytes = (&raw const (*slot).bytes).cast();
        if !packet.replace_payload(ip, bytes, bounded(whole), whole) {
            return Joined::NoMemory;
        }
        if (*slot).met_congestion {
            ip.set_ce();
        }
        ip.total_len = ip.header_len + whole;
        ip.cut = Cut::NONE;
        Joined::Whole
    }
}

/// A slot, and the right to use it.
struct Claim(*mut Slot);

impl Claim {
    /// Of the slot for its packet; none if somebody else has it.
    #[inline(always)]
    fn of(ip: &Ip) -> Option<Claim> {
        let id = ip.cut.id;
        let spread = u32::from(ip.source[15]) ^ id ^ id >> 8 ^ id >> 16;
        let slot = PIECES.get_ptr_mut(spread & (SLOTS as u32 - 1))?;
        Claim(slot).change(0, 1).then_some(Claim(slot))
    }

    #[inline(always)]
    fn release(self) {
        self.change(1, 0);
    }

    #[inline(always)]
    fn change(&self, from: u32, to: u32) -> bool {
        // SAFETY: a word of a map, which lives as long as the program.
        unsafe {
            let claimed = &raw mut (*self.0).claimed;
            atomic_cxchg::<u32, { AtomicOrdering::SeqCst }, { AtomicOrdering::SeqCst }>(claimed, from, to).1
        }
    }
}

/// Lays a piece's payload down behind what is there; false if it cannot be.
///
/// # Safety
///
/// The slot is the caller's alone.
#[inline(always)]
unsafe fn lay_down(packet: &Packet, ip: &Ip, slot: *mut Slot) -> bool {
    let Some(len) = ip.total_len.checked_sub(ip.header_len) else { return false };
    // SAFETY: the caller says so.
    let at = unsafe { (&raw const (*slot).len).read_volatile() };
    // Offsets are whole eights, so all but the last piece have to be.
    if len == 0 || at + len > MOST || ip.cut.more_follow && len % 8 != 0 || packet.gso_size != 0 {
        return false;
    }
    // SAFETY: both are less than half the room, or as much.
    unsafe {
        let to = (&raw mut (*slot).bytes).cast::<u8>().add((bounded(at + 1) - 1) as usize);
        if !packet.read_many(ip.header_len, to, bounded(len)) {
            return false;
        }
        if ip.ecn().is_ce() {
            (*slot).met_congestion = true;
        }
        (&raw mut (*slot).len).write_volatile(at + len);
    }
    true
}

/// The same number, of which the verifier sees that it is from 1 to [`MOST`]. (Volatile, so that the compiler does not leave
/// out what it knows.)
#[inline(always)]
fn bounded(len: u32) -> u32 {
    let last = len.wrapping_sub(1);
    // SAFETY: a local variable.
    (unsafe { (&raw const last).read_volatile() } & (MOST - 1)) + 1
}
