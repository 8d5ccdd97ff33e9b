//! What is measured: methods, directions, sizes of the table.

use crate::net::Net;
use crate::stage::{self, Stage};
use crate::wrapper::{Flows, Layer, Packet};
use crate::{Result, net};
use rlvs_control::model::Method;
use rlvs_core::wire::tcp_flags::{ACK, SYN};
use serde::Serialize;

const TABLES: [u32; 3] = [1 << 10, 1 << 16, 1 << 20];
/// A slice in which more than this was passed up met the second at which packets have to go up, and is repeated.
const FORWARDED: f64 = 0.98;
const TRIES: usize = 20;
/// Of each scheduler: with so many servers the time of a new connection is measured.
const MANY: [u16; 4] = [1, 10, 100, net::MOST_SERVERS];
pub const SCHEDULERS: [&str; 9] = ["rr", "lc", "wlc", "sed", "nq", "lblc", "lblcr", "sh", "mh"];

pub struct Case {
    name: &'static str,
    method: Method,
    is_reply: bool,
    layers: &'static [Layer],
}

/// Replies are measured with one server: which one a flow has is the scheduler's secret.
///
/// No tunnel in TC: the kernel marks the packet as encapsulated, nothing takes that mark off again, and the second time
/// around it refuses.
pub const CASES: [Case; 4] = [
    Case { name: "DR", method: Method::DirectRoute, is_reply: false, layers: &Layer::BOTH },
    Case { name: "NAT request", method: Method::Masquerade, is_reply: false, layers: &Layer::BOTH },
    Case { name: "NAT reply", method: Method::Masquerade, is_reply: true, layers: &Layer::BOTH },
    Case { name: "TUN", method: Method::Tunnel, is_reply: false, layers: &[Layer::Xdp] },
];

/// One line of the result.
#[derive(Clone, Serialize)]
pub struct Row {
    pub case: &'static str,
    pub layer: &'static str,
    pub servers: u16,
    /// 0: each packet opens a new connection.
    pub connections: u32,
    /// Medians over the rounds, nanoseconds per packet: the wrapper with an empty program, what the program takes more,
    /// and the least that was seen.
    pub empty_ns: f64,
    pub net_ns: f64,
    pub least_net_ns: f64,
    /// Net over empty.
    pub ratio: f64,
    /// Of the packets in the worst slice; the others went up to the next layer.
    pub forwarded: f64,
    /// Slices that were repeated.
    pub repeated: usize,
}

pub fn measure(case: &Case, net: &Net, rounds: usize) -> Result<Vec<Row>> {
    let servers = if case.is_reply { 1 } else { net::SERVERS };
    let what = |layer| What { name: case.name, layer, servers };
    let mut rows = Vec::new();
    let packet = if case.is_reply { stage::reply() } else { stage::request(ACK) };
    let mut stage = Stage::new("rr", case.method, servers, net)?;
    for flows in TABLES {
        stage.fill(flows)?;
        let order = |n| Flows::Shuffled(flows, n);
        for layer in case.layers {
            rows.push(row(what(*layer), flows, &mut stage, &packet, order, rounds)?);
        }
    }
    drop(stage);
    if !case.is_reply {
        for layer in case.layers {
            let mut stage = Stage::new("rr", case.method, servers, net)?;
            rows.push(row(what(*layer), 0, &mut stage, &stage::request(SYN), Flows::Fresh, rounds)?);
        }
    }
    Ok(rows)
}

/// A new connection by a scheduler, by TC: there every packet is finished, while XDP would have one packet for each of many
/// servers go up every second.
pub fn measure_scheduler(scheduler: &'static str, net: &Net, rounds: usize) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for servers in MANY {
        let mut stage = Stage::new(scheduler, Method::DirectRoute, servers, net)?;
        let what = What { name: scheduler, layer: Layer::Tc, servers };
        rows.push(row(what, 0, &mut stage, &stage::request(SYN), Flows::Fresh, rounds)?);
    }
    Ok(rows)
}

/// What a row is about.
struct What {
    name: &'static str,
    layer: Layer,
    servers: u16,
}

/// The median over the rounds; each round is a slice of the empty program and one of ours, right after another.
fn row(
    What { name, layer, servers }: What,
    connections: u32,
    stage: &mut Stage,
    packet: &Packet,
    flows: impl Fn(u64) -> Flows,
    rounds: usize,
) -> Result<Row> {
    // Where each packet walks over all servers, fewer of them.
    let count = if servers > 100 { stage::SLICE / 10 } else { stage::SLICE };
    let (mut empty, mut net) = (Vec::new(), Vec::new());
    let (mut worst, mut repeated, mut at) = (1.0f64, 0, 0u64);
    // The first round warms up.
    while net.len() < rounds + 1 {
        at += 1 << 17;
        let nothing = stage.empty(layer, packet, flows(at))?;
        let slice = stage.slice(layer, packet, flows(at), count)?;
        if slice.forwarded < FORWARDED {
            repeated += 1;
            if repeated > TRIES * rounds {
                let (word, share) = (layer.word(), slice.forwarded * 100.0);
                return Err(
                    format!("{name} in {word}: only {share:.1} % of the packets were forwarded").into()
                );
            }
            continue;
        }
        worst = worst.min(slice.forwarded);
        empty.push(nothing);
        net.push(slice.nanos - nothing);
    }
    let (empty_ns, net_ns) = (median(&mut empty[1..]), median(&mut net[1..]));
    Ok(Row {
        case: name,
        layer: layer.word(),
        servers,
        connections,
        empty_ns,
        net_ns,
        least_net_ns: net[1],
        ratio: net_ns / empty_ns,
        forwarded: worst,
        repeated,
    })
}

/// Sorts.
fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
