//! Addresses as they are typed (`host[:port]`, `[v6]:port`, a bare v6 address) and as they are listed.

use crate::names::Names;
use crate::number;
use rlvs_control::model::Protocol;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostPort {
    pub addr: IpAddr,
    /// `None` where none was typed.
    pub port: Option<u16>,
}

/// Understands what the original understands: brackets need a port, hosts resolve to IPv4, and (so it was seen)
/// an IPv4 address in brackets loses its port. Ports of no `protocol` have no names.
pub fn parse(text: &str, protocol: Option<Protocol>, names: &dyn Names) -> Option<HostPort> {
    if text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    if let Some(rest) = text.strip_prefix('[') {
        let (host, after) = rest.split_once(']')?;
        let port = after.strip_prefix(':')?;
        return match host.parse::<Ipv6Addr>() {
            Ok(v6) => Some(HostPort { addr: v6.into(), port: Some(parse_port(port, protocol, names)?) }),
            Err(_) => parse_v4(host, protocol, names),
        };
    }
    match text.parse::<Ipv6Addr>() {
        Ok(v6) => Some(HostPort { addr: v6.into(), port: None }),
        Err(_) => parse_v4(text, protocol, names),
    }
}

fn parse_v4(text: &str, protocol: Option<Protocol>, names: &dyn Names) -> Option<HostPort> {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) => (host, Some(parse_port(port, protocol, names)?)),
        None => (text, None),
    };
    let addr = dotted(host).or_else(|| names.address_of(host))?;
    Some(HostPort { addr: addr.into(), port })
}

fn parse_port(text: &str, protocol: Option<Protocol>, names: &dyn Names) -> Option<u16> {
    match number::in_range(text, 0..=65535) {
        Some(port) => u16::try_from(port).ok(),
        None => names.port_of(text, protocol?),
    }
}

/// An IPv4 address as `inet_aton(3)` reads it: one to four numbers, decimal, octal (`017`) or hexadecimal
/// (`0xf`), the last of which fills the bytes that remain: `10.1` is 10.0.0.1 and `24` is 0.0.0.24. What comes
/// after a blank is not read.
pub fn dotted(text: &str) -> Option<Ipv4Addr> {
    let text = text.split([' ', '\t', '\n', '\x0b', '\x0c', '\r']).next()?;
    let mut parts: Vec<&str> = text.split('.').collect();
    let last = c_number(parts.pop()?)?;
    if parts.len() > 3 {
        return None;
    }
    let mut bits: u32 = 0;
    for (i, part) in parts.iter().enumerate() {
        let byte = u8::try_from(c_number(part)?).ok()?;
        bits |= u32::from(byte) << (24 - 8 * i);
    }
    let room = u32::MAX.checked_shr(8 * parts.len() as u32).unwrap_or(0);
    (last <= room).then(|| Ipv4Addr::from(bits | last))
}

fn c_number(text: &str) -> Option<u32> {
    let (digits, radix) = match text.as_bytes() {
        [b'0', b'x' | b'X', ..] => (&text[2..], 16),
        [b'0', _, ..] => (&text[1..], 8),
        _ => (text, 10),
    };
    if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    u32::from_str_radix(digits, radix).ok()
}

/// How listings write addresses: with names, or plainly.
#[derive(Clone, Copy)]
pub struct Printer<'a> {
    pub names: &'a dyn Names,
    pub numeric: bool,
}

impl Printer<'_> {
    /// `host:port` or `[v6]:port`; a port of no `protocol` has no name.
    pub fn host_port(&self, addr: IpAddr, port: u16, protocol: Option<Protocol>) -> String {
        if self.numeric {
            return written(addr, None, port, None);
        }
        let port_name = protocol.and_then(|p| self.names.service_at(port, p));
        written(addr, self.names.host_at(addr), port, port_name)
    }

    /// The same, but names only where [`parse`] makes the same address and port of them again.
    pub fn restorable(&self, addr: IpAddr, port: u16, protocol: Option<Protocol>) -> String {
        if self.numeric {
            return written(addr, None, port, None);
        }
        let leads_back = |host: &String| match addr {
            IpAddr::V4(v4) => dotted(host).or_else(|| self.names.address_of(host)) == Some(v4),
            IpAddr::V6(_) => false,
        };
        let host = self.names.host_at(addr).filter(leads_back);
        let port_name = protocol.and_then(|p| {
            let name = self.names.service_at(port, p)?;
            (parse_port(&name, protocol, self.names) == Some(port)).then_some(name)
        });
        written(addr, host, port, port_name)
    }
}

fn written(addr: IpAddr, host: Option<String>, port: u16, port_name: Option<String>) -> String {
    let host = host.unwrap_or_else(|| addr.to_string());
    let port = port_name.unwrap_or_else(|| port.to_string());
    if addr.is_ipv4() { format!("{host}:{port}") } else { format!("[{host}]:{port}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::NoNames;

    #[test]
    fn reads_hosts_and_ports() {
        let read = |text| {
            parse(text, Some(Protocol::Tcp), &NoNames).map(|h| match h.port {
                Some(port) => format!("{} {port}", h.addr),
                None => format!("{}", h.addr),
            })
        };
        for (text, expected) in [
            ("10.0.0.1:80", Some("10.0.0.1 80")),
            ("10.0.0.1: 80", Some("10.0.0.1 80")),
            ("10.0.0.1", Some("10.0.0.1")),
            ("10.0.0:80", Some("10.0.0.0 80")),
            ("fd00::1:80", Some("fd00::1:80")),
            ("[fd00::1]:80", Some("fd00::1 80")),
            ("[10.0.0.1]:80", Some("10.0.0.1")),
            ("[fd00::1]", None),
            ("[fd00::1", None),
            ("[fd00::1]:", None),
            ("10.0.0.1:", None),
            (":80", None),
            ("80", None),
            ("", None),
            ("10.0.0.1:65536", None),
            ("no.such.host:80", None),
        ] {
            assert_eq!(read(text).as_deref(), expected, "{text:?}");
        }
    }

    #[test]
    fn reads_dotted_numbers_like_inet_aton() {
        for (text, expected) in [
            ("24", Some("0.0.0.24")),
            ("10.1", Some("10.0.0.1")),
            ("10.0x10.1", Some("10.16.0.1")),
            ("010.0.0.1", Some("8.0.0.1")),
            ("4294967295", Some("255.255.255.255")),
            ("4294967296", None),
            ("10.0.0.300", None),
            ("10.0.0.0.1", None),
            ("10.", None),
            ("0x", None),
            ("+1", None),
            ("", None),
            ("10.0.0.5 x", Some("10.0.0.5")),
            (" 10.0.0.5", None),
        ] {
            assert_eq!(dotted(text).map(|a| a.to_string()).as_deref(), expected, "{text:?}");
        }
    }
}
