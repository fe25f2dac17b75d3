//! Simulated pools: what every pod counts in every cell, in an hour of history and in an attempt.

use freethread_rollout::judge::{Cell, Counts, PodCounts, Pool};

use crate::random::Random;

/// Length of a cell: the scrape interval, and how often the judge looks.
pub(crate) const CELL_S: f64 = 15.0;

/// Seconds of history before an attempt, of the standard pool alone.
const HISTORY_S: f64 = 3_600.0;

/// In a burst this share of one pod's requests fails on top of the rest: under the half that is a hard signal.
const BURST: f64 = 0.2;

/// How pods' counts are burstier than coin tosses. All of it is in both pools and in the history, and belongs to one pod each.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Stress {
    None,
    /// Exponential length and distance in seconds: 20 % of the pod's requests fail.
    Bursts {
        mean_s: f64,
        every_s: f64,
    },
    /// The pod's rate is lognormal; its logarithm has this standard deviation and is autoregressive from cell to cell.
    Noise {
        sd: f64,
        keeps: f64,
    },
    /// Each pod has a lognormal factor for good.
    Lasting {
        sd: f64,
    },
}

/// Both pools fail together, again and again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Incident {
    pub(crate) every_s: f64,
    pub(crate) lasts_s: f64,
    pub(crate) bad: f64,
}

/// What the free-threaded pool is served.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Weight {
    Fixed(f64),
    /// One step after the other, of this many seconds each. The errors of both pools swing meanwhile.
    Ramp(&'static [f64], f64),
}

/// One setting.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct World {
    /// Requests a second, both pools together.
    pub(crate) rps: f64,
    pub(crate) weight: Weight,
    /// Free-threaded and standard pods.
    pub(crate) pods: (usize, usize),
    /// Share of bad requests of a healthy pool.
    pub(crate) base: f64,
    /// What the free-threaded pool has on top of it, from `onset` (s) on.
    pub(crate) extra: f64,
    pub(crate) onset: f64,
    pub(crate) stress: Stress,
    pub(crate) incident: Option<Incident>,
    /// Tries of a failing request, all within its pool and all failing.
    pub(crate) tries: usize,
}

impl World {
    /// 4 of 20 pods at 5 %, 0.1 % of the requests bad in both pools.
    pub(crate) const HEALTHY: Self = Self {
        rps: 100.0,
        weight: Weight::Fixed(0.05),
        pods: (4, 16),
        base: 0.001,
        extra: 0.0,
        onset: 0.0,
        stress: Stress::None,
        incident: None,
        tries: 1,
    };

    /// The weight at `at` (s), and whether the step began there.
    pub(crate) fn weight_at(&self, at: f64) -> (f64, bool) {
        match self.weight {
            Weight::Fixed(weight) => (weight, false),
            Weight::Ramp(steps, each) => {
                let step = ((at / each) as usize).min(steps.len().saturating_sub(1));
                (steps.get(step).copied().unwrap_or_default(), at - step as f64 * each < CELL_S / 2.0)
            }
        }
    }

    /// What both pools have at `at` (s): in a ramp it swings fourfold up and down, faster than the steps.
    fn base_at(&self, at: f64) -> f64 {
        match self.weight {
            Weight::Fixed(_) => self.base,
            Weight::Ramp(_, each) => self.base * 2f64.powf(2.0 * (at / each * 4.0).sin()),
        }
    }

    /// Average share of an incident in `[from, to)`, the first of which begins at `phase`.
    pub(crate) fn incident_in(&self, phase: f64, from: f64, to: f64) -> f64 {
        let Some(Incident { every_s, lasts_s, bad }) = self.incident else { return 0.0 };
        if to <= phase {
            return 0.0;
        }
        let begins = phase + ((to - phase) / every_s).floor() * every_s;
        let overlap = |begins: f64| ((begins + lasts_s).min(to) - begins.max(from)).max(0.0);
        bad * (overlap(begins) + if begins > phase { overlap(begins - every_s) } else { 0.0 }) / (to - from)
    }

    /// When the first incident begins: not in the first ten minutes, else anywhere.
    pub(crate) fn phase(&self, random: &mut Random) -> f64 {
        self.incident.map_or(0.0, |incident| random.between(600.0, 600.0 + incident.every_s))
    }
}

/// What lasts in a pod from cell to cell.
#[derive(Clone, Copy, Debug)]
struct Pod {
    factor: f64,
    log: f64,
    burst: (f64, f64),
}

/// One run of a setting.
pub(crate) struct Play<'a> {
    pub(crate) world: &'a World,
    pub(crate) random: Random,
    names: Vec<String>,
    pods: Vec<Pod>,
    phase: f64,
    /// Start of the next cell, s; history is before 0.
    at: f64,
    counts: Vec<Counts>,
}

impl<'a> Play<'a> {
    pub(crate) fn new(world: &'a World, mut random: Random) -> Self {
        let (ours, standard) = world.pods;
        let pods = (0..ours + standard)
            .map(|_| {
                let factor = if let Stress::Lasting { sd } = world.stress { random.factor(sd) } else { 1.0 };
                Pod { factor, log: random.normal(), burst: (-HISTORY_S, -HISTORY_S) }
            })
            .collect();
        let names =
            (0..ours + standard).map(|i| format!("{}{i}", if i < ours { 'c' } else { 's' })).collect();
        let phase = world.phase(&mut random);
        let mut play = Self {
            world,
            random,
            names,
            pods,
            phase,
            at: -HISTORY_S,
            counts: vec![Counts::default(); ours + standard],
        };
        if let Stress::Bursts { mean_s, every_s } = world.stress {
            for index in 0..play.pods.len() {
                play.next_burst(index, mean_s, every_s);
            }
        }
        play
    }

    fn next_burst(&mut self, index: usize, mean_s: f64, every_s: f64) {
        let begins = self.pods[index].burst.1 + self.random.exponential(every_s);
        self.pods[index].burst = (begins, begins + self.random.exponential(mean_s));
    }

    /// The hour before the attempt, in cells of a minute: the judge looks at no shorter blocks of it.
    pub(crate) fn history(&mut self) -> Vec<Cell> {
        const JOINED: usize = 4;
        let cells = (HISTORY_S / CELL_S) as usize / JOINED;
        (0..cells)
            .map(|_| {
                let start = self.at;
                let mut sums = vec![Counts::default(); self.counts.len()];
                for _ in 0..JOINED {
                    self.step();
                    for (sum, counts) in sums.iter_mut().zip(&self.counts) {
                        *sum += *counts;
                    }
                }
                let standard = self.names.iter().zip(sums).skip(self.world.pods.0);
                let standard = standard
                    .map(|(name, counts)| (name.clone(), PodCounts::new(Pool::Standard, false, counts)));
                Cell::plain(ms(start), ms(self.at), standard.collect())
            })
            .collect()
    }

    /// The next cell of the attempt.
    pub(crate) fn cell(&mut self) -> Cell {
        let start = self.at;
        self.step();
        let ours = self.world.pods.0;
        let pods = self.names.iter().zip(&self.counts).enumerate().map(|(i, (name, counts))| {
            let pool = if i < ours { Pool::FreeThreaded } else { Pool::Standard };
            (name.clone(), PodCounts::new(pool, false, *counts))
        });
        let mut cell = Cell::plain(ms(start), ms(self.at), pods.collect());
        cell.held = self.world.weight_at(start).1;
        cell
    }

    /// Moves on by a cell without making one: for peers, who see only the pools.
    pub(crate) fn step(&mut self) {
        let (from, to) = (self.at, self.at + CELL_S);
        self.at = to;
        let world = self.world;
        let ours = world.pods.0;
        let weight = if from < 0.0 { 0.0 } else { world.weight_at(from).0 };
        let (base, incident) = (world.base_at(from), world.incident_in(self.phase, from, to));
        for index in 0..self.pods.len() {
            let canary = index < ours;
            let share = if canary { weight / ours as f64 } else { (1.0 - weight) / world.pods.1 as f64 };
            if share <= 0.0 {
                self.counts[index] = Counts::default();
                continue;
            }
            let (factor, burst) = self.moved(index, from, to);
            let extra = if canary && from >= world.onset { world.extra } else { 0.0 };
            let bad = (base * factor + burst + extra + incident).min(1.0);
            let requests = world.rps * share * CELL_S;
            let k = if world.tries > 1 { 0.0 } else { self.random.poisson(requests * bad) };
            let good = self.random.poisson(requests * (1.0 - bad));
            self.counts[index] = Counts::new(good + k, k);
        }
        if world.tries > 1 {
            self.fail_in_packs(weight, base + incident);
        }
    }

    /// What the pod's stress makes of the cell: a factor of its errors, and what a burst adds.
    fn moved(&mut self, index: usize, from: f64, to: f64) -> (f64, f64) {
        match self.world.stress {
            Stress::None => (1.0, 0.0),
            Stress::Lasting { .. } => (self.pods[index].factor, 0.0),
            Stress::Noise { sd, keeps } => {
                let z = self.random.normal();
                let pod = &mut self.pods[index];
                pod.log = keeps * pod.log + (1.0 - keeps * keeps).sqrt() * z;
                ((sd * pod.log - sd * sd / 2.0).exp(), 0.0)
            }
            Stress::Bursts { mean_s, every_s } => {
                let mut seconds = 0.0;
                loop {
                    let (begins, ends) = self.pods[index].burst;
                    seconds += (ends.min(to) - begins.max(from)).max(0.0);
                    if ends >= to {
                        break;
                    }
                    self.next_burst(index, mean_s, every_s);
                }
                (1.0, BURST * seconds / (to - from))
            }
        }
    }

    /// Failing requests whose tries all fail, each on any pod of the pool.
    fn fail_in_packs(&mut self, weight: f64, bad: f64) {
        let (ours, standard) = self.world.pods;
        for (first, count, share) in [(0, ours, weight), (ours, standard, 1.0 - weight)] {
            let failing = self.random.poisson(self.world.rps * share * CELL_S * bad) as usize;
            for _ in 0..failing * self.world.tries {
                self.counts[first + self.random.below(count)] += Counts::new(1.0, 1.0);
            }
        }
    }

    /// End of the last cell, s.
    pub(crate) fn now(&self) -> f64 {
        self.at
    }

    /// Skips the history, for those who do not learn.
    pub(crate) fn without_history(mut self) -> Self {
        self.at = 0.0;
        self
    }

    /// Counts of the free-threaded and of the standard pool in the last cell.
    pub(crate) fn pools(&self) -> (Counts, Counts) {
        let mut sums = (Counts::default(), Counts::default());
        for (index, counts) in self.counts.iter().enumerate() {
            let sum = if index < self.world.pods.0 { &mut sums.0 } else { &mut sums.1 };
            *sum += *counts;
        }
        sums
    }
}

/// Seconds as the judge's milliseconds.
pub(crate) fn ms(seconds: f64) -> i64 {
    (seconds * 1000.0).round() as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Share of bad requests of both pools over runs of two hours.
    fn shares(world: World) -> (f64, f64) {
        let mut sums = (Counts::default(), Counts::default());
        for run in 0..30 {
            let mut play = Play::new(&world, Random::of("shares", run)).without_history();
            for _ in 0..480 {
                play.step();
                let (ours, standard) = play.pools();
                sums.0 += ours;
                sums.1 += standard;
            }
        }
        (sums.0.share(), sums.1.share())
    }

    #[test]
    fn stresses_keep_the_mean_and_both_pools_alike() {
        let busy = World { rps: 1_000.0, weight: Weight::Fixed(0.2), ..World::HEALTHY };
        let bursts = Stress::Bursts { mean_s: 60.0, every_s: 3_600.0 };
        for (stress, mean) in [
            (Stress::None, 0.001),
            (Stress::Noise { sd: 1.0, keeps: 0.5 }, 0.001),
            (bursts, 0.001 + 0.2 * 60.0 / 3_660.0),
        ] {
            let (ours, standard) = shares(World { stress, ..busy });
            assert!((ours / mean - 1.0).abs() < 0.15, "{stress:?}: {ours}");
            assert!((standard / mean - 1.0).abs() < 0.08, "{stress:?}: {standard}");
        }
        let (ours, standard) = shares(World { extra: 0.01, tries: 1, ..busy });
        assert!((ours - 0.011).abs() < 2e-4 && (standard - 0.001).abs() < 5e-5, "{ours} {standard}");
        let (ours, standard) = shares(World { tries: 3, ..busy });
        assert!((ours - 0.003).abs() < 2e-4 && (standard - 0.003).abs() < 1e-4, "{ours} {standard}");
    }

    #[test]
    fn incidents_come_again() {
        let incident = Some(Incident { every_s: 1_800.0, lasts_s: 120.0, bad: 0.2 });
        let world = World { incident, ..World::HEALTHY };
        let at = |from| world.incident_in(700.0, from, from + 15.0);
        assert_eq!([at(600.0), at(750.0), at(900.0), at(2_550.0)], [0.0, 0.2, 0.0, 0.2]);
        assert!(
            (at(690.0) - 0.2 * 5.0 / 15.0).abs() < 1e-12 && (at(810.0) - 0.2 * 10.0 / 15.0).abs() < 1e-12
        );
    }

    #[test]
    fn a_ramp_holds_the_cells_in_which_the_weight_changes() {
        let world = World { weight: Weight::Ramp(&[0.01, 0.5], 60.0), ..World::HEALTHY };
        let mut play = Play::new(&world, Random::of("ramp", 1)).without_history();
        let cells: Vec<Cell> = (0..12).map(|_| play.cell()).collect();
        let held: Vec<bool> = cells.iter().map(|cell| cell.held).collect();
        assert_eq!(held.iter().filter(|held| **held).count(), 2);
        assert!(held[0] && held[4]);
        assert!(cells[11].sum(Pool::FreeThreaded, true).n > 300.0);
    }
}
