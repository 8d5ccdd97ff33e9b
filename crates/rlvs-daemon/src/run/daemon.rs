//! The loop. Timers, outcomes, requests and signals go into the machine; orders go to the hands, one batch at a time;
//! when a batch is done, scripts and the pipe hear of it.

use super::api::{self, Api, Request};
use super::clock::Clock;
use super::hands::{Done, Hands, Job};
use super::pipe::Pipe;
use super::place::Place;
use super::reload::{Ask, Loaded, Waiting};
use super::tools::{Tools, write_track_files};
use super::{Options, systemd};
use crate::config::model::Config;
use crate::config::rules::Rule;
use crate::machine::{AgentId, CheckId, Difference, Event, Machine, Outcome, Output, What};
use crate::probe::crowd::Crowd;
use crate::probe::{self, crowd};
use crate::weights::Answer;
use anyhow::{Context, Result};
use rlvs_control::model;
use serde_json::json;
use std::collections::{HashSet, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{broadcast, mpsc};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, sleep_until, timeout};

/// How often this host's addresses are looked at, where `ha_suspend` wants to know.
const LOOK_AT_ADDRESSES: Duration = Duration::from_secs(1);
/// How often what is known is written down, if nothing else has had it written.
const REMEMBER: Duration = Duration::from_secs(10);
/// How long scripts may take at the end.
const LAST_SCRIPTS: Duration = Duration::from_secs(10);

/// What the hands are at.
pub enum Doing {
    Nothing,
    Orders { then: Vec<Output>, reload: Option<(Ask, Difference, String)> },
    Look,
    LookAtWeights,
    LookForReload(Box<Waiting>),
}

pub struct Daemon {
    pub(super) options: Options,
    pub(super) clock: Clock,
    pub(super) machine: Machine,
    pub(super) hands: Hands,
    pub(super) doing: Doing,
    pub(super) look: bool,
    pub(super) look_at_weights: bool,
    /// The hands are at the clients' connections; and why that failed last.
    pub(super) at_clients: bool,
    pub(super) clients_unknown: Option<String>,
    pub(super) tools: Tools,
    pub(super) pipe: Option<Pipe>,
    pub(super) events: broadcast::Sender<Arc<str>>,
    pub(super) failures: mpsc::UnboundedSender<(String, String)>,
    /// The checks that there may be thousands of a second.
    pub(super) crowd: Crowd<CheckId>,
    pub(super) probed: mpsc::UnboundedSender<(CheckId, Outcome)>,
    pub(super) answered: mpsc::UnboundedSender<(AgentId, Result<Answer, String>)>,
    pub(super) loaded: mpsc::UnboundedSender<Loaded>,
    pub(super) asked: VecDeque<Ask>,
    pub(super) loading: bool,
    pub(super) waiting: Option<Waiting>,
    /// Something is known that is not written down.
    pub(super) unwritten: bool,
    pub(super) scripts: Vec<JoinHandle<()>>,
}

pub async fn run(
    options: Options,
    config: Config,
    hands: Hands,
    found: Vec<Rule>,
    place: Place,
) -> Result<()> {
    let clock = Clock::start();
    let (failures, mut failed) = mpsc::unbounded_channel();
    let tools = Tools::new(&config, &failures)?;
    write_track_files(&config)?;
    let pipe = tools.open_pipe(&config)?;
    let socket = options.socket.clone().unwrap_or_else(|| place.socket());
    let listener = api::listen(&socket).with_context(|| format!("cannot listen at {}", socket.display()))?;
    let (requests, mut requested) = mpsc::channel(16);
    let (events, _) = broadcast::channel(1024);
    let api = Api { requests, events: events.clone(), changes: true };
    for addr in &options.listen {
        let listener = TcpListener::bind(addr).await.with_context(|| format!("cannot listen at {addr}"))?;
        eprintln!("http://{}/metrics", listener.local_addr()?);
        tokio::spawn(api::serve(listener, Api { changes: options.allow_changes, ..api.clone() }));
    }
    tokio::spawn(api::serve(listener, api));
    let (mut hangup, mut terminate) = (signal(SignalKind::hangup())?, signal(SignalKind::terminate())?);
    let mut interrupt = signal(SignalKind::interrupt())?;
    let machine = Machine::start(config, &place.recall(), &found, addresses(), clock.now(), seed());
    let (probed, mut outcomes) = mpsc::unbounded_channel();
    let (answered, mut answers) = mpsc::unbounded_channel();
    let (loaded, mut loads) = mpsc::unbounded_channel();
    let mut daemon = Daemon {
        options,
        clock,
        machine,
        hands,
        doing: Doing::Nothing,
        look: false,
        look_at_weights: false,
        at_clients: false,
        clients_unknown: None,
        tools,
        pipe,
        events,
        failures,
        crowd: Crowd::new().context("cannot watch sockets")?,
        probed,
        answered,
        loaded,
        asked: VecDeque::new(),
        loading: false,
        waiting: None,
        unwritten: true,
        scripts: Vec::new(),
    };
    daemon.pump();
    daemon.finish_orders().await;
    systemd::notify("READY=1");
    let mut look_at_addresses = interval(LOOK_AT_ADDRESSES);
    look_at_addresses.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut remember = interval(REMEMBER);
    remember.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        daemon.pump();
        let due = daemon.machine.next_due();
        let due_at = clock.instant(due.unwrap_or_default());
        tokio::select! {
            ended = daemon.crowd.turn() => {
                ended.into_iter().for_each(|(id, outcome)| daemon.finished(id, outcome));
            }
            Some((id, outcome)) = outcomes.recv() => {
                daemon.finished(id, outcome);
                while let Ok((id, outcome)) = outcomes.try_recv() {
                    daemon.finished(id, outcome);
                }
            }
            Some((id, answer)) = answers.recv() => {
                daemon.answered(id, answer);
                while let Ok((id, answer)) = answers.try_recv() {
                    daemon.answered(id, answer);
                }
            }
            Some(done) = daemon.hands.done.recv() => daemon.done(done),
            Some(found) = daemon.hands.waiting.recv() => daemon.waiting(found),
            Some(what) = daemon.hands.told.recv() => daemon.machine.event(clock.now(), what),
            () = sleep_until(due_at), if due.is_some() => daemon.start_checks(),
            Some(request) = requested.recv() => daemon.request(request),
            Some(loaded) = loads.recv() => daemon.loaded(loaded),
            Some((command, error)) = failed.recv() => {
                daemon.machine.event(clock.now(), What::ScriptFailed { command, error });
            }
            _ = hangup.recv() => daemon.ask(Ask { dry_run: false, reply: None }),
            _ = look_at_addresses.tick(), if daemon.machine.wants_addresses() => {
                daemon.machine.addresses(addresses(), clock.now());
            }
            _ = remember.tick(), if daemon.unwritten => daemon.remember(),
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
        }
    }
    systemd::notify("STOPPING=1");
    daemon.stop().await;
    let _ = std::fs::remove_file(&socket);
    Ok(())
}

impl Daemon {
    fn start_checks(&mut self) {
        for probe in self.machine.due(self.clock.now()) {
            if crowd::takes(&probe.spec, probe.step) {
                self.crowd.begin(probe.id, probe.spec, probe.step);
                continue;
            }
            let (means, probed) = (Arc::clone(&self.tools.probing), self.probed.clone());
            tokio::spawn(async move {
                let outcome = probe::run(&probe.spec, probe.step, &means).await;
                let _ = probed.send((probe.id, outcome));
            });
        }
        for question in self.machine.questions(self.clock.now()) {
            let (means, answered) = (Arc::clone(&self.tools.probing), self.answered.clone());
            tokio::spawn(async move {
                let answer = probe::ask(&question.spec, &means).await;
                let _ = answered.send((question.id, answer));
            });
        }
    }

    fn answered(&mut self, id: AgentId, answer: Result<Answer, String>) {
        self.machine.answered(id, answer, self.clock.now());
        self.unwritten = true;
    }

    fn finished(&mut self, id: CheckId, outcome: Outcome) {
        self.unwritten |= self.machine.finished(id, outcome, self.clock.now());
    }

    /// Unless they are still at it, having had much to do.
    fn look_at_clients(&mut self) {
        if !std::mem::replace(&mut self.at_clients, true) {
            self.hands.give(Job::Clients);
        }
    }

    fn waiting(&mut self, found: Result<Option<Vec<model::Waiting>>, String>) {
        self.at_clients = false;
        match found {
            Ok(found) => {
                self.clients_unknown = None;
                if let Some(found) = found {
                    self.machine.waiting(&found, self.clock.now());
                }
            }
            // It is tried again in a second, and said once.
            Err(error) if self.clients_unknown.as_ref() != Some(&error) => {
                eprintln!("passive checks see nothing: {error}");
                self.clients_unknown = Some(error);
            }
            Err(_) => {}
        }
    }

    /// Has the hands do what is to be done, if they are free.
    fn pump(&mut self) {
        if !matches!(self.doing, Doing::Nothing) {
            return;
        }
        if let Some(waiting) = self.waiting.take() {
            self.hands.give(Job::Look);
            self.doing = Doing::LookForReload(Box::new(waiting));
        } else if std::mem::take(&mut self.look) {
            self.hands.give(Job::Look);
            self.doing = Doing::Look;
        } else if std::mem::take(&mut self.look_at_weights) {
            self.hands.give(Job::Look);
            self.doing = Doing::LookAtWeights;
        } else {
            self.carry_out(None);
        }
    }

    pub(super) fn carry_out(&mut self, reload: Option<(Ask, Difference, String)>) {
        let (mut orders, mut then) = (Vec::new(), Vec::new());
        for output in self.machine.take() {
            match output {
                Output::Orders(_) | Output::Clear | Output::SetTimeouts(_) | Output::SetSources(_) => {
                    orders.push(output);
                }
                Output::Look => self.look = true,
                Output::LookAtWeights => self.look_at_weights = true,
                Output::LookAtClients => self.look_at_clients(),
                Output::Run(_) | Output::Fifo(_) | Output::Event(_) => then.push(output),
            }
        }
        if orders.is_empty() {
            self.tell(then);
            self.answer_reload(reload, &Done::default());
        } else {
            self.unwritten = false;
            let memory = Box::new(self.machine.memory());
            self.hands.give(Job::Orders { memory, outputs: orders });
            self.doing = Doing::Orders { then, reload };
        }
    }

    /// The hands are free again.
    fn done(&mut self, done: Done) {
        for problem in &done.problems {
            eprintln!("{problem}");
        }
        match std::mem::replace(&mut self.doing, Doing::Nothing) {
            Doing::Nothing => {}
            Doing::Orders { then, reload } => {
                self.machine.overruled(&done.overruled, self.clock.now());
                if !done.failed.is_empty() {
                    self.machine.orders_failed(&done.failed, done.found.as_deref(), self.clock.now());
                }
                self.tell(then);
                self.answer_reload(reload, &done);
            }
            Doing::Look => match done.found {
                Some(found) => {
                    self.machine.observed_weights(&found, self.clock.now());
                    self.machine.observed(&found);
                }
                None => self.machine.orders_failed(&[], None, self.clock.now()),
            },
            Doing::LookAtWeights => {
                if let Some(found) = done.found {
                    self.machine.observed_weights(&found, self.clock.now());
                }
            }
            Doing::LookForReload(waiting) => self.reload(*waiting, done.found),
        }
    }

    /// Scripts, the pipe, and whoever listens to events.
    fn tell(&mut self, outputs: Vec<Output>) {
        self.scripts.retain(|script| !script.is_finished());
        for output in outputs {
            match output {
                Output::Run(script) => self.scripts.extend(self.tools.scripts.spawn(&script, &[])),
                Output::Fifo(line) => {
                    if let Some(Err(error)) = self.pipe.as_mut().map(|pipe| pipe.line(&line)) {
                        eprintln!("lvs_notify_fifo: {line:?} is lost: {error}");
                    }
                }
                Output::Event(event) => self.publish(&event),
                _ => {}
            }
        }
    }

    fn publish(&self, event: &Event) {
        eprintln!("{}", event.what);
        if let Ok(line) = serde_json::to_string(event) {
            // Nobody may be listening.
            let _ = self.events.send(format!("{line}\n").into());
        }
    }

    fn request(&mut self, request: Request) {
        match request {
            Request::Status(reply) => {
                let mut status = json!(self.machine.status());
                status["pid"] = json!(std::process::id());
                status["config"] = json!(self.options.config.display().to_string());
                let _ = reply.send(status);
            }
            Request::Drain(asked, reply) => self.hands.give(Job::Drain(asked, reply)),
            Request::Metrics(names, reply) => {
                self.hands.give(Job::Metrics(Box::new(self.machine.status()), names, reply));
            }
            Request::Reload { dry_run, reply } => self.ask(Ask { dry_run, reply: Some(reply) }),
        }
    }

    fn remember(&mut self) {
        self.unwritten = false;
        self.hands.give(Job::Remember(Box::new(self.machine.memory())));
    }

    /// Until the hands have nothing to do.
    async fn finish_orders(&mut self) {
        while !matches!(self.doing, Doing::Nothing) {
            let Some(done) = self.hands.done.recv().await else { return };
            self.done(done);
        }
    }

    async fn stop(&mut self) {
        self.finish_orders().await;
        let leave_rules = self.options.leave_rules;
        self.machine.stop(leave_rules, self.clock.now());
        self.carry_out(None);
        self.finish_orders().await;
        self.hands.give(if leave_rules {
            Job::Remember(Box::new(self.machine.memory()))
        } else {
            Job::Forget
        });
        let scripts = std::mem::take(&mut self.scripts);
        let all = async {
            for script in scripts {
                let _ = script.await;
            }
        };
        if timeout(LAST_SCRIPTS, all).await.is_err() {
            eprintln!("scripts that still run are left alone");
        }
    }
}

/// The addresses of this host.
fn addresses() -> HashSet<IpAddr> {
    let all = nix::ifaddrs::getifaddrs().into_iter().flatten();
    all.filter_map(|interface| {
        let address = interface.address?;
        let v4 = address.as_sockaddr_in().map(|a| IpAddr::V4(a.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|a| IpAddr::V6(a.ip())))
    })
    .collect()
}

/// Only spreads checks over time, so that it may be guessed.
fn seed() -> u64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    RandomState::new().build_hasher().finish()
}
