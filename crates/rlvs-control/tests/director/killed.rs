//! What a killed command leaves, made by hand: the next one that looks puts it right.

use crate::compare::obey;
use crate::lab::in_a_namespace;
use rlvs_control::attach::attached;
use rlvs_control::{Balancer, Director};
use rlvs_core::maps::sysctl::Setting;
use rlvs_core::maps::{NONE, changing, dest_flag, filter_bit};
use rlvs_core::mem::Mem;
use rlvs_core::wire::{Addr, Be32};
use rlvs_testkit::Order;
use std::os::fd::AsRawFd;

const RULES: [&str; 5] = [
    "-A -t 10.0.0.100:80 -s sh",
    "-a -t 10.0.0.100:80 -r 10.1.0.1:80 -m",
    "-a -t 10.0.0.100:80 -r 10.1.0.2:80 -m -w 3",
    "-A -u 10.0.0.101:53 -s rr",
    "-a -u 10.0.0.101:53 -r 10.1.0.3:53 -m",
];

/// Rules, and what `harm` does to them; its result is what `Settings::changing` says then. `test` begins as any command does.
fn after(harm: impl FnOnce(&mut Director) -> u32 + Send, test: impl FnOnce(&mut Director) + Send) {
    in_a_namespace(|director| {
        RULES.iter().for_each(|line| obey(director, &Order::parse(line)));
        let said = harm(director);
        director.instance().unwrap().expect("one").settings.edit(0, |s| s.changing = said);
        test(&mut Director::here().unwrap());
        let settings = director.instance().unwrap().expect("one").settings.get(0);
        assert_eq!(settings.changing, 0, "that was all");
    });
}

/// The virtual ports and those of their servers.
fn listed(director: &mut Director) -> Vec<(String, Vec<String>)> {
    let services = director.services().unwrap().into_iter();
    let each = services.map(|view| {
        let servers = view.destinations.iter().map(|d| d.destination.addr.to_string()).collect();
        (format!("{:?}", view.service.key), servers)
    });
    let mut all: Vec<_> = each.collect();
    all.sort();
    all
}

/// The number of the service on port 80.
fn web(director: &mut Director) -> u32 {
    let instance = director.instance().unwrap().expect("one");
    let port = |id: &u32| instance.service.get(*id).key.port.get();
    instance.service_slots().find(|id| port(id) == 80).expect("it")
}

#[test]
fn a_service_that_no_key_leads_to() {
    let harm = |director: &mut Director| {
        let instance = director.instance().unwrap().expect("one");
        let keys: Vec<_> = instance.services.keys().flatten().collect();
        let key = keys.into_iter().find(|key| key.0.port.get() == 80).expect("it");
        instance.services.remove(&key).unwrap();
        changing::RULES | changing::NO_SERVICE << 16
    };
    after(harm, |director| {
        assert_eq!(listed(director).len(), 1, "half a service is none");
        let instance = director.instance().unwrap().expect("one");
        assert_eq!(instance.settings.get(0).services, [1, 0]);
        let (word, bit) = filter_bit(Be32::from_bytes([10, 1, 0, 3]).fold());
        assert_ne!(instance.filter.get(0).real_addrs[word] & bit, 0, "the other one is whole");
        RULES[..3].iter().for_each(|line| obey(director, &Order::parse(line)));
        assert_eq!(listed(director)[0].1, ["10.1.0.2", "10.1.0.1"]);
    });
}

#[test]
fn a_destination_that_no_service_has() {
    let harm = |director: &mut Director| {
        let id = web(director);
        let instance = director.instance().unwrap().expect("one");
        let next = instance.dest.get(instance.service.get(id).first).next;
        instance.service.edit(id, |s| s.first = next);
        changing::RULES | id << 16
    };
    after(harm, |director| {
        assert_eq!(listed(director)[0].1, ["10.1.0.1"]);
        let id = web(director);
        let instance = director.instance().unwrap().expect("one");
        let service = instance.service.get(id);
        assert_eq!((service.dest_count, service.max_weight), (1, 1));
        let pages = instance.buckets.mapped().unwrap();
        let bucket = pages.words(service.buckets_page).load(0);
        assert_eq!(bucket, service.first, "sh has its table without it");
        let available = |id: &u32| instance.dest.get(*id).is_available();
        assert_eq!(instance.dest_slots().filter(available).count(), 2);
        obey(director, &Order::parse(RULES[2]));
        assert_eq!(listed(director)[0].1, ["10.1.0.2", "10.1.0.1"]);
    });
}

#[test]
fn connections_that_were_to_end() {
    let harm = |director: &mut Director| {
        let id = web(director);
        let instance = director.instance().unwrap().expect("one");
        let first = instance.service.get(id).first;
        instance.dest.edit(first, |d| d.flags &= !dest_flag::AVAILABLE);
        instance.settings.edit(0, |s| s.sysctl[Setting::ExpireNodestConn as usize] = 1);
        changing::RULES | changing::EXPIRES | id << 16
    };
    after(harm, |director| {
        assert_eq!(listed(director)[0].1, ["10.1.0.2", "10.1.0.1"]);
        assert_eq!(director.sysctl("expire_nodest_conn").unwrap().value, [0]);
        let instance = director.instance().unwrap().expect("one");
        let in_use = |id: &u32| instance.dest.get(*id).flags & dest_flag::IN_USE != 0;
        assert!(instance.dest_slots().filter(in_use).all(|id| instance.dest.get(id).is_available()));
    });
}

/// The programs were loaded, and not attached yet.
#[test]
fn an_instance_that_is_nowhere() {
    let harm = |director: &mut Director| {
        for device in ["c0", "s0"] {
            director.detach(device).unwrap();
        }
        changing::ATTACHES | changing::NO_SERVICE << 16
    };
    after(harm, |director| {
        let list = attached(director.instance().unwrap().map(|i| &*i)).unwrap();
        let on = |name: &str| list.iter().any(|a| a.name == name && a.mode.is_some());
        assert!(on("c0") && on("s0"), "{list:?}");
        assert_eq!(listed(director).len(), 2);
    });
}

/// Who changes rules just now is left in peace.
#[test]
fn nobody_was_killed() {
    in_a_namespace(|director| {
        RULES.iter().for_each(|line| obey(director, &Order::parse(line)));
        let instance = director.instance().unwrap().expect("one");
        let namespace = std::fs::File::open(instance.dir.parent().expect("a parent")).unwrap();
        // SAFETY: a file descriptor that lives over the calls.
        let lock = |how| assert_eq!(unsafe { libc::flock(namespace.as_raw_fd(), how) }, 0);
        lock(libc::LOCK_EX);
        let id = instance.service_slots().next().expect("one");
        instance.settings.edit(0, |s| s.changing = changing::RULES | id << 16);
        instance.service.edit(id, |s| s.first = NONE);
        let dest_count = |director: &mut Director| {
            director.services().unwrap();
            director.instance().unwrap().expect("one").service.get(id).dest_count
        };
        assert_eq!(dest_count(&mut Director::here().unwrap()), 2, "as it was left for now");
        lock(libc::LOCK_UN);
        assert_eq!(dest_count(&mut Director::here().unwrap()), 0);
    });
}
