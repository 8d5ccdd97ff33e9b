//! Drains from their beginning to their end on a balancer in memory, the clock handed in.

use rlvs_control::model::*;
use rlvs_control::{Balancer, Error, Result};
use rlvs_daemon::drain::order::{Wanted, begin, end, look, undrain};
use rlvs_daemon::drain::watch::Restore;
use rlvs_daemon::drain::{Fate, Ledger, Outcome, Then, Watch};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

#[test]
fn a_drain_in_all_services_and_back() {
    let mut world = World::new();
    let mut watch = world.begin("10.1.0.1", |_| ()).unwrap();
    assert_eq!(watch.drains().len(), 3);
    assert_eq!(world.weights(), [(80, 0), (80, 5), (53, 0), (53, 5), (443, 0)]);
    world.set_active(80, 2);
    assert_eq!(world.step(&mut watch, 1), [(53, Outcome::Empty), (443, Outcome::Empty)]);
    world.set_active(80, 0);
    assert_eq!(world.step(&mut watch, 2), [(80, Outcome::Empty)]);
    assert_eq!(watch.pause(secs(2)), None);
    let restored: Vec<_> = world.undrain("10.1.0.1", None).unwrap().into_iter().map(|(_, r)| r).collect();
    assert_eq!(restored, [Restore::Weight { weight: 3 }; 3]);
    assert_eq!(world.weights(), [(80, 3), (80, 5), (53, 3), (53, 5), (443, 3)]);
    assert!(world.ledger().drains().is_empty());
}

#[test]
fn a_second_command_goes_on_with_it() {
    let mut world = World::new();
    world.set_active(80, 1);
    world
        .begin("10.1.0.1:80", |w| {
            w.deadline = Some(secs(30));
            w.then = Some(Then::Remove);
        })
        .unwrap();
    world.now = secs(20);
    let mut watch = world.begin("10.1.0.1:80", |_| ()).unwrap();
    let drain = watch.drains()[0];
    assert_eq!((drain.former_weight, drain.deadline_ms, drain.then), (3, Some(30_000), Then::Remove));
    assert_eq!(world.step(&mut watch, 29), []);
    assert_eq!(world.step(&mut watch, 30), [(80, Outcome::Deadline { left: 1 })]);
    assert_eq!(world.weights(), [(80, 5), (53, 3), (53, 5), (443, 3)], "deleted, and that one alone");
    assert!(world.ledger().drains().is_empty());
}

#[test]
fn a_weight_the_operator_sets_is_theirs() {
    let mut world = World::new();
    world.set_active(80, 1);
    let mut watch = world.begin("10.1.0.1:80", |w| w.then = Some(Then::Remove)).unwrap();
    world.balancer.server(80, "10.1.0.1").destination.weight = 7;
    assert_eq!(world.step(&mut watch, 1), [(80, Outcome::Overruled { weight: 7 })]);
    assert_eq!(world.weights()[0], (80, 7));
    assert!(world.undrain("10.1.0.1", None).unwrap_err().contains("is not drained"));
    // The same while nobody waits.
    world.begin("10.1.0.1:80", |_| ()).unwrap();
    world.balancer.server(80, "10.1.0.1").destination.weight = 8;
    assert_eq!(world.undrain("10.1.0.1", None).unwrap()[0].1, Restore::TheirWeight { weight: 8 });
    assert_eq!(world.weights()[0], (80, 8));
    // And drained again, it is the one to restore.
    world.begin("10.1.0.1:80", |_| ()).unwrap();
    assert_eq!(world.undrain("10.1.0.1", None).unwrap()[0].1, Restore::Weight { weight: 8 });
}

#[test]
fn undrained_while_somebody_waits() {
    let mut world = World::new();
    world.set_active(80, 1);
    world.balancer.server(80, "10.1.0.1").destination.weight = 0;
    let mut watch = world.begin("10.1.0.1:80", |w| w.then = Some(Then::Remove)).unwrap();
    assert_eq!(world.undrain("10.1.0.1", None).unwrap()[0].1, Restore::Weight { weight: 0 });
    assert_eq!(world.step(&mut watch, 1), [(80, Outcome::Undrained)]);
    assert_eq!(world.weights()[0], (80, 0));
}

/// Between the look and the deletion somebody may undrain it.
#[test]
fn what_was_undrained_is_not_deleted() {
    let mut world = World::new();
    let mut watch = world.begin("10.1.0.1:80", |w| w.then = Some(Then::Remove)).unwrap();
    let noted = world.ledger().drains().to_vec();
    let seen = look(&mut world.balancer, &noted, &watch).unwrap();
    let events = watch.look(secs(1), &seen);
    assert!(events[0].remove);
    world.undrain("10.1.0.1", None).unwrap();
    let mut ledger = world.ledger();
    assert!(!end(&mut world.balancer, &mut ledger, &watch.drains()[0], &events[0]).unwrap());
    assert_eq!(world.weights()[0], (80, 3));
}

#[test]
fn deleted_by_somebody() {
    let mut world = World::new();
    let mut watch = world.begin("10.1.0.1:80", |_| ()).unwrap();
    let key = watch.drains()[0].service;
    world.balancer.delete_destination(&key, "10.1.0.1".parse().unwrap(), 80).unwrap();
    assert_eq!(world.step(&mut watch, 1), [(80, Outcome::Gone)]);
    assert!(world.ledger().drains().is_empty());
    world.begin("10.1.0.2:53", |_| ()).unwrap();
    world.balancer.services.clear();
    assert_eq!(world.undrain("10.1.0.2", None).unwrap()[0].1, Restore::Gone);
}

#[test]
fn udp_flows_are_expired_or_awaited() {
    let mut world = World::new();
    world.balancer.server(53, "10.1.0.1").inactive_connections = 4;
    let mut watch = world.begin("10.1.0.1:53", |_| ()).unwrap();
    assert_eq!(world.step(&mut watch, 1), []);
    let mut watch = world.begin("10.1.0.1:53", |w| w.udp = Some(Fate::Expire)).unwrap();
    // One that came in between is expired by the next look.
    world.balancer.server(53, "10.1.0.1").inactive_connections = 1;
    assert_eq!(world.step(&mut watch, 1), []);
    assert_eq!(world.step(&mut watch, 2), [(53, Outcome::Empty)]);
    assert_eq!(world.balancer.expired, 2);
    // TCP is not touched by it.
    world.begin("10.1.0.1:80", |w| w.udp = Some(Fate::Expire)).unwrap();
    assert_eq!(world.balancer.expired, 2);
}

#[test]
fn what_cannot_be_done_is_refused_and_nothing_changes() {
    let refused = |rs: &str, persistent: Option<u16>, templates: bool, change: fn(&mut Wanted)| {
        let mut world = World::new();
        world.expires_templates = templates;
        if let Some(port) = persistent {
            world.balancer.service_at(port).service.persistence = Some(Persistence { timeout_secs: 300 });
        }
        let before = world.weights();
        let why = world.begin(rs, change).err().expect("refused");
        assert_eq!(world.weights(), before);
        assert!(world.ledger().drains().is_empty());
        why
    };
    let why = refused("10.1.0.1", Some(80), false, |w| w.persistent = Some(Fate::Expire));
    assert!(why.contains("tcp:10.0.0.100:80") && why.contains("expire_quiescent_template=1"), "{why}");
    let why = refused("10.1.0.1", Some(443), true, |w| w.persistent = Some(Fate::Keep));
    assert!(why.contains("expire_quiescent_template=0"), "{why}");
    let why = refused("10.1.0.1", Some(53), false, |w| w.udp = Some(Fate::Expire));
    assert!(why.contains("udp:10.0.0.100:53"), "{why}");
    let why = refused("10.1.0.9", None, false, |_| ());
    assert!(why.contains("10.1.0.9") && why.contains("10.1.0.2:53"), "{why}");
    let why = refused("10.1.0.1", None, false, |w| w.service = Some("tcp:10.0.0.100:81".parse().unwrap()));
    assert!(why.contains("no such service") && why.contains("udp:10.0.0.100:53"), "{why}");
}

#[test]
fn a_step_that_fails_undoes_those_before_it() {
    let mut world = World::new();
    world.balancer.refuses_edits_of = Some(443);
    let before = world.weights();
    assert!(world.begin("10.1.0.1", |_| ()).is_err());
    assert_eq!(world.weights(), before);
    assert!(world.ledger().drains().is_empty());
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// Two servers in tcp:80 and udp:53, one of them in tcp:443 too; weights 3 and 5.
struct World {
    balancer: Fake,
    directory: PathBuf,
    expires_templates: bool,
    now: Duration,
}

impl World {
    fn new() -> World {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let directory = std::env::temp_dir().join(format!("rlvs-drain-{}-{number}", std::process::id()));
        let mut balancer = Fake::default();
        for (protocol, port, servers) in [
            (Protocol::Tcp, 80, &[("10.1.0.1", 3), ("10.1.0.2", 5)][..]),
            (Protocol::Udp, 53, &[("10.1.0.1", 3), ("10.1.0.2", 5)]),
            (Protocol::Tcp, 443, &[("10.1.0.1", 3)]),
        ] {
            balancer.add(protocol, port, servers);
        }
        World { balancer, directory, expires_templates: false, now: Duration::ZERO }
    }

    fn ledger(&self) -> Ledger {
        Ledger::open_in(&self.directory, 1).unwrap()
    }

    fn begin(&mut self, server: &str, change: fn(&mut Wanted)) -> std::result::Result<Watch, String> {
        let mut wanted = Wanted {
            server: server.parse().unwrap(),
            service: None,
            deadline: None,
            udp: None,
            persistent: None,
            then: None,
        };
        change(&mut wanted);
        let mut ledger = self.ledger();
        begin(&mut self.balancer, &mut ledger, &wanted, self.expires_templates, self.now)
            .map_err(|e| e.to_string())
    }

    /// One look at this second; ports and outcomes of those that are over.
    fn step(&mut self, watch: &mut Watch, second: u64) -> Vec<(u16, Outcome)> {
        let noted = self.ledger().drains().to_vec();
        let seen = look(&mut self.balancer, &noted, watch).unwrap();
        let events = watch.look(secs(second), &seen);
        let mut ledger = self.ledger();
        for event in &events {
            end(&mut self.balancer, &mut ledger, &watch.drains()[event.index], event).unwrap();
        }
        events.iter().map(|e| (watch.drains()[e.index].port, e.outcome)).collect()
    }

    fn undrain(
        &mut self,
        server: &str,
        service: Option<&str>,
    ) -> std::result::Result<Vec<(rlvs_daemon::drain::Drain, Restore)>, String> {
        let service = service.map(|s| s.parse().unwrap());
        let mut ledger = self.ledger();
        undrain(&mut self.balancer, &mut ledger, &server.parse().unwrap(), service.as_ref())
            .map_err(|e| e.to_string())
    }

    fn set_active(&mut self, port: u16, active: u32) {
        self.balancer.server(port, "10.1.0.1").active_connections = active;
    }

    fn weights(&self) -> Vec<(u16, u32)> {
        let all = self.balancer.services.iter().flat_map(|s| &s.destinations);
        all.map(|d| (d.destination.port, d.destination.weight)).collect()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

#[derive(Default)]
struct Fake {
    services: Vec<ServiceView>,
    expired: usize,
    refuses_edits_of: Option<u16>,
}

impl Fake {
    fn add(&mut self, protocol: Protocol, port: u16, servers: &[(&str, u32)]) {
        let key = ServiceKey::Address { protocol, addr: "10.0.0.100".parse().unwrap(), port };
        let view = |&(addr, weight): &(&str, u32)| DestinationView {
            destination: Destination {
                addr: addr.parse().unwrap(),
                port,
                method: Method::Masquerade,
                weight,
                upper_threshold: 0,
                lower_threshold: 0,
                tunnel: Tunnel::default(),
                proxy_protocol: false,
            },
            active_connections: 0,
            inactive_connections: 0,
            persistent_connections: 0,
            counters: Counters::default(),
            rates: Rates::default(),
        };
        self.services.push(ServiceView {
            service: Service::new(key, "wlc"),
            counters: Counters::default(),
            rates: Rates::default(),
            destinations: servers.iter().map(view).collect(),
        });
    }

    fn service_at(&mut self, port: u16) -> &mut ServiceView {
        let is_it = |s: &&mut ServiceView| s.destinations.iter().any(|d| d.destination.port == port);
        self.services.iter_mut().find(is_it).unwrap()
    }

    fn server(&mut self, port: u16, addr: &str) -> &mut DestinationView {
        let addr: IpAddr = addr.parse().unwrap();
        self.service_at(port).destinations.iter_mut().find(|d| d.destination.addr == addr).unwrap()
    }

    fn by_key(&mut self, key: &ServiceKey) -> Result<&mut ServiceView> {
        self.services.iter_mut().find(|s| s.service.key == *key).ok_or(Error::NoSuchService)
    }

    fn by_addr(&mut self, key: &ServiceKey, addr: IpAddr, port: u16) -> Result<&mut DestinationView> {
        let all = &mut self.by_key(key)?.destinations;
        all.iter_mut()
            .find(|d| (d.destination.addr, d.destination.port) == (addr, port))
            .ok_or(Error::NoSuchDestination)
    }
}

impl Balancer for Fake {
    fn services(&mut self) -> Result<Vec<ServiceView>> {
        Ok(self.services.clone())
    }
    fn service(&mut self, key: &ServiceKey) -> Result<ServiceView> {
        Ok(self.by_key(key)?.clone())
    }
    fn connections(&mut self) -> Result<Vec<ConnectionView>> {
        Ok(vec![])
    }
    fn edit_destination(&mut self, key: &ServiceKey, destination: &Destination) -> Result<()> {
        if self.refuses_edits_of == Some(destination.port) {
            return Err(Error::Invalid("the fake refuses".into()));
        }
        self.by_addr(key, destination.addr, destination.port)?.destination = *destination;
        Ok(())
    }
    fn delete_destination(&mut self, key: &ServiceKey, addr: IpAddr, port: u16) -> Result<()> {
        self.by_addr(key, addr, port)?;
        let is_it = |d: &DestinationView| (d.destination.addr, d.destination.port) == (addr, port);
        self.by_key(key)?.destinations.retain(|d| !is_it(d));
        Ok(())
    }
    fn expire_connections(&mut self, key: &ServiceKey, addr: IpAddr, port: u16) -> Result<()> {
        let server = self.by_addr(key, addr, port)?;
        assert_eq!(server.destination.weight, 0, "or new ones would come");
        server.active_connections = 0;
        server.inactive_connections = 0;
        self.expired += 1;
        Ok(())
    }

    fn add_service(&mut self, _: &Service) -> Result<()> {
        unreachable!("draining adds nothing")
    }
    fn edit_service(&mut self, _: &Service) -> Result<()> {
        unreachable!("draining edits no service")
    }
    fn delete_service(&mut self, _: &ServiceKey) -> Result<()> {
        unreachable!("draining deletes no service")
    }
    fn clear(&mut self) -> Result<()> {
        unreachable!("draining clears nothing")
    }
    fn add_destination(&mut self, _: &ServiceKey, _: &Destination) -> Result<()> {
        unreachable!("draining adds nothing")
    }
    fn zero(&mut self, _: Option<&ServiceKey>) -> Result<()> {
        unreachable!("draining zeroes nothing")
    }
    fn timeouts(&mut self) -> Result<Timeouts> {
        unreachable!("draining asks for no timeouts")
    }
    fn set_timeouts(&mut self, _: Timeouts) -> Result<()> {
        unreachable!("draining sets no timeouts")
    }
    fn sync_daemons(&mut self) -> Result<Vec<SyncDaemon>> {
        unreachable!("draining asks for no daemons")
    }
    fn start_sync_daemon(&mut self, _: &SyncDaemon) -> Result<()> {
        unreachable!("draining starts no daemon")
    }
    fn stop_sync_daemon(&mut self, _: SyncRole) -> Result<()> {
        unreachable!("draining stops no daemon")
    }
}
