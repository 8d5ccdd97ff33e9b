//! Groups of addresses that share a virtual server.

use super::{AddressFamily, parse_mark};
use crate::config::model::Endpoint;
use crate::config::model::text::{as_string, split_port, v6_number};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;
use std::str::FromStr;

/// `virtual_server_group NAME { … }`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    pub name: String,
    pub members: Vec<Member>,
}

/// The most addresses of one range.
pub const MAX_RANGE: u128 = 65_536;

/// One line of a group: `192.0.2.1:80`, `192.0.2.1-10:80`, `192.0.2.250-192.0.3.9`, `fwmark 1 inet6`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Member {
    /// From `first` to `last`, both included, of one family and in order; one address has itself as last.
    Addresses {
        first: IpAddr,
        last: IpAddr,
        port: u16,
    },
    Fwmark {
        mark: u32,
        family: Option<AddressFamily>,
    },
}

as_string!(Member);

impl Member {
    /// A range in keepalived's words: `A`, `A-B`, `A-N` (N replaces the last part of A), `A/PREFIX`.
    pub fn range(text: &str, port: u16) -> Result<Member, String> {
        let (first, last) = if let Some((first, last)) = text.split_once('-') {
            let first = address(first)?;
            (first, last_of_range(first, last)?)
        } else if let Some((base, prefix)) = text.split_once('/') {
            network(address(base)?, prefix)?
        } else {
            (address(text)?, address(text)?)
        };
        let count = match (first, last) {
            (IpAddr::V4(a), IpAddr::V4(b)) => u128::from(u32::from(b)).checked_sub(u32::from(a).into()),
            (IpAddr::V6(a), IpAddr::V6(b)) => v6_number(b).checked_sub(v6_number(a)),
            _ => return Err(format!("{first} and {last} are not of one family")),
        };
        match count {
            None => Err(format!("{last} comes before {first}; write the lower address first")),
            Some(more) if more >= MAX_RANGE => {
                Err(format!("{text} has more than {MAX_RANGE} addresses; use a firewall mark for so many"))
            }
            Some(_) => Ok(Member::Addresses { first, last, port }),
        }
    }

    /// Every address of a range; none for a mark.
    pub fn endpoints(&self) -> impl Iterator<Item = Endpoint> + use<> {
        let (first, last, port) = match *self {
            Member::Addresses { first, last, port } => (first, last, port),
            // An empty range.
            Member::Fwmark { .. } => (IpAddr::V4(Ipv4Addr::new(0, 0, 0, 1)), Ipv4Addr::UNSPECIFIED.into(), 0),
        };
        let numbers = match (first, last) {
            (IpAddr::V4(a), IpAddr::V4(b)) => u128::from(u32::from(a))..=u128::from(u32::from(b)),
            (IpAddr::V6(a), IpAddr::V6(b)) => v6_number(a)..=v6_number(b),
            _ => RangeInclusive::new(1, 0), // no address: a range is of one family
        };
        numbers.map(move |n| Endpoint {
            addr: if first.is_ipv4() {
                Ipv4Addr::from(n as u32).into() // fits: it is between two IPv4 addresses
            } else {
                Ipv6Addr::from(n).into()
            },
            port,
        })
    }

    /// The range without its port, as short as it can be.
    pub(crate) fn range_text(first: IpAddr, last: IpAddr) -> String {
        match (first, last) {
            _ if first == last => first.to_string(),
            (IpAddr::V4(a), IpAddr::V4(b)) if a.octets()[..3] == b.octets()[..3] => {
                format!("{a}-{}", b.octets()[3])
            }
            _ => format!("{first}-{last}"),
        }
    }
}

fn address(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_| format!("{text:?} is no IP address; names are not resolved"))
}

/// `text` is a whole address, or the last part of `first`: decimal for IPv4, hexadecimal for IPv6.
fn last_of_range(first: IpAddr, text: &str) -> Result<IpAddr, String> {
    let no_end = || format!("{text:?} ends no range that begins with {first}");
    if text.is_empty() || text.starts_with('+') {
        return Err(no_end());
    }
    match first {
        IpAddr::V4(_) if text.contains('.') => address(text),
        IpAddr::V6(_) if text.contains(':') => address(text),
        IpAddr::V4(addr) => {
            let [a, b, c, _] = addr.octets();
            Ok(Ipv4Addr::new(a, b, c, text.parse().map_err(|_| no_end())?).into())
        }
        IpAddr::V6(addr) => {
            let mut parts = addr.segments();
            parts[7] = u16::from_str_radix(text, 16).map_err(|_| no_end())?;
            Ok(Ipv6Addr::from(parts).into())
        }
    }
}

/// First and last address of a network.
fn network(base: IpAddr, prefix: &str) -> Result<(IpAddr, IpAddr), String> {
    let bits = if base.is_ipv4() { 32 } else { 128 };
    let length: u32 = match prefix.parse() {
        Ok(length) if length <= bits => length,
        _ => return Err(format!("{prefix:?} is no prefix length of {base}; it goes from 0 to {bits}")),
    };
    let (first, last): (IpAddr, IpAddr) = match base {
        IpAddr::V4(addr) => {
            let host = u32::MAX.checked_shr(length).unwrap_or(0);
            (Ipv4Addr::from(u32::from(addr) & !host).into(), Ipv4Addr::from(u32::from(addr) | host).into())
        }
        IpAddr::V6(addr) => {
            let host = u128::MAX.checked_shr(length).unwrap_or(0);
            (Ipv6Addr::from(v6_number(addr) & !host).into(), Ipv6Addr::from(v6_number(addr) | host).into())
        }
    };
    if first != base {
        return Err(format!("{base} is not where a network /{length} begins; write {first}/{length}"));
    }
    Ok((first, last))
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Member::Addresses { first, last, port } => {
                let range = Member::range_text(first, last);
                match (first, port) {
                    (_, 0) => f.write_str(&range),
                    (IpAddr::V4(_), port) => write!(f, "{range}:{port}"),
                    (IpAddr::V6(_), port) => write!(f, "[{range}]:{port}"),
                }
            }
            Member::Fwmark { mark, family: None } => write!(f, "fwmark {mark}"),
            Member::Fwmark { mark, family: Some(family) } => {
                write!(f, "fwmark {mark} {}", family_word(family))
            }
        }
    }
}

impl FromStr for Member {
    type Err = String;

    fn from_str(text: &str) -> Result<Member, String> {
        if let Some(mark) = text.strip_prefix("fwmark ") {
            let (mark, family) = match mark.split_once(' ') {
                Some((mark, family)) => (mark, Some(parse_family(family)?)),
                None => (mark, None),
            };
            return Ok(Member::Fwmark { mark: parse_mark(mark)?, family });
        }
        let (range, port) = split_port(text)?;
        Member::range(range, port)
    }
}

pub(crate) fn family_word(family: AddressFamily) -> &'static str {
    match family {
        AddressFamily::Inet => "inet",
        AddressFamily::Inet6 => "inet6",
    }
}

pub(crate) fn parse_family(text: &str) -> Result<AddressFamily, String> {
    match text {
        "inet" => Ok(AddressFamily::Inet),
        "inet6" => Ok(AddressFamily::Inet6),
        _ => Err(format!("{text:?} is no address family; there are inet and inet6")),
    }
}
