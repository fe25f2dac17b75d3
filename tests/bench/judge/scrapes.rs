//! The same pools seen through Prometheus: raw counters, scraped one pod after the other, with resets and gaps.

use freethread_rollout::judge::{
    At, MetricSamples, Observed, PodSamples, Point, Pool, Series, Verdict, WeightChange,
};

use crate::{
    judge::{HORIZON_S, Run, Setup},
    random::Random,
    world::{CELL_S, Play, World, ms},
};

/// Scrapes of each pod that are fed at a time.
const PORTION: usize = 20;

/// One pod's counters and when they are read.
struct Target {
    pool: Pool,
    name: String,
    /// Time of its next scrape, s.
    next: f64,
    /// Time up to which its requests have been counted.
    until: f64,
    good: f64,
    bad: f64,
    process: f64,
    /// When it starts over, if it does.
    reset: f64,
    /// From when to when its scrapes fail.
    lost: (f64, f64),
}

/// Plays an attempt of two hours from staggered scrapes with jitter. Half of the pods start over once; one is lost to Prometheus for 80 s,
/// and once all of them are for two to five minutes.
pub(crate) fn judge(world: &World, setup: &Setup, random: Random) -> Run {
    let mut play = Play::new(world, random);
    let (mut attempt, noise) = setup.attempt(&mut play);
    let random = &mut play.random;
    let phase = world.phase(random);
    let outage = random.between(300.0, HORIZON_S);
    let outage = (outage, outage + random.between(120.0, 300.0));
    let (ours, standard) = world.pods;
    let lost = random.below(ours + standard);
    let mut targets: Vec<Target> = (0..ours + standard)
        .map(|i| {
            let reset = if random.unit() < 0.5 { random.between(0.0, HORIZON_S) } else { f64::INFINITY };
            let away = random.between(0.0, HORIZON_S);
            Target {
                pool: if i < ours { Pool::FreeThreaded } else { Pool::Standard },
                name: format!("pod-{i}"),
                next: -2.0 * CELL_S + random.between(0.0, CELL_S),
                until: -2.0 * CELL_S,
                good: 1_000.0,
                bad: 3.0,
                process: -9_000.0,
                reset,
                lost: if i == lost { (away, away + 80.0) } else { (0.0, 0.0) },
            }
        })
        .collect();
    let weight = world.weight_at(0.0).0;
    let changes = [WeightChange { at: -1, share: weight }];
    let mut now = -2.0 * CELL_S;
    while now < HORIZON_S {
        now += PORTION as f64 * CELL_S;
        let pods = targets.iter_mut().map(|target| {
            let share = match target.pool {
                Pool::FreeThreaded => weight / ours as f64,
                Pool::Standard => (1.0 - weight) / standard as f64,
            };
            scrape(target, world, share, phase, outage, now, random)
        });
        let metrics =
            [MetricSamples { name: setup.metric.name.clone(), pods: pods.collect(), problem: None }];
        attempt.feed(&Observed {
            now: ms(now),
            metrics: &metrics,
            weight_changes: &changes,
            step_started: 0,
        });
        if attempt.is_over() {
            let signal = matches!(attempt.verdict(ms(now)).overall, Verdict::HardSignal(_));
            return Run { found: now, signal, noise };
        }
    }
    Run { found: f64::INFINITY, signal: false, noise }
}

/// The pod's scrapes up to `now`.
fn scrape(
    target: &mut Target,
    world: &World,
    share: f64,
    phase: f64,
    outage: (f64, f64),
    now: f64,
    random: &mut Random,
) -> PodSamples {
    let (mut good, mut bad, mut process_start) = (Vec::new(), Vec::new(), Vec::new());
    while target.next < now {
        let at = target.next + random.between(-0.02, 0.02);
        target.next += CELL_S;
        if target.until < target.reset && target.reset <= at {
            // What was counted since the last scrape is lost with the process.
            (target.good, target.bad, target.until, target.process) = (0.0, 0.0, target.reset, target.reset);
        }
        if at > target.until {
            let length = at - target.until;
            let ours = target.pool == Pool::FreeThreaded && at >= world.onset;
            let bad = world.base
                + world.incident_in(phase, target.until, at)
                + if ours { world.extra } else { 0.0 };
            let share_bad = bad.min(1.0);
            let requests = world.rps * share * length;
            target.bad += random.poisson(requests * share_bad);
            target.good += random.poisson(requests * (1.0 - share_bad));
            target.until = at;
        }
        if [outage, target.lost].iter().any(|(from, to)| (*from..*to).contains(&at)) {
            continue;
        }
        let at = ms(at);
        good.push(Point { at, value: target.good });
        bad.push(Point { at, value: target.bad });
        process_start.push(Point { at, value: target.process });
    }
    let series = |id: &str, k, points| Series { id: id.to_owned(), n: 1.0, k, at: At::Everywhere, points };
    PodSamples {
        pod: target.name.clone(),
        pool: target.pool,
        started: -9_000_000,
        counted_from: i64::MIN,
        series: vec![series("good", 0.0, good), series("bad", 1.0, bad)],
        process_start,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::Weight;

    #[test]
    fn health_is_left_alone_and_a_break_is_found_from_raw_counters() {
        let world = World { pods: (3, 6), weight: Weight::Fixed(0.2), ..World::HEALTHY };
        let run = judge(&world, &Setup::promised(), Random::of("scrapes", 1));
        assert!(run.found.is_infinite(), "{run:?}");
        let broken = World { extra: 0.1, onset: 600.0, ..world };
        let run = judge(&broken, &Setup::promised(), Random::of("scrapes", 1));
        assert!(run.breach() && (600.0..=900.0).contains(&run.found), "{run:?}");
    }
}
