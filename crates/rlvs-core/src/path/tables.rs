//! What the brain asks of the world: memory, configuration, routes. The hands answer from maps and helpers, tests
//! from plain memory.

use super::persist::{self, Remembered};
use super::{Decision, Hop, Located, Plan, Welcome, close_connection, mark_of, open_to, try_source, welcome};
use crate::conn::entry::{NewEntry, Word};
use crate::conn::{self, Entry, Flow, Inserted, Outcome, Sets};
use crate::maps::{
    Datagram, DestConfig, Filter, FragmentKey, MarkRule, ServiceConfig, ServiceKey, Settings, SourceConfig,
    dest_state,
};
use crate::mem::Mem;
use crate::proto::{self, View};
use crate::sched::{self, Picked, lblcr, mapping};
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
    /// The value of `GLOBAL`.
    type Global: Mem;
    const LAYER: Layer;

    /// Steps of the story that the hands may put into functions which the verifier looks at once, instead of on
    /// every path that leads there. Flows and entries are made where the hands have room for them: the stack of the
    /// programs is small.
    #[inline(always)]
    fn find_inbound(&self, flow: impl FnOnce() -> Flow<A>) -> Option<Entry<A, Self::Set>> {
        conn::find_inbound(self, &flow())
    }
    #[inline(always)]
    fn find_outbound(&self, proto: u8, server: (A, Be16), client: (A, Be16)) -> Option<Entry<A, Self::Set>> {
        conn::find_outbound(self, proto, server, client)
    }
    #[inline(always)]
    fn find_kept(&self, flow: impl FnOnce() -> Flow<A>) -> Option<Entry<A, Self::Set>> {
        conn::find_kept(self, &flow())
    }
    /// See [`conn::insert`].
    #[inline(always)]
    fn insert(&self, new: impl FnOnce() -> NewEntry<A>) -> Inserted {
        conn::insert(self, &new())
    }
    /// The same flow, perhaps in another place: the stack of the programs is small. None if there is no such place.
    #[inline(always)]
    fn settled<'f>(&self, flow: &'f Flow<A>) -> Option<&'f Flow<A>> {
        Some(flow)
    }
    /// See [`close_connection`].
    #[inline(always)]
    fn close(&self, conn: Entry<A, Self::Set>, seen: Word) {
        close_connection(self, conn, seen)
    }
    /// See [`try_source`].
    #[inline(always)]
    fn try_source(&self, conn: Entry<A, Self::Set>, now: u32) -> Outcome {
        try_source(self, conn, now)
    }
    #[inline(always)]
    fn mark(&self, packet: &Packet<A>) -> u32 {
        mark_of(packet, self)
    }
    /// See [`welcome`].
    #[inline(always)]
    fn welcome(&self, packet: &Packet<A>) -> Welcome {
        welcome(packet, self)
    }
    /// See [`open_to`].
    #[inline(always)]
    fn open_to(&self, packet: &Packet<A>, service: u32, chosen: Remembered, now: u32) -> Located {
        open_to(packet, self, service, chosen, now)
    }
    /// See [`persist::remembered`].
    #[inline(always)]
    fn remembered(&self, packet: &Packet<A>, service: u32, now: u32) -> Option<Remembered> {
        persist::remembered(packet, self, service, now)
    }
    /// See [`persist::remember`].
    #[inline(always)]
    fn remember(&self, packet: &Packet<A>, service: u32, dest: u32, now: u32) -> u32 {
        persist::remember(packet, self, service, dest, now)
    }
    /// Keeps the text of the packet's Call-ID as long as the template of this link lives. (Where nobody lists it, it
    /// need not be.)
    #[inline(always)]
    fn keep_call(&self, _template: u32) {}
    #[inline(always)]
    fn forget_call(&self, _template: u32) {}
    /// What the scheduler wlc would pick.
    #[inline(always)]
    fn pick_least(&self, service: u32) -> Option<u32> {
        sched::wlc::pick(self, self.service(service)?)
    }
    #[inline(always)]
    fn pick(&self, packet: &Packet<A>, service: u32, now: u32) -> Option<Picked> {
        sched::pick(packet, self, service, now)
    }
    /// See [`mapping::note`].
    #[inline(always)]
    fn note(&self, packet: &Packet<A>, service: u32, dest: u32, now: u32) {
        mapping::note(packet, self, service, dest, now)
    }
    /// See [`mapping::moved`].
    #[inline(always)]
    fn moved(&self, packet: &Packet<A>, service: u32, dest: u32) -> bool {
        mapping::moved(packet, self, service, dest)
    }
    /// See [`lblcr::set_changed`].
    #[inline(always)]
    fn set_changed(&self, packet: &Packet<A>, service: u32, now: u32) {
        if let Some(service) = self.service(service) {
            lblcr::set_changed(packet, self, service, now)
        }
    }

    /// See [`proto::next_state`].
    #[inline(always)]
    fn next_state(&self, proto: u8, event: u8, view: View, state: u8, secure: bool) -> u8 {
        proto::next_state(proto, event, view, state, secure)
    }

    fn settings(&self) -> Option<&Settings>;
    fn filter(&self) -> Option<&Filter>;
    fn service_id(&self, key: &ServiceKey) -> Option<u32>;
    fn service(&self, id: u32) -> Option<&ServiceConfig>;
    fn dest(&self, id: u32) -> Option<&DestConfig>;
    /// What a bucket of a page of `BUCKETS` holds.
    fn bucket(&self, page: u32, bucket: u32) -> Option<u32>;
    fn mark_rule(&self, number: u32) -> Option<&MarkRule>;
    fn source(&self, number: u32) -> Option<&SourceConfig>;

    /// What is known of a datagram that comes in fragments.
    fn datagram(&self, key: &FragmentKey) -> Option<Datagram>;

    fn dest_state(&self, id: u32) -> Option<Self::Mem>;
    fn sched_state(&self, service: u32) -> Option<Self::Mem>;
    /// The row of counters of a destination for this processor.
    fn stats(&self, dest: u32) -> Option<Self::Mem>;
    fn global(&self) -> Option<Self::Global>;

    /// Jiffies per second.
    fn hz(&self) -> u32;
    fn random(&self) -> u32;
    /// Asks the routing and neighbour tables for the way to an address.
    fn route(&self, to: A, hop: &mut Hop<A>);
    /// The same for a destination of the other address family; `via` stays as it was.
    #[inline(always)]
    fn route_across(&self, _dest: &DestConfig, hop: &mut Hop<A>) {
        hop.flags = 0;
    }
    /// The same for a machine that does not forward: the way noted when the destination was added.
    fn hinted_route(&self, dest: &DestConfig, hop: &mut Hop<A>);

    /// The MTU that a router on the way to a destination told of (tunnels); 0 if none did.
    #[inline(always)]
    fn path_mtu(&self, _dest: &DestConfig, _now: u32) -> u32 {
        0
    }

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
    pub fn of<M: Mem>(id: u32, dest: &DestConfig, state: M) -> Candidate {
        Candidate {
            id,
            weight: dest.weight,
            active: state.load(dest_state::ACTIVE),
            inactive: state.load(dest_state::INACTIVE),
            overloaded: state.load(dest_state::TOTAL) & dest_state::OVERLOADED != 0,
        }
    }

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
