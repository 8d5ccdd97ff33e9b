//! For which tunnel a VIP is opened: the values of the map `OPENED`, one number for each kind.
//!
//! Shared by the program and user space.

pub const IPIP: u32 = 1;
pub const GRE: u32 = 2;

/// To this UDP port.
pub const fn gue(port: u16) -> u32 {
    3 | (port as u32) << 16
}
