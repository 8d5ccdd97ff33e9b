//! What the brain decides, for the hands to carry out.

use super::Hop;
use crate::fwd::Edit;
use crate::wire::icmp;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Decision<A> {
    /// None of ours: the frame goes on as it came, bit for bit.
    Pass,
    /// Ours, but this layer cannot finish it: the frame goes on unchanged to the next one.
    Up,
    Drop(DropReason),
    Forward(Forward<A>),
    /// Instead of the packet its sender gets an ICMP error.
    Answer(Answer),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Forward<A> {
    pub edit: Edit<A>,
    pub hop: Hop<A>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Answer {
    pub error: icmp::Error,
    /// How the dropped packet is counted.
    pub reason: DropReason,
}

macro_rules! drop_reasons {
    ($($(#[doc = $doc:literal])+ $name:ident = $number:literal $word:literal,)+) => {
        /// Why a packet was dropped. The list only grows; the numbers index the `DROPS` map.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[repr(u8)]
        pub enum DropReason { $($(#[doc = $doc])+ $name = $number,)+ }

        impl DropReason {
            pub const ALL: &'static [DropReason] = &[$(DropReason::$name,)+];

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
    /// The connection table has no room in either of the two places for it.
    TableFull = 3 "table-full",
    /// Two processors opened the same connection at once, and neither could be found again.
    Contended = 4 "contended",
    /// No route to the next hop.
    NoRoute = 5 "no-route",
    /// Time to live ran out; answered with ICMP time exceeded.
    TtlExceeded = 6 "ttl-exceeded",
    /// Larger than the next hop's MTU and not to be fragmented; answered with ICMP fragmentation needed.
    TooBig = 7 "too-big",
    /// Larger than the next hop's MTU; fragmenting is not done here.
    WouldFragment = 8 "would-fragment",
    /// The kernel refused to change the packet (out of memory, frame not writable).
    EditFailed = 9 "edit-failed",
    /// The service's destination is an address of the director itself, with a translated port.
    LocalServer = 10 "local-server",
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
}
