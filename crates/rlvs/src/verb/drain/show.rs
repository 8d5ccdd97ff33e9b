//! What `rlvs drain` says: on a terminal one line that changes, elsewhere a line for each change; for programs one object
//! at the end.

use super::say;
use anyhow::Result;
use rlvs_daemon::drain::ledger::{Drain, since_boot};
use rlvs_daemon::drain::watch::{Event, Outcome, Restore, Seen};
use rlvs_daemon::drain::{Fate, Left, Then, Watch, name_of};
use serde_json::{Value, json};
use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::time::Duration;

/// Lines come no more often than this where they cannot be replaced.
const BETWEEN_LINES: Duration = Duration::from_secs(1);

pub struct Progress {
    json: bool,
    terminal: bool,
    /// By index, what was left at the last look.
    left: Vec<Left>,
    removed: Vec<bool>,
    last: String,
    last_at: Option<Duration>,
}

impl Progress {
    pub fn new(json: bool) -> Progress {
        let terminal = std::io::stdout().is_terminal() && !json;
        Progress { json, terminal, left: vec![], removed: vec![], last: String::new(), last_at: None }
    }

    pub fn begin(&mut self, watch: &Watch) -> Result<()> {
        self.left = vec![Left::default(); watch.drains().len()];
        self.removed = vec![false; watch.drains().len()];
        for drain in watch.drains() {
            let mut line = format!(
                "{} in {}: weight {} -> 0",
                server(drain),
                name_of(&drain.service),
                drain.former_weight
            );
            if drain.former_weight == 0 {
                line = format!("{} in {}: had weight 0 already", server(drain), name_of(&drain.service));
            }
            if drain.udp == Fate::Expire {
                line += ", its flows go elsewhere";
            }
            self.line(&line)?;
        }
        Ok(())
    }

    /// The live count.
    pub fn seen(&mut self, watch: &Watch, seen: &[(usize, Seen)], now: Duration) -> Result<()> {
        let (mut all, mut awaited) = (Left::default(), 0);
        for (index, seen) in seen {
            if let Seen::There { left, .. } = seen {
                self.left[*index] = *left;
                all.active_connections += left.active_connections;
                all.inactive_connections += left.inactive_connections - left.finished_connections;
                if watch.drains()[*index].persistent == Fate::Keep {
                    all.templates += left.templates;
                }
                awaited += left.awaited(&watch.drains()[*index]);
            }
        }
        if awaited == 0 || self.json {
            return Ok(());
        }
        let mut line = format!(
            "waiting for {} active and {} inactive connections",
            all.active_connections, all.inactive_connections
        );
        if all.templates > 0 {
            line += &format!(", {} clients that persistence brings back", all.templates);
        }
        // The seconds count down where the line is replaced only.
        let count = line.clone();
        let deadline = watch.open().filter_map(|i| watch.drains()[i].deadline_ms).max();
        if let Some(deadline) = deadline.map(Duration::from_millis) {
            line += &format!("; {} s left", deadline.saturating_sub(now).as_secs_f64().ceil());
        }
        if self.terminal {
            let mut out = std::io::stdout().lock();
            write!(out, "\r\x1b[K{line}")?;
            out.flush()?;
            self.last = line;
        } else if count != self.last && self.last_at.is_none_or(|at| now >= at + BETWEEN_LINES) {
            say(&line)?;
            (self.last, self.last_at) = (count, Some(now));
        }
        Ok(())
    }

    pub fn over(&mut self, drain: &Drain, event: &Event, removed: bool, now: Duration) -> Result<()> {
        self.removed[event.index] = removed;
        let after = now.saturating_sub(Duration::from_millis(drain.began_ms)).as_secs_f64();
        let what = match event.outcome {
            Outcome::Empty => format!("nothing is left after {after:.1} s"),
            Outcome::Deadline { left } => format!("the deadline passed after {after:.1} s with {left} left"),
            Outcome::Undrained => "undrained by somebody".to_string(),
            Outcome::Overruled { weight } => format!("somebody set weight {weight}, which stays"),
            Outcome::Gone => "deleted by somebody".to_string(),
        };
        let then = match event.outcome {
            Outcome::Empty | Outcome::Deadline { .. } if removed => "; deleted",
            Outcome::Empty | Outcome::Deadline { .. } => "; weight 0 stays",
            _ => "",
        };
        self.line(&format!("{} in {}: {what}{then}", server(drain), name_of(&drain.service)))
    }

    pub fn finish(&mut self, watch: &Watch) -> Result<()> {
        if !self.json {
            return Ok(());
        }
        let now = since_boot().as_millis() as u64;
        let all = watch.drains().iter().enumerate().map(|(i, drain)| {
            let mut value = described(drain);
            value["seconds"] = json!((now.saturating_sub(drain.began_ms)) as f64 / 1000.0);
            value["left"] = json!(self.left[i]);
            value["awaited"] = json!(self.left[i].awaited(drain));
            value["removed"] = json!(self.removed[i]);
            if let (Some(Value::Object(outcome)), Value::Object(all)) =
                (watch.outcome(i).map(|o| json!(o)), &mut value)
            {
                all.extend(outcome.into_iter().filter(|(name, _)| name == "outcome" || name == "weight"));
            }
            value
        });
        say(&serde_json::to_string_pretty(&json!({ "destinations": all.collect::<Vec<_>>() }))?)
    }

    /// A line that stays.
    fn line(&mut self, line: &str) -> Result<()> {
        if self.json {
            return Ok(());
        }
        if self.terminal && !self.last.is_empty() {
            print!("\r\x1b[K");
            self.last.clear();
        }
        say(line)
    }
}

impl Drop for Progress {
    /// Interrupted in the middle of a line.
    fn drop(&mut self) {
        if self.terminal && !self.last.is_empty() {
            println!();
        }
    }
}

/// What is drained, for those who did not say which.
pub fn list(drains: &[Drain], json: bool) -> Result<()> {
    if json {
        let all: Vec<Value> = drains.iter().map(described).collect();
        return say(&serde_json::to_string_pretty(&json!({ "destinations": all }))?);
    }
    if drains.is_empty() {
        return say("nothing is drained here (`rlvs drain ADDR:PORT` drains a real server)");
    }
    let now = since_boot().as_millis() as u64;
    for drain in drains {
        let mut line = format!(
            "{} in {}: had weight {}, for {} s",
            server(drain),
            name_of(&drain.service),
            drain.former_weight,
            now.saturating_sub(drain.began_ms) / 1000
        );
        if let Some(deadline) = drain.deadline_ms {
            line += &match deadline.checked_sub(now) {
                Some(left) => format!(", {} s to its deadline", left.div_ceil(1000)),
                None => ", its deadline has passed".to_string(),
            };
        }
        if drain.then == Then::Remove {
            line += ", to be deleted then";
        }
        say(&line)?;
    }
    Ok(())
}

pub fn restored(done: &[(Drain, Restore)], json: bool) -> Result<()> {
    if json {
        let all = done.iter().map(|(drain, restore)| {
            let mut value = json!(restore);
            value["service"] = json!(name_of(&drain.service));
            value["destination"] = json!(server(drain));
            value["former_weight"] = json!(drain.former_weight);
            value
        });
        return say(&serde_json::to_string_pretty(&json!({ "destinations": all.collect::<Vec<_>>() }))?);
    }
    for (drain, restore) in done {
        let what = match restore {
            Restore::Weight { weight: 0 } => "had weight 0 before it was drained, and keeps it".to_string(),
            Restore::Weight { weight } => format!("weight 0 -> {weight}"),
            Restore::TheirWeight { weight } => {
                format!(
                    "somebody set weight {weight} meanwhile, which stays (it was {})",
                    drain.former_weight
                )
            }
            Restore::Gone => format!("is not in the rules any more (it had weight {})", drain.former_weight),
        };
        say(&format!("{} in {}: {what}", server(drain), name_of(&drain.service)))?;
    }
    Ok(())
}

fn described(drain: &Drain) -> Value {
    json!({
        "service": name_of(&drain.service),
        "destination": server(drain),
        "former_weight": drain.former_weight,
        "udp": drain.udp,
        "persistent": drain.persistent,
        "then": drain.then,
    })
}

fn server(drain: &Drain) -> String {
    SocketAddr::new(drain.addr, drain.port).to_string()
}
