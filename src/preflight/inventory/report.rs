//! The report as plain data: what `--format json` prints, and what the text and SARIF are made of.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{sarif::sarif, text::text, verdict::Verdict};

/// Everything that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// For which image.
    pub target: String,
    /// The package index that was asked, without a password; nothing was, if there is none.
    pub index: Option<String>,
    /// What was read.
    pub files: Vec<FileReport>,
    /// How many packages there are of each verdict.
    pub counts: BTreeMap<&'static str, usize>,
    /// How many let the check fail.
    pub failing: usize,
    /// Each package, worst first.
    pub packages: Vec<Entry>,
    /// What else is worth knowing.
    pub notes: Vec<String>,
}

/// One file or folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FileReport {
    /// As named on the command line.
    pub file: String,
    /// What it was taken for.
    pub format: &'static str,
    /// How many packages of it the target gets.
    pub packages: usize,
}

/// One package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Its name, normalised.
    pub name: String,
    /// Its version, if one is named.
    pub version: Option<String>,
    /// How it will fare.
    pub verdict: Verdict,
    /// Why, in one sentence.
    pub why: String,
    /// The wheel that is taken.
    pub wheel: Option<String>,
    /// Where it was found.
    pub file: String,
    /// On which line.
    pub line: Option<usize>,
    /// What wants it: the shortest chain from the project.
    pub via: Option<String>,
    /// The first release that would do better, as far as the index knows.
    pub fixed_by: Option<String>,
    /// Why its release was withdrawn from the index.
    pub yanked: Option<String>,
    /// Whether it was accepted on the command line.
    pub allowed: bool,
    /// Whether it lets the check fail.
    pub fails: bool,
}

impl Report {
    /// For people; with every package on a line of its own if asked.
    pub fn text(&self, all: bool) -> String {
        text(self, all)
    }

    /// For code scanning: SARIF 2.1.0.
    pub fn sarif(&self) -> serde_json::Value {
        sarif(self)
    }

    /// Whether the check passes.
    pub fn passes(&self) -> bool {
        self.failing == 0
    }
}
