//! The configuration read again: in a thread of its own, then compared with the rules that are there, then applied.

use super::daemon::Daemon;
use super::hands::Done;
use super::read;
use super::tools::{Tools, write_track_files};
use crate::config::model::Config;
use crate::config::rules::Rule;
use crate::machine::{Difference, What};
use hyper::StatusCode;
use serde_json::{Value, json};
use tokio::sync::oneshot;

/// A reload that was asked for; nobody waits for one that came by signal.
pub struct Ask {
    pub dry_run: bool,
    pub reply: Option<oneshot::Sender<(StatusCode, Value)>>,
}

/// A configuration that was read for somebody, with its warnings; or why it cannot be used.
pub struct Loaded {
    pub ask: Ask,
    pub config: Result<(Config, String), String>,
}

/// One that is good, and waits for the hands.
pub struct Waiting {
    pub ask: Ask,
    pub config: Config,
    pub warnings: String,
}

impl Daemon {
    pub(super) fn ask(&mut self, ask: Ask) {
        self.asked.push_back(ask);
        self.next_reload();
    }

    /// One at a time.
    fn next_reload(&mut self) {
        if self.loading {
            return;
        }
        if let Some(ask) = self.asked.pop_front() {
            self.loading = true;
            let (options, loaded) = (self.options.clone(), self.loaded.clone());
            tokio::task::spawn_blocking(move || {
                // Nobody is there any more when the daemon ends.
                let _ = loaded.send(Loaded { ask, config: read(&options) });
            });
        }
    }

    pub(super) fn loaded(&mut self, Loaded { ask, config }: Loaded) {
        match config {
            Ok((config, warnings)) => self.waiting = Some(Waiting { ask, config, warnings }),
            Err(report) => self.refuse_reload(ask, report),
        }
    }

    pub(super) fn reload(&mut self, waiting: Waiting, found: Option<Vec<Rule>>) {
        let Waiting { ask, config, warnings } = waiting;
        let Some(found) = found else {
            return self.refuse_reload(ask, "the rules cannot be read".into());
        };
        let (now, before) = (self.clock.now(), &self.machine.config().global);
        if (&before.net_namespace, &before.net_namespace_ipvs)
            != (&config.global.net_namespace, &config.global.net_namespace_ipvs)
        {
            let why = "another network namespace needs another daemon: stop this one and start it again";
            return self.refuse_reload(ask, why.into());
        }
        let pipe_stays = (&before.notify_fifo, &before.notify_fifo_script)
            == (&config.global.notify_fifo, &config.global.notify_fifo_script);
        let tools = match Tools::new(&config, &self.failures) {
            Ok(tools) => tools,
            Err(error) => return self.refuse_reload(ask, format!("{error:#}")),
        };
        if ask.dry_run {
            let difference = self.machine.dry_run(config, &found, now);
            return self.answer_reload(Some((ask, difference, warnings)), &Done::default());
        }
        if !pipe_stays {
            match tools.open_pipe(&config) {
                Ok(pipe) => {
                    let old = self.pipe.take();
                    self.pipe = pipe.map(|pipe| pipe.replace(old));
                }
                Err(error) => return self.refuse_reload(ask, format!("{error:#}")),
            }
        }
        if let Err(error) = write_track_files(&config) {
            eprintln!("{error:#}");
        }
        self.tools = tools;
        let difference = self.machine.reload(config, &found, now);
        self.carry_out(Some((ask, difference, warnings)));
    }

    pub(super) fn answer_reload(&mut self, reload: Option<(Ask, Difference, String)>, done: &Done) {
        let Some((ask, difference, warnings)) = reload else { return };
        let failed: Vec<Value> = done
            .failed
            .iter()
            .map(|(order, error)| json!({ "order": order.to_string(), "error": error }))
            .collect();
        let all_done = failed.is_empty() && done.problems.is_empty();
        let status = if all_done { StatusCode::OK } else { StatusCode::INTERNAL_SERVER_ERROR };
        if let Some(reply) = ask.reply {
            let answer = json!({
                "dry_run": ask.dry_run,
                "difference": difference,
                "failed": failed,
                "problems": done.problems,
                "warnings": warnings,
            });
            let _ = reply.send((status, answer));
        }
        self.loading = false;
        self.next_reload();
    }

    pub(super) fn refuse_reload(&mut self, ask: Ask, reason: String) {
        if !ask.dry_run {
            self.machine.event(self.clock.now(), What::ReloadFailed { reason: reason.clone() });
        }
        if let Some(reply) = ask.reply {
            let _ = reply.send((StatusCode::UNPROCESSABLE_ENTITY, json!({ "error": reason })));
        }
        self.loading = false;
        self.next_reload();
    }
}
