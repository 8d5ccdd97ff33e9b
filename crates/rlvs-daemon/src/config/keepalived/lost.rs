//! What the model has and a `keepalived.conf` has no words for.

use crate::config::model::{Agent, Config, Passive, Via};
use crate::config::report::Level;
use crate::config::validate::{Finding, Place};

/// Takes out of a model what [`write`](super::write) has no words for, and says where that was.
pub fn forget(config: &mut Config) -> Vec<Finding> {
    let mut lost = Lost(Vec::new());
    lost.passive(Place::Global, &mut config.global.passive);
    for (i, vs) in config.virtual_servers.iter_mut().enumerate() {
        lost.via(Place::VirtualServer(i), &mut vs.via);
        lost.agent(Place::VirtualServer(i), &mut vs.agent);
        lost.passive(Place::VirtualServer(i), &mut vs.passive);
        for (j, real) in vs.real_servers.iter_mut().enumerate() {
            lost.via(Place::RealServer(i, j), &mut real.via);
            lost.agent(Place::RealServer(i, j), &mut real.agent);
            for (k, check) in real.checks.iter_mut().enumerate() {
                lost.via(Place::Check(i, j, k), &mut check.connect.via);
            }
        }
    }
    lost.0
}

struct Lost(Vec<Finding>);

impl Lost {
    /// `via = "rip"` is what keepalived does anyway.
    fn via(&mut self, place: Place, via: &mut Option<Via>) {
        if let Some(Via::Vip) = via.take() {
            self.say(place, "via", "the check goes to the real server's own address");
        }
    }

    fn agent(&mut self, place: Place, agent: &mut Agent) {
        if std::mem::take(agent) != Agent::default() {
            self.say(place, "agent", "nobody asks for weights");
        }
    }

    fn passive(&mut self, place: Place, passive: &mut Passive) {
        if std::mem::take(passive) != Passive::default() {
            self.say(place, "passive", "nobody watches whether clients are answered");
        }
    }

    fn say(&mut self, place: Place, word: &str, then: &str) {
        self.0.push(Finding {
            level: Level::Warning,
            place,
            message: format!("a keepalived.conf has no word for {word}"),
            help: format!("without it {then}"),
        });
    }
}
