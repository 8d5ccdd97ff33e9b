//! An outcome for people.

use super::{Outcome, Scenario};
use std::fmt::Write;

/// One line on what was simulated.
fn heading(s: &Scenario) -> String {
    let protocol = if s.udp { "UDP" } else { "TCP" };
    let rate = (s.rate * 1e4).round() / 1e4;
    format!("{protocol}, {rate} connections/s, {:.0} % of what the servers can do", s.busy() * 100.0)
}

/// A scheduler in full.
pub fn details(o: &Outcome, scenario: &Scenario) -> String {
    let mut text = format!("{}: {}\n\n", o.scheduler, heading(scenario));
    let _ = writeln!(
        text,
        "{:<6} {:>6} {:>12} {:>7} {:>10} {:>12} {:>6} {:>6}",
        "server", "speed", "connections", "share", "by weight", "active mean", "max", "busy"
    );
    for s in &o.servers {
        let _ = writeln!(
            text,
            "{:<6} {:>6} {:>12} {:>7} {:>10} {:>12.1} {:>6} {:>6}",
            s.name,
            s.speed,
            s.connections,
            percent(s.share),
            percent(s.share_of_weight),
            s.active_mean,
            s.active_max,
            percent(s.busy)
        );
    }
    let Outcome { connections, refused, cut, .. } = o;
    let _ = writeln!(text, "\nconnections {connections}, refused {refused}, cut off {cut}");
    let _ = writeln!(
        text,
        "response time p50 {:.2}, p99 {:.2} (1: the same work on an idle server of speed 1)",
        o.response.p50, o.response.p99
    );
    let per = if scenario.addresses > 1 { "an address" } else { "a client" };
    let _ = writeln!(text, "servers that {per} meets: {:.2} on average", o.servers_met);
    let numbers: Vec<String> = o.imbalance.iter().map(|x| format!("{x:.2}")).collect();
    let _ = writeln!(text, "imbalance {} mean {:.2}", bars(&o.imbalance), o.imbalance_mean);
    let _ = writeln!(text, "          {}", numbers.join(" "));
    for e in &o.events {
        let _ = writeln!(
            text,
            "after {}s {}: {} of {} clients moved ({:.1} %), {} had to",
            e.at_secs,
            e.event,
            e.moved,
            e.clients,
            share(e.moved, e.clients),
            e.had_to
        );
    }
    text
}

/// Schedulers side by side, a line for each.
pub fn comparison(outcomes: &[Outcome], scenario: &Scenario) -> String {
    let mut text = format!("{}\n\n{:<9}", heading(scenario), "scheduler");
    let servers = outcomes.first().map_or(&[][..], |o| &o.servers);
    let events = outcomes.first().map_or(&[][..], |o| &o.events);
    for s in servers {
        let _ = write!(text, " {:>5}", s.name);
    }
    let _ = write!(text, " {:>7} {:>7} {:>7}  {:<17} {:>4}", "p50", "p99", "refused", "imbalance", "met");
    for e in events {
        let _ = write!(text, " {:>10}", format!("moved@{}s", e.at_secs));
    }
    text.push('\n');
    for o in outcomes {
        let _ = write!(text, "{:<9}", o.scheduler);
        for s in &o.servers {
            let _ = write!(text, " {:>5}", percent(s.share));
        }
        let Outcome { response, refused, imbalance_mean, servers_met, .. } = o;
        let _ = write!(text, " {:>7.2} {:>7.2} {refused:>7}  ", response.p50, response.p99);
        let _ = write!(text, "{} {imbalance_mean:.2} {servers_met:>4.1}", bars(&o.imbalance));
        for e in &o.events {
            let _ = write!(text, " {:>10}", format!("{:.1} %", share(e.moved, e.clients)));
        }
        text.push('\n');
    }
    text
}

fn percent(part: f64) -> String {
    format!("{:.0} %", part * 100.0)
}

fn share(of: u64, all: u64) -> f64 {
    if all == 0 { 0.0 } else { of as f64 * 100.0 / all as f64 }
}

/// A bar for each number from 0 (all equally busy) to 1 and more.
fn bars(numbers: &[f64]) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    numbers.iter().map(|x| BARS[((x * 8.0) as usize).min(7)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_grow_from_equal_to_unequal() {
        assert_eq!(bars(&[0.0, 0.12, 0.13, 0.5, 0.99, 1.5]), "▁▁▂▅██");
    }
}
