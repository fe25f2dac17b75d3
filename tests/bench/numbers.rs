//! Distributions of what was measured. Pure.

use std::fmt;

/// The least, the middle and the most of some measurements.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Distribution {
    pub(super) min: f64,
    pub(super) median: f64,
    pub(super) max: f64,
}

impl Distribution {
    /// Of these values; nothing of none.
    pub(super) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let upper = values.len() / 2;
        let lower = (values.len() - 1) / 2;
        Some(Self { min, median: f64::midpoint(values[lower], values[upper]), max })
    }
}

impl fmt::Display for Distribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "min {:.2} s, median {:.2} s, max {:.2} s", self.min, self.median, self.max)
    }
}

/// What a benchmark is to reach.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Target {
    pub(super) seconds: f64,
    /// From what to what.
    pub(super) of: &'static str,
}

impl Target {
    /// Whether the median reaches it, and the line that says so.
    pub(super) fn check(self, what: &str, measured: Option<Distribution>) -> (bool, String) {
        let Self { seconds, of } = self;
        let Some(measured) = measured else {
            return (false, format!("{what}: MISSED: nothing was measured of {seconds} s {of}"));
        };
        let met = measured.median < seconds;
        let word = if met { "met" } else { "MISSED" };
        (met, format!("{what}: {of}: {measured}; the median is to be under {seconds} s: {word}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle_in_whatever_order_values_come() {
        assert_eq!(Distribution::of([]), None);
        assert_eq!(Distribution::of([2.0]), Some(Distribution { min: 2.0, median: 2.0, max: 2.0 }));
        assert_eq!(Distribution::of([9.0, 1.0, 4.0]), Some(Distribution { min: 1.0, median: 4.0, max: 9.0 }));
        assert_eq!(
            Distribution::of([4.0, 1.0, 9.0, 3.0]),
            Some(Distribution { min: 1.0, median: 3.5, max: 9.0 })
        );
    }

    #[test]
    fn a_target_is_met_below_it_and_missed_without_a_measurement() {
        let target = Target { seconds: 3.0, of: "to weight 0" };
        assert!(target.check("errors", Distribution::of([2.9, 1.0, 9.0])).0);
        assert!(!target.check("errors", Distribution::of([3.0])).0);
        let (met, line) = target.check("errors", None);
        assert!(!met && line.contains("MISSED"), "{line}");
    }
}
