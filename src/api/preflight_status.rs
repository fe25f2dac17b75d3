//! `status.preflight`: what is known of the image.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Span;

/// Most blockers and most hints that are kept of one check.
pub const PREFLIGHT_LINES_LIMIT: usize = 20;

/// A check of the image. They are done in this order, each once those before it are good enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Check {
    /// Is it free-threaded, and does the GIL stay off?
    Inspect,
    /// Do commands with many threads end well each time?
    Stress,
    /// Is it faster than the standard image?
    Benchmark,
}

impl Check {
    /// In order.
    pub const ALL: [Self; 3] = [Self::Inspect, Self::Stress, Self::Benchmark];

    /// As in the spec, and as the value of a label.
    pub fn name(self) -> &'static str {
        match self {
            Self::Inspect => "inspect",
            Self::Stress => "stress",
            Self::Benchmark => "benchmark",
        }
    }

    /// The one that is called so.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|check| check.name() == name)
    }
}

/// What is known of the image, check by check.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PreflightStatus {
    /// Whether the GIL stays off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inspect: Option<CheckStatus>,
    /// Whether races were met.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stress: Option<CheckStatus>,
    /// Whether it is faster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub benchmark: Option<CheckStatus>,
}

impl PreflightStatus {
    /// What is known by a check.
    pub fn of(&self, check: Check) -> Option<&CheckStatus> {
        match check {
            Check::Inspect => self.inspect.as_ref(),
            Check::Stress => self.stress.as_ref(),
            Check::Benchmark => self.benchmark.as_ref(),
        }
    }

    /// Where it is kept.
    pub fn of_mut(&mut self, check: Check) -> &mut Option<CheckStatus> {
        match check {
            Check::Inspect => &mut self.inspect,
            Check::Stress => &mut self.stress,
            Check::Benchmark => &mut self.benchmark,
        }
    }

    /// All that is known, in order.
    pub fn known(&self) -> impl Iterator<Item = (Check, &CheckStatus)> {
        Check::ALL.into_iter().filter_map(|check| Some((check, self.of(check)?)))
    }
}

/// What one check said.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct CheckStatus {
    /// In one word.
    pub verdict: PreflightVerdict,
    /// In one sentence.
    pub sentence: String,
    /// What stands against the image, each in one sentence; at most 20.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub blockers: Vec<String>,
    /// What is worth knowing and stands against nothing; at most 20.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hints: Vec<String>,
    /// The image that was looked at, as the node named it: with its digest, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_id: Option<String>,
    /// What the Jobs that measured a round of a benchmark took, all together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spent: Option<Span>,
    /// When its last Job had ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<MicroTime>,
    /// Fingerprint of what was done: for as long as it is the same, nothing is done again.
    pub of: String,
    /// Of a benchmark: fingerprint of what the spec wanted to be measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wish: Option<String>,
    /// Uid of the last Job that did it.
    pub job: String,
    /// How often in a row it could not be told.
    #[serde(skip_serializing_if = "is_zero")]
    pub unknown: i32,
    /// It is to be done again, by another Job than this one.
    #[serde(skip_serializing_if = "is_false")]
    pub again: bool,
    /// Of a benchmark: what each round measured, at most 30.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rounds: Vec<BenchmarkRound>,
}

/// One round of a benchmark, the free-threaded image's numbers over the standard image's, as natural logarithms in millionths: so they add
/// up, and are whole numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct BenchmarkRound {
    /// Speed: work per second.
    pub speed: i64,
    /// CPU time for the same work.
    pub cpu: i64,
    /// Most memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak: Option<i64>,
    /// Memory in the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settled: Option<i64>,
    /// The command's own numbers; at most 20.
    #[serde(skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub own: std::collections::BTreeMap<String, i64>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
fn is_zero(number: &i32) -> bool {
    *number == 0
}
#[allow(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
fn is_false(value: &bool) -> bool {
    !*value
}

/// May the image get traffic?
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PreflightVerdict {
    /// All that was asked for ran, and ended well.
    Passed,
    /// Something stands against it, by name.
    Blocked,
    /// Measured, and shown to be less than what is wanted.
    NoBenefit,
    /// It goes on: more rounds are needed.
    Measuring,
    /// It cannot be told, which is no pass.
    #[default]
    Unknown,
}
