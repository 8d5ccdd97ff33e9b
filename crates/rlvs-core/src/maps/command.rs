//! Orders from user space to the `rlvs_command` program.
//!
//! State maps are written by programs only, so user space asks for a change by running a program on a "packet" that
//! is a [`Command`] (`BPF_PROG_TEST_RUN`). The return value is 0, or a positive errno.

/// An order; `repr(C)`, 64 bytes, numbers in the machine's order.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Command {
    /// [`MAGIC`]
    pub magic: u32,
    /// One of the `op`s below.
    pub op: u32,
    pub service: u32,
    pub dest: u32,
    pub arg: [u32; 12],
}

pub const MAGIC: u32 = 0x726c_7673;

pub mod op {
    /// Starts (or restarts) the timer that sweeps the connection table.
    pub const START: u32 = 1;
    /// Zeroes state, counters and rates of destination slot `dest`, which nothing points to.
    pub const RESET_DEST: u32 = 2;
    /// Zeroes the scheduler state of `service`: its scheduler was set anew.
    pub const RESET_SCHED: u32 = 3;
    /// Destinations of `service` were added or their weights edited.
    pub const DESTS_CHANGED: u32 = 4;
    /// `dest` was taken out of the list of `service`; `arg[0]` is the one before it, or NONE.
    pub const DEST_REMOVED: u32 = 5;
    /// The thresholds of `dest` changed.
    pub const THRESHOLDS_CHANGED: u32 = 6;
    /// Walks the whole table once: what is due goes, and with `expire_nodest_conn` what belongs to deleted servers.
    pub const SWEEP: u32 = 8;
    /// Zeroes row `arg[0]` of `RATES`; of a destination the counters of `dest` are noted as the last ones.
    pub const ZERO_RATES: u32 = 9;
    /// A defence's mode was set: looks at once whether it acts.
    pub const DEFENCE: u32 = 10;
    /// Answers with the jiffies (low 32 bits) in `arg[0]`: to learn HZ.
    pub const CLOCK: u32 = 7;
}

#[cfg(test)]
mod tests {
    #[test]
    fn layout_is_locked() {
        assert_eq!(core::mem::size_of::<super::Command>(), 64);
    }
}
