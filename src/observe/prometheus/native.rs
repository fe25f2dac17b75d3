//! Native histograms as the cumulative buckets that everything else counts by. Pure.
//!
//! The API gives the buckets that hold something, each with its own limits, and leaves empty ones out. What is slower than a boundary is
//! known exactly where no bucket lies across it: boundaries of a schema are every second one of the next finer schema, so that one taken
//! from a coarser grid outlives a histogram whose resolution is reduced.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Point, RawSeries, answer::instant, convert::same};

/// The finest grid that boundaries are taken from: schema 3, 9 % from one to the next.
const FINEST: i32 = 3;

/// Schemas that there are.
const SCHEMAS: std::ops::RangeInclusive<i32> = -4..=8;

/// Most boundaries that are looked at.
const MOST: usize = 2_000;

/// A histogram as the API writes it.
#[derive(Debug, Deserialize)]
pub(super) struct Native {
    count: String,
    /// Which limits belong to the bucket, the lower and the upper limit, and what it holds.
    #[serde(default)]
    buckets: Vec<(u8, String, String, String)>,
}

/// Its buckets that hold something. Those of negative durations are under every boundary.
#[derive(Debug, PartialEq)]
pub(super) struct Histogram(Vec<Bucket>);

#[derive(Debug, Clone, Copy, PartialEq)]
struct Bucket {
    from: f64,
    to: f64,
    count: f64,
}

impl Histogram {
    /// `None` where it is no count: a stale marker, or numbers that are none.
    pub(super) fn of(native: &Native) -> Option<Self> {
        let number = |text: &String| text.parse::<f64>().ok().filter(|number| !number.is_nan());
        let count = |text: &String| number(text).filter(|count| *count >= 0.0 && count.is_finite());
        count(&native.count)?;
        let bucket = |(_, from, to, held): &(u8, String, String, String)| {
            Some(Bucket { from: number(from)?, to: number(to)?, count: count(held)? })
        };
        let buckets: Option<Vec<Bucket>> = native.buckets.iter().map(bucket).collect();
        Some(Self(buckets?.into_iter().filter(|bucket| bucket.count > 0.0).collect()))
    }

    /// All that was measured. NaN is in the histogram's own count and in no bucket: it is no duration, and counts nowhere.
    pub(super) fn all(&self) -> f64 {
        self.0.iter().map(|bucket| bucket.count).sum()
    }

    /// How many were at most `at`; `None` where a bucket lies across it.
    pub(super) fn below(&self, at: f64) -> Option<f64> {
        let each = self.0.iter().map(|bucket| {
            if bucket.to <= at || same(bucket.to, at) {
                Some(bucket.count)
            } else {
                (bucket.from >= at || same(bucket.from, at)).then_some(0.0)
            }
        });
        each.sum()
    }

    /// Boundaries that can be counted at, up to the first at or above `wanted` at least: of a schema those of the next coarser one, and
    /// custom ones as they are, as far as a bucket next to them holds something.
    pub(super) fn edges(&self, wanted: f64) -> Vec<f64> {
        let proper = |bucket: &&Bucket| bucket.from > 0.0 && bucket.to.is_finite();
        let proper: Vec<&Bucket> = self.0.iter().filter(proper).collect();
        let schema = SCHEMAS.rev().find(|schema| proper.iter().all(|bucket| bucket.is_of(*schema)));
        let edges = match schema.filter(|_| !proper.is_empty()) {
            Some(schema) => {
                let grid = (schema - 1).min(FINEST);
                let per_octave = f64::from(grid).exp2();
                let low = proper.iter().map(|bucket| bucket.from).fold(wanted, f64::min);
                let high = proper.iter().map(|bucket| bucket.to).fold(wanted, f64::max);
                let first = (low.log2() * per_octave).floor();
                let edge = |i: u32| ((first + f64::from(i)) / per_octave).exp2();
                let mut edges: Vec<f64> =
                    (0..).map(edge).take(MOST).take_while(|edge| *edge < high).collect();
                edges.extend(u32::try_from(edges.len()).ok().map(edge));
                edges
            }
            None => self.0.iter().flat_map(|bucket| [bucket.from, bucket.to]).take(MOST).collect(),
        };
        edges.into_iter().filter(|edge| *edge > 0.0 && edge.is_finite()).collect()
    }
}

impl Bucket {
    /// Its limits are neighbours in the grid of that schema.
    fn is_of(self, schema: i32) -> bool {
        let per_octave = f64::from(schema).exp2();
        let (from, to) = (self.from.log2() * per_octave, self.to.log2() * per_octave);
        let near = |a: f64, b: f64| (a - b).abs() < 1e-6;
        near(to - from, 1.0) && near(to, to.round())
    }
}

/// A boundary as a label, as an exporter of buckets would write it.
pub(super) fn label(edge: f64) -> String {
    edge.to_string()
}

/// Samples of one series as buckets of those boundaries. A sample whose buckets lie across a boundary has none there.
pub(super) fn buckets(
    labels: &BTreeMap<String, String>,
    samples: &[(f64, Native)],
    edges: &[f64],
) -> Vec<RawSeries> {
    let with = |le: String| {
        let mut labels = labels.clone();
        labels.insert("le".to_owned(), le);
        RawSeries { labels, points: Vec::new() }
    };
    let mut all = with("+Inf".to_owned());
    let mut below: Vec<(f64, RawSeries)> = edges.iter().map(|edge| (*edge, with(label(*edge)))).collect();
    for (at, native) in samples {
        let (Some(at), Some(histogram)) = (instant(*at), Histogram::of(native)) else { continue };
        all.points.push(Point { at, value: histogram.all() });
        for (edge, series) in &mut below {
            series.points.extend(histogram.below(*edge).map(|value| Point { at, value }));
        }
    }
    below
        .into_iter()
        .map(|(_, series)| series)
        .chain([all])
        .filter(|series| !series.points.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn native(json: &str) -> Native {
        serde_json::from_str(json).unwrap()
    }

    /// As Prometheus documents it, and with what it leaves out.
    const EXAMPLE: &str = r#"{"count":"42","sum":"34593.34","buckets":[[1,"-0.5","-0.25","2"],[3,"-0.25","0.25","3"],[0,"0.25","0.5","12"],
        [0,"0.5","1","21"],[0,"2","4","4"]]}"#;

    #[test]
    fn what_is_under_a_boundary_is_exact_or_not_known() {
        let histogram = Histogram::of(&native(EXAMPLE)).unwrap();
        assert!((histogram.all() - 42.0).abs() < 1e-9);
        let below = [0.25, 0.5, 1.0, 1.5, 2.0, 4.0, 9.0].map(|at| histogram.below(at));
        assert_eq!(
            below,
            [5.0, 17.0, 38.0, 38.0, 38.0, 42.0, 42.0].map(Some),
            "the zero bucket and negative ones are fast, and an empty bucket may be cut"
        );
        assert_eq!((histogram.below(0.3), histogram.below(3.0), histogram.below(0.1)), (None, None, None));
    }

    #[test]
    fn empty_stale_and_broken_ones() {
        let empty = Histogram::of(&native(r#"{"count":"0","sum":"0"}"#)).unwrap();
        assert_eq!((empty.all(), empty.below(0.5), empty.edges(0.3)), (0.0, Some(0.0), vec![]));
        for broken in [
            r#"{"count":"NaN","sum":"NaN"}"#,
            r#"{"count":"-1","sum":"0"}"#,
            r#"{"count":"3","sum":"1","buckets":[[0,"0.5","1","-3"]]}"#,
            r#"{"count":"3","sum":"1","buckets":[[0,"0.5","x","3"]]}"#,
        ] {
            assert_eq!(Histogram::of(&native(broken)), None, "{broken}");
        }
        let nan = native(r#"{"count":"4","sum":"NaN","buckets":[[0,"0.5","1","3"]]}"#);
        assert!((Histogram::of(&nan).unwrap().all() - 3.0).abs() < 1e-9, "NaN is no duration");
    }

    /// A bucket of that schema, with how much it holds.
    fn bucket(schema: i32, index: i32, count: f64) -> Bucket {
        let edge = |i: i32| (f64::from(i) / f64::from(schema).exp2()).exp2();
        Bucket { from: edge(index - 1), to: edge(index), count }
    }

    #[test]
    fn boundaries_are_of_the_next_coarser_schema() {
        // Schema 3 from 0.25 to 1 s.
        let fine = Histogram((-15..=0).map(|i| bucket(3, i, 1.0)).collect());
        let edges = fine.edges(0.3);
        let quarter = |i: f64| (i / 4.0).exp2();
        assert!(edges.iter().zip([-8.0, -7.0, -6.0]).all(|(edge, i)| same(*edge, quarter(i))), "{edges:?}");
        assert_eq!(edges.len(), 9);
        assert!(edges.iter().all(|edge| fine.below(*edge).is_some()));
        // Its resolution halved, the same boundaries are still exact.
        let halved = Histogram((-7..=0).map(|i| bucket(2, i, 2.0)).collect());
        assert!(edges.iter().all(|edge| halved.below(*edge) == fine.below(*edge)));
        // Halved again, every second one is left.
        let again = Histogram((-3..=0).map(|i| bucket(1, i, 4.0)).collect());
        assert_eq!(edges.iter().filter(|edge| again.below(**edge).is_some()).count(), 5);
        // Schema 8 is not followed into the last decimal.
        let finest = Histogram(vec![bucket(8, -400, 1.0), bucket(8, -300, 1.0)]);
        assert!(finest.edges(0.3).windows(2).all(|two| two[1] / two[0] > 1.09));
        // A threshold above everything that was measured has a boundary too.
        assert!(fine.edges(7.0).last().is_some_and(|edge| *edge >= 7.0));
    }

    #[test]
    fn custom_boundaries_are_taken_as_they_are() {
        let json = r#"{"count":"30","sum":"9","buckets":[[0,"-Inf","0.1","10"],[0,"0.1","0.25","10"],[0,"1","+Inf","10"]]}"#;
        let custom = Histogram::of(&native(json)).unwrap();
        let mut edges = custom.edges(0.3);
        edges.dedup();
        assert_eq!(edges, [0.1, 0.25, 1.0]);
        assert_eq!(
            (custom.below(0.1), custom.below(0.25), custom.below(1.0)),
            (Some(10.0), Some(20.0), Some(20.0))
        );
    }

    #[test]
    fn as_buckets_with_their_times() {
        let labels = BTreeMap::from([("pod".to_owned(), "a".to_owned())]);
        let samples = [
            (10.5, native(EXAMPLE)),
            (20.5, native(r#"{"count":"NaN","sum":"NaN"}"#)),
            (
                30.5,
                native(r#"{"count":"50","sum":"1","buckets":[[3,"-0.25","0.25","9"],[0,"0.25","1","41"]]}"#),
            ),
        ];
        let series = buckets(&labels, &samples, &[0.25, 0.5]);
        let told: Vec<(&str, Vec<(i64, f64)>)> = series
            .iter()
            .map(|s| (s.labels["le"].as_str(), s.points.iter().map(|p| (p.at, p.value)).collect()))
            .collect();
        assert_eq!(
            told,
            [
                ("0.25", vec![(10_500, 5.0), (30_500, 9.0)]),
                ("0.5", vec![(10_500, 17.0)]),
                ("+Inf", vec![(10_500, 42.0), (30_500, 50.0)])
            ]
        );
    }
}
