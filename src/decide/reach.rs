//! Which share a router can reach.

use crate::{
    api::Percent,
    observe::{Precision, Size},
};

/// The nearest share that is not above the wanted one, where at least one pod allows it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reach {
    /// The weight in the router's unit: pods by pod counts, percent everywhere else.
    pub weight: i32,
    /// Pods of the free-threaded pool that it takes.
    pub pods: i32,
    /// The share of traffic: of ready pods by pod counts.
    pub share: Percent,
    /// The share is more than twice the wanted one: needs consent.
    pub overshoot: bool,
}

/// Reach of `wanted` percent (0..=100) with this precision. Zero is always reachable.
pub fn reach(precision: Precision, wanted: i32) -> Reach {
    if wanted <= 0 {
        return Reach { weight: 0, pods: 0, share: Percent::from_ratio(0.0), overshoot: false };
    }
    let (standard, max) = match precision {
        Precision::Pods { standard, max } => (standard, max),
        Precision::Percent { standard, size, max } => {
            let weight = wanted.min(100);
            let pods = match size {
                Size::Fixed(pods) => pods,
                Size::Works(of) => share(standard, weight, of),
            };
            let pods = pods.clamp(1, max.max(1));
            return Reach {
                weight,
                pods,
                share: Percent::from_ratio(f64::from(weight) / 100.0),
                overshoot: false,
            };
        }
    };
    let (standard, wanted) = (i64::from(standard.max(0)), i64::from(wanted.min(99)));
    // k / (S + k) <= w / 100  <=>  k <= S·w / (100 − w)
    let exact = standard * wanted / (100 - wanted);
    let pods = exact.clamp(1, i64::from(max.max(1)));
    let all = standard + pods;
    let count = i32::try_from(pods).unwrap_or(i32::MAX);
    Reach {
        weight: count,
        pods: count,
        share: Percent::from_ratio(pods as f64 / all as f64),
        overshoot: pods * 100 > 2 * wanted * all,
    }
}

/// Pods for `weight` percent of what `standard` pods do, where each does what `works` of them do, rounded up. A hundredth of a pod more is
/// no reason for another one.
fn share(standard: i32, weight: i32, works: f64) -> i32 {
    let works = if works.is_finite() && works > 0.0 { works } else { 1.0 };
    let exact = f64::from(standard.max(0)) * f64::from(weight) / 100.0 / works;
    #[allow(
        clippy::cast_possible_truncation,
        reason = "a cast of a number that is too great gives the greatest"
    )]
    let pods = (exact - 0.01).ceil() as i32;
    pods.max(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chooses_the_nearest_share_not_above_the_wanted_one() {
        let pods = |standard, max, wanted| reach(Precision::Pods { standard, max }, wanted);
        assert_eq!(pods(10, 50, 0).pods, 0);
        assert_eq!(pods(10, 50, 9).pods, 1, "one pod is the least, even where it is a little more");
        assert_eq!(pods(10, 50, 10).pods, 1);
        assert_eq!(pods(9, 50, 25).pods, 3);
        assert_eq!(pods(6, 50, 50).pods, 6);
        assert_eq!(pods(6, 4, 50).pods, 4, "maxReplicas bounds it");
        assert_eq!(pods(10, 50, 5).share.to_string(), "9.0909%");
        assert!(!pods(10, 50, 5).overshoot, "9 % for 5 % is less than twice");
        assert!(pods(3, 50, 5).overshoot, "25 % for 5 %");
        assert!(!pods(3, 50, 13).overshoot);
    }

    #[test]
    fn a_percentage_is_reached_as_it_is_with_pods_for_its_share() {
        let of = |standard, size, wanted| {
            let reach = reach(Precision::Percent { standard, size, max: 5 }, wanted);
            (reach.weight, reach.pods)
        };
        let alike = Size::Works(1.0);
        assert_eq!(of(9, alike, 0), (0, 0));
        assert_eq!(of(9, alike, 1), (1, 1));
        assert_eq!(of(9, alike, 25), (25, 3), "rounded up");
        assert_eq!(of(9, alike, 100), (100, 5), "as many as there may be");
        assert_eq!(of(9, Size::Fixed(2), 25), (25, 2), "the spec says how many");
        assert_eq!(of(8, Size::Works(4.0), 50), (50, 1), "each does the work of four");
        assert_eq!(of(8, Size::Works(4.0), 51), (51, 2));
        assert_eq!(of(8, Size::Works(0.8), 50), (50, 5), "a request takes more CPU");
        assert_eq!(of(10, Size::Works(0.999), 20), (20, 2), "next to nothing more is no pod more");
        assert_eq!(of(9, Size::Works(f64::NAN), 25), (25, 3));
        assert_eq!(of(i32::MAX, Size::Works(1e-9), 100), (100, 5));
    }
}
