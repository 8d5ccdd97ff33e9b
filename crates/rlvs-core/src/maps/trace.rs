//! What `rlvs trace` asks for, and what it gets: sampled packets with what was decided about them.

use crate::wire::{Addr, Be16, Be32, Packet};

/// Which packets are wanted. Written by user space, but for the last words.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceConfig {
    /// Jiffies at which tracing ends by itself; who traces puts it off again and again. 0: nobody traces.
    pub until: u32,
    /// Bits of [`trace_flag`].
    pub flags: u32,
    /// Every n-th packet that fits; at least 1.
    pub one_in: u32,
    /// Packets in a second, at most.
    pub per_second: u32,
    /// 4, 6, or 0 for both.
    pub family: u8,
    /// 0 for every protocol.
    pub protocol: u8,
    /// Source or destination port, in the machine's order; 0 for every port.
    pub port: u16,
    /// Source or destination address; all 0 for every address.
    pub host: [Be32; 4],
    /// The programs' own: packets that fitted, the second that is being counted (jiffies), packets told in it.
    pub fitted: u32,
    pub second_at: u32,
    pub told: u32,
    /// Packets that were wanted, but there was no room (the reader is too slow) or the second was full.
    pub lost: u32,
}

pub mod trace_flag {
    /// Only what was dropped, or answered with an error.
    pub const DROPS: u32 = 1 << 0;
}

impl TraceConfig {
    pub const OFF: TraceConfig = TraceConfig {
        until: 0,
        flags: 0,
        one_in: 1,
        per_second: 0,
        family: 0,
        protocol: 0,
        port: 0,
        host: [Be32(0); 4],
        fitted: 0,
        second_at: 0,
        told: 0,
        lost: 0,
    };

    /// Is a packet wanted?
    #[inline(always)]
    pub fn fits<A: Addr>(&self, packet: &Packet<A>, dropped: bool) -> bool {
        // Bits that differ, without a branch at each word: the verifier looks at every way through.
        let (mut any, mut src, mut dst) = (0, 0, 0);
        let mut i = 0;
        while i < 4 {
            let word = self.host[i].0;
            any |= word;
            src |= word ^ if i < A::WORDS { packet.src.word(i).0 } else { 0 };
            dst |= word ^ if i < A::WORDS { packet.dst.word(i).0 } else { 0 };
            i += 1;
        }
        (self.flags & trace_flag::DROPS == 0 || dropped)
            && (self.family == 0 || self.family == A::FAMILY)
            && (self.protocol == 0 || self.protocol == packet.proto)
            && (self.port == 0 || self.port == packet.sport.get() || self.port == packet.dport.get())
            && (any == 0 || src == 0 || dst == 0)
    }
}

/// A packet, as it came, and what became of it.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceEvent {
    /// `CLOCK_MONOTONIC`, in nanoseconds.
    pub at_ns: u64,
    /// The code of a [`Decision`](crate::path::Decision).
    pub decision: u64,
    pub src: [Be32; 4],
    pub dst: [Be32; 4],
    /// The server, or for a reply the virtual address; all 0 if there is none.
    pub to: [Be32; 4],
    pub sport: Be16,
    pub dport: Be16,
    pub to_port: Be16,
    /// Bytes of the IP packet.
    pub len: u16,
    /// Interfaces it came in by, and goes out by (0: not at all).
    pub from_if: u32,
    pub to_if: u32,
    /// 4 or 6; that of `to`.
    pub family: u8,
    pub to_family: u8,
    pub protocol: u8,
    /// 0 where the protocol is not TCP.
    pub tcp_flags: u8,
    /// A number of [`Layer`](crate::path::Layer): 0 XDP, 1 TC.
    pub layer: u8,
    /// A number of [`fwd::Method`](crate::fwd::Method) of the server's, 255 without a server.
    pub method: u8,
    /// From a server.
    pub is_reply: u8,
    pub ttl: u8,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_are_locked() {
        assert_eq!(core::mem::size_of::<TraceConfig>(), 52);
        assert_eq!(core::mem::size_of::<TraceEvent>(), 88);
    }

    #[test]
    fn what_fits() {
        let mut packet = Packet::<Be32>::empty();
        packet.src = Be32::from_bytes([10, 0, 0, 1]);
        packet.dst = Be32::from_bytes([10, 0, 0, 2]);
        (packet.sport, packet.dport, packet.proto) = (Be16::new(1000), Be16::new(80), 6);
        let with = |change: &dyn Fn(&mut TraceConfig)| {
            let mut config = TraceConfig::OFF;
            change(&mut config);
            config
        };
        let host = |last| [Be32::from_bytes([10, 0, 0, last]), Be32(0), Be32(0), Be32(0)];
        for (config, fits) in [
            (with(&|_| ()), true),
            (with(&|c| c.port = 80), true),
            (with(&|c| c.port = 1000), true),
            (with(&|c| c.port = 81), false),
            (with(&|c| c.host = host(1)), true),
            (with(&|c| c.host = host(2)), true),
            (with(&|c| c.host = host(3)), false),
            (with(&|c| c.family = 6), false),
            (with(&|c| c.protocol = 17), false),
            (with(&|c| c.flags = trace_flag::DROPS), false),
        ] {
            assert_eq!(config.fits(&packet, false), fits, "{config:?}");
        }
        assert!(with(&|c| c.flags = trace_flag::DROPS).fits(&packet, true));
    }
}
