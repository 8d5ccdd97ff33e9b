//! Passive checks: real servers whose clients wait in vain, where answers pass the director (NAT).
//!
//! The director's connections are gone through in rounds, and each tells how many clients of a server wait that it has not
//! answered at all ([`rlvs_control`'s walk](rlvs_control::Walk)). A server is *suspect* when enough of them do, and enough of those
//! that came, within the window. As advice that is an event and a line of the status.
//!
//! As action it is *out*, as if a check had failed, but only while another server of the service answers: a flood of SYNs
//! and a network that is down are the same for all. Nothing can be learnt of a server that is out. So it is let in again
//! after a while, on trial: still suspect, until its clients are answered; in vain, it stays out twice as long.
//!
//! ```text
//! clear ── clients wait ──► suspect ── and it acts ──► out
//!   ▲                        │    ▲                     │
//!   └── they are answered ───┘    └── hold, recovery ───┘
//! ```

use super::*;
use crate::config::model::{EffectivePassive, Recovery};
use crate::config::rules::destination;
use rlvs_control::model::Waiting;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// How often the hands go on through the connections.
const LOOK: Duration = Duration::from_secs(1);
/// No server is held longer for having been held before.
const LONGEST_HOLD: Duration = Duration::from_secs(600);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    Clear,
    Suspect,
    Out,
}

/// What a server's clients met within the window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Met {
    pub(super) opened: u64,
    /// Clients that were found, and how many that makes where only a part of the connections was looked at.
    found: u64,
    pub(super) waiting: u64,
    /// How far back that goes.
    pub(super) within: Duration,
}

impl Met {
    /// Clients that wait may have come before the window, and still send SYNs.
    fn came(&self) -> u64 {
        self.opened.max(self.waiting)
    }

    fn is_silence(&self, settings: &EffectivePassive) -> bool {
        self.found >= u64::from(settings.connections)
            && self.waiting * 100 >= u64::from(settings.percent) * self.came()
    }

    /// Clearly less than would make it suspect, and not for want of clients.
    fn is_answered(&self, settings: &EffectivePassive) -> bool {
        self.opened > 0 && self.waiting * 200 < u64::from(settings.percent) * self.came()
    }
}

/// A server that is watched.
#[derive(Clone, Debug)]
pub(super) struct Watched {
    settings: EffectivePassive,
    /// Connections opened to it, as its counter said; the last one before the window, and those in it.
    opened: VecDeque<(Time, u64)>,
    pub(super) met: Met,
    pub(super) trial: Trial,
}

/// What outlives a daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trial {
    pub standing: Standing,
    /// When it was taken out last, and until when at least.
    pub out: Option<(Time, Time)>,
    /// Let in again, and its clients' answers are still waited for, since then.
    pub since: Option<Time>,
    /// How long it is held next.
    pub hold: Option<Duration>,
}

const CLEAR: Trial = Trial { standing: Standing::Clear, out: None, since: None, hold: None };

impl Watched {
    pub(super) fn new(
        settings: EffectivePassive,
        before: Option<&Watched>,
        remembered: Option<&Trial>,
    ) -> Watched {
        let mut watched = match before {
            Some(before) => Watched { settings, ..before.clone() },
            None => {
                let trial = remembered.copied().unwrap_or(CLEAR);
                Watched { settings, opened: VecDeque::new(), met: Met::default(), trial }
            }
        };
        // Advice alone keeps nobody out.
        if !settings.acts && watched.trial.standing == Standing::Out {
            watched.trial = Trial { standing: Standing::Suspect, ..CLEAR };
        }
        watched
    }

    pub(super) fn acts(&self) -> bool {
        self.settings.acts
    }

    pub(super) fn is_out(&self) -> bool {
        self.trial.standing == Standing::Out
    }

    /// `7 of 9 clients of the last 10s wait for an answer`
    pub(super) fn reason(&self) -> Option<String> {
        let Met { waiting, within, .. } = self.met;
        let seconds = within.as_secs();
        let met =
            format!("{waiting} of {} clients of the last {seconds} s wait for an answer", self.met.came());
        match self.trial.standing {
            Standing::Clear => None,
            Standing::Suspect if within.is_zero() => Some("on trial".to_owned()),
            Standing::Suspect if self.trial.since.is_some() => Some(format!("on trial: {met}")),
            Standing::Suspect => Some(met),
            Standing::Out => Some(format!("taken out by its passive check: {met}")),
        }
    }

    /// A round ended. Clients are counted by the seconds since they sent something; of them and in all.
    fn round(&mut self, opened: u64, since: &BTreeMap<u32, [f64; 2]>, now: Time) {
        // Added anew, or `ipvsadm -Z`.
        if self.opened.back().is_some_and(|(_, before)| *before > opened) {
            self.opened.clear();
        }
        self.opened.push_back((now, opened));
        let start = now.saturating_sub(self.settings.window);
        while self.opened.get(1).is_some_and(|(at, _)| *at <= start) {
            self.opened.pop_front();
        }
        let Some((first, before)) = self.opened.front().copied() else { return };
        let reach = now.saturating_sub(first.max(start)).as_secs();
        let recent = since.iter().take_while(|(secs, _)| u64::from(**secs) < reach);
        let [found, waiting] = recent.fold([0.0; 2], |[a, b], (_, [found, all])| [a + found, b + all]);
        let within = now.saturating_sub(first);
        self.met =
            Met { opened: opened - before, found: found as u64, waiting: waiting.round() as u64, within };
    }

    /// It takes no connections now.
    fn unseen(&mut self) {
        self.opened.clear();
    }

    /// It has been watched for as long as it takes.
    fn has_been_seen(&self) -> bool {
        self.met.within >= self.settings.window
    }
}

impl Machine {
    pub(super) fn look_at_clients_next(&mut self, now: Time) {
        let mut servers = self.virtuals.iter().flat_map(|vs| &vs.servers);
        let any = !self.stopped && servers.any(|server| server.watched.is_some());
        self.next_clients = any.then(|| now + LOOK);
    }

    /// Its time has come: the next part of the connections, and servers whose time outside is over.
    pub(super) fn look_at_clients(&mut self, now: Time) {
        self.out.push(Output::LookAtClients);
        self.let_in(now);
        self.look_at_clients_next(now);
    }

    /// A round through the connections ended: what it found of each masqueraded destination.
    pub fn waiting(&mut self, found: &[Waiting], now: Time) {
        if self.stopped {
            return;
        }
        let config = Arc::clone(&self.config);
        let found: HashMap<pin::At, &Waiting> =
            found.iter().map(|one| ((one.service, one.addr, one.port), one)).collect();
        for (i, vs) in config.virtual_servers.iter().enumerate() {
            for (j, real) in vs.real_servers.iter().enumerate() {
                let state = &mut self.virtuals[i];
                let Some(watched) = &mut state.servers[j].watched else { continue };
                let (mut opened, mut since, mut is_there) = (0, BTreeMap::new(), false);
                for service in &state.services {
                    let d = destination(&service.key, vs, real);
                    let Some(one) = found.get(&(service.key, d.addr, d.port)) else { continue };
                    is_there = true;
                    opened += one.opened;
                    for (secs, n) in &one.since {
                        let [found, all]: &mut [f64; 2] = since.entry(*secs).or_default();
                        *found += f64::from(*n);
                        *all += f64::from(*n) / one.share.max(f64::MIN_POSITIVE);
                    }
                }
                match is_there && !watched.is_out() {
                    true => watched.round(opened, &since, now),
                    false => watched.unseen(),
                }
            }
            for j in 0..vs.real_servers.len() {
                self.judge_clients(i, j, now);
            }
        }
    }

    fn judge_clients(&mut self, i: usize, j: usize, now: Time) {
        let servers = &self.virtuals[i].servers;
        let Some(watched) = servers[j].watched.as_ref().filter(|w| !w.is_out() && !w.opened.is_empty())
        else {
            return;
        };
        let (settings, met, mut trial) = (watched.settings, watched.met, watched.trial);
        if met.is_silence(&settings) {
            trial.standing = Standing::Suspect;
            let answers = |server: &Server| {
                let other = server.watched.as_ref();
                server.alive && server.weight > 0 && other.is_some_and(|w| w.met.is_answered(&settings))
            };
            if settings.acts
                && servers.iter().enumerate().any(|(other, server)| other != j && answers(server))
            {
                let hold = trial.hold.unwrap_or(settings.hold);
                trial = Trial {
                    standing: Standing::Out,
                    out: Some((now, now + hold)),
                    since: None,
                    hold: Some(hold.saturating_mul(2).min(LONGEST_HOLD.max(settings.hold))),
                };
            }
        } else if met.is_answered(&settings) || met.waiting == 0 {
            // On trial it has to answer, or to have been there for all of the window.
            let proven = met.is_answered(&settings) && watched.has_been_seen();
            match trial.since {
                None => trial = Trial { standing: Standing::Clear, ..trial },
                Some(_) if proven => trial = CLEAR,
                Some(_) => {}
            }
        }
        self.stand(i, j, trial, now);
    }

    /// Lets in whose time outside is over, on trial.
    fn let_in(&mut self, now: Time) {
        for i in 0..self.virtuals.len() {
            for j in 0..self.virtuals[i].servers.len() {
                let server = &self.virtuals[i].servers[j];
                let Some(watched) = server.watched.as_ref().filter(|watched| watched.is_out()) else {
                    continue;
                };
                let Some((from, until)) = watched.trial.out else { continue };
                let has_passed = |watch: &Watch| {
                    let state = self.checks.get(&watch.check).map(|check| &check.state);
                    state.and_then(|s| s.last.as_ref()).is_some_and(|last| last.passed && last.at > from)
                };
                let may = match watched.settings.recovery {
                    Recovery::Hold => true,
                    Recovery::Check => server.checks.iter().all(has_passed),
                };
                if until <= now && may {
                    let trial =
                        Trial { standing: Standing::Suspect, out: None, since: Some(now), ..watched.trial };
                    self.stand(i, j, trial, now);
                }
            }
        }
    }

    /// Changes what is thought of a server, and tells.
    fn stand(&mut self, i: usize, j: usize, trial: Trial, now: Time) {
        let Some(watched) = &mut self.virtuals[i].servers[j].watched else { return };
        let before = std::mem::replace(&mut watched.trial, trial);
        if before.standing == trial.standing {
            return;
        }
        if before.standing == Standing::Out {
            watched.unseen();
            watched.met = Met::default();
        }
        let (Met { opened, waiting, within, .. }, reason) = (watched.met, watched.reason());
        let (service, server) =
            (self.virtuals[i].name.clone(), self.virtuals[i].servers[j].address.to_string());
        let out_seconds = trial.out.map(|(from, until)| until.saturating_sub(from).as_secs_f64());
        self.event(
            now,
            What::Passive {
                service,
                server,
                standing: trial.standing,
                waiting,
                opened,
                window_seconds: within.as_secs_f64(),
                out_seconds,
                reason,
            },
        );
        self.refresh_server(i, j, now);
    }

    /// For the next daemon: servers that are out, or on trial.
    pub(super) fn trials(&self) -> BTreeMap<String, Trial> {
        let servers = self.virtuals.iter().flat_map(|vs| vs.servers.iter().map(move |server| (vs, server)));
        let trials = servers.filter_map(|(vs, server)| {
            let trial = server.watched.as_ref()?.trial;
            (trial != CLEAR).then(|| (install::heard_name(&vs.name, server.address), trial))
        });
        trials.collect()
    }
}
