//! What the brain asks of the world: memory, configuration, routes. The hands answer from maps and helpers, tests
//! from plain memory.

use super::{Decision, Hop, Located, Plan, open_conn};
use crate::conn::{self, Entry, Flow, Sets};
use crate::maps::{DestConfig, Filter, ServiceConfig, ServiceKey, Settings};
use crate::mem::Mem;
use crate::wire::{Addr, Be16, Packet};

/// Where the story is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Layer {
    /// XDP: before the kernel's stack has seen the frame. Finishes the common case, passes the rest up.
    Driver,
    /// TC: finishes everything.
    Stack,
}

pub trait Tables<A: Addr>: Sets<A> + Sized {
    type Mem: Mem;
    const LAYER: Layer;

    /// Three steps of the story that the hands may put into functions which the verifier looks at once, instead of on
    /// every path that leads there.
    #[inline(always)]
    fn find_inbound(&self, flow: &Flow<A>) -> Option<Entry<A, Self::Set>> {
        conn::find_inbound(self, flow)
    }
    #[inline(always)]
    fn find_outbound(&self, proto: u8, server: (A, Be16), client: (A, Be16)) -> Option<Entry<A, Self::Set>> {
        conn::find_outbound(self, proto, server, client)
    }
    #[inline(always)]
    fn open(&self, packet: &Packet<A>, now: u32) -> Located {
        open_conn(packet, self, now)
    }

    fn settings(&self) -> Option<&Settings>;
    fn filter(&self) -> Option<&Filter>;
    fn service_id(&self, key: &ServiceKey) -> Option<u32>;
    fn service(&self, id: u32) -> Option<&ServiceConfig>;
    fn dest(&self, id: u32) -> Option<&DestConfig>;

    fn dest_state(&self, id: u32) -> Option<Self::Mem>;
    fn sched_state(&self, service: u32) -> Option<Self::Mem>;
    /// The row of counters of a destination for this processor.
    fn stats(&self, dest: u32) -> Option<Self::Mem>;
    fn global(&self) -> Option<Self::Mem>;

    /// Jiffies per second.
    fn hz(&self) -> u32;
    fn random(&self) -> u32;
    /// Asks the routing and neighbour tables for the way to an address.
    fn route(&self, to: A, hop: &mut Hop<A>);
    /// The same for a machine that does not forward: the way noted when the destination was added.
    fn hinted_route(&self, dest: &DestConfig, hop: &mut Hop<A>);

    /// Visits destinations from `first` on, newest to oldest, until `look` says stop.
    fn each_dest<L: Look>(&self, first: u32, look: &mut L);

    /// Can this layer carry out the decision? (If not, the packet goes up uncounted.)
    fn can_finish(&self, packet: &Packet<A>, decision: Decision, plan: &Plan<A>) -> bool;
}

/// A destination as a scheduler sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Candidate {
    pub id: u32,
    pub weight: u32,
    pub active: u32,
    pub inactive: u32,
    /// Its threshold was reached.
    pub overloaded: bool,
}

impl Candidate {
    #[inline(always)]
    pub fn usable(&self) -> bool {
        self.weight > 0 && !self.overloaded
    }
}

/// A scheduler's eyes: sees the destinations one by one.
pub trait Look {
    /// True to stop.
    fn visit(&mut self, candidate: &Candidate) -> bool;
}
