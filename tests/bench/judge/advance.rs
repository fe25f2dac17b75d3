//! Steps: how often a bad pool is let on, and how long a healthy one takes.

use freethread_rollout::judge::{Attempt, Observed};

use crate::{
    Options,
    judge::{Setup, on_two_threads},
    random::Random,
    rates::{Rate, quantile},
    report::Section,
    targets::{Check, UNSAFE},
    timed,
    world::{CELL_S, Play, Stress, Weight, World, ms},
};

/// Shortest and longest hold of a step, s.
const HOLD: (f64, f64) = (60.0, 1_800.0);

/// The weights of a rollout, each a fixed setting of the simulation.
const STEPS: [f64; 3] = [0.05, 0.25, 0.5];

/// A pool that is exactly at the line: 1.25 times the standard pool's errors and 0.1 % more.
const AT_THE_LINE: f64 = 0.25 * 0.001 + 0.001;

/// The only metric is shown to be well enough now.
fn is_safe(attempt: &Attempt, now: f64) -> bool {
    let judgement = attempt.verdict(ms(now));
    let evidence = judgement.metrics.first().and_then(|metric| metric.verdict.evidence());
    evidence.is_some_and(|evidence| evidence.safe.is_some_and(|safe| safe >= evidence.safe_bound))
}

/// Whether a step with the longest hold ever says "safe", looked at after every cell. A rollback before that ends it.
fn advances(world: &World, random: Random) -> bool {
    let mut play = Play::new(world, random);
    let (mut attempt, _) = Setup::promised().attempt(&mut play);
    while play.now() < HOLD.1 {
        attempt.feed_cells(vec![(0, play.cell())]);
        if attempt.is_over() {
            return false;
        }
        if is_safe(&attempt, play.now()) {
            return true;
        }
    }
    false
}

/// Pools at the line that advance.
pub(crate) fn unsafe_advance(options: &Options) -> Section {
    let mut section = Section {
        title: "Unsafe advances",
        words: "A free-threaded pool exactly at the line (1.25 times the standard pool's 0.1 %, and 0.1 % more) in a step of 30 minutes, looked at after \
                every cell: how often it is called safe even once before it is rolled back. At most β = 5 % per step.".to_owned(),
        header: vec!["stress", "requests/s", "weight", "unsafe advances (99 % interval)", "at most", "target"],
        ..Section::default()
    };
    let rows = [
        ("none", Stress::None, 100.0, 0.25),
        ("none", Stress::None, 100.0, 0.5),
        ("none", Stress::None, 1_000.0, 0.05),
        ("none", Stress::None, 1_000.0, 0.5),
        ("pods differ by 40 %", Stress::Lasting { sd: 0.4 }, 1_000.0, 0.25),
    ];
    for (name, stress, rps, weight) in rows {
        let world =
            World { rps, weight: Weight::Fixed(weight), stress, extra: AT_THE_LINE, ..World::HEALTHY };
        let id = format!("unsafe/{name}/{rps}/{weight}");
        let hits = timed(&id, || on_two_threads(options.runs, |run| advances(&world, Random::of(&id, run))));
        let rate = Rate::of(hits.iter().filter(|hit| **hit).count(), options.runs);
        let check = Check::rate(
            &format!("unsafe advance, {name}, {rps} requests/s, weight {:.0} %", weight * 100.0),
            rate,
            UNSAFE,
        );
        section.rows.push(vec![
            name.to_owned(),
            rps.to_string(),
            format!("{:.0} %", weight * 100.0),
            rate.to_string(),
            "5 %".to_owned(),
            check.word().to_owned(),
        ]);
        section.checks.push(check);
    }
    section
}

/// Seconds that a healthy rollout takes from its first step to the end of the last one's proof, the steps that went on without one, and
/// whether it was rolled back.
fn rollout(rps: f64, random: Random) -> (f64, usize, bool) {
    // One world per step: what the judge sees of the pods does not last beyond the counts.
    let worlds = STEPS.map(|weight| World { rps, weight: Weight::Fixed(weight), ..World::HEALTHY });
    let mut play = Play::new(&worlds[0], random);
    let (mut attempt, _) = Setup::promised().attempt(&mut play);
    let mut unproven = 0;
    for world in &worlds {
        play.world = world;
        let started = play.now();
        attempt.feed(&Observed {
            now: ms(started),
            metrics: &[],
            weight_changes: &[],
            step_started: ms(started),
        });
        loop {
            let mut cell = play.cell();
            // The weight changes within the first cell, which is not counted.
            cell.held = play.now() - started < 1.5 * CELL_S;
            attempt.feed_cells(vec![(0, cell)]);
            if attempt.is_over() {
                return (play.now(), unproven, true);
            }
            let held = play.now() - started;
            if held >= HOLD.0 && is_safe(&attempt, play.now()) {
                break;
            }
            if held >= HOLD.1 {
                unproven += 1;
                break;
            }
        }
    }
    (play.now(), unproven, false)
}

/// Healthy rollouts that go on when the pool is shown to be safe.
pub(crate) fn pace(options: &Options) -> Section {
    let mut section = Section {
        title: "Time to finish a healthy rollout",
        words: "Steps of 5, 25 and 50 %. Each is held for at least 60 s and goes on as soon as the pool is shown to be safe, after 30 minutes at the latest \
                (without proof: a rollout may also pause there). Fixed holds that are as long as the longest take 90 minutes whatever the traffic.".to_owned(),
        header: vec!["requests/s", "minutes, median / 90 %", "steps that ended without proof", "rolled back", "fixed holds, minutes"],
        ..Section::default()
    };
    for rps in [10.0, 100.0, 1_000.0] {
        let id = format!("pace/{rps}");
        let all = timed(&id, || on_two_threads(options.delays, |run| rollout(rps, Random::of(&id, run))));
        let times: Vec<f64> = all.iter().map(|(seconds, _, _)| seconds / 60.0).collect();
        let unproven = all.iter().map(|(_, unproven, _)| unproven).sum::<usize>() as f64;
        let back = all.iter().filter(|(_, _, back)| *back).count() as f64;
        section.rows.push(vec![
            rps.to_string(),
            format!("{:.1} / {:.1}", quantile(&times, 0.5), quantile(&times, 0.9)),
            format!("{:.0} %", unproven / (all.len() * STEPS.len()) as f64 * 100.0),
            format!("{:.1} %", back / all.len() as f64 * 100.0),
            format!("{:.0}", HOLD.1 * STEPS.len() as f64 / 60.0),
        ]);
    }
    section
}
