//! The thread that has the director: reads rules and carries out orders, one batch at a time. What must be remembered of
//! a batch is written before its first order. The director is opened for each batch, as every command opens it: `rlvs
//! down` may have removed it meanwhile, and another version may have put one in its place.
//!
//! A destination that is drained keeps weight 0 ([`drain`](crate::drain)); the weight it would have goes into the ledger,
//! which is held while orders are given.

use super::drains::{self, Drains};
use super::place::Place;
use super::{Hand, Open};
use crate::config::diff::Change;
use crate::config::rules::Rule;
use crate::drain::{Ledger, ledger};
use crate::machine::{Memory, Output, Overruled, Status, What};
use crate::metrics::{Names, render_with};
use anyhow::{Context, Result, anyhow};
use hyper::StatusCode;
use nix::fcntl::Flock;
use rlvs_control::model::{Destination, ServiceKey, Waiting};
use rlvs_control::{Walk, bpffs};
use serde_json::{Value, json};
use std::fs::File;
use std::path::PathBuf;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;
use tokio::sync::{mpsc as channel, oneshot};

pub enum Job {
    /// Orders, `Clear`, `SetTimeouts` and `SetSources`; other outputs are not for the hands.
    Orders {
        memory: Box<Memory>,
        outputs: Vec<Output>,
    },
    /// Only write it down.
    Remember(Box<Memory>),
    Look,
    Forget,
    /// The next part of the connections, for passive checks.
    Clients,
    /// For somebody who waits for it himself.
    Drain(drains::Asked, oneshot::Sender<(StatusCode, Value)>),
    /// The page for Prometheus.
    Metrics(Box<Status>, Names, oneshot::Sender<Result<String, String>>),
}

#[derive(Debug, Default)]
pub struct Done {
    pub failed: Vec<(Change, String)>,
    /// What found a weight that somebody else had set.
    pub overruled: Vec<Overruled>,
    /// What could not be done and is no order.
    pub problems: Vec<String>,
    /// The rules that are there, after `Look` and where orders failed.
    pub found: Option<Vec<Rule>>,
}

/// The daemon's end of it.
pub struct Hands {
    jobs: mpsc::Sender<Job>,
    pub done: channel::UnboundedReceiver<Done>,
    /// What came of drains.
    pub told: channel::UnboundedReceiver<What>,
    /// What came of `Clients`; something at the end of a round.
    pub waiting: channel::UnboundedReceiver<Result<Option<Vec<Waiting>>, String>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Hands {
    pub fn give(&self, job: Job) {
        // The thread lives until this end is dropped.
        let _ = self.jobs.send(job);
    }
}

impl Drop for Hands {
    fn drop(&mut self) {
        let (closed, _) = mpsc::channel();
        self.jobs = closed;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Starts the thread in its network namespace, takes the daemon's place, opens the director and reads its rules.
pub fn start(
    open: Open,
    namespace: Option<File>,
    directory: Option<PathBuf>,
) -> Result<(Hands, Vec<Rule>, Place)> {
    let (jobs, orders) = mpsc::channel();
    let (report, done) = channel::unbounded_channel();
    let (tell, told) = channel::unbounded_channel();
    let (looked, waiting) = channel::unbounded_channel();
    let (ready, began) = mpsc::channel();
    let work = move || {
        let prepared = prepare(open, namespace, directory);
        let (open, place, _lock) = match prepared {
            Ok((open, found, place, lock)) => {
                let _ = ready.send(Ok((found, place.clone())));
                (open, place, lock)
            }
            Err(error) => {
                let _ = ready.send(Err(error));
                return;
            }
        };
        let mut drains = Drains::default();
        let mut walk = Walk::default();
        loop {
            let job =
                match drains.pause().map_or_else(|| Ok(orders.recv().ok()), |pause| wait(&orders, pause)) {
                    Ok(Some(job)) => job,
                    Ok(None) => return,
                    Err(()) => {
                        look_at_drains(&open, &mut drains, &tell);
                        continue;
                    }
                };
            match job {
                Job::Drain(asked, reply) => {
                    let _ = reply.send(drain(&open, &mut drains, asked));
                }
                Job::Clients => {
                    let found = open().and_then(|mut director| director.waiting(&mut walk));
                    let _ = looked.send(found.map_err(|error| error.to_string()));
                }
                Job::Metrics(status, names, reply) => {
                    let _ = reply.send(metrics(&open, &status, names).map_err(|error| format!("{error:#}")));
                }
                job => {
                    let answers = !matches!(job, Job::Remember(_) | Job::Forget);
                    let done = carry_out(&open, &place, job);
                    if answers && report.send(done).is_err() {
                        return;
                    }
                }
            }
        }
    };
    let thread =
        thread::Builder::new().name("director".into()).spawn(work).context("cannot start a thread")?;
    let (found, place) = began.recv().map_err(|_| anyhow!("the director's thread ended"))??;
    Ok((Hands { jobs, done, told, waiting, thread: Some(thread) }, found, place))
}

/// A job, or none: nobody gives any more. `Err` when the time is up.
fn wait(jobs: &mpsc::Receiver<Job>, pause: Duration) -> Result<Option<Job>, ()> {
    match jobs.recv_timeout(pause) {
        Ok(job) => Ok(Some(job)),
        Err(mpsc::RecvTimeoutError::Disconnected) => Ok(None),
        Err(mpsc::RecvTimeoutError::Timeout) => Err(()),
    }
}

fn drain(open: &Open, drains: &mut Drains, asked: drains::Asked) -> (StatusCode, Value) {
    match open() {
        Ok(mut director) => drains.carry_out(director.as_mut(), asked),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, json!({ "error": error.to_string() })),
    }
}

fn look_at_drains(open: &Open, drains: &mut Drains, tell: &channel::UnboundedSender<What>) {
    let looked = open()
        .map_err(|e| e.to_string())
        .and_then(|mut director| drains.look(director.as_mut()).map_err(|e| e.to_string()));
    match looked {
        // Nobody listens when the daemon ends.
        Ok(told) => told.into_iter().for_each(|what| drop(tell.send(what))),
        Err(error) => eprintln!("drains cannot be looked at: {error}"),
    }
}

fn metrics(open: &Open, status: &Status, names: Names) -> Result<String> {
    let drains = ledger::peek(bpffs::netns_cookie()?)?;
    Ok(render_with(&open()?.snapshot(drains)?, names, Some(status)))
}

type Prepared = (Open, Vec<Rule>, Place, Flock<File>);

fn prepare(open: Open, namespace: Option<File>, directory: Option<PathBuf>) -> Result<Prepared> {
    if let Some(namespace) = namespace {
        super::enter(&namespace).context("cannot enter the network namespace of the rules")?;
    }
    let place = match directory {
        Some(directory) => Place::at(directory),
        None => Place::of_this_namespace()?,
    };
    let lock = place.take()?;
    let (ledger, problem) = open_ledger();
    if let Some(problem) = problem {
        eprintln!("{problem}");
    }
    let found = rules(open()?.as_mut(), ledger.as_ref())?;
    Ok((open, found, place, lock))
}

fn carry_out(open: &Open, place: &Place, job: Job) -> Done {
    let mut done = Done::default();
    let worked = match job {
        Job::Remember(memory) => place.remember(&memory),
        Job::Forget => {
            place.forget();
            Ok(())
        }
        Job::Look => look(open, &mut done),
        Job::Drain(..) | Job::Metrics(..) | Job::Clients => Ok(()),
        Job::Orders { memory, outputs } => {
            // Without a memory the next daemon knows less; that is no reason to leave a dead server in.
            done.problems.extend(place.remember(&memory).err().map(|error| format!("{error:#}")));
            carry_out_orders(open, outputs, &mut done)
        }
    };
    done.problems.extend(worked.err().map(|error| format!("{error:#}")));
    done
}

fn look(open: &Open, done: &mut Done) -> Result<()> {
    let (ledger, problem) = open_ledger();
    done.problems.extend(problem);
    done.found = Some(rules(open()?.as_mut(), ledger.as_ref())?);
    Ok(())
}

/// Who is drained. A ledger that cannot be read must not keep dead servers in the rules.
fn open_ledger() -> (Option<Ledger>, Option<String>) {
    let opened = bpffs::netns_cookie()
        .map_err(|error| error.to_string())
        .and_then(|cookie| Ledger::open(cookie).map_err(|error| error.to_string()));
    match opened {
        Ok(ledger) => (Some(ledger), None),
        Err(error) => (None, Some(format!("drained servers are not known: {error}"))),
    }
}

fn carry_out_orders(open: &Open, outputs: Vec<Output>, done: &mut Done) -> Result<()> {
    let mut balancer = match open() {
        Ok(balancer) => balancer,
        Err(error) => {
            // Then none of the orders was carried out.
            for output in outputs {
                let Output::Orders(orders) = output else { continue };
                done.failed.extend(orders.into_iter().map(|order| (order, error.to_string())));
            }
            return Err(error.into());
        }
    };
    let (mut ledger, problem) = open_ledger();
    done.problems.extend(problem);
    for output in outputs {
        let worked = match output {
            Output::Clear => balancer.clear(),
            Output::SetTimeouts(timeouts) => balancer.set_timeouts(timeouts),
            Output::SetSources(sources) => balancer.set_sources(&sources),
            Output::Orders(orders) => {
                for order in orders {
                    match overruled(balancer.as_mut(), ledger.as_ref(), &order) {
                        Ok(None) => {}
                        Ok(Some(overruled)) => {
                            done.overruled.push(overruled);
                            continue;
                        }
                        Err(error) => {
                            done.failed.push((order, error.to_string()));
                            continue;
                        }
                    }
                    let heeded = heeding(&order, ledger.as_mut(), &mut done.problems);
                    if let Err(error) = give(balancer.as_mut(), heeded.as_ref().unwrap_or(&order)) {
                        done.failed.push((order, error.to_string()));
                    }
                }
                Ok(())
            }
            _ => Ok(()),
        };
        done.problems.extend(worked.err().map(|error| error.to_string()));
    }
    if !done.failed.is_empty() {
        done.found = Some(rules(balancer.as_mut(), ledger.as_ref())?);
    }
    Ok(())
}

/// For a drained destination the order with weight 0; undraining will restore the weight that it had.
fn heeding(order: &Change, ledger: Option<&mut Ledger>, problems: &mut Vec<String>) -> Option<Change> {
    let (Change::AddDestination(key, d) | Change::EditDestination(key, d) | Change::Reweigh(key, d, _)) =
        order
    else {
        return None;
    };
    let drained = match ledger?.set_former_weight(key, d.addr, d.port, d.weight) {
        Ok(drained) => drained,
        Err(error) => {
            problems.push(error.to_string());
            true // it is noted, or nothing would have been written
        }
    };
    let quiet = Destination { weight: 0, ..*d };
    drained.then_some(match order {
        Change::AddDestination(..) => Change::AddDestination(*key, quiet),
        _ => Change::EditDestination(*key, quiet),
    })
}

fn give(balancer: &mut dyn Hand, order: &Change) -> rlvs_control::Result<()> {
    match order {
        Change::AddService(service) => balancer.add_service(service),
        Change::EditService(service) => balancer.edit_service(service),
        Change::DeleteService(key) => balancer.delete_service(key),
        Change::AddDestination(key, destination) => balancer.add_destination(key, destination),
        Change::EditDestination(key, destination) | Change::Reweigh(key, destination, _) => {
            balancer.edit_destination(key, destination)
        }
        Change::DeleteDestination(key, addr, port) => balancer.delete_destination(key, *addr, *port),
    }
}

/// A weight that is to be changed only if it is what it was: is it another? A drained destination has the one that it
/// will have.
fn overruled(
    balancer: &mut dyn Hand,
    ledger: Option<&Ledger>,
    order: &Change,
) -> rlvs_control::Result<Option<Overruled>> {
    let Change::Reweigh(key, wanted, expected) = order else { return Ok(None) };
    let view = balancer.service(key)?;
    let mut there = view.destinations.iter().map(|d| d.destination);
    let Some(now) = there.find(|d| (d.addr, d.port) == (wanted.addr, wanted.port)) else { return Ok(None) };
    let weight = meant(key, now, ledger).weight;
    let overruled = Overruled { service: *key, addr: now.addr, port: now.port, weight };
    Ok((weight != *expected).then_some(overruled))
}

/// A destination with the weight that it has when it is undrained.
fn meant(key: &ServiceKey, d: Destination, ledger: Option<&Ledger>) -> Destination {
    match ledger.and_then(|ledger| ledger.find(key, d.addr, d.port)) {
        Some(drain) if d.weight == 0 => Destination { weight: drain.former_weight, ..d },
        _ => d,
    }
}

/// The rules, a drained destination with the weight that it has when it is undrained.
fn rules(balancer: &mut dyn Hand, ledger: Option<&Ledger>) -> rlvs_control::Result<Vec<Rule>> {
    let views = balancer.services()?.into_iter();
    Ok(views
        .map(|view| {
            let key = view.service.key;
            let destinations =
                view.destinations.into_iter().map(|d| meant(&key, d.destination, ledger)).collect();
            Rule { service: view.service, destinations }
        })
        .collect())
}
