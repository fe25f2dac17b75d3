//! At which boundaries of a latency histogram the pools are compared, and what its buckets cannot tell apart. Pure.

use super::convert::{boundary_of, is_infinite, same};
use crate::{
    judge::{OTHERS, duration},
    observe::presets::{Chosen, LatencyPlan},
};

/// Shares of slower requests at which a boundary is worth a comparison: less is too rare to show anything, more is no tail.
pub(crate) const TAIL: std::ops::RangeInclusive<f64> = 0.002..=0.3;

/// All label sets of a histogram together.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Shape {
    /// Label sets: each has all the boundaries.
    pub sets: usize,
    /// Boundaries as the series write them, and about how many requests were at most as slow.
    pub below: Vec<(String, f64)>,
    /// It is a native histogram.
    pub native: bool,
}

/// What is to be compared.
#[derive(Debug, Clone, PartialEq)]
pub struct Survey {
    /// The boundaries.
    pub chosen: Chosen,
    /// What the buckets can tell apart, for people.
    pub resolution: String,
}

impl Shape {
    /// The boundaries for a plan, at most `most` beside the threshold's. `None` without one at or above the threshold.
    pub fn survey(&self, plan: &LatencyPlan, most: usize) -> Option<Survey> {
        let wanted = plan.wanted();
        let mut edges: Vec<(f64, f64)> = Vec::new();
        for (le, below) in &self.below {
            let Some(edge) = boundary_of(le).filter(|edge| *edge > 0.0) else { continue };
            match edges.iter_mut().find(|(known, _)| same(*known, edge)) {
                // Some series write `1`, others `1.0`.
                Some((_, known)) => *known += below,
                None => edges.push((edge, *below)),
            }
        }
        edges.sort_by(|a, b| a.0.total_cmp(&b.0));
        let slow = edges.iter().map(|(edge, _)| *edge).find(|edge| *edge >= wanted || same(*edge, wanted))?;
        let all: f64 = self.below.iter().filter(|(le, _)| is_infinite(le)).map(|(_, below)| below).sum();
        let in_tail = |below: f64| all > 0.0 && TAIL.contains(&(1.0 - below / all));
        let tail = edges.iter().filter(|(edge, below)| !same(*edge, slow) && in_tail(*below));
        let others: Vec<f64> = tail.map(|(edge, _)| edge / plan.per_second()).collect();
        Some(Survey {
            chosen: Chosen { slow_over: slow / plan.per_second(), others: spread(&others, most.min(OTHERS)) },
            resolution: resolution(&edges.iter().map(|(edge, _)| *edge).collect::<Vec<_>>(), slow, plan),
        })
    }
}

/// At most `most` of them, evenly from the first to the last.
fn spread(all: &[f64], most: usize) -> Vec<f64> {
    if all.len() <= most {
        return all.to_vec();
    }
    let gaps = most.saturating_sub(1).max(1);
    (0..most).filter_map(|i| all.get(i * (all.len() - 1) / gaps)).copied().collect()
}

/// Requests that get slower without crossing a boundary look as fast as before.
fn resolution(edges: &[f64], slow: f64, plan: &LatencyPlan) -> String {
    let wanted = plan.wanted();
    let shown = |edge: f64| duration(edge / plan.per_second());
    let below = edges.iter().copied().filter(|edge| *edge < wanted && !same(*edge, wanted)).reduce(f64::max);
    let above = edges.iter().copied().filter(|edge| *edge > slow && !same(*edge, slow)).reduce(f64::min);
    let missed = |times: f64| {
        let times = format!("{times:.2}");
        let times = times.trim_end_matches('0').trim_end_matches('.');
        format!("a slowdown under {times} times can be missed between them")
    };
    if same(slow, wanted) {
        let slow_over = format!("slow is over {}", shown(slow));
        return match (below, above) {
            (Some(below), Some(above)) => {
                let missed = missed((slow / below).max(above / slow));
                format!(
                    "{slow_over}; the boundaries next to it are {} and {}: {missed}",
                    shown(below),
                    shown(above)
                )
            }
            (Some(next), None) | (None, Some(next)) => {
                let missed = missed((slow / next).max(next / slow));
                format!("{slow_over}; the boundary next to it is {}: {missed}", shown(next))
            }
            (None, None) => format!("{slow_over}, the only boundary that the histogram has"),
        };
    }
    let instead = format!("slow is over {}, as no bucket ends at {}", shown(slow), shown(wanted));
    match below {
        Some(below) => format!(
            "{instead}: the boundaries next to it are {} and {}, and {}",
            shown(below),
            shown(slow),
            missed(slow / below)
        ),
        None => format!("{instead} and none ends below it"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::presets::MetricPlan;

    fn plan(threshold: &str, unit: &str) -> LatencyPlan {
        let analysis = serde_json::from_value(serde_json::json!({
            "metrics": {"requests": {"name": "r"}, "latency": {"histogram": "h", "unit": unit}},
            "latency": {"threshold": threshold, "max": "1%"},
        }));
        MetricPlan::of(&analysis.unwrap()).unwrap().latency.unwrap()
    }

    /// Of 1,000 requests so many are at most as slow.
    fn shape(below: &[(&str, f64)]) -> Shape {
        let all = [("+Inf", 1000.0)];
        let below = below.iter().chain(&all).map(|(le, below)| ((*le).to_owned(), *below));
        Shape { sets: 1, below: below.collect(), native: false }
    }

    #[test]
    fn boundaries_with_a_tail_are_compared_and_the_thresholds_always() {
        let shape = shape(&[
            ("0.005", 100.0),
            ("0.05", 650.0),
            ("0.1", 710.0),
            ("0.25", 950.0),
            ("0.5", 998.0),
            ("1.0", 999.0),
            ("x", 5.0),
        ]);
        let chosen = |threshold: &str| shape.survey(&plan(threshold, "seconds"), 7).unwrap().chosen;
        assert_eq!(chosen("250ms"), Chosen { slow_over: 0.25, others: vec![0.1, 0.5] });
        assert_eq!(chosen("300ms"), Chosen { slow_over: 0.5, others: vec![0.1, 0.25] });
        assert_eq!(chosen("1s"), Chosen { slow_over: 1.0, others: vec![0.1, 0.25, 0.5] });
        assert_eq!(shape.survey(&plan("2s", "seconds"), 7), None);
        let quiet = Shape { below: vec![("0.5".into(), 0.0), ("+Inf".into(), 0.0)], sets: 1, native: false };
        let chosen = quiet.survey(&plan("300ms", "seconds"), 7).unwrap().chosen;
        assert_eq!(chosen, Chosen { slow_over: 0.5, others: vec![] });
    }

    #[test]
    fn two_spellings_are_one_boundary_and_milliseconds_are_milliseconds() {
        let shape = shape(&[("100", 400.0), ("100.0", 400.0), ("250", 900.0), ("5e2", 990.0)]);
        let survey = shape.survey(&plan("300ms", "milliseconds"), 7).unwrap();
        assert_eq!(survey.chosen, Chosen { slow_over: 0.5, others: vec![0.1, 0.25] });
        assert!(survey.resolution.contains("are 250 ms and 500 ms"), "{}", survey.resolution);
    }

    #[test]
    fn many_are_spread_evenly() {
        let all: Vec<f64> = (0..20).map(f64::from).collect();
        assert_eq!(spread(&all, 7), [0.0, 3.0, 6.0, 9.0, 12.0, 15.0, 19.0]);
        assert_eq!(
            (spread(&all, 1), spread(&all, 0), spread(&all[..3], 7)),
            (vec![0.0], vec![], vec![0.0, 1.0, 2.0])
        );
    }

    #[test]
    fn what_the_buckets_cannot_tell_is_said() {
        let shape = shape(&[("0.1", 500.0), ("0.25", 900.0), ("0.5", 990.0), ("1", 999.0)]);
        let said = |threshold: &str| shape.survey(&plan(threshold, "seconds"), 7).unwrap().resolution;
        assert_eq!(
            said("300ms"),
            "slow is over 500 ms, as no bucket ends at 300 ms: the boundaries next to it are 250 ms and 500 ms, and a slowdown \
             under 2 times can be missed between them"
        );
        assert_eq!(
            said("250ms"),
            "slow is over 250 ms; the boundaries next to it are 100 ms and 500 ms: a slowdown under 2.5 times can be missed \
             between them"
        );
        assert_eq!(
            said("1s"),
            "slow is over 1 s; the boundary next to it is 500 ms: a slowdown under 2 times can be missed between them"
        );
        assert_eq!(said("20ms"), "slow is over 100 ms, as no bucket ends at 20 ms and none ends below it");
    }
}
