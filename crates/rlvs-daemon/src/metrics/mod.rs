//! Counters for Prometheus, as its text format has them.
//!
//! [`Snapshot`] is what there is to tell, as plain data; [`ours`] tells it under our names, by Prometheus's conventions
//! (`_total` for what only grows, base units, one family for one thing); [`node`] tells the part that `node_exporter` knows
//! of kernel IPVS under its names and labels, so that existing dashboards and alerts work. [`serve`] answers scrapes.
//!
//! [`health`] is what a daemon adds on its own page. docs/metrics.md lists what is here.

pub mod health;
pub mod node;
pub mod ours;
pub mod serve;
mod text;

pub use text::{Kind, Text};

use crate::drain::Drain;
use crate::machine;
use rlvs_control::model::ServiceView;
use rlvs_control::{Balancer, Director, Result, Status, Totals};

/// Everything at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub services: Vec<ServiceView>,
    pub totals: Totals,
    pub status: Status,
    /// What is drained (`drain::ledger`).
    pub drains: Vec<Drain>,
}

impl Snapshot {
    /// Of the network namespace that the director is of.
    pub fn take(director: &mut Director, drains: Vec<Drain>) -> Result<Snapshot> {
        Ok(Snapshot {
            services: director.services()?,
            totals: director.totals()?,
            status: director.status()?,
            drains,
        })
    }
}

/// Whose names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    Rlvs,
    Node,
    Both,
}

/// The page that a scrape gets.
pub fn render(snapshot: &Snapshot, names: Names) -> String {
    render_with(snapshot, names, None)
}

/// Likewise, with what a daemon knows.
pub fn render_with(snapshot: &Snapshot, names: Names, known: Option<&machine::Status>) -> String {
    let mut text = Text::default();
    if names != Names::Node {
        ours::tell(snapshot, &mut text);
        if let Some(status) = known {
            health::tell(status, &mut text);
        }
    }
    if names != Names::Rlvs {
        node::tell(snapshot, &mut text);
    }
    text.into_string()
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::drain::ledger::tests::drain;
    use rlvs_control::attach::{Attached, Mode};
    use rlvs_control::model::*;
    use rlvs_control::{DropCount, MapFill};

    /// tcp:10.0.0.100:80 with two servers, the first of them drained, and mark 256 of IPv6 with one.
    pub fn snapshot() -> Snapshot {
        let counters = |n: u64| Counters {
            conns: n,
            in_packets: n * 10,
            out_packets: n * 9,
            in_bytes: n * 1000,
            out_bytes: n * 9000,
        };
        let view = |addr: &str, weight, active, n| DestinationView {
            destination: Destination {
                addr: addr.parse().unwrap(),
                port: 80,
                method: Method::Masquerade,
                weight,
                upper_threshold: 0,
                lower_threshold: 0,
                tunnel: Tunnel::default(),
                proxy_protocol: false,
            },
            active_connections: active,
            inactive_connections: 7,
            persistent_connections: 1,
            counters: counters(n),
            rates: Rates::default(),
        };
        let service = |key, destinations| ServiceView {
            service: Service::new(key, "wlc"),
            counters: counters(6),
            rates: Rates::default(),
            destinations,
        };
        let tcp = drain("10.1.0.1:80").service;
        let mark = ServiceKey::Fwmark { mark: 256, family: Family::Inet6 };
        Snapshot {
            services: vec![
                service(tcp, vec![view("10.1.0.2", 5, 4, 4), view("10.1.0.1", 0, 3, 2)]),
                service(mark, vec![view("fd00::1", 1, 0, 0)]),
            ],
            totals: Totals { counters: counters(u64::from(u32::MAX)), ..Totals::default() },
            status: Status {
                loaded: true,
                kernel: "6.1.0".into(),
                interfaces: vec![Attached {
                    name: "eth\"0".into(),
                    ifindex: 2,
                    mode: Some(Mode::Tc),
                    xdp_target: false,
                    why: "veth".into(),
                }],
                maps: vec![MapFill { name: "services", used: 2, capacity: 4096 }],
                drops: vec![DropCount { reason: "no-server", packets: 12, meaning: "nobody" }],
                sweeper_ticks: 99,
            },
            drains: vec![drain("10.1.0.1:80")],
        }
    }
}
