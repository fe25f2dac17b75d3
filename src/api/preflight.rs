//! `spec.preflight` and `status.preflight`: what is known of the image before it gets traffic.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Span;

/// Most blockers and most hints that are kept in status.
pub const PREFLIGHT_LINES_LIMIT: usize = 20;

/// What is tried in the free-threaded image before its pool gets traffic. A Job runs in it, as the pool's pods do: with their service
/// account, node rules, volumes and security context, and with none of their labels.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Preflight {
    /// What follows from the inspection: is the build free-threaded, and does the GIL stay off while the application is imported and warmed
    /// up? `Require` (default): no traffic unless it does, and what cannot be told is no pass. `Warn`: the inspection is waited for, an event
    /// says what stands against the image, and the steps begin. `Skip`: it is not inspected.
    #[serde(default)]
    pub inspect: PreflightPolicy,
    /// Modules of the application, such as `orders.main`. Each is imported in a process of its own, then all of them together.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 20),
        inner(length(min = 1, max = 200), pattern(r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*$"))
    )]
    pub import: Vec<String>,
    /// A command that warms the application up, with its arguments: what is imported late is imported here. One that starts the `python` of
    /// the image is watched from the inside; it has to end with exit code 0.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50), inner(length(max = 2000)))]
    pub warmup: Vec<String>,
    /// Longest time from the Job's start to its end, the pull of the image included. From 10s to 1h.
    #[serde(default = "default_timeout")]
    #[x_kube(validation = Rule::new("!self.contains('d') && duration(self) >= duration('10s') && duration(self) <= duration('1h')").message("timeout must be from 10s to 1h, such as 10m"))]
    pub timeout: Span,
}

fn default_timeout() -> Span {
    Span::from_secs(600)
}

/// What a check of the image is good for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PreflightPolicy {
    /// No traffic unless it passed.
    #[default]
    Require,
    /// It is said, and traffic moves all the same.
    Warn,
    /// Not done.
    Skip,
}

/// What the inspection of the image said.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PreflightStatus {
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
    /// The image that was inspected, as the node named it: with its digest, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_id: Option<String>,
    /// When.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<MicroTime>,
    /// Fingerprint of what was inspected and how: for as long as it is the same, nothing is inspected again.
    pub of: String,
    /// Uid of the Job that did it.
    pub job: String,
    /// How often in a row it could not be told.
    #[serde(skip_serializing_if = "is_zero")]
    pub unknown: i32,
    /// It is to be inspected again, by another Job than this one.
    #[serde(skip_serializing_if = "is_false")]
    pub again: bool,
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
    /// All that was asked for ran, and the GIL stayed off.
    Passed,
    /// Something stands against it, by name.
    Blocked,
    /// It cannot be told, which is no pass.
    #[default]
    Unknown,
}
