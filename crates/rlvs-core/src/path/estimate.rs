//! Rates: what `ipvsadm --rate` shows, kept by the kernel timer with nobody in user space.
//!
//! Every two seconds each counter's growth is taken as a rate and moves a smoothed one by a quarter of the difference, so
//! the window is about eight seconds (Linux 6.1, `ip_vs_est.c`, seen from outside). Rates are kept scaled: connections and
//! packets by 2^10, bytes by 2^5. What a service and the director as a whole grew by is what their destinations did.

use crate::maps::rates::{AVERAGE, LAST};
use crate::mem::Mem;

/// Counters of a destination in the order of [`crate::maps::stats`].
pub type Five = [u64; 5];

/// Takes a destination's counters; what they grew by since the last time.
#[inline(always)]
pub fn sample<M: Mem>(rates: M, counted: &Five) -> Five {
    let mut grown = [0; 5];
    let mut i = 0;
    while i < 5 {
        grown[i] = counted[i].wrapping_sub(rates.load64(LAST + 2 * i));
        rates.store64(LAST + 2 * i, counted[i]);
        smooth(rates, i, grown[i]);
        i += 1;
    }
    grown
}

/// Adds a destination's growth to that of its service, or of everything.
#[inline(always)]
pub fn gather<M: Mem>(rates: M, grown: &Five) {
    let mut i = 0;
    while i < 5 {
        rates.store64(LAST + 2 * i, rates.load64(LAST + 2 * i).wrapping_add(grown[i]));
        i += 1;
    }
}

/// All destinations were sampled: a service's, or the whole, growth moves its rate.
#[inline(always)]
pub fn settle<M: Mem>(rates: M) {
    let mut i = 0;
    while i < 5 {
        smooth(rates, i, rates.load64(LAST + 2 * i));
        rates.store64(LAST + 2 * i, 0);
        i += 1;
    }
}

#[inline(always)]
fn smooth<M: Mem>(rates: M, i: usize, grown: u64) {
    // Per second, scaled: half of 2^10, or of 2^5.
    let rate = if i < 3 { grown << 9 } else { grown << 4 };
    let average = rates.load64(AVERAGE + 2 * i);
    let step = (rate.wrapping_sub(average) as i64) >> 2;
    rates.store64(AVERAGE + 2 * i, average.wrapping_add(step as u64));
}

/// A smoothed rate as it is shown.
pub const fn shown(i: usize, average: u64) -> u64 {
    if i < 3 { average.wrapping_add(0x1ff) >> 10 } else { average.wrapping_add(0xf) >> 5 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::cell::Cell;

    #[derive(Clone, Copy)]
    struct Row<'a>(&'a [Cell<u64>; 16]);
    impl Mem for Row<'_> {
        fn load(self, _: usize) -> u32 {
            unreachable!()
        }
        fn store(self, _: usize, _: u32) {
            unreachable!()
        }
        fn fetch_add(self, _: usize, _: u32) -> u32 {
            unreachable!()
        }
        fn add(self, _: usize, _: u32) {
            unreachable!()
        }
        fn compare_swap(self, _: usize, _: u32, _: u32) -> u32 {
            unreachable!()
        }
        fn load64(self, word: usize) -> u64 {
            self.0[word / 2].get()
        }
        fn store64(self, word: usize, value: u64) {
            self.0[word / 2].set(value)
        }
        fn compare_swap64(self, _: usize, _: u64, _: u64) -> u64 {
            unreachable!()
        }
    }

    #[test]
    fn a_step_response_as_the_kernels() {
        let cells: [Cell<u64>; 16] = Default::default();
        let row = Row(&cells);
        let shown: [u64; 12] = core::array::from_fn(|i| {
            sample(row, &[1000 * (i as u64 + 1), 0, 0, 0, 0]);
            shown(0, cells[0].get())
        });
        assert_eq!(shown, [125, 219, 289, 342, 381, 411, 433, 450, 462, 472, 479, 484]);
    }
}
