//! The load: who opens connections when, to which address, and how much work each is. Drawn from a seed, and the same for
//! every scheduler, so that their results can be compared.
//!
//! Arrivals are a Poisson process. A Pareto service time has the shape 1.5: few connections are most of the work, as
//! with files in the web. Clients and addresses are equally likely, or the one of rank *k* in proportion to 1 / *k*^S (Zipf).

use super::Scenario;
use super::director::Flow;
use rlvs_core::wire::Be32;
use std::collections::HashSet;

/// SplitMix64 (Vigna, public domain): the state moves by this.
pub const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

pub fn mix(mut x: u64) -> u64 {
    x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}

#[derive(Clone, Copy, PartialEq, Debug)]
pub enum ServiceTime {
    Exponential,
    Fixed,
    Pareto,
}

const PARETO_SHAPE: f64 = 1.5;
/// Below this a service time would be no more than rounding.
const LEAST_WORK_NANOS: u64 = 1000;

/// A connection to come.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    pub at: u64,
    /// Number of the client.
    pub client: u32,
    pub flow: Flow,
    /// Nanoseconds on an idle server of speed 1.
    pub work: u64,
}

pub struct Load<'s> {
    scenario: &'s Scenario,
    random: u64,
    at: u64,
    clients: Vec<Client>,
    client_ranks: Ranks,
    address_ranks: Ranks,
}

struct Client {
    addr: Be32,
    port: u16,
}

impl Load<'_> {
    pub fn new(scenario: &Scenario) -> Load<'_> {
        let mut load = Load {
            scenario,
            random: mix(scenario.seed),
            at: 0,
            clients: Vec::new(),
            client_ranks: Ranks::new(scenario.clients, scenario.zipf),
            address_ranks: Ranks::new(scenario.addresses, scenario.zipf),
        };
        let mut taken = HashSet::new();
        while load.clients.len() < scenario.clients as usize {
            let addr = load.number() as u32;
            // From the whole Internet, but not from our own network.
            if addr >> 24 > 10 && addr >> 24 < 224 && taken.insert(addr) {
                load.clients.push(Client { addr: Be32::new(addr), port: 1023 });
            }
        }
        load
    }

    fn number(&mut self) -> u64 {
        self.random = self.random.wrapping_add(STEP);
        mix(self.random)
    }

    /// In (0, 1].
    fn uniform(&mut self) -> f64 {
        ((self.number() >> 11) + 1) as f64 / (1u64 << 53) as f64
    }

    /// Logarithms and powers may differ in their last bit from machine to machine; whole nanoseconds do not.
    fn work(&mut self) -> u64 {
        let mean = self.scenario.mean_work_nanos as f64;
        let uniform = self.uniform();
        let nanos = match self.scenario.service_time {
            ServiceTime::Fixed => mean,
            ServiceTime::Exponential => -uniform.ln() * mean,
            ServiceTime::Pareto => {
                mean * (PARETO_SHAPE - 1.0) / PARETO_SHAPE * uniform.powf(-1.0 / PARETO_SHAPE)
            }
        };
        (nanos.round() as u64).max(LEAST_WORK_NANOS)
    }
}

impl Iterator for Load<'_> {
    type Item = Arrival;

    /// There is always a next one.
    fn next(&mut self) -> Option<Arrival> {
        let gap = -self.uniform().ln() * 1e9 / self.scenario.rate;
        self.at += (gap.round() as u64).max(1);
        let (u, v) = (self.uniform(), self.uniform());
        let (client, address) = (self.client_ranks.at(u), self.address_ranks.at(v));
        let work = self.work();
        let from = &mut self.clients[client as usize];
        from.port = from.port.checked_add(1).unwrap_or(1024);
        let flow = Flow { client: from.addr, port: from.port, address };
        Some(Arrival { at: self.at, client, flow, work })
    }
}

/// Ranks, the most popular first.
struct Ranks {
    /// Sums of their parts.
    sums: Vec<f64>,
}

impl Ranks {
    fn new(count: u32, exponent: f64) -> Ranks {
        let mut sum = 0.0;
        let parts = (1..=count).map(|rank| f64::from(rank).powf(-exponent));
        Ranks {
            sums: parts
                .map(|part| {
                    sum += part;
                    sum
                })
                .collect(),
        }
    }

    /// The rank for a number in (0, 1].
    fn at(&self, uniform: f64) -> u32 {
        let all = self.sums.last().copied().unwrap_or(0.0);
        let rank = self.sums.partition_point(|sum| *sum < uniform * all);
        rank.min(self.sums.len().saturating_sub(1)) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean_work(service_time: ServiceTime) -> f64 {
        let scenario = Scenario { service_time, mean_work_nanos: 1_000_000, ..Scenario::example() };
        let n = 200_000;
        Load::new(&scenario).take(n).map(|a| a.work as f64).sum::<f64>() / n as f64 / 1e6
    }

    #[test]
    fn loads_are_what_was_asked_for() {
        assert_eq!(mean_work(ServiceTime::Fixed), 1.0);
        assert!((mean_work(ServiceTime::Exponential) - 1.0).abs() < 0.02);
        // Its variance is infinite: the mean comes slowly.
        assert!((mean_work(ServiceTime::Pareto) - 1.0).abs() < 0.3);
        let scenario = Scenario { rate: 500.0, ..Scenario::example() };
        let last = Load::new(&scenario).nth(49_999).unwrap();
        assert!((last.at as f64 / 1e9 - 100.0).abs() < 2.0, "{last:?}");
    }

    #[test]
    fn ranks_follow_zipf() {
        let scenario = Scenario { clients: 100, zipf: 1.0, ..Scenario::example() };
        let mut counts = [0; 100];
        Load::new(&scenario).take(100_000).for_each(|a| counts[a.client as usize] += 1);
        // The harmonic number of 100 is 5.187.
        assert!((counts[0] as f64 / 100_000.0 - 1.0 / 5.187).abs() < 0.01, "{counts:?}");
        assert!((counts[9] as f64 / 100_000.0 - 0.1 / 5.187).abs() < 0.005, "{counts:?}");
    }
}
