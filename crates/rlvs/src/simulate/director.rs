//! The director of the simulation: the brain of the packet programs on a [`Memory`], fed with the segments of each
//! connection, and the rules as `ipvsadm` writes them for it.

use super::Method;
use super::memory::{HZ, Memory, SERVICE};
use rlvs_core::conn::Entry;
use rlvs_core::fwd;
use rlvs_core::maps::{DestConfig, NONE, ServiceConfig, ServiceKey, dest_flag, filter_bit, service_flag};
use rlvs_core::mem::Mem;
use rlvs_core::path::{Decision, Located, Plan, Tables, decide, deliver, locate, open_conn};
use rlvs_core::path::{recompute_overload, sweep_set};
use rlvs_core::sched::buckets::Share;
use rlvs_core::sched::{self, Scheduler, dh, mh, sh};
use rlvs_core::wire::tcp_flags::{ACK, FIN, SYN};
use rlvs_core::wire::{Addr, Be16, Be32, Packet, Part, ip_proto};

/// The ticks in a second, each of which sweeps its part of the table, as the kernel timer does.
pub const TICKS_PER_SEC: u32 = 16;
const PORT: Be16 = Be16::new(80);
const MARK: u32 = 1;

/// One end of a connection, and the address that was asked.
#[derive(Clone, Copy, Debug)]
pub struct Flow {
    pub client: Be32,
    pub port: u16,
    /// Number of the virtual address.
    pub address: u32,
}

/// The service, besides its servers.
pub struct Rules {
    pub scheduler: Scheduler,
    pub flags: u8,
    pub addresses: u32,
    pub persist_secs: u32,
    pub method: Method,
    pub udp: bool,
}

pub struct Director {
    memory: Memory,
    rules: Rules,
    now: u32,
    sweep_at: u32,
}

impl Director {
    pub fn new(rules: Rules, servers: usize, connections: usize, seed: u64) -> Director {
        let mut memory = Memory::new(servers, connections, seed);
        let service = &mut memory.service;
        service.scheduler = rules.scheduler as u8;
        service.sched_flags = rules.flags;
        service.flags = service_flag::IN_USE;
        if rules.persist_secs > 0 {
            service.flags |= service_flag::PERSISTENT;
            service.persist_timeout = rules.persist_secs.saturating_mul(HZ);
        }
        service.netmask = [Be32(u32::MAX); 4];
        // Many addresses are one service by their packets' mark.
        let (addr, port, protocol) = if rules.addresses > 1 {
            (Be32(MARK), Be16(0), 0)
        } else {
            (virtual_addr(0), PORT, protocol(&rules))
        };
        service.key = ServiceKey { addr: [addr, Be32(0), Be32(0), Be32(0)], port, protocol, family: 4 };
        memory.settings.mark_services = u32::from(rules.addresses > 1);
        for i in 0..rules.addresses {
            let (word, bit) = filter_bit(virtual_addr(i).fold());
            memory.filter.virtual_addrs[word] |= bit;
        }
        // A jiffies counter starts shortly before it wraps, as Linux's does.
        let mut director = Director { memory, rules, now: 0u32.wrapping_sub(300 * HZ), sweep_at: 0 };
        director.scheduler_state(|service, _| sched::changed(service, 0));
        director
    }

    /// The clock, in nanoseconds since the start.
    pub fn at(&mut self, nanos: u64) {
        let jiffies = nanos / (1_000_000_000 / u64::from(HZ));
        self.now = (jiffies as u32).wrapping_sub(300 * HZ);
    }

    /// One tick of the sweeping timer.
    pub fn tick(&mut self) {
        let tables = &self.memory;
        let sets = tables.sets();
        for _ in 0..sets.div_ceil(TICKS_PER_SEC) {
            sweep_set::<Be32, _>(&tables, self.sweep_at, self.now);
            self.sweep_at = (self.sweep_at + 1) % sets;
        }
    }

    /// The packets that open a connection; the number of the server that got it, or none if it was refused.
    pub fn open(&self, flow: &Flow) -> Option<u32> {
        let tables = &self.memory;
        let mut first = self.packet(flow, SYN);
        let mut plan = Plan::empty();
        let mut located = locate(&first, &tables, self.now);
        if located == Located::New {
            located = open_conn(&mut first, &tables, self.now);
        }
        let Located::Request(id) = located else {
            return None;
        };
        if deliver(&first, located, &tables, self.now, &mut plan) != Decision::FORWARD {
            return None;
        }
        let server = Entry::<Be32, _>::at(&tables, id)?.dest();
        if !self.rules.udp {
            self.reply(flow, server, SYN | ACK);
            self.send(self.packet(flow, ACK));
        }
        Some(server)
    }

    /// The packets that end it; false if the client's did not reach the server any more.
    pub fn close(&self, flow: &Flow, server: u32) -> bool {
        if self.rules.udp {
            self.reply(flow, server, 0);
            return true;
        }
        let reached = self.send(self.packet(flow, FIN | ACK));
        self.reply(flow, server, FIN | ACK);
        self.send(self.packet(flow, ACK)) && reached
    }

    fn send(&self, mut packet: Packet<Be32>) -> bool {
        decide(&mut packet, &&self.memory, self.now, &mut Plan::empty()) == Decision::FORWARD
    }

    /// With direct routing the director never sees one.
    fn reply(&self, flow: &Flow, server: u32, flags: u8) {
        if self.rules.method == Method::Dr {
            return;
        }
        let request = self.packet(flow, flags);
        self.send(Packet {
            src: server_addr(server),
            dst: request.src,
            sport: request.dport,
            dport: request.sport,
            ..request
        });
    }

    /// A client's packet.
    fn packet(&self, flow: &Flow, tcp_flags: u8) -> Packet<Be32> {
        Packet {
            src: flow.client,
            dst: virtual_addr(flow.address),
            sport: Be16::new(flow.port),
            dport: PORT,
            proto: protocol(&self.rules),
            tcp_flags: if self.rules.udp { 0 } else { tcp_flags },
            chunk: 0,
            tos: 0,
            ttl: 64,
            dont_fragment: true,
            ip_at: 14,
            l4_at: 34,
            total_len: 40,
            segment_len: 40,
            ip_check: Be16(0),
            l4_check: Be16(0),
            mark: if self.rules.addresses > 1 { MARK } else { 0 },
            call: 0,
            id: 0,
            part: Part::Whole,
            from_driver: false,
        }
    }
}

/// The rules, in the order of steps that rlvs-control takes.
impl Director {
    /// Adds a server, or one that was deleted again.
    pub fn add(&mut self, server: u32, weight: u32, upper: u32) {
        let method = match self.rules.method {
            Method::Nat => fwd::Method::Masquerade,
            Method::Dr => fwd::Method::DirectRoute,
        };
        let addr = server_addr(server);
        let (word, bit) = filter_bit(addr.fold());
        self.memory.filter.real_addrs[word] |= bit;
        self.memory.dests[server as usize] = DestConfig {
            service_key: self.memory.service.key,
            service: SERVICE,
            addr: [addr, Be32(0), Be32(0), Be32(0)],
            port: PORT,
            method: method as u8,
            family: 4,
            flags: dest_flag::IN_USE | dest_flag::AVAILABLE,
            weight,
            last_weight: weight,
            upper_threshold: upper,
            low_mark: upper - (upper >> 2),
            next: self.memory.service.first,
            ..DestConfig::EMPTY
        };
        if let Some(state) = (&self.memory).dest_state(server) {
            recompute_overload(&self.memory.dests[server as usize], state);
        }
        self.memory.service.first = server;
        self.servers_changed();
    }

    pub fn set_weight(&mut self, server: u32, weight: u32) {
        let dest = &mut self.memory.dests[server as usize];
        dest.weight = weight;
        if weight != 0 {
            dest.last_weight = weight;
        }
        self.servers_changed();
    }

    pub fn delete(&mut self, server: u32) {
        let list = self.servers();
        let Some(at) = list.iter().position(|id| *id == server) else {
            return;
        };
        let next = self.memory.dests[server as usize].next;
        let previous = at.checked_sub(1).map_or(NONE, |i| list[i]);
        match previous {
            NONE => self.memory.service.first = next,
            previous => self.memory.dests[previous as usize].next = next,
        }
        self.memory.dests[server as usize].flags &= !dest_flag::AVAILABLE;
        self.note_weights();
        self.scheduler_state(|service, old| sched::removed(service, old, server, previous));
    }

    /// May it get connections, and with which weight?
    pub fn weight(&self, server: u32) -> u32 {
        let dest = &self.memory.dests[server as usize];
        if dest.is_available() { dest.weight } else { 0 }
    }

    /// The newest first.
    fn servers(&self) -> Vec<u32> {
        let next = |id: &u32| self.memory.dests.get(*id as usize).map(|d| d.next);
        let first = Some(self.memory.service.first);
        std::iter::successors(first, next).take_while(|id| *id != NONE).collect()
    }

    fn servers_changed(&mut self) {
        self.note_weights();
        self.scheduler_state(sched::changed);
    }

    /// What is made from all weights together: wrr's numbers, the tables of dh, sh and mh.
    fn note_weights(&mut self) {
        let shares: Vec<Share> = self.servers().into_iter().map(|id| self.share(id)).collect();
        let weights = shares.iter().map(|s| s.weight);
        let service = &mut self.memory.service;
        service.max_weight = weights.clone().max().unwrap_or(0);
        service.gcd_weight = weights.filter(|w| *w > 0).fold(0, gcd).max(1);
        service.dest_count = shares.len() as u32;
        self.memory.buckets =
            if shares.is_empty() { Vec::new() } else { table(self.rules.scheduler, &shares) };
        let service = &mut self.memory.service;
        service.buckets = self.memory.buckets.len() as u32;
        service.buckets_page = 0;
    }

    fn share(&self, id: u32) -> Share {
        let dest = &self.memory.dests[id as usize];
        let (weight, last_weight) = (dest.weight, dest.last_weight);
        Share { id, weight, last_weight, addr: dest.addr[0].fold(), port: dest.port.get() }
    }

    fn scheduler_state(&mut self, change: impl Fn(&ServiceConfig, u64) -> u64) {
        let tables = &self.memory;
        if let Some(state) = tables.sched_state(SERVICE) {
            state.store64(0, change(&tables.service, state.load64(0)));
        }
    }
}

/// The table of a hashing scheduler; the others have none.
fn table(scheduler: Scheduler, shares: &[Share]) -> Vec<u32> {
    match scheduler {
        Scheduler::Dh => {
            let mut buckets = [NONE; dh::BUCKETS];
            dh::fill(&mut buckets, shares);
            buckets.to_vec()
        }
        Scheduler::Sh => {
            let mut buckets = [NONE; sh::BUCKETS];
            sh::fill(&mut buckets, shares);
            buckets.to_vec()
        }
        Scheduler::Mh => {
            let mut slots = [NONE; mh::BUCKETS];
            mh::fill(&mut slots, shares, &mut vec![mh::Turn::default(); shares.len()]);
            slots.to_vec()
        }
        _ => Vec::new(),
    }
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

fn protocol(rules: &Rules) -> u8 {
    if rules.udp { ip_proto::UDP } else { ip_proto::TCP }
}

/// 10.0.0.0/16, from 10.0.0.100 on.
fn virtual_addr(number: u32) -> Be32 {
    Be32::new(0x0a00_0064 + number)
}

/// 10.1.0.1 and on.
fn server_addr(number: u32) -> Be32 {
    Be32::new(0x0a01_0001 + number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rlvs_core::maps::dest_state;

    fn director(scheduler: Scheduler, method: Method, udp: bool) -> Director {
        let rules = Rules { scheduler, flags: 0, addresses: 1, persist_secs: 0, method, udp };
        let mut director = Director::new(rules, 3, 1000, 7);
        (0..3).for_each(|server| director.add(server, 1, 0));
        director
    }

    fn loads(director: &Director, server: u32) -> [u32; 2] {
        let state = (&director.memory).dest_state(server).unwrap();
        [state.load(dest_state::ACTIVE), state.load(dest_state::INACTIVE)]
    }

    #[test]
    fn a_connection_is_active_until_its_end_and_then_expires() {
        for (method, udp, while_open) in
            [(Method::Nat, false, [1, 0]), (Method::Dr, false, [1, 0]), (Method::Nat, true, [0, 1])]
        {
            let mut d = director(Scheduler::Rr, method, udp);
            let flow = Flow { client: Be32::new(0x0b00_0001), port: 1024, address: 0 };
            assert_eq!(d.open(&flow), Some(2), "rr begins with the newest");
            assert_eq!(loads(&d, 2), while_open, "{method:?}");
            assert!(d.close(&flow, 2));
            assert_eq!(loads(&d, 2), [0, 1], "{method:?}");
            d.at(301_000_000_000);
            (0..TICKS_PER_SEC).for_each(|_| d.tick());
            assert_eq!(loads(&d, 2), [0, 0], "{method:?}");
        }
    }

    #[test]
    fn a_deleted_server_is_silent_and_comes_back() {
        let mut d = director(Scheduler::Wlc, Method::Nat, false);
        let flow = Flow { client: Be32::new(0x0b00_0001), port: 1024, address: 0 };
        assert_eq!(d.open(&flow), Some(2));
        d.delete(2);
        assert_eq!((d.servers(), d.weight(2)), (vec![1, 0], 0));
        assert!(!d.close(&flow, 2), "the FIN is dropped");
        d.add(2, 3, 0);
        assert_eq!((d.servers(), d.weight(2)), (vec![2, 1, 0], 3));
    }
}
