//! Checks that go the way of clients' packets (`via = "vip"`): there must be one virtual address, and a way to it.

use super::*;

impl Validation<'_> {
    pub(super) fn via(&mut self, place: Place, vs: &VirtualServer, real: &RealServer, check: &Check) {
        if vs.effective_via(real, check) != Via::Vip {
            return;
        }
        let name = check.kind.keyword();
        let global = &self.config.global;
        if global
            .net_namespace_ipvs
            .as_ref()
            .is_some_and(|rules| Some(rules) != global.net_namespace.as_ref())
        {
            let message = format!("{name} via vip would not start where the director is");
            self.error(
                place,
                message,
                "let net_namespace and net_namespace_ipvs be the same, or write via = \"rip\"",
            );
        }
        if check.connect.bind_port.is_some() {
            let help = "leave it out: a free port is taken each time";
            self.error(place, format!("bind_port does not go with {name} via vip"), help);
        }
        let Some(vip) = self.vip(place, vs, check) else { return };
        let (of_vip, of_server) = (Family::of(vip), Family::of(real.address.addr));
        if of_vip != of_server && check.connect.bind_to.is_none() {
            let message = format!(
                "{name} via vip from one address family to another: nothing says from which {} address of this host",
                family_word(of_vip)
            );
            self.error(
                place,
                message,
                "write bindto, an address of this host that the real server can answer to",
            );
        }
        if check.connect.bind_to == Some(vip) && !real.effective_method(vs).method.maps_ports() {
            let message = format!("{name} cannot go from {vip} to {vip}, which the real server has itself");
            self.error(place, message, "write another address of this host as bindto, or leave it out");
        }
    }

    /// The virtual address, if it is one of the service's.
    fn vip(&mut self, place: Place, vs: &VirtualServer, check: &Check) -> Option<IpAddr> {
        let name = check.kind.keyword();
        let (service, given) = (&vs.service, check.connect.ip);
        match (service, given) {
            (ServiceAddress::Address(Endpoint { addr, .. }), Some(ip)) if ip != *addr => {
                let message = format!("{name} via vip goes to {addr}, and connect_ip says {ip}");
                self.error(place, message, "leave connect_ip out, or write via = \"rip\"");
                None
            }
            (ServiceAddress::Address(Endpoint { addr, .. }), _) => Some(*addr),
            (_, None) => {
                let message = format!("{name} via vip: {service} does not say to which virtual address");
                self.error(place, message, "write connect_ip, an address that clients talk to");
                None
            }
            (ServiceAddress::Group(_), Some(ip)) => {
                let mut keys = rules::keys(self.config, vs);
                let is_member = keys.any(|key| match key {
                    ServiceKey::Address { addr, .. } => addr == ip,
                    ServiceKey::Fwmark { .. } => true, // may be of any address
                });
                if !is_member {
                    let message = format!("{name} via vip: {ip} is no address of {service}");
                    self.error(place, message, "write one of the group's as connect_ip");
                }
                is_member.then_some(ip)
            }
            (ServiceAddress::Fwmark(_), Some(ip)) => Some(ip),
        }
    }
}
