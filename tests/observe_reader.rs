//! What a pass reads, replayed from a recording: only what is new, each request once, and nothing that would invent evidence.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use freethread_rollout::{
    api::{Analysis, TargetLabels},
    observe::{
        presets::{Chosen, CpuPlan, MetricPlan},
        prometheus::{
            At, AttemptKey, CpuReader, MemoryReader, MetricSource, PodSamples, PodTarget, Point, Pool,
            QueryProblem, RawSeries, Reader, Scope, Shape, Window, promql::Selector,
        },
    },
};
use futures::{FutureExt as _, future::BoxFuture};
use serde_json::json;

/// Series with labels and samples at seconds; a query gets what its name, its `=~` and `!~` on status and le, and its window let through.
#[derive(Default)]
struct Recording {
    series: Mutex<Vec<(String, RawSeries)>>,
    asked: Mutex<Vec<(String, Window)>>,
    down: Mutex<bool>,
}

impl Recording {
    fn add(&self, name: &str, labels: &[(&str, &str)], points: &[(i64, f64)]) {
        let labels: BTreeMap<String, String> =
            labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let points = points.iter().map(|(at, value)| Point { at: at * 1000, value: *value }).collect();
        self.series.lock().unwrap().push((name.to_owned(), RawSeries { labels, points }));
    }

    fn matching(&self, selector: &Selector, pods: &[String]) -> Vec<RawSeries> {
        let all = self.series.lock().unwrap();
        let fits = |series: &RawSeries| {
            let text = |label: &str| series.labels.get(label).cloned().unwrap_or_default();
            let status =
                selector.matchers.iter().all(|m| m.label != "status" || text("status").starts_with('5'));
            let le = selector.matchers.iter().filter(|m| m.label == "le").all(|m| {
                let allowed = m.value.trim_start_matches("^(?:").trim_end_matches(")$").replace('\\', "");
                allowed.split('|').any(|le| le == text("le"))
            });
            pods.contains(&text("pod")) && status && le
        };
        all.iter()
            .filter(|(name, series)| *name == selector.name && fits(series))
            .map(|(_, s)| s.clone())
            .collect()
    }
}

impl MetricSource for Recording {
    fn samples<'a>(
        &'a self,
        _: &'a Scope,
        selector: &'a Selector,
        pods: &'a [String],
        window: Window,
    ) -> BoxFuture<'a, Result<Vec<RawSeries>, QueryProblem>> {
        async move {
            self.asked.lock().unwrap().push((selector.name.clone(), window));
            if *self.down.lock().unwrap() {
                let (profile, query) = ("default".into(), selector.name.clone());
                return Err(QueryProblem::Timeout { profile, query, within: 1 });
            }
            let mut found = self.matching(selector, pods);
            for series in &mut found {
                series.points.retain(|p| (window.from..=window.to).contains(&p.at));
            }
            found.retain(|series| !series.points.is_empty());
            Ok(found)
        }
        .boxed()
    }

    fn values<'a>(
        &'a self,
        _: &'a Scope,
        selector: &'a Selector,
        pods: &'a [String],
        label: &'a str,
        _: i64,
    ) -> BoxFuture<'a, Result<Vec<String>, QueryProblem>> {
        let found = self.matching(selector, pods).into_iter().filter_map(|mut s| s.labels.remove(label));
        std::future::ready(Ok(found.collect())).boxed()
    }

    fn histograms<'a>(
        &'a self,
        _: &'a Scope,
        _: &'a Selector,
        _: &'a [String],
        _: Window,
        _: &'a [f64],
    ) -> BoxFuture<'a, Result<Vec<RawSeries>, QueryProblem>> {
        std::future::ready(Ok(Vec::new())).boxed()
    }

    fn shape<'a>(
        &'a self,
        _: &'a Scope,
        buckets: &'a Selector,
        pods: &'a [String],
        window: Window,
        _: f64,
    ) -> BoxFuture<'a, Result<Shape, QueryProblem>> {
        let mut below: BTreeMap<String, f64> = BTreeMap::new();
        let found = self.matching(buckets, pods);
        for series in &found {
            let mut inside = series.points.iter().filter(|p| (window.from..=window.to).contains(&p.at));
            let (first, last) = (inside.next(), inside.next_back());
            let more = first.zip(last).map_or(0.0, |(first, last)| last.value - first.value);
            *below.entry(series.labels["le"].clone()).or_default() += more;
        }
        let sets = found.len() / below.len().max(1);
        std::future::ready(Ok(Shape { sets, below: below.into_iter().collect(), native: false })).boxed()
    }
}

const SCRAPE: i64 = 10_000;
const KEY: AttemptKey = AttemptKey { attempt: 1, since: 1_000_000 };

fn scope() -> Scope {
    Scope {
        profile: "default".into(),
        rollout: "r".into(),
        namespace: "shop".into(),
        labels: TargetLabels::default(),
    }
}

fn plan(preset: &str) -> MetricPlan {
    let analysis: Analysis = serde_json::from_value(
        json!({"preset": preset, "errorRate": {"max": "1%"}, "latency": {"threshold": "300ms", "max": "1%"}}),
    )
    .unwrap();
    MetricPlan::of(&analysis).unwrap()
}

fn pods() -> Vec<PodTarget> {
    [("old", Pool::Standard), ("new", Pool::FreeThreaded)]
        .map(|(name, pool)| PodTarget { name: name.into(), pool, started: 0, counted_from: 0 })
        .into()
}

/// Both pods with requests, failures and durations as fastapi's exporter has them.
fn fastapi() -> Arc<Recording> {
    let recording = Arc::new(Recording::default());
    for pod in ["old", "new"] {
        let target = [("pod", pod), ("instance", pod), ("job", "a"), ("handler", "/x")];
        let with = |more: &[(&'static str, &'static str)]| [&target[..], more].concat();
        recording.add("http_requests_total", &with(&[("status", "2xx")]), &[(1000, 5.0), (1010, 7.0)]);
        recording.add("http_requests_total", &with(&[("status", "5xx")]), &[(1010, 1.0)]);
        for (le, value) in [("0.1", 1.0), ("0.5", 6.0), ("1.0", 7.0), ("+Inf", 8.0)] {
            recording.add(
                "http_request_duration_seconds_bucket",
                &with(&[("le", le)]),
                &[(1000, value), (1010, value)],
            );
        }
        recording.add("process_start_time_seconds", &target, &[(1000, 900.0), (1010, 900.0), (1020, 900.0)]);
    }
    recording
}

async fn read(
    reader: &Reader,
    plan: &MetricPlan,
    now: i64,
) -> freethread_rollout::observe::prometheus::Reading {
    reader.read(&scope(), KEY, plan, &pods(), SCRAPE, now).await
}

fn of<'a>(samples: &'a [PodSamples], pod: &str) -> &'a PodSamples {
    samples.iter().find(|samples| samples.pod == pod).unwrap()
}

fn coefficients(samples: &PodSamples) -> Vec<(f64, f64, usize)> {
    samples.series.iter().map(|series| (series.n, series.k, series.points.len())).collect()
}

#[tokio::test]
async fn requests_failures_and_slow_ones() {
    let reader = Reader::new(fastapi());
    let reading = read(&reader, &plan("fastapi-instrumentator"), 1_015_000).await;
    let errors = reading.metrics["errors"].clone();
    assert!(errors.caught_up && errors.until == 1_015_000);
    let samples = errors.samples.unwrap();
    assert_eq!((of(&samples, "old").pool, of(&samples, "new").pool), (Pool::Standard, Pool::FreeThreaded));
    assert_eq!(coefficients(of(&samples, "new")), [(1.0, 0.0, 2), (1.0, 1.0, 1)]);
    assert_eq!(of(&samples, "new").process_start.len(), 2, "no scrape that the counters do not have");

    let latency = reading.metrics["latency"].clone();
    let boundary = latency.boundary.unwrap();
    assert!(
        (boundary.bucket - 0.5).abs() < 1e-12
            && (boundary.wanted - 0.3).abs() < 1e-12
            && !boundary.is_exact()
    );
    assert_eq!(coefficients(of(&latency.samples.unwrap(), "new")), [(1.0, 1.0, 2), (0.0, -1.0, 2)]);
}

#[tokio::test]
async fn only_what_is_new_is_asked_for_and_an_outage_loses_nothing() {
    let recording = fastapi();
    let reader = Reader::new(recording.clone());
    let plan = plan("fastapi-instrumentator");
    let asked = |name: &str| {
        let all = std::mem::take(&mut *recording.asked.lock().unwrap());
        let (_, window) = all.into_iter().find(|(asked, _)| asked == name).unwrap();
        (window.from, window.to)
    };
    read(&reader, &plan, 1_015_000).await;
    assert_eq!(asked("http_requests_total"), (1_000_000 - 21_000, 1_015_000), "from before the attempt");
    *recording.down.lock().unwrap() = true;
    let reading = read(&reader, &plan, 1_020_000).await;
    assert!(matches!(reading.metrics["errors"].clone().samples, Err(QueryProblem::Timeout { .. })));
    assert_eq!(asked("http_requests_total"), (1_015_000 - 21_000, 1_020_000));
    *recording.down.lock().unwrap() = false;
    read(&reader, &plan, 1_025_000).await;
    assert_eq!(asked("http_requests_total"), (1_015_000 - 21_000, 1_025_000), "the failed stretch again");
    read(&reader, &plan, 1_020_000).await;
    assert_eq!(asked("http_requests_total"), (1_020_000 - 21_000, 1_020_000), "a clock set back");
    reader.forget("r");
    read(&reader, &plan, 1_025_000).await;
    assert_eq!(asked("http_requests_total").0, 1_000_000 - 21_000);
}

#[tokio::test]
async fn a_long_attempt_is_replayed_hour_by_hour() {
    let recording = fastapi();
    let reader = Reader::new(recording.clone());
    let plan = plan("fastapi-instrumentator");
    let now = KEY.since + 2 * 3_600_000 + 60_000;
    let mut steps = Vec::new();
    for _ in 0..3 {
        let errors = read(&reader, &plan, now).await.metrics["errors"].clone();
        steps.push((errors.until - KEY.since, errors.caught_up));
    }
    assert_eq!(steps, [(3_600_000, false), (7_200_000, false), (7_260_000, true)]);
}

#[tokio::test]
async fn no_series_at_all_is_a_problem_that_says_the_query() {
    let reader = Reader::new(Arc::new(Recording::default()));
    let errors = read(&reader, &plan("starlette-exporter"), 1_015_000).await.metrics["errors"].clone();
    let problem = errors.samples.unwrap_err().to_string();
    assert!(problem.contains("has no samples of starlette_requests_total{namespace=\"shop\""), "{problem}");
}

#[tokio::test]
async fn a_scrape_between_two_questions_counts_no_failure_without_its_request() {
    let recording = Arc::new(Recording::default());
    let labels = [("pod", "new"), ("instance", "i"), ("queue_name", "q")];
    recording.add("dramatiq_messages_total", &labels, &[(1000, 5.0), (1010, 7.0)]);
    recording.add("dramatiq_message_errors_total", &labels, &[(1000, 1.0), (1010, 1.0), (1012, 3.0)]);
    let reader = Reader::new(recording);
    let errors = read(&reader, &plan("dramatiq"), 1_015_000).await.metrics["errors"].clone().samples.unwrap();
    assert_eq!(coefficients(of(&errors, "new")), [(1.0, 0.0, 2), (0.0, 1.0, 2)]);
    assert!(of(&errors, "old").series.is_empty());
}

#[tokio::test]
async fn a_counter_of_the_users_own_counts_against_its_own_tries_and_has_to_exist() {
    let analysis = json!({
        "preset": "fastapi-instrumentator", "errorRate": {"max": "1%"},
        "counters": [
            {"name": "mismatches", "bad": {"name": "shadow_bad_total"}, "of": {"name": "shadow_total"}},
            {"name": "lost updates", "bad": {"name": "lost_total"}},
        ],
    });
    let plan = MetricPlan::of(&serde_json::from_value::<Analysis>(analysis).unwrap()).unwrap();
    assert_eq!(plan.metrics().collect::<Vec<_>>(), ["errors", "mismatches", "lost updates"]);
    let recording = fastapi();
    for pod in ["old", "new"] {
        let target = [("pod", pod), ("instance", pod), ("job", "a")];
        recording.add("shadow_total", &target, &[(1000, 50.0), (1010, 90.0)]);
        recording.add("shadow_bad_total", &target, &[(1000, 0.0), (1010, 3.0)]);
    }
    let reader = Reader::new(recording.clone());
    let reading = read(&reader, &plan, 1_015_000).await;
    let samples = |name: &str| reading.metrics[name].samples.clone();
    assert_eq!(coefficients(of(&samples("mismatches").unwrap(), "new")), [(1.0, 0.0, 2), (0.0, 1.0, 2)]);
    assert_eq!(samples("errors").unwrap().len(), 2);
    let problem = samples("lost updates").unwrap_err().to_string();
    assert!(problem.contains("has no samples of lost_total{namespace=\"shop\""), "{problem}");
    let target = [("pod", "new"), ("instance", "new"), ("job", "a")];
    recording.add("lost_total", &target, &[(1010, 0.0), (1020, 0.0)]);
    let lost = read(&reader, &plan, 1_025_000).await.metrics["lost updates"].clone();
    assert!(lost.samples.is_ok(), "known on one pod is known");
}

#[tokio::test]
async fn memory_of_one_pool_alone_is_nothing_to_compare() {
    let recording = fastapi();
    let resident = "process_resident_memory_bytes";
    recording.add(resident, &[("pod", "new"), ("instance", "new")], &[(1000, 5e7), (1010, 5e7)]);
    let gauge = Selector { name: resident.into(), matchers: Vec::new() };
    let read = |recording: &Arc<Recording>| {
        let mut reader = MemoryReader::new(recording.clone());
        let gauge = gauge.clone();
        async move { reader.read(&scope(), &gauge, &pods(), SCRAPE, 1_000_000, 1_015_000).await }
    };
    let problem = read(&recording).await.unwrap_err().to_string();
    assert!(
        problem.contains(resident) && problem.contains("old"),
        "the standard pool's are named: {problem}"
    );
    recording.add(resident, &[("pod", "old"), ("instance", "old")], &[(1000, 4e7), (1010, 4e7)]);
    let (samples, more) = read(&recording).await.unwrap();
    assert_eq!((samples.len(), samples[0].points.len(), more), (2, 2, false));
}

#[tokio::test]
async fn two_scrapers_of_one_pod_count_once_and_a_sidecar_is_not_its_process() {
    let recording = fastapi();
    let twin = [("pod", "new"), ("instance", "new"), ("job", "b"), ("handler", "/x"), ("status", "2xx")];
    recording.add("http_requests_total", &twin, &[(1003, 6.0)]);
    recording.add("process_start_time_seconds", &[("pod", "new"), ("instance", "a-sidecar")], &[(1000, 5.0)]);
    let reader = Reader::new(recording);
    let reading = read(&reader, &plan("fastapi-instrumentator"), 1_015_000).await;
    let samples = reading.metrics["errors"].clone().samples.unwrap();
    assert_eq!(coefficients(of(&samples, "new")), [(1.0, 0.0, 2), (1.0, 1.0, 1)]);
    assert!(of(&samples, "new").process_start.iter().all(|p| (p.value - 900.0).abs() < 1e-9));
    assert!(
        of(&samples, "new").series.iter().all(|series| !series.id.contains("job")),
        "the scraper is no part of a name"
    );
}

#[tokio::test]
async fn a_pod_without_a_request_yet_is_known_to_be_scraped() {
    let recording = fastapi();
    recording
        .series
        .lock()
        .unwrap()
        .retain(|(name, series)| name == "process_start_time_seconds" || series.labels["pod"] == "old");
    let reader = Reader::new(recording);
    let samples = read(&reader, &plan("fastapi-instrumentator"), 1_015_000).await.metrics["errors"]
        .clone()
        .samples
        .unwrap();
    let new = of(&samples, "new");
    assert!(new.series.is_empty() && !new.process_start.is_empty());
}

#[tokio::test]
async fn a_count_without_its_bucket_makes_nothing_slow() {
    let recording = fastapi();
    recording.series.lock().unwrap().retain(|(_, series)| {
        series.labels["pod"] != "new" || series.labels.get("le").is_none_or(|le| le == "+Inf")
    });
    recording.add(
        "http_request_duration_seconds_bucket",
        &[("pod", "new"), ("instance", "new"), ("job", "a"), ("handler", "/x"), ("le", "2.5")],
        &[(1000, 1.0)],
    );
    let reader = Reader::new(recording.clone());
    let latency = read(&reader, &plan("fastapi-instrumentator"), 1_015_000).await.metrics["latency"].clone();
    let problem = latency.samples.unwrap_err().to_string();
    assert!(problem.contains("none that both pools have") || problem.contains("+Inf"), "{problem}");

    // One pool alone is asked for with its own boundary; the other's pods then have no counts instead of slow ones.
    let only_old: Vec<PodTarget> = pods().into_iter().filter(|pod| pod.name == "old").collect();
    let plan = plan("fastapi-instrumentator");
    let alone =
        reader.read(&scope(), KEY, &plan, &only_old, SCRAPE, 1_015_000).await.metrics["latency"].clone();
    assert_eq!(coefficients(&alone.samples.unwrap()[0]), [(1.0, 1.0, 2), (0.0, -1.0, 2)]);
}

/// The plan with boundaries that were chosen before.
fn chosen(slow_over: f64, others: &[f64]) -> MetricPlan {
    let mut plan = plan("fastapi-instrumentator");
    let latency = plan.latency.as_mut().unwrap();
    latency.chosen = Some(Chosen { slow_over, others: others.to_vec() });
    plan
}

#[tokio::test]
async fn boundaries_are_chosen_by_the_tail_of_the_standard_pool() {
    let recording = fastapi();
    let plan = plan("fastapi-instrumentator").latency.unwrap();
    for (le, value) in [("0.1", 801.0), ("0.5", 986.0), ("1.0", 1000.0), ("+Inf", 1008.0)] {
        let labels = [("pod", "old"), ("instance", "old"), ("job", "a"), ("handler", "/y"), ("le", le)];
        recording.add("http_request_duration_seconds_bucket", &labels, &[(1000, 1.0), (1010, value)]);
    }
    let window = Window { from: 0, to: 2_000_000 };
    let survey = |pods: &'static [&str]| {
        let (reader, plan) = (Reader::new(recording.clone()), plan.clone());
        let pods: Vec<String> = pods.iter().map(|pod| (*pod).to_owned()).collect();
        async move { reader.survey(&scope(), &plan, &pods, SCRAPE, window).await.unwrap() }
    };
    let found = survey(&["old"]).await.unwrap();
    assert_eq!(found.chosen, Chosen { slow_over: 0.5, others: vec![0.1, 1.0] });
    assert!(found.resolution.contains("between"), "{}", found.resolution);
    assert_eq!(survey(&[]).await, None);
    assert_eq!(survey(&["gone"]).await, None);
}

#[tokio::test]
async fn chosen_boundaries_are_read_with_their_place_and_stay_after_a_restart() {
    let recording = fastapi();
    let plan = chosen(0.5, &[0.1, 1.0]);
    let places = async || {
        let reader = Reader::new(recording.clone());
        let latency = read(&reader, &plan, 1_015_000).await.metrics["latency"].clone();
        let samples = latency.samples.unwrap();
        of(&samples, "new").series.iter().map(|s| (s.at, s.k, s.id.clone())).collect::<Vec<_>>()
    };
    let first = places().await;
    let coefficients: Vec<(At, f64)> = first.iter().map(|(at, k, _)| (*at, *k)).collect();
    assert_eq!(
        coefficients,
        [(At::Other(0), -1.0), (At::Other(1), -1.0), (At::Everywhere, 1.0), (At::Threshold, -1.0)]
    );
    // A new exporter with a finer bucket changes nothing of an attempt that goes on.
    for pod in ["old", "new"] {
        let labels = [("pod", pod), ("instance", pod), ("job", "a"), ("handler", "/x"), ("le", "0.3")];
        recording.add("http_request_duration_seconds_bucket", &labels, &[(1000, 3.0), (1010, 3.0)]);
    }
    assert_eq!(places().await, first);
}

#[tokio::test]
async fn a_boundary_that_a_pool_lacks_is_not_compared_and_without_the_thresholds_nothing_is() {
    let recording = fastapi();
    recording.series.lock().unwrap().retain(|(_, series)| {
        series.labels["pod"] != "new" || series.labels.get("le").is_none_or(|le| le != "1.0")
    });
    let reader = Reader::new(recording.clone());
    let latency = read(&reader, &chosen(0.5, &[0.1, 1.0]), 1_015_000).await.metrics["latency"].clone();
    let samples = latency.samples.unwrap();
    let places = |pod: &str| of(&samples, pod).series.iter().map(|s| s.at).collect::<Vec<_>>();
    assert!(places("old").contains(&At::Other(1)) && !places("new").contains(&At::Other(1)));
    assert!(places("new").contains(&At::Other(0)) && places("new").contains(&At::Threshold));
    let latency =
        read(&Reader::new(recording), &chosen(1.0, &[0.5]), 1_015_000).await.metrics["latency"].clone();
    let problem = latency.samples.unwrap_err();
    assert!(!problem.is_outage());
    assert_eq!(
        problem.to_string(),
        "no bucket of http_request_duration_seconds_bucket ends at 1 in both pools, where slow begins in this attempt; there are: \
         0.1, 0.5, +Inf; give both pools the same buckets"
    );
}

#[test]
fn the_boundary_is_the_next_one_above_and_never_infinity() {
    use freethread_rollout::observe::prometheus::boundary;
    let les = |texts: &[&str]| texts.iter().map(|le| (*le).to_owned()).collect::<Vec<_>>();
    let found = boundary(&les(&["+Inf", "0.1", "1.0", "1", "0.3", "5"]), 0.3).unwrap();
    assert!(found.is_exact() && found.le == ["0.3"]);
    let found = boundary(&les(&["0.1", "1.0", "1", "5"]), 0.3).unwrap();
    assert!(!found.is_exact() && found.le == ["1.0", "1"]);
    assert_eq!(boundary(&les(&["0.1", "+Inf", "x"]), 0.3), None);
}

fn benefit(json: serde_json::Value) -> CpuPlan {
    let analysis: Analysis = serde_json::from_value(
        serde_json::json!({"preset": "fastapi-instrumentator", "errorRate": {"max": "1%"}}),
    )
    .unwrap();
    let benefit: freethread_rollout::api::Benefit = serde_json::from_value(json).unwrap();
    CpuPlan::of(&analysis, benefit.cpu.as_ref()).unwrap()
}

async fn cpu(recording: &Arc<Recording>, plan: &CpuPlan) -> Result<Vec<PodSamples>, QueryProblem> {
    let mut reader = CpuReader::new(recording.clone());
    let reading = reader.read(&scope(), plan, &pods(), SCRAPE, 1_000_000, 1_020_000).await;
    assert!(reading.caught_up);
    reading.samples
}

#[tokio::test]
async fn cpu_seconds_are_those_of_the_process_that_answers() {
    let recording = fastapi();
    let missing = cpu(&recording, &benefit(json!({}))).await.unwrap_err();
    assert!(matches!(missing, QueryProblem::Empty { .. }), "{missing}");
    for pod in ["old", "new"] {
        for instance in [pod, "sidecar"] {
            let labels = [("pod", pod), ("instance", instance), ("job", "a")];
            recording.add("process_cpu_seconds_total", &labels, &[(1000, 3.0), (1010, 4.0)]);
        }
    }
    let samples = cpu(&recording, &benefit(json!({}))).await.unwrap();
    // The failed requests are requests as well; one CPU counter, not the sidecar's.
    assert_eq!(coefficients(of(&samples, "new")), [(1.0, 0.0, 2), (1.0, 0.0, 1), (1.0, 1.0, 2)]);
}

#[tokio::test]
async fn cpu_seconds_may_be_counted_from_outside_but_of_both_pools() {
    let recording = fastapi();
    let plan = benefit(json!({"cpu": {"name": "container_cpu_usage_seconds_total"}}));
    let counted = |pod| {
        let labels = [("pod", pod), ("instance", "node-1"), ("job", "kubelet"), ("container", "app")];
        recording.add("container_cpu_usage_seconds_total", &labels, &[(1003, 3.0), (1013, 4.0)]);
    };
    counted("new");
    let one_pool = cpu(&recording, &plan).await.unwrap_err().to_string();
    assert!(one_pool.contains("old") && !one_pool.contains("new"), "{one_pool}");
    counted("old");
    let samples = cpu(&recording, &plan).await.unwrap();
    assert_eq!(coefficients(of(&samples, "new")), [(1.0, 0.0, 2), (1.0, 0.0, 1), (1.0, 1.0, 2)]);
    assert_eq!(of(&samples, "old").series.len(), 3);
}

#[tokio::test]
async fn a_long_measurement_is_read_again_in_pieces() {
    let recording = fastapi();
    for pod in ["old", "new"] {
        let labels = [("pod", pod), ("instance", pod), ("job", "a")];
        recording.add("process_cpu_seconds_total", &labels, &[(1000, 3.0), (1010, 4.0)]);
    }
    let mut reader = CpuReader::new(recording.clone());
    let until = 1_000_000 + 2 * 3_600_000;
    let plan = benefit(json!({}));
    assert!(!reader.read(&scope(), &plan, &pods(), SCRAPE, 1_000_000, until).await.caught_up);
    assert!(reader.read(&scope(), &plan, &pods(), SCRAPE, 1_000_000, until).await.caught_up);
    *recording.down.lock().unwrap() = true;
    let down = reader.read(&scope(), &plan, &pods(), SCRAPE, 1_000_000, until).await;
    assert!(down.caught_up && down.samples.is_err(), "nothing more is to be had at once");
}
