//! How much of its usual share a server can take, in percent: the least of what each of its resources leaves.
//!
//! | resource | leaves | |
//! |---|---|---|
//! | processors | 1 / (1 + q / cores) | q: tasks that run or wait to run, averaged |
//! | memory | available / (low × total), at most 1 | low: the part that should stay available |
//! | connections | 1 - connections / most, at least 0 | only if `most` is given |
//!
//! and at least 1 %: to take nothing is an order ([`Forced`](super::Forced)), not a measurement. With q tasks on one core each
//! gets 1/q of its speed, and one more would get 1 / (1 + q): that is what the first row says. For a server that shares
//! its speed among random requests its mean is the idle part of its time; under overload it goes on telling more from most.

use serde::Serialize;

/// What the machine says.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sample {
    pub cores: u32,
    /// Tasks that run or wait for a processor, averaged; without the agent itself.
    pub run_queue_tasks: f64,
    pub load_average_1m_tasks: f64,
    pub load_average_5m_tasks: f64,
    pub load_average_15m_tasks: f64,
    pub memory_total_bytes: u64,
    pub memory_available_bytes: u64,
    /// TCP sockets in use.
    pub tcp_connections: u64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// Of the memory, what should stay available: below it the answer falls. 0: memory does not count.
    pub memory_low_percent: u8,
    /// None: connections do not count.
    pub most_connections: Option<u64>,
    /// The load average of a minute instead of the run queue of the last seconds.
    pub by_load_average: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options { memory_low_percent: 10, most_connections: None, by_load_average: false }
    }
}

pub fn percent(sample: &Sample, options: &Options) -> u8 {
    let queue = if options.by_load_average { sample.load_average_1m_tasks } else { sample.run_queue_tasks };
    let processors = 1.0 / (1.0 + queue.max(0.0) / f64::from(sample.cores.max(1)));
    let low = sample.memory_total_bytes as f64 * f64::from(options.memory_low_percent) / 100.0;
    let memory = if low > 0.0 { sample.memory_available_bytes as f64 / low } else { 1.0 };
    let connections = match options.most_connections {
        Some(most) => 1.0 - sample.tcp_connections as f64 / most.max(1) as f64,
        None => 1.0,
    };
    let least = processors.min(memory).min(connections);
    (least * 100.0).round().clamp(1.0, 100.0) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows() {
        let idle = Sample {
            cores: 4,
            run_queue_tasks: 0.0,
            load_average_1m_tasks: 12.0,
            load_average_5m_tasks: 0.0,
            load_average_15m_tasks: 0.0,
            memory_total_bytes: 1000,
            memory_available_bytes: 500,
            tcp_connections: 30,
        };
        let plain = Options::default();
        let rows = [
            ("idle", idle.clone(), plain, 100),
            ("a task for each core", Sample { run_queue_tasks: 4.0, ..idle.clone() }, plain, 50),
            ("overloaded", Sample { run_queue_tasks: 36.0, ..idle.clone() }, plain, 10),
            ("hopelessly", Sample { run_queue_tasks: 1e6, ..idle.clone() }, plain, 1),
            ("by the load average", idle.clone(), Options { by_load_average: true, ..plain }, 25),
            (
                "half of the memory that should be left",
                Sample { memory_available_bytes: 50, ..idle.clone() },
                plain,
                50,
            ),
            (
                "memory does not count",
                Sample { memory_available_bytes: 0, ..idle.clone() },
                Options { memory_low_percent: 0, ..plain },
                100,
            ),
            ("connections", idle.clone(), Options { most_connections: Some(40), ..plain }, 25),
            ("more than there should be", idle.clone(), Options { most_connections: Some(10), ..plain }, 1),
            ("a machine that says nothing", Sample { cores: 0, memory_total_bytes: 0, ..idle }, plain, 100),
        ];
        for (sentence, sample, options, wanted) in rows {
            assert_eq!(percent(&sample, &options), wanted, "{sentence}");
        }
    }
}
