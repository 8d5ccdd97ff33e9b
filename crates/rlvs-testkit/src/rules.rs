//! Rules of a [`World`]: what the control crate does to the maps, step by step, on plain memory.
//!
//! Derived values (highest weight, divisor, low mark, filter, the scheduler's state) come about as there. A deleted
//! destination is kept aside as long as connections point to it, and gets them back when it is added again.

use crate::brain::PAGES;
use crate::order::{DestOrder, Key, Order, ServiceOrder};
use crate::world::World;
use rlvs_core::fwd::translates;
use rlvs_core::maps::sysctl::Setting;
use rlvs_core::maps::{
    DestConfig, MarkRule, NONE, ServiceConfig, ServiceKey, dest_flag, filter_bit, service_flag,
};
use rlvs_core::mem::Mem;
use rlvs_core::path::recompute_overload;
use rlvs_core::sched::buckets::Share;
use rlvs_core::sched::{self, Scheduler, dh, mh, sh};
use rlvs_core::wire::{Addr, Be16, Be32};
use std::net::{Ipv4Addr, SocketAddrV4};

impl World {
    /// Carries out orders as ipvsadm takes them, one a line. They must make sense.
    pub fn order(&mut self, lines: &str) {
        for line in lines.lines().filter(|l| !l.trim().is_empty()) {
            self.obey(&Order::parse(line));
        }
    }

    pub fn obey(&mut self, order: &Order) {
        match order {
            Order::AddService(s) => self.add_service(s),
            Order::EditService(s) => self.edit_service(s),
            Order::DeleteService(key) => self.delete_service(*key),
            Order::Add(key, d) => self.add_dest(*key, d),
            Order::Edit(key, d) => self.edit_dest(*key, d),
            Order::Delete(key, at) => self.delete_dest(*key, *at),
            Order::Sysctl(name, value) => self.sysctl(name, *value),
            Order::Mark { mark, protocol, port } => self.mark(MarkRule {
                mark: *mark,
                protocol: *protocol,
                first_port: *port,
                last_port: *port,
                ..MarkRule::EMPTY
            }),
            Order::Source { address, ports: (first, last) } => self.source(*address, *first, *last),
            Order::Clear => {
                let keys: Vec<ServiceKey> = self.services.keys().copied().collect();
                keys.into_iter().for_each(|key| self.drop_service(&key));
            }
        }
    }

    fn add_service(&mut self, order: &ServiceOrder) {
        let key = service_key(order.key);
        assert!(!self.services.contains_key(&key), "{order:?} exists");
        let unused = |s: &ServiceConfig| s.flags & service_flag::IN_USE == 0;
        let id = self.service.iter().position(unused).expect("a free service slot");
        let serial = self.settings.next_serial;
        self.settings.next_serial += 1;
        self.service[id] = ServiceConfig { key, serial, ..ServiceConfig::EMPTY };
        describe_service(&mut self.service[id], order, id);
        self.change_sched(id, |service, _| sched::changed(service, 0));
        self.services.insert(key, id as u32);
        self.rebuild_filter();
    }

    fn edit_service(&mut self, order: &ServiceOrder) {
        let id = self.id(order.key);
        let before = self.service[id].scheduler;
        describe_service(&mut self.service[id], order, id);
        if before != self.service[id].scheduler {
            self.fill_buckets(order.key);
            self.change_sched(id, |service, _| sched::changed(service, 0));
        }
    }

    fn delete_service(&mut self, key: Key) {
        self.drop_service(&service_key(key));
    }

    fn drop_service(&mut self, key: &ServiceKey) {
        let id = self.services.remove(key).expect("the service exists");
        for dest in self.dest.iter_mut().filter(|d| d.service == id) {
            dest.flags &= !dest_flag::AVAILABLE;
            dest.service = NONE;
        }
        self.service[id as usize] = ServiceConfig::EMPTY;
        self.rebuild_filter();
        self.end_connections();
    }

    /// With `expire_nodest_conn` the connections of deleted servers end now.
    fn end_connections(&self) {
        if self.setting(Setting::ExpireNodestConn) != 0 {
            self.sweep();
        }
    }

    /// The table of a service with dh, sh or mh: the destination of each bucket.
    pub fn buckets_of(&self, key: Key) -> &[u32] {
        &self.buckets[self.id(key)]
    }

    fn fill_buckets(&mut self, key: Key) {
        let id = self.id(key);
        let share = |d: &u32| {
            let dest = &self.dest[*d as usize];
            Share {
                id: *d,
                weight: dest.weight,
                last_weight: dest.last_weight,
                addr: dest.addr[0].fold(),
                port: dest.port.get(),
            }
        };
        let shares: Vec<Share> = self.dests(key).iter().map(share).collect();
        let table = match Scheduler::from_number(self.service[id].scheduler) {
            _ if shares.is_empty() => Vec::new(),
            Some(Scheduler::Dh) => filled::<{ dh::BUCKETS }>(|table| dh::fill(table, &shares)),
            Some(Scheduler::Sh) => filled::<{ sh::BUCKETS }>(|table| sh::fill(table, &shares)),
            Some(Scheduler::Mh) => filled::<{ mh::BUCKETS }>(|table| {
                mh::fill(table, &shares, &mut vec![mh::Turn::default(); shares.len()])
            }),
            _ => Vec::new(),
        };
        self.service[id].buckets_page = (id * PAGES) as u32;
        self.service[id].buckets = table.len() as u32;
        self.buckets[id] = table;
    }

    fn add_dest(&mut self, key: Key, order: &DestOrder) {
        let service = self.id(key);
        assert!(self.find(key, order.at).is_none(), "{order:?} exists");
        let id = self.slot(service_key(key), order.at);
        let mut dest = self.dest[id];
        self.describe(&mut dest, order);
        dest.last_weight = order.weight;
        dest.service = service as u32;
        dest.service_key = service_key(key);
        dest.flags |= dest_flag::IN_USE | dest_flag::AVAILABLE;
        dest.next = self.service[service].first;
        self.dest[id] = dest;
        self.thresholds_changed(id);
        self.service[service].first = id as u32;
        self.rebuild_filter();
        self.note_weights(key);
        self.fill_buckets(key);
        self.change_sched(service, sched::changed);
    }

    fn edit_dest(&mut self, key: Key, order: &DestOrder) {
        let (service, id) = (self.id(key), self.find(key, order.at).expect("the server exists"));
        let mut dest = self.dest[id];
        self.describe(&mut dest, order);
        if order.weight != 0 {
            dest.last_weight = order.weight;
        }
        self.dest[id] = dest;
        self.thresholds_changed(id);
        self.rebuild_filter();
        self.note_weights(key);
        self.fill_buckets(key);
        self.change_sched(service, sched::changed);
    }

    fn delete_dest(&mut self, key: Key, at: SocketAddrV4) {
        let service = self.id(key);
        let list = self.dests(key);
        let id = self.find(key, at).expect("the server exists");
        let place = list.iter().position(|d| *d as usize == id).expect("it is in the list");
        let previous = place.checked_sub(1).map_or(NONE, |i| list[i]);
        let next = self.dest[id].next;
        match previous {
            NONE => self.service[service].first = next,
            previous => self.dest[previous as usize].next = next,
        }
        self.fill_buckets(key);
        self.dest[id].flags &= !dest_flag::AVAILABLE;
        self.note_weights(key);
        self.change_sched(service, |s, state| sched::removed(s, state, id as u32, previous));
        self.end_connections();
    }

    fn id(&self, key: Key) -> usize {
        self.service_id(key).unwrap_or_else(|| panic!("no service {key:?}")) as usize
    }

    /// A destination's id by its address.
    pub fn find(&self, key: Key, at: SocketAddrV4) -> Option<usize> {
        self.dests(key).into_iter().map(|d| d as usize).find(|d| is_it(&self.dest[*d], at))
    }

    /// The slot it had before, or an empty one.
    fn slot(&mut self, key: ServiceKey, at: SocketAddrV4) -> usize {
        let kept_aside = |d: &DestConfig| d.flags & dest_flag::IN_USE != 0 && !d.is_available();
        let is_ours = |d: &DestConfig| kept_aside(d) && d.service_key == key && is_it(d, at);
        if let Some(id) = self.dest.iter().position(is_ours) {
            return id;
        }
        let idle = |id: usize| {
            let l = self.loads(id as u32);
            l.total == 0 && l.persistent == 0 && l.mappings == 0
        };
        let free = |id: &usize| {
            self.dest[*id].flags & dest_flag::IN_USE == 0 || kept_aside(&self.dest[*id]) && idle(*id)
        };
        let id = (0..self.dest.len()).find(free).expect("a free destination slot");
        self.dest[id] = DestConfig::EMPTY;
        let stats = (id * self.cpus..(id + 1) * self.cpus).filter_map(|row| self.stats.row(row));
        for row in self.dest_state.row(id).into_iter().chain(stats) {
            (0..16).for_each(|word| row.store(word, 0));
        }
        id
    }

    fn describe(&self, dest: &mut DestConfig, order: &DestOrder) {
        dest.addr = words(*order.at.ip());
        dest.port = Be16::new(order.at.port());
        dest.family = 4;
        dest.method = order.method as u8;
        dest.weight = order.weight;
        dest.flags &= !dest_flag::HANDS_ON;
        if order.proxy_protocol {
            dest.flags |= dest_flag::HANDS_ON;
        }
        dest.upper_threshold = order.upper;
        dest.lower_threshold = order.lower;
        dest.low_mark = if order.lower == 0 { order.upper - (order.upper >> 2) } else { order.lower };
        dest.tunnel_src = words(crate::lab::DIRECTOR_S);
        dest.tunnel_kind = order.tunnel.kind;
        dest.tunnel_port = Be16::new(order.tunnel.port);
        dest.tunnel_checksum = order.tunnel.checksum;
    }

    fn thresholds_changed(&self, id: usize) {
        if let Some(state) = self.dest_state.row(id) {
            recompute_overload(&self.dest[id], state);
        }
    }

    fn note_weights(&mut self, key: Key) {
        let service = self.id(key);
        let weights: Vec<u32> = self.dests(key).iter().map(|d| self.dest[*d as usize].weight).collect();
        let s = &mut self.service[service];
        s.max_weight = weights.iter().copied().max().unwrap_or(0);
        s.gcd_weight = weights.iter().filter(|w| **w > 0).fold(0, |a, b| gcd(a, *b)).max(1);
        s.dest_count = weights.len() as u32;
    }

    fn change_sched(&self, service: usize, change: impl Fn(&ServiceConfig, u64) -> u64) {
        if let Some(state) = self.sched_state.row(service) {
            state.store64(0, change(&self.service[service], state.load64(0)));
        }
    }

    fn rebuild_filter(&mut self) {
        self.filter.virtual_addrs = [0; 2048];
        self.filter.real_addrs = [0; 2048];
        let set = |bits: &mut [u32; 2048], addr: Be32| {
            let (word, bit) = filter_bit(addr.fold());
            bits[word] |= bit;
        };
        let (mut port_zero, mut ftp, mut marks, mut everywhere) = (0, 0, 0, false);
        for service in self.service.iter().filter(|s| s.flags & service_flag::IN_USE != 0) {
            set(&mut self.filter.virtual_addrs, service.key.addr[0]);
            let by_mark = service.key.protocol == 0;
            marks += u32::from(by_mark);
            port_zero += u32::from(!by_mark && service.key.port.get() == 0);
            ftp += u32::from(service.key.port.get() == 21);
        }
        for dest in self.dest.iter().filter(|d| d.flags & dest_flag::IN_USE != 0) {
            everywhere |= dest.service_key.protocol == 0;
            set(&mut self.filter.virtual_addrs, dest.service_key.addr[0]);
            if translates(dest.method) {
                set(&mut self.filter.real_addrs, dest.addr[0]);
            }
        }
        if marks > 0 || everywhere {
            self.filter.virtual_addrs = [u32::MAX; 2048];
        }
        self.settings.port_zero_services = port_zero;
        self.settings.ftp_services = ftp;
        self.settings.mark_services = marks;
        self.settings.services[0] = self.services.len() as u32;
    }
}

/// Everything but key and destinations.
fn describe_service(config: &mut ServiceConfig, order: &ServiceOrder, id: usize) {
    config.scheduler = number(&order.scheduler);
    config.sched_flags = order.sched_flags;
    config.flags = service_flag::IN_USE;
    if let Some(secs) = order.persist_secs {
        config.flags |= service_flag::PERSISTENT;
        config.persist_secs = secs;
        config.persist_timeout = secs * World::HZ;
    }
    if order.one_packet {
        config.flags |= service_flag::ONE_PACKET;
    }
    config.netmask = words(order.netmask);
    config.buckets_page = (id * PAGES) as u32;
}

fn filled<const N: usize>(fill: impl FnOnce(&mut [u32; N])) -> Vec<u32> {
    let mut table = [NONE; N];
    fill(&mut table);
    table.to_vec()
}

pub(crate) fn service_key((protocol, at): Key) -> ServiceKey {
    let mut addr = words(*at.ip());
    if protocol == 0 {
        addr[0] = Be32(u32::from(*at.ip())); // a mark, in the machine's order
    }
    ServiceKey { addr, port: Be16::new(at.port()), protocol, family: 4 }
}

fn is_it(dest: &DestConfig, at: SocketAddrV4) -> bool {
    dest.addr == words(*at.ip()) && dest.port.get() == at.port()
}

fn words(addr: Ipv4Addr) -> [Be32; 4] {
    [Be32::from_bytes(addr.octets()), Be32(0), Be32(0), Be32(0)]
}

fn number(scheduler: &str) -> u8 {
    Scheduler::from_word(scheduler).unwrap_or_else(|| panic!("no scheduler {scheduler}")) as u8
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}
