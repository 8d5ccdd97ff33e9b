//! A real server at work: processor sharing. It serves all its connections at once and gives each the same part of its
//! speed, as a machine with many threads does; nothing waits in a queue, everything grows slower.
//!
//! The trick: count the work that a connection which never ends would have got. One that comes now and needs *w* is done
//! when the count has grown by *w*, whoever comes and goes meanwhile; so the next to be done is the top of a heap.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

pub struct Worker {
    pub speed: f64,
    /// Work (nanoseconds at speed 1) that each of its connections got so far.
    given: f64,
    /// By the count at which they are done: bits of a positive number sort as the number does.
    queue: BinaryHeap<Reverse<(u64, u32)>>,
    next: Option<u64>,
    /// Nanoseconds with something to do: ever, and in this interval.
    pub busy: u64,
    pub busy_lately: u64,
    /// Connections times nanoseconds, and the most connections at once.
    pub load: u128,
    pub most: usize,
}

impl Worker {
    pub fn new(speed: f64) -> Worker {
        let queue = BinaryHeap::new();
        Worker { speed, given: 0.0, queue, next: None, busy: 0, busy_lately: 0, load: 0, most: 0 }
    }

    /// When it will be done with something, if nobody comes.
    pub fn next(&self) -> Option<u64> {
        self.next
    }

    /// How many it serves at once.
    pub fn jobs(&self) -> usize {
        self.queue.len()
    }

    pub fn pass(&mut self, nanos: u64) {
        let n = self.queue.len();
        if n > 0 {
            self.given += nanos as f64 * self.speed / n as f64;
            self.busy += nanos;
            self.busy_lately += nanos;
            self.load += u128::from(nanos) * n as u128;
        }
    }

    pub fn begin(&mut self, now: u64, job: u32, work: u64) {
        self.queue.push(Reverse(((self.given + work as f64).to_bits(), job)));
        self.most = self.most.max(self.queue.len());
        self.plan(now);
    }

    /// The job that is done now.
    pub fn end(&mut self, now: u64) -> Option<u32> {
        let Reverse((bits, job)) = self.queue.pop()?;
        self.given = f64::from_bits(bits);
        if self.queue.is_empty() {
            self.given = 0.0;
        }
        self.plan(now);
        Some(job)
    }

    fn plan(&mut self, now: u64) {
        self.next = self.queue.peek().map(|Reverse((bits, _))| {
            let left = (f64::from_bits(*bits) - self.given).max(0.0);
            now.saturating_add((left * self.queue.len() as f64 / self.speed).ceil() as u64)
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// (when, job) of everything it does.
    fn finish(worker: &mut Worker, mut now: u64) -> Vec<(u64, u32)> {
        let mut done = Vec::new();
        while let Some(next) = worker.next() {
            worker.pass(next - now);
            now = next;
            done.push((now, worker.end(now).unwrap()));
        }
        done
    }

    #[test]
    fn speed_is_shared() {
        let mut w = Worker::new(2.0);
        w.begin(0, 1, 1000);
        assert_eq!(finish(&mut w, 0), [(500, 1)]);
        // Two share it; when the short one is gone the other has all of it.
        let mut w = Worker::new(1.0);
        w.begin(0, 1, 1000);
        w.begin(0, 2, 400);
        assert_eq!(finish(&mut w, 0), [(800, 2), (1400, 1)]);
        assert_eq!((w.busy, w.load, w.most), (1400, 2200, 2));
    }
}
