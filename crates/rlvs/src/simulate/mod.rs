//! `rlvs simulate`: how the schedulers share out a load among servers of different speed.
//!
//! The director is the brain of the packet programs itself, on plain memory: every connection's segments go through it, its
//! states, timeouts and counters are the real ones. What is invented is around it: clients ([`load`]), real servers
//! ([`worker`]) and the clock, which jumps from one thing that happens to the next. There is no network: packets take no time
//! and none is lost. The same seed gives the same result.
//!
//! docs/schedulers.md shows what comes out.

mod director;
pub mod dynamic;
mod load;
mod memory;
mod report;
mod tally;
pub mod words;
mod worker;

pub use load::ServiceTime;
pub use report::{comparison, details};
pub use tally::{EventOutcome, Outcome, Response, ServerOutcome};

use anyhow::{Result, bail};
use director::{Director, Flow, Rules, TICKS_PER_SEC};
use load::Load;
use rlvs_core::sched::Scheduler;
use tally::Tally;
use worker::Worker;

const SECOND: u64 = 1_000_000_000;
/// Into how many the time is cut to show the imbalance.
const INTERVALS: u64 = 12;
/// Connections in the table at once: each takes 128 bytes of memory.
const MOST_AT_ONCE: f64 = 6e6;
/// And all together: of each its response time is kept.
const MOST: f64 = 5e7;

/// What is simulated, for each scheduler alike.
pub struct Scenario {
    pub servers: Vec<Server>,
    /// New connections per second.
    pub rate: f64,
    /// Nanoseconds.
    pub duration: u64,
    pub service_time: ServiceTime,
    pub mean_work_nanos: u64,
    pub clients: u32,
    /// Virtual addresses; more than one are a service by firewall mark.
    pub addresses: u32,
    pub zipf: f64,
    pub udp: bool,
    pub method: Method,
    /// 0: no persistence.
    pub persist_secs: u32,
    pub flags: Vec<String>,
    pub events: Vec<Event>,
    pub seed: u64,
}

#[derive(Clone, Copy, Debug)]
pub struct Server {
    pub speed: f64,
    pub weight: u32,
    /// Upper threshold, 0 for none.
    pub upper: u32,
}

/// How packets reach the servers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Method {
    /// The director sees both sides of a connection
    Nat,
    /// Direct routing (as with tunnels it sees only the client's side)
    Dr,
}

#[derive(Clone, PartialEq, Debug)]
pub struct Event {
    pub at: u64,
    /// Counted from 0; its name counts from 1.
    pub server: u32,
    pub change: Change,
    pub text: String,
}

#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Change {
    Weight(u32),
    Delete,
    /// A new server, or a deleted one again.
    Add {
        weight: u32,
        speed: Option<f64>,
    },
}

impl Scenario {
    /// What it takes when nothing is said: three servers, one of them half as fast, 70 % busy.
    pub fn example() -> Scenario {
        let server = |speed| Server { speed, weight: 1, upper: 0 };
        Scenario {
            servers: [1.0, 1.0, 0.5].map(server).to_vec(),
            rate: 87.5,
            duration: 60 * SECOND,
            service_time: ServiceTime::Exponential,
            mean_work_nanos: SECOND / 50,
            clients: 1000,
            addresses: 1,
            zipf: 0.0,
            udp: false,
            method: Method::Nat,
            persist_secs: 0,
            flags: Vec::new(),
            events: Vec::new(),
            seed: 1,
        }
    }

    /// The rate that keeps the servers busy for this part of their time.
    pub fn rate_for(&self, part: f64) -> f64 {
        let speed: f64 = self.servers.iter().map(|s| s.speed).sum();
        part * speed * SECOND as f64 / self.mean_work_nanos as f64
    }

    /// How much of their time the servers would be busy if the load were shared perfectly.
    pub fn busy(&self) -> f64 {
        self.rate / self.rate_for(1.0)
    }

    /// Speeds of all servers, also of those that come later. Refuses what cannot happen.
    fn speeds(&self) -> Result<Vec<f64>> {
        let mut speeds: Vec<f64> = self.servers.iter().map(|s| s.speed).collect();
        let mut there = vec![true; speeds.len()];
        for event in &self.events {
            let (at, name, text) = (event.server as usize, event.server + 1, &event.text);
            let is_there = there.get(at).copied().unwrap_or(false);
            if event.at >= self.duration {
                bail!("event {text:?} comes after the end; give a longer --duration");
            }
            match event.change {
                Change::Weight(_) if is_there => {}
                Change::Delete if is_there => there[at] = false,
                Change::Add { .. } if is_there => bail!("event {text:?}: rs{name} is there already"),
                Change::Add { speed, .. } if at < there.len() => {
                    there[at] = true;
                    if speed.is_some_and(|s| s != speeds[at]) {
                        bail!("event {text:?}: rs{name} was there before, and comes back as fast as it was");
                    }
                }
                Change::Add { speed, .. } if at == there.len() && at < words::MOST_SERVERS => {
                    there.push(true);
                    speeds.push(speed.unwrap_or(1.0));
                }
                Change::Add { .. } => bail!("event {text:?}: the next new server is rs{}", there.len() + 1),
                _ => bail!("event {text:?}: there is no rs{name} at that time"),
            }
        }
        Ok(speeds)
    }

    /// Entries in the connection table, at most: closed TCP connections stay two minutes, UDP's five.
    fn entries(&self) -> Result<usize> {
        let stay = (self.duration / SECOND) as f64 + 1.0;
        let most = self.rate * stay.min(if self.udp { 302.0 } else { 150.0 });
        if most > MOST_AT_ONCE {
            bail!(
                "{:.0} connections per second need a table of {most:.0} entries, more than {MOST_AT_ONCE:.0}; \
                 give a lower --rate or a shorter --duration",
                self.rate
            );
        }
        let all = self.rate * (self.duration as f64 / SECOND as f64);
        if all > MOST {
            bail!(
                "{all:.0} connections are more than {MOST:.0}; give a lower --rate or a shorter --duration"
            );
        }
        // And what persistence and the lblc schedulers keep.
        let kept = self.clients + self.addresses * self.servers.len() as u32;
        Ok(most as usize + kept as usize)
    }
}

/// One scheduler under this load.
pub fn run(scenario: &Scenario, scheduler: Scheduler) -> Result<Outcome> {
    let speeds = scenario.speeds()?;
    let rules = Rules {
        scheduler,
        flags: words::flags(&scenario.flags, scheduler)?,
        addresses: scenario.addresses,
        persist_secs: scenario.persist_secs,
        method: scenario.method,
        udp: scenario.udp,
    };
    let mut director = Director::new(rules, speeds.len(), scenario.entries()?, scenario.seed);
    for (number, server) in scenario.servers.iter().enumerate() {
        director.add(number as u32, server.weight, server.upper);
    }
    let mut run = Run {
        scenario,
        director,
        tally: Tally::new(scenario, speeds.len()),
        workers: speeds.into_iter().map(Worker::new).collect(),
        jobs: Vec::new(),
        now: 0,
    };
    run.live();
    run.finish();
    Ok(run.tally.outcome(scheduler, &run.workers, scenario))
}

struct Run<'s> {
    scenario: &'s Scenario,
    director: Director,
    workers: Vec<Worker>,
    tally: Tally,
    /// All connections so far.
    jobs: Vec<Job>,
    now: u64,
}

#[derive(Clone, Copy)]
struct Job {
    flow: Flow,
    begun: u64,
    work: u64,
}

/// What happens next; of what happens at the same time the first here.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Done(usize),
    Interval,
    Change,
    Tick,
    Arrival,
}

impl Run<'_> {
    fn live(&mut self) {
        let scenario = self.scenario;
        let mut load = Load::new(scenario);
        let mut arrival = load.next();
        let mut events = scenario.events.iter().peekable();
        let (mut tick, mut interval) = (SECOND / u64::from(TICKS_PER_SEC), scenario.duration / INTERVALS);
        loop {
            let mut next = (tick, Step::Tick).min((interval, Step::Interval));
            if let Some(arrival) = &arrival {
                next = next.min((arrival.at, Step::Arrival));
            }
            if let Some(event) = events.peek() {
                next = next.min((event.at, Step::Change));
            }
            for (i, worker) in self.workers.iter().enumerate() {
                if let Some(at) = worker.next() {
                    next = next.min((at, Step::Done(i)));
                }
            }
            if next.0 > scenario.duration {
                return self.go_to(scenario.duration);
            }
            self.go_to(next.0);
            match next.1 {
                Step::Done(worker) => self.end(worker),
                Step::Change => events.next().into_iter().for_each(|e| self.change(e)),
                Step::Tick => {
                    self.director.tick();
                    tick += SECOND / u64::from(TICKS_PER_SEC);
                }
                Step::Interval => {
                    self.tally.interval(&mut self.workers, &self.director, scenario.duration / INTERVALS);
                    interval += scenario.duration / INTERVALS;
                }
                Step::Arrival => {
                    arrival.take().into_iter().for_each(|a| self.begin(&a));
                    arrival = load.next();
                }
            }
        }
    }

    /// No more connections come; the servers finish what they have, nobody looks at the director any more.
    fn finish(&mut self) {
        for worker in &mut self.workers {
            let mut now = self.now;
            while let Some(next) = worker.next() {
                now = now.max(next);
                if let Some(job) = worker.end(now) {
                    self.tally.response(now - self.jobs[job as usize].begun, self.jobs[job as usize].work);
                }
            }
        }
    }

    fn go_to(&mut self, at: u64) {
        for worker in &mut self.workers {
            worker.pass(at - self.now);
        }
        self.now = at;
        self.director.at(at);
    }

    fn begin(&mut self, arrival: &load::Arrival) {
        self.tally.wanted((0..self.workers.len() as u32).map(|id| self.director.weight(id)));
        let Some(server) = self.director.open(&arrival.flow) else {
            return self.tally.refused();
        };
        let job = self.jobs.len() as u32;
        self.jobs.push(Job { flow: arrival.flow, begun: self.now, work: arrival.work });
        self.workers[server as usize].begin(self.now, job, arrival.work);
        self.tally.opened(arrival, server);
    }

    fn end(&mut self, worker: usize) {
        let Some(job) = self.workers[worker].end(self.now) else {
            return;
        };
        let job = self.jobs[job as usize];
        if !self.director.close(&job.flow, worker as u32) {
            self.tally.cut();
        }
        self.tally.response(self.now - job.begun, job.work);
    }

    fn change(&mut self, event: &Event) {
        match event.change {
            Change::Weight(weight) => self.director.set_weight(event.server, weight),
            Change::Delete => self.director.delete(event.server),
            Change::Add { weight, .. } => {
                let known = self.scenario.servers.get(event.server as usize);
                self.director.add(event.server, weight, known.map_or(0, |s| s.upper));
            }
        }
        self.tally.event(event, &self.director);
    }
}
