//! What this machine says of itself, in /proc. What cannot be read counts as nothing.

use super::Sample;
use std::fs;
use std::time::Duration;

/// How often the run queue is looked at: it changes faster than anybody asks.
pub const EVERY: Duration = Duration::from_millis(250);

/// The run queue, averaged over the last seconds.
pub struct RunQueue {
    tasks: Option<f64>,
    part: f64,
}

impl RunQueue {
    /// `over`: the time constant of the average.
    pub fn new(over: Duration) -> RunQueue {
        let part = 1.0 - (-EVERY.as_secs_f64() / over.as_secs_f64().max(1e-3)).exp();
        RunQueue { tasks: None, part }
    }

    /// To be called [`EVERY`] so often.
    pub fn look(&mut self) {
        self.note(running(&read("/proc/stat")).unwrap_or(0));
    }

    fn note(&mut self, tasks: u64) {
        let tasks = tasks as f64;
        self.tasks = Some(self.tasks.map_or(tasks, |old| old + self.part * (tasks - old)));
    }

    pub fn tasks(&self) -> f64 {
        self.tasks.unwrap_or(0.0)
    }
}

pub fn sample(queue: &RunQueue) -> Sample {
    let [one, five, fifteen] = load_averages(&read("/proc/loadavg"));
    let memory = read("/proc/meminfo");
    let of = |name| kib(&memory, name).unwrap_or(0) * 1024;
    let sockets = |path, name| in_use(&read(path), name).unwrap_or(0);
    Sample {
        cores: std::thread::available_parallelism().map_or(1, |n| n.get() as u32),
        run_queue_tasks: queue.tasks(),
        load_average_1m_tasks: one,
        load_average_5m_tasks: five,
        load_average_15m_tasks: fifteen,
        memory_total_bytes: of("MemTotal:"),
        memory_available_bytes: of("MemAvailable:"),
        tcp_connections: sockets("/proc/net/sockstat", "TCP:") + sockets("/proc/net/sockstat6", "TCP6:"),
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// Tasks that run or wait to run; without one, which is who reads it.
fn running(stat: &str) -> Option<u64> {
    let line = stat.lines().find_map(|l| l.strip_prefix("procs_running "))?;
    line.trim().parse::<u64>().ok().map(|n| n.saturating_sub(1))
}

fn load_averages(text: &str) -> [f64; 3] {
    let mut words = text.split_whitespace().map(|w| w.parse().unwrap_or(0.0));
    std::array::from_fn(|_| words.next().unwrap_or(0.0))
}

fn kib(meminfo: &str, name: &str) -> Option<u64> {
    meminfo.lines().find_map(|l| l.strip_prefix(name))?.trim().strip_suffix(" kB")?.parse().ok()
}

/// `TCP: inuse 5 orphan 0 …`
fn in_use(sockstat: &str, name: &str) -> Option<u64> {
    let line = sockstat.lines().find_map(|l| l.strip_prefix(name))?;
    let mut words = line.split_whitespace();
    words.find(|w| *w == "inuse")?;
    words.next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proc_is_read() {
        assert_eq!(running("cpu 1 2\nprocs_running 5\nprocs_blocked 0\n"), Some(4));
        assert_eq!(running("procs_running 0"), Some(0));
        assert_eq!(running("nothing"), None);
        assert_eq!(load_averages("0.50 1.25 x 2/300 4711"), [0.5, 1.25, 0.0]);
        assert_eq!(kib("MemTotal:  2048 kB\nMemAvailable: 1024 kB\n", "MemAvailable:"), Some(1024));
        assert_eq!(in_use("sockets: used 9\nTCP: inuse 7 orphan 0\n", "TCP:"), Some(7));
    }

    #[test]
    fn this_machine_has_something_to_say() {
        let mut queue = RunQueue::new(Duration::from_secs(5));
        queue.look();
        let sample = sample(&queue);
        assert!(sample.cores > 0 && sample.memory_total_bytes > sample.memory_available_bytes);
        assert!(sample.memory_available_bytes > 0);
    }

    #[test]
    fn the_queue_is_averaged() {
        let mut queue = RunQueue::new(Duration::from_secs(5));
        queue.note(10);
        (0..20).for_each(|_| queue.note(0));
        assert!((queue.tasks() - 10.0 / std::f64::consts::E).abs() < 0.01, "{}", queue.tasks());
    }
}
