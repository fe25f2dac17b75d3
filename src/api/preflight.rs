//! `spec.preflight`: what is tried in the image before it gets traffic.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Percent, Span};

/// What is tried in the free-threaded image before its pool gets traffic, in this order: it is inspected, stressed and measured. A Job runs
/// in it, as the pool's pods do: with their service account, node rules, volumes and security context, and with none of their labels.
#[derive(KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
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
    /// Commands that look for races, run many times. None is run if nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stress: Option<Stress>,
    /// A command that is measured on both images. None is if nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub benchmark: Option<Benchmark>,
    /// What the commands read: mounted into the Jobs' pods beside the volumes that the pool's pods have, and never written.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    #[x_kube(validation = Rule::new("self.all(one, self.exists_one(other, other.mountPath == one.mountPath))").message("each input needs a mountPath of its own"))]
    pub inputs: Vec<PreflightInput>,
}

fn default_timeout() -> Span {
    Span::from_secs(600)
}

/// Races are a matter of luck: commands of the application's, with many threads, run as often as it takes to meet them.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Stress {
    /// What follows from a run that crashes, hangs, ends with another exit code or prints what it should not. `Require` (default): no traffic
    /// before every run went well. `Warn`: an event tells of it, and the steps begin. `Skip`: nothing is run.
    #[serde(default)]
    pub policy: PreflightPolicy,
    /// What is run, one after the other.
    #[schemars(length(min = 1, max = 20))]
    #[x_kube(validation = Rule::new("self.all(one, self.exists_one(other, other.name == one.name))").message("each stress command needs a name of its own"))]
    pub commands: Vec<StressCommand>,
    /// Told to the commands as the environment variable `STRESS_THREADS`: how many threads they are to use. 8 if nothing is said.
    #[serde(default = "default_threads")]
    #[schemars(range(min = 2, max = 1000))]
    pub threads: i32,
    /// Longest time from the Job's start to its end. From 10s to 6h.
    #[serde(default = "default_stress_timeout")]
    #[x_kube(validation = Rule::new("!self.contains('d') && duration(self) >= duration('10s') && duration(self) <= duration('6h')").message("timeout must be from 10s to 6h, such as 30m"))]
    pub timeout: Span,
}

/// A command and how it has to end, each time.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StressCommand {
    /// What it is called in sentences.
    #[schemars(length(min = 1, max = 60), pattern(r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$"))]
    pub name: String,
    /// The command with its arguments, such as `[python3, -m, pytest, --parallel-threads=8, tests/shared]`.
    #[schemars(length(min = 1, max = 50), inner(length(max = 10000)))]
    pub command: Vec<String>,
    /// It has to end with this exit code; 0 if nothing is said.
    #[serde(default)]
    #[schemars(range(min = 0, max = 255))]
    pub exit_code: i32,
    /// Every run has to print the same on stdout as the first one.
    #[serde(default)]
    pub same_output: bool,
    /// How often it is run, each time in a process of its own. 20 if nothing is said.
    #[serde(default = "default_runs")]
    #[schemars(range(min = 1, max = 10000))]
    pub runs: i32,
    /// A run that takes longer hangs. From 1s to 1h; 1m if nothing is said.
    #[serde(default = "default_run_timeout")]
    #[x_kube(validation = Rule::new("!self.contains('d') && duration(self) >= duration('1s') && duration(self) <= duration('1h')").message("timeout must be from 1s to 1h, such as 60s"))]
    pub timeout: Span,
}

/// Is it faster at all? One command, run on both images in turns on the same node and with the same limits, until the ratio of their
/// speeds is known well enough.
#[derive(KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("self.runTimeout.contains('d') || self.budget.contains('d') || duration(self.budget).getSeconds() >= 4 * duration(self.runTimeout).getSeconds()").message("budget must be at least 4 times runTimeout: a round is 4 runs"))]
pub struct Benchmark {
    /// What follows when it is shown to be slower than `minSpeedup` asks for. `Require` (default): the rollout ends with `NoBenefit`, and gets no
    /// traffic before it is shown to be as fast as that. `Warn`: an event tells of it, and the steps begin. `Skip`: nothing is measured.
    #[serde(default)]
    pub policy: PreflightPolicy,
    /// The command with its arguments: the same work at each run, a few seconds of it at least. Run on the free-threaded image. If the last
    /// line that it prints is a JSON object, its numbers are compared too; `operations` there is how much work it did, if that differs from
    /// run to run.
    #[schemars(length(min = 1, max = 50), inner(length(max = 10000)))]
    pub command: Vec<String>,
    /// The command on the standard image, such as the same work with the process workers that the team runs today; `command` if nothing is
    /// said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50), inner(length(max = 10000)))]
    pub baseline: Vec<String>,
    /// Command that starts the interpreter of the standard image; it only keeps time there.
    #[serde(default = "default_python")]
    #[schemars(length(min = 1, max = 253))]
    pub standard_python: String,
    /// How much faster the free-threaded image has to be: with 10%, 1.1 times as fast. 10% if nothing is said. With 0%,
    /// faster at all.
    #[serde(default = "default_speedup")]
    pub min_speedup: Percent,
    /// A run that takes longer failed. From 1s to 1h.
    #[serde(default = "default_benchmark_timeout")]
    #[x_kube(validation = Rule::new("!self.contains('d') && duration(self) >= duration('1s') && duration(self) <= duration('1h')").message("runTimeout must be from 1s to 1h, such as 2m"))]
    pub run_timeout: Span,
    /// No other round begins once the rounds have taken this long together. What is not known by then is unknown. From 1m to 24h.
    #[serde(default = "default_budget")]
    #[x_kube(validation = Rule::new("!self.contains('d') && duration(self) >= duration('1m') && duration(self) <= duration('24h')").message("budget must be from 1m to 24h, such as 1h"))]
    pub budget: Span,
}

impl Benchmark {
    /// The ratio that is wanted, such as 1.1.
    pub fn wanted(&self) -> f64 {
        1.0 + self.min_speedup.ratio()
    }
}

/// Files for the commands, read-only.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("has(self.configMap) != has(self.persistentVolumeClaim)").message("an input is either a configMap or a persistentVolumeClaim: write the one or the other"))]
pub struct PreflightInput {
    /// Where they are found, in the container of each image.
    #[schemars(length(min = 2, max = 253), pattern(r"^/[^:]+$"))]
    pub mount_path: String,
    /// Name of a `ConfigMap` in the rollout's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub config_map: Option<String>,
    /// Name of a `PersistentVolumeClaim` in the rollout's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub persistent_volume_claim: Option<String>,
}

fn default_threads() -> i32 {
    8
}
fn default_runs() -> i32 {
    20
}
fn default_run_timeout() -> Span {
    Span::from_secs(60)
}
fn default_stress_timeout() -> Span {
    Span::from_secs(1800)
}
fn default_python() -> String {
    "python3".into()
}
fn default_speedup() -> Percent {
    Percent::from_ratio(0.1)
}
fn default_benchmark_timeout() -> Span {
    Span::from_secs(120)
}
fn default_budget() -> Span {
    Span::from_secs(3600)
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
