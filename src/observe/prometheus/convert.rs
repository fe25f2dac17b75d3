//! Raw series as the judge's counts. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use super::{PodSamples, PodTarget, Point, RawSeries, Series};
use crate::{
    api::TargetLabels,
    judge::{At, MemorySamples},
    observe::presets::{Chosen, LatencyPlan},
};

/// Labels that say who scraped, not what: two scrapers of one target would count everything twice.
const SCRAPER_LABELS: [&str; 3] = ["job", "prometheus", "prometheus_replica"];

/// The histogram's boundary that stands for the threshold.
#[derive(Debug, Clone, PartialEq)]
pub struct Boundary {
    /// The boundary used, in the histogram's unit.
    pub bucket: f64,
    /// The threshold that was asked for, in the same unit.
    pub wanted: f64,
    /// How the series write it (`0.5`, or `1` and `1.0`).
    pub le: Vec<String>,
    /// Other boundaries at which the pools are compared, in the judge's order.
    pub others: Vec<Edge>,
    /// They are those of a native histogram.
    pub native: bool,
}

/// A boundary of a histogram.
#[derive(Debug, Clone, PartialEq)]
pub struct Edge {
    /// In the histogram's unit.
    pub at: f64,
    /// How the series write it; nothing if none has it.
    pub le: Vec<String>,
}

impl Edge {
    fn of(les: &[String], at: f64) -> Self {
        let is_at = |le: &&String| boundary_of(le).is_some_and(|value| same(value, at));
        Self { at, le: les.iter().filter(is_at).cloned().collect() }
    }
}

impl Boundary {
    /// Whether the boundary is the threshold itself.
    pub fn is_exact(&self) -> bool {
        same(self.bucket, self.wanted)
    }
}

pub(super) fn same(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9 * b.abs()
}

pub(super) fn boundary_of(le: &str) -> Option<f64> {
    le.parse::<f64>().ok().filter(|value| value.is_finite())
}

pub(super) fn is_infinite(le: &str) -> bool {
    le.parse::<f64>().is_ok_and(|value| value == f64::INFINITY)
}

/// The smallest finite boundary at or above the threshold. With `+Inf` alone nothing would ever be slow, so that is none.
pub fn boundary(les: &[String], wanted: f64) -> Option<Boundary> {
    let fits = |value: &f64| *value >= wanted || same(*value, wanted);
    let bucket = les.iter().filter_map(|le| boundary_of(le)).filter(fits).min_by(f64::total_cmp)?;
    let Edge { le, .. } = Edge::of(les, bucket);
    Some(Boundary { bucket, wanted, le, others: Vec::new(), native: false })
}

/// The boundaries that were chosen for an attempt. `None` if the one for the threshold is not among `common`; others are looked for in
/// `all`, and compared where a pod has them.
pub fn fixed_boundary(
    common: &[String],
    all: &[String],
    plan: &LatencyPlan,
    chosen: &Chosen,
) -> Option<Boundary> {
    let unit = plan.per_second();
    let Edge { at, le } = Edge::of(common, chosen.slow_over * unit);
    let others = chosen.others.iter().map(|at| Edge::of(all, at * unit)).collect();
    (!le.is_empty()).then_some(Boundary { bucket: at, wanted: plan.wanted(), le, others, native: false })
}

/// Series of the pods that are asked about, each counted once, by pod.
struct ByPod<'a> {
    pods: BTreeMap<&'a str, Vec<(String, RawSeries)>>,
    instances: BTreeMap<&'a str, BTreeSet<String>>,
}

impl<'a> ByPod<'a> {
    fn sort(raw: Vec<RawSeries>, pods: &'a [PodTarget], labels: &TargetLabels, hide: &[&str]) -> Self {
        let names: BTreeSet<&str> = pods.iter().map(|pod| pod.name.as_str()).collect();
        let scraper = |series: &RawSeries| SCRAPER_LABELS.map(|label| text(series, label).to_owned());
        // Per pod and instance the scraper that comes first in the alphabet: any one, but always the same.
        let mut chosen: BTreeMap<(&str, String), [String; 3]> = BTreeMap::new();
        let mut known = Vec::new();
        for series in raw {
            let Some(pod) = names.get(text(&series, &labels.pod)).copied() else { continue };
            let instance = text(&series, "instance").to_owned();
            let this = scraper(&series);
            let entry = chosen.entry((pod, instance.clone())).or_insert_with(|| this.clone());
            if this < *entry {
                entry.clone_from(&this);
            }
            known.push((pod, instance, this, series));
        }
        let mut sorted = Self { pods: BTreeMap::new(), instances: BTreeMap::new() };
        for (pod, instance, this, series) in known {
            if chosen.get(&(pod, instance.clone())) != Some(&this) {
                continue;
            }
            let id = id(&series, labels, hide);
            sorted.pods.entry(pod).or_default().push((id, series));
            sorted.instances.entry(pod).or_default().insert(instance);
        }
        sorted
    }
}

fn text<'a>(series: &'a RawSeries, label: &str) -> &'a str {
    series.labels.get(label).map_or("", String::as_str)
}

/// A name for a series within its pod that does not change with the scraper.
fn id(series: &RawSeries, labels: &TargetLabels, hide: &[&str]) -> String {
    let mut out = String::new();
    for (name, value) in &series.labels {
        let hidden = *name == labels.pod
            || *name == labels.namespace
            || SCRAPER_LABELS.contains(&name.as_str())
            || hide.contains(&name.as_str());
        if !hidden {
            let comma = if out.is_empty() { "" } else { "," };
            let _ = write!(out, "{comma}{name}={value:?}");
        }
    }
    out
}

/// `process_start_time_seconds` of the very process that the metric comes from: a sidecar's would look like a second one. With several
/// processes behind one pod, each on its own port, there is no single start, and none is given. Without any series yet it still shows
/// that the pod is scraped.
fn starts(
    raw: &[RawSeries],
    pod: &str,
    instances: Option<&BTreeSet<String>>,
    labels: &TargetLabels,
) -> Vec<Point> {
    let mine = || raw.iter().filter(|series| text(series, &labels.pod) == pod);
    let instance = match instances {
        Some(one) if one.len() == 1 => one.first().map(String::as_str),
        Some(_) => None,
        None => mine().map(|series| text(series, "instance")).min(),
    };
    let Some(instance) = instance else { return Vec::new() };
    let process = mine().filter(|series| text(series, "instance") == instance);
    process
        .min_by_key(|s| SCRAPER_LABELS.map(|label| text(s, label)))
        .map(|s| s.points.clone())
        .unwrap_or_default()
}

fn assemble(
    mut counted: BTreeMap<&str, Vec<Series>>,
    instances: &BTreeMap<&str, BTreeSet<String>>,
    process_starts: &[RawSeries],
    pods: &[PodTarget],
    labels: &TargetLabels,
) -> Vec<PodSamples> {
    let one = |pod: &PodTarget| {
        let series = counted.remove(pod.name.as_str()).unwrap_or_default();
        let mut process_start = starts(process_starts, &pod.name, instances.get(pod.name.as_str()), labels);
        // They were asked for last: a scrape that the counters do not have yet comes with the next look.
        if let Some(last) =
            series.iter().filter_map(|series| series.points.last()).map(|point| point.at).max()
        {
            process_start.retain(|point| point.at <= last);
        }
        PodSamples {
            pod: pod.name.clone(),
            pool: pod.pool,
            started: pod.started,
            counted_from: pod.counted_from,
            series,
            process_start,
        }
    };
    pods.iter().map(one).collect()
}

/// Where failures were found.
#[derive(Debug, Clone)]
pub enum RawFailures {
    /// Series among the requests: only their names are used, so that no request is counted from two answers.
    Among(Vec<RawSeries>),
    /// Series of their own, asked for after the requests.
    Apart(Vec<RawSeries>),
}

/// Requests and failures, one entry per pod that was asked about, with no series where there were none.
pub fn error_samples(
    requests: Vec<RawSeries>,
    failures: RawFailures,
    process_starts: &[RawSeries],
    pods: &[PodTarget],
    labels: &TargetLabels,
) -> Vec<PodSamples> {
    let requests = ByPod::sort(requests, pods, labels, &[]);
    let mut counted: BTreeMap<&str, Vec<Series>> = BTreeMap::new();
    match failures {
        RawFailures::Among(failed) => {
            let failed: BTreeSet<BTreeMap<String, String>> = failed.into_iter().map(|s| s.labels).collect();
            for (pod, series) in requests.pods {
                let one = |(id, raw): (String, RawSeries)| {
                    let k = if failed.contains(&raw.labels) { 1.0 } else { 0.0 };
                    Series { id, n: 1.0, k, at: At::Everywhere, points: raw.points }
                };
                counted.insert(pod, series.into_iter().map(one).collect());
            }
        }
        RawFailures::Apart(failed) => {
            let failed = ByPod::sort(failed, pods, labels, &[]);
            for (pod, series) in requests.pods {
                // A scrape between the two questions would show failures of requests that are not counted yet.
                let last = series.iter().filter_map(|(_, raw)| raw.points.last()).map(|point| point.at).max();
                let mut all: Vec<Series> = series
                    .into_iter()
                    .map(|(id, raw)| Series {
                        id: format!("requests {id}"),
                        n: 1.0,
                        k: 0.0,
                        at: At::Everywhere,
                        points: raw.points,
                    })
                    .collect();
                for (id, raw) in failed.pods.get(pod).into_iter().flatten() {
                    let points: Vec<Point> =
                        raw.points.iter().copied().filter(|point| Some(point.at) <= last).collect();
                    if !points.is_empty() {
                        let id = format!("errors {id}");
                        all.push(Series { id, n: 0.0, k: 1.0, at: At::Everywhere, points });
                    }
                }
                counted.insert(pod, all);
            }
        }
    }
    assemble(counted, &requests.instances, process_starts, pods, labels)
}

/// The boundaries for a native histogram.
pub fn native_boundary(plan: &LatencyPlan, chosen: &Chosen) -> Boundary {
    let edge = |at: &f64| Edge { at: at * plan.per_second(), le: Vec::new() };
    Boundary {
        bucket: chosen.slow_over * plan.per_second(),
        wanted: plan.wanted(),
        le: Vec::new(),
        others: chosen.others.iter().map(edge).collect(),
        native: true,
    }
}

/// The buckets of one label set.
#[derive(Default)]
struct Buckets {
    all: Vec<Point>,
    below: Vec<Point>,
    others: BTreeMap<usize, Vec<Point>>,
}

/// Requests and slow ones out of the buckets `+Inf` and those of `boundary`. A request counter without its bucket is left out: it would make every
/// request slow.
pub fn latency_samples(
    buckets: Vec<RawSeries>,
    boundary: &Boundary,
    process_starts: &[RawSeries],
    pods: &[PodTarget],
    labels: &TargetLabels,
) -> Vec<PodSamples> {
    let buckets = ByPod::sort(buckets, pods, labels, &["le"]);
    let mut counted: BTreeMap<&str, Vec<Series>> = BTreeMap::new();
    for (pod, series) in buckets.pods {
        let mut sets: BTreeMap<String, Buckets> = BTreeMap::new();
        for (id, raw) in series {
            let buckets = sets.entry(id).or_default();
            let le = text(&raw, "le");
            if is_infinite(le) {
                buckets.all.extend(raw.points);
                continue;
            }
            let Some(at) = boundary_of(le) else { continue };
            if same(at, boundary.bucket) {
                buckets.below.extend(raw.points);
            } else if let Some(other) = boundary.others.iter().position(|other| same(at, other.at)) {
                buckets.others.entry(other).or_default().extend(raw.points);
            }
        }
        let all = counted.entry(pod).or_default();
        for (id, mut buckets) in sets {
            super::answer::tidy(&mut buckets.all);
            super::answer::tidy(&mut buckets.below);
            let (requests, below) = common(&buckets.all, &buckets.below);
            if requests.is_empty() {
                continue;
            }
            for (other, mut points) in buckets.others {
                super::answer::tidy(&mut points);
                let (_, points) = common(&requests, &points);
                let (Some(edge), Ok(index)) = (boundary.others.get(other), u8::try_from(other)) else {
                    continue;
                };
                let id = format!("below {id} le={}", edge.at);
                all.push(Series { id, n: 0.0, k: -1.0, at: At::Other(index), points });
            }
            // The boundary is part of both names: with another one both begin anew, never one alone.
            let id = format!("{id} le={}", boundary.bucket);
            all.push(Series {
                id: format!("all {id}"),
                n: 1.0,
                k: 1.0,
                at: At::Everywhere,
                points: requests,
            });
            all.push(Series { id: format!("below {id}"), n: 0.0, k: -1.0, at: At::Threshold, points: below });
        }
    }
    assemble(counted, &buckets.instances, process_starts, pods, labels)
}

/// The samples of both at the times that both have.
fn common(a: &[Point], b: &[Point]) -> (Vec<Point>, Vec<Point>) {
    let times = |points: &[Point]| points.iter().map(|point| point.at).collect::<BTreeSet<_>>();
    let (in_a, in_b) = (times(a), times(b));
    let keep = |points: &[Point], other: &BTreeSet<i64>| {
        points.iter().copied().filter(|point| other.contains(&point.at)).collect::<Vec<_>>()
    };
    (keep(a, &in_b), keep(b, &in_a))
}

/// Bytes of each pod that has any: of several series of a scrape, all together.
pub fn memory_samples(raw: Vec<RawSeries>, pods: &[PodTarget], labels: &TargetLabels) -> Vec<MemorySamples> {
    let mut raw = ByPod::sort(raw, pods, labels, &[]);
    let of = |pod: &PodTarget| {
        let mut sums: BTreeMap<i64, f64> = BTreeMap::new();
        for (_, series) in raw.pods.remove(pod.name.as_str())? {
            series.points.iter().for_each(|point| *sums.entry(point.at).or_default() += point.value);
        }
        let points = sums.into_iter().map(|(at, value)| Point { at, value }).collect();
        Some(MemorySamples { pod: pod.name.clone(), pool: pod.pool, counted_from: pod.counted_from, points })
    };
    pods.iter().filter_map(of).collect()
}

/// Requests and CPU-seconds on one grid: `n` counts both and `k` the CPU-seconds, as the judge's benefit has them. CPU time is that of the
/// processes that answer the requests; where it is counted from outside (by the kubelet, say), of all that the selector names.
pub fn cpu_samples(
    requests: Vec<RawSeries>,
    cpu: Vec<RawSeries>,
    process_starts: &[RawSeries],
    pods: &[PodTarget],
    labels: &TargetLabels,
) -> Vec<PodSamples> {
    let requests = ByPod::sort(requests, pods, labels, &[]);
    let mut cpu = ByPod::sort(cpu, pods, labels, &[]);
    let mut counted: BTreeMap<&str, Vec<Series>> = BTreeMap::new();
    for (pod, series) in requests.pods {
        let answers = requests.instances.get(pod);
        let inside = |raw: &RawSeries| answers.is_some_and(|all| all.contains(text(raw, "instance")));
        let mut seconds = cpu.pods.remove(pod).unwrap_or_default();
        if seconds.iter().any(|(_, raw)| inside(raw)) {
            seconds.retain(|(_, raw)| inside(raw));
        }
        // Requests without CPU time would look like a pool that works for nothing.
        if seconds.is_empty() {
            continue;
        }
        let one = |what: &str, k: f64, (id, raw): (String, RawSeries)| Series {
            at: At::Everywhere,
            id: format!("{what} {id}"),
            n: 1.0,
            k,
            points: raw.points,
        };
        let all = series.into_iter().map(|s| one("requests", 0.0, s));
        counted.insert(pod, all.chain(seconds.into_iter().map(|s| one("cpu", 1.0, s))).collect());
    }
    let mut samples = assemble(counted, &requests.instances, process_starts, pods, labels);
    // A pod whose CPU time nobody knows is not one that does nothing.
    samples.iter_mut().filter(|pod| pod.series.is_empty()).for_each(|pod| pod.process_start.clear());
    samples
}
