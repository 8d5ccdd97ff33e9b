//! Dynamic weights under a closed loop: clients that think, ask, wait for the answer and think again, so that a slow server
//! slows its clients down. The director is the brain of the packet programs, the servers are those of `rlvs simulate`, the
//! agent's formula and the weigher are those of `rlvs_daemon::weights`; only the questions and the clock are invented.

use super::director::{Director, Flow, Rules, TICKS_PER_SEC};
use super::load::{STEP, mix};
use super::worker::Worker;
use super::{Method, SECOND};
use rlvs_core::sched::Scheduler;
use rlvs_core::wire::Be32;
use rlvs_daemon::weights::agent::formula::{Options, Sample, percent};
use rlvs_daemon::weights::{Answer, Policy, Weigher};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

pub struct Scenario {
    pub speeds: Vec<f64>,
    pub clients: u32,
    pub think_secs: f64,
    /// Of a request, on an idle server of speed 1; exponential.
    pub work_secs: f64,
    pub duration_secs: u64,
    /// What comes before counts for nothing.
    pub warm_up_secs: u64,
    pub scheduler: Scheduler,
    pub dynamic: bool,
    pub seed: u64,
}

impl Scenario {
    /// Three servers, one at a third of the speed; with the right shares they would be about 70 % busy.
    pub fn unequal(scheduler: Scheduler, dynamic: bool, seed: u64) -> Scenario {
        Scenario {
            speeds: vec![1.0, 1.0, 1.0 / 3.0],
            clients: 100,
            think_secs: 1.2,
            work_secs: 0.02,
            duration_secs: 360,
            warm_up_secs: 60,
            scheduler,
            dynamic,
            seed,
        }
    }
}

#[derive(Clone, Debug)]
pub struct Figures {
    pub requests: usize,
    pub mean_ms: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
    /// Standard deviation of the response times.
    pub deviation_ms: f64,
    /// Part of its time that each server was busy.
    pub busy: Vec<f64>,
    /// Busiest less idlest.
    pub spread: f64,
    /// At the end.
    pub weights: Vec<u32>,
    /// Changes of weights.
    pub changes: usize,
}

const WEIGHT: u32 = 100;
/// How often an agent is asked (HAProxy's default), and looks at its run queue.
const ASKED_EVERY: u64 = 2 * SECOND;
const LOOKS_EVERY: u64 = SECOND / 4;
/// The time constant of its average.
const OVER_SECS: f64 = 1.0;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Done(usize),
    Tick,
    Look,
    Ask,
    Begin(u32),
}

pub fn run(scenario: &Scenario) -> Figures {
    let rules = Rules {
        scheduler: scenario.scheduler,
        flags: 0,
        addresses: 1,
        persist_secs: 0,
        method: Method::Nat,
        udp: false,
    };
    let count = scenario.speeds.len();
    // Closed connections stay two minutes.
    let entries = (f64::from(scenario.clients) / scenario.think_secs * 150.0) as usize + 10_000;
    let mut director = Director::new(rules, count, entries, scenario.seed);
    (0..count as u32).for_each(|n| director.add(n, WEIGHT, 0));
    let mut world = World {
        scenario,
        director,
        workers: scenario.speeds.iter().map(|s| Worker::new(*s)).collect(),
        queues: vec![0.0; count],
        weighers: vec![Weigher::new(Policy::of(WEIGHT), WEIGHT); count],
        jobs: vec![],
        ports: vec![1023; scenario.clients as usize],
        thinking: BinaryHeap::new(),
        random: mix(scenario.seed),
        now: 0,
        times: vec![],
        busy_before: vec![0; count],
        changes: 0,
    };
    world.live();
    world.figures()
}

struct World<'s> {
    scenario: &'s Scenario,
    director: Director,
    workers: Vec<Worker>,
    /// Averaged run queues.
    queues: Vec<f64>,
    weighers: Vec<Weigher>,
    jobs: Vec<(Flow, u64)>,
    ports: Vec<u16>,
    thinking: BinaryHeap<Reverse<(u64, u32)>>,
    random: u64,
    now: u64,
    times: Vec<f64>,
    busy_before: Vec<u64>,
    changes: usize,
}

impl World<'_> {
    fn live(&mut self) {
        for client in 0..self.scenario.clients {
            self.think(client);
        }
        let end = self.scenario.duration_secs * SECOND;
        let (mut tick, mut look, mut ask) = (0, 0, ASKED_EVERY);
        let mut warm = false;
        loop {
            let mut next = (tick, Step::Tick).min((look, Step::Look)).min((ask, Step::Ask));
            if let Some(Reverse((at, client))) = self.thinking.peek() {
                next = next.min((*at, Step::Begin(*client)));
            }
            for (n, worker) in self.workers.iter().enumerate() {
                if let Some(at) = worker.next() {
                    next = next.min((at, Step::Done(n)));
                }
            }
            if next.0 > end {
                return self.go_to(end);
            }
            self.go_to(next.0);
            if !warm && self.now >= self.scenario.warm_up_secs * SECOND {
                warm = true;
                self.times.clear();
                self.changes = 0;
                self.busy_before = self.workers.iter().map(|w| w.busy).collect();
            }
            match next.1 {
                Step::Done(worker) => self.done(worker),
                Step::Tick => {
                    self.director.tick();
                    tick += SECOND / u64::from(TICKS_PER_SEC);
                }
                Step::Look => {
                    self.look();
                    look += LOOKS_EVERY;
                }
                Step::Ask => {
                    self.ask();
                    ask += ASKED_EVERY;
                }
                Step::Begin(client) => {
                    self.thinking.pop();
                    self.begin(client);
                }
            }
        }
    }

    fn go_to(&mut self, at: u64) {
        self.workers.iter_mut().for_each(|w| w.pass(at - self.now));
        self.now = at;
        self.director.at(at);
    }

    fn exponential(&mut self, mean_secs: f64) -> u64 {
        self.random = self.random.wrapping_add(STEP);
        let uniform = ((mix(self.random) >> 11) + 1) as f64 / (1u64 << 53) as f64;
        (-uniform.ln() * mean_secs * SECOND as f64).round().max(1.0) as u64
    }

    fn think(&mut self, client: u32) {
        let at = self.now + self.exponential(self.scenario.think_secs);
        self.thinking.push(Reverse((at, client)));
    }

    fn begin(&mut self, client: u32) {
        let port = &mut self.ports[client as usize];
        *port = port.checked_add(1).unwrap_or(1024);
        let flow = Flow { client: Be32::new(0x0b00_0000 + client), port: *port, address: 0 };
        let work = self.exponential(self.scenario.work_secs);
        match self.director.open(&flow) {
            Some(server) => {
                // The client is found again by its address.
                let job = self.jobs.len() as u32;
                self.jobs.push((flow, self.now));
                self.workers[server as usize].begin(self.now, job, work);
            }
            None => self.think(client),
        }
    }

    fn done(&mut self, worker: usize) {
        let Some(job) = self.workers[worker].end(self.now) else { return };
        let (flow, begun) = self.jobs[job as usize];
        self.director.close(&flow, worker as u32);
        self.times.push((self.now - begun) as f64 / 1e6);
        self.think(flow.client.get() - 0x0b00_0000);
    }

    fn look(&mut self) {
        let part = 1.0 - (-(LOOKS_EVERY as f64 / SECOND as f64) / OVER_SECS).exp();
        for (queue, worker) in self.queues.iter_mut().zip(&self.workers) {
            *queue += part * (worker.jobs() as f64 - *queue);
        }
    }

    fn ask(&mut self) {
        if !self.scenario.dynamic {
            return;
        }
        for (n, weigher) in self.weighers.iter_mut().enumerate() {
            let sample = Sample {
                cores: 1,
                run_queue_tasks: self.queues[n],
                load_average_1m_tasks: 0.0,
                load_average_5m_tasks: 0.0,
                load_average_15m_tasks: 0.0,
                memory_total_bytes: 1,
                memory_available_bytes: 1,
                tcp_connections: 0,
            };
            let text = format!("up ready {}%\n", percent(&sample, &Options::default()));
            let report =
                weigher.hear(Duration::from_nanos(self.now), Answer::parse(text.as_bytes()).ok().as_ref());
            if report.changed {
                self.director.set_weight(n as u32, report.weight);
                self.changes += 1;
            }
        }
    }

    fn figures(mut self) -> Figures {
        self.times.sort_by(f64::total_cmp);
        let at = |part: f64| self.times[((self.times.len() - 1) as f64 * part) as usize];
        let mean = self.times.iter().sum::<f64>() / self.times.len() as f64;
        let variance = self.times.iter().map(|t| (t - mean).powi(2)).sum::<f64>() / self.times.len() as f64;
        let measured = ((self.scenario.duration_secs - self.scenario.warm_up_secs) * SECOND) as f64;
        let busy: Vec<f64> = self
            .workers
            .iter()
            .zip(&self.busy_before)
            .map(|(w, before)| (w.busy - before) as f64 / measured)
            .collect();
        let (most, least) = busy.iter().fold((0f64, 1f64), |(m, l), b| (m.max(*b), l.min(*b)));
        Figures {
            requests: self.times.len(),
            mean_ms: mean,
            p50_ms: at(0.5),
            p99_ms: at(0.99),
            deviation_ms: variance.sqrt(),
            spread: most - least,
            busy,
            weights: (0..self.workers.len() as u32).map(|n| self.director.weight(n)).collect(),
            changes: self.changes,
        }
    }
}
