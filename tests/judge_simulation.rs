//! Rates, by seeded simulation on clean counts: false alarms within the bound, and how soon a break is found.

#![allow(clippy::unwrap_used, clippy::panic, clippy::cast_possible_truncation)]

use freethread_rollout::judge::{
    Attempt, AttemptSpec, MetricSamples, MetricSpec, Observed, PodSamples, Point, Pool, Series, Verdict,
    WeightChange,
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
                Series { id: "good".to_owned(), n: 1.0, k: 0.0, points: goods },
                Series { id: "bad".to_owned(), n: 1.0, k: 1.0, points: bads },
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
