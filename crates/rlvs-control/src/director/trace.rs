//! Watching packets: what the programs tell while somebody asks.

use super::{Director, convert};
use crate::instance::Instance;
use crate::model::{Method, Protocol};
use crate::shared::Shared;
use crate::{Error, Result, bpffs, object};
use aya::maps::{Map, MapData, RingBuf};
use rlvs_core::maps::{TraceConfig, TraceEvent, trace_flag};
use rlvs_core::mem::Mem;
use rlvs_core::path::{Decision, DropReason, Verdict};
use rlvs_core::wire::icmp;
use serde::Serialize;
use std::io;
use std::mem::offset_of;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

/// Which packets to tell of.
#[derive(Clone, Debug, Default)]
pub struct TraceFilter {
    /// Only what was dropped, or answered with an error.
    pub drops: bool,
    pub protocol: Option<Protocol>,
    /// Source or destination.
    pub host: Option<IpAddr>,
    /// Source or destination; 0 for every port.
    pub port: u16,
    /// Every n-th packet that fits; 0 is taken as 1.
    pub one_in: u32,
    /// At most so many in a second.
    pub per_second: u32,
}

/// A packet and what was decided about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Traced {
    /// Since boot.
    pub monotonic_ns: u64,
    /// `xdp` or `tc`.
    pub layer: &'static str,
    pub from_ifindex: u32,
    pub protocol: u8,
    pub source: SocketAddr,
    pub destination: SocketAddr,
    /// Bytes of the IP packet.
    pub length_bytes: u16,
    pub tcp_flags: u8,
    pub ttl: u8,
    pub outcome: Outcome,
    /// Why, of a packet that was dropped or answered.
    pub reason: Option<&'static str>,
    /// ICMP type and code that its sender got.
    pub icmp: Option<(u8, u8)>,
    pub method: Option<Method>,
    /// The server; of a reply the address that it now comes from.
    pub to: Option<SocketAddr>,
    pub is_reply: bool,
    pub to_ifindex: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    Forwarded,
    Dropped,
    /// Dropped, and its sender got an ICMP error.
    Answered,
    /// To the local stack, as it came.
    Passed,
}

/// An open trace; it ends when this is dropped, or a few seconds after its owner was killed.
pub struct Trace {
    config: Shared<TraceConfig>,
    ring: RingBuf<MapData>,
    patience_jiffies: u32,
    clock: Instance,
    _only_one: OwnedFd,
}

impl Director {
    /// Begins to watch. There can be one watcher in a network namespace.
    pub fn trace(&mut self, filter: &TraceFilter) -> Result<Trace> {
        if !self.place.exists() {
            return Err(Error::Invalid(
                "nothing to trace: there are no rules in this network namespace yet".into(),
            ));
        }
        let clock = self.place.open()?;
        let busy =
            || Error::Invalid("another trace is running in this network namespace; end that first".into());
        let only_one = bpffs::try_lock(&clock.dir.join("links")).ok_or_else(busy)?;
        let config = Shared::<TraceConfig>::map(&object::open_map(&clock.dir, "TRACE")?, "TRACE")?;
        let ring = Map::RingBuf(object::open_map(&clock.dir, "EVENTS")?);
        let ring = RingBuf::try_from(ring)
            .map_err(|e| Error::system("opening the ring of packets", io::Error::other(object::chain(&e))))?;
        let mut trace =
            Trace { config, ring, patience_jiffies: clock.hz.saturating_mul(3), clock, _only_one: only_one };
        while trace.ring.next().is_some() {} // of an earlier one
        trace.begin(filter)?;
        Ok(trace)
    }
}

impl Trace {
    fn begin(&mut self, filter: &TraceFilter) -> Result<()> {
        let host = filter.host.map(|h| h.to_canonical());
        let family = match host {
            Some(IpAddr::V4(_)) => 4,
            Some(IpAddr::V6(_)) => 6,
            None => 0,
        };
        let config = TraceConfig {
            flags: if filter.drops { trace_flag::DROPS } else { 0 },
            one_in: filter.one_in.max(1),
            per_second: filter.per_second,
            family,
            protocol: filter.protocol.map_or(0, |p| p.number()),
            port: filter.port,
            host: host.map_or_else(|| TraceConfig::OFF.host, convert::words),
            ..TraceConfig::OFF
        };
        self.config.set(0, &config);
        self.stay()
    }

    /// Puts the end off.
    fn stay(&self) -> Result<()> {
        // 0 would mean that nobody traces.
        let until = self.clock.now()?.wrapping_add(self.patience_jiffies).max(1);
        self.config.words(0).store(offset_of!(TraceConfig, until) / 4, until);
        Ok(())
    }

    /// The packets told since; waits for the first of them, but not longer than `limit` (at most a second).
    pub fn next(&mut self, limit: Duration) -> Result<Vec<Traced>> {
        self.stay()?;
        let mut poll = libc::pollfd { fd: self.ring.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        let millis = limit.min(Duration::from_secs(1)).as_millis() as libc::c_int;
        // SAFETY: one descriptor that lives over the call.
        if unsafe { libc::poll(&mut poll, 1, millis) } < 0 {
            let e = io::Error::last_os_error();
            if e.kind() != io::ErrorKind::Interrupted {
                return Err(Error::system("waiting for packets", e));
            }
        }
        let mut list = Vec::new();
        while let Some(bytes) = self.ring.next() {
            if bytes.len() >= size_of::<TraceEvent>() {
                // SAFETY: as many bytes, and any bit pattern is a value.
                list.push(traced(&unsafe { bytes.as_ptr().cast::<TraceEvent>().read_unaligned() }));
            }
        }
        Ok(list)
    }

    /// Packets that were wanted and are not told: too many in a second, or read too slowly.
    pub fn lost(&self) -> u32 {
        self.config.get(0).lost
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        self.config.words(0).store(offset_of!(TraceConfig, until) / 4, 0);
    }
}

fn traced(e: &TraceEvent) -> Traced {
    let (outcome, reason, icmp) = outcome(Decision(e.decision), e.family);
    let has_server = e.method != u8::MAX;
    Traced {
        monotonic_ns: e.at_ns,
        layer: if e.layer == 0 { "xdp" } else { "tc" },
        from_ifindex: e.from_if,
        protocol: e.protocol,
        source: SocketAddr::new(convert::addr(e.src, e.family), e.sport.get()),
        destination: SocketAddr::new(convert::addr(e.dst, e.family), e.dport.get()),
        length_bytes: e.len,
        tcp_flags: e.tcp_flags,
        ttl: e.ttl,
        outcome,
        reason: reason.map(DropReason::word),
        icmp,
        method: has_server.then(|| convert::method_view(e.method)),
        to: has_server.then(|| SocketAddr::new(convert::addr(e.to, e.to_family), e.to_port.get())),
        is_reply: e.is_reply != 0,
        to_ifindex: (e.to_if != 0).then_some(e.to_if),
    }
}

fn outcome(decision: Decision, family: u8) -> (Outcome, Option<DropReason>, Option<(u8, u8)>) {
    let numbers = |e: icmp::Error| if family == 4 { e.kind_and_code() } else { e.kind_and_code6() };
    match decision.verdict() {
        Verdict::Forward | Verdict::Split => (Outcome::Forwarded, None, None),
        Verdict::Drop(reason) => (Outcome::Dropped, Some(reason), None),
        Verdict::Answer(error, reason) => (Outcome::Answered, Some(reason), Some(numbers(error))),
        Verdict::Pass | Verdict::Up => (Outcome::Passed, None, None),
    }
}
