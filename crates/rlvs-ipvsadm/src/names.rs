//! Names of hosts and of ports, both ways. Everything else asks through [`Names`], so that tests need no resolver.

use rlvs_control::model::Protocol;
use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::ffi::CStr;
use std::net::{IpAddr, Ipv4Addr, ToSocketAddrs};

pub trait Names {
    /// A host's IPv4 address; the original knows no other for names.
    fn address_of(&self, host: &str) -> Option<Ipv4Addr>;
    fn host_at(&self, addr: IpAddr) -> Option<String>;
    fn port_of(&self, service: &str, protocol: Protocol) -> Option<u16>;
    fn service_at(&self, port: u16, protocol: Protocol) -> Option<String>;
}

/// The system's resolver and its `/etc/services`. Every question is asked once.
#[derive(Default)]
pub struct SystemNames {
    services: OnceCell<Services>,
    hosts: RefCell<HashMap<IpAddr, Option<String>>>,
    addresses: RefCell<HashMap<String, Option<Ipv4Addr>>>,
}

impl Names for SystemNames {
    fn address_of(&self, host: &str) -> Option<Ipv4Addr> {
        if host.is_empty() {
            return None;
        }
        let mut known = self.addresses.borrow_mut();
        *known.entry(host.to_owned()).or_insert_with(|| {
            let found = (host, 0).to_socket_addrs().ok()?;
            found.map(|a| a.ip()).find_map(|a| match a {
                IpAddr::V4(v4) => Some(v4),
                IpAddr::V6(_) => None,
            })
        })
    }

    fn host_at(&self, addr: IpAddr) -> Option<String> {
        self.hosts.borrow_mut().entry(addr).or_insert_with(|| resolve_host(addr)).clone()
    }

    fn port_of(&self, service: &str, protocol: Protocol) -> Option<u16> {
        self.services().ports.get(&(service.to_owned(), protocol)).copied()
    }

    fn service_at(&self, port: u16, protocol: Protocol) -> Option<String> {
        self.services().names.get(&(port, protocol)).cloned()
    }
}

impl SystemNames {
    fn services(&self) -> &Services {
        self.services
            .get_or_init(|| Services::parse(&std::fs::read_to_string("/etc/services").unwrap_or_default()))
    }
}

/// What `/etc/services` says (services(5)): `name port/protocol alias…`, the first line for a port or name wins.
#[derive(Default)]
struct Services {
    ports: HashMap<(String, Protocol), u16>,
    names: HashMap<(u16, Protocol), String>,
}

impl Services {
    fn parse(text: &str) -> Services {
        let mut services = Services::default();
        for line in text.lines() {
            services.add(line.split('#').next().unwrap_or_default());
        }
        services
    }

    fn add(&mut self, line: &str) -> Option<()> {
        let mut words = line.split_whitespace();
        let name = words.next()?;
        let (port, protocol) = words.next()?.split_once('/')?;
        let port = port.parse().ok()?;
        let protocol = match protocol {
            "tcp" => Protocol::Tcp,
            "udp" => Protocol::Udp,
            "sctp" => Protocol::Sctp,
            _ => return None,
        };
        self.names.entry((port, protocol)).or_insert_with(|| name.to_owned());
        for word in std::iter::once(name).chain(words) {
            self.ports.entry((word.to_owned(), protocol)).or_insert(port);
        }
        Some(())
    }
}

/// The name of a host; `None` where it has none.
fn resolve_host(addr: IpAddr) -> Option<String> {
    let mut host = [0u8; libc::NI_MAXHOST as usize];
    let answer = match addr {
        IpAddr::V4(v4) => {
            let address = libc::sockaddr_in {
                sin_family: libc::AF_INET as libc::sa_family_t,
                sin_port: 0,
                sin_addr: libc::in_addr { s_addr: u32::from(v4).to_be() },
                sin_zero: [0; 8],
            };
            ask_for_host(&address, &mut host)
        }
        IpAddr::V6(v6) => {
            let address = libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as libc::sa_family_t,
                sin6_port: 0,
                sin6_flowinfo: 0,
                sin6_addr: libc::in6_addr { s6_addr: v6.octets() },
                sin6_scope_id: 0,
            };
            ask_for_host(&address, &mut host)
        }
    };
    if answer != 0 {
        return None;
    }
    Some(CStr::from_bytes_until_nul(&host).ok()?.to_str().ok()?.to_owned())
}

/// `getnameinfo(3)` for a `sockaddr_in` or `sockaddr_in6`; 0 if `host` has the name.
fn ask_for_host<A>(address: &A, host: &mut [u8]) -> libc::c_int {
    // SAFETY: `address` points to a whole socket address of the length we give, `host` to as many writable
    // bytes as we say; no service is asked for. The call keeps neither pointer and is safe in threads.
    unsafe {
        libc::getnameinfo(
            std::ptr::from_ref(address).cast(),
            size_of::<A>() as libc::socklen_t,
            host.as_mut_ptr().cast(),
            host.len() as libc::socklen_t,
            std::ptr::null_mut(),
            0,
            libc::NI_NAMEREQD,
        )
    }
}

#[cfg(test)]
pub struct NoNames;

#[cfg(test)]
impl Names for NoNames {
    fn address_of(&self, _: &str) -> Option<Ipv4Addr> {
        None
    }
    fn host_at(&self, _: IpAddr) -> Option<String> {
        None
    }
    fn port_of(&self, _: &str, _: Protocol) -> Option<u16> {
        None
    }
    fn service_at(&self, _: u16, _: Protocol) -> Option<String> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_services() {
        let services = Services::parse(
            "# comment\nhttp\t\t80/tcp\twww # World Wide Web\nother 80/tcp\ndomain 53/udp\nodd 1/xyz\nbroken\n",
        );
        assert_eq!(services.names[&(80, Protocol::Tcp)], "http");
        assert_eq!(services.ports[&("www".to_owned(), Protocol::Tcp)], 80);
        assert_eq!(services.ports[&("other".to_owned(), Protocol::Tcp)], 80);
        assert!(!services.names.contains_key(&(53, Protocol::Tcp)));
        assert_eq!(services.names.len(), 2);
    }

    #[test]
    fn a_name_of_a_host_is_never_empty() {
        let names = SystemNames::default();
        for addr in ["127.0.0.1", "::1"] {
            assert_ne!(names.host_at(addr.parse().unwrap()).as_deref(), Some(""), "{addr}");
        }
    }
}
