//! Delays: how soon a regression is found, beside what others need.

use freethread_rollout::judge::MetricSpec;

use crate::{
    Options,
    alarms::{STRESSES, pods},
    judge::{HORIZON_S, Run, Setup, judge, on_two_threads},
    peers::{Known, MannWhitney, Peer, Threshold},
    random::Random,
    rates::{Rate, median_from, quantile},
    report::{Section, seconds},
    shapes::SHAPES,
    targets::{Check, delay, extra_bad, limit, longest_median, served},
    timed,
    world::{Play, Stress, Weight, World},
};

/// A late onset comes after this many healthy seconds.
const LATE_S: f64 = 1_200.0;

/// Delays of one setting.
struct Delays {
    /// Median, and where 90 % are found.
    from_start: (f64, f64),
    late: (f64, f64),
    /// Lower end of the median's interval, from the start.
    median_from: f64,
    phi: f64,
    /// Median over runs of what each run's noise allows.
    formula: f64,
}

fn measure(name: &str, world: &World, setup: &Setup, options: &Options) -> Delays {
    let play = |world: World, name: &str| -> Vec<Run> {
        let until = world.onset + HORIZON_S;
        on_two_threads(options.delays, |run| judge(&world, setup, Random::of(name, run), until))
    };
    let spread = |found: &[f64]| (quantile(found, 0.5), quantile(found, 0.9));
    timed(name, || {
        let runs = play(*world, name);
        let of = |value: &dyn Fn(&Run) -> f64| runs.iter().map(value).collect::<Vec<f64>>();
        let found = of(&|run| run.found);
        let late = play(World { onset: LATE_S, ..*world }, &format!("{name}/late"));
        // A rollback before the onset is a false alarm and no delay.
        let later: Vec<f64> =
            late.iter().map(|run| run.found - LATE_S).filter(|delay| *delay > 0.0).collect();
        Delays {
            from_start: spread(&found),
            late: spread(&later),
            median_from: median_from(&found),
            phi: quantile(&of(&|run| run.noise.phi), 0.5),
            formula: quantile(&of(&|run| longest_median(world, run.noise, setup.share())), 0.5),
        }
    })
}

/// Which targets a row has.
#[derive(Clone, Copy, PartialEq)]
enum Held {
    /// The formula, the fixed limits, and the bad requests served.
    Clean,
    /// The formula and the bad requests served.
    Stressed,
    /// The formula: slow requests are no failed ones.
    Latency,
}

/// A row and its checks.
fn row(section: &mut Section, first: Vec<String>, world: &World, got: &Delays, held: Held) {
    let named = section.header.iter().zip(&first).map(|(name, value)| format!("{name} {value}"));
    let what = named.collect::<Vec<_>>().join(", ");
    let Weight::Fixed(weight) = world.weight else { return };
    let floor = Known::floor(world.base, world.base + world.extra, world.rps * weight);
    let median = (got.from_start.0, got.median_from);
    let limit = limit(world, got.formula, held == Held::Clean);
    let mut checks: Vec<Check> = limit.map(|limit| delay(&what, world, median, limit)).into_iter().collect();
    if median.0.is_finite() && held != Held::Latency {
        checks.push(served(&what, world, median, limit));
    }
    let worst = checks.iter().max_by_key(|check| check.severity()).map_or("", Check::word);
    let pair = |(median, most): (f64, f64)| format!("{} / {}", seconds(median), seconds(most));
    section.rows.push(
        first
            .into_iter()
            .chain([
                format!("{:.1}", got.phi),
                pair(got.from_start),
                pair(got.late),
                seconds(floor.max(1.0)),
                seconds(limit.unwrap_or(f64::INFINITY)),
                seconds(extra_bad(world, median.0)),
                worst.to_owned(),
            ])
            .collect(),
    );
    section.checks.extend(checks);
}

const COLUMNS: [&str; 7] = [
    "φ",
    "from the start",
    "after 20 healthy min",
    "ln(1/α)/KL",
    "median at most",
    "extra bad served",
    "target",
];

fn header(first: &[&'static str]) -> Vec<&'static str> {
    first.iter().chain(&COLUMNS).copied().collect()
}

fn percent(share: f64) -> String {
    format!("{} %", (share * 1_000.0).round() / 10.0)
}

/// The grid of traffic, effects and weights.
pub(crate) fn grid(options: &Options) -> Section {
    let mut section = Section {
        title: "Delays on clean counts",
        words: "Seconds to the rollback, median / 90 %; “–”: not within two hours, or a formula over two hours and so no target. φ is the median of what \
                was learnt. *ln(1/α)/KL* is what Wald's test takes on average that is told the healthy rate, the broken rate and the onset: the \
                floor for anybody with the same bound. *Median at most*: 1.5·φ·ln(1/(α·w))/KL and two polls, w = ½ being the comparison's part of α \
                and KL the best growth that a comparison of the two pools can have; and +5 % in 30 s from 100 requests/s and 5 % on, +0.5 % at \
                1,000 requests/s in 60 s at 5 % and in 30 s at 20 %. *Extra bad served* before the median rollback: at most 40, or those of two \
                polls. Missed when the lower end of the median's 99 % interval is over the limit.".to_owned(),
        header: header(&["requests/s", "weight", "extra errors"]),
        ..Section::default()
    };
    for rps in [10.0, 100.0, 1_000.0] {
        for weight in [0.01, 0.05, 0.2, 0.5] {
            for extra in [0.001, 0.005, 0.01, 0.05] {
                let world = World { rps, extra, weight: Weight::Fixed(weight), ..World::HEALTHY };
                let got =
                    measure(&format!("grid/{rps}/{weight}/{extra}"), &world, &Setup::promised(), options);
                row(
                    &mut section,
                    vec![rps.to_string(), percent(weight), format!("+{}", percent(extra))],
                    &world,
                    &got,
                    Held::Clean,
                );
            }
        }
    }
    section
}

/// Delays under the stresses of the false alarm table.
pub(crate) fn stressed(options: &Options) -> Section {
    let mut section = Section {
        title: "Delays where counts are burstier than coin tosses",
        words: "The stresses of the table of false alarms. The formula counts the noise that was learnt. With one free-threaded pod it is at least 90 s, \
                because a single pod may bring only half of the bar in 75 s.".to_owned(),
        header: header(&["stress", "pods", "requests/s", "extra errors"]),
        ..Section::default()
    };
    for (name, stress) in std::iter::once(("none", Stress::None)).chain(STRESSES) {
        for split in [(4, 16), (1, 19)] {
            for rps in [100.0, 1_000.0] {
                for extra in [0.005, 0.05] {
                    let world = World { rps, extra, stress, pods: split, ..World::HEALTHY };
                    let id = format!("stressed/{name}/{}/{rps}/{extra}", split.0);
                    let got = measure(&id, &world, &Setup::promised(), options);
                    let first =
                        vec![name.to_owned(), pods(&world), rps.to_string(), format!("+{}", percent(extra))];
                    let held = if stress == Stress::None { Held::Clean } else { Held::Stressed };
                    row(&mut section, first, &world, &got, held);
                }
            }
        }
    }
    section
}

/// Slower requests, through a bucket.
pub(crate) fn latency(options: &Options) -> Section {
    let mut section = Section {
        title: "Delays for slow requests",
        words: "Every request of the free-threaded pool takes longer by the factor; what is counted is the share above the bucket boundary at 0.5 s. \
                100 requests/s, an objective of 5 %. *One hump*: lognormal, median 100 ms, σ 0.7; *a long tail*: 60 ms, σ 1.0; *two humps*: 95 % around 60 ms and 5 % \
                around 400 ms, σ 0.3.".to_owned(),
        header: header(&["shape", "slower", "slow requests"]),
        ..Section::default()
    };
    let setup = Setup { metric: MetricSpec::latency(0.0, Some(0.05)), ..Setup::promised() };
    for shape in &SHAPES {
        for times in [1.25, 1.5, 2.0] {
            let (base, slow) = (shape.slow(1.0), shape.slow(times));
            let world = World { base, extra: slow - base, ..World::HEALTHY };
            let got = measure(&format!("latency/{}/{times}", shape.name), &world, &setup, options);
            let first = vec![
                shape.name.to_owned(),
                format!("× {times}"),
                format!("{} → {}", percent(base), percent(slow)),
            ];
            row(&mut section, first, &world, &got, Held::Latency);
        }
    }
    section
}

/// Seconds at which each way to decide rolls back: the judge, the known effect, Flagger, Argo, Mann–Whitney.
fn race(world: &World, name: &str, run: u64, judged: bool) -> [f64; 5] {
    let mut found = [f64::INFINITY; 5];
    if judged {
        found[0] = judge(world, &Setup::compared(), Random::of(name, run), HORIZON_S).found;
    }
    let mut play = Play::new(world, Random::of(&format!("{name}/peers"), run)).without_history();
    let mut peers: [Box<dyn Peer>; 4] = [
        Box::new(Known::new(world.base, world.base + world.extra)),
        Box::new(Threshold::flagger()),
        Box::new(Threshold::argo()),
        Box::new(MannWhitney::default()),
    ];
    while play.now() < HORIZON_S && found[1..].iter().any(|at| at.is_infinite()) {
        play.step();
        let (ours, standard) = play.pools();
        for (at, peer) in found[1..].iter_mut().zip(&mut peers) {
            if at.is_infinite() && peer.push(ours, standard) {
                *at = play.now();
            }
        }
    }
    found
}

/// Beside other ways to decide.
pub(crate) fn peers(options: &Options) -> Section {
    let mut section = Section {
        title: "Beside other ways to decide",
        words: "Median seconds to the rollback with the effect from the start, and in brackets the extra bad requests served until then; “found x %”: \
                in under half of the runs within two hours. Healthy rows are false alarms in two hours. This judge has no objective here, only the comparison. The others are given exact counts, which flatters them. \
                *Known effect*: Wald's test that is told both rates and the onset. *Flagger*: a success rate of 99 % each minute, back at the fifth \
                miss. *Argo*: its documented template, 95 %, `failureLimit: 3`, each minute. *Mann–Whitney*: every ten minutes the one-minute error \
                rates of both pools, 98 % confidence that the shift exceeds a quarter of the standard pool's mean, as Kayenta does.".to_owned(),
        header: vec!["requests/s", "errors", "this judge", "known effect", "Flagger", "Argo", "Mann–Whitney"],
        ..Section::default()
    };
    for (rps, base) in [(10.0, 0.001), (100.0, 0.001), (1_000.0, 0.001), (100.0, 0.01)] {
        let world = World { rps, base, ..World::HEALTHY };
        let name = format!("peers/{rps}/{base}/healthy");
        let all = timed(&name, || on_two_threads(options.runs, |run| race(&world, &name, run, true)));
        let rate = |i: usize| Rate::of(all.iter().filter(|found| found[i].is_finite()).count(), options.runs);
        let what = format!("{} healthy", percent(base));
        section.checks.push(Check::rate(
            &format!("{rps} requests/s, {what}, compared alone"),
            rate(0),
            crate::targets::CLEAN,
        ));
        let of = |i: usize| format!("{:.1} % false", rate(i).share() * 100.0);
        section.rows.push(vec![rps.to_string(), what, of(0), String::new(), of(2), of(3), of(4)]);
    }
    let broken = [
        (10.0, 0.05),
        (100.0, 0.005),
        (100.0, 0.05),
        (1_000.0, 0.001),
        (1_000.0, 0.005),
        (1_000.0, 0.01),
        (1_000.0, 0.05),
    ];
    for (rps, extra) in broken {
        let world = World { rps, extra, ..World::HEALTHY };
        let name = format!("peers/{rps}/{extra}");
        let all = timed(&name, || on_two_threads(options.delays, |run| race(&world, &name, run, true)));
        let median = |i: usize| quantile(&all.iter().map(|found| found[i]).collect::<Vec<_>>(), 0.5);
        let told = |i: usize| {
            let at = median(i);
            if at.is_finite() {
                return format!("{at:.0} ({:.0})", extra_bad(&world, at));
            }
            let found = all.iter().filter(|found| found[i].is_finite()).count() as f64 / all.len() as f64;
            let bad = extra_bad(&world, HORIZON_S);
            if found > 0.0 {
                format!("found {:.0} % ({bad:.0})", found * 100.0)
            } else {
                format!("never ({bad:.0})")
            }
        };
        let what = format!("+{}", percent(extra));
        section.rows.push([rps.to_string(), what.clone()].into_iter().chain((0..5).map(told)).collect());
        section.marks.push((format!("{rps} requests/s, {what}"), (0..5).map(median).collect()));
    }
    section
}
