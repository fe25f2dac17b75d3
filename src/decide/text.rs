//! Numbers as people read them, rounded so that a status is written only when something happened.

use std::time::Duration;

use crate::api::{Percent, Span};

/// `25 %`, or `0.4 %` where whole percents would say nothing.
pub(super) fn percent(share: Percent) -> String {
    let value = share.percent();
    if value > 0.0 && value < 1.0 { format!("{value:.1} %") } else { format!("{value:.0} %") }
}

/// `1 pod`, `2 pods`.
pub(super) fn pods(count: i32) -> String {
    if count == 1 { "1 pod".into() } else { format!("{count} pods") }
}

/// A ratio of evidence to two significant digits: `120:1`. Under 1 it says nothing against the pool, and no more than that.
pub(super) fn odds(ratio: f64) -> String {
    if ratio.is_nan() || ratio < 1.0 {
        "under 1:1".into()
    } else if ratio < 10.0 {
        format!("{ratio:.1}:1")
    } else if ratio < 1e6 {
        let unit = 10_f64.powf(ratio.log10().floor() - 1.0);
        format!("{:.0}:1", (ratio / unit).round() * unit)
    } else {
        format!("{ratio:.1e}:1")
    }
}

/// Odds on their way up, to one of 1, 2 and 5 below: what grows all the time is written only now and then.
pub(super) fn coarse(ratio: f64) -> String {
    if ratio.is_nan() || ratio < 1.0 {
        return "under 1:1".into();
    }
    let ratio = ratio.min(1e9);
    let unit = 10_f64.powf(ratio.log10().floor());
    let step = [5.0, 2.0, 1.0].into_iter().find(|step| step * unit <= ratio).unwrap_or(1.0);
    format!("{:.0}:1", step * unit)
}

/// In whole percents.
pub(super) fn whole(share: Percent) -> Percent {
    Percent::from_ratio(share.percent().round() / 100.0)
}

/// A duration of at most a year.
pub(super) fn span(seconds: f64) -> Span {
    Duration::try_from_secs_f64(seconds.min(365.0 * 86_400.0)).map_or(Span::from_secs(0), |time| {
        Span::from_millis(i64::try_from(time.as_millis()).unwrap_or(i64::MAX))
    })
}

/// A sentence without its full stop, to be gone on with.
pub(super) fn open(sentence: &str) -> &str {
    sentence.trim_end().trim_end_matches('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evidence_has_two_digits() {
        for (ratio, text) in [
            (0.3, "under 1:1"),
            (1.26, "1.3:1"),
            (12.4, "12:1"),
            (123.0, "120:1"),
            (99_950.0, "100000:1"),
            (2e9, "2.0e9:1"),
        ] {
            assert_eq!(odds(ratio), text);
        }
        assert_eq!(odds(f64::NAN), "under 1:1");
    }

    #[test]
    fn odds_that_grow_are_coarse() {
        for (ratio, text) in [(0.9, "under 1:1"), (1.0, "1:1"), (4.9, "2:1"), (19.9, "10:1"), (1e3, "1000:1")]
        {
            assert_eq!(coarse(ratio), text);
        }
        assert_eq!(coarse(f64::NAN), "under 1:1");
        assert_eq!(coarse(1e300), "1000000000:1");
    }

    #[test]
    fn shares_are_whole_percents() {
        assert_eq!(percent(Percent::from_ratio(1.0 / 11.0)), "9 %");
        assert_eq!(percent(Percent::from_ratio(0.004)), "0.4 %");
        assert_eq!(whole(Percent::from_ratio(0.0949)).to_string(), "9%");
    }
}
