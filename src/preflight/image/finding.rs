//! What one Job found.

use serde::{Deserialize, Serialize};

use super::{DocumentError, benchmark, document::Inspected, inspection, log::document, stress};
use crate::api::{BenchmarkRound, Check, PREFLIGHT_LINES_LIMIT, PreflightVerdict};

/// What a check's Job found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckFinding {
    /// In one word.
    pub verdict: PreflightVerdict,
    /// In one sentence.
    pub sentence: String,
    /// What stands against the image, each in one sentence; at most 20.
    pub blockers: Vec<String>,
    /// What is worth knowing and stands against nothing.
    pub hints: Vec<String>,
    /// What a round of a benchmark measured, where it was a whole one. What it is worth depends on the other rounds.
    pub round: Option<BenchmarkRound>,
}

impl CheckFinding {
    /// What a pod's log says.
    pub fn of_log(check: Check, log: &str) -> Self {
        let finding = match check {
            Check::Inspect => document::<Inspected>(log).map(|document| inspection::finding(&document)),
            Check::Stress => document(log).map(|document| stress::finding(&document)),
            Check::Benchmark => document(log).map(|document| benchmark::finding(&document)),
        };
        finding.unwrap_or_else(|error: DocumentError| Self::unknown(error.to_string(), Vec::new()))
    }

    /// These stand against it.
    pub(super) fn blocked(mut blockers: Vec<String>, hints: Vec<String>) -> Self {
        let more = blockers.len().saturating_sub(1);
        let first = blockers.first().cloned().unwrap_or_default();
        let sentence = if more > 0 { format!("{first}, and {more} more") } else { first };
        blockers.truncate(PREFLIGHT_LINES_LIMIT);
        Self { verdict: PreflightVerdict::Blocked, sentence, blockers, hints, round: None }
    }

    /// Nothing does.
    pub(super) fn passed(sentence: String, hints: Vec<String>) -> Self {
        Self { verdict: PreflightVerdict::Passed, sentence, blockers: Vec::new(), hints, round: None }
    }

    /// It cannot be told, and this is why.
    pub fn unknown(sentence: String, hints: Vec<String>) -> Self {
        Self { verdict: PreflightVerdict::Unknown, sentence, blockers: Vec::new(), hints, round: None }
    }
}

/// Most characters of a stranger's words in one sentence.
const WORDS: usize = 200;

/// The last of these lines that says anything, to be put after a sentence.
pub(super) fn last_words(lines: &[String]) -> String {
    let last = lines.iter().rev().find(|line| !line.trim().is_empty());
    let words: String = last.map(|line| line.trim().chars().take(WORDS).collect()).unwrap_or_default();
    if words.is_empty() { words } else { format!(": {words}") }
}

/// A module that the interpreter enabled the GIL for, where nothing more is known of it.
pub(super) fn enables(module: &str) -> String {
    format!("module {module} enables the GIL")
}
