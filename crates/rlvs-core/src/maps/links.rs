//! What the programs must know of interfaces: the bits of a `LINKS` value (a `u32`, keyed by interface index).

/// XDP may redirect frames into this interface: its driver takes them, and the far end of a veth pair too.
pub const XDP_TARGET: u32 = 1 << 0;
