//! How late packets leave against their due time: the agent's measure of itself.

use std::time::Duration;

/// Buckets of a factor of two, from below 1 us to above 2^31 us.
const BUCKETS: usize = 33;

/// A histogram of send lag since it was last taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SendLag {
    counts: [u32; BUCKETS],
    us_max: u32,
}

impl Default for SendLag {
    fn default() -> SendLag {
        SendLag { counts: [0; BUCKETS], us_max: 0 }
    }
}

impl SendLag {
    pub(crate) fn count(&mut self, lag: Duration) {
        let us = u32::try_from(lag.as_micros()).unwrap_or(u32::MAX);
        let bucket = usize::try_from(u32::BITS - us.leading_zeros()).unwrap_or(0);
        if let Some(count) = self.counts.get_mut(bucket) {
            *count = count.saturating_add(1);
        }
        self.us_max = self.us_max.max(us);
    }

    /// Adds another histogram to this one.
    pub fn merge(&mut self, other: &SendLag) {
        for (to, from) in self.counts.iter_mut().zip(other.counts) {
            *to = to.saturating_add(from);
        }
        self.us_max = self.us_max.max(other.us_max);
    }

    /// Returns the worst lag in microseconds; 0 if nothing was sent.
    pub fn us_max(&self) -> u32 {
        self.us_max
    }

    /// Returns the median lag in microseconds, rounded up to the next power of two less one and
    /// never above the worst; 0 if nothing was sent.
    pub fn us_p50(&self) -> u32 {
        let total: u64 = self.counts.iter().map(|c| u64::from(*c)).sum();
        let mut seen = 0_u64;
        for (bucket, count) in (0_u32..).zip(self.counts) {
            seen += u64::from(count);
            if 0 < total && total <= seen * 2 {
                let bound = 1_u64.checked_shl(bucket).map_or(u64::MAX, |b| b - 1);
                return u32::try_from(bound).unwrap_or(u32::MAX).min(self.us_max);
            }
        }
        0
    }
}
