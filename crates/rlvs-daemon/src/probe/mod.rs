//! Checkers: one try of one check, from the first packet to what was seen.
//!
//! A checker trusts nobody. Every wait ends: each step (connecting, the next bytes) after `connect_timeout`, a whole try
//! after [`limit`]; and what is read has a greatest length. What is wrong is said in words that an operator can act on.

pub mod crowd;
mod dns;
mod file;
mod http;
mod misc;
mod ping;
mod smtp;
mod socket;
mod tls;
mod udp;
pub mod via;

pub use tls::tls_config;

use crate::config::model::{Asked, CheckKind, Language};
use crate::config::pattern::Patterns;
use crate::machine::{AgentSpec, CheckSpec, Outcome};
use crate::run::scripts::Scripts;
use crate::weights::{Answer, poll, poll_command, poll_json};
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// Asks an agent, or a script in its place.
pub async fn ask(spec: &AgentSpec, means: &Means) -> Result<Answer, Reason> {
    let limit = spec.timeout;
    let answered = match &spec.asked {
        Asked::Agent { at, language } => {
            let at = SocketAddr::new(at.addr, at.port);
            match language {
                Language::Words => poll(at, limit).await,
                Language::Json => poll_json(at, limit).await,
            }
        }
        Asked::Script(script) => match means.scripts.command(script, &[]) {
            Ok(command) => poll_command(command, limit).await,
            Err(error) => return Err(format!("cannot run {:?}: {error:#}", script.command)),
        },
    };
    answered.map_err(|error| error.to_string())
}

/// What checkers share.
pub struct Means {
    pub tls: Arc<rustls::ClientConfig>,
    pub scripts: Scripts,
    pub patterns: Patterns,
    pub via: via::Vias,
}

/// Why it failed.
type Reason = String;

/// One try; `step` is the URL's index. Whoever has many of those that a [`crowd`] takes, has one for all of them.
pub async fn run(spec: &Arc<CheckSpec>, step: usize, means: &Means) -> Outcome {
    if crowd::takes(spec, step) {
        return crowd::alone(Arc::clone(spec), step).await;
    }
    let whole = limit(spec);
    let tried = async {
        judge(match &spec.kind {
            CheckKind::Tcp => socket::tcp(spec, &means.via).await.map(drop),
            CheckKind::Http(http) => http::check(spec, http, step, means).await,
            CheckKind::Smtp(smtp) => smtp::check(spec, smtp, &means.via).await,
            CheckKind::Dns(dns) => dns::check(spec, dns, &means.via).await,
            CheckKind::Udp(udp) => udp::check(spec, udp, &means.via).await,
            CheckKind::Ping => ping::check(spec).await,
            CheckKind::Misc(misc) => return misc::check(spec, misc, &means.scripts).await,
            CheckKind::File(_) => return file::check(spec),
        })
    };
    match timeout(whole, tried).await {
        Ok(outcome) => outcome,
        Err(_) => Outcome::Failed(format!("not done within {whole:?}")),
    }
}

fn judge(passed: Result<(), Reason>) -> Outcome {
    match passed {
        Ok(()) => Outcome::Passed,
        Err(reason) => Outcome::Failed(reason),
    }
}

/// The longest that a try may take, if every step of it is just in time.
fn limit(spec: &CheckSpec) -> Duration {
    let steps = spec.timing.connect_timeout.saturating_mul(2).max(spec.timing.delay_loop);
    match &spec.kind {
        // It has a time of its own, and must be able to end by it.
        CheckKind::Misc(misc) => {
            misc.timeout.unwrap_or(spec.timing.delay_loop).saturating_add(Duration::from_secs(5))
        }
        _ => steps,
    }
}

/// Waits for one step.
async fn step<T, E: std::fmt::Display>(
    spec: &CheckSpec,
    what: &str,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, Reason> {
    let patience = spec.timing.connect_timeout;
    match timeout(patience, work).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(format!("{what}: {error}")),
        Err(_) => Err(format!("{what}: nothing within {patience:?}")),
    }
}
