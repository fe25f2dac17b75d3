//! What does a request take? CPU-seconds per request of the free-threaded pool over those of the standard one, for the size of the pool at
//! the next step. A plain ratio of sums: a pool of a few pods is not sized by less than a tenth. Pure.

use super::{
    benefit::{Work, times},
    grid::{Cell, Grid},
    samples::{PodSamples, Pool, WeightChange},
    sentence::number,
    weights::Weights,
};

/// Requests that each pool has to answer.
const LEAST_REQUESTS: f64 = 100.0;

/// CPU-seconds that each has to take: the kernel counts in hundredths.
const LEAST_CPU: f64 = 1.0;

/// Each pod of one pool may have so many times the work of one of the other: what a process takes when it rests weighs on the one that has
/// little to do.
const LOAD_TIMES: f64 = 3.0;

/// What is measured.
#[derive(Clone, Debug, PartialEq)]
pub struct CostSpec {
    /// Length of a cell, in ms.
    pub cell_ms: i64,
    /// The step's weight is served from here on, ms since the epoch.
    pub from: i64,
    /// CPU that a pod of ours asks for, over what one of the standard pool does: it is to do so many times its work.
    pub cpu_times: f64,
}

/// What is to be said of it.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct CostFinding {
    /// It is of the step whose counts are from here on, ms since the epoch.
    pub from: i64,
    /// CPU-seconds per request, ours over the standard pool's; `None` until there is enough to say.
    pub ratio: Option<f64>,
    /// How it was measured, or why it was not.
    pub sentence: String,
}

/// Measures one step. All state follows from the samples, so a restart that reads them again finds the same.
#[derive(Clone, Debug)]
pub struct Cost {
    spec: CostSpec,
    grid: Grid,
    weights: Weights,
    ours: Work,
    standard: Work,
    several_processes: Option<String>,
    problem: Option<String>,
}

impl Cost {
    /// Nothing is known yet.
    pub fn new(spec: CostSpec) -> Self {
        Self {
            grid: Grid::new(spec.cell_ms, spec.from),
            weights: Weights::new(),
            ours: Work::default(),
            standard: Work::default(),
            several_processes: None,
            problem: None,
            spec,
        }
    }

    /// What is measured.
    pub fn spec(&self) -> &CostSpec {
        &self.spec
    }

    /// Takes new samples: series of requests with `n` = 1, `k` = 0, of CPU-seconds with `n` = 1, `k` = 1.
    pub fn feed(&mut self, now: i64, samples: &[PodSamples], changes: &[WeightChange]) {
        self.problem = None;
        self.weights.learn(changes);
        for cell in self.grid.feed(now, samples, &self.weights, |_, _| {}) {
            self.feed_cell(&cell);
        }
        self.several_processes = self.grid.several_processes().map(str::to_owned);
    }

    /// There was nothing to read, and why.
    pub fn failed(&mut self, problem: String) {
        self.problem = Some(problem);
    }

    /// Takes a cell in which both pools work, with warm pods and at one weight.
    pub fn feed_cell(&mut self, cell: &Cell) {
        let [ours, standard] = [Pool::FreeThreaded, Pool::Standard].map(|pool| Work::of(cell, pool));
        if let (Some(ours), Some(standard)) = (ours, standard)
            && !cell.held
            && !cell.several_processes
        {
            self.ours.add(ours);
            self.standard.add(standard);
        }
    }

    /// What is to be said now.
    pub fn finding(&self) -> CostFinding {
        let found = |ratio, sentence| CostFinding { from: self.spec.from, ratio, sentence };
        if let Some(why) = self.unknown() {
            return found(None, format!("what a request takes could not be measured: {why}"));
        }
        let ratio = self.standard.per_cpu() / self.ours.per_cpu();
        let (of, and) = (number(self.ours.requests), number(self.standard.requests));
        let times = times(ratio);
        found(
            Some(ratio),
            format!("a request takes {times} times the standard pool's CPU ({of} and {and} requests)"),
        )
    }

    fn unknown(&self) -> Option<String> {
        if let Some(problem) = &self.problem {
            return Some(problem.clone());
        }
        if let Some(pod) = &self.several_processes {
            return Some(format!("the counters of pod {pod} jump between several processes"));
        }
        for (pool, work) in [(Pool::FreeThreaded, self.ours), (Pool::Standard, self.standard)] {
            if work.requests < LEAST_REQUESTS || work.cpu < LEAST_CPU {
                return Some(format!(
                    "warm pods of the {pool} answered {} requests in {:.1} CPU-seconds, and {LEAST_REQUESTS} in {LEAST_CPU} are needed",
                    number(work.requests),
                    work.cpu
                ));
            }
        }
        let load = self.ours.per_pod() / self.standard.per_pod() / self.spec.cpu_times;
        (!(1.0 / LOAD_TIMES..=LOAD_TIMES).contains(&load)).then(|| {
            format!(
                "a pod had {} times the work of one in the standard pool for each core that it asks for",
                times(load)
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::{Counts, PodCounts};

    /// A minute: `(requests, CPU-seconds)` of each pod.
    fn cell(ours: &[(f64, f64)], standard: &[(f64, f64)], young: bool) -> Cell {
        let pods =
            [(Pool::FreeThreaded, ours), (Pool::Standard, standard)].into_iter().flat_map(|(pool, pods)| {
                pods.iter().enumerate().map(move |(index, (requests, cpu))| {
                    let young = young && pool == Pool::FreeThreaded;
                    (
                        format!("{pool} {index}"),
                        PodCounts::new(pool, young, Counts::new(requests + cpu, *cpu)),
                    )
                })
            });
        Cell::plain(0, 60_000, pods.collect())
    }

    fn found(cpu_times: f64, cells: &[Cell]) -> CostFinding {
        let mut cost = Cost::new(CostSpec { cell_ms: 60_000, from: 0, cpu_times });
        for cell in cells {
            cost.feed_cell(cell);
        }
        cost.finding()
    }

    #[test]
    fn cpu_for_a_request_over_that_of_the_standard_pool() {
        let standard = [(1000.0, 10.0), (3000.0, 30.0)];
        let found = found(1.0, &[cell(&[(1000.0, 15.0)], &standard, false)]);
        assert!((found.ratio.unwrap() - 1.5).abs() < 1e-9);
        assert_eq!(
            found.sentence,
            "a request takes 1.5 times the standard pool's CPU (1,000 and 4,000 requests)"
        );
    }

    #[test]
    fn nothing_is_said_of_too_little_of_cold_pods_or_of_pods_at_rest() {
        let standard = [(1000.0, 10.0), (1000.0, 10.0)];
        let says = |cpu_times, cell: Cell, words: &str| {
            let found = found(cpu_times, &[cell]);
            assert!(found.ratio.is_none() && found.sentence.contains(words), "{found:?}");
        };
        says(
            1.0,
            cell(&[(99.0, 2.0)], &standard, false),
            "answered 99 requests in 2.0 CPU-seconds, and 100 in 1 are needed",
        );
        says(
            1.0,
            cell(&[(1000.0, 10.0)], &standard, true),
            "warm pods of the free-threaded pool answered 0 requests",
        );
        says(1.0, cell(&[(300.0, 10.0)], &standard, false), "a pod had 0.3 times the work");
        says(4.0, cell(&[(1000.0, 10.0)], &standard, false), "a pod had 0.25 times the work");
        let mut changed = cell(&[(1000.0, 10.0)], &standard, false);
        changed.held = true;
        says(1.0, changed, "answered 0 requests");
        assert!(
            found(4.0, &[cell(&[(4000.0, 10.0)], &standard, false)]).ratio.is_some(),
            "four times the CPU, four times the work"
        );
    }
}
