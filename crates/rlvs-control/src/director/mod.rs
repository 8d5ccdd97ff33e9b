//! The director of one network namespace: the orders of [`Balancer`], carried out on the maps.
//!
//! Where nothing was ever added there is no instance, and listings are empty. The first service makes one: programs
//! loaded, pinned, the sweeping timer started, interfaces attached. Each order that changes something holds the
//! namespace's lock from its first look to its last write.

mod buckets;
mod connections;
mod convert;
mod counters;
mod destinations;
mod filter;
mod marks;
mod repair;
mod route;
mod services;
mod settings;
mod sources;
mod status;
mod trace;
mod waiting;

pub use marks::MarkSpec;
pub use settings::Sysctl;
pub use sources::Source;
pub use status::{DropCount, MapFill, Status, drop_reasons};
pub use trace::{Outcome, Trace, TraceFilter, Traced};
pub use waiting::Walk;

use crate::attach;
use crate::instance::{Instance, Place};
use crate::model::*;
use crate::object::Programs;
use crate::{Balancer, Error, Result, instance, object};
use rlvs_core::proto::{self, tcp, udp};
use rlvs_core::wire::ip_proto;
use std::net::IpAddr;
use std::os::fd::OwnedFd;

/// What the director as a whole did.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    pub counters: Counters,
    pub rates: Rates,
    pub processors: Vec<Counters>,
}

pub struct Director {
    place: Place,
    /// Opened when first needed.
    instance: Option<Instance>,
}

impl Director {
    /// The director of the network namespace of the calling thread.
    pub fn here() -> Result<Director> {
        match Place::here() {
            Ok(place) => Ok(Director { place, instance: None }),
            Err(Error::System { doing, cause }) if cause.kind() == std::io::ErrorKind::PermissionDenied => {
                Err(Error::PermissionDenied(format!(
                    "{doing}; run it as root (CAP_BPF and CAP_NET_ADMIN, and CAP_SYS_ADMIN where no bpffs is mounted)"
                )))
            }
            Err(e) => Err(e),
        }
    }

    /// The instance, if there is one.
    pub fn instance(&mut self) -> Result<Option<&mut Instance>> {
        if self.instance.is_none() && self.place.exists() {
            let instance = self.place.open()?;
            // Somebody changes rules just now, or was killed.
            if repair::said(&instance) != 0
                && let Some(_lock) = self.place.try_lock()
            {
                repair::repair(&instance)?;
            }
            self.instance = Some(instance);
        }
        Ok(self.instance.as_mut())
    }

    /// The instance, made if there is none. The lock must be held.
    fn instance_or_new(&mut self) -> Result<&mut Instance> {
        self.instance_with(&object::FOUR)
    }

    /// The same for a service: packets of its family meet a program.
    fn instance_for(&mut self, family: Family) -> Result<&mut Instance> {
        if family == Family::Inet {
            return self.instance_or_new();
        }
        let instance = self.instance_with(&object::BOTH)?;
        attach::serve_both(instance)?;
        Ok(instance)
    }

    /// `programs` are for a new one.
    fn instance_with(&mut self, programs: &Programs) -> Result<&mut Instance> {
        if self.instance.is_none() {
            let exists = self.place.exists();
            self.instance = Some(if exists { self.place.open()? } else { self.create(programs)? });
        }
        self.instance.as_mut().ok_or(Error::NoSuchService)
    }

    /// Counters and rates of everything, and counters of each processor.
    pub fn totals(&mut self) -> Result<Totals> {
        let Some(instance) = self.instance()? else {
            return Ok(Totals { processors: vec![Counters::default()], ..Totals::default() });
        };
        Ok(Totals {
            counters: counters::of_everything(instance),
            rates: counters::rates_of_everything(instance),
            processors: (0..instance.cpus).map(|cpu| counters::of_processor(instance, cpu)).collect(),
        })
    }

    /// Goes on through the connections, a bounded part of them; says at the end of a round which clients wait for the first
    /// packet of a masqueraded server.
    pub fn waiting(&mut self, walk: &mut Walk) -> Result<Option<Vec<Waiting>>> {
        match self.instance()? {
            Some(instance) => walk.go_on(instance),
            None => Ok(Some(Vec::new())),
        }
    }

    fn create(&self, programs: &Programs) -> Result<Instance> {
        let instance = self.place.create(programs)?;
        if let Err(e) = attach::attach_all(&instance) {
            let _ = attach::detach_all(&instance);
            let _ = instance::remove(&self.place.director());
            return Err(e);
        }
        repair::done(&instance);
        Ok(instance)
    }

    /// Waits for the lock, and puts right what a command left that was killed when it had it.
    fn lock(&mut self) -> Result<OwnedFd> {
        let lock = self.place.lock()?;
        if self.instance.is_none() && self.place.exists() {
            // What cannot be opened is not changed either; whoever wants to says why.
            self.instance = self.place.open().ok();
        }
        if let Some(instance) = &self.instance {
            repair::repair(instance)?;
        }
        Ok(lock)
    }

    /// Detaches everything and removes programs, maps and rules of this namespace; harmless where there are none.
    pub fn down(&mut self) -> Result<()> {
        let _lock = self.place.lock()?; // whatever state it is in
        if self.place.exists() {
            match self.place.open() {
                Ok(instance) => attach::detach_all(&instance)?,
                // Of another version: the pinned links go with the directory.
                Err(Error::Layout { .. }) => {}
                Err(e) => return Err(e),
            }
        }
        self.instance = None;
        instance::remove(&self.place.director())?;
        self.place.forget();
        Ok(())
    }

    /// Attaches one interface by name; makes the instance if there is none.
    pub fn attach(
        &mut self,
        name: &str,
        mode: Option<attach::Mode>,
        redirect_into: attach::RedirectInto,
    ) -> Result<attach::Mode> {
        let _lock = self.lock()?;
        let interface = named(name)?;
        if self.instance.is_none() && !self.place.exists() {
            // Only what was named: the rest is for the operator to say, or for the first service.
            let instance = self.place.create(&object::FOUR)?;
            repair::done(&instance);
            self.instance = Some(instance);
        }
        let instance = self.instance_or_new()?;
        attach::attach(instance, &interface, mode, redirect_into)
    }

    pub fn detach(&mut self, name: &str) -> Result<()> {
        let _lock = self.lock()?;
        let interface = named(name)?;
        match self.instance()? {
            Some(instance) => attach::detach(instance, &interface),
            None => Ok(()),
        }
    }
}

fn named(name: &str) -> Result<attach::Interface> {
    attach::interfaces()?
        .into_iter()
        .find(|i| i.name == name)
        .ok_or_else(|| Error::NoSuchDevice(name.to_string()))
}

impl Balancer for Director {
    fn services(&mut self) -> Result<Vec<ServiceView>> {
        match self.instance()? {
            Some(instance) => services::list(instance),
            None => Ok(Vec::new()),
        }
    }

    fn service(&mut self, key: &ServiceKey) -> Result<ServiceView> {
        let instance = self.instance()?.ok_or(Error::NoSuchService)?;
        let id = services::find(instance, key)?.ok_or(Error::NoSuchService)?;
        services::view(instance, id)
    }

    fn connections(&mut self) -> Result<Vec<ConnectionView>> {
        match self.instance()? {
            Some(instance) => connections::list(instance),
            None => Ok(Vec::new()),
        }
    }

    fn add_service(&mut self, service: &Service) -> Result<()> {
        services::check(service)?;
        let _lock = self.lock()?;
        let instance = self.instance_for(service.key.family())?;
        repair::guarded(instance, None, |instance| services::add(instance, service))
    }

    fn edit_service(&mut self, service: &Service) -> Result<()> {
        let _lock = self.lock()?;
        let instance = self.instance()?.ok_or(Error::NoSuchService)?;
        let id = services::find(instance, &service.key)?.ok_or(Error::NoSuchService)?;
        services::check(service)?;
        repair::guarded(instance, Some(id), |instance| services::edit(instance, id, service))
    }

    fn delete_service(&mut self, key: &ServiceKey) -> Result<()> {
        let _lock = self.lock()?;
        let instance = self.instance()?.ok_or(Error::NoSuchService)?;
        let id = services::find(instance, key)?.ok_or(Error::NoSuchService)?;
        repair::guarded(instance, None, |instance| {
            services::delete(instance, id)?;
            filter::rebuild(instance);
            Ok(())
        })
    }

    fn clear(&mut self) -> Result<()> {
        let _lock = self.lock()?;
        let Some(instance) = self.instance()? else {
            return Ok(());
        };
        repair::guarded(instance, None, |instance| {
            for id in services::ids(instance) {
                services::delete(instance, id)?;
            }
            filter::rebuild(instance);
            Ok(())
        })
    }

    fn add_destination(&mut self, key: &ServiceKey, destination: &Destination) -> Result<()> {
        let _lock = self.lock()?;
        let instance = self.instance()?.ok_or(Error::ServiceNotDefined)?;
        let service = services::find(instance, key)?.ok_or(Error::ServiceNotDefined)?;
        repair::guarded(instance, Some(service), |i| destinations::add(i, service, destination))
    }

    fn edit_destination(&mut self, key: &ServiceKey, destination: &Destination) -> Result<()> {
        let _lock = self.lock()?;
        let instance = self.instance()?.ok_or(Error::ServiceNotDefined)?;
        let service = services::find(instance, key)?.ok_or(Error::ServiceNotDefined)?;
        repair::guarded(instance, Some(service), |i| destinations::edit(i, service, destination))
    }

    fn delete_destination(&mut self, key: &ServiceKey, addr: IpAddr, port: u16) -> Result<()> {
        let _lock = self.lock()?;
        let instance = self.instance()?.ok_or(Error::ServiceNotDefined)?;
        let service = services::find(instance, key)?.ok_or(Error::ServiceNotDefined)?;
        repair::guarded(instance, Some(service), |i| destinations::delete(i, service, addr, port))
    }

    fn expire_connections(&mut self, key: &ServiceKey, addr: IpAddr, port: u16) -> Result<()> {
        let _lock = self.lock()?;
        let instance = self.instance()?.ok_or(Error::ServiceNotDefined)?;
        let service = services::find(instance, key)?.ok_or(Error::ServiceNotDefined)?;
        repair::guarded(instance, Some(service), |i| destinations::expire_connections(i, service, addr, port))
    }

    fn zero(&mut self, key: Option<&ServiceKey>) -> Result<()> {
        let _lock = self.lock()?;
        let Some(instance) = self.instance()? else {
            return if key.is_some() { Err(Error::NoSuchService) } else { Ok(()) };
        };
        match key {
            Some(key) => {
                let id = services::find(instance, key)?.ok_or(Error::NoSuchService)?;
                counters::zero(instance, id)
            }
            None => counters::zero_all(instance),
        }
    }

    fn timeouts(&mut self) -> Result<Timeouts> {
        let secs = match self.instance()? {
            Some(instance) => {
                let hz = instance.hz;
                instance.settings.get(0).timeouts.map(|jiffies| jiffies / hz)
            }
            None => proto::DEFAULT_TIMEOUT_SECS,
        };
        Ok(Timeouts { tcp_secs: secs[TCP], tcp_fin_secs: secs[TCP_FIN], udp_secs: secs[UDP] })
    }

    fn set_timeouts(&mut self, timeouts: Timeouts) -> Result<()> {
        let _lock = self.lock()?;
        let instance = self.instance_or_new()?;
        let hz = instance.hz;
        instance.settings.edit(0, |s| {
            let given =
                [(TCP, timeouts.tcp_secs), (TCP_FIN, timeouts.tcp_fin_secs), (UDP, timeouts.udp_secs)];
            for (index, secs) in given {
                if secs != 0 {
                    s.timeouts[index] = secs.saturating_mul(hz);
                }
            }
        });
        Ok(())
    }

    fn sync_daemons(&mut self) -> Result<Vec<SyncDaemon>> {
        Ok(Vec::new())
    }

    fn start_sync_daemon(&mut self, _: &SyncDaemon) -> Result<()> {
        Err(Error::NotSupported("connection sync".into()))
    }

    fn stop_sync_daemon(&mut self, _: SyncRole) -> Result<()> {
        Err(Error::NoDaemon)
    }
}

/// Where `--set`'s three timeouts are in the settings.
const TCP: usize = proto::timeout_index(ip_proto::TCP, tcp::ESTABLISHED);
const TCP_FIN: usize = proto::timeout_index(ip_proto::TCP, tcp::FIN_WAIT);
const UDP: usize = proto::timeout_index(ip_proto::UDP, udp::NORMAL);
