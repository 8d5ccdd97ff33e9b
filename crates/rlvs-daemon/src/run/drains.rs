//! `POST /v1/drain` and `/v1/undrain`: what `rlvs drain` does, with the daemon to wait for the last connection. Requests
//! are read here; the hands carry them out ([`Drains`]).

use super::Hand;
use crate::drain::ledger::{Ledger, since_boot};
use crate::drain::order::{self, Error, Wanted};
use crate::drain::{Fate, RealServer, ServiceWord, Then, Watch, name_of};
use crate::machine::What;
use hyper::StatusCode;
use rlvs_control::bpffs;
use serde::Deserialize;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;

/// The most drains that are waited for at a time.
const MOST: usize = 1024;
const DAY: Duration = Duration::from_secs(86_400);

/// What somebody asks for, checked.
#[derive(Clone, Copy, Debug)]
pub enum Asked {
    Drain(Wanted),
    Undrain(RealServer, Option<ServiceWord>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    server: String,
    service: Option<String>,
    deadline_seconds: Option<f64>,
    udp: Option<Fate>,
    persistent: Option<Fate>,
    then: Option<Then>,
}

/// The body of a request.
pub fn read(body: &[u8], undrain: bool) -> Result<Asked, String> {
    let form: Form = serde_json::from_slice(body).map_err(|error| {
        let keys = r#"{"server": "ADDR[:PORT]", "service": "[tcp:|udp:|sctp:]ADDR:PORT or mark:N""#;
        let more = r#", "deadline_seconds": 30, "udp": "keep", "persistent": "keep", "then": "remove""#;
        format!("{error}; the body is JSON: {keys}{}}}", if undrain { "" } else { more })
    })?;
    let server: RealServer = form.server.parse()?;
    let service = form.service.as_deref().map(str::parse::<ServiceWord>).transpose()?;
    if undrain {
        if form.deadline_seconds.is_some()
            || form.udp.is_some()
            || form.persistent.is_some()
            || form.then.is_some()
        {
            return Err("undraining has a server and a service, and nothing else".into());
        }
        return Ok(Asked::Undrain(server, service));
    }
    let deadline = form.deadline_seconds.map(|seconds| match Duration::try_from_secs_f64(seconds) {
        Ok(deadline) if deadline <= DAY => Ok(deadline),
        _ => Err(format!("{seconds} is no deadline: 0 to 86400 seconds")),
    });
    Ok(Asked::Drain(Wanted {
        server,
        service,
        deadline: deadline.transpose()?,
        udp: form.udp,
        persistent: form.persistent,
        then: form.then,
    }))
}

/// Drains that the daemon waits for.
#[derive(Default)]
pub struct Drains(Vec<Watch>);

impl Drains {
    /// How long until they have to be looked at.
    pub fn pause(&self) -> Option<Duration> {
        let now = since_boot();
        // At least a hundredth: that is how finely the clock is read.
        self.0.iter().filter_map(|watch| watch.pause(now)).min().map(|p| p.max(Duration::from_millis(10)))
    }

    pub fn carry_out(&mut self, director: &mut dyn Hand, asked: Asked) -> (StatusCode, Value) {
        let done = match asked {
            Asked::Drain(wanted) => self.begin(director, &wanted),
            Asked::Undrain(server, service) => undrain(director, &server, service.as_ref()),
        };
        match done {
            Ok(value) => (StatusCode::OK, value),
            Err(Error::Refused(why)) => (StatusCode::UNPROCESSABLE_ENTITY, json!({ "error": why })),
            Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, json!({ "error": error.to_string() })),
        }
    }

    fn begin(&mut self, director: &mut dyn Hand, wanted: &Wanted) -> Result<Value, Error> {
        if self.0.len() >= MOST {
            return Err(Error::Refused(format!("{MOST} drains are waited for already; undrain some")));
        }
        let expires_templates = director.expires_templates()?;
        let mut ledger = Ledger::open(bpffs::netns_cookie()?)?;
        let watch = order::begin(director, &mut ledger, wanted, expires_templates, since_boot())?;
        let drains: Vec<Value> = watch
            .drains()
            .iter()
            .map(|drain| {
                let mut value = json!(drain);
                value["service"] = json!(name_of(&drain.service));
                value["server"] = json!(SocketAddr::new(drain.addr, drain.port).to_string());
                value
            })
            .collect();
        // The same again goes on with it.
        let is_same = |old: &Watch| {
            old.drains().iter().all(|o| watch.drains().iter().any(|n| n.is(&o.service, o.addr, o.port)))
        };
        self.0.retain(|old| !is_same(old));
        self.0.push(watch);
        Ok(json!({ "drains": drains }))
    }

    /// Looks at all of them; what came to its end is told.
    pub fn look(&mut self, director: &mut dyn Hand) -> Result<Vec<What>, Error> {
        let cookie = bpffs::netns_cookie()?;
        let mut told = Vec::new();
        for watch in &mut self.0 {
            let noted = crate::drain::ledger::peek(cookie)?;
            let seen = order::look(director, &noted, watch)?;
            for event in watch.look(since_boot(), &seen) {
                let drain = watch.drains()[event.index];
                let removed = order::end(director, &mut Ledger::open(cookie)?, &drain, &event)?;
                let (service, server) =
                    (name_of(&drain.service), SocketAddr::new(drain.addr, drain.port).to_string());
                told.push(What::Drained { service, server, outcome: event.outcome, removed });
            }
        }
        self.0.retain(|watch| watch.open().next().is_some());
        Ok(told)
    }
}

fn undrain(
    director: &mut dyn Hand,
    server: &RealServer,
    service: Option<&ServiceWord>,
) -> Result<Value, Error> {
    let mut ledger = Ledger::open(bpffs::netns_cookie()?)?;
    let done = order::undrain(director, &mut ledger, server, service)?;
    let done = done.iter().map(|(drain, restored)| {
        let mut value = json!(restored);
        value["service"] = json!(name_of(&drain.service));
        value["server"] = json!(SocketAddr::new(drain.addr, drain.port).to_string());
        value
    });
    Ok(json!({ "undrained": done.collect::<Vec<Value>>() }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn forms_are_read() {
        let all = br#"{"server": "10.0.0.1:80", "service": "tcp:192.0.2.1:80", "deadline_seconds": 1.5, "udp": "expire", "persistent": "keep", "then": "remove"}"#;
        let Ok(Asked::Drain(wanted)) = read(all, false) else { panic!("{:?}", read(all, false)) };
        assert_eq!((wanted.deadline, wanted.udp), (Some(Duration::from_millis(1500)), Some(Fate::Expire)));
        assert!(matches!(read(br#"{"server": "10.0.0.1"}"#, true), Ok(Asked::Undrain(_, None))));
        for (bad, says) in [
            ("", "the body is JSON"),
            ("[]", "the body is JSON"),
            ("{}", "missing field `server`"),
            (r#"{"server": "x"}"#, "no real server"),
            (r#"{"server": "10.0.0.1", "service": "y"}"#, "\"y\""),
            (r#"{"server": "10.0.0.1", "weight": 1}"#, "unknown field `weight`"),
            (r#"{"server": "10.0.0.1", "deadline_seconds": -1}"#, "no deadline"),
            (r#"{"server": "10.0.0.1", "deadline_seconds": 1e99}"#, "no deadline"),
            (r#"{"server": "10.0.0.1", "then": "explode"}"#, "explode"),
        ] {
            let refused = read(bad.as_bytes(), false).unwrap_err();
            assert!(refused.contains(says), "{bad}: {refused}");
        }
        assert!(read(br#"{"server": "10.0.0.1", "then": "remove"}"#, true).is_err());
    }

    proptest! {
        #[test]
        fn any_form_is_read_or_refused(text in "[{}\\[\\]\",:a-z0-9. ]{0,80}", server in "[0-9a-f:.\\[\\]]{0,20}", seconds in any::<f64>()) {
            let form = json!({ "server": server, "deadline_seconds": seconds }).to_string();
            for body in [text.as_bytes(), form.as_bytes()] {
                if let Ok(Asked::Drain(wanted)) = read(body, false) {
                    prop_assert!(wanted.deadline.is_none_or(|deadline| deadline <= DAY));
                }
                let _ = read(body, true);
            }
        }
    }
}
