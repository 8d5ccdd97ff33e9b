//! Seeded randomness. The same seed gives the same run; a test that fails says its seed.

/// SplitMix64 (Vigna, public domain).
pub struct Random(u64);

pub(crate) fn mix(mut x: u64) -> u64 {
    x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    pub fn number(&mut self) -> u64 {
        let x = mix(self.0);
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        x
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.number() % limit
    }

    /// True once in `n` times.
    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    pub fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }
}

/// Runs a test with `runs` seeds. `RLVS_SEED=N` runs that seed alone. The seed of a run that fails is printed.
pub fn with_seeds(runs: u64, test: impl Fn(u64)) {
    if let Some(seed) = std::env::var("RLVS_SEED").ok().and_then(|s| s.parse().ok()) {
        return test(seed);
    }
    // Other seeds on each day, so that in time many are tried; the same ones all day, so that a failure stays.
    let day = std::time::SystemTime::UNIX_EPOCH.elapsed().map_or(0, |d| d.as_secs() / 86400);
    for run in 0..runs {
        let seed = if run < runs / 2 { run + 1 } else { mix(day << 16 | run) >> 32 };
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| test(seed)));
        if let Err(panic) = outcome {
            eprintln!("failed with RLVS_SEED={seed}");
            std::panic::resume_unwind(panic);
        }
    }
}
