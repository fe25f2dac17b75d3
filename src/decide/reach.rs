//! Which share a router can reach.

use crate::{api::Percent, observe::Precision};

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
        Precision::Percent { standard, fixed, max } => {
            let weight = wanted.min(100);
            let like_standard = (i64::from(standard.max(0)) * i64::from(weight) + 99) / 100;
            let pods = fixed.map_or(like_standard, i64::from).clamp(1, i64::from(max.max(1)));
            let pods = i32::try_from(pods).unwrap_or(i32::MAX);
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
        let of = |standard, fixed, wanted| {
            let reach = reach(Precision::Percent { standard, fixed, max: 5 }, wanted);
            (reach.weight, reach.pods)
        };
        assert_eq!(of(9, None, 0), (0, 0));
        assert_eq!(of(9, None, 1), (1, 1));
        assert_eq!(of(9, None, 25), (25, 3), "rounded up");
        assert_eq!(of(9, None, 100), (100, 5), "as many as there may be");
        assert_eq!(of(9, Some(2), 25), (25, 2), "the spec says how many");
    }
}
