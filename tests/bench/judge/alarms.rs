//! False alarms: healthy pools that are rolled back.

use std::fmt::Write as _;

use freethread_rollout::judge::{MetricSpec, Noise};

use crate::{
    Options,
    judge::{HORIZON_S, Run, Setup, judge, on_two_threads},
    random::Random,
    rates::Rate,
    report::Section,
    scrapes,
    shapes::SHAPES,
    targets::{CLEAN, Check, LONG_BURSTS, STRESSED},
    timed,
    world::{Incident, Stress, Weight, World},
};

/// A row of a table of rates.
struct Row {
    what: String,
    world: World,
    setup: Setup,
    target: Option<f64>,
    /// Fed as raw samples.
    scraped: bool,
}

impl Row {
    fn new(what: impl Into<String>, world: World, setup: Setup, target: f64) -> Self {
        Self { what: what.into(), world, setup, target: Some(target), scraped: false }
    }
}

/// Bursts of one pod: 20 % of its requests fail, for 15 s every three hours or for 60 s every 18.
pub(crate) const STRESSES: [(&str, Stress); 4] = [
    ("bursts of 15 s", Stress::Bursts { mean_s: 15.0, every_s: 10_800.0 }),
    ("bursts of 60 s", Stress::Bursts { mean_s: 60.0, every_s: 64_800.0 }),
    ("noise of 1.0", Stress::Noise { sd: 1.0, keeps: 0.5 }),
    ("pods differ by 40 %", Stress::Lasting { sd: 0.4 }),
];

/// Pods as tables call them.
pub(crate) fn pods(world: &World) -> String {
    format!("{} of {}", world.pods.0, world.pods.0 + world.pods.1)
}

fn table(title: &'static str, words: &str, rows: Vec<Row>, options: &Options) -> Section {
    let header = vec!["setting", "requests/s", "pods", "false alarms (99 % interval)", "at most", "target"];
    let mut section = Section { title, words: words.to_owned(), header, ..Section::default() };
    for row in rows {
        let name = format!("{title}/{}/{}/{}", row.what, row.world.rps, pods(&row.world));
        let runs = if row.target.is_some() { options.runs } else { options.runs.div_ceil(5) };
        let all: Vec<Run> = timed(&name, || {
            on_two_threads(runs, |run| {
                let random = Random::of(&name, run);
                if row.scraped {
                    scrapes::judge(&row.world, &row.setup, random)
                } else {
                    judge(&row.world, &row.setup, random, HORIZON_S)
                }
            })
        });
        let rate = Rate::of(all.iter().filter(|run| run.breach()).count(), runs);
        let signals = all.iter().filter(|run| run.signal).count();
        let what = format!("{}, {} requests/s, {} pods", row.what, row.world.rps, pods(&row.world));
        // The one exception of the suite that is known.
        let known = (row.world.pods.0 == 1 && row.world.stress == STRESSES[1].1).then_some(LONG_BURSTS);
        let check = row.target.map(|target| Check::rate(&what, rate, target).or_known(known));
        let mut told = rate.to_string();
        if signals > 0 {
            let _ = write!(told, " and {signals} hard signals");
        }
        section.rows.push(vec![
            row.what,
            row.world.rps.to_string(),
            pods(&row.world),
            told,
            row.target.map_or("nothing promised".to_owned(), |target| format!("{:.0} %", target * 100.0)),
            check.as_ref().map_or("", Check::word).to_owned(),
        ]);
        section.checks.extend(check);
    }
    section
}

/// Clean counts: a constant weight, ramps, latency.
pub(crate) fn clean(options: &Options) -> Section {
    const RAMP: Weight = Weight::Ramp(&[0.01, 0.05, 0.2, 0.5], 1_800.0);
    let mut rows = Vec::new();
    for (rps, pods) in
        [(10.0, (4, 16)), (100.0, (4, 16)), (1_000.0, (4, 16)), (100.0, (1, 19)), (1_000.0, (1, 19))]
    {
        let world = World { rps, pods, ..World::HEALTHY };
        rows.push(Row::new("weight 5 %", world, Setup::promised(), CLEAN));
    }
    for rps in [100.0, 1_000.0] {
        let world = World { rps, weight: RAMP, ..World::HEALTHY };
        rows.push(Row::new("weight 1, 5, 20, 50 %, errors swing", world, Setup::promised(), CLEAN));
    }
    for shape in &SHAPES[1..] {
        let world = World { base: shape.slow(1.0), ..World::HEALTHY };
        let setup = Setup { metric: MetricSpec::latency(0.0, Some(0.05)), ..Setup::promised() };
        rows.push(Row::new(format!("slow requests, {}", shape.name), world, setup, CLEAN));
    }
    table(
        "False alarms on clean counts",
        "A healthy free-threaded pool for two hours, looked at after every cell. In the ramp each weight serves half an hour, and the errors of both \
         pools swing between a quarter and four times 0.1 % meanwhile, which a test on pooled counts takes for a regression. Slow requests are \
         those above 0.5 s, with an objective of 5 %.",
        rows,
        options,
    )
}

/// Both pools fail together.
pub(crate) fn shared(options: &Options) -> Section {
    let short = Incident { every_s: 1_800.0, lasts_s: 120.0, bad: 0.2 };
    let long = Incident { every_s: 3_600.0, lasts_s: 600.0, bad: 0.03 };
    let row = |what: &str, rps, weight, incident, scraped| {
        let world = World { rps, weight: Weight::Fixed(weight), incident: Some(incident), ..World::HEALTHY };
        // Raw samples cost more, so there are fewer pods.
        let world = if scraped { World { pods: (3, 6), ..world } } else { world };
        Row { scraped, ..Row::new(what, world, Setup::promised(), CLEAN) }
    };
    let calm = World { pods: (3, 6), ..World::HEALTHY };
    let rows = vec![
        row("20 % for 2 min, every half hour", 100.0, 0.05, short, false),
        row("20 % for 2 min, every half hour", 1_000.0, 0.05, short, false),
        row("3 % for 10 min, every hour", 1_000.0, 0.05, long, false),
        row("20 % for 2 min, weight 25 %", 100.0, 0.25, short, false),
        Row { scraped: true, ..Row::new("staggered scrapes, no incident", calm, Setup::promised(), CLEAN) },
        row("staggered scrapes, 20 % for 2 min", 100.0, 0.05, short, true),
    ];
    table(
        "False alarms in shared incidents, and from staggered scrapes",
        "Both pools fail alike, again and again. Against the objective alone the free-threaded pool is at fault each time. In the last two rows the \
         judge is fed raw counters: pods are scraped one after the other with jitter, half of them start over once, one is lost to Prometheus \
         for 80 s, and once all of them are for two to five minutes.",
        rows,
        options,
    )
}

/// Burstier than coin tosses.
pub(crate) fn stress(options: &Options) -> Section {
    let mut rows = Vec::new();
    for (name, stress) in STRESSES {
        for (rps, pods) in [(100.0, (4, 16)), (1_000.0, (4, 16)), (100.0, (1, 19)), (1_000.0, (1, 19))] {
            let world = World { rps, pods, stress, ..World::HEALTHY };
            rows.push(Row::new(name, world, Setup::promised(), STRESSED));
        }
    }
    let (name, stress) = STRESSES[1];
    let two = World { pods: (2, 18), stress, ..World::HEALTHY };
    rows.push(Row::new(name, two, Setup::promised(), STRESSED));
    for rps in [100.0, 1_000.0] {
        let alone = World { rps, pods: (1, 19), stress, ..World::HEALTHY };
        rows.push(Row::new(format!("{name}, compared alone"), alone, Setup::compared(), STRESSED));
    }
    table(
        "False alarms where counts are burstier than coin tosses",
        "Every pod of both pools for itself, in the history and in the attempt. *Bursts*: 20 % of one pod's requests fail, on average for 15 s every \
         three hours, or for 60 s every 18 (both exponential). *Noise*: a pod's error rate is lognormal; its logarithm has a standard deviation \
         of 1.0 and keeps half of its value from cell to cell. *Pods differ*: each has a lognormal factor for good, σ 0.4. *Compared alone*: \
         without the objective, so that the comparison has all of α.",
        rows,
        options,
    )
}

/// Retries, and what nobody promises.
pub(crate) fn limits(options: &Options) -> Section {
    let packs = World { tries: 3, weight: Weight::Fixed(0.2), ..World::HEALTHY };
    let mut rows = Vec::new();
    for rps in [100.0, 1_000.0] {
        let setup = Setup { tries: 3, ..Setup::compared() };
        rows.push(Row::new("three tries within the pool, declared", World { rps, ..packs }, setup, CLEAN));
    }
    let nothing = |what: &str, world, setup| Row { target: None, ..Row::new(what, world, setup, 0.0) };
    rows.push(nothing(
        "three tries within the pool, not declared",
        World { rps: 1_000.0, ..packs },
        Setup::compared(),
    ));
    let unknown = Setup {
        learn: false,
        metric: MetricSpec { noise: Noise::UNKNOWN, ..MetricSpec::errors(0.0, None) },
        tries: 1,
    };
    for (name, stress) in STRESSES {
        let world =
            World { rps: 1_000.0, pods: (3, 9), weight: Weight::Fixed(0.2), stress, ..World::HEALTHY };
        rows.push(nothing(&format!("no history: {name}"), world, unknown.clone()));
    }
    let slow = Stress::Noise { sd: 1.0, keeps: 0.98 };
    rows.push(nothing(
        "noise of 1.0 that lasts for minutes",
        World { rps: 1_000.0, stress: slow, ..World::HEALTHY },
        Setup::compared(),
    ));
    let often = Stress::Bursts { mean_s: 60.0, every_s: 43_200.0 };
    let alone = World { rps: 1_000.0, pods: (1, 19), stress: often, ..World::HEALTHY };
    rows.push(nothing("bursts of 60 s every 12 hours", alone, Setup::compared()));
    table(
        "Retries, no history, and noise beyond the suite",
        "A failing request is tried three times, each time on any pod of its pool, and fails each time: errors come in packs that no dispersion over \
         pods shows. *Declared*: the judge is told so. Weight 20 %. Without history the noise is assumed (φ = 1.2, τ = 0.25) instead of learnt. \
         Noise that lasts for minutes keeps 98 % of its logarithm from cell to cell. False alarms of a single pod grow with the number of its \
         long bursts: the last row has half as many again. Compared with the standard pool alone. Where nothing is promised, a fifth of the \
         runs is played.",
        rows,
        options,
    )
}
