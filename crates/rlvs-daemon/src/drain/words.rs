//! How an operator names a real server and a service.

use rlvs_control::model::{Family, Protocol, ServiceKey};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

/// `ADDR` or `ADDR:PORT`; an IPv6 address with a port stands in brackets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RealServer {
    pub addr: IpAddr,
    /// None: every port.
    pub port: Option<u16>,
}

impl RealServer {
    pub fn is(&self, addr: IpAddr, port: u16) -> bool {
        self.addr == addr && self.port.is_none_or(|p| p == port)
    }
}

impl FromStr for RealServer {
    type Err = String;

    fn from_str(word: &str) -> Result<RealServer, String> {
        if let Some(addr) = address(word) {
            return Ok(RealServer { addr, port: None });
        }
        match word.parse::<SocketAddr>() {
            Ok(both) if is_plain(&both) => Ok(RealServer { addr: both.ip(), port: Some(both.port()) }),
            _ => Err(format!(
                "{word:?} is no real server: give ADDR or ADDR:PORT, IPv6 as [ADDR] or [ADDR]:PORT"
            )),
        }
    }
}

impl fmt::Display for RealServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => SocketAddr::new(self.addr, port).fmt(f),
            None => self.addr.fmt(f),
        }
    }
}

/// `[tcp:|udp:|sctp:]ADDR:PORT` or `mark:N`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceWord {
    Address {
        /// None: any.
        protocol: Option<Protocol>,
        addr: IpAddr,
        port: u16,
    },
    /// Of either family.
    Mark(u32),
}

impl ServiceWord {
    pub fn is(&self, key: &ServiceKey) -> bool {
        match (*self, *key) {
            (
                ServiceWord::Address { protocol, addr, port },
                ServiceKey::Address { protocol: p, addr: a, port: q },
            ) => protocol.is_none_or(|wanted| wanted == p) && (addr, port) == (a, q),
            (ServiceWord::Mark(wanted), ServiceKey::Fwmark { mark, .. }) => wanted == mark,
            _ => false,
        }
    }
}

impl FromStr for ServiceWord {
    type Err = String;

    fn from_str(word: &str) -> Result<ServiceWord, String> {
        let wrong = || {
            format!(
                "{word:?} is no service: give ADDR:PORT, tcp:ADDR:PORT, udp:ADDR:PORT, sctp:ADDR:PORT or mark:N"
            )
        };
        if let Some(mark) = word.strip_prefix("mark:") {
            return match mark.parse() {
                Ok(mark) if mark > 0 => Ok(ServiceWord::Mark(mark)),
                _ => Err(format!("{mark:?} is no firewall mark from 1 to 4294967295")),
            };
        }
        let named = [("tcp:", Protocol::Tcp), ("udp:", Protocol::Udp), ("sctp:", Protocol::Sctp)];
        let found = named.iter().find_map(|(name, p)| Some((*p, word.strip_prefix(name)?)));
        let (protocol, rest) = found.map_or((None, word), |(p, rest)| (Some(p), rest));
        match rest.parse::<SocketAddr>() {
            Ok(both) if is_plain(&both) => {
                Ok(ServiceWord::Address { protocol, addr: both.ip(), port: both.port() })
            }
            _ => Err(wrong()),
        }
    }
}

/// A service's name as [`ServiceWord`] reads it (of a mark without its family).
pub fn name_of(key: &ServiceKey) -> String {
    match *key {
        ServiceKey::Address { protocol, addr, port } => {
            format!("{}:{}", protocol_word(protocol), SocketAddr::new(addr, port))
        }
        ServiceKey::Fwmark { mark, family: Family::Inet } => format!("mark:{mark}"),
        ServiceKey::Fwmark { mark, family: Family::Inet6 } => format!("mark:{mark} (IPv6)"),
    }
}

fn protocol_word(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
        Protocol::Sctp => "sctp",
    }
}

/// An address, also in brackets.
fn address(word: &str) -> Option<IpAddr> {
    match word.strip_prefix('[').and_then(|w| w.strip_suffix(']')) {
        Some(inner) => inner.parse().ok().filter(IpAddr::is_ipv6),
        None => word.parse().ok(),
    }
}

/// Without a scope: rules have none.
fn is_plain(both: &SocketAddr) -> bool {
    match both {
        SocketAddr::V4(_) => true,
        SocketAddr::V6(six) => six.scope_id() == 0 && six.flowinfo() == 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn real_servers() {
        let server = |word: &str| word.parse::<RealServer>();
        assert_eq!(server("10.1.0.1").unwrap().port, None);
        assert_eq!(server("10.1.0.1:80").unwrap().to_string(), "10.1.0.1:80");
        assert_eq!(server("[fd00::1]:80").unwrap().to_string(), "[fd00::1]:80");
        assert_eq!(server("fd00::1").unwrap(), server("[fd00::1]").unwrap());
        for bad in ["", "rs1", "10.1.0.1:", "10.1.0.1:70000", "[10.1.0.1]", "[fd00::1%2]:80", "10.1.0.1:80 "]
        {
            assert!(server(bad).unwrap_err().contains("ADDR"), "{bad:?}");
        }
    }

    #[test]
    fn services() {
        let service = |word: &str| word.parse::<ServiceWord>();
        let key = |protocol| ServiceKey::Address { protocol, addr: "10.0.0.1".parse().unwrap(), port: 53 };
        assert!(service("10.0.0.1:53").unwrap().is(&key(Protocol::Tcp)));
        assert!(service("udp:10.0.0.1:53").unwrap().is(&key(Protocol::Udp)));
        assert!(!service("udp:10.0.0.1:53").unwrap().is(&key(Protocol::Tcp)));
        let mark = ServiceKey::Fwmark { mark: 7, family: Family::Inet6 };
        assert!(service("mark:7").unwrap().is(&mark) && !service("mark:8").unwrap().is(&mark));
        for bad in ["", "10.0.0.1", "mark:0", "mark:x", "icmp:10.0.0.1:1", "tcp:", "mark:4294967296"] {
            assert!(service(bad).is_err(), "{bad:?}");
        }
        assert_eq!(name_of(&key(Protocol::Udp)), "udp:10.0.0.1:53");
    }

    proptest! {
        #[test]
        fn any_words_are_read_or_refused(word in ".{0,40}") {
            if let Ok(server) = word.parse::<RealServer>() {
                prop_assert_eq!(server.to_string().parse::<RealServer>(), Ok(server));
            }
            let _ = word.parse::<ServiceWord>();
        }
    }
}
