//! Properties that hold for any samples.

#![allow(clippy::unwrap_used, clippy::panic, clippy::cast_possible_wrap)]

use freethread_rollout::judge::{
    At, Attempt, AttemptSpec, Cell, Grid, MetricSamples, MetricSpec, Observed, PodSamples, Point, Pool,
    Series, Verdict, WeightChange, Weights,
};
use proptest::prelude::*;

const END: i64 = 120_000;

/// A pod: phase of its scrapes, when it starts, a reset, a gap, and what it does per scrape.
#[derive(Clone, Debug)]
struct Life {
    phase: i64,
    started: i64,
    reset: Option<usize>,
    lost: (usize, usize),
    half: Option<usize>,
    per_scrape: Vec<(u8, u8)>,
}

fn life() -> impl Strategy<Value = Life> {
    let started = prop_oneof![3 => Just(-10_000), 1 => 0..60_000i64];
    let lost = (0..60usize, 0..12usize);
    let half = proptest::option::weighted(0.3, 0..60usize);
    let counts = proptest::collection::vec((0..40u8, 0..10u8), 70);
    (0..1_900i64, started, proptest::option::weighted(0.3, 5..50usize), lost, half, counts).prop_map(
        |(phase, started, reset, lost, half, per_scrape)| Life {
            phase,
            started,
            reset,
            lost,
            half,
            per_scrape,
        },
    )
}

/// Scrapes every two seconds.
fn pod(index: usize, life: &Life, outage: (usize, usize)) -> PodSamples {
    let pool = if index.is_multiple_of(2) { Pool::FreeThreaded } else { Pool::Standard };
    let (mut good, mut bad) = (100.0, 3.0);
    if life.started > 0 {
        (good, bad) = (0.0, 0.0);
    }
    let (mut goods, mut bads, mut starts) = (vec![], vec![], vec![]);
    let mut process = life.started as f64 / 1000.0;
    for (i, (n, k)) in life.per_scrape.iter().enumerate() {
        let at = -6_000 + life.phase + 2_000 * i as i64;
        if at < life.started || at > END {
            continue;
        }
        if life.reset == Some(i) {
            (good, bad) = (0.0, 0.0);
            process = at as f64 / 1000.0;
        }
        good += f64::from(*n);
        bad += f64::from(*k);
        let lost = |(from, many): (usize, usize)| (from..from + many).contains(&i);
        if lost(life.lost) || lost(outage) {
            continue;
        }
        goods.push(Point { at, value: good });
        if bad > 0.0 && life.half != Some(i) {
            bads.push(Point { at, value: bad });
        }
        starts.push(Point { at, value: process });
    }
    PodSamples {
        pod: format!("pod-{index}"),
        pool,
        started: life.started,
        counted_from: life.started + 20_000,
        series: vec![
            Series { id: "good".to_owned(), n: 1.0, k: 0.0, at: At::Everywhere, points: goods },
            Series { id: "bad".to_owned(), n: 1.0, k: 1.0, at: At::Everywhere, points: bads },
        ],
        process_start: starts,
    }
}

/// What a query at `now` with a window of `back` ms returns.
fn window(pods: &[PodSamples], now: i64, back: i64) -> Vec<PodSamples> {
    let cut =
        |points: &[Point]| points.iter().filter(|p| p.at <= now && p.at > now - back).copied().collect();
    let seen = pods.iter().map(|pod| PodSamples {
        series: pod.series.iter().map(|s| Series { points: cut(&s.points), ..s.clone() }).collect(),
        process_start: cut(&pod.process_start),
        ..pod.clone()
    });
    seen.filter(|pod| pod.started <= now).collect()
}

fn cells(pods: &[PodSamples], weights: &Weights, looks: &[i64], back: i64) -> Vec<Cell> {
    let mut grid = Grid::new(2_000, 1);
    looks.iter().flat_map(|now| grid.feed(*now, &window(pods, *now, back), weights, |_, _| {})).collect()
}

fn spec() -> AttemptSpec {
    let metrics = vec![MetricSpec::errors(0.01, Some(0.05)), MetricSpec::latency(0.0, None)];
    AttemptSpec::new(0.01, 2_000, 1, metrics)
}

fn observe(attempt: &mut Attempt, now: i64, metrics: Vec<Vec<PodSamples>>, changes: &[WeightChange]) {
    let names = ["errors", "latency"];
    let metrics: Vec<MetricSamples> = names
        .into_iter()
        .zip(metrics)
        .map(|(name, pods)| MetricSamples { name: name.to_owned(), pods, problem: None })
        .collect();
    attempt.feed(&Observed { now, metrics: &metrics, weight_changes: changes, step_started: 1 });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn portions_do_not_matter(
        lives in proptest::collection::vec(life(), 1..5),
        outage in (0..60usize, 0..8usize),
        steps in proptest::collection::vec(250..6_000i64, 10..60),
        changes in proptest::collection::vec(0..END, 0..3),
    ) {
        let pods: Vec<_> = lives.iter().enumerate().map(|(i, life)| pod(i, life, outage)).collect();
        let mut weights = Weights::new();
        weights.learn(&changes.iter().map(|at| WeightChange { at: *at, share: 0.1 }).collect::<Vec<_>>());
        let mut looks: Vec<i64> = Vec::new();
        let mut now = 0;
        for step in steps.iter().cycle() {
            now += step;
            if now >= END {
                break;
            }
            looks.push(now);
        }
        looks.push(END);
        let at_once = cells(&pods, &weights, &[END], i64::MAX / 2);
        for back in [i64::MAX / 2, 30_000] {
            let portions = cells(&pods, &weights, &looks, back);
            let differ = portions.iter().zip(&at_once).find(|(a, b)| a != b);
            prop_assert_eq!(differ, None, "windows of {} ms", back);
            prop_assert_eq!(portions.len(), at_once.len());
        }
        for cell in &at_once {
            prop_assert!(cell.end > cell.start && cell.start % 2_000 == 0 && cell.end % 2_000 == 0);
            prop_assert_eq!(cell.held, changes.iter().any(|c| (cell.start..cell.end).contains(c)));
            for pod in cell.pods.values() {
                prop_assert!(pod.counts.n >= pod.counts.k && pod.counts.k >= 0.0, "{:?}", cell);
            }
        }
        for pair in at_once.windows(2) {
            prop_assert!(pair[0].end <= pair[1].start && pair[0].known <= pair[1].known);
        }
    }

    #[test]
    fn live_and_replay_say_the_same(
        lives in proptest::collection::vec(life(), 2..5),
        outage in (0..60usize, 0..8usize),
        step in 250..4_000i64,
        changes in proptest::collection::vec((0..END, 0.0..1.0f64), 0..3),
    ) {
        let pods: Vec<_> = lives.iter().enumerate().map(|(i, life)| pod(i, life, outage)).collect();
        let changes: Vec<_> = changes.iter().map(|(at, share)| WeightChange { at: *at, share: *share }).collect();
        let (mut live, mut replay) = (Attempt::new(spec()).unwrap(), Attempt::new(spec()).unwrap());
        let (mut now, mut breach) = (0, None);
        while now < END {
            now = (now + step).min(END);
            let seen = window(&pods, now, 30_000);
            let known: Vec<_> = changes.iter().filter(|c| c.at <= now).copied().collect();
            observe(&mut live, now, vec![seen.clone(), seen], &known);
            let judgement = live.verdict(now);
            prop_assert!(judgement.ratio >= 0.0 && judgement.ratio.is_finite());
            if let Some(before) = &breach {
                let still = judgement.metrics.iter().any(|m| m.verdict == *before);
                prop_assert!(still, "a breach is latched");
            } else {
                let breached = judgement.metrics.into_iter().find(|m| matches!(m.verdict, Verdict::Breach(_)));
                breach = breached.map(|m| m.verdict);
            }
        }
        let all = window(&pods, END, i64::MAX / 2);
        observe(&mut replay, END, vec![all.clone(), all], &changes);
        prop_assert_eq!(live.verdict(END), replay.verdict(END));
    }

    #[test]
    fn a_restart_from_a_checkpoint_changes_nothing(
        lives in proptest::collection::vec(life(), 2..5),
        outage in (0..60usize, 0..8usize),
        step in 250..4_000i64,
        restart in 0..END,
    ) {
        let pods: Vec<_> = lives.iter().enumerate().map(|(i, life)| pod(i, life, outage)).collect();
        let mut live = Attempt::new(spec()).unwrap();
        let (mut now, mut other): (i64, Option<Attempt>) = (0, None);
        while now < END {
            now = (now + step).min(END);
            let seen = window(&pods, now, 30_000);
            observe(&mut live, now, vec![seen.clone(), seen.clone()], &[]);
            if let Some(other) = &mut other {
                observe(other, now, vec![seen.clone(), seen], &[]);
                prop_assert_eq!(live.verdict(now), other.verdict(now));
            } else if now >= restart && let Some(kept) = live.checkpoint(now) {
                let (attempt, until) = Attempt::restore(&kept.data, &spec()).unwrap();
                prop_assert_eq!(until, now);
                other = Some(attempt);
            }
        }
    }

    #[test]
    fn no_requests_no_evidence(lives in proptest::collection::vec(life(), 1..5), side in 0..3usize) {
        let pods: Vec<_> = lives.iter().enumerate().map(|(i, life)| pod(i, life, (0, 0))).collect();
        // Nothing at all, or one pool alone: with a comparison and no promise there is nothing to say.
        let keep = |pod: &PodSamples| match side { 0 => false, 1 => pod.pool == Pool::Standard, _ => pod.pool == Pool::FreeThreaded };
        let pods: Vec<_> = pods.into_iter().filter(keep).collect();
        let metrics = vec![MetricSpec::errors(0.0, None)];
        let mut attempt = Attempt::new(AttemptSpec { metrics, ..spec() }).unwrap();
        let mut now = 0;
        while now < END {
            now += 3_000;
            observe(&mut attempt, now, vec![window(&pods, now, 30_000)], &[]);
            let judgement = attempt.verdict(now);
            prop_assert!(matches!(judgement.overall, Verdict::Unknown { .. } | Verdict::HardSignal(_)), "{:?}", judgement);
            prop_assert!(judgement.ratio <= 1.0 + 1e-9, "missing data never raises M: {}", judgement.ratio);
        }
    }
}
