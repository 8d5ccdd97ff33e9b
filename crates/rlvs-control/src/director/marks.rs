//! Firewall marks given by rules of our own (`rlvs mark`): XDP and TC come before netfilter could mark a packet.

use super::Director;
use crate::model::Protocol;
use crate::{Error, Result};
use rlvs_core::maps::MarkRule;
use serde::Serialize;
use std::net::IpAddr;

/// Which packets get a mark. What is not said fits everything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MarkSpec {
    pub mark: u32,
    pub protocol: Option<Protocol>,
    /// Networks: address and prefix length.
    pub src: Option<(IpAddr, u8)>,
    pub dst: Option<(IpAddr, u8)>,
    /// Destination ports, each range with both ends; none for all.
    pub ports: Vec<(u16, u16)>,
}

/// In [`MarkRule::pad`]: the rule belongs to the one before it (another port of the same order).
const CONTINUES: u16 = 1;

impl Director {
    pub fn marks(&mut self) -> Result<Vec<MarkSpec>> {
        let Some(instance) = self.instance()? else {
            return Ok(Vec::new());
        };
        let count = instance.settings.get(0).mark_rules.min(instance.marks.len());
        let mut specs: Vec<MarkSpec> = Vec::new();
        for number in 0..count {
            let rule = instance.marks.get(number);
            match specs.last_mut() {
                Some(last) if rule.pad == CONTINUES => last.ports.push((rule.first_port, rule.last_port)),
                _ => specs.push(view(&rule)),
            }
        }
        Ok(specs)
    }

    /// Adds a rule behind the others; the last one that fits decides.
    pub fn add_mark(&mut self, spec: &MarkSpec) -> Result<()> {
        let rules = rules(spec)?;
        let _lock = self.lock()?;
        let instance = self.instance_or_new()?;
        let (count, limit) = (instance.settings.get(0).mark_rules, instance.marks.len());
        if rules.len() as u32 > limit - count.min(limit) {
            return Err(Error::Full { what: "mark rule", limit });
        }
        for (number, rule) in (count..).zip(&rules) {
            instance.marks.set(number, rule);
        }
        instance.settings.edit(0, |s| s.mark_rules = count + rules.len() as u32);
        Ok(())
    }

    pub fn flush_marks(&mut self) -> Result<()> {
        let _lock = self.lock()?;
        if let Some(instance) = self.instance()? {
            instance.settings.edit(0, |s| s.mark_rules = 0);
        }
        Ok(())
    }
}

fn rules(spec: &MarkSpec) -> Result<Vec<MarkRule>> {
    if spec.mark == 0 {
        return Err(Error::Invalid("mark 0 is no mark; take a number from 1 to 4294967295".into()));
    }
    if !spec.ports.is_empty() && spec.protocol.is_none() {
        return Err(Error::Invalid("ports need a protocol (--proto tcp, udp or sctp)".into()));
    }
    let families: Vec<u8> =
        [spec.src, spec.dst].into_iter().flatten().map(|(a, _)| if a.is_ipv4() { 4 } else { 6 }).collect();
    if families.windows(2).any(|w| w[0] != w[1]) {
        return Err(Error::Invalid("source and destination are of different address families".into()));
    }
    let mut rule = MarkRule {
        mark: spec.mark,
        family: families.first().copied().unwrap_or(0),
        protocol: spec.protocol.map_or(0, Protocol::number),
        ..MarkRule::EMPTY
    };
    if let Some(net) = spec.src {
        (rule.src, rule.src_mask) = network(net)?;
    }
    if let Some(net) = spec.dst {
        (rule.dst, rule.dst_mask) = network(net)?;
    }
    let whole = [(0, u16::MAX)];
    let ports: &[(u16, u16)] = if spec.ports.is_empty() { &whole } else { &spec.ports };
    let mut rules = Vec::new();
    for (i, (first, last)) in ports.iter().enumerate() {
        if first > last {
            return Err(Error::Invalid(format!("port range {first}-{last} runs backwards")));
        }
        let pad = if i == 0 { 0 } else { CONTINUES };
        rules.push(MarkRule { first_port: *first, last_port: *last, pad, ..rule });
    }
    Ok(rules)
}

type Words = [rlvs_core::wire::Be32; 4];

/// A network's address and mask as the maps have them.
fn network((addr, len): (IpAddr, u8)) -> Result<(Words, Words)> {
    let bits = if addr.is_ipv4() { 32 } else { 128 };
    if len > bits {
        return Err(Error::Invalid(format!("{addr}/{len}: a prefix has at most {bits} bits")));
    }
    let mask: IpAddr = match addr {
        IpAddr::V4(_) => std::net::Ipv4Addr::from(u32::MAX.checked_shl(32 - len as u32).unwrap_or(0)).into(),
        IpAddr::V6(_) => {
            std::net::Ipv6Addr::from(u128::MAX.checked_shl(128 - len as u32).unwrap_or(0)).into()
        }
    };
    let (words, mask) = (super::convert::words(addr), super::convert::words(mask));
    let mut masked = words;
    for (word, m) in masked.iter_mut().zip(mask) {
        word.0 &= m.0;
    }
    Ok((masked, mask))
}

fn view(rule: &MarkRule) -> MarkSpec {
    let network = |addr: Words, mask: Words| {
        let len: u32 = mask.iter().map(|w| w.0.count_ones()).sum();
        (rule.family != 0 && len > 0).then(|| (super::convert::addr(addr, rule.family), len as u8))
    };
    let all = (rule.first_port, rule.last_port) == (0, u16::MAX);
    MarkSpec {
        mark: rule.mark,
        protocol: Protocol::from_number(rule.protocol),
        src: network(rule.src, rule.src_mask),
        dst: network(rule.dst, rule.dst_mask),
        ports: if all { Vec::new() } else { vec![(rule.first_port, rule.last_port)] },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_read_back_as_they_were_given() {
        let spec = MarkSpec {
            mark: 7,
            protocol: Some(Protocol::Tcp),
            src: Some(("172.16.0.0".parse().unwrap(), 12)),
            dst: None,
            ports: vec![(80, 80), (8000, 9000)],
        };
        let rules = rules(&spec).unwrap();
        assert_eq!(rules.len(), 2);
        let mut back = view(&rules[0]);
        back.ports.push((rules[1].first_port, rules[1].last_port));
        assert_eq!((back, rules[1].pad), (spec, CONTINUES));
    }

    #[test]
    fn nonsense_is_refused() {
        let none = MarkSpec { mark: 1, protocol: None, src: None, dst: None, ports: Vec::new() };
        let tcp = MarkSpec { protocol: Some(Protocol::Tcp), ..none.clone() };
        for bad in [
            MarkSpec { mark: 0, ..none.clone() },
            MarkSpec { ports: vec![(1, 1)], ..none.clone() },
            MarkSpec { ports: vec![(9, 1)], ..tcp },
            MarkSpec { src: Some(("1.2.3.4".parse().unwrap(), 33)), ..none },
        ] {
            assert!(rules(&bad).is_err(), "{bad:?}");
        }
    }
}
