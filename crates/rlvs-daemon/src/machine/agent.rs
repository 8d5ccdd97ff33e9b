//! Dynamic weights: agents are asked at intervals, each of their answers goes to the weigher of every server that listens
//! to it, and [`health`](super::health) makes the weight. An agent that several services ask the same is asked once.

use super::*;
use crate::config::model::{Asked, EffectiveAgent, Language, RealServer, VirtualServer};
use crate::weights::answer::{Admin, Health};
use crate::weights::{Answer, Heard, Policy, Report, Weigher};

/// Never given twice, like [`CheckId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AgentId(u64);

/// Who is asked, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentSpec {
    pub asked: Asked,
    pub interval: Duration,
    pub timeout: Duration,
}

impl AgentSpec {
    /// `agent 10.0.0.1:3333`, `script /usr/lib/load 10.0.0.1 80`
    pub fn label(&self) -> String {
        match &self.asked {
            Asked::Agent { at, language: Language::Words } => format!("agent {at}"),
            Asked::Agent { at, language: Language::Json } => format!("agent {at} (JSON)"),
            Asked::Script(script) => format!("script {}", script.command),
        }
    }

    /// What is equal here is asked once.
    fn identity(&self) -> String {
        format!("{self:?}")
    }
}

/// An agent to ask; what it says is reported with [`Machine::answered`].
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    pub id: AgentId,
    pub spec: Arc<AgentSpec>,
}

/// An agent that is asked.
#[derive(Clone)]
pub(super) struct Asking {
    pub(super) spec: Arc<AgentSpec>,
    users: Vec<(usize, usize)>,
    due: Option<Time>,
    asking: bool,
    pub(super) last: Option<LastAnswer>,
    /// What it says besides percentages, and goes on to mean until it says otherwise.
    standing: (Admin, Health, Option<String>),
}

#[derive(Clone)]
pub(super) struct LastAnswer {
    pub(super) at: Time,
    pub(super) answer: Result<Answer, String>,
}

/// A server's ear.
#[derive(Clone)]
pub(super) struct Weighing {
    pub(super) agent: AgentId,
    /// With the weight 0 configured; the real one comes with each look at the server.
    pub(super) settings: EffectiveAgent,
    pub(super) weigher: Weigher,
    pub(super) report: Option<Report>,
}

impl Weighing {
    /// The weight of a server that would have `base` without its agent.
    pub(super) fn weight(&mut self, base: u32) -> u32 {
        self.weigher.set_policy(policy(&self.settings, base));
        self.weigher.weight()
    }
}

fn policy(settings: &EffectiveAgent, base: u32) -> Policy {
    Policy {
        time_constant: settings.smoothing,
        hysteresis_percent: settings.hysteresis_percent,
        missed_limit: settings.missed,
        ..Policy::within(base, settings.floor_percent, settings.ceiling_percent)
    }
}

/// All agents of a configuration.
#[derive(Clone, Default)]
pub(super) struct Agents {
    all: BTreeMap<AgentId, Asking>,
    timers: BTreeSet<(Time, AgentId)>,
    next_id: u64,
}

impl Agents {
    pub(super) fn next_due(&self) -> Option<Time> {
        self.timers.first().map(|(time, _)| *time)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub(super) fn get(&self, id: AgentId) -> Option<&Asking> {
        self.all.get(&id)
    }

    fn schedule(&mut self, id: AgentId, at: Time) {
        if let Some(agent) = self.all.get_mut(&id) {
            if let Some(due) = agent.due.replace(at) {
                self.timers.remove(&(due, id));
            }
            self.timers.insert((at, id));
        }
    }

    /// Before a configuration: nobody listens. Returns those that are there.
    pub(super) fn begin(&mut self) -> HashMap<String, AgentId> {
        self.all.values_mut().for_each(|agent| agent.users.clear());
        self.all.iter().map(|(id, agent)| (agent.spec.identity(), *id)).collect()
    }

    /// After it: who nobody listens to is asked no more.
    pub(super) fn end(&mut self) {
        let timers = &mut self.timers;
        self.all.retain(|id, agent| {
            if let (true, Some(due)) = (agent.users.is_empty(), agent.due) {
                timers.remove(&(due, *id));
            }
            !agent.users.is_empty()
        });
    }

    pub(super) fn clear(&mut self) {
        self.timers.clear();
    }
}

impl Machine {
    /// The ear of a server of this configuration; `before` is what it heard until now.
    pub(super) fn weighing(
        &mut self,
        (i, j): (usize, usize),
        vs: &VirtualServer,
        real: &RealServer,
        before: Option<&Heard>,
        now: Time,
    ) -> Option<Weighing> {
        let settings = real.effective_agent(vs)?;
        let spec = AgentSpec {
            asked: settings.asked.clone(),
            interval: settings.interval,
            timeout: settings.timeout,
        };
        let identity = spec.identity();
        let id = match self.agent_ids.get(&identity).copied() {
            Some(id) => id,
            None => {
                let id = AgentId(self.agents.next_id);
                self.agents.next_id += 1;
                let wait = self.rng.up_to(spec.interval);
                let asking = Asking {
                    spec: Arc::new(spec),
                    users: Vec::new(),
                    due: None,
                    asking: false,
                    last: None,
                    standing: Default::default(),
                };
                self.agents.all.insert(id, asking);
                self.agents.schedule(id, now + wait);
                id
            }
        };
        self.agent_ids.insert(identity, id);
        self.agents.all.entry(id).and_modify(|agent| agent.users.push((i, j)));
        let heard = before.cloned().unwrap_or_default();
        let weigher = Weigher::resume(policy(&settings, real.effective_weight(vs)), heard);
        Some(Weighing { agent: id, settings, weigher, report: None })
    }

    /// Agents whose time has come, to be asked now.
    pub fn questions(&mut self, now: Time) -> Vec<Question> {
        let mut questions = Vec::new();
        while let Some((time, id)) = self.agents.timers.first().copied().filter(|(time, _)| *time <= now) {
            self.agents.timers.remove(&(time, id));
            let Some(agent) = self.agents.all.get_mut(&id) else { continue };
            agent.due = None;
            if agent.users.iter().all(|(i, _)| self.virtuals[*i].suspended) {
                let later = now + agent.spec.interval;
                self.agents.schedule(id, later);
                continue;
            }
            agent.asking = true;
            questions.push(Question { id, spec: Arc::clone(&agent.spec) });
        }
        questions
    }

    /// An agent was asked: its answer, or why there is none.
    pub fn answered(&mut self, id: AgentId, answer: Result<Answer, String>, now: Time) {
        let Some(agent) = self.agents.all.get_mut(&id).filter(|agent| agent.asking) else { return };
        if self.stopped {
            return;
        }
        agent.asking = false;
        let interval = agent.spec.interval;
        let before = agent.last.replace(LastAnswer { at: now, answer: answer.clone() });
        let (users, stood) = (agent.users.clone(), agent.standing.clone());
        if let Ok(Answer { admin, health, reason, .. }) = &answer {
            agent.standing.0 = admin.unwrap_or(stood.0);
            if let Some(health) = health {
                (agent.standing.1, agent.standing.2) = (*health, reason.clone());
            }
        }
        // Percentages go up and down; what else it says is news, and so is silence.
        let was_heard = before.map(|last| last.answer.is_ok());
        if was_heard != Some(answer.is_ok()) || agent.standing != stood {
            let (agent, words) = (agent.spec.label(), answer.as_ref().ok().map(Answer::words));
            self.event(now, What::Agent { agent, answer: words, error: answer.as_ref().err().cloned() });
        }
        for (i, j) in users {
            if let Some(weighing) = &mut self.virtuals[i].servers[j].weighing {
                weighing.report = Some(weighing.weigher.hear(now, answer.as_ref().ok()));
            }
            self.refresh_server(i, j, now);
        }
        self.agents.schedule(id, now + interval);
    }
}
