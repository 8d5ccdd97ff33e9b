//! What can become of a tunnel packet for a VIP: the index of each fate in the map `COUNTERS`, and its name.
//!
//! Shared by the program, which counts, and by user space, which shows. The list only grows: an index never changes
//! its meaning, because counters stay pinned while programs are replaced.

/// One fate; the number is the index in the map.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Counter {
    /// Packets (GSO packets count once) that were taken out of their outer header.
    Decapsulated = 0,
    /// Their bytes, from the inner IP header on.
    DecapsulatedBytes = 1,
    /// Left to the kernel: the outer packet is a first fragment that is too long for us, or not whole eights of bytes. (Nobody
    /// wants it once it is put together.)
    LeftFragment = 2,
    /// Left to the kernel: not addressed to this host, which forwards it if it may.
    LeftOtherHost = 3,
    /// Left to the kernel, which drops it: the outer header is truncated, inconsistent or fails its checksum.
    LeftMalformed = 4,
    /// Dropped: the inner header is truncated or inconsistent.
    DroppedMalformed = 5,
    /// Dropped: the path met congestion and the inner packet cannot tell its receiver (RFC 6040, section 4.2).
    DroppedCongestion = 6,
    /// Dropped: the kernel could not remove the header (no memory).
    DroppedNoMemory = 7,
    /// Outer packets that came in fragments and were put together; they go on to be decapsulated.
    Reassembled = 8,
    /// Outer packets in fragments that were lost: a fragment came out of turn, too late or not at all (which is found out when
    /// another packet takes the place), or they are too long for us.
    DroppedFragment = 9,
}

/// How many there are.
pub const COUNTERS: u32 = 10;

/// Their names, for people and JSON, by index.
#[cfg(not(target_arch = "bpf"))]
pub const NAMES: [&str; COUNTERS as usize] = [
    "decapsulated",
    "decapsulated_bytes",
    "left_fragment",
    "left_other_host",
    "left_malformed",
    "dropped_malformed",
    "dropped_congestion",
    "dropped_no_memory",
    "reassembled",
    "dropped_fragment",
];
