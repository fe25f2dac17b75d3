//! What judging costs: CPU of a tick with 1,000 rollouts.

use std::fs;

use freethread_rollout::judge::{
    At, Attempt, AttemptSpec, Cell, MetricKind, MetricSamples, MetricSpec, Observed, PodSamples, Point, Pool,
    Series,
};

use crate::{
    Options,
    judge::ALPHA,
    random::Random,
    report::Section,
    targets::{Check, TICK_MS},
    timed,
    world::{CELL_S, Play, World, ms},
};

const ROLLOUTS: usize = 1_000;
const METRICS: usize = 6;
const PODS: (usize, usize) = (3, 9);
/// Ticks that are measured, after as many that are not.
const TICKS: usize = 20;

/// CPU time of this thread, ns: what others do on the machine does not count.
fn cpu_ns() -> u64 {
    let stat = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    stat.split_whitespace().next().and_then(|ns| ns.parse().ok()).unwrap_or_default()
}

fn attempts() -> Vec<Attempt> {
    let metric = |i: usize| MetricSpec {
        name: format!("metric {i}"),
        kind: if i.is_multiple_of(2) { MetricKind::Errors } else { MetricKind::Latency },
        ..MetricSpec::errors(0.0, Some(0.01))
    };
    let spec = AttemptSpec::new(ALPHA, ms(CELL_S), 0, (0..METRICS).map(metric).collect());
    let attempt = Attempt::new(spec).unwrap_or_else(|e| panic!("{e}"));
    vec![attempt; ROLLOUTS]
}

/// The median of CPU ms that `tick` takes; what it is given is made outside of the measurement.
fn measure<T>(mut make: impl FnMut(usize) -> T, mut tick: impl FnMut(usize, T)) -> f64 {
    let mut spent = Vec::new();
    for i in 0..2 * TICKS {
        let given = make(i);
        let from = cpu_ns();
        tick(i, given);
        if i >= TICKS {
            spent.push((cpu_ns() - from) as f64 / 1e6);
        }
    }
    spent.sort_by(f64::total_cmp);
    spent[TICKS / 2]
}

fn cells() -> f64 {
    let world = World { pods: PODS, ..World::HEALTHY };
    let mut play = Play::new(&world, Random::of("cost", 1)).without_history();
    let mut attempts = attempts();
    measure(
        |_| {
            let one: Vec<Cell> = (0..METRICS).map(|_| play.cell()).collect();
            let (start, end) = (one[0].start, one[0].end);
            let one: Vec<(usize, Cell)> = one
                .into_iter()
                .enumerate()
                .map(|(i, cell)| (i, Cell { start, end, known: end, closes: end, ..cell }))
                .collect();
            vec![one; ROLLOUTS]
        },
        |i, given| {
            for (attempt, cells) in attempts.iter_mut().zip(given) {
                attempt.feed_cells(cells);
                std::hint::black_box(attempt.verdict(ms(CELL_S) * (i as i64 + 1)));
            }
        },
    )
}

fn samples() -> f64 {
    let (ours, standard) = PODS;
    let mut random = Random::of("cost of samples", 1);
    let mut totals = vec![(0.0, 0.0); (ours + standard) * METRICS];
    let mut attempts = attempts();
    let mut look = |i: usize| {
        let pod = |metric: usize, pod: usize, totals: &mut [(f64, f64)], random: &mut Random| {
            let total = &mut totals[metric * (ours + standard) + pod];
            *total = (total.0 + random.poisson(100.0), total.1 + random.poisson(0.1));
            let at = ms(CELL_S) * i as i64 + pod as i64 * 1_000;
            let series = |id: &str, k, value| Series {
                id: id.to_owned(),
                n: 1.0,
                k,
                at: At::Everywhere,
                points: vec![Point { at, value }],
            };
            PodSamples {
                pod: format!("orders-freethread-6d4cf56db6-{pod}"),
                pool: if pod < ours { Pool::FreeThreaded } else { Pool::Standard },
                started: -9_000_000,
                counted_from: i64::MIN,
                series: vec![series("good", 0.0, total.0), series("bad", 1.0, total.1)],
                process_start: vec![Point { at, value: 1.0 }],
            }
        };
        let metric = |m: usize| MetricSamples {
            name: format!("metric {m}"),
            pods: (0..ours + standard).map(|p| pod(m, p, &mut totals, &mut random)).collect(),
            problem: None,
        };
        (0..METRICS).map(metric).collect::<Vec<_>>()
    };
    measure(&mut look, |i, metrics| {
        let now = ms(CELL_S) * (i as i64 + 1);
        for attempt in &mut attempts {
            attempt.feed(&Observed { now, metrics: &metrics, weight_changes: &[], step_started: 0 });
            std::hint::black_box(attempt.verdict(now));
        }
    })
}

/// CPU per tick.
pub(crate) fn cost(_: &Options) -> Section {
    let (cells, samples) = timed("cost", || (cells(), samples()));
    let check = Check::new(
        "1,000 rollouts with six metrics each, judged".to_owned(),
        cells < TICK_MS,
        format!("{cells:.0} ms of CPU a tick, under {TICK_MS:.0} ms"),
    );
    Section {
        title: "What judging costs",
        words: format!(
            "{ROLLOUTS} rollouts with {METRICS} metrics each, compared and with an objective, {} free-threaded and {} standard pods: CPU of one thread for a \
             tick in which every metric gets a new cell and every rollout a verdict (the median of {TICKS}). *From raw samples* adds what turns scrapes into \
             cells.",
            PODS.0, PODS.1
        ),
        header: vec!["what", "CPU a tick, ms", "under", "target"],
        rows: vec![
            vec![
                "tests and verdicts".to_owned(),
                format!("{cells:.0}"),
                format!("{TICK_MS:.0}"),
                check.word().to_owned(),
            ],
            vec![
                "the same, from raw samples".to_owned(),
                format!("{samples:.0}"),
                String::new(),
                String::new(),
            ],
        ],
        checks: vec![check],
        marks: Vec::new(),
    }
}
