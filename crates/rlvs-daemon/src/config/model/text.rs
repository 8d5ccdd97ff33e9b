//! How small values are written: times, addresses with ports, bytes. One spelling, read and written here.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;
use std::time::Duration;

/// Serde for a type that is written as a string by `Display` and read by `FromStr`.
macro_rules! as_string {
    ($($type:ty),+) => {$(
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
                out.collect_str(self)
            }
        }
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let text = <String as serde::Deserialize>::deserialize(from)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )+};
}
pub(super) use as_string;

/// An address and a port; port 0 is written by leaving it out: `192.0.2.1`, `192.0.2.1:80`, `[2001:db8::1]:80`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    pub addr: IpAddr,
    pub port: u16,
}

as_string!(Endpoint);

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.addr, self.port) {
            (addr, 0) => write!(f, "{addr}"),
            (IpAddr::V4(addr), port) => write!(f, "{addr}:{port}"),
            (IpAddr::V6(addr), port) => write!(f, "[{addr}]:{port}"),
        }
    }
}

impl FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Endpoint, String> {
        let (addr, port) = split_port(text)?;
        let addr = addr.parse().map_err(|_| {
            format!(
                "{addr:?} is no IP address; write 192.0.2.1:80 or [2001:db8::1]:80, names are not resolved"
            )
        })?;
        Ok(Endpoint { addr, port })
    }
}

/// `ADDR:PORT` into its parts, where an IPv6 address with a port is in brackets; no port is 0.
pub(super) fn split_port(text: &str) -> Result<(&str, u16), String> {
    if let Some(rest) = text.strip_prefix('[') {
        let (addr, port) = rest.split_once(']').ok_or_else(|| format!("{text:?} lacks a closing bracket"))?;
        return match port.strip_prefix(':') {
            Some(port) => Ok((addr, self::port(port)?)),
            None if port.is_empty() => Ok((addr, 0)),
            None => Err(format!("{port:?} after the bracket is no port; write [{addr}]:80")),
        };
    }
    match text.split_once(':') {
        // More than one colon: an IPv6 address without a port.
        Some((_, port)) if port.contains(':') => Ok((text, 0)),
        Some((addr, port)) => Ok((addr, self::port(port)?)),
        None => Ok((text, 0)),
    }
}

/// A port in decimal, 1 to 65535.
pub(crate) fn port(text: &str) -> Result<u16, String> {
    match text.parse::<u16>() {
        Ok(port) if port > 0 && text.bytes().all(|b| b.is_ascii_digit()) => Ok(port),
        _ => Err(format!("{text:?} is no port; a port is a number from 1 to 65535")),
    }
}

/// Bytes to compare a reply with; a nibble that may be anything is `X`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HexPattern {
    /// Each byte, and the mask of its bits that count (0xff, 0xf0, 0x0f or 0).
    pub bytes: Vec<(u8, u8)>,
}

as_string!(HexPattern);

impl HexPattern {
    /// Do the first bytes of `reply` match, as far as both reach?
    pub fn matches(&self, reply: &[u8]) -> bool {
        self.bytes.iter().zip(reply).all(|((byte, mask), got)| byte & mask == got & mask)
    }
}

impl fmt::Display for HexPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (byte, mask) in &self.bytes {
            for shift in [4, 0] {
                match mask >> shift & 0xf {
                    0 => f.write_str("X")?,
                    _ => write!(f, "{:X}", byte >> shift & 0xf)?,
                }
            }
        }
        Ok(())
    }
}

impl FromStr for HexPattern {
    type Err = String;

    /// Free form: digits in words; a word of odd length ends with a byte of one digit (`Ab12f 3` is AB 12 0F 03).
    fn from_str(text: &str) -> Result<HexPattern, String> {
        let mut bytes = Vec::new();
        for word in text.split_whitespace() {
            let nibbles = word.chars().map(nibble).collect::<Result<Vec<_>, _>>()?;
            for pair in nibbles.chunks(2) {
                bytes.push(match *pair {
                    [(high, high_mask), (low, low_mask)] => (high << 4 | low, high_mask << 4 | low_mask),
                    [(low, mask)] => (low, 0xf0 | mask),
                    _ => unreachable!("chunks of 2 have 1 or 2"),
                });
            }
        }
        Ok(HexPattern { bytes })
    }
}

fn nibble(c: char) -> Result<(u8, u8), String> {
    match c {
        'x' | 'X' => Ok((0, 0)),
        _ => c.to_digit(16).map(|digit| (digit as u8, 0xf)).ok_or_else(|| {
            format!("{c:?} is no hexadecimal digit; bytes are written like 01 FF, with X for a digit that may be any")
        }),
    }
}

/// Bytes of a payload, written as a [`HexPattern`] without `X`.
pub fn hex_bytes(text: &str) -> Result<Vec<u8>, String> {
    let pattern: HexPattern = text.parse()?;
    if pattern.bytes.iter().any(|(_, mask)| *mask != 0xff) {
        return Err("X stands for any digit in a reply; what is sent has no X".to_owned());
    }
    Ok(pattern.bytes.into_iter().map(|(byte, _)| byte).collect())
}

/// Serde for `Option<Vec<u8>>` as a string of hexadecimal digits.
pub(super) mod payload {
    use super::*;

    pub fn serialize<S: Serializer>(bytes: &Option<Vec<u8>>, out: S) -> Result<S::Ok, S::Error> {
        bytes.as_ref().map(|b| HexPattern { bytes: b.iter().map(|b| (*b, 0xff)).collect() }).serialize(out)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Vec<u8>>, D::Error> {
        let text = Option::<String>::deserialize(from)?;
        text.map(|text| hex_bytes(&text)).transpose().map_err(de::Error::custom)
    }
}

/// A time in seconds as keepalived writes it: `3`, `2.5`.
pub fn seconds(time: Duration) -> String {
    match time.subsec_nanos() {
        0 => time.as_secs().to_string(),
        nanos => format!("{}.{nanos:09}", time.as_secs()).trim_end_matches('0').to_owned(),
    }
}

/// Seconds with up to nine decimals, at most [`MAX_TIME`](super::MAX_TIME).
pub(crate) fn parse_seconds(text: &str) -> Result<Duration, String> {
    let no_time = || format!("{text:?} is no time; write seconds, like 3 or 2.5");
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || (whole.is_empty() && fraction.is_empty()) || fraction.len() > 9
    {
        return Err(no_time());
    }
    let whole = if whole.is_empty() { 0 } else { whole.parse::<u64>().map_err(|_| too_long(text))? };
    let nanos = format!("{fraction:0<9}").parse::<u32>().map_err(|_| no_time())?;
    let time = Duration::new(whole, nanos);
    if time > super::MAX_TIME { Err(too_long(text)) } else { Ok(time) }
}

fn too_long(text: &str) -> String {
    format!("{text} seconds are too long; the longest time is {} (31 days)", super::MAX_TIME.as_secs())
}

/// Serde for an optional time, written with its unit: `"3s"`, `"250ms"`, `"2.5s"`.
pub(super) mod time {
    use super::*;

    pub fn serialize<S: Serializer>(time: &Option<Duration>, out: S) -> Result<S::Ok, S::Error> {
        time.map(|time| format!("{}s", seconds(time))).serialize(out)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
        let text = Option::<String>::deserialize(from)?;
        text.map(|text| with_unit(&text)).transpose().map_err(de::Error::custom)
    }
}

/// Serde for a time that must be there.
pub(super) mod needed_time {
    use super::*;

    pub fn serialize<S: Serializer>(time: &Duration, out: S) -> Result<S::Ok, S::Error> {
        super::time::serialize(&Some(*time), out)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        with_unit(&String::deserialize(from)?).map_err(de::Error::custom)
    }
}

fn with_unit(text: &str) -> Result<Duration, String> {
    let (number, unit) = text.split_at(text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len()));
    let factor = match unit {
        "s" => return parse_seconds(number),
        "ms" => 1,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => {
            return Err(format!(
                "{text:?} is no time; write a number with a unit: \"250ms\", \"2.5s\", \"10m\", \"1h\""
            ));
        }
    };
    let millis = number.parse::<u64>().ok().and_then(|n| n.checked_mul(factor));
    let time = millis
        .map(Duration::from_millis)
        .ok_or_else(|| format!("{text:?} is no time; {unit} goes with a whole number, like \"10{unit}\""))?;
    if time > super::MAX_TIME { Err(too_long(&time.as_secs().to_string())) } else { Ok(time) }
}

/// For ranges of IPv6 addresses.
pub(super) fn v6_number(addr: Ipv6Addr) -> u128 {
    u128::from(addr)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints() {
        for text in ["192.0.2.1", "192.0.2.1:80", "2001:db8::1", "[2001:db8::1]:80"] {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), text);
        }
        assert_eq!("[::1]".parse::<Endpoint>().unwrap().to_string(), "::1");
        for text in
            ["", ":80", "192.0.2.1:", "192.0.2.1:0", "192.0.2.1:65536", "192.0.2.1:+80", "[::1", "[::1]80"]
        {
            assert!(text.parse::<Endpoint>().is_err(), "{text}");
        }
    }

    #[test]
    fn hexadecimal_in_free_form() {
        let pattern: HexPattern = "Ab12f 3 456 546443123".parse().unwrap();
        assert_eq!(pattern.to_string(), "AB120F03450654644312".to_owned() + "03");
        assert_eq!(
            hex_bytes("0a X"),
            Err("X stands for any digit in a reply; what is sent has no X".to_owned())
        );
        let pattern: HexPattern = "1X".parse().unwrap();
        assert!(pattern.matches(&[0x15, 7]) && pattern.matches(&[]) && !pattern.matches(&[0x25]));
    }

    #[test]
    fn times() {
        for (text, millis) in [("3", 3000), ("2.5", 2500), (".5", 500), ("0", 0), ("1.", 1000)] {
            assert_eq!(parse_seconds(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", ".", "-1", "1e3", "3s", "2678401", "99999999999999999999", "1.0000000001"] {
            assert!(parse_seconds(text).is_err(), "{text}");
        }
        assert_eq!(with_unit("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(with_unit("10m"), Ok(Duration::from_secs(600)));
        assert!(with_unit("10").is_err() && with_unit("1.5m").is_err() && with_unit("9999h").is_err());
    }
}
