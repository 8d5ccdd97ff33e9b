//! Source addresses of FULLNAT (`rlvs source`): which addresses and ports of the director the servers see.
//!
//! Without any, a connection comes from the address that the route to its server gives. Only new connections look here,
//! so a source may be taken away at any time.

use super::{Director, convert};
use crate::{Error, Result};
use rlvs_core::maps::{SOURCES_PER_FAMILY, SourceConfig};
use rlvs_core::path::{FIRST_PORT, PORTS};
use serde::Serialize;
use std::net::{IpAddr, UdpSocket};

/// An address that connections to real servers may come from, and its ports with both ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Source {
    pub address: IpAddr,
    pub first_port: u16,
    pub last_port: u16,
}

impl Source {
    /// With the ports below those that Linux gives to the machine's own connections.
    pub fn new(address: IpAddr) -> Source {
        Source { address, first_port: FIRST_PORT, last_port: FIRST_PORT + (PORTS - 1) }
    }

    /// Whether it can be one at all, on whatever machine.
    pub fn check(&self) -> Result<()> {
        config(self).map(drop)
    }
}

impl Director {
    /// Those of IPv4 first.
    pub fn sources(&mut self) -> Result<Vec<Source>> {
        let Some(instance) = self.instance()? else {
            return Ok(Vec::new());
        };
        let settings = instance.settings.get(0);
        let mut sources = Vec::new();
        for family in [4, 6] {
            let (first, count) = settings.sources_of(family);
            sources.extend((first..first + count).map(|number| view(&instance.sources.get(number), family)));
        }
        Ok(sources)
    }

    /// Adds a source, or changes the ports of one that is there.
    pub fn add_source(&mut self, source: &Source) -> Result<()> {
        let config = config(source)?;
        if UdpSocket::bind((source.address, 0)).is_err() {
            let Source { address, .. } = source;
            return Err(Error::Invalid(format!(
                "{address} is no address of this machine, so no reply would come back; add it first \
                 (ip addr add {address}/{} dev INTERFACE)",
                if address.is_ipv4() { 32 } else { 128 }
            )));
        }
        let _lock = self.lock()?;
        let instance = self.instance_or_new()?;
        let family = family(source.address);
        let (first, count) = instance.settings.get(0).sources_of(family);
        let same = (first..first + count).find(|number| instance.sources.get(*number).addr == config.addr);
        if same.is_none() && count == SOURCES_PER_FAMILY {
            return Err(Error::Full { what: "source address", limit: SOURCES_PER_FAMILY });
        }
        instance.sources.set(same.unwrap_or(first + count), &config);
        if same.is_none() {
            instance.settings.edit(0, |s| s.sources = counted(s.sources, family, count + 1));
        }
        Ok(())
    }

    /// Makes these the pool: adds and changes first, then removes all others. One that cannot be added does not keep back the
    /// rest; its error is returned.
    pub fn set_sources(&mut self, wanted: &[Source]) -> Result<()> {
        let before = self.sources()?;
        let mut result = Ok(());
        for source in wanted.iter().filter(|source| !before.contains(source)) {
            result = result.and(self.add_source(source));
        }
        for source in before {
            if wanted.iter().all(|other| other.address != source.address) {
                self.remove_source(source.address)?;
            }
        }
        result
    }

    /// Connections that have it keep it.
    pub fn remove_source(&mut self, address: IpAddr) -> Result<()> {
        let _lock = self.lock()?;
        let unknown = || Error::Invalid(format!("{address} is no source address; see `rlvs source list`"));
        let instance = self.instance()?.ok_or_else(unknown)?;
        let family = family(address);
        let (first, count) = instance.settings.get(0).sources_of(family);
        let words = convert::words(address);
        let number = (first..first + count).find(|number| instance.sources.get(*number).addr == words);
        let (number, last) = (number.ok_or_else(unknown)?, first + count - 1);
        instance.sources.set(number, &instance.sources.get(last));
        instance.settings.edit(0, |s| s.sources = counted(s.sources, family, count - 1));
        Ok(())
    }
}

fn family(address: IpAddr) -> u8 {
    if address.is_ipv4() { 4 } else { 6 }
}

/// The setting with another number of sources of a family.
fn counted(sources: u32, family: u8, count: u32) -> u32 {
    if family == 6 { sources & 0xffff | count << 16 } else { sources & !0xffff | count }
}

fn config(source: &Source) -> Result<SourceConfig> {
    let Source { address, first_port, last_port } = *source;
    if first_port == 0 || first_port > last_port {
        let what =
            format!("ports {first_port}-{last_port} are no range; from 1 to 65535, the lower one first");
        return Err(Error::Invalid(what));
    }
    if address.is_unspecified() || address.is_multicast() || address.is_loopback() {
        return Err(Error::Invalid(format!("{address} cannot be the source of packets to a real server")));
    }
    Ok(SourceConfig { addr: convert::words(address), first_port, ports: last_port - first_port + 1, pad: 0 })
}

fn view(config: &SourceConfig, family: u8) -> Source {
    Source {
        address: convert::addr(config.addr, family),
        first_port: config.first_port,
        last_port: config.first_port + (config.ports - 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_read_back_as_they_were_given() {
        for (address, first_port, last_port) in
            [("192.0.2.1", 1, 65535), ("2001:db8::1", 1024, 32767), ("192.0.2.1", 7, 7)]
        {
            let source = Source { address: address.parse().unwrap(), first_port, last_port };
            assert_eq!(view(&config(&source).unwrap(), family(source.address)), source);
        }
        assert_eq!(Source::new("192.0.2.1".parse().unwrap()).last_port, 32767);
    }

    #[test]
    fn nonsense_is_refused() {
        let source = |address: &str, first_port, last_port| {
            config(&Source { address: address.parse().unwrap(), first_port, last_port })
        };
        assert!(source("192.0.2.1", 0, 9).is_err());
        assert!(source("192.0.2.1", 9, 8).is_err());
        assert!(source("127.0.0.1", 1, 9).is_err());
        assert!(source("::", 1, 9).is_err());
    }

    #[test]
    fn families_are_counted_apart() {
        assert_eq!(counted(counted(0, 6, 2), 4, 3), 3 | 2 << 16);
        assert_eq!(counted(3 | 2 << 16, 6, 0), 3);
    }
}
