//! How long calls took.

use std::time::Duration;

use crate::figures::{float, percentile};

/// Waits, in microseconds.
#[derive(Debug, Clone, Default)]
pub(crate) struct Waits(Vec<u64>);

impl Waits {
    /// Takes one more.
    pub(crate) fn add(&mut self, wait: Duration) {
        self.0.push(u64::try_from(wait.as_micros()).unwrap_or(u64::MAX));
    }

    /// Takes those of `others`.
    pub(crate) fn join(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    pub(crate) const fn len(&self) -> usize {
        self.0.len()
    }

    /// In milliseconds.
    pub(crate) fn millis(&self) -> Vec<f64> {
        self.0.iter().map(|micros| float(*micros) / 1e3).collect()
    }

    /// The wait that `share` thousandths do not exceed, in milliseconds.
    pub(crate) fn percentile(&self, share: usize) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        float(percentile(&sorted, share)) / 1e3
    }

    /// p50, p99 and the longest, in milliseconds.
    pub(crate) fn cells(&self) -> [String; 3] {
        [500, 990, 1000].map(|share| format!("{:.2}", self.percentile(share)))
    }
}

impl FromIterator<Duration> for Waits {
    fn from_iter<I: IntoIterator<Item = Duration>>(waits: I) -> Self {
        let mut all = Self::default();
        waits.into_iter().for_each(|wait| all.add(wait));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_told_in_milliseconds() {
        let waits: Waits = (1..=100).rev().map(Duration::from_millis).collect();
        assert_eq!(waits.cells(), ["50.00", "99.00", "100.00"]);
        assert_eq!(Waits::default().cells(), ["0.00", "0.00", "0.00"]);
    }
}
