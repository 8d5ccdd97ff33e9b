//! Draining and undraining on a [`Balancer`]: what is asked for is looked up and checked as a whole, noted in the ledger,
//! then done. If a step fails, those before it are undone.

use super::ledger::{self, Drain, Ledger};
use super::watch::{Event, Restore, Seen, Watch, restore};
use super::{Fate, Left, RealServer, ServiceWord, Then, left, name_of};
use rlvs_control::Balancer;
use rlvs_control::model::{Destination, DestinationView, Protocol, ServiceKey, ServiceView};
use std::net::SocketAddr;
use std::time::Duration;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Balancer(#[from] rlvs_control::Error),
    #[error(transparent)]
    Ledger(#[from] ledger::Error),
    /// Cannot be done as asked for; says why and what can.
    #[error("{0}")]
    Refused(String),
}

type Result<T> = std::result::Result<T, Error>;

/// What is to be drained, and how; what is not said is as it was noted, if it is draining already.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    pub server: RealServer,
    /// None: in all services.
    pub service: Option<ServiceWord>,
    /// From now on.
    pub deadline: Option<Duration>,
    pub udp: Option<Fate>,
    pub persistent: Option<Fate>,
    pub then: Option<Then>,
}

/// Starts a drain, or goes on with one. `expires_templates` is the setting `expire_quiescent_template`: what becomes of
/// templates is for the whole namespace.
pub fn begin(
    balancer: &mut (impl Balancer + ?Sized),
    ledger: &mut Ledger,
    wanted: &Wanted,
    expires_templates: bool,
    now: Duration,
) -> Result<Watch> {
    let found = find(balancer, &wanted.server, wanted.service.as_ref())?;
    let mut plan = vec![];
    for (service, destination) in &found {
        plan.push((drain(service, destination, ledger, wanted, expires_templates, now)?, *destination));
    }
    for (done, (drain, destination)) in plan.iter().enumerate() {
        if let Err(e) = quiesce(balancer, ledger, drain, destination) {
            plan[..=done].iter().for_each(|(drain, before)| take_back(balancer, ledger, drain, before));
            return Err(e);
        }
    }
    Ok(Watch::new(plan.into_iter().map(|(drain, _)| drain).collect()))
}

/// How one destination is drained.
fn drain(
    service: &ServiceView,
    destination: &Destination,
    ledger: &Ledger,
    wanted: &Wanted,
    expires_templates: bool,
    now: Duration,
) -> Result<Drain> {
    let key = service.service.key;
    let noted = ledger.find(&key, destination.addr, destination.port);
    // Somebody gave it another weight: that is the one to restore.
    let noted = noted.filter(|_| destination.weight == 0);
    let persistent = match (service.service.persistence, wanted.persistent) {
        (None, _) => Fate::Expire,
        (Some(_), asked) => templates(&key, asked, expires_templates)?,
    };
    let udp = match key {
        ServiceKey::Address { protocol: Protocol::Udp, .. } => {
            let udp = wanted.udp.or(noted.map(|n| n.udp)).unwrap_or(Fate::Keep);
            if udp == Fate::Expire && persistent == Fate::Keep {
                return Err(Error::Refused(format!(
                    "--udp expire: {} is persistent, and persistence would bring its clients back to the server; \
                     `rlvs sysctl expire_quiescent_template=1` lets them go",
                    name_of(&key)
                )));
            }
            udp
        }
        ServiceKey::Fwmark { .. } if wanted.udp == Some(Fate::Expire) => {
            return Err(Error::Refused(format!(
                "--udp expire: {} may have TCP connections too, which would end with the flows; \
                 name the UDP services to drain, or leave it out",
                name_of(&key)
            )));
        }
        _ => Fate::Keep,
    };
    let deadline = wanted.deadline.map(|d| (now + d).as_millis() as u64);
    Ok(Drain {
        service: key,
        addr: destination.addr,
        port: destination.port,
        former_weight: noted.map_or(destination.weight, |n| n.former_weight),
        udp,
        persistent,
        then: wanted.then.or(noted.map(|n| n.then)).unwrap_or(Then::Keep),
        began_ms: noted.map_or(now.as_millis() as u64, |n| n.began_ms),
        deadline_ms: deadline.or(noted.and_then(|n| n.deadline_ms)),
    })
}

/// What becomes of templates is what the setting says; who wants the other is told.
fn templates(key: &ServiceKey, asked: Option<Fate>, expires_templates: bool) -> Result<Fate> {
    let name = name_of(key);
    match (asked, expires_templates) {
        (Some(Fate::Expire), false) => Err(Error::Refused(format!(
            "--persistent expire: {name} is persistent, and the programs cannot let go the clients of one server alone; \
             `rlvs sysctl expire_quiescent_template=1` lets go those of every server of weight 0"
        ))),
        (Some(Fate::Keep), true) => Err(Error::Refused(format!(
            "--persistent keep: {name} is persistent, and the setting expire_quiescent_template is 1: clients of a server \
             of weight 0 go elsewhere; `rlvs sysctl expire_quiescent_template=0` keeps them"
        ))),
        (_, true) => Ok(Fate::Expire),
        (_, false) => Ok(Fate::Keep),
    }
}

fn quiesce(
    balancer: &mut (impl Balancer + ?Sized),
    ledger: &mut Ledger,
    drain: &Drain,
    before: &Destination,
) -> Result<()> {
    ledger.note(*drain)?;
    if before.weight != 0 {
        balancer.edit_destination(&drain.service, &Destination { weight: 0, ..*before })?;
    }
    if drain.udp == Fate::Expire {
        balancer.expire_connections(&drain.service, drain.addr, drain.port)?;
    }
    Ok(())
}

/// Best effort: there is an error to tell already.
fn take_back(
    balancer: &mut (impl Balancer + ?Sized),
    ledger: &mut Ledger,
    drain: &Drain,
    before: &Destination,
) {
    if before.weight != 0 {
        let _ = balancer.edit_destination(&drain.service, before);
        let _ = ledger.forget(&drain.service, drain.addr, drain.port);
    }
}

/// A look at what is not over yet. `noted` is what the ledger has now.
pub fn look(
    balancer: &mut (impl Balancer + ?Sized),
    noted: &[Drain],
    watch: &Watch,
) -> Result<Vec<(usize, Seen)>> {
    let mut connections = None;
    let mut all = vec![];
    for index in watch.open() {
        let drain = &watch.drains()[index];
        if !noted.iter().any(|n| n.is(&drain.service, drain.addr, drain.port)) {
            all.push((index, Seen::Undrained));
            continue;
        }
        let Some(view) = view(balancer, drain)? else {
            all.push((index, Seen::Gone));
            continue;
        };
        // A datagram that was on its way when the weight became 0.
        if drain.udp == Fate::Expire && view.destination.weight == 0 && view.inactive_connections > 0 {
            balancer.expire_connections(&drain.service, drain.addr, drain.port)?;
        }
        if left::wants_connections(drain, &view) && connections.is_none() {
            connections = Some(balancer.connections()?);
        }
        let left = Left::of(drain, &view, connections.as_deref());
        all.push((index, Seen::There { weight: view.destination.weight, left }));
    }
    Ok(all)
}

/// Carries out what an event asks for; whether the destination was deleted.
pub fn end(
    balancer: &mut (impl Balancer + ?Sized),
    ledger: &mut Ledger,
    drain: &Drain,
    event: &Event,
) -> Result<bool> {
    let mut removed = false;
    // It may have been undrained, or given a weight, since the look.
    let is_ours = ledger.find(&drain.service, drain.addr, drain.port).is_some();
    if event.remove && is_ours && view(balancer, drain)?.is_some_and(|v| v.destination.weight == 0) {
        balancer.delete_destination(&drain.service, drain.addr, drain.port)?;
        removed = true;
    }
    if event.forget && is_ours {
        ledger.forget(&drain.service, drain.addr, drain.port)?;
    }
    Ok(removed)
}

/// Ends drains; an error if there is none of this server.
pub fn undrain(
    balancer: &mut (impl Balancer + ?Sized),
    ledger: &mut Ledger,
    server: &RealServer,
    service: Option<&ServiceWord>,
) -> Result<Vec<(Drain, Restore)>> {
    let drains: Vec<Drain> = (ledger.drains().iter())
        .filter(|d| server.is(d.addr, d.port) && service.is_none_or(|s| s.is(&d.service)))
        .copied()
        .collect();
    if drains.is_empty() {
        // A typing error is told as such.
        find(balancer, server, service)?;
        return Err(Error::Refused(format!("{server} is not drained; `ipvsadm -e` sets weights")));
    }
    let mut done = vec![];
    for drain in drains {
        let now = view(balancer, &drain)?.map(|v| v.destination);
        let restored = restore(&drain, now.map(|d| d.weight));
        if let (Restore::Weight { weight }, Some(destination)) = (restored, now)
            && weight != 0
        {
            balancer.edit_destination(&drain.service, &Destination { weight, ..destination })?;
        }
        ledger.forget(&drain.service, drain.addr, drain.port)?;
        done.push((drain, restored));
    }
    Ok(done)
}

fn view(balancer: &mut (impl Balancer + ?Sized), drain: &Drain) -> Result<Option<DestinationView>> {
    let service = match balancer.service(&drain.service) {
        Ok(service) => service,
        Err(rlvs_control::Error::NoSuchService) => return Ok(None),
        Err(e) => return Err(e.into()),
    };
    let is_it = |d: &&DestinationView| (d.destination.addr, d.destination.port) == (drain.addr, drain.port);
    Ok(service.destinations.iter().find(is_it).copied())
}

/// The destinations that are meant; an error if there are none.
fn find(
    balancer: &mut (impl Balancer + ?Sized),
    server: &RealServer,
    service: Option<&ServiceWord>,
) -> Result<Vec<(ServiceView, Destination)>> {
    let services = balancer.services()?;
    let meant: Vec<&ServiceView> =
        services.iter().filter(|s| service.is_none_or(|word| word.is(&s.service.key))).collect();
    let mut found = vec![];
    for service in &meant {
        for view in &service.destinations {
            if server.is(view.destination.addr, view.destination.port) {
                found.push(((*service).clone(), view.destination));
            }
        }
    }
    if !found.is_empty() {
        return Ok(found);
    }
    let names = |list: &mut dyn Iterator<Item = String>| match list.collect::<Vec<_>>().join(", ") {
        none if none.is_empty() => "there are none".to_string(),
        some => format!("there are: {some}"),
    };
    Err(Error::Refused(match (meant.is_empty(), service) {
        (true, Some(_)) => {
            format!("no such service; {}", names(&mut services.iter().map(|s| name_of(&s.service.key))))
        }
        _ => {
            let mut all: Vec<String> = (meant.iter().flat_map(|s| &s.destinations))
                .map(|d| SocketAddr::new(d.destination.addr, d.destination.port).to_string())
                .collect();
            all.sort();
            all.dedup();
            let place = if service.is_some() { "this service" } else { "any service" };
            format!("no real server {server} in {place}; {}", names(&mut all.into_iter()))
        }
    }))
}
