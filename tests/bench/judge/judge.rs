//! The judge of the product, driven through simulated cells.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

use freethread_rollout::judge::{Attempt, AttemptSpec, Baseline, MetricSpec, Noise, Verdict};

use crate::{
    random::Random,
    world::{CELL_S, Play, World, ms},
};

/// `α` of every attempt.
pub(crate) const ALPHA: f64 = 0.01;

/// How long an attempt is watched, s.
pub(crate) const HORIZON_S: f64 = 7_200.0;

/// What an attempt is judged by.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) metric: MetricSpec,
    /// Whether the noise is learnt from the history; else it is the metric's.
    pub(crate) learn: bool,
    /// What the specification says of tries.
    pub(crate) tries: u32,
}

impl Setup {
    /// Errors, compared with the standard pool without any tolerance, and nothing else: all of `α` for one test.
    pub(crate) fn compared() -> Self {
        Self { metric: MetricSpec::errors(0.0, None), learn: true, tries: 1 }
    }

    /// The same, and an objective of 1 %.
    pub(crate) fn promised() -> Self {
        Self { metric: MetricSpec::errors(0.0, Some(0.01)), ..Self::compared() }
    }

    /// The share of `α` that each of its tests has.
    pub(crate) fn share(&self) -> f64 {
        1.0 / f64::from(u8::from(self.metric.tolerate.is_some()) + u8::from(self.metric.objective.is_some()))
    }

    /// A fresh attempt, and the noise it goes by.
    pub(crate) fn attempt(&self, play: &mut Play<'_>) -> (Attempt, Noise) {
        let history = play.history();
        let noise = if self.learn { Baseline::of(&history).noise } else { self.metric.noise };
        let metric = MetricSpec { noise, ..self.metric.clone() };
        let mut spec = AttemptSpec::new(ALPHA, ms(CELL_S), 0, vec![metric]);
        spec.tries = self.tries;
        let attempt = Attempt::new(spec).unwrap_or_else(|e| panic!("{e}"));
        (attempt, noise)
    }
}

/// How an attempt went.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Run {
    /// Seconds from its start to the end of the cell that decided; infinite if none did.
    pub(crate) found: f64,
    /// It was a hard signal, which stands outside the bound.
    pub(crate) signal: bool,
    pub(crate) noise: Noise,
}

impl Run {
    pub(crate) fn breach(&self) -> bool {
        self.found.is_finite() && !self.signal
    }
}

/// Plays an attempt until it is over, `until` (s) at the latest.
pub(crate) fn judge(world: &World, setup: &Setup, random: Random, until: f64) -> Run {
    let mut play = Play::new(world, random);
    let (mut attempt, noise) = setup.attempt(&mut play);
    while play.now() < until {
        attempt.feed_cells(vec![(0, play.cell())]);
        if attempt.is_over() {
            let signal = matches!(attempt.verdict(ms(play.now())).overall, Verdict::HardSignal(_));
            return Run { found: play.now(), signal, noise };
        }
    }
    Run { found: f64::INFINITY, signal: false, noise }
}

/// Plays runs `0..count` on two threads. The results stand in the order of the runs, whichever thread played them.
pub(crate) fn on_two_threads<T: Send>(count: usize, one: impl Fn(u64) -> T + Sync) -> Vec<T> {
    const PORTION: u64 = 16;
    let (next, count) = (AtomicU64::new(0), count as u64);
    let work = || {
        let mut done = Vec::new();
        loop {
            let first = next.fetch_add(PORTION, Ordering::Relaxed);
            if first >= count {
                return done;
            }
            done.extend((first..(first + PORTION).min(count)).map(|run| (run, one(run))));
        }
    };
    let mut all: Vec<(u64, T)> = thread::scope(|scope| {
        let other = scope.spawn(work);
        let mut all = work();
        all.extend(other.join().unwrap_or_else(|e| std::panic::resume_unwind(e)));
        all
    });
    all.sort_by_key(|(run, _)| *run);
    all.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::Weight;

    #[test]
    fn a_break_is_found_and_health_is_not() {
        let broken = World { extra: 0.05, weight: Weight::Fixed(0.2), ..World::HEALTHY };
        let run = judge(&broken, &Setup::promised(), Random::of("broken", 1), 600.0);
        assert!(run.breach() && run.found <= 60.0, "{run:?}");
        assert!((1.2..2.0).contains(&run.noise.phi), "{run:?}");
        let run = judge(&World::HEALTHY, &Setup::promised(), Random::of("healthy", 1), 1_800.0);
        assert!(run.found.is_infinite(), "{run:?}");
    }

    #[test]
    fn results_do_not_depend_on_the_threads() {
        let world = World { extra: 0.01, weight: Weight::Fixed(0.2), ..World::HEALTHY };
        let one = |run| judge(&world, &Setup::compared(), Random::of("threads", run), 600.0);
        let alone: Vec<Run> = (0..40).map(one).collect();
        assert_eq!(on_two_threads(40, one), alone);
    }
}
