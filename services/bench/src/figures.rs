//! Figures of several rounds: what is typical, and how far they lie apart.

use std::time::Duration;

/// Median, least and greatest of some figures.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// The spread of `figures`; of none it is not a number.
    pub(crate) fn of(figures: impl IntoIterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = figures.into_iter().collect();
        sorted.sort_unstable_by(f64::total_cmp);
        let at = |place: usize| sorted.get(place).copied().unwrap_or(f64::NAN);
        let last = sorted.len().saturating_sub(1);
        let median = f64::midpoint(at(last / 2), at(sorted.len() / 2));
        Self { median, min: at(0), max: at(last) }
    }

    /// `median (min to max)` with so many decimals.
    pub(crate) fn words(&self, decimals: usize) -> String {
        let Self { median, min, max } = self;
        if median.is_nan() {
            return "-".to_owned();
        }
        format!("{median:.decimals$} ({min:.decimals$} to {max:.decimals$})")
    }
}

/// The figures of two peers, turn by turn, one over the other: turns of one round share their noise.
pub(crate) fn ratios(over: &[f64], under: &[f64]) -> Spread {
    Spread::of(over.iter().zip(under).map(|(over, under)| over / under))
}

/// The figure that `share` thousandths of all, which are sorted, do not exceed.
pub(crate) fn percentile(sorted: &[u64], share: usize) -> u64 {
    let place = (sorted.len() * share).div_ceil(1000).saturating_sub(1);
    sorted.get(place).copied().unwrap_or(0)
}

/// So many in `span`, per second.
pub(crate) fn rate(count: u64, span: Duration) -> f64 {
    float(count) / span.as_secs_f64()
}

/// Microseconds of `span` for each of `count`.
pub(crate) fn micros_each(span: Duration, count: u64) -> f64 {
    span.as_secs_f64() * 1e6 / float(count)
}

/// `count` as a figure; no benchmark counts beyond four thousand million.
pub(crate) fn float(count: u64) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_has_its_middle_and_both_ends() {
        let spread = |figures: &[f64]| Spread::of(figures.iter().copied());
        assert_eq!(spread(&[3.0, 1.0, 2.0]), Spread { median: 2.0, min: 1.0, max: 3.0 });
        assert_eq!(spread(&[4.0, 1.0, 2.0, 3.0]).words(1), "2.5 (1.0 to 4.0)");
        assert_eq!(spread(&[7.0]).words(0), "7 (7 to 7)");
        assert_eq!(spread(&[]).words(0), "-");
    }

    #[test]
    fn a_ratio_is_taken_round_by_round() {
        let noisy = ratios(&[10.0, 20.0, 30.0], &[5.0, 10.0, 15.0]);
        assert_eq!(noisy, Spread { median: 2.0, min: 2.0, max: 2.0 });
    }

    #[test]
    fn a_percentile_is_one_of_the_figures() {
        let figures: Vec<u64> = (1..=1000).collect();
        assert_eq!(percentile(&figures, 500), 500);
        assert_eq!(percentile(&figures, 990), 990);
        assert_eq!(percentile(&[5], 990), 5);
        assert_eq!(percentile(&[1, 9], 990), 9);
        assert_eq!(percentile(&[], 990), 0);
    }

    #[test]
    fn a_rate_and_a_cost_are_of_one_second_and_of_one_request() {
        assert!((rate(100, Duration::from_secs(2)) - 50.0).abs() < f64::EPSILON);
        assert!((micros_each(Duration::from_millis(1), 100) - 10.0).abs() < 1e-9);
    }
}
