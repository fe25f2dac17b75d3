//! Which share a router can reach.

use crate::{api::Percent, observe::Precision};

/// The nearest share that is not above the wanted one, where at least one pod allows it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reach {
    /// Pods of the free-threaded pool.
    pub pods: i32,
    /// The share that they make of ready pods.
    pub share: Percent,
    /// The share is more than twice the wanted one: needs consent.
    pub overshoot: bool,
}

/// Reach of `wanted` percent (0..=100) with this precision. Zero is always reachable.
pub fn reach(precision: Precision, wanted: i32) -> Reach {
    let Precision::Pods { standard, max } = precision;
    if wanted <= 0 {
        return Reach { pods: 0, share: Percent::from_ratio(0.0), overshoot: false };
    }
    let (standard, wanted) = (i64::from(standard.max(0)), i64::from(wanted.min(99)));
    // k / (S + k) <= w / 100  <=>  k <= S·w / (100 − w)
    let exact = standard * wanted / (100 - wanted);
    let pods = exact.clamp(1, i64::from(max.max(1)));
    let all = standard + pods;
    Reach {
        pods: i32::try_from(pods).unwrap_or(i32::MAX),
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
}
