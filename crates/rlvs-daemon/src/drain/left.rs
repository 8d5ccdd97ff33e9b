//! What a drained destination still has, and how much of that is waited for.
//!
//! A TCP connection that both sides have closed keeps its entry for two minutes (TIME_WAIT), and nobody needs it: it is
//! not waited for. Where the director sees only the client's side (DR, TUN), a connection that the client has closed
//! (FIN_WAIT) may still be answered: it is waited for, two minutes after its last packet at most.

use super::Fate;
use super::ledger::Drain;
use rlvs_control::model::{ConnectionView, DestinationView, Protocol, ServiceKey};
use serde::Serialize;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Left {
    pub active_connections: u32,
    pub inactive_connections: u32,
    /// Of the inactive ones those that are over, and whose entries only wait for their timers.
    pub finished_connections: u32,
    /// Clients that persistence would bring back.
    pub templates: u32,
}

impl Left {
    /// From a destination's counters; `connections` (all there are) tell which of the inactive ones are over, and are
    /// needed only if [`wants_connections`] says so.
    pub fn of(drain: &Drain, view: &DestinationView, connections: Option<&[ConnectionView]>) -> Left {
        let finished = connections.map_or(0, |all| {
            all.iter().filter(|c| is_of(c, drain) && is_finished(c.protocol, c.state)).count()
        });
        Left {
            active_connections: view.active_connections,
            inactive_connections: view.inactive_connections,
            // The table was read after the counters.
            finished_connections: (finished as u32).min(view.inactive_connections),
            templates: view.persistent_connections,
        }
    }

    /// How many connections, flows and clients the drain waits for.
    pub fn awaited(&self, drain: &Drain) -> u32 {
        let open = self.active_connections + self.inactive_connections - self.finished_connections;
        // A template is a client that comes back to this server, whatever its weight.
        open + if drain.persistent == Fate::Keep { self.templates } else { 0 }
    }
}

/// Whether the connection table has to be read: it is large, so only when the counters leave something open.
pub fn wants_connections(drain: &Drain, view: &DestinationView) -> bool {
    let only_udp = matches!(drain.service, ServiceKey::Address { protocol: Protocol::Udp, .. });
    view.active_connections == 0 && view.inactive_connections > 0 && !only_udp
}

fn is_of(connection: &ConnectionView, drain: &Drain) -> bool {
    if connection.is_template || connection.destination != drain.addr {
        return false;
    }
    match drain.service {
        ServiceKey::Address { protocol, addr, port } => {
            connection.protocol == protocol.number()
                && connection.virtual_addr == addr
                && (port == 0 || connection.virtual_port == port)
                && (drain.port == 0 || connection.destination_port == drain.port)
        }
        // Which mark a connection came by is not listed.
        ServiceKey::Fwmark { .. } => drain.port == 0 || connection.destination_port == drain.port,
    }
}

/// Both sides have closed it, or one of them with a reset.
fn is_finished(protocol: u8, state: &str) -> bool {
    match protocol {
        6 => matches!(state, "TIME_WAIT" | "CLOSE"),
        132 => state == "CLOSED",
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::ledger::tests::drain;
    use super::*;
    use rlvs_control::model::{Counters, Destination, Method, Rates, Tunnel};

    fn view(active: u32, inactive: u32, templates: u32) -> DestinationView {
        DestinationView {
            destination: Destination {
                addr: "10.1.0.1".parse().unwrap(),
                port: 80,
                method: Method::Masquerade,
                weight: 0,
                upper_threshold: 0,
                lower_threshold: 0,
                tunnel: Tunnel::default(),
                proxy_protocol: false,
            },
            active_connections: active,
            inactive_connections: inactive,
            persistent_connections: templates,
            counters: Counters::default(),
            rates: Rates::default(),
        }
    }

    fn connection(server: &str, port: u16, state: &'static str) -> ConnectionView {
        ConnectionView {
            protocol: 6,
            client: "10.0.0.2".parse().unwrap(),
            client_port: 1024,
            virtual_addr: "10.0.0.100".parse().unwrap(),
            virtual_port: 80,
            destination: server.parse().unwrap(),
            destination_port: port,
            state,
            expires_secs: 100,
            is_template: false,
            from_sync: false,
            engine: None,
            source: None,
        }
    }

    #[test]
    fn what_is_over_is_not_awaited() {
        let drain = drain("10.1.0.1:80");
        let all = [
            connection("10.1.0.1", 80, "TIME_WAIT"),
            connection("10.1.0.1", 80, "CLOSE"),
            connection("10.1.0.1", 80, "FIN_WAIT"),
            connection("10.1.0.1", 81, "TIME_WAIT"),
            connection("10.1.0.2", 80, "TIME_WAIT"),
            ConnectionView { is_template: true, ..connection("10.1.0.1", 80, "CLOSE") },
        ];
        let left = Left::of(&drain, &view(0, 3, 0), Some(&all));
        assert_eq!((left.finished_connections, left.awaited(&drain)), (2, 1));
        assert_eq!(Left::of(&drain, &view(0, 3, 0), None).awaited(&drain), 3);
        // The counters were read before the last one was closed.
        assert_eq!(Left::of(&drain, &view(1, 1, 0), Some(&all)).awaited(&drain), 1);
    }

    #[test]
    fn clients_that_come_back_are_awaited_while_templates_are_kept() {
        let mut drain = drain("10.1.0.1:80");
        let left = Left::of(&drain, &view(0, 0, 4), None);
        assert_eq!(left.awaited(&drain), 4);
        drain.persistent = Fate::Expire;
        assert_eq!(left.awaited(&drain), 0);
    }

    #[test]
    fn the_table_is_read_only_where_it_tells_more() {
        let mut drain = drain("10.1.0.1:80");
        assert!(!wants_connections(&drain, &view(5, 3, 0)) && !wants_connections(&drain, &view(0, 0, 3)));
        assert!(wants_connections(&drain, &view(0, 3, 0)));
        drain.service =
            ServiceKey::Address { protocol: Protocol::Udp, addr: "10.0.0.100".parse().unwrap(), port: 53 };
        assert!(!wants_connections(&drain, &view(0, 3, 0)), "no flow of UDP is ever over");
    }
}
