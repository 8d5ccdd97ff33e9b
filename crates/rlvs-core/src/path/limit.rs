//! How many ICMP errors the director sends: no more than the kernel that it runs on would (Linux 6.1, `net/ipv4/icmp.c`,
//! `net/ipv4/inetpeer.c`; `net.ipv4.icmp_ratelimit`, `icmp_ratemask`, `icmp_msgs_per_sec`, `icmp_msgs_burst`,
//! `net.ipv6.icmp.ratelimit`). A packet that gets no answer is dropped and counted like one that does.
//!
//! "Too big" is never withheld: a transfer waits for it.

use crate::maps::AnswerLimits;
use crate::wire::{Addr, icmp};

/// So many at once, after a pause.
const BURST: u32 = 6;
/// The kernel refills the whole host's bucket so many times a second.
const REFILLS: u32 = 50;

/// Is this error of the kind that is limited?
#[inline(always)]
pub fn is_limited<A: Addr>(error: icmp::Error, limits: &AnswerLimits) -> bool {
    if let icmp::Error::FragmentationNeeded { .. } = error {
        return false;
    }
    // (ICMPv6 has no mask that leaves one of these out.)
    A::WORDS > 1 || limits.mask >> error.kind_and_code().0 & 1 != 0
}

/// One host's bucket, in jiffies: what it holds, and when it was looked at last. `None`: it gets no answer now.
#[inline(always)]
pub fn to_one(bucket: [u32; 2], now: u32, interval: u32) -> ([u32; 2], bool) {
    let [held, at] = bucket;
    let most = interval.wrapping_mul(BURST);
    let since = now.wrapping_sub(at);
    let held = if since > most { most } else { min(held.wrapping_add(since), most) };
    if held >= interval { ([held.wrapping_sub(interval), now], true) } else { ([held, now], false) }
}

/// A host's first one.
#[inline(always)]
pub fn first_to_one(now: u32, interval: u32) -> [u32; 2] {
    [interval.wrapping_mul(BURST - 1), now]
}

/// The bucket of all hosts together, in messages.
#[inline(always)]
pub fn to_all(bucket: [u32; 2], now: u32, hz: u32, limits: &AnswerLimits) -> ([u32; 2], bool) {
    let [mut held, mut at] = bucket;
    let since = min(now.wrapping_sub(at), hz);
    if since >= hz / REFILLS {
        held = min(held.wrapping_add(limits.per_sec.wrapping_mul(since) / (hz | 1)), limits.burst);
        at = now;
    }
    if held == 0 { ([held, at], false) } else { ([held.wrapping_sub(1), at], true) }
}

#[inline(always)]
fn min(a: u32, b: u32) -> u32 {
    if a < b { a } else { b }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Be32;

    const HZ: u32 = 250;
    const LIMITS: AnswerLimits =
        AnswerLimits { interval: HZ, interval6: HZ / 16, mask: 6168, per_sec: 1000, burst: 50 };

    /// Answers out of `n` requests, one every `step` jiffies, from `start` on.
    fn answers(n: u32, step: u32, start: u32) -> u32 {
        let mut bucket = first_to_one(start, HZ);
        let mut sum = 1;
        for i in 1..n {
            let (next, may) = to_one(bucket, start.wrapping_add(i * step), HZ);
            (bucket, sum) = (next, sum + u32::from(may));
        }
        sum
    }

    #[test]
    fn six_at_once_then_one_a_second() {
        for start in [0, 1000, u32::MAX - 100] {
            assert_eq!(answers(100, 0, start), 6);
            assert_eq!(answers(10, HZ, start), 10);
            assert_eq!(answers(100, HZ / 10, start), 6 + 9, "in ten seconds");
        }
        let (bucket, may) = to_one([0, 0], 100 * HZ, HZ);
        assert!(may && bucket[0] == 5 * HZ, "full again after a pause");
    }

    #[test]
    fn all_together_a_thousand_a_second() {
        let mut bucket = [0, 0];
        let mut sum = 0;
        for i in 0..10_000 {
            let (next, may) = to_all(bucket, 1000 + i * HZ / 1000, HZ, &LIMITS);
            (bucket, sum) = (next, sum + u32::from(may));
        }
        assert!((9_000..=10_050).contains(&sum), "in ten seconds {sum}");
        let at_once = (0..100).filter(|_| {
            let (next, may) = to_all(bucket, 1_000_000, HZ, &LIMITS);
            bucket = next;
            may
        });
        assert_eq!(at_once.count(), 50);
    }

    #[test]
    fn what_is_never_withheld() {
        let too_big = icmp::Error::FragmentationNeeded { mtu: 1400 };
        assert!(!is_limited::<Be32>(too_big, &LIMITS) && !is_limited::<[Be32; 4]>(too_big, &LIMITS));
        assert!(is_limited::<Be32>(icmp::Error::PortUnreachable, &LIMITS));
        assert!(is_limited::<Be32>(icmp::Error::TimeExceeded, &LIMITS));
        let unmasked = AnswerLimits { mask: 1 << 11, ..LIMITS };
        assert!(!is_limited::<Be32>(icmp::Error::PortUnreachable, &unmasked));
    }
}
