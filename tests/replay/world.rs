//! Counts made up, and `replay` on them.

use clap::Parser;
use freethread_rollout::replay::{ReplayArgs, ReplayError, Replayed, replay};

/// Errors only: at most 1 %, and 0.1 % over the standard pool's.
pub const ERRORS: &str = include_str!("../../examples/fastapi.yaml");

/// `analysis` instead of the example's.
pub fn rollout(analysis: &str) -> String {
    let (head, _) = ERRORS.split_once("  analysis:").unwrap();
    format!("{head}  analysis: {{preset: fastapi-instrumentator, {analysis}}}\n")
}

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    args: ReplayArgs,
}

pub fn args(more: &str) -> ReplayArgs {
    let line = format!("replay counts.csv --rollout rollout.yaml {more}");
    Line::try_parse_from(line.split_whitespace()).unwrap_or_else(|e| panic!("{e}")).args
}

/// `replay` of `counts` by `yaml`, with these options.
pub fn judged(counts: &[u8], yaml: &str, more: &str) -> Result<Replayed, ReplayError> {
    replay(&args(more), yaml, counts, None::<&[u8]>)
}

pub fn text(counts: &str, yaml: &str, more: &str) -> String {
    judged(counts.as_bytes(), yaml, more).unwrap_or_else(|e| panic!("{e}")).text()
}

/// A linear congruential generator (Knuth's constants): the same on every machine.
pub struct Random(pub u64);

impl Random {
    pub fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }

    /// That many coins, each with this chance.
    pub fn tosses(&mut self, coins: u32, chance: f64) -> u32 {
        (0..coins).map(|_| u32::from(self.unit() < chance)).sum()
    }
}

/// One row of the made-up file.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Seconds since the epoch.
    pub at: i64,
    pub pool: &'static str,
    pub pod: String,
    pub requests: u32,
    pub errors: u32,
    pub fast: u32,
    pub weight: u32,
}

/// What happens in a made-up file.
pub struct World {
    pub intervals: i64,
    pub standard: u32,
    pub free_threaded: u32,
    /// Requests per second, of both pools together.
    pub rps: f64,
    /// Percent, by interval.
    pub weight: fn(i64) -> u32,
    /// Share of errors, by interval; true for the free-threaded pool.
    pub bad: fn(i64, bool) -> f64,
}

/// 2026-11-02T09:00:00Z.
pub const START: i64 = 1_793_610_000;

/// Length of an interval, in seconds.
pub const STEP: i64 = 15;

impl World {
    pub fn rows(&self) -> Vec<Row> {
        let mut random = Random(7);
        let mut rows = Vec::new();
        for i in 0..self.intervals {
            let weight = (self.weight)(i);
            for (ours, pods) in [(false, self.standard), (true, self.free_threaded)] {
                let share = f64::from(if ours { weight } else { 100 - weight }) / 100.0;
                let mean = self.rps * STEP as f64 * share / f64::from(pods);
                for pod in 0..pods {
                    let requests = (mean + mean.sqrt() * (random.unit() - 0.5)).round() as u32;
                    rows.push(Row {
                        at: START + i * STEP,
                        pool: if ours { "free-threaded" } else { "standard" },
                        pod: format!("{}-{pod}", if ours { "thumbnails-ft" } else { "thumbnails" }),
                        requests,
                        errors: random.tosses(requests, (self.bad)(i, ours)),
                        fast: requests - random.tosses(requests, 0.01),
                        weight,
                    });
                }
            }
        }
        rows
    }
}

pub const HEADER: &str = "time,pool,pod,requests,errors,le_0.3,weight\n";

pub fn csv(rows: &[Row]) -> String {
    let mut out = HEADER.to_owned();
    for Row { at, pool, pod, requests, errors, fast, weight } in rows {
        out += &format!("{at},{pool},{pod},{requests},{errors},{fast},{weight}\n");
    }
    out
}

pub fn json_lines(rows: &[Row]) -> String {
    let line = |row: &Row| {
        let Row { at, pool, pod, requests, errors, fast, weight } = row;
        let row = serde_json::json!({
            "weight": weight, "time": at * 1000, "pool": pool, "pod": pod, "requests": requests, "errors": errors, "le_0.3": fast,
        });
        format!("{row}\n")
    };
    rows.iter().map(line).collect()
}
