//! The part of `rlvs status` that a daemon knows: services, servers, checks.

use anyhow::Result;
use rlvs_daemon::run::{client, place_here};
use serde_json::Value;
use std::io::Write;

/// What the daemon of this network namespace says; `None` where there is none.
pub fn ask() -> Option<Value> {
    let socket = place_here().ok()?.socket();
    if !socket.exists() {
        return None;
    }
    let (status, body) = client::ask(&socket, "GET", "/v1/status").ok()?;
    serde_json::from_str(&body).ok().filter(|_| status == 200)
}

pub fn print(out: &mut impl Write, health: &Value) -> Result<()> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    writeln!(out, "\nDaemon {}, {} checks, {}", health["pid"], health["checks"], text(&health["config"]))?;
    for service in list(health, "services") {
        let quorum = if service["quorum_up"] == true { "UP" } else { "DOWN" };
        write!(
            out,
            "{} {quorum}: weight {} of quorum {}",
            text(&service["service"]),
            service["living_weight"],
            service["quorum"]
        )?;
        if let Some(sorry) = service["sorry_server"].as_str() {
            write!(out, ", sorry server {sorry}")?;
        }
        writeln!(out, "{}", if service["suspended"] == true { ", suspended" } else { "" })?;
        for server in list(service, "servers") {
            let weight = format!("{}/{}", server["effective_weight"], server["configured_weight"]);
            let state = if server["up"] == true { "up" } else { "down" };
            writeln!(
                out,
                "  {:<28} {state:<5} {weight:>9} {}",
                text(&server["server"]),
                text(&server["reason"])
            )?;
            agent(out, server)?;
            passive(out, server)?;
            for check in list(server, "checks") {
                let age = check["last_time"].as_f64().map_or_else(|| "not tried yet".to_owned(), ago);
                let failures = match (&check["health"], check["failures"].as_u64()) {
                    (_, Some(0) | None) => String::new(),
                    (_, Some(n)) => format!(", {n} of {} failed", check["retry"].as_u64().unwrap_or(0) + 1),
                };
                writeln!(out, "    {} {}, {age}{failures}", text(&check["check"]), text(&check["health"]))?;
            }
        }
    }
    Ok(())
}

/// What is known of a server's weight.
fn agent(out: &mut impl Write, server: &Value) -> Result<()> {
    for pin in list(server, "pinned") {
        let service = pin["service"].as_str().unwrap_or_default();
        writeln!(out, "    weight {} was set by hand in {service}, and is kept", pin["weight"])?;
    }
    let agent = &server["agent"];
    let Some(name) = agent["agent"].as_str() else { return Ok(()) };
    let age = agent["last_time"].as_f64().map_or_else(|| "not asked yet".to_owned(), ago);
    let said = match (agent["answer_words"].as_str(), agent["error"].as_str()) {
        (Some(words), _) => format!("says {words}"),
        (_, Some(error)) => format!("does not answer ({} in a row): {error}", agent["missed"]),
        _ => String::new(),
    };
    let average = agent["smoothed_percent"].as_f64().map_or(String::new(), |p| format!(", average {p:.0}%"));
    let why = agent["why"].as_str().map_or(String::new(), |why| format!(" ({why})"));
    writeln!(out, "    {name} {said}, {age}{average}, weight {}{why}", agent["weight"])?;
    Ok(())
}

/// What its clients' connections say of a server.
fn passive(out: &mut impl Write, server: &Value) -> Result<()> {
    let passive = &server["passive"];
    let Some(standing) = passive["standing"].as_str() else { return Ok(()) };
    let kind = if passive["acts"] == true { "passive check" } else { "passive check (advice)" };
    let until = match (standing, passive["out_until"].as_f64()) {
        ("out", Some(until)) => format!(", for {:.0} s more", (-since(until)).max(0.0)),
        _ => String::new(),
    };
    let of =
        (&passive["waiting"], &passive["opened"], passive["window_seconds"].as_f64().unwrap_or_default());
    writeln!(out, "    {kind} {standing}{until}: {} wait, {} came in {:.0} s", of.0, of.1, of.2)?;
    Ok(())
}

fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value[key].as_array().into_iter().flatten()
}

fn ago(time: f64) -> String {
    format!("{:.1} s ago", since(time).max(0.0))
}

/// Seconds since a time since 1970.
fn since(time: f64) -> f64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    now.as_secs_f64() - time
}
