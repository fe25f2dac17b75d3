//! `make bench-judge`: how often the judge raises a false alarm, how soon it finds a regression, and what others need for the same.
//!
//! Everything is simulated and seeded by the name of the row and the number of the run, so neither threads nor other rows change a number.
//! It prints Markdown, or writes it with `--write`, and fails when a target is missed.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_possible_wrap,
    reason = "small numbers of a simulation"
)]
#![allow(clippy::panic, reason = "a tool may fail so")]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::float_cmp, reason = "a test may fail so"))]

mod advance;
mod alarms;
mod benefit;
mod cost;
mod delays;
mod judge;
mod peers;
mod plot;
mod random;
mod rates;
mod report;
mod scrapes;
mod shapes;
mod targets;
mod world;

use std::{fs, process::ExitCode, time::Instant};

use clap::Parser;
use report::{Made, Section};
use targets::{Check, State};

/// Measures something.
type Suite = fn(&Options) -> Section;

/// What is measured, by the name it is asked for.
const SUITES: [(&str, Suite); 12] = [
    ("clean", alarms::clean),
    ("shared", alarms::shared),
    ("stress", alarms::stress),
    ("limits", alarms::limits),
    ("peers", delays::peers),
    ("delays", delays::grid),
    ("stressed", delays::stressed),
    ("latency", delays::latency),
    ("advance", advance::unsafe_advance),
    ("pace", advance::pace),
    ("benefit", benefit::benefit),
    ("cost", cost::cost),
];

/// How good is the judge?
#[derive(Parser)]
pub(crate) struct Options {
    /// Runs of each rate. Under 10,000 its interval is wide, and targets are hardly ever missed.
    #[arg(long, default_value_t = 10_000)]
    runs: usize,
    /// Runs of each delay.
    #[arg(long, default_value_t = 1_000)]
    delays: usize,
    /// Only these suites: clean, shared, stress, limits, peers, delays, stressed, latency, advance, pace, benefit, cost.
    #[arg(long, value_delimiter = ' ')]
    only: Vec<String>,
    /// Write docs/judge-benchmark.md and docs/judge-delays.svg instead of printing.
    #[arg(long, conflicts_with = "only")]
    write: bool,
}

/// Does `work` and says on standard error how long it took.
fn timed<T>(name: &str, work: impl FnOnce() -> T) -> T {
    let from = Instant::now();
    let done = work();
    eprintln!("{:7.1} s  {name}", from.elapsed().as_secs_f64());
    done
}

fn main() -> ExitCode {
    let options = Options::parse();
    let from = Instant::now();
    if let Some(unknown) = options.only.iter().find(|only| SUITES.iter().all(|(name, _)| name != only)) {
        eprintln!("there is no suite {unknown}");
        return ExitCode::from(2);
    }
    let wanted = |name: &str| options.only.is_empty() || options.only.iter().any(|only| only == name);
    let sections: Vec<Section> =
        SUITES.iter().filter(|(name, _)| wanted(name)).map(|(_, suite)| suite(&options)).collect();
    let minutes = from.elapsed().as_secs_f64() / 60.0;
    let checks: Vec<&Check> = sections.iter().flat_map(|section| &section.checks).collect();
    if options.write {
        let command = "make bench-judge WRITE=1".to_owned();
        let made = Made { command, runs: options.runs, delays: options.delays, minutes };
        let marks: Vec<_> = sections.iter().flat_map(|section| section.marks.clone()).collect();
        let written = fs::write("docs/judge-benchmark.md", report::document(&sections, &made))
            .and_then(|()| fs::write("docs/judge-delays.svg", plot::plot(&marks)));
        if let Err(e) = written {
            eprintln!("cannot write docs: {e}");
            return ExitCode::from(2);
        }
    } else {
        for section in &sections {
            println!("{}", section.markdown());
        }
    }
    println!("{}", report::summary(&checks));
    if checks.iter().any(|check| check.state == State::Missed) {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}
