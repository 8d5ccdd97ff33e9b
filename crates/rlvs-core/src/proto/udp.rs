//! UDP: one state; never counted as active.

/// The only state a UDP connection has once a packet went through.
pub const NORMAL: u8 = 1;
pub const TIMEOUT_SECS: u32 = 300;
