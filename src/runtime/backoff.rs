//! Capped exponential backoff with jitter that a seed fixes. Pure.

use std::time::Duration;

/// How long to wait before the next attempt.
///
/// The jitter takes away up to half of the delay, so that many that failed together do not come back together; it
/// depends on the seed and the attempt alone, so that a test sees the same delays each time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    base: Duration,
    cap: Duration,
    seed: u64,
}

impl Backoff {
    /// Delays that start at `base`, double with each attempt and never pass `cap`. `seed` fixes the jitter: give each
    /// user of one cap its own (a hash of its name, say).
    pub const fn new(base: Duration, cap: Duration, seed: u64) -> Self {
        Self { base, cap, seed }
    }

    /// The delay after the failed attempt number `attempt`, counted from 0: between half of `base * 2^attempt`, or of
    /// the cap where that is less, and the whole.
    pub fn delay(&self, attempt: u32) -> Duration {
        let factor = 1u32.checked_shl(attempt).unwrap_or(u32::MAX);
        let whole = self.base.checked_mul(factor).map_or(self.cap, |delay| delay.min(self.cap));
        let half = whole / 2;
        // 2^32 steps between 0 and 1 are finer than a timer.
        let share = f64::from(self.draw(attempt)) / (f64::from(u32::MAX) + 1.0);
        half + (whole - half).mul_f64(share)
    }

    /// SplitMix64's output function: well spread though seed and attempt are small numbers.
    fn draw(&self, attempt: u32) -> u32 {
        let step = u64::from(attempt).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut z = self.seed.wrapping_add(step);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 32) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn stays_between_half_and_whole_and_below_the_cap(base in 1u64..5_000, cap in 1u64..60_000, seed: u64, attempt in 0u32..200) {
            let (base, cap) = (Duration::from_millis(base), Duration::from_millis(cap));
            let delay = Backoff::new(base, cap, seed).delay(attempt);
            let whole = if attempt >= 16 { cap } else { (base * 2u32.pow(attempt)).min(cap) };
            prop_assert!(delay <= whole && delay >= whole / 2, "{delay:?} of {whole:?}");
        }

        #[test]
        fn is_the_same_for_the_same_seed_and_differs_for_another(seed: u64, attempt in 0u32..40) {
            let of = |seed| Backoff::new(Duration::from_secs(1), Duration::from_secs(30), seed);
            prop_assert_eq!(of(seed).delay(attempt), of(seed).delay(attempt));
            let delays = |seed| (0..8).map(|attempt| of(seed).delay(attempt)).collect::<Vec<_>>();
            prop_assert_ne!(delays(seed), delays(seed.wrapping_add(1)));
        }
    }

    #[test]
    fn grows_to_the_cap() {
        let backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(30), 7);
        assert!(backoff.delay(0) <= Duration::from_millis(500));
        assert!(backoff.delay(4) >= Duration::from_secs(4));
        assert!(backoff.delay(1_000) >= Duration::from_secs(15), "a huge attempt neither overflows nor wraps");
    }
}
