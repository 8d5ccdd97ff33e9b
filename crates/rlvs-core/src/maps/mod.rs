//! What every map holds: the one place that both sides read.
//!
//! A map value is a wire format: `repr(C)`, fixed widths, explicit padding, no `bool`, `Option` or `enum` fields;
//! the tests below lock sizes and offsets. All maps are arrays that user space may `mmap`, except `SERVICES` (a
//! hash), `LINKS` (a hash) and `TICKER` (holds a kernel timer).
//!
//! **One writer side per map.** User space writes configuration, the programs only read it; the programs write state,
//! user space only reads it. Where user space needs a state changed it runs the `rlvs_command` program ([`command`]).
//!
//! | map | index | value | written by |
//! |---|---|---|---|
//! | `SETTINGS` | 0 | [`Settings`] | user |
//! | `FILTER` | 0 | [`Filter`] | user |
//! | `SERVICES` | [`ServiceKey`] | service id | user |
//! | `SERVICE` | service id | [`ServiceConfig`] | user |
//! | `DEST` | destination id | [`DestConfig`] | user |
//! | `LINKS` | interface index | [`LinkFlags`](links) | user |
//! | `DEST_STATE` | destination id | [`dest_state`] words | programs |
//! | `SCHED_STATE` | service id | 64 bits, see each scheduler | programs |
//! | `STATS` | destination id × CPUs + CPU | [`stats`] words | programs |
//! | `DROPS` | CPU × 64 + reason | count (u64) | programs |
//! | `CONNS` | set | [`conn`](crate::conn) words | programs |
//! | `GLOBAL` | 0 | [`global`] words | programs |
//! | `TICKER` | 0 | a timer | programs |

pub mod command;
mod config;
pub mod links;

pub use config::*;

/// Changes whenever anything in this module does; pinned maps of another version are refused.
pub const LAYOUT_VERSION: u32 = 1;

/// No destination, no service.
pub const NONE: u32 = u32::MAX;

/// Words of a `DEST_STATE` value (64 bytes).
pub mod dest_state {
    pub const WORDS: usize = 16;
    /// Connections whose protocol state is active, and the others.
    pub const ACTIVE: usize = 0;
    pub const INACTIVE: usize = 1;
    /// Persistence templates.
    pub const PERSISTENT: usize = 2;
    /// All connections that are not templates: what thresholds count.
    pub const TOTAL: usize = 3;
    pub const FLAGS: usize = 4;
    /// In `FLAGS`: the upper threshold was reached and the lower one not yet passed.
    pub const OVERLOADED: u32 = 1;
    /// The cached next hop: when it was looked up, and the words of [`Hop`](crate::path::Hop).
    pub const HOP_AT: usize = 5;
    pub const HOP_FLAGS: usize = 6;
    pub const HOP_IFINDEX: usize = 7;
    pub const HOP_MACS: usize = 8; // 8, 9, 10: destination MAC, source MAC
    pub const HOP_MTU: usize = 11;
    pub const HOP_VIA: usize = 12; // 12..16: address of the next hop
}

/// Words of a `STATS` row: one cache line for each destination and processor, five 64-bit counters.
pub mod stats {
    pub const WORDS: usize = 16;
    pub const CONNS: usize = 0;
    pub const IN_PACKETS: usize = 2;
    pub const OUT_PACKETS: usize = 4;
    pub const IN_BYTES: usize = 6;
    pub const OUT_BYTES: usize = 8;
}

/// Words of the `GLOBAL` value.
pub mod global {
    pub const WORDS: usize = 16;
    /// Entries in the connection table, templates too.
    pub const CONNS: usize = 0;
    /// Where the sweeping timer goes on.
    pub const SWEEP_AT: usize = 1;
    /// Ticks of the sweeping timer, to see that it lives.
    pub const TICKS: usize = 2;
    /// Always 0, which the verifier cannot know.
    pub const ZERO: usize = 15;
}

/// `DROPS` has so many counters for each processor.
pub const DROP_REASONS: usize = 64;
