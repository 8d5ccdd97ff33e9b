//! The words of the command line: servers, times, events, flags. What is wrong is said with the word and what would be
//! right.

use super::{Change, Event, Server};
use anyhow::{Context, Result, anyhow, bail};
use rlvs_core::sched::{FALLBACK, PORT, Scheduler};

/// The names of servers have to fit into a set of 64 bits.
pub const MOST_SERVERS: usize = 64;
const MOST_WEIGHT: u32 = 65_535;

/// The schedulers in a list, or all.
pub fn schedulers(list: &str) -> Result<Vec<Scheduler>> {
    let all = || Scheduler::ALL.iter().copied().filter(|s| *s != Scheduler::None);
    if list == "all" {
        return Ok(all().collect());
    }
    let one = |word: &str| {
        let known = || all().map(Scheduler::word).collect::<Vec<_>>().join(", ");
        all()
            .find(|s| s.word() == word)
            .ok_or_else(|| anyhow!("unknown scheduler {word:?}; there are: {}, all", known()))
    };
    list.split(',').map(one).collect()
}

/// `SPEED[:WEIGHT[:UPPER]],…`
pub fn servers(list: &str) -> Result<Vec<Server>> {
    let servers: Vec<Server> = list.split(',').map(server).collect::<Result<_>>()?;
    if servers.len() > MOST_SERVERS {
        bail!("{} servers are more than the {MOST_SERVERS} that fit", servers.len());
    }
    Ok(servers)
}

fn server(word: &str) -> Result<Server> {
    let mut parts = word.split(':');
    let speed = speed(parts.next().unwrap_or_default())?;
    let weight = parts.next().map_or(Ok(1), weight)?;
    let upper = parts.next().map_or(Ok(0), |upper| {
        upper.parse().map_err(|_| anyhow!("upper threshold {upper:?} is no number of connections"))
    })?;
    if parts.next().is_some() {
        bail!("server {word:?} has too many parts; it is SPEED[:WEIGHT[:UPPER]]");
    }
    Ok(Server { speed, weight, upper })
}

fn speed(word: &str) -> Result<f64> {
    let speed = number(word).filter(|s| (0.001..=1000.0).contains(s));
    speed.ok_or_else(|| anyhow!("speed {word:?} is no number from 0.001 to 1000 (1 is a usual server)"))
}

fn weight(word: &str) -> Result<u32> {
    let weight = word.parse().ok().filter(|w| *w <= MOST_WEIGHT);
    weight.ok_or_else(|| anyhow!("weight {word:?} is no whole number from 0 to {MOST_WEIGHT}"))
}

fn number(word: &str) -> Option<f64> {
    word.parse().ok().filter(|n: &f64| n.is_finite())
}

/// `100ms`, `0.5s`, `2m`, `1h`; a bare number is seconds. In nanoseconds.
pub fn time(word: &str) -> Result<u64> {
    let units = [("us", 1e3), ("ms", 1e6), ("s", 1e9), ("m", 60e9), ("h", 3600e9)];
    let (digits, unit) =
        units.iter().find_map(|(name, unit)| Some((word.strip_suffix(name)?, *unit))).unwrap_or((word, 1e9));
    let nanos = number(digits).map(|n| (n * unit).round()).filter(|n| (1000.0..=86_400e9).contains(n));
    let nanos = nanos.ok_or_else(|| {
        anyhow!("{word:?} is no time from 1us to a day; write 100ms, 30s, 2m, 1h (a bare number is seconds)")
    })?;
    Ok(nanos as u64)
}

/// Connections per second.
pub fn rate(word: &str) -> Result<f64> {
    let n = number(word).filter(|n| (0.001..=1e9).contains(n));
    n.ok_or_else(|| anyhow!("{word:?} is no rate from 0.001 to 1e9 connections per second"))
}

/// An exponent of Zipf's law.
pub fn exponent(word: &str) -> Result<f64> {
    let n = number(word).filter(|n| (0.0..=10.0).contains(n));
    n.ok_or_else(|| anyhow!("{word:?} is no exponent from 0 (all equal) to 10; the web's is near 1"))
}

/// `TIME:weight rsN WEIGHT`, `TIME:delete rsN`, `TIME:add rsN WEIGHT [SPEED]`
pub fn event(text: &str) -> Result<Event> {
    let wrong = || {
        anyhow!(
            "event {text:?} is none of \"TIME:weight rsN WEIGHT\", \"TIME:delete rsN\", \
             \"TIME:add rsN WEIGHT [SPEED]\""
        )
    };
    let (at, order) = text.split_once(':').ok_or_else(wrong)?;
    let words: Vec<&str> = order.split_whitespace().collect();
    let in_event = || format!("event {text:?}");
    let (server, change) = match *words.as_slice() {
        ["weight", server, w] => (server, Change::Weight(weight(w).with_context(in_event)?)),
        ["delete", server] => (server, Change::Delete),
        ["add", server, w] => {
            (server, Change::Add { weight: weight(w).with_context(in_event)?, speed: None })
        }
        ["add", server, w, s] => {
            let speed = Some(speed(s).with_context(in_event)?);
            (server, Change::Add { weight: weight(w).with_context(in_event)?, speed })
        }
        _ => return Err(wrong()),
    };
    let number = server.strip_prefix("rs").and_then(|n| n.parse().ok()).filter(|n: &u32| *n > 0);
    let number =
        number.ok_or_else(|| anyhow!("event {text:?}: {server:?} is no server; they are rs1, rs2, …"))?;
    Ok(Event {
        at: time(at).with_context(in_event)?,
        server: number - 1,
        change,
        text: order.trim().to_owned(),
    })
}

/// The flags of a list (`sh-port,mh-fallback`) that are this scheduler's.
pub fn flags(list: &[String], scheduler: Scheduler) -> Result<u8> {
    let mut bits = 0;
    for flag in list {
        let (owner, bit) = match flag.split_once('-') {
            Some((owner @ ("sh" | "mh"), "port")) => (owner, PORT),
            Some((owner @ ("sh" | "mh"), "fallback")) => (owner, FALLBACK),
            _ => bail!("unknown flag {flag:?}; there are: sh-port, sh-fallback, mh-port, mh-fallback"),
        };
        if owner == scheduler.word() {
            bits |= bit;
        }
    }
    Ok(bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_servers_times_and_events() {
        let list = servers("1,0.33:2,2:3:40").unwrap();
        let parts: Vec<_> = list.iter().map(|s| (s.speed, s.weight, s.upper)).collect();
        assert_eq!(parts, [(1.0, 1, 0), (0.33, 2, 0), (2.0, 3, 40)]);
        assert_eq!(
            ["100ms", "30s", "2m", "1.5"].map(|t| time(t).unwrap() / 1_000_000),
            [100, 30_000, 120_000, 1500]
        );
        let e = event("30s:add rs4 2 0.5").unwrap();
        assert_eq!((e.at, e.server, e.text.as_str()), (30_000_000_000, 3, "add rs4 2 0.5"));
        assert_eq!(e.change, Change::Add { weight: 2, speed: Some(0.5) });
        assert_eq!(schedulers("all").unwrap().len(), 14);
        let both = ["sh-port".to_owned(), "mh-fallback".to_owned()];
        assert_eq!(
            [Scheduler::Sh, Scheduler::Mh, Scheduler::Rr].map(|s| flags(&both, s).unwrap()),
            [2, 1, 0]
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        let said = |e: anyhow::Error| format!("{e:#}");
        let list = "rr, wrr, lc, wlc, sed, nq, dh, sh, lblc, lblcr, mh, fo, ovf, twos, all";
        assert_eq!(
            said(schedulers("rr,x").unwrap_err()),
            format!("unknown scheduler \"x\"; there are: {list}")
        );
        assert!(said(servers("1,0").unwrap_err()).starts_with("speed \"0\" is no number from"));
        assert!(said(servers("1:-1").unwrap_err()).starts_with("weight \"-1\" is no whole number"));
        assert!(said(servers("1:1:1:1").unwrap_err()).contains("SPEED[:WEIGHT[:UPPER]]"));
        for text in
            ["weight rs1 0", "3s:wait rs1", "3s:add rs1", "3s:weight 1 0", "x:delete rs1", "3s:delete rs0"]
        {
            assert!(said(event(text).unwrap_err()).contains(text), "{text}");
        }
        assert!(flags(&["sh".to_owned()], Scheduler::Sh).is_err());
    }
}
