//! How many frames a socket may send. Spends a token; never waits, never does I/O.

use std::time::Duration;

use tokio::time::Instant;

/// A bucket of tokens: one per frame.
#[derive(Debug)]
pub(crate) struct Bucket {
    per_second: f64,
    burst: f64,
    tokens: f64,
    filled_at: Instant,
}

impl Bucket {
    pub(crate) fn new(per_second: u32, burst: u32, now: Instant) -> Self {
        let (per_second, burst) = (f64::from(per_second.max(1)), f64::from(burst.max(1)));
        Self { per_second, burst, tokens: burst, filled_at: now }
    }

    /// Spends a token, or tells when there will be one.
    pub(crate) fn spend(&mut self, now: Instant) -> Result<(), Duration> {
        let passed = now.duration_since(self.filled_at).as_secs_f64();
        self.tokens = (self.tokens + passed * self.per_second).min(self.burst);
        self.filled_at = now;
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return Ok(());
        }
        Err(Duration::from_secs_f64((1.0 - self.tokens) / self.per_second))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_allowed_and_then_the_rate() {
        let start = Instant::now();
        let mut bucket = Bucket::new(20, 40, start);
        assert!((0..40).all(|_| bucket.spend(start).is_ok()));
        assert_eq!(bucket.spend(start), Err(Duration::from_millis(50)));
        let later = start + Duration::from_secs(1);
        assert!((0..20).all(|_| bucket.spend(later).is_ok()));
        assert!(bucket.spend(later).is_err());
    }
}
