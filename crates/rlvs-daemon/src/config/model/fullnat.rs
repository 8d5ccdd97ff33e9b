//! The pool of FULLNAT: addresses of the director that real servers see.

use super::text::{as_string, port};
use rlvs_control::Source;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// An address, perhaps with ports: `10.1.0.201`, `10.1.0.201 1024-65535`. Without, it has those that are below the machine's
/// own connections'.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FullnatSource(pub Source);

as_string!(FullnatSource);

impl fmt::Display for FullnatSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Source { address, first_port, last_port } = self.0;
        write!(f, "{address}")?;
        if self.0 == Source::new(address) { Ok(()) } else { write!(f, " {first_port}-{last_port}") }
    }
}

impl FromStr for FullnatSource {
    type Err = String;

    fn from_str(text: &str) -> Result<FullnatSource, String> {
        let mut words = text.split_whitespace();
        let (address, ports) = (words.next().unwrap_or_default(), words.next());
        let address: IpAddr = address.parse().map_err(|_| {
            format!("{address:?} is no IP address; write 10.1.0.201 or, with ports, 10.1.0.201 1024-65535")
        })?;
        let mut source = Source::new(address);
        if let Some(ports) = ports {
            let range =
                ports.split_once('-').and_then(|(first, last)| Some((port(first).ok()?, port(last).ok()?)));
            (source.first_port, source.last_port) = range.ok_or_else(|| {
                format!("{ports:?} is no range of ports; write FIRST-LAST, such as 1024-65535")
            })?;
        }
        if let Some(more) = words.next() {
            return Err(format!(
                "{more:?} is too much; an address and its ports, such as {address} 1024-65535"
            ));
        }
        source.check().map_err(|error| error.to_string())?;
        Ok(FullnatSource(source))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_the_same() {
        for text in ["10.1.0.201", "10.1.0.201 1024-65535", "2001:db8::1", "2001:db8::1 7-7"] {
            assert_eq!(text.parse::<FullnatSource>().unwrap().to_string(), text);
        }
        assert_eq!("10.1.0.201 1024-32767".parse::<FullnatSource>().unwrap().to_string(), "10.1.0.201");
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for (text, named) in [
            ("", "no IP address"),
            ("lb1", "\"lb1\" is no IP address"),
            ("10.1.0.201 80", "\"80\" is no range"),
            ("10.1.0.201 0-9", "\"0-9\" is no range"),
            ("10.1.0.201 9-8", "9-8"),
            ("10.1.0.201 1-9 x", "\"x\" is too much"),
            ("127.0.0.1", "127.0.0.1 cannot be the source"),
        ] {
            let error = text.parse::<FullnatSource>().unwrap_err();
            assert!(error.contains(named), "{text}: {error}");
        }
    }
}
