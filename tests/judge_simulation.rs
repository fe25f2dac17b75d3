//! Rates, by seeded simulation on clean counts: false alarms within the bound, and how soon a break is found.

#![allow(clippy::unwrap_used, clippy::panic, clippy::cast_possible_truncation)]

use freethread_rollout::judge::{
    At, Attempt, AttemptSpec, MetricSamples, MetricSpec, Noise, Observed, OtherBoundary, PodSamples, Point,
    Pool, Series, Verdict, WeightChange,
};

/// A linear congruential generator (Knuth's constants): the same on every machine.
struct Random(u64);

impl Random {
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Poisson, by its definition while small and by the normal approximation above.
    fn poisson(&mut self, mean: f64) -> f64 {
        if mean > 60.0 {
            let angle = std::f64::consts::TAU * self.unit();
            let radius = (-2.0 * self.unit().max(1e-300).ln()).sqrt();
            return (mean + mean.sqrt() * radius * angle.cos()).round().max(0.0);
        }
        let (mut count, mut left) = (0.0, (-mean).exp());
        let mut term = self.unit();
        while term > left {
            count += 1.0;
            term *= self.unit();
            left = left.max(0.0);
        }
        count
    }
}

/// Of each pool: enough that no pod alone can hide a regression or make one.
const PODS: i32 = 3;

struct Setting {
    seconds: i64,
    scrape: i64,
    rps: f64,
    weight: f64,
    /// Share of bad requests by time (s) and pool.
    bad: fn(i64, Pool) -> f64,
}

/// One run, fed at once. Seconds from the start to the breach, if one comes.
fn run(setting: &Setting, seed: u64) -> Option<i64> {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let pools = [(Pool::FreeThreaded, setting.weight), (Pool::Standard, 1.0 - setting.weight)];
    let pods = pools.into_iter().flat_map(|(pool, share)| (0..PODS).map(move |pod| (pool, share, pod)));
    let samples = pods.map(|(pool, share, pod)| {
        let share = share / f64::from(PODS);
        let (mut good, mut bad) = (0.0, 0.0);
        let (mut goods, mut bads) = (vec![], vec![]);
        // Scrapes are staggered between pods.
        let mut at = (setting.scrape as f64 * 1000.0 * (random.unit() - 2.0)) as i64;
        while at <= (setting.seconds + 2 * setting.scrape) * 1000 {
            let rate = (setting.bad)(at / 1000, pool);
            let requests = setting.rps * share * setting.scrape as f64;
            bad += random.poisson(requests * rate);
            good += random.poisson(requests * (1.0 - rate));
            goods.push(Point { at, value: good });
            bads.push(Point { at, value: bad });
            at += setting.scrape * 1000;
        }
        PodSamples {
            pod: format!("{pool}-{pod}"),
            pool,
            started: -1_000_000,
            counted_from: i64::MIN,
            series: vec![
                Series { id: "good".to_owned(), n: 1.0, k: 0.0, at: At::Everywhere, points: goods },
                Series { id: "bad".to_owned(), n: 1.0, k: 1.0, at: At::Everywhere, points: bads },
            ],
            process_start: vec![],
        }
    });
    let metrics = vec![MetricSpec::errors(0.0, Some(0.01))];
    let spec = AttemptSpec::new(0.01, setting.scrape * 1000, 0, metrics);
    let mut attempt = Attempt::new(spec).unwrap();
    let samples = [MetricSamples { name: "errors".to_owned(), pods: samples.collect(), problem: None }];
    let changes = [WeightChange { at: -1, share: setting.weight }];
    let now = setting.seconds * 1000;
    attempt.feed(&Observed { now, metrics: &samples, weight_changes: &changes, step_started: 0 });
    match attempt.verdict(now).overall {
        Verdict::Breach(evidence) => Some(evidence.to / 1000),
        Verdict::HardSignal(signal) => panic!("{signal:?}"),
        _ => None,
    }
}

fn median(setting: &Setting, runs: u64) -> i64 {
    let mut found: Vec<i64> = (1..=runs).map(|seed| run(setting, seed).unwrap_or(i64::MAX)).collect();
    found.sort_unstable();
    found[found.len() / 2]
}

#[test]
fn false_alarms_stay_within_alpha() {
    let healthy = Setting { seconds: 3_600, scrape: 15, rps: 100.0, weight: 0.05, bad: |_, _| 0.001 };
    let alarms = (1..=300).filter(|seed| run(&healthy, *seed).is_some()).count();
    println!("healthy: {alarms} of 300");
    assert!(alarms <= 3, "{alarms} of 300");
}

/// Scrapes are staggered between pods: without the grid and the cap per pod this is 41 to 50 %.
#[test]
fn shared_incidents_blame_nobody() {
    // Both pools fail for two minutes.
    let incident = |at: i64, _| if (900..1_020).contains(&at) { 0.2 } else { 0.001 };
    let shared = Setting { seconds: 1_500, scrape: 15, rps: 100.0, weight: 0.05, bad: incident };
    let alarms = (1..=150).filter(|seed| run(&shared, *seed).is_some()).count();
    println!("shared incidents: {alarms} of 150");
    assert!(alarms <= 3, "{alarms} of 150");
}

#[test]
fn five_percent_more_is_found_soon() {
    let worse = |_, pool| if pool == Pool::FreeThreaded { 0.051 } else { 0.001 };
    let slow = Setting { seconds: 1_200, scrape: 15, rps: 100.0, weight: 0.05, bad: worse };
    let at_15 = median(&slow, 101);
    let at_1 = median(&Setting { seconds: 300, scrape: 1, ..slow }, 101);
    println!("+5 % at 100 rps, weight 5 %: median {at_15} s at scrapes of 15 s, {at_1} s at 1 s");
    assert!(at_15 <= 30 && at_1 <= 40, "{at_15} s, {at_1} s");
}

#[test]
fn a_break_after_a_healthy_time_is_found() {
    let breaks = |at, pool| if at > 300 && pool == Pool::FreeThreaded { 0.1 } else { 0.001 };
    let setting = Setting { seconds: 400, scrape: 1, rps: 100.0, weight: 0.25, bad: breaks };
    let delay = median(&setting, 51) - 300;
    println!("10 % errors after 5 healthy minutes, 100 rps, weight 25 %, scrapes of 1 s: median {delay} s");
    assert!((0..=12).contains(&delay), "{delay} s");
}

/// Requests over 0.5 s, the threshold, and over the three other boundaries 0.1, 0.25 and 1 s.
type Tail = [f64; 4];

const HEALTHY: Tail = [0.01, 0.25, 0.05, 0.003];

struct Latency {
    seconds: i64,
    others: bool,
    /// Tails of our pool from the start on.
    ours: Tail,
    /// How the tail of a pod in an interval differs from its pool's: a factor that changes all boundaries together.
    bursts: f64,
}

/// Cumulative counters as a histogram of four boundaries has them: per interval the requests of each bucket are drawn.
fn histogram(setting: &Latency, random: &mut Random, pool: Pool, requests: f64) -> Vec<Series> {
    const AT: [At; 4] = [At::Threshold, At::Other(0), At::Other(1), At::Other(2)];
    /// Boundaries from the slowest on, by their place in a tail.
    const ORDER: [usize; 4] = [3, 0, 2, 1];
    let tail = if pool == Pool::FreeThreaded { setting.ours } else { HEALTHY };
    let mut series =
        vec![Series { id: "all".to_owned(), n: 1.0, k: 1.0, at: At::Everywhere, points: vec![] }];
    let below =
        AT.map(|at| Series { id: format!("{at:?}"), n: 0.0, k: -1.0, at, points: vec![] }).into_iter();
    series.extend(below.take(if setting.others { 4 } else { 1 }));
    let (mut all, mut slower) = (0.0, [0.0; 4]);
    // Scrapes are staggered between pods.
    let mut at = (15_000.0 * (random.unit() - 2.0)) as i64;
    while at <= (setting.seconds + 30) * 1000 {
        let burst = 1.0 + setting.bursts * (2.0 * random.unit() - 1.0);
        let (mut before, mut sum) = (0.0, 0.0);
        for place in ORDER {
            let share = (tail[place] * burst - before).max(0.0);
            sum += random.poisson(requests * share);
            before += share;
            slower[place] += sum;
        }
        all += sum + random.poisson(requests * (1.0 - before));
        for (i, series) in series.iter_mut().enumerate() {
            let value = if i == 0 { all } else { all - slower[i - 1] };
            series.points.push(Point { at, value });
        }
        at += 15_000;
    }
    series
}

fn latency_attempt(setting: &Latency) -> Attempt {
    let noise = Noise { phi: 1.2, tau: 0.0 };
    let others = [0.1, 0.25, 1.0].map(|over| OtherBoundary { over, noise }).into_iter();
    let metric = MetricSpec {
        noise,
        slow_over: Some(0.5),
        others: others.take(if setting.others { 3 } else { 0 }).collect(),
        ..MetricSpec::latency(0.0, Some(0.05))
    };
    Attempt::new(AttemptSpec::new(0.01, 15_000, 0, vec![metric])).unwrap()
}

fn latency_samples(setting: &Latency, seed: u64) -> MetricSamples {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let pools = [(Pool::FreeThreaded, 0.1), (Pool::Standard, 0.9)];
    let pods = pools.into_iter().flat_map(|(pool, share)| (0..PODS).map(move |pod| (pool, share, pod)));
    let pods = pods.map(|(pool, share, pod)| PodSamples {
        pod: format!("{pool}-{pod}"),
        pool,
        started: -1_000_000,
        counted_from: i64::MIN,
        series: histogram(setting, &mut random, pool, 100.0 * 15.0 * share / f64::from(PODS)),
        process_start: vec![],
    });
    MetricSamples { name: "latency".to_owned(), pods: pods.collect(), problem: None }
}

fn look(attempt: &mut Attempt, samples: MetricSamples, now: i64) -> Verdict {
    let changes = [WeightChange { at: -1, share: 0.1 }];
    attempt.feed(&Observed { now, metrics: &[samples], weight_changes: &changes, step_started: 0 });
    attempt.verdict(now).overall
}

fn run_latency(setting: &Latency, seed: u64) -> Verdict {
    look(&mut latency_attempt(setting), latency_samples(setting, seed), setting.seconds * 1000)
}

fn found(setting: &Latency, runs: u64) -> usize {
    (1..=runs).filter(|seed| matches!(run_latency(setting, *seed), Verdict::Breach(_))).count()
}

#[test]
fn false_alarms_over_several_boundaries_stay_within_alpha() {
    let healthy = Latency { seconds: 3_600, others: true, ours: HEALTHY, bursts: 0.0 };
    let alarms = found(&healthy, 300);
    let bursts = found(&Latency { bursts: 0.1, ..healthy }, 300);
    println!("four boundaries: {alarms} of 300, with bursts of 10 %: {bursts} of 300");
    assert!(alarms <= 3 && bursts <= 3, "{alarms}, {bursts} of 300");
}

#[test]
fn a_shift_at_another_boundary_is_found_there() {
    // A third more requests take over 0.1 s, and no more than before over 0.25 s.
    let shift = Latency { seconds: 1_800, others: true, ours: [0.01, 0.34, 0.05, 0.003], bursts: 0.0 };
    let alone = found(&Latency { others: false, ..shift }, 40);
    let mut delays = Vec::new();
    for seed in 1..=40 {
        let Verdict::Breach(evidence) = run_latency(&shift, seed) else { continue };
        assert_eq!(evidence.slower_than, Some(0.1));
        let sentence = Verdict::Breach(evidence.clone()).sentence();
        assert!(
            sentence.contains(" requests slower than 100 ms against ")
                && sentence.contains("on the standard pool"),
            "{sentence}"
        );
        delays.push(evidence.to / 1000);
    }
    delays.sort_unstable();
    println!(
        "+36 % over 0.1 s: found in {} of 40, median {} s; at the threshold alone in {alone}",
        delays.len(),
        delays[delays.len() / 2]
    );
    assert!(delays.len() == 40 && alone <= 1 && delays[20] <= 300, "{delays:?}, {alone}");
}

#[test]
fn the_threshold_pays_little_for_the_others() {
    let slower = Latency { seconds: 1_800, others: false, ours: [0.04, 0.25, 0.05, 0.003], bursts: 0.0 };
    let median = |setting: &Latency| {
        let delay = |seed| match run_latency(setting, seed) {
            Verdict::Breach(evidence) => evidence.to / 1000,
            _ => i64::MAX,
        };
        let mut all: Vec<i64> = (1..=41).map(delay).collect();
        all.sort_unstable();
        all[20]
    };
    let (alone, with_others) = (median(&slower), median(&Latency { others: true, ..slower }));
    println!("4 % over the threshold instead of 1 %: {alone} s alone, {with_others} s with three others");
    assert!(with_others <= alone + 60, "{alone} s, {with_others} s");
}

#[test]
fn fed_piece_by_piece_or_again_after_a_restart_it_is_the_same() {
    let setting = Latency { seconds: 900, others: true, ours: [0.012, 0.27, 0.05, 0.004], bursts: 0.2 };
    let mut all = latency_samples(&setting, 7);
    let now = setting.seconds * 1000;
    for series in all.pods.iter_mut().flat_map(|pod| &mut pod.series) {
        series.points.retain(|point| point.at <= now);
    }
    let at_once = look(&mut latency_attempt(&setting), all.clone(), now);
    let mut live = latency_attempt(&setting);
    let mut last = None;
    for until in (0..=setting.seconds).step_by(4) {
        let mut seen = all.clone();
        for series in seen.pods.iter_mut().flat_map(|pod| &mut pod.series) {
            series.points.retain(|point| point.at <= until * 1000 && point.at > until * 1000 - 40_000);
        }
        last = Some(look(&mut live, seen, until * 1000));
    }
    let numbers =
        |verdict: &Verdict| verdict.evidence().map(|e| (e.ratio.to_bits(), e.safe.map(f64::to_bits)));
    assert_eq!(numbers(&at_once), last.as_ref().and_then(numbers));
}

#[test]
fn a_pod_without_a_bucket_is_left_out_at_that_boundary_alone() {
    let setting = Latency { seconds: 600, others: true, ours: HEALTHY, bursts: 0.0 };
    let mut samples = latency_samples(&setting, 3);
    // Without it every request of the pod would look slower than 0.1 s.
    samples.pods[0].series.retain(|series| series.at != At::Other(0));
    let cells = {
        let changes = [WeightChange { at: -1, share: 0.1 }];
        let metrics = [samples];
        latency_attempt(&setting).feed(&Observed {
            now: 600_000,
            metrics: &metrics,
            weight_changes: &changes,
            step_started: 0,
        })
    };
    for (_, cell) in &cells {
        let at = |boundary| cell.at(boundary, Pool::FreeThreaded, true).count();
        assert_eq!((at(0), at(1), at(2), at(3)), (3, 2, 3, 3));
        let over = cell.sum_at(1, Pool::FreeThreaded, true);
        assert!(over.share() < 0.5, "{over:?}");
    }
    assert!(cells.len() > 30);
}
