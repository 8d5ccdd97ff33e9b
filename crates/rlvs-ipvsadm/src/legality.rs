//! What may be said together. The rules of each command stand in the table of [`crate::options`]; here they are
//! applied, and with them the few that a table of command by option cannot say.

use crate::errors::{Refusal, wrong_use};
use crate::options::{Filled, SLOTS, Slot, SlotRules, Verb};
use rlvs_control::model::{Method, Protocol, ServiceKey, TunnelKind};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Rule {
    Forbidden,
    Optional,
    Required,
    OneOf,
}

/// Whether the command takes every slot that is filled, and has every one that it needs.
pub fn check_command(verb: Verb, filled: Filled) -> Result<(), Refusal> {
    let place = format!("the '{}' command", verb.name());
    let rules = SLOTS.iter().map(|s| (s, command_rule(s, verb)));
    check(rules, filled, &place)?;
    if verb == Verb::List {
        check_list(filled)?;
    }
    Ok(())
}

fn command_rule(slot: &SlotRules, verb: Verb) -> Rule {
    if slot.required_by.contains(&verb) {
        Rule::Required
    } else if slot.optional_for.contains(&verb) {
        Rule::Optional
    } else if slot.one_of_for.contains(&verb) {
        Rule::OneOf
    } else {
        Rule::Forbidden
    }
}

/// The columns of services do not fit other listings.
fn check_list(filled: Filled) -> Result<(), Refusal> {
    let numbers = filled.has_any(&[Slot::Stats, Slot::Rate, Slot::Thresholds]);
    let no_services = filled.has_any(&[Slot::Timeout, Slot::Daemon]);
    let connections = filled.has(Slot::Connection);
    if numbers && (connections || no_services) || no_services && filled.has(Slot::PersistentConn) {
        return Err(wrong_use("options conflicts in the list command"));
    }
    Ok(())
}

/// Whether there is anything to hand on, and a connection to do it in.
pub fn check_proxy_protocol(method: Method, service: &ServiceKey, asked: bool) -> Result<(), Refusal> {
    let udp = matches!(service, ServiceKey::Address { protocol: Protocol::Udp | Protocol::Sctp, .. });
    if asked && (method != Method::FullNat || udp) {
        return Err(wrong_use("--proxy-protocol is for TCP with --fullnat"));
    }
    Ok(())
}

/// Whether the tunnel options fit the forwarding method and each other.
pub fn check_tunnel(method: Method, kind: TunnelKind, filled: Filled) -> Result<(), Refusal> {
    const TUNNEL_SLOTS: [Slot; 4] = [Slot::TunPort, Slot::TunNocsum, Slot::TunCsum, Slot::TunRemcsum];
    if method != Method::Tunnel {
        let any = filled.has(Slot::TunType) || filled.has_any(&TUNNEL_SLOTS);
        let text = "Tunnel options conflict with forward method";
        return if any { Err(wrong_use(text)) } else { Ok(()) };
    }
    let (name, rules) = match kind {
        TunnelKind::Ipip => ("ipip", [Rule::Forbidden; 4]),
        TunnelKind::Gue => ("gue", [Rule::Required, Rule::OneOf, Rule::OneOf, Rule::OneOf]),
        TunnelKind::Gre => ("gre", [Rule::Forbidden, Rule::OneOf, Rule::OneOf, Rule::Forbidden]),
    };
    let rules = SLOTS.iter().filter_map(|s| {
        let i = TUNNEL_SLOTS.iter().position(|t| *t == s.slot)?;
        Some((s, rules[i]))
    });
    check(rules, filled, &format!("the '{name}' tunnel type"))
}

fn check<'a>(
    rules: impl Iterator<Item = (&'a SlotRules, Rule)>,
    filled: Filled,
    place: &str,
) -> Result<(), Refusal> {
    let mut chosen: Option<&str> = None;
    for (SlotRules { slot, name, .. }, rule) in rules {
        match (rule, filled.has(*slot)) {
            (Rule::Required, false) => {
                let text = format!("You need to supply the '{name}' option for {place}");
                return Err(wrong_use(text));
            }
            (Rule::Forbidden, true) => {
                return Err(wrong_use(format!("Illegal '{name}' option with {place}")));
            }
            (Rule::OneOf, true) => match chosen.replace(name) {
                None => {}
                Some(other) => {
                    return Err(wrong_use(format!(
                        "The option '{name}' conflicts with the '{other}' option in {place}"
                    )));
                }
            },
            _ => {}
        }
    }
    Ok(())
}

/// A slot's name in error messages.
pub fn name_of(slot: Slot) -> &'static str {
    SLOTS.iter().find(|s| s.slot == slot).map_or("", |s| s.name)
}
