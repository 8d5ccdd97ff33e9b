//! What a lab looks like, before anything is made: hosts, their legs in network segments, routes and settings, as plain
//! data. Three classic ways to build an LVS cluster are drawn here, and the one-armed form of the second.
//!
//! ```text
//! NAT      client ──clients── director ──servers── rs1 rs2 rs3        replies go back through the director
//!
//! DR       client ──clients─┬ director ──servers─┬ rs1 rs2 rs3        replies go straight to the client, over
//!                           └────────────────────┘                    the servers' own leg in its segment
//!
//! TUN      client ──clients─┬ director ──servers── router ──far─┬ rs1 rs2 rs3      as DR, but the servers are in
//!                           └───────────────────────────────────┘                  another subnet: a router between
//!
//! one-arm  client ──clients── director rs1 rs2 rs3                    DR with everybody in one segment
//! ```
//!
//! A segment is a bridge in a namespace of its own (the "switch"); a leg is a veth pair between host and bridge.

use clap::ValueEnum;
use std::net::{Ipv4Addr, Ipv6Addr};

/// The address clients talk to; the director holds it on its leg in the clients' segment.
pub const VIP: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 100);

/// The same of IPv6.
pub const VIP6: Ipv6Addr = six(VIP);

/// What has 10.x.0.y has fd00:x::y too, once it has IPv6 ([`Host::add_ipv6`](super::Host::add_ipv6)).
pub const fn six(addr: Ipv4Addr) -> Ipv6Addr {
    let [_, net, _, host] = addr.octets();
    Ipv6Addr::new(0xfd00, net as u16, 0, 0, 0, 0, 0, host as u16)
}

/// How director and real servers are wired.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Topology {
    Nat,
    Dr,
    Tun,
    OneArm,
}

/// A layer-2 network with its /24.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Segment {
    Clients,
    Servers,
    Far,
}

impl Segment {
    pub const ALL: [Segment; 3] = [Segment::Clients, Segment::Servers, Segment::Far];

    /// The bridge's name.
    pub fn name(self) -> &'static str {
        match self {
            Segment::Clients => "clients",
            Segment::Servers => "servers",
            Segment::Far => "far",
        }
    }

    /// The address of host number `host` in this segment: 10.0.0.x, 10.1.0.x, 10.2.0.x.
    pub fn addr(self, host: u8) -> Ipv4Addr {
        let net = match self {
            Segment::Clients => 0,
            Segment::Servers => 1,
            Segment::Far => 2,
        };
        Ipv4Addr::new(10, net, 0, host)
    }
}

/// One interface of a host: `eth0`, `eth1`, in the order of the plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leg {
    pub segment: Segment,
    pub addr: Ipv4Addr,
    /// Further addresses, as /32.
    pub extra: Vec<Ipv4Addr>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    pub to: Ipv4Addr,
    pub prefix: u8,
    pub via: Ipv4Addr,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPlan {
    pub name: String,
    pub legs: Vec<Leg>,
    pub routes: Vec<Route>,
    /// Below /proc/sys, with the values to write; made after the legs.
    pub sysctls: Vec<(String, String)>,
}

/// Everything `Lab` has to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pub topology: Topology,
    pub mtu: u32,
    pub hosts: Vec<HostPlan>,
}

impl Plan {
    /// Draws `topology` with real servers `rs1` to `rs<servers>`.
    pub fn new(topology: Topology, servers: u8, mtu: u32) -> Plan {
        let mut hosts = vec![client(), director(topology)];
        if topology == Topology::Tun {
            hosts.push(router());
        }
        hosts.extend((1..=servers).map(|n| server(topology, n)));
        Plan { topology, mtu, hosts }
    }

    /// The segments somebody has a leg in.
    pub fn segments(&self) -> Vec<Segment> {
        let used = |s: &Segment| self.hosts.iter().any(|h| h.legs.iter().any(|l| l.segment == *s));
        Segment::ALL.into_iter().filter(used).collect()
    }
}

fn client() -> HostPlan {
    let legs = vec![leg(Segment::Clients, 2)];
    HostPlan { routes: vec![default_via(Segment::Clients.addr(1))], ..host("client", legs) }
}

fn director(topology: Topology) -> HostPlan {
    let mut front = leg(Segment::Clients, 1);
    front.extra.push(VIP);
    let mut legs = vec![front];
    if topology != Topology::OneArm {
        legs.push(leg(Segment::Servers, 1));
    }
    let mut plan = host("director", legs);
    plan.sysctls.push(setting("net/ipv4/ip_forward", "1"));
    for dev in ["all", "default", "eth0", "eth1"].into_iter().take(2 + plan.legs.len()) {
        plan.sysctls.push(setting(&format!("net/ipv4/conf/{dev}/send_redirects"), "0"));
    }
    if topology == Topology::Tun {
        plan.routes.push(Route { to: Segment::Far.addr(0), prefix: 24, via: Segment::Servers.addr(254) });
    }
    plan
}

/// Stands between director and real servers when they are in different subnets.
fn router() -> HostPlan {
    let mut plan = host("router", vec![leg(Segment::Servers, 254), leg(Segment::Far, 254)]);
    plan.sysctls.push(setting("net/ipv4/ip_forward", "1"));
    plan
}

fn server(topology: Topology, n: u8) -> HostPlan {
    let number = 10 + n;
    let (segments, routes): (&[Segment], _) = match topology {
        Topology::Nat => (&[Segment::Servers], vec![default_via(Segment::Servers.addr(1))]),
        Topology::Dr => (&[Segment::Servers, Segment::Clients], vec![]),
        Topology::OneArm => (&[Segment::Clients], vec![default_via(Segment::Clients.addr(1))]),
        Topology::Tun => (
            &[Segment::Far, Segment::Clients],
            vec![Route { to: Segment::Servers.addr(0), prefix: 24, via: Segment::Far.addr(254) }],
        ),
    };
    let legs = segments.iter().map(|&s| leg(s, number)).collect();
    HostPlan { routes, ..host(&format!("rs{n}"), legs) }
}

/// A host with the settings all share: IPv4 only, and no reverse path filter whatever the machine's default is (new
/// namespaces inherit it), so that a lab behaves the same everywhere.
fn host(name: &str, legs: Vec<Leg>) -> HostPlan {
    let mut sysctls = vec![];
    for dev in
        ["all", "default"].into_iter().map(String::from).chain((0..legs.len()).map(|i| format!("eth{i}")))
    {
        sysctls.push(setting(&format!("net/ipv4/conf/{dev}/rp_filter"), "0"));
    }
    HostPlan { name: name.to_owned(), legs, routes: vec![], sysctls }
}

fn leg(segment: Segment, number: u8) -> Leg {
    Leg { segment, addr: segment.addr(number), extra: vec![] }
}

fn default_via(via: Ipv4Addr) -> Route {
    Route { to: Ipv4Addr::UNSPECIFIED, prefix: 0, via }
}

fn setting(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find<'a>(plan: &'a Plan, name: &str) -> &'a HostPlan {
        plan.hosts.iter().find(|h| h.name == name).expect(name)
    }

    #[test]
    fn nat_servers_answer_through_the_director() {
        let plan = Plan::new(Topology::Nat, 3, 1500);
        assert_eq!(plan.segments(), [Segment::Clients, Segment::Servers]);
        let rs3 = find(&plan, "rs3");
        assert_eq!(rs3.legs.len(), 1);
        assert_eq!(rs3.routes, [default_via("10.1.0.1".parse().unwrap())]);
    }

    #[test]
    fn dr_and_tun_servers_have_a_leg_to_the_client() {
        for topology in [Topology::Dr, Topology::Tun] {
            let plan = Plan::new(topology, 2, 1500);
            let rs1 = find(&plan, "rs1");
            assert_eq!(rs1.legs[1].addr, Ipv4Addr::new(10, 0, 0, 11));
            assert!(rs1.routes.iter().all(|r| r.prefix != 0), "no way back over the director");
        }
    }

    #[test]
    fn tun_servers_share_no_segment_with_the_directors_back() {
        let plan = Plan::new(Topology::Tun, 1, 1500);
        assert_eq!(plan.segments().len(), 3);
        assert!(find(&plan, "rs1").legs.iter().all(|l| l.segment != Segment::Servers));
        assert_eq!(find(&plan, "director").routes[0].via, Ipv4Addr::new(10, 1, 0, 254));
    }

    #[test]
    fn only_the_director_has_the_vip() {
        for topology in [Topology::Nat, Topology::Dr, Topology::Tun, Topology::OneArm] {
            let plan = Plan::new(topology, 3, 1500);
            let holders: Vec<_> =
                plan.hosts.iter().filter(|h| h.legs.iter().any(|l| l.extra.contains(&VIP))).collect();
            assert_eq!(holders.len(), 1);
            assert_eq!(holders[0].name, "director");
        }
    }
}
