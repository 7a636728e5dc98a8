//! Whether two sets of figures tell what they are of: their medians, how sure the ratio of those is, and
//! how often one of the first is greater than one of the second.

use crate::figures::{Spread, float};

/// Times that samples are drawn anew.
const DRAWS: usize = 1_000;
/// Where every drawing begins, so that one report is like the next.
const SEED: u64 = 0x9e37_79b9_7f4a_7c15;

/// Two sets, held against each other.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Comparison {
    pub(crate) medians: [f64; 2],
    /// The first over the second.
    pub(crate) ratio: f64,
    /// Where the ratio lies in 95 of 100 sets drawn from these (bootstrap).
    pub(crate) between: [f64; 2],
    /// How often one of the first is greater than one of the second: 0.5 where nothing tells them apart.
    pub(crate) greater: f64,
    /// How many standard deviations that is from 0.5 (Mann and Whitney).
    pub(crate) z: f64,
}

impl Comparison {
    pub(crate) fn of(one: &[f64], two: &[f64]) -> Self {
        let median = |figures: &[f64]| Spread::of(figures.iter().copied()).median;
        let medians = [median(one), median(two)];
        let mut state = SEED;
        let mut ratios: Vec<f64> = (0..DRAWS)
            .map(|_| median(&drawn(one, &mut state)) / median(&drawn(two, &mut state)))
            .collect();
        ratios.sort_unstable_by(f64::total_cmp);
        let at = |thousandth: usize| ratios.get(thousandth).copied().unwrap_or(f64::NAN);
        let greater = greater(one, two);
        let [m, n] = [one, two].map(|figures| float(figures.len() as u64));
        let deviation = ((m + n + 1.0) / (12.0 * m * n)).sqrt();
        Self {
            medians,
            ratio: medians[0] / medians[1],
            between: [at(25), at(975)],
            greater,
            z: (greater - 0.5) / deviation,
        }
    }
}

/// The share of all pairs in which the first is greater; ties count half.
fn greater(one: &[f64], two: &[f64]) -> f64 {
    let pairs = one.iter().flat_map(|a| two.iter().map(move |b| (a, b)));
    let score = |(a, b): (&f64, &f64)| match a.total_cmp(b) {
        std::cmp::Ordering::Greater => 1.0,
        std::cmp::Ordering::Equal => 0.5,
        std::cmp::Ordering::Less => 0.0,
    };
    let count = float((one.len() * two.len()) as u64);
    pairs.map(score).sum::<f64>() / count
}

/// As many of `figures`, each of which may come more than once.
fn drawn(figures: &[f64], state: &mut u64) -> Vec<f64> {
    let mut one = || {
        // Marsaglia's xorshift: nobody has to be surprised by it.
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        let place = *state % (figures.len().max(1) as u64);
        figures.get(usize::try_from(place).unwrap_or(0)).copied().unwrap_or(f64::NAN)
    };
    figures.iter().map(|_| one()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(from: u32, count: u32) -> Vec<f64> {
        (from..from + count).map(f64::from).collect()
    }

    #[test]
    fn sets_that_are_alike_are_not_told_apart() {
        let found = Comparison::of(&row(100, 99), &row(100, 99));
        assert!(
            (found.ratio - 1.0).abs() < 1e-9 && (found.greater - 0.5).abs() < 1e-9,
            "{found:?}"
        );
        assert!(found.between[0] < 1.0 && found.between[1] > 1.0, "{found:?}");
        assert!(found.z.abs() < 1e-9, "{found:?}");
    }

    #[test]
    fn sets_that_differ_are() {
        let found = Comparison::of(&row(200, 50), &row(100, 50));
        assert!(found.between[0] > 1.3 && found.z > 5.0, "{found:?}");
        assert!((found.greater - 1.0).abs() < 1e-9, "{found:?}");
    }
}
