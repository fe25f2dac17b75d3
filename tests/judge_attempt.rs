//! Whole attempts by hand: what is said, when, and in which words.

#![allow(clippy::unwrap_used, clippy::panic, clippy::cast_possible_truncation)]

use freethread_rollout::judge::{
    At, Attempt, AttemptSpec, Judgement, MetricKind, MetricSamples, MetricSpec, Observed, PodSamples, Point,
    Pool, Pools, Series, Signal, SpecError, Verdict, WeightChange, Why,
};

const SCRAPE: i64 = 1_000;

/// A world of pods that are scraped every second; what they did since the last scrape is told before each.
struct World {
    now: i64,
    pods: Vec<(PodSamples, f64, f64)>,
    attempt: Attempt,
    changes: Vec<WeightChange>,
    step_started: i64,
    problem: Option<String>,
}

fn spec(metrics: Vec<MetricSpec>) -> AttemptSpec {
    AttemptSpec::new(0.01, SCRAPE, 0, metrics)
}

fn series(id: &str, n: f64, k: f64) -> Series {
    Series { id: id.to_owned(), n, k, at: At::Everywhere, points: vec![Point { at: -500, value: 0.0 }] }
}

impl World {
    fn new(objective: Option<f64>) -> Self {
        Self::of(MetricSpec::errors(0.0, objective))
    }

    fn of(metric: MetricSpec) -> Self {
        let pod = |name: &str, pool| {
            let series = vec![series("good", 1.0, 0.0), series("bad", 1.0, 1.0)];
            let pod = PodSamples {
                pod: name.to_owned(),
                pool,
                started: -1_000_000,
                counted_from: i64::MIN,
                series,
                process_start: vec![],
            };
            (pod, 0.0, 0.0)
        };
        let pods = vec![pod("c", Pool::FreeThreaded), pod("s", Pool::Standard)];
        let changes = vec![WeightChange { at: -1, share: 0.1 }];
        let attempt = Attempt::new(spec(vec![metric])).unwrap();
        Self { now: -500, pods, attempt, changes, step_started: 0, problem: None }
    }

    /// With as many pods of ours.
    fn with(mut self, pods: usize) -> Self {
        for index in 1..pods {
            let mut more = self.pods[0].clone();
            more.0.pod = format!("c{index}");
            self.pods.push(more);
        }
        self
    }

    /// `seconds` of these requests and bad ones per second, of all pods of a pool; `None`: not scraped.
    fn run(&mut self, seconds: usize, ours: Option<(f64, f64)>, standard: Option<(f64, f64)>) -> Judgement {
        for _ in 0..seconds {
            self.now += SCRAPE;
            let of = |pool| self.pods.iter().filter(|(pod, _, _)| pod.pool == pool).count() as f64;
            let (of_ours, of_standard) = (of(Pool::FreeThreaded), of(Pool::Standard));
            for (pod, good, bad) in &mut self.pods {
                let (did, pods) =
                    if pod.pool == Pool::Standard { (standard, of_standard) } else { (ours, of_ours) };
                let Some((n, k)) = did.map(|(n, k)| (n / pods, k / pods)) else { continue };
                *good += n - k;
                *bad += k;
                for (series, value) in pod.series.iter_mut().zip([*good, *bad]) {
                    series.points.push(Point { at: self.now, value });
                }
            }
            let pods = self.pods.iter().map(|(pod, _, _)| pod.clone()).collect();
            let samples = [MetricSamples {
                name: self.attempt.spec().metrics[0].name.clone(),
                pods,
                problem: self.problem.clone(),
            }];
            self.attempt.feed(&Observed {
                now: self.now,
                metrics: &samples,
                weight_changes: &self.changes,
                step_started: self.step_started,
            });
            for (pod, _, _) in &mut self.pods {
                for series in &mut pod.series {
                    let old = series.points.len().saturating_sub(10);
                    series.points.drain(..old);
                }
            }
        }
        self.attempt.verdict(self.now)
    }
}

fn why(judgement: &Judgement) -> &Why {
    match &judgement.overall {
        Verdict::Unknown { why, .. } => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn clear_needs_enough_requests_in_this_step() {
    let mut world = World::new(Some(0.01));
    let early = world.run(10, Some((10.0, 0.0)), Some((90.0, 0.0)));
    assert!(matches!(why(&early), Why::NotEnough { need, .. } if (*need - 300.0).abs() < 1e-9), "{early:?}");
    let enough = world.run(30, Some((10.0, 0.0)), Some((90.0, 0.0)));
    assert!(matches!(enough.overall, Verdict::Clear(_) | Verdict::Safe(_)), "{enough:?}");
    world.step_started = world.now;
    let step = world.run(5, Some((10.0, 0.0)), Some((90.0, 0.0)));
    assert!(matches!(why(&step), Why::NotEnough { .. }));
    assert!(step.ratio <= enough.ratio, "the evidence goes on, only what Clear asks for starts anew");
}

#[test]
fn a_breach_is_latched_and_says_its_numbers() {
    let mut world = World::new(None);
    world.run(60, Some((10.0, 0.0)), Some((90.0, 0.0)));
    // One pod alone has to keep it up: for two minutes at most.
    let breach = world.run(100, Some((10.0, 2.0)), Some((90.0, 0.0)));
    let Verdict::Breach(evidence) = &breach.overall else { panic!("{breach:?}") };
    assert!(evidence.ratio >= 100.0 && evidence.free_threaded.k > 1.0);
    let sentence = breach.overall.sentence();
    assert!(sentence.starts_with("errors ") && sentence.ends_with(":1, acts at 100:1"), "{sentence}");
    assert!(sentence.contains("on the standard pool"), "{sentence}");
    let later = world.run(300, Some((10.0, 0.0)), Some((90.0, 0.0)));
    assert_eq!(later.overall, breach.overall);
}

#[test]
fn without_a_standard_pool_the_objective_speaks() {
    let mut world = World::new(Some(0.01));
    let breach = world.run(100, Some((10.0, 3.0)), Some((0.0, 0.0)));
    let sentence = breach.overall.sentence();
    assert!(
        matches!(breach.overall, Verdict::Breach(_)) && sentence.contains("against the objective 1 %"),
        "{sentence}"
    );
}

#[test]
fn at_100_percent_the_promise_alone_is_judged_and_nobody_is_waited_for() {
    let mut world = World::new(Some(0.01)).with(3);
    world.run(60, Some((90.0, 0.0)), Some((10.0, 0.0)));
    world.step_started = world.now;
    let suspicious = world.run(6, Some((100.0, 0.0)), Some((0.0, 0.0)));
    assert_eq!(why(&suspicious), &Why::NoTraffic { pool: Pool::Standard }, "of 90 % some must be left");
    world.changes.push(WeightChange { at: world.now, share: 1.0 });
    let well = world.run(6, Some((100.0, 0.0)), Some((0.0, 0.0)));
    let Verdict::Safe(evidence) = &well.overall else { panic!("{well:?}") };
    assert_eq!(evidence.safe, None, "there is nothing to be shown against");
    let sentence = well.overall.sentence();
    assert!(sentence.contains("against the objective 1 %"), "{sentence}");
    let crossed = (1..=60)
        .find(|_| matches!(world.run(1, Some((100.0, 20.0)), Some((0.0, 0.0))).overall, Verdict::Breach(_)));
    // The standard pool had requests in the last minute: below 100 % it is asked for up to 30 s whether it fails as well.
    assert!(crossed.is_some_and(|seconds| seconds < 20), "{crossed:?}");
}

#[test]
fn at_100_percent_a_metric_without_a_promise_cannot_be_judged() {
    let mut world = World::of(MetricSpec::counter("mismatches", None, 0.001, None));
    world.changes.push(WeightChange { at: 0, share: 1.0 });
    let alone = world.run(60, Some((100.0, 0.0)), Some((0.0, 0.0)));
    assert_eq!(why(&alone), &Why::NobodyToCompareWith);
}

#[test]
fn both_pools_failing_is_nobodys_fault() {
    let mut world = World::new(Some(0.01));
    world.run(60, Some((10.0, 0.0)), Some((90.0, 0.0)));
    let shared = world.run(100, Some((10.0, 3.0)), Some((90.0, 27.0)));
    assert!(matches!(shared.overall, Verdict::SharedIncident(_)), "{shared:?}");
    assert!(shared.overall.sentence().contains("both pools fail together"));
    let after = world.run(150, Some((10.0, 0.0)), Some((90.0, 0.0)));
    assert!(matches!(after.overall, Verdict::Clear(_) | Verdict::Safe(_)), "{after:?}");
    assert!(after.signals.is_empty());
}

#[test]
fn no_data_is_unknown() {
    let mut world = World::new(Some(0.01));
    let before = world.attempt.verdict(0);
    assert!(matches!(why(&before), Why::QueryFailed { .. }));
    let none = world.run(3, None, None);
    assert!(matches!(
        why(&none),
        Why::NoData { pools: Pools::Both } | Why::Stale { .. } | Why::NotEnough { .. }
    ));
    let clear = world.run(60, Some((10.0, 0.0)), Some((90.0, 0.0)));
    assert!(matches!(clear.overall, Verdict::Clear(_) | Verdict::Safe(_)));
    let blind = world.run(30, None, Some((90.0, 0.0)));
    assert!(matches!(why(&blind), Why::Stale { pools: Pools::FreeThreaded, .. }), "{blind:?}");
    assert!((blind.ratio - clear.ratio).abs() < 0.2 && blind.signals.is_empty());
    let since = blind.blind.unwrap().since;
    assert!((world.now - 31_000..=world.now - 29_000).contains(&since));
    let both = world.run(30, None, None);
    assert_eq!(both.blind.unwrap().pools, Pools::Both);
    world.problem = Some("503".to_owned());
    let failed = world.run(1, Some((10.0, 0.0)), Some((90.0, 0.0)));
    assert_eq!(failed.overall.sentence(), "errors unknown: the query failed: 503");
    assert!((failed.ratio - both.ratio).abs() < f64::EPSILON);
}

#[test]
fn a_pool_without_requests_is_not_clear() {
    let mut world = World::of(MetricSpec { tolerate: None, ..MetricSpec::errors(0.0, Some(0.01)) });
    world.changes.clear();
    let idle = world.run(60, Some((0.0, 0.0)), Some((90.0, 0.0)));
    assert_eq!(*why(&idle), Why::NoTraffic { pool: Pool::FreeThreaded });
    let alone = world.run(60, Some((10.0, 0.0)), None);
    assert!(
        matches!(alone.overall, Verdict::Clear(_) | Verdict::Safe(_)),
        "a promise needs no standard pool: {alone:?}"
    );
}

#[test]
fn a_cell_with_a_change_of_weight_is_not_tested() {
    let mut world = World::new(None);
    world.run(60, Some((10.0, 0.0)), Some((90.0, 0.0)));
    let change = |i: i64| WeightChange { at: 59_300 + 1_000 * i, share: 0.1 };
    world.changes.extend((0..20).map(change));
    let held = world.run(15, Some((10.0, 3.0)), Some((90.0, 0.0)));
    assert!(matches!(held.overall, Verdict::Clear(_) | Verdict::Safe(_)), "{held:?}");
}

#[test]
fn young_pods_count_only_against_the_objective_on_errors() {
    for (metric, expected) in [
        (MetricSpec::errors(0.0, Some(0.01)), true),
        (MetricSpec::errors(0.0, None), false),
        (MetricSpec::latency(0.0, Some(0.01)), false),
    ] {
        let mut world = World::of(metric);
        world.pods[0].0.counted_from = i64::MAX;
        let young = world.run(100, Some((10.0, 2.0)), Some((90.0, 0.0)));
        assert_eq!(matches!(young.overall, Verdict::Breach(_)), expected, "{young:?}");
        assert!(expected || *why(&young) == Why::WarmingUp);
    }
}

#[test]
fn half_failing_is_a_hard_signal() {
    let mut world = World::new(None);
    let failing = world.run(10, Some((10.0, 6.0)), Some((90.0, 1.0)));
    let Verdict::HardSignal(Signal::HalfFailing { free_threaded, .. }) = &failing.overall else {
        panic!("{failing:?}")
    };
    assert!(free_threaded.n >= 50.0);
    let later = world.run(60, Some((10.0, 0.0)), Some((90.0, 0.0)));
    assert_eq!(later.overall, failing.overall);
    let mut world = World::new(None);
    let both = world.run(30, Some((10.0, 6.0)), Some((90.0, 20.0)));
    assert!(both.signals.is_empty());
}

#[test]
fn silence_is_a_hard_signal() {
    let mut world = World::new(Some(0.01));
    world.run(60, Some((10.0, 0.0)), Some((90.0, 0.0)));
    let hung = world.run(13, Some((0.0, 0.0)), Some((90.0, 0.0)));
    let Verdict::HardSignal(Signal::Silent { completed, predicted, .. }) = &hung.overall else {
        panic!("{hung:?}")
    };
    assert!(*predicted >= 100.0 && *completed < 10.0);
    let mut world = World::new(Some(0.01));
    world.run(60, Some((10.0, 0.0)), Some((90.0, 0.0)));
    let quiet = world.run(60, Some((0.0, 0.0)), Some((0.0, 0.0)));
    assert!(quiet.signals.is_empty(), "nobody has traffic");
    let mut world = World::new(Some(0.01));
    world.changes = vec![WeightChange { at: -1, share: 0.0 }];
    assert!(world.run(60, Some((0.0, 0.0)), Some((90.0, 0.0))).signals.is_empty(), "nothing is expected");
    let mut world = World::new(Some(0.01));
    world.run(60, Some((10.0, 0.0)), Some((90.0, 0.0)));
    assert!(world.run(60, None, Some((90.0, 0.0))).signals.is_empty(), "not scraped is not silent");
}

#[test]
fn several_processes_are_unknown_with_advice() {
    let mut world = World::new(Some(0.01));
    world.run(60, Some((10.0, 0.0)), Some((90.0, 0.0)));
    for i in 0..6 {
        world.pods[0].1 += if i % 2 == 0 { -300.0 } else { 300.0 };
        world.run(1, Some((10.0, 0.0)), Some((90.0, 0.0)));
    }
    let judgement = world.run(5, Some((10.0, 0.0)), Some((90.0, 0.0)));
    assert!(matches!(why(&judgement), Why::SeveralProcesses { pod } if pod == "c"), "{judgement:?}");
    assert!(judgement.overall.sentence().contains("PROMETHEUS_MULTIPROC_DIR"));
}

#[test]
fn a_specification_is_checked() {
    let of = |metric: MetricSpec| Attempt::new(spec(vec![metric])).err();
    let good = MetricSpec::errors(0.0, Some(0.01));
    assert_eq!(of(good.clone()), None);
    assert_eq!(Attempt::new(spec(vec![])).err(), Some(SpecError::NoMetrics));
    assert_eq!(
        Attempt::new(spec(vec![good.clone(), good.clone()])).err(),
        Some(SpecError::Twice("errors".to_owned()))
    );
    assert_eq!(
        of(MetricSpec { tolerate: None, objective: None, ..good.clone() }),
        Some(SpecError::NoTest("errors".to_owned()))
    );
    assert_eq!(of(MetricSpec::errors(f64::NAN, None)), Some(SpecError::Tolerate("errors".to_owned())));
    assert_eq!(of(MetricSpec::errors(0.0, Some(0.7))), Some(SpecError::Objective("errors".to_owned())));
    assert_eq!(
        of(MetricSpec { weight: Some(0.0), ..good.clone() }),
        Some(SpecError::Weight("errors".to_owned()))
    );
    let guard = spec(vec![good]).guard_window(7);
    assert!((guard.alpha - 0.01 / 30.0).abs() < 1e-15 && guard.started == 7);
    assert_eq!(guard.metrics[0].kind, MetricKind::Errors);
}
