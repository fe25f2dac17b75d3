//! How long each step will need for its evidence, at the traffic of the hour before the attempt.

use super::{reach, text};
use crate::{
    api::{BaselineStatus, EstimateStatus, FreeThreadRolloutSpec, Pace, Span},
    judge::{AttemptSpec, Traffic, seconds_until_safe},
    observe::Precision,
};

/// Largest weight that is proposed: pod counts reach no more without more pods than the standard pool has.
const MOST: i32 = 50;

/// One estimate per step; none where nothing was learnt or the standard pool has no pods.
pub fn estimates(
    spec: &FreeThreadRolloutSpec,
    baseline: &[BaselineStatus],
    precision: Precision,
) -> Vec<EstimateStatus> {
    let standard = precision.standard();
    if baseline.is_empty() || standard <= 0 {
        return Vec::new();
    }
    // Only what a duration depends on: cells of a scrape are short beside it.
    let judged = AttemptSpec::of(&spec.analysis, 15_000, 0).with_baseline(baseline);
    let needs = |weight| seconds(&judged, baseline, precision, weight);
    let one = |(index, step): (usize, &crate::api::Step)| {
        let seconds = needs(step.weight);
        let helps = |max: Span| {
            let weight =
                (step.weight + 1..=MOST).find(|weight| needs(*weight).is_some_and(|s| s <= max.secs()));
            match weight {
                Some(weight) => {
                    format!("it would be about {} at {weight} %", round(needs(weight).unwrap_or_default()))
                }
                None => format!("no weight up to {MOST} % would do"),
            }
        };
        let message = match (seconds, step.pace()) {
            (None, _) if traffic(baseline) <= 0.0 => {
                "there were no requests in the hour before: nobody can say".to_owned()
            }
            (None, _) => {
                "never: with so few pods an equal pool cannot be told from one at the edge of what is tolerated; tolerate more, or \
                 have more pods"
                    .to_owned()
            }
            (Some(seconds), Pace::Fixed(hold)) if seconds > hold.secs() => {
                format!("would need about {}, it is held for {hold}", round(seconds))
            }
            (Some(seconds), Pace::Evidence { max, .. }) if seconds > max.secs() => {
                format!("about {}, longer than maxHold {max}; {}", round(seconds), helps(max))
            }
            (Some(seconds), _) => format!("about {}", round(seconds)),
        };
        EstimateStatus { step: i32::try_from(index).unwrap_or(i32::MAX), needs: seconds.map(round), message }
    };
    spec.steps.iter().enumerate().map(one).collect()
}

/// Steps whose evidence will not come in time, as one sentence.
pub(super) fn undecidable(spec: &FreeThreadRolloutSpec, estimates: &[EstimateStatus]) -> Option<String> {
    let late = estimates.iter().filter_map(|estimate| {
        let step = spec.steps.get(usize::try_from(estimate.step).ok()?)?;
        let Pace::Evidence { max, .. } = step.pace() else { return None };
        let late = estimate.needs.is_none_or(|needs| needs > max);
        late.then(|| format!("step {} ({} %): {}", estimate.step + 1, step.weight, estimate.message))
    });
    let late: Vec<String> = late.collect();
    (!late.is_empty()).then(|| {
        format!("at the traffic of the last hour evidence will not come in time: {}", late.join("; "))
    })
}

/// The slowest metric's time; `None` where one never gets there.
fn seconds(
    judged: &AttemptSpec,
    baseline: &[BaselineStatus],
    precision: Precision,
    weight: i32,
) -> Option<f64> {
    let standard = precision.standard();
    let reach = reach(precision, weight);
    let count = |pods: i32| usize::try_from(pods).unwrap_or_default();
    let compared = judged.metrics.iter().filter(|metric| metric.paces());
    let each = compared.map(|metric| {
        let known = baseline.iter().find(|known| known.metric == metric.name)?;
        let traffic = Traffic {
            per_second: known.per_second.parse().ok()?,
            bad: known.bad.ratio(),
            weight: reach.share.ratio(),
            our_pods: count(reach.pods),
            pods: count(standard),
        };
        seconds_until_safe(judged, metric, &traffic)
    });
    each.reduce(|most, seconds| Some(most?.max(seconds?))).flatten()
}

fn traffic(baseline: &[BaselineStatus]) -> f64 {
    baseline.iter().filter_map(|known| known.per_second.parse().ok()).fold(0.0, f64::max)
}

/// As people say it: two digits or so.
fn round(seconds: f64) -> Span {
    let unit = match seconds {
        s if s < 120.0 => 10.0,
        s if s < 7200.0 => 60.0,
        s if s < 172_800.0 => 1800.0,
        _ => 86_400.0,
    };
    text::span((seconds / unit).ceil().max(1.0) * unit)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn spec() -> FreeThreadRolloutSpec {
        serde_json::from_value(json!({
            "workloadRef": {"name": "orders"},
            "freeThreaded": {"image": "orders:ft"},
            "traffic": {"podCount": {}},
            "steps": [{"weight": 10}, {"weight": 25, "hold": "10m"}, {"weight": 50}],
            "analysis": {"preset": "fastapi-instrumentator", "errorRate": {"max": "1%"}},
        }))
        .unwrap()
    }

    fn baseline(per_second: &str) -> BaselineStatus {
        serde_json::from_value(json!({"metric": "errors", "dividedBy": "1.2", "podsDifferBy": "0%",
            "perSecond": per_second, "bad": "0.1%", "source": ""}))
        .unwrap()
    }

    fn told(per_second: &str) -> Vec<String> {
        let precision = Precision::Pods { standard: 9, max: 50 };
        let all = estimates(&spec(), &[baseline(per_second)], precision);
        all.into_iter().map(|estimate| estimate.message).collect()
    }

    #[test]
    fn busy_steps_are_short_and_quiet_ones_say_what_would_help() {
        assert_eq!(told("1000"), ["about 1m50s", "about 1m", "about 40s"]);
        let quiet = told("20");
        assert!(
            quiet[0].starts_with("about ")
                && quiet[0].contains("longer than maxHold 30m; it would be about "),
            "{quiet:?}"
        );
        assert!(quiet[1].starts_with("would need about ") && quiet[1].ends_with("held for 10m"), "{quiet:?}");
        assert!(told("1")[2].ends_with("no weight up to 50 % would do"));
        assert_eq!(told("0")[0], "there were no requests in the hour before: nobody can say");
    }

    #[test]
    fn what_never_can_be_decided_is_named() {
        let precision = Precision::Pods { standard: 1, max: 50 };
        let differ = BaselineStatus {
            pods_differ_by: "90%".parse().unwrap(),
            bad: "5%".parse().unwrap(),
            ..baseline("1000")
        };
        let all = estimates(&spec(), &[differ], precision);
        assert!(all[0].needs.is_none() && all[0].message.starts_with("never: "), "{all:?}");
        let sentence = undecidable(&spec(), &all).unwrap();
        assert!(sentence.contains("step 1 (10 %): never") && !sentence.contains("step 2"), "{sentence}");
        let fine = estimates(&spec(), &[baseline("1000")], Precision::Pods { standard: 9, max: 50 });
        assert_eq!(undecidable(&spec(), &fine), None);
        assert!(estimates(&spec(), &[], precision).is_empty());
    }
}
