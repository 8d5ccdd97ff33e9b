//! The balancer in memory.

use rlvs_control::model::*;
use rlvs_control::{Balancer, Error, Result};
use std::net::IpAddr;

const SCHEDULERS: &[&str] =
    &["rr", "wrr", "lc", "wlc", "lblc", "lblcr", "dh", "sh", "sed", "nq", "fo", "ovf", "mh", "none"];

#[derive(Clone)]
pub struct Fake {
    /// Newest first.
    pub services: Vec<ServiceView>,
    /// Stands for the kernel's hash table: if not empty, services are listed in this order.
    pub order: Vec<ServiceKey>,
    pub connections: Vec<ConnectionView>,
    pub timeouts: Timeouts,
    pub daemons: Vec<SyncDaemon>,
    pub interfaces: Vec<&'static str>,
    /// Calls that may change something.
    pub orders_given: usize,
    /// Calls of any kind.
    pub calls: usize,
    /// Who asks is not root.
    pub not_root: bool,
    /// One that the kernel of the recordings did not have.
    pub further_scheduler: Option<&'static str>,
}

impl Default for Fake {
    fn default() -> Fake {
        Fake {
            services: Vec::new(),
            order: Vec::new(),
            connections: Vec::new(),
            timeouts: Timeouts { tcp_secs: 900, tcp_fin_secs: 120, udp_secs: 300 },
            daemons: Vec::new(),
            interfaces: vec!["lo", "c0", "s0"],
            orders_given: 0,
            calls: 0,
            not_root: false,
            further_scheduler: None,
        }
    }
}

impl Fake {
    pub fn find(&mut self, key: &ServiceKey) -> Option<&mut ServiceView> {
        self.services.iter_mut().find(|s| s.service.key == *key)
    }

    /// The server at an address and port of a service.
    pub fn server(&mut self, key: &ServiceKey, addr: IpAddr, port: u16) -> &mut DestinationView {
        let servers = &mut self.find(key).expect("the service is there").destinations;
        let server = servers.iter_mut().find(|d| (d.destination.addr, d.destination.port) == (addr, port));
        server.expect("the server is there")
    }

    fn ordered(&mut self) -> Result<()> {
        self.orders_given += 1;
        self.asked()
    }

    fn asked(&mut self) -> Result<()> {
        self.calls += 1;
        match self.not_root {
            true => Err(Error::PermissionDenied("you are not root".to_owned())),
            false => Ok(()),
        }
    }

    fn check_service(&self, service: &Service) -> Result<()> {
        let scheduler = service.scheduler.as_str();
        let known = SCHEDULERS.contains(&scheduler) || self.further_scheduler == Some(scheduler);
        let unknown_engine = service.engine.as_ref().filter(|e| *e != "sip");
        match unknown_engine.or((!known).then_some(&service.scheduler)) {
            Some(name) => Err(Error::SchedulerNotFound(name.clone())),
            None => Ok(()),
        }
    }

    fn has_mixed_families(&self) -> bool {
        self.services.iter().any(|s| {
            let family = s.service.key.family();
            s.destinations.iter().any(|d| Family::of(d.destination.addr) != family)
        })
    }
}

impl Balancer for Fake {
    fn services(&mut self) -> Result<Vec<ServiceView>> {
        self.asked()?;
        let mut services = self.services.clone();
        services.sort_by_key(|s| self.order.iter().position(|k| *k == s.service.key));
        Ok(services)
    }

    fn service(&mut self, key: &ServiceKey) -> Result<ServiceView> {
        self.asked()?;
        self.find(key).cloned().ok_or(Error::NoSuchService)
    }

    fn connections(&mut self) -> Result<Vec<ConnectionView>> {
        self.asked()?;
        Ok(self.connections.clone())
    }

    fn add_service(&mut self, service: &Service) -> Result<()> {
        self.ordered()?;
        if self.find(&service.key).is_some() {
            return Err(Error::ServiceExists);
        }
        self.check_service(service)?;
        let view = ServiceView {
            service: service.clone(),
            counters: Counters::default(),
            rates: Rates::default(),
            destinations: Vec::new(),
        };
        self.services.insert(0, view);
        Ok(())
    }

    fn edit_service(&mut self, service: &Service) -> Result<()> {
        self.ordered()?;
        let checked = self.check_service(service);
        let found = self.find(&service.key).ok_or(Error::NoSuchService)?;
        checked?;
        found.service = service.clone();
        Ok(())
    }

    fn delete_service(&mut self, key: &ServiceKey) -> Result<()> {
        self.ordered()?;
        let found = self.services.iter().position(|s| s.service.key == *key);
        self.services.remove(found.ok_or(Error::NoSuchService)?);
        Ok(())
    }

    fn clear(&mut self) -> Result<()> {
        self.ordered()?;
        self.services.clear();
        Ok(())
    }

    fn add_destination(&mut self, key: &ServiceKey, destination: &Destination) -> Result<()> {
        self.ordered()?;
        let syncing = !self.daemons.is_empty();
        let service = self.find(key).ok_or(Error::ServiceNotDefined)?;
        check_thresholds(destination)?;
        check_family(syncing, key, destination)?;
        if position(service, destination.addr, destination.port).is_some() {
            return Err(Error::DestinationExists);
        }
        if !is_unicast(destination.addr) {
            return Err(Error::Invalid(format!("{} is not unicast", destination.addr)));
        }
        let view = DestinationView {
            destination: *destination,
            active_connections: 0,
            inactive_connections: 0,
            persistent_connections: 0,
            counters: Counters::default(),
            rates: Rates::default(),
        };
        service.destinations.insert(0, view);
        Ok(())
    }

    fn edit_destination(&mut self, key: &ServiceKey, destination: &Destination) -> Result<()> {
        self.ordered()?;
        let syncing = !self.daemons.is_empty();
        let service = self.find(key).ok_or(Error::ServiceNotDefined)?;
        check_thresholds(destination)?;
        check_family(syncing, key, destination)?;
        let found = position(service, destination.addr, destination.port);
        service.destinations[found.ok_or(Error::NoSuchDestination)?].destination = *destination;
        Ok(())
    }

    fn delete_destination(&mut self, key: &ServiceKey, addr: IpAddr, port: u16) -> Result<()> {
        self.ordered()?;
        let service = self.find(key).ok_or(Error::ServiceNotDefined)?;
        let found = position(service, addr, port).ok_or(Error::NoSuchDestination)?;
        service.destinations.remove(found);
        Ok(())
    }

    fn zero(&mut self, key: Option<&ServiceKey>) -> Result<()> {
        self.ordered()?;
        let wanted = |s: &&mut ServiceView| key.is_none_or(|k| s.service.key == *k);
        let mut found = false;
        for service in self.services.iter_mut().filter(wanted) {
            found = true;
            service.counters = Counters::default();
            service.destinations.iter_mut().for_each(|d| d.counters = Counters::default());
        }
        if found || key.is_none() { Ok(()) } else { Err(Error::NoSuchService) }
    }

    fn timeouts(&mut self) -> Result<Timeouts> {
        self.asked()?;
        Ok(self.timeouts)
    }

    fn set_timeouts(&mut self, new: Timeouts) -> Result<()> {
        self.ordered()?;
        let old = self.timeouts;
        let or_old = |new, old| if new == 0 { old } else { new };
        self.timeouts = Timeouts {
            tcp_secs: or_old(new.tcp_secs, old.tcp_secs),
            tcp_fin_secs: or_old(new.tcp_fin_secs, old.tcp_fin_secs),
            udp_secs: or_old(new.udp_secs, old.udp_secs),
        };
        Ok(())
    }

    fn sync_daemons(&mut self) -> Result<Vec<SyncDaemon>> {
        self.asked()?;
        Ok(self.daemons.clone())
    }

    fn start_sync_daemon(&mut self, daemon: &SyncDaemon) -> Result<()> {
        self.ordered()?;
        if self.has_mixed_families() {
            return Err(Error::Invalid("sync cannot carry servers of another family".to_owned()));
        }
        if !self.interfaces.contains(&daemon.interface.as_str()) {
            return Err(Error::NoSuchDevice(daemon.interface.clone()));
        }
        if self.daemons.iter().any(|d| d.role == daemon.role) {
            return Err(Error::DaemonRunning);
        }
        // A backup reads messages of any master, so it makes room.
        let least = if daemon.role == SyncRole::Backup { 1024 } else { 1 };
        let max_len = daemon.max_len.map(|len| len.max(least));
        self.daemons.push(SyncDaemon { max_len, ..daemon.clone() });
        Ok(())
    }

    fn stop_sync_daemon(&mut self, role: SyncRole) -> Result<()> {
        self.ordered()?;
        let found = self.daemons.iter().position(|d| d.role == role);
        self.daemons.remove(found.ok_or(Error::NoDaemon)?);
        Ok(())
    }
}

fn position(service: &ServiceView, addr: IpAddr, port: u16) -> Option<usize> {
    let servers = &service.destinations;
    servers.iter().position(|d| (d.destination.addr, d.destination.port) == (addr, port))
}

fn check_thresholds(server: &Destination) -> Result<()> {
    let Destination { lower_threshold: lower, upper_threshold: upper, .. } = server;
    if lower > upper {
        return Err(Error::OutOfRange(format!("lower threshold {lower} is above {upper}")));
    }
    Ok(())
}

fn check_family(syncing: bool, key: &ServiceKey, server: &Destination) -> Result<()> {
    if syncing && Family::of(server.addr) != key.family() {
        return Err(Error::Invalid("sync cannot carry servers of another family".to_owned()));
    }
    Ok(())
}

fn is_unicast(addr: IpAddr) -> bool {
    let broadcast = matches!(addr, IpAddr::V4(v4) if v4.is_broadcast());
    !(addr.is_multicast() || addr.is_unspecified() || broadcast)
}
