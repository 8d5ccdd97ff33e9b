//! What is counted while a scheduler is at work, and what comes of it.

use super::director::Director;
use super::load::Arrival;
use super::worker::Worker;
use super::{Event, INTERVALS, SECOND, Scenario};
use rlvs_core::sched::Scheduler;
use serde::Serialize;

/// Everything about one scheduler; `--json` prints it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Outcome {
    pub scheduler: &'static str,
    pub connections: u64,
    /// Nobody took them.
    pub refused: u64,
    /// Their last segments did not reach the server: it was deleted, or they were silent for longer than the timeout.
    pub cut: u64,
    pub servers: Vec<ServerOutcome>,
    pub response: Response,
    /// How much the servers' utilisation differs, for each twelfth of the time: standard deviation over mean.
    pub imbalance: Vec<f64>,
    pub imbalance_mean: f64,
    /// How many servers a client has met on average; with several virtual addresses, how many an address.
    pub servers_met: f64,
    pub events: Vec<EventOutcome>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ServerOutcome {
    pub name: String,
    pub speed: f64,
    pub connections: u64,
    /// Its part of all that were taken, and the part that its weight asks for while it is there.
    pub share: f64,
    pub share_of_weight: f64,
    /// Connections it works on.
    pub active_mean: f64,
    pub active_max: u64,
    /// Part of the time with something to do.
    pub busy: f64,
}

/// Response time over the time that the same work takes on an idle server of speed 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Response {
    pub p50: f64,
    pub p99: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EventOutcome {
    pub at_secs: f64,
    pub event: String,
    /// Clients that came before and between this event and the next one.
    pub clients: u64,
    /// Of these, whose first connection afterwards went to another server than their last one before.
    pub moved: u64,
    /// Of these, whose server takes no new connections any more.
    pub had_to: u64,
}

pub struct Tally {
    per_server: Vec<u64>,
    wanted: Vec<f64>,
    arrivals: u64,
    refused: u64,
    cut: u64,
    responses: Vec<f64>,
    imbalance: Vec<f64>,
    /// Each client's last server.
    last: Vec<Option<u8>>,
    /// Which servers each client (or address) has met.
    met: Vec<ServerSet>,
    by_address: bool,
    events: Vec<EventOutcome>,
    since_event: Option<SinceEvent>,
}

/// A set of at most 64 servers.
#[derive(Clone, Copy, Default)]
struct ServerSet(u64);

impl ServerSet {
    fn add(&mut self, server: u32) {
        self.0 |= 1 << server;
    }
    fn len(self) -> u32 {
        self.0.count_ones()
    }
    fn is_empty(self) -> bool {
        self.0 == 0
    }
}

struct SinceEvent {
    /// Each client's server before the event, until it comes again.
    before: Vec<Option<u8>>,
    /// Which servers take connections.
    usable: Vec<bool>,
}

impl Tally {
    pub fn new(scenario: &Scenario, servers: usize) -> Tally {
        let by_address = scenario.addresses > 1;
        Tally {
            per_server: vec![0; servers],
            wanted: vec![0.0; servers],
            arrivals: 0,
            refused: 0,
            cut: 0,
            responses: Vec::new(),
            imbalance: Vec::with_capacity(INTERVALS as usize),
            last: vec![None; scenario.clients as usize],
            met: vec![
                ServerSet::default();
                if by_address { scenario.addresses } else { scenario.clients } as usize
            ],
            by_address,
            events: Vec::new(),
            since_event: None,
        }
    }

    /// A client comes while servers have these weights.
    pub fn wanted(&mut self, weights: impl Iterator<Item = u32> + Clone) {
        self.arrivals += 1;
        let sum: u32 = weights.clone().sum();
        for (wanted, weight) in self.wanted.iter_mut().zip(weights) {
            *wanted += f64::from(weight) / f64::from(sum.max(1));
        }
    }

    pub fn refused(&mut self) {
        self.refused += 1;
    }

    pub fn cut(&mut self) {
        self.cut += 1;
    }

    pub fn opened(&mut self, arrival: &Arrival, server: u32) {
        self.per_server[server as usize] += 1;
        let who = if self.by_address { arrival.flow.address } else { arrival.client };
        self.met[who as usize].add(server);
        self.last[arrival.client as usize] = Some(server as u8);
        let Some((since, event)) = self.since_event.as_mut().zip(self.events.last_mut()) else {
            return;
        };
        if let Some(before) = since.before[arrival.client as usize].take() {
            event.clients += 1;
            event.moved += u64::from(u32::from(before) != server);
            event.had_to += u64::from(!since.usable[usize::from(before)]);
        }
    }

    pub fn response(&mut self, took: u64, work: u64) {
        self.responses.push(took as f64 / work as f64);
    }

    pub fn event(&mut self, event: &Event, director: &Director) {
        let at_secs = event.at as f64 / SECOND as f64;
        self.events.push(EventOutcome {
            at_secs,
            event: event.text.clone(),
            clients: 0,
            moved: 0,
            had_to: 0,
        });
        let usable = (0..self.per_server.len() as u32).map(|id| director.weight(id) > 0).collect();
        self.since_event = Some(SinceEvent { before: self.last.clone(), usable });
    }

    /// An interval ends: how unequally busy were the servers that take connections?
    pub fn interval(&mut self, workers: &mut [Worker], director: &Director, nanos: u64) {
        let used = workers.iter_mut().enumerate().filter_map(|(id, worker)| {
            let busy = std::mem::take(&mut worker.busy_lately);
            (director.weight(id as u32) > 0).then_some(busy as f64 / nanos as f64)
        });
        self.imbalance.push(variation(&used.collect::<Vec<_>>()));
    }

    pub fn outcome(mut self, scheduler: Scheduler, workers: &[Worker], scenario: &Scenario) -> Outcome {
        self.responses.sort_unstable_by(f64::total_cmp);
        let connections: u64 = self.per_server.iter().sum();
        let duration = scenario.duration as f64;
        let servers = workers.iter().enumerate().map(|(id, worker)| ServerOutcome {
            name: format!("rs{}", id + 1),
            speed: worker.speed,
            connections: self.per_server[id],
            share: part(self.per_server[id] as f64, connections as f64),
            share_of_weight: part(self.wanted[id], self.arrivals as f64),
            active_mean: worker.load as f64 / duration,
            active_max: worker.most as u64,
            busy: worker.busy as f64 / duration,
        });
        let met = self.met.iter().filter(|m| !m.is_empty());
        Outcome {
            scheduler: scheduler.word(),
            connections,
            refused: self.refused,
            cut: self.cut,
            servers: servers.collect(),
            response: Response {
                p50: percentile(&self.responses, 0.50),
                p99: percentile(&self.responses, 0.99),
            },
            imbalance_mean: part(self.imbalance.iter().sum(), self.imbalance.len() as f64),
            imbalance: self.imbalance,
            servers_met: part(met.clone().map(|m| f64::from(m.len())).sum(), met.count() as f64),
            events: self.events,
        }
    }
}

fn part(of: f64, all: f64) -> f64 {
    if all == 0.0 { 0.0 } else { of / all }
}

/// Of sorted numbers the smallest that so many are not above.
fn percentile(sorted: &[f64], part: f64) -> f64 {
    let rank = (part * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0.0)
}

/// Standard deviation over mean.
fn variation(numbers: &[f64]) -> f64 {
    let n = numbers.len() as f64;
    let mean = part(numbers.iter().sum(), n);
    let squares = numbers.iter().map(|x| (x - mean) * (x - mean)).sum();
    part(part(squares, n).sqrt(), mean)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_a_table() {
        assert_eq!(variation(&[0.5, 0.5]), 0.0);
        assert_eq!(variation(&[1.0, 0.0]), 1.0);
        assert_eq!(variation(&[]), 0.0);
        let hundred: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!((percentile(&hundred, 0.5), percentile(&hundred, 0.99)), (50.0, 99.0));
        assert_eq!(percentile(&[], 0.5), 0.0);
    }
}
