//! Shares with their intervals, and distributions of delays. Pure.

use crate::random::ln_gamma;

/// Two-sided confidence of the intervals.
const CONFIDENCE: f64 = 0.99;

/// How often something happened.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rate {
    pub(crate) hits: usize,
    pub(crate) runs: usize,
    /// The 99 % interval of Clopper and Pearson.
    pub(crate) low: f64,
    pub(crate) high: f64,
}

impl Rate {
    pub(crate) fn of(hits: usize, runs: usize) -> Self {
        let (k, n) = (hits as f64, runs as f64);
        let tail = (1.0 - CONFIDENCE) / 2.0;
        // P(X ≥ k | p) = I_p(k, n−k+1) and P(X ≤ k | p) = 1 − I_p(k+1, n−k) are the tails at the ends.
        let low = if hits == 0 { 0.0 } else { solve(|p| beta(p, k, n - k + 1.0), tail) };
        let high = if hits >= runs { 1.0 } else { solve(|p| beta(p, k + 1.0, n - k), 1.0 - tail) };
        Self { hits, runs, low, high }
    }

    pub(crate) fn share(self) -> f64 {
        if self.runs == 0 { 0.0 } else { self.hits as f64 / self.runs as f64 }
    }

    /// The interval lies above `limit`: only then the target is missed.
    pub(crate) fn is_over(self, limit: f64) -> bool {
        self.low > limit
    }
}

impl std::fmt::Display for Rate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.2} % ({:.2} – {:.2})", self.share() * 100.0, self.low * 100.0, self.high * 100.0)
    }
}

/// Where the rising function reaches `value`, in 0 to 1.
fn solve(rising: impl Fn(f64) -> f64, value: f64) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if rising(middle) < value { low = middle } else { high = middle }
    }
    f64::midpoint(low, high)
}

/// The regularised incomplete beta function `I_x(a, b)` by its continued fraction (Lentz).
#[allow(clippy::many_single_char_names, reason = "as the formula has them")]
fn beta(x: f64, a: f64, b: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return f64::from(x >= 1.0);
    }
    if x > (a + 1.0) / (a + b + 2.0) {
        return 1.0 - beta(1.0 - x, b, a);
    }
    let front = a * x.ln() + b * (-x).ln_1p() + ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b) - a.ln();
    let tiny = |v: f64| if v.abs() < 1e-300 { 1e-300 } else { v };
    let (mut c, mut d) = (1.0, 1.0 / tiny(1.0 - (a + b) * x / (a + 1.0)));
    let mut fraction = d;
    for i in 1..2_000 {
        let m = f64::from(i);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        let mut change = 1.0;
        for term in [even, odd] {
            d = 1.0 / tiny(1.0 + term * d);
            c = tiny(1.0 + term / c);
            change = c * d;
            fraction *= change;
        }
        if (change - 1.0).abs() < 1e-14 {
            break;
        }
    }
    front.exp() * fraction
}

/// The value at `share` (0 to 1) of the sorted values; infinite where it was never found.
pub(crate) fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let index = ((sorted.len() as f64 * share).ceil() as usize).saturating_sub(1);
    sorted.get(index).copied().unwrap_or(f64::NAN)
}

/// The lower end of the 99 % interval of the median, by order statistics.
pub(crate) fn median_from(values: &[f64]) -> f64 {
    let n = values.len() as f64;
    quantile(values, (0.5 - 2.576 / 2.0 / n.sqrt()).max(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_those_of_clopper_and_pearson() {
        // At 0 of n the upper end is 1 − 0.005^(1/n); at n of n the lower one is 0.005^(1/n).
        for n in [1, 10, 300, 10_000] {
            let end = 0.005f64.powf(1.0 / n as f64);
            assert!((Rate::of(0, n).high - (1.0 - end)).abs() < 1e-10, "{n}");
            assert!((Rate::of(n, n).low - end).abs() < 1e-10, "{n}");
        }
        // Ends by definition: the tails there are half a percent.
        let got = Rate::of(100, 10_000);
        assert!((got.low - 0.007_626).abs() < 5e-5 && (got.high - 0.012_841).abs() < 5e-5, "{got:?}");
        assert!(!got.is_over(0.01) && got.is_over(0.007));
        let got = Rate::of(1, 10);
        assert!((got.low - 0.000_501).abs() < 1e-5 && (got.high - 0.544_3).abs() < 1e-3, "{got:?}");
    }

    #[test]
    fn beta_sums_binomials() {
        // P(X ≥ 3), X binomial of 10 at 0.2, is 0.322 200 …
        assert!((beta(0.2, 3.0, 8.0) - 0.322_200_473_6).abs() < 1e-9);
        assert!((beta(0.8, 8.0, 3.0) - (1.0 - 0.322_200_473_6)).abs() < 1e-9);
    }

    #[test]
    fn the_median_is_known_to_a_few_ranks() {
        let values: Vec<f64> = (1..=1_000).map(f64::from).collect();
        assert_eq!([quantile(&values, 0.5), median_from(&values)], [500.0, 460.0]);
    }

    #[test]
    fn quantiles_count_what_was_never_found() {
        let values = [30.0, f64::INFINITY, 15.0, 45.0];
        assert_eq!([quantile(&values, 0.5), quantile(&values, 0.75)], [30.0, 45.0]);
        assert!(quantile(&values, 0.9).is_infinite() && quantile(&[], 0.5).is_nan());
    }
}
