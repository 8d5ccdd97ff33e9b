//! The way a check takes to its server: straight to the real server's address, or as clients' packets go, to the virtual
//! address by the server's forwarding method. Can stand in a virtual server, a real server and a check; the nearest one
//! holds.

use super::{Check, CheckKind, Endpoint, RealServer, ServiceAddress, VirtualServer};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Via {
    /// To the real server's address, as keepalived does.
    Rip,
    /// To the virtual address, through the director's forwarding method of that server.
    Vip,
}

impl CheckKind {
    /// Does it speak over TCP or UDP, so that it can go the way of clients' packets?
    pub fn can_go_via(&self) -> bool {
        self.needs_port()
    }
}

impl VirtualServer {
    /// By which way `check` of `server` goes. What stands further out is not for checks that cannot.
    pub fn effective_via(&self, server: &RealServer, check: &Check) -> Via {
        let written = check.connect.via.or(server.via).or(self.via);
        written.filter(|_| check.kind.can_go_via()).unwrap_or(Via::Rip)
    }

    /// The virtual address that `check` is about: that of the service, or for groups and firewall marks `connect_ip`.
    pub fn check_vip(&self, check: &Check) -> Option<IpAddr> {
        match self.service {
            ServiceAddress::Address(Endpoint { addr, .. }) => Some(addr),
            ServiceAddress::Fwmark(_) | ServiceAddress::Group(_) => check.connect.ip,
        }
    }

    /// Where `check` of `server` goes to; port 0 if nobody says one.
    pub fn check_target(&self, server: &RealServer, check: &Check) -> Endpoint {
        let addr = check.connect.ip.unwrap_or(server.address.addr);
        let straight = Endpoint { addr, port: self.check_port(server, check) };
        if self.effective_via(server, check) == Via::Rip {
            return straight;
        }
        let vip = self.check_vip(check).unwrap_or(server.address.addr);
        if server.effective_method(self).method.maps_ports() {
            // The director makes this of the virtual address.
            return Endpoint { addr: server.address.addr, ..straight };
        }
        let of_service = match self.service {
            ServiceAddress::Address(Endpoint { port, .. }) => port,
            ServiceAddress::Fwmark(_) | ServiceAddress::Group(_) => 0,
        };
        let of_rule = if of_service == 0 { server.address.port } else { of_service };
        Endpoint { addr: vip, port: check.connect.port.unwrap_or(of_rule) }
    }
}
