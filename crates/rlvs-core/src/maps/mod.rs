//! What every map holds: the one place that both sides read.
//!
//! A map value is a wire format: `repr(C)`, fixed widths, explicit padding, no `bool`, `Option` or `enum` fields;
//! the tests below lock sizes and offsets. All maps are arrays that user space may `mmap`, except `SERVICES`,
//! `LINKS`, `CALLS`, `DATAGRAMS` (hashes), `EVENTS` (a ring) and `TICKER` (holds a kernel timer).
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
//! | `BUCKETS` | page | 256 destination ids: the tables of dh, sh and mh | user |
//! | `MARKS` | number | [`MarkRule`] | user |
//! | `SOURCES` | number; 256 of each family | [`SourceConfig`] | user |
//! | `LINKS` | interface index | [`LinkFlags`](links) | user |
//! | `DEST_STATE` | destination id | [`dest_state`] words | programs |
//! | `SCHED_STATE` | service id | [`sched_state`] words | programs |
//! | `STATS` | destination id × CPUs + CPU | [`stats`] words | programs |
//! | `RATES` | destination, then service, then the total | [`rates`] words | programs |
//! | `DROPS` | CPU × 64 + reason | count (u64) | programs |
//! | `CONNS` | set | [`conn`](crate::conn) words | programs |
//! | `CONNS6` | set | the same of IPv6 | programs |
//! | `SCRATCH6` | 0, for each CPU | a packet of IPv6 while it is looked at: too large for the stack | programs |
//! | `DATAGRAMS` | [`FragmentKey`] | [`Datagram`] | programs |
//! | `FRAGMENTS_ASIDE` | place | a fragment that waits for its first one | programs |
//! | `GLOBAL` | 0 | [`global`] words | programs |
//! | `TICKER` | 0 | a timer | programs |

pub mod command;
mod config;
mod fragment;
pub mod links;
mod mark;
mod source;
pub mod sysctl;
mod trace;

pub use config::*;
pub use fragment::{Datagram, FragmentKey};
pub use mark::MarkRule;
pub use source::{SOURCES_PER_FAMILY, SourceConfig};
pub use trace::{TraceConfig, TraceEvent, trace_flag};

/// Changes whenever anything in this module does; pinned maps of another version are refused.
pub const LAYOUT_VERSION: u32 = 8;

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
    /// All connections that are not templates: what thresholds count. The highest bit: the upper threshold was reached
    /// and the lower one not yet passed.
    pub const TOTAL: usize = 3;
    pub const OVERLOADED: u32 = 1 << 31;
    /// Mappings of lblc and lblcr.
    pub const MAPPINGS: usize = 4;
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

/// Words of a `SCHED_STATE` value.
pub mod sched_state {
    /// 64 bits of rr and wrr, see each.
    pub const CURSOR: usize = 0;
    /// Entries of the connection table that are mappings of lblc or lblcr.
    pub const MAPPINGS: usize = 2;
    /// The number of the last mapping.
    pub const SERIAL: usize = 3;
}

/// Words of a `RATES` value: five pairs in the order of [`stats`], 64 bits each.
pub mod rates {
    pub const WORDS: usize = 32;
    /// The smoothed rate: scaled by 2^10 for connections and packets, by 2^5 for bytes.
    pub const AVERAGE: usize = 0;
    /// Of a destination: what was counted at the last look. Of a service and the total: what came since then.
    pub const LAST: usize = 10;
}

/// A page of `BUCKETS`.
pub const BUCKETS_PER_PAGE: usize = 256;

/// Words of the `GLOBAL` value.
pub mod global {
    pub const WORDS: usize = 64;
    /// Entries in the connection table of IPv4, templates and mappings too.
    pub const CONNS: usize = 0;
    /// Where the sweeping timer goes on.
    pub const SWEEP_AT: usize = 1;
    /// Ticks of the sweeping timer, to see that it lives.
    pub const TICKS: usize = 2;
    /// Where the estimator goes on.
    pub const ESTIMATE_AT: usize = 3;
    /// Like `CONNS` and `SWEEP_AT`, of the table of IPv6.
    pub const CONNS6: usize = 4;
    pub const SWEEP_AT6: usize = 5;
    /// Always 0, which the verifier cannot know.
    pub const ZERO: usize = 15;
    /// Where the entries of a family's table are counted.
    pub const fn conns<A: crate::wire::Addr>() -> usize {
        if A::WORDS == 1 { CONNS } else { CONNS6 }
    }
    // The second cache line is read by every new connection when a defence is up, and seldom written.
    /// Bits of the automatic defences that are up: [`SECURE`], [`DROP_ENTRY`], and `DROP_RATE` is above 0.
    pub const DEFENCE: usize = 16;
    pub const SECURE: u32 = 1;
    pub const DROP_ENTRY: u32 = 2;
    /// One of so many new connections is dropped; 0 for none.
    pub const DROP_RATE: usize = 17;
    /// Data connections of FTP that are expected: both tables'.
    pub const EXPECTED: usize = 18;
    // The third is written by packets.
    /// Counts down to the next packet to be dropped.
    pub const DROP_COUNTER: usize = 32;
    /// From here on sixteen words: how many entries with so many packets are let live until the next is dropped.
    pub const ENTRY_COUNTERS: usize = 33;
    /// Fragments that wait for the first one of their datagram, and where the next one is put.
    pub const ASIDE: usize = 56;
    pub const ASIDE_AT: usize = 57;
    /// How many ICMP errors may be sent to all hosts now, and when that was reckoned.
    pub const ANSWERS: usize = 58;
    pub const ANSWERS_AT: usize = 59;
}

/// `DROPS` has so many counters for each processor.
pub const DROP_REASONS: usize = 64;
/// Bytes of a value of `CALLS`: a Call-ID, its end shown by a byte of 0.
pub const CALL_ID_LEN: usize = 256;

/// The key in `CALLS` of a template, by its link (see [`conn::entry::link`](crate::conn::entry::link)).
#[inline(always)]
pub const fn call_key<A: crate::wire::Addr>(link: u32) -> [u32; 2] {
    [link, A::FAMILY as u32]
}
