//! What is to be reached, and whether it was. Pure.

use freethread_rollout::judge::Noise;

use crate::{
    judge::{ALPHA, HORIZON_S},
    rates::Rate,
    world::{CELL_S, Weight, World},
};

/// False alarms on clean counts, ramps of weight and shared incidents.
pub(crate) const CLEAN: f64 = 0.01;

/// False alarms where counts are burstier than coin tosses.
pub(crate) const STRESSED: f64 = 0.03;

/// A pool at the line that is called safe, per step.
pub(crate) const UNSAFE: f64 = 0.05;

/// Extra bad requests before the rollback; or those of two polls.
const EXTRA_BAD: f64 = 40.0;

/// CPU of a tick of 1,000 rollouts with six metrics each, ms.
pub(crate) const TICK_MS: f64 = 50.0;

/// A target and what became of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Check {
    pub(crate) what: String,
    /// The numbers.
    pub(crate) words: String,
    pub(crate) state: State,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum State {
    Met,
    Missed,
    /// Missed for a reason that is known and told: it does not fail the benchmark.
    Known(&'static str),
}

impl Check {
    pub(crate) fn new(what: String, met: bool, words: String) -> Self {
        Self { what, words, state: if met { State::Met } else { State::Missed } }
    }

    /// A false alarm rate: missed only when its interval lies above the target.
    pub(crate) fn rate(what: &str, rate: Rate, limit: f64) -> Self {
        let words = format!("{rate}, at most {:.0} %", limit * 100.0);
        Self::new(what.to_owned(), !rate.is_over(limit), words)
    }

    /// With this reason it does not fail the benchmark.
    pub(crate) fn or_known(mut self, reason: Option<&'static str>) -> Self {
        if let (State::Missed, Some(reason)) = (&self.state, reason) {
            self.state = State::Known(reason);
        }
        self
    }

    /// The worse, the more.
    pub(crate) fn severity(&self) -> u8 {
        match self.state {
            State::Met => 0,
            State::Known(_) => 1,
            State::Missed => 2,
        }
    }

    /// One word for a table.
    pub(crate) fn word(&self) -> &'static str {
        match self.state {
            State::Met => "met",
            State::Missed => "**missed**",
            State::Known(_) => "missed, known",
        }
    }
}

/// Nats a second that the best elevation gathers at the true effect, comparing the two pools, before tempering.
pub(crate) fn growth(world: &World, noise: Noise) -> f64 {
    let Weight::Fixed(weight) = world.weight else { return 0.0 };
    let (ours, standard) = world.pods;
    let rho = 1.0 + 2.0 * noise.tau * (1.0 / ours as f64 + 1.0 / standard as f64).sqrt();
    let (n_c, n_b) = (world.rps * weight, world.rps * (1.0 - weight));
    let (k_c, k_b) = (n_c * (world.base + world.extra), n_b * world.base);
    let at = |r: f64| {
        let b = (rho * n_c + n_b) / (rho * r * n_c + n_b);
        k_c * (r * b).ln() + k_b * b.ln()
    };
    (1..2_000).map(|i| at(f64::from(i).mul_add(0.003, 0.0).exp())).fold(0.0, f64::max)
}

/// `1.5·φ·ln(1/(α·w))/KL` and two polls: what the median delay may be, s. `w`: the test's share of `α`.
pub(crate) fn longest_median(world: &World, noise: Noise, w: f64) -> f64 {
    1.5 * noise.phi * -(ALPHA * w).ln() / growth(world, noise) + 2.0 * CELL_S
}

/// A fixed limit of the median delay for clean counts with the effect from the start, where there is one.
pub(crate) fn fixed(world: &World) -> Option<f64> {
    let Weight::Fixed(weight) = world.weight else { return None };
    let (many, extra) = (world.pods.0 >= 3, world.extra);
    let near = |x: f64, y: f64| (x - y).abs() < 1e-9;
    if near(extra, 0.05) && world.rps >= 100.0 && weight >= 0.05 {
        return Some(if many { 30.0 } else { 90.0 });
    }
    let strong = near(extra, 0.005) && world.rps >= 1_000.0 && many;
    (strong && weight >= 0.05).then_some(if weight >= 0.2 { 30.0 } else { 60.0 })
}

/// Bursts of one pod that its cap does not outlast.
pub(crate) const LONG_BURSTS: &str =
    "one free-threaded pod: a burst that outlasts the 75 s of the cap cannot be told from a pool that broke";

/// What one pod costs.
pub(crate) const ONE_POD: &str =
    "one free-threaded pod: the burst cap lets a single pod bring half of the bar in 75 s, however bad it is";

/// Two targets that contradict each other.
const FORMULA: &str = "the delay is within its own target, which allows for more than 40 bad requests here: a small effect at half of the traffic, or much noise";

/// Delays are seen at the ends of cells.
const POLL: &str = "by less than a poll: the formula leaves 0.3 nats for an elevation between those that are looked for, and for the end of the cell";

/// What little traffic costs.
const FEW: &str = "a tenth of a request a second: one bad request is a third of the evidence, so the bar is overshot by most of one, for which \
                   the formula has no room, and the burst cap keeps a part of each";

/// Requests come one by one.
fn few(world: &World) -> bool {
    matches!(world.weight, Weight::Fixed(weight) if world.rps * weight < 0.5)
}

/// The largest median delay that the targets allow, if any does: the formula, for one pod at least the 90 s that its cap takes, and for
/// clean counts the fixed limits.
pub(crate) fn limit(world: &World, formula: f64, clean: bool) -> Option<f64> {
    let formula = if world.pods.0 == 1 { formula.max(90.0) } else { formula };
    let fixed = if clean { fixed(world) } else { None };
    (formula <= HORIZON_S).then(|| fixed.map_or(formula, |fixed| fixed.min(formula)))
}

/// The check of a median delay: missed when the lower end `from` of its 99 % interval is over the limit.
pub(crate) fn delay(what: &str, world: &World, (median, from): (f64, f64), limit: f64) -> Check {
    let words = if median.is_finite() {
        format!("median {median:.0} s (99 % surely {from:.0} s or more), at most {limit:.1} s")
    } else {
        format!("not found in two hours in half of the runs, at most {limit:.0} s")
    };
    let known = if world.pods.0 == 1 {
        Some(ONE_POD)
    } else if few(world) {
        Some(FEW)
    } else {
        (from - limit < CELL_S).then_some(POLL)
    };
    Check::new(format!("{what}: delay"), from <= limit, words).or_known(known)
}

/// Extra bad requests that the free-threaded pool serves in `seconds`.
pub(crate) fn extra_bad(world: &World, seconds: f64) -> f64 {
    let Weight::Fixed(weight) = world.weight else { return 0.0 };
    world.rps * weight * world.extra * seconds
}

/// The check of the extra bad requests that the median rollback has let through; as with delays, by the lower end of its interval.
/// `limit`: what the delay itself may be, s.
pub(crate) fn served(what: &str, world: &World, (median, from): (f64, f64), limit: Option<f64>) -> Check {
    let (bad, most) = (extra_bad(world, median), EXTRA_BAD.max(extra_bad(world, 2.0 * CELL_S)));
    let words = format!("{bad:.0} extra bad requests, at most {most:.0}");
    let allowed = limit.is_some_and(|limit| from <= limit && extra_bad(world, limit) > most);
    let known = if world.pods.0 == 1 { Some(ONE_POD) } else { allowed.then_some(FORMULA) };
    Check::new(format!("{what}: extra bad requests"), extra_bad(world, from) <= most + 1e-9, words)
        .or_known(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn world(rps: f64, extra: f64) -> World {
        World { rps, extra, ..World::HEALTHY }
    }

    #[test]
    fn growth_is_near_the_one_sample_divergence_when_the_standard_pool_is_large() {
        let few = World { weight: Weight::Fixed(0.001), ..world(1_000.0, 0.001) };
        // n·(p₁·ln 2 − (p₁ − p₀)) = 1 · (0.002·ln 2 − 0.001).
        let divergence = 0.002 * 2f64.ln() - 0.001;
        assert!((growth(&few, Noise::NONE) / divergence - 1.0).abs() < 0.01);
        let wide = growth(&few, Noise { phi: 1.0, tau: 0.4 });
        assert!(wide < divergence, "a widened factor costs: {wide}");
    }

    #[test]
    fn limits() {
        let formula = longest_median(&world(100.0, 0.05), Noise { phi: 1.2, tau: 0.0 }, 1.0);
        assert!((38.0..45.0).contains(&formula), "{formula}");
        assert_eq!(fixed(&world(100.0, 0.05)), Some(30.0));
        assert_eq!(fixed(&world(1_000.0, 0.005)), Some(60.0));
        assert_eq!(fixed(&World { weight: Weight::Fixed(0.2), ..world(1_000.0, 0.005) }), Some(30.0));
        assert_eq!(fixed(&World { pods: (1, 19), ..world(100.0, 0.05) }), Some(90.0));
        assert_eq!(fixed(&world(10.0, 0.05)), None);
        // 5 requests a second, 5 % of them: 40 extra bad ones take 160 s.
        assert_eq!(served("", &world(100.0, 0.05), (160.0, 160.0), None).state, State::Met);
        assert_eq!(served("", &world(100.0, 0.05), (165.0, 165.0), None).state, State::Missed);
        assert_eq!(served("", &world(1_000.0, 0.05), (30.0, 30.0), None).state, State::Met, "two polls");
    }

    #[test]
    fn what_is_known_is_told_and_the_rest_fails() {
        let one = World { pods: (1, 19), ..world(1_000.0, 0.05) };
        assert_eq!(served("", &one, (90.0, 90.0), Some(90.0)).state, State::Known(ONE_POD));
        let half = World { weight: Weight::Fixed(0.5), ..world(1_000.0, 0.001) };
        assert_eq!(served("", &half, (120.0, 120.0), Some(143.0)).state, State::Known(FORMULA));
        assert_eq!(served("", &half, (150.0, 150.0), Some(143.0)).state, State::Missed);
        let state = |from| delay("", &world(100.0, 0.05), (from, from), 30.0).state;
        assert_eq!([state(30.0), state(44.0), state(45.0)], [State::Met, State::Known(POLL), State::Missed]);
    }

    #[test]
    fn a_rate_is_missed_when_all_of_its_interval_is_over() {
        assert_eq!(Check::rate("", Rate::of(120, 10_000), CLEAN).state, State::Met);
        assert_eq!(Check::rate("", Rate::of(150, 10_000), CLEAN).state, State::Missed);
        let known = Check::rate("", Rate::of(150, 10_000), CLEAN).or_known(Some("why"));
        assert_eq!(known.state, State::Known("why"));
    }
}
