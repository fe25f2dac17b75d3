//! What one round of a benchmark measured.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{
    CheckFinding,
    finding::{enables, last_words},
};
use crate::api::{BenchmarkRound, PreflightVerdict};

/// What the script printed.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Round {
    /// In order; the first that did not go well is the last.
    runs: Vec<Run>,
}

/// One run on one image.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Run {
    image: String,
    /// `ok`, `error`, `crash`, `hang` or `skipped`.
    status: String,
    seconds: f64,
    cpu: f64,
    peak: Option<f64>,
    settled: Option<f64>,
    /// The command's own.
    numbers: BTreeMap<String, f64>,
    #[serde(rename = "gilEnabledBy")]
    gil_enabled_by: Vec<String>,
    #[serde(default)]
    detail: Vec<String>,
    signal: Option<String>,
    exit_code: Option<i32>,
}

const STANDARD: &str = "standard";
const FREE_THREADED: &str = "free-threaded";
/// How much work a run did, of the command's own numbers.
const OPERATIONS: &str = "operations";
/// A run that is shorter is mostly the start of an interpreter, s.
const SHORT: f64 = 1.0;
/// Millionths of a natural logarithm.
const MILLIONTHS: f64 = 1e6;

/// What it says of the image. What the round is worth depends on the others: [`super::speedup`].
#[allow(clippy::cast_possible_truncation, reason = "a cast stays within its type")]
pub(super) fn finding(document: &Round) -> CheckFinding {
    let ours = || document.runs.iter().filter(|run| run.image == FREE_THREADED);
    let offender = ours().flat_map(|run| &run.gil_enabled_by).next();
    if let Some(module) = offender {
        return CheckFinding::blocked(vec![format!("{} in the benchmark", enables(module))], Vec::new());
    }
    if let Some(run) = document.runs.iter().find(|run| run.status != "ok") {
        let sentence = failed(run);
        // The team's own image has to be able to do it; what the free-threaded one cannot do stands against that.
        let theirs = run.image == FREE_THREADED && run.status != "skipped";
        return if theirs {
            CheckFinding::blocked(vec![sentence], Vec::new())
        } else {
            CheckFinding::unknown(sentence, Vec::new())
        };
    }
    let (standard, free_threaded) = (of(document, STANDARD), of(document, FREE_THREADED));
    let ([a, b], [c, d]) = (standard.as_slice(), free_threaded.as_slice()) else {
        return CheckFinding::unknown("one of the two containers ended before its turn".into(), Vec::new());
    };
    let counted = document.runs.iter().filter(|run| run.numbers.contains_key(OPERATIONS)).count();
    if ![0, document.runs.len()].contains(&counted) {
        let all = document.runs.len();
        let sentence = format!(
            "only {counted} of {all} runs say how much work they did: print {OPERATIONS} on both images or on none"
        );
        return CheckFinding::unknown(sentence, Vec::new());
    }
    let ratio = |number: &dyn Fn(&Run) -> Option<f64>| {
        let sum = |one: &Run, two: &Run| Some(number(one)?.ln() + number(two)?.ln());
        Some(((sum(c, d)? - sum(a, b)?) / 2.0 * MILLIONTHS).round() as i64)
    };
    let per_work = |run: &Run, number: f64| run.numbers.get(OPERATIONS).map_or(number, |work| number / work);
    let speed = ratio(&|run| positive(per_work(run, run.seconds)).map(|seconds| 1.0 / seconds));
    let cpu = ratio(&|run| positive(per_work(run, run.cpu)));
    let (Some(speed), Some(cpu)) = (speed, cpu) else {
        let sentence =
            "a run did no work, or took no time that could be measured: give the command more of it".into();
        return CheckFinding::unknown(sentence, Vec::new());
    };
    let names = a.numbers.keys().filter(|name| *name != OPERATIONS);
    let own = names.filter_map(|name| {
        Some((name.clone(), ratio(&|run| run.numbers.get(name).copied().and_then(positive))?))
    });
    let round = BenchmarkRound {
        speed,
        cpu,
        peak: ratio(&|run| run.peak.and_then(positive)),
        settled: ratio(&|run| run.settled.and_then(positive)),
        own: own.collect(),
    };
    let shortest = document.runs.iter().map(|run| run.seconds).fold(f64::INFINITY, f64::min);
    let hint = format!("a run took {shortest:.1} s: in so little time much of it is the interpreter's start");
    CheckFinding {
        verdict: PreflightVerdict::Measuring,
        sentence: String::new(),
        blockers: Vec::new(),
        hints: if shortest < SHORT { vec![hint] } else { Vec::new() },
        round: Some(round),
    }
}

fn of<'r>(document: &'r Round, image: &str) -> Vec<&'r Run> {
    document.runs.iter().filter(|run| run.image == image).collect()
}

fn positive(number: f64) -> Option<f64> {
    (number.is_finite() && number > 0.0).then_some(number)
}

fn failed(run: &Run) -> String {
    let (image, words) = (&run.image, last_words(&run.detail));
    match run.status.as_str() {
        "crash" => {
            let signal = run.signal.as_deref().unwrap_or("a signal");
            format!("the benchmark crashes with {signal} on the {image} image{words}")
        }
        "hang" => format!(
            "the benchmark was not done in {:.0} s on the {image} image: write a longer preflight.benchmark.runTimeout, or \
             give it less work",
            run.seconds
        ),
        "skipped" => "the time for the round was over before all of it was done".to_owned(),
        _ => match run.exit_code {
            Some(code) => format!("the benchmark fails with exit code {code} on the {image} image{words}"),
            None => format!("the benchmark could not be started on the {image} image{words}"),
        },
    }
}
