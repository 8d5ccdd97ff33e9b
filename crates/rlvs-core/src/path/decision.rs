//! What the brain decides, for the hands to carry out.

use super::Hop;
use crate::fwd::Edit;
use crate::wire::{Addr, icmp};

/// A decision as one number: a kind in the upper half, its details in the lower. Half-written enums are what the
/// verifier takes for leaking a pointer, and a function in the kernel can return no more than a number anyway;
/// [`verdict`](Decision::verdict) unpacks it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Decision(pub u64);

/// What a decision says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// None of ours: the frame goes on as it came, bit for bit.
    Pass,
    /// Ours, but this layer cannot finish it: the frame goes on unchanged to the next one.
    Up,
    Drop(DropReason),
    /// The packet is changed and sent as the [`Plan`] says.
    Forward,
    /// The same in pieces, for it is larger than the next hop's MTU and may be cut up (RFC 791, section 3.2).
    Split,
    /// Instead of the packet its sender gets an ICMP error; how the dropped packet is counted.
    Answer(icmp::Error, DropReason),
}

const UP: u64 = 1 << 32;
const FORWARD: u64 = 2 << 32;
const SPLIT: u64 = 3 << 32;
const DROP: u64 = 4 << 32;
const PORT_UNREACHABLE: u64 = 5 << 32;
const TIME_EXCEEDED: u64 = 6 << 32;
const FRAGMENTATION_NEEDED: u64 = 7 << 32;
const HOST_UNREACHABLE: u64 = 8 << 32;

impl Decision {
    pub const PASS: Decision = Decision(0);
    pub const UP: Decision = Decision(UP);
    pub const FORWARD: Decision = Decision(FORWARD);
    pub const SPLIT: Decision = Decision(SPLIT);

    #[inline(always)]
    pub const fn drop(reason: DropReason) -> Decision {
        Decision(DROP | reason as u64)
    }

    #[inline(always)]
    pub const fn answer(error: icmp::Error, reason: DropReason) -> Decision {
        Decision(match error {
            icmp::Error::PortUnreachable => PORT_UNREACHABLE | reason as u64,
            icmp::Error::HostUnreachable => HOST_UNREACHABLE | reason as u64,
            icmp::Error::TimeExceeded => TIME_EXCEEDED | reason as u64,
            icmp::Error::FragmentationNeeded { mtu } => {
                FRAGMENTATION_NEEDED | (mtu as u64) << 8 | reason as u64
            }
        })
    }

    /// Is the packet changed and sent?
    #[inline(always)]
    pub const fn is_sent(self) -> bool {
        self.0 == FORWARD || self.0 == SPLIT
    }

    #[inline(always)]
    pub const fn is_answer(self) -> bool {
        self.0 >= PORT_UNREACHABLE
    }

    #[inline(always)]
    pub const fn verdict(self) -> Verdict {
        let reason = DropReason::from_number(self.0 as u8);
        match self.0 & !0xffff_ffff {
            UP => Verdict::Up,
            FORWARD => Verdict::Forward,
            SPLIT => Verdict::Split,
            DROP => Verdict::Drop(reason),
            PORT_UNREACHABLE => Verdict::Answer(icmp::Error::PortUnreachable, reason),
            HOST_UNREACHABLE => Verdict::Answer(icmp::Error::HostUnreachable, reason),
            TIME_EXCEEDED => Verdict::Answer(icmp::Error::TimeExceeded, reason),
            FRAGMENTATION_NEEDED => {
                Verdict::Answer(icmp::Error::FragmentationNeeded { mtu: (self.0 >> 8) as u16 }, reason)
            }
            _ => Verdict::Pass,
        }
    }
}

/// How a packet is forwarded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Plan<A> {
    pub edit: Edit<A>,
    pub hop: Hop<A>,
}

impl<A: Addr> Plan<A> {
    #[inline(always)]
    pub fn empty() -> Plan<A> {
        Plan { edit: Edit::nothing(), hop: Hop::unroutable() }
    }
}

/// What the first half of the story found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Located {
    /// No connection or service of ours, or a packet that opens nothing.
    Pass,
    /// A client's packet and its connection, by the id of the entry.
    Request(u32),
    /// A masqueraded server's packet.
    Reply(u32),
    /// The service has no server that takes the packet. A service by firewall mark may be for addresses that are not
    /// the director's; nobody answers for those.
    NoServer {
        by_mark: bool,
    },
    Drop(DropReason),
    /// One-packet scheduling: the destination for this packet alone.
    OnePacket(u32),
    /// For the next layer, before anything was done.
    Up,
    /// No connection yet; perhaps the packet opens one.
    New,
    /// The same, and perhaps it is one that is [expected](super::data::expected).
    Awaited,
}

impl Located {
    /// As one number, for a function that can return no more.
    #[inline(always)]
    pub const fn code(self) -> u64 {
        match self {
            Located::Pass => 0,
            Located::Request(id) => 1 << 32 | id as u64,
            Located::Reply(id) => 2 << 32 | id as u64,
            Located::NoServer { by_mark } => 3 << 32 | by_mark as u64,
            Located::Drop(reason) => 4 << 32 | reason as u64,
            Located::OnePacket(id) => 5 << 32 | id as u64,
            Located::Up => 6 << 32,
            Located::New => 7 << 32,
            Located::Awaited => 8 << 32,
        }
    }

    #[inline(always)]
    pub const fn from_code(code: u64) -> Located {
        match code >> 32 {
            1 => Located::Request(code as u32),
            2 => Located::Reply(code as u32),
            3 => Located::NoServer { by_mark: code & 1 != 0 },
            4 => Located::Drop(DropReason::from_number(code as u8)),
            5 => Located::OnePacket(code as u32),
            6 => Located::Up,
            7 => Located::New,
            8 => Located::Awaited,
            _ => Located::Pass,
        }
    }
}

macro_rules! drop_reasons {
    ($($(#[doc = $doc:literal])+ $name:ident = $number:literal $word:literal,)+) => {
        /// Why a packet was dropped. The list only grows; the numbers index the `DROPS` map.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[repr(u8)]
        pub enum DropReason { $($(#[doc = $doc])+ $name = $number,)+ }

        impl DropReason {
            pub const ALL: &'static [DropReason] = &[$(DropReason::$name,)+];

            /// The reason with this number; the first one for a number that is none.
            #[inline(always)]
            pub const fn from_number(number: u8) -> DropReason {
                match number { $($number => DropReason::$name,)+ _ => DropReason::ServerGone }
            }

            /// As shown to people and in metrics.
            pub const fn word(self) -> &'static str {
                match self { $(DropReason::$name => $word,)+ }
            }

            /// One sentence for people.
            pub const fn sentence(self) -> &'static str {
                match self { $(DropReason::$name => concat!($($doc),+),)+ }
            }
        }
    };
}

drop_reasons! {
    /// The real server of its connection was deleted.
    ServerGone = 1 "server-gone",
    /// The service has no real server that takes new connections; answered with ICMP port unreachable.
    NoServer = 2 "no-server",
    /// The connection table has no room for it.
    TableFull = 3 "table-full",
    /// Two processors opened the same connection at once, and neither could be found again.
    Contended = 4 "contended",
    /// No route to the real server; answered with ICMP host unreachable.
    NoRoute = 5 "no-route",
    /// Time to live ran out; answered with ICMP time exceeded.
    TtlExceeded = 6 "ttl-exceeded",
    /// Larger than the next hop's MTU and not to be fragmented; answered with ICMP fragmentation needed.
    TooBig = 7 "too-big",
    /// Larger than the next hop's MTU, and it could not be cut up: its checksum is still to be made, or the next hop's MAC
    /// is not known yet.
    WouldFragment = 8 "would-fragment",
    /// The kernel refused to change the packet (out of memory, frame not writable).
    EditFailed = 9 "edit-failed",
    /// The service's destination is an address of the director itself, with a translated port.
    LocalServer = 10 "local-server",
    /// A new connection that `drop_packet` sacrificed.
    Defence = 11 "defence",
    /// Persistence engine sip: no SIP message over UDP, or one without Call-ID.
    NoCallId = 12 "no-call-id",
    /// An ICMP error about a connection, with a wrong checksum.
    BadChecksum = 13 "bad-checksum",
    /// A fragment that is too small to hold what it must, or that would overwrite the TCP header.
    BadFragment = 14 "bad-fragment",
    /// A fragment whose first one did not come, or whose connection is gone.
    FragmentLost = 15 "fragment-lost",
    /// FULLNAT: no port of its source addresses is free towards the real server, or the protocol has no ports.
    NoSource = 16 "no-source",
    /// Not dropped, but passed on with the server's own address in it: an answer of an FTP server (227) that has no room for
    /// the virtual one.
    FtpNoRoom = 17 "ftp-no-room",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_unique_and_fit() {
        for (i, r) in DropReason::ALL.iter().enumerate() {
            assert_eq!(*r as usize, i + 1, "{} is out of order", r.word());
            assert!((*r as usize) < crate::maps::DROP_REASONS);
        }
    }

    #[test]
    fn codes_round_trip() {
        let no_server = [true, false].map(|by_mark| Located::NoServer { by_mark });
        let all = [Located::Pass, Located::Request(0), Located::Reply(u32::MAX), Located::Up];
        let all =
            all.into_iter().chain(no_server).chain([Located::OnePacket(7), Located::New, Located::Awaited]);
        for l in all.chain([DropReason::Contended, DropReason::TableFull].map(Located::Drop)) {
            assert_eq!(Located::from_code(l.code()), l);
        }
        for r in DropReason::ALL {
            assert_eq!(Decision::drop(*r).verdict(), Verdict::Drop(*r));
            let errors = [
                icmp::Error::PortUnreachable,
                icmp::Error::HostUnreachable,
                icmp::Error::TimeExceeded,
                icmp::Error::FragmentationNeeded { mtu: 1480 },
            ];
            for e in errors {
                assert_eq!(Decision::answer(e, *r).verdict(), Verdict::Answer(e, *r));
                assert!(Decision::answer(e, *r).is_answer() && !Decision::drop(*r).is_answer());
            }
        }
        assert_eq!(Decision::PASS.verdict(), Verdict::Pass);
        assert_eq!(Decision::UP.verdict(), Verdict::Up);
        assert_eq!(Decision::FORWARD.verdict(), Verdict::Forward);
        assert_eq!(Decision::SPLIT.verdict(), Verdict::Split);
        assert!(!Decision::SPLIT.is_answer());
    }
}
