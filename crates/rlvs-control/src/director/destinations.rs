//! Destinations: the list of a service, and those kept aside.
//!
//! A service's list goes from the one added last to the oldest, through `DestConfig::next`. A new one is written whole
//! before the service points to it; one that leaves keeps its own pointer, so that a processor standing on it finds
//! the way on.
//!
//! A deleted destination is kept aside while connections point to it, and two minutes longer; added again in that
//! time it gets its connections and counters back, as in IPVS.

use super::counters::SERVICE_WORD;
use super::{buckets, convert, counters, filter, repair, route, services};
use crate::instance::Instance;
use crate::model::*;
use crate::{Error, Result};
use rlvs_core::maps::command::op;
use rlvs_core::maps::sysctl::Setting;
use rlvs_core::maps::{DestConfig, NONE, dest_flag, dest_state, service_flag};
use rlvs_core::mem::Mem;
use rlvs_core::sched::{Scheduler, mh};
use rlvs_core::wire::ip_proto;
use std::net::{IpAddr, Ipv4Addr};

/// How long a deleted destination without connections is kept (Linux 6.1, `IP_VS_DEST_TRASH_PERIOD`).
const KEPT_SECS: u32 = 120;

/// The destinations of a service, the newest first.
pub fn ids(instance: &Instance, service: u32) -> Vec<u32> {
    let mut list = Vec::new();
    let mut id = instance.service.get(service).first;
    while id < instance.dest.len() && list.len() < instance.dest.len() as usize {
        list.push(id);
        id = instance.dest.get(id).next;
    }
    list
}

pub fn list(instance: &Instance, service: u32) -> Vec<DestinationView> {
    ids(instance, service).into_iter().map(|id| view(instance, id)).collect()
}

fn view(instance: &Instance, id: u32) -> DestinationView {
    let config = instance.dest.get(id);
    let state = instance.dest_state.words(id);
    DestinationView {
        destination: Destination {
            addr: convert::addr(config.addr, config.family),
            port: config.port.get(),
            method: convert::method_view(config.method),
            weight: config.weight,
            upper_threshold: config.upper_threshold,
            lower_threshold: config.lower_threshold,
            tunnel: convert::tunnel_view(&config),
            proxy_protocol: config.hands_on(),
        },
        active_connections: state.load(dest_state::ACTIVE),
        inactive_connections: state.load(dest_state::INACTIVE),
        persistent_connections: state.load(dest_state::PERSISTENT),
        counters: counters::of_destination(instance, id),
        rates: counters::rates_of_destination(instance, id),
    }
}

fn find(instance: &Instance, service: u32, addr: IpAddr, port: u16) -> Option<u32> {
    ids(instance, service).into_iter().find(|id| is_it(&instance.dest.get(*id), addr, port))
}

fn is_it(config: &DestConfig, addr: IpAddr, port: u16) -> bool {
    convert::addr(config.addr, config.family) == addr && config.port.get() == port
}

pub fn add(instance: &Instance, service: u32, destination: &Destination) -> Result<()> {
    check(instance, service, destination)?;
    if find(instance, service, destination.addr, destination.port).is_some() {
        return Err(Error::DestinationExists);
    }
    buckets::ready(instance, service)?;
    let (id, mut config) = slot(instance, service, destination)?;
    let service_config = instance.service.get(service);
    describe(instance, &mut config, destination);
    config.last_weight = destination.weight;
    config.service = service;
    config.service_key = service_config.key;
    config.flags |= dest_flag::IN_USE | dest_flag::AVAILABLE;
    config.next = service_config.first;
    config.deleted_at = 0;
    instance.dest.set(id, &config);
    instance.command(op::THRESHOLDS_CHANGED, service, id, 0)?;
    filter::add_destination(instance, &config);
    instance.service.edit(service, |s| s.first = id);
    weights_changed(instance, service)
}

pub fn edit(instance: &Instance, service: u32, destination: &Destination) -> Result<()> {
    check(instance, service, destination)?;
    let id = find(instance, service, destination.addr, destination.port).ok_or(Error::NoSuchDestination)?;
    buckets::ready(instance, service)?;
    instance.dest.edit(id, |config| {
        describe(instance, config, destination);
        if destination.weight != 0 {
            config.last_weight = destination.weight;
        }
    });
    instance.command(op::THRESHOLDS_CHANGED, service, id, 0)?;
    filter::add_destination(instance, &instance.dest.get(id));
    weights_changed(instance, service)
}

pub fn delete(instance: &Instance, service: u32, addr: IpAddr, port: u16) -> Result<()> {
    let list = ids(instance, service);
    let at = list
        .iter()
        .position(|id| is_it(&instance.dest.get(*id), addr, port))
        .ok_or(Error::NoSuchDestination)?;
    let (id, previous) = (list[at], at.checked_sub(1).map_or(NONE, |i| list[i]));
    let next = instance.dest.get(id).next;
    buckets::ready(instance, service)?;
    match previous {
        NONE => instance.service.edit(service, |s| s.first = next),
        previous => instance.dest.edit(previous, |d| d.next = next),
    }
    buckets::fill(instance, service)?;
    set_aside(instance, id);
    weights_noted(instance, service);
    instance.command(op::DEST_REMOVED, service, id, previous)?;
    end_connections(instance)
}

/// It takes no connection any more, and is in no list.
pub fn set_aside(instance: &Instance, id: u32) {
    instance.dest.edit(id, |d| {
        d.flags &= !dest_flag::AVAILABLE;
        d.deleted_at = seconds_since_boot();
    });
}

/// With `expire_nodest_conn` the connections of deleted servers end now.
pub fn end_connections(instance: &Instance) -> Result<()> {
    if instance.settings.get(0).sysctl(Setting::ExpireNodestConn) != 0 {
        instance.command(op::SWEEP, NONE, NONE, 0)?;
    }
    Ok(())
}

/// Ends the connections of a destination of weight 0. Only programs close connections, and at one order only those of deleted
/// servers (`expire_nodest_conn`): so it counts as deleted while the table is swept, which takes milliseconds. A datagram that
/// comes in this time is lost.
pub fn expire_connections(instance: &Instance, service: u32, addr: IpAddr, port: u16) -> Result<()> {
    let id = find(instance, service, addr, port).ok_or(Error::NoSuchDestination)?;
    let weight = instance.dest.get(id).weight;
    if weight != 0 {
        let why =
            format!("the real server's weight is {weight}: it must be 0 before its connections are ended");
        return Err(Error::Invalid(why));
    }
    let at_once = instance.settings.get(0).sysctl(Setting::ExpireNodestConn);
    if at_once == 0 {
        refuse_to_end_others(instance)?;
        repair::expires(instance);
    }
    let set_at_once =
        |value| instance.settings.edit(0, |s| s.sysctl[Setting::ExpireNodestConn as usize] = value);
    instance.dest.edit(id, |d| d.flags &= !dest_flag::AVAILABLE);
    set_at_once(1);
    let swept = instance.command(op::SWEEP, NONE, NONE, 0);
    set_at_once(at_once);
    instance.dest.edit(id, |d| d.flags |= dest_flag::AVAILABLE);
    swept.map(|_| ())
}

/// Connections of servers that were deleted wait for them to come back, unless the operator said otherwise.
fn refuse_to_end_others(instance: &Instance) -> Result<()> {
    for id in instance.dest_slots() {
        let config = instance.dest.get(id);
        let is_aside = config.flags & dest_flag::IN_USE != 0 && !config.is_available();
        let connections = instance.dest_state.words(id).load(dest_state::TOTAL) & !dest_state::OVERLOADED;
        if is_aside && connections != 0 {
            let server =
                std::net::SocketAddr::new(convert::addr(config.addr, config.family), config.port.get());
            return Err(Error::Invalid(format!(
                "the {connections} connections of the deleted real server {server} would end, too; wait until they are gone, \
                 or say so with `rlvs sysctl expire_nodest_conn=1`"
            )));
        }
    }
    Ok(())
}

/// The service goes: its destinations belong to nobody until they are added again.
pub fn orphan_all(instance: &Instance, service: u32) -> Result<()> {
    for id in ids(instance, service) {
        set_aside(instance, id);
    }
    for id in instance.dest_slots() {
        if instance.dest.words(id).load(SERVICE_WORD) == service {
            instance.dest.edit(id, |d| d.service = NONE);
        }
    }
    end_connections(instance)
}

/// What the kernel refuses with EINVAL or ERANGE, and what is not there yet.
fn check(instance: &Instance, service: u32, d: &Destination) -> Result<()> {
    let unicast = match d.addr {
        IpAddr::V4(a) => !a.is_multicast() && !a.is_unspecified() && a != Ipv4Addr::BROADCAST,
        IpAddr::V6(a) => !a.is_multicast() && !a.is_unspecified(),
    };
    if !unicast {
        return Err(Error::Invalid(format!("the real server's address {} is not unicast", d.addr)));
    }
    if let IpAddr::V6(a) = d.addr
        && a.is_unicast_link_local()
    {
        let why = format!("the real server's address {a} is link-local: it does not say on which link");
        return Err(Error::Invalid(why));
    }
    if d.lower_threshold > d.upper_threshold {
        let what =
            format!("lower threshold {} above upper threshold {}", d.lower_threshold, d.upper_threshold);
        return Err(Error::OutOfRange(what));
    }
    let service_family = convert::key_view(&instance.service.get(service).key).family();
    if Family::of(d.addr) != service_family && d.method != Method::Tunnel {
        return Err(Error::Invalid("different address family is allowed only for tunneling servers".into()));
    }
    let (config, settings) = (instance.service.get(service), instance.settings.get(0));
    let key = config.key;
    let never_tcp = matches!(key.protocol, ip_proto::UDP | ip_proto::SCTP);
    if d.proxy_protocol && (d.method != Method::FullNat || never_tcp) {
        let why = "--proxy-protocol is for TCP with --fullnat: with other methods the server sees the client's address anyway";
        return Err(Error::Invalid(why.into()));
    }
    if d.method == Method::FullNat {
        if config.has(service_flag::ONE_PACKET) {
            let why =
                "a service with one-packet scheduling (-o) keeps no connections, and --fullnat needs them";
            return Err(Error::Invalid(why.into()));
        }
        if route::source_towards(d.addr, |_| false).is_none()
            && settings.sources_of(if d.addr.is_ipv4() { 4 } else { 6 }).1 == 0
        {
            return Err(Error::Invalid(format!(
                "no route to {}, so no source address for --fullnat; give one with `rlvs source add ADDRESS`",
                d.addr
            )));
        }
    }
    if config.scheduler == Scheduler::Mh as u8 && config.dest_count as usize >= mh::BUCKETS {
        return Err(Error::Invalid(format!("scheduler mh takes at most {} real servers", mh::BUCKETS)));
    }
    if d.method == Method::Tunnel && d.tunnel.kind == TunnelKind::Gue && d.tunnel.port == 0 {
        return Err(Error::Invalid("a GUE tunnel needs the real server's UDP port (--tun-port)".into()));
    }
    Ok(())
}

fn describe(instance: &Instance, config: &mut DestConfig, d: &Destination) {
    config.addr = convert::words(d.addr);
    config.port = rlvs_core::wire::Be16::new(d.port);
    config.family = if d.addr.is_ipv4() { 4 } else { 6 };
    config.method = convert::method(d.method);
    config.weight = d.weight;
    config.flags &= !(dest_flag::HANDS_ON | dest_flag::REMOTE);
    if d.proxy_protocol {
        config.flags |= dest_flag::HANDS_ON;
    }
    config.upper_threshold = d.upper_threshold;
    config.lower_threshold = d.lower_threshold;
    config.low_mark = match d.lower_threshold {
        0 => d.upper_threshold - (d.upper_threshold >> 2),
        low => low,
    };
    config.tunnel_kind = convert::tunnel_kind(d.tunnel.kind);
    config.tunnel_port = rlvs_core::wire::Be16::new(d.tunnel.port);
    config.tunnel_checksum = convert::tunnel_checksum(d.tunnel.checksum);
    let is_virtual = |addr| filter::may_be_virtual(instance, addr) && services::has_address(instance, addr);
    if matches!(d.method, Method::Tunnel | Method::FullNat)
        && let Some(source) = route::source_towards(d.addr, is_virtual)
    {
        config.tunnel_src = convert::words(source);
    }
    if route::leads_away(d.addr) == Some(true) {
        config.flags |= dest_flag::REMOTE;
    }
    if let Some(way) = route::hint_towards(d.addr) {
        config.hint_ifindex = way.ifindex;
        config.hint_via = convert::words(way.via);
        config.hint_mtu = way.mtu;
    }
}

/// The word of a `DestConfig` with its flags, and what they are in a slot that is configured.
const FLAGS_WORD: usize = std::mem::offset_of!(DestConfig, flags) / 4;
const USED: u32 = dest_flag::IN_USE | dest_flag::AVAILABLE;

/// The slot this destination had before, or a free one (zeroed).
fn slot(instance: &Instance, service: u32, d: &Destination) -> Result<(u32, DestConfig)> {
    let key = instance.service.get(service).key;
    let now = seconds_since_boot();
    let mut free = None;
    let slots = instance.dest_slots();
    for id in slots.clone() {
        if instance.dest.words(id).load(FLAGS_WORD) & USED == USED {
            continue;
        }
        let mut config = instance.dest.get(id);
        let kept_aside = config.flags & dest_flag::IN_USE != 0 && !config.is_available();
        let expired = kept_aside && is_idle(instance, id) && now.wrapping_sub(config.deleted_at) > KEPT_SECS;
        if config.flags & dest_flag::IN_USE == 0 || expired {
            free = free.or(Some((id, expired)));
        } else if kept_aside && config.service_key == key && is_it(&config, d.addr, d.port) {
            if config.service != service {
                config.zeroed = counters::adopt(instance, service, id)?;
            }
            return Ok((id, config));
        }
    }
    let limit = instance.dest.len();
    let fresh = (slots.end < limit).then_some((slots.end, false));
    let (id, used) = free.or(fresh).ok_or(Error::Full { what: "destination", limit })?;
    instance.settings.edit(0, |s| s.dest_slots = slots.end.max(id + 1));
    if used {
        counters::carry_destination(instance, id);
    }
    instance.dest.set(id, &DestConfig::EMPTY);
    instance.command(op::RESET_DEST, NONE, id, 0)?;
    Ok((id, DestConfig::EMPTY))
}

/// No connection, template or mapping points to it.
fn is_idle(instance: &Instance, id: u32) -> bool {
    let state = instance.dest_state.words(id);
    state.load(dest_state::TOTAL) & !dest_state::OVERLOADED == 0
        && state.load(dest_state::PERSISTENT) == 0
        && state.load(dest_state::MAPPINGS) == 0
}

/// The scheduler learns of new weights.
pub fn weights_changed(instance: &Instance, service: u32) -> Result<()> {
    weights_noted(instance, service);
    buckets::fill(instance, service)?;
    instance.command(op::DESTS_CHANGED, service, NONE, 0)?;
    Ok(())
}

fn weights_noted(instance: &Instance, service: u32) {
    let weights: Vec<u32> = ids(instance, service).iter().map(|id| instance.dest.get(*id).weight).collect();
    let gcd = weights.iter().filter(|w| **w > 0).fold(0, |a, b| gcd(a, *b));
    instance.service.edit(service, |s| {
        s.max_weight = weights.iter().copied().max().unwrap_or(0);
        s.gcd_weight = gcd.max(1);
        s.dest_count = weights.len() as u32;
    });
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

fn seconds_since_boot() -> u32 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a timespec that lives over the call.
    unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &mut now) };
    now.tv_sec as u32 | 1
}
