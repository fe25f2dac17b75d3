//! `spec.benefit` and `status.benefit`: is it worth it?

use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Counter, Percent, Span, hash};

/// What the free-threaded pool is to be worth: requests per CPU-second, against the standard pool.
#[derive(KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("self.measureFor.contains('d') || duration(self.measureFor).getSeconds() >= 12 * (has(self.block) ? duration(self.block).getSeconds() : 300)").message("measureFor must be at least 12 times block, 1h if no block is said: nothing is said of fewer blocks"))]
pub struct Benefit {
    /// How many more requests per CPU-second than the standard pool are wanted: with 20%, 1.2 times as many.
    #[serde(default = "default_at_least")]
    pub at_least: Percent,
    /// What to do when it is shown to be less. `Stay` (default): the traffic stays, and status says so. `GiveBack`: all traffic goes back to the
    /// standard pool, the phase is `NoBenefit`, and that is no rollback.
    #[serde(default)]
    pub on_none: OnNone,
    /// How long it is measured at the last step, at most. What is not shown by then is unknown, and the traffic stays. Nothing is said of
    /// less than 12 blocks.
    #[serde(default = "default_measure_for")]
    pub measure_for: Span,
    /// Length of the blocks whose throughput is compared, 5m if nothing is said. What disturbs one block should be over in the next: the
    /// noise of shared machines often lasts minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("!self.contains('d') && duration(self) >= duration('4s') && duration(self) <= duration('1h')").message("block must be from 4s to 1h, such as 5m"))]
    pub block: Option<Span>,
    /// Counter of CPU-seconds, `process_cpu_seconds_total` if nothing is said. In the multiprocess mode of `prometheus_client` there is none:
    /// name one that counts from outside, such as `container_cpu_usage_seconds_total` with a matcher on your container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Counter>,
}

impl Benefit {
    /// The ratio that is wanted, such as 1.2.
    pub fn wanted(&self) -> f64 {
        1.0 + self.at_least.ratio()
    }

    /// `block`, or 5 minutes.
    pub fn block(&self) -> Span {
        self.block.unwrap_or(Span::from_secs(300))
    }

    /// Fingerprint of what is measured. What becomes of it is no part of that.
    pub fn fingerprint(&self) -> String {
        hash(&Self { on_none: OnNone::default(), ..self.clone() })
    }
}

fn default_at_least() -> Percent {
    Percent::from_ratio(0.1)
}
fn default_measure_for() -> Span {
    Span::from_secs(7200)
}

/// Reaction to a free-threaded pool that is not worth it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OnNone {
    /// The traffic stays where it is.
    #[default]
    Stay,
    /// Weight 0.
    GiveBack,
}

/// How far the benefit is known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum BenefitOutcome {
    /// Not yet.
    #[default]
    Measuring,
    /// Shown to be what is wanted.
    Benefit,
    /// Shown to be less.
    NoBenefit,
    /// Neither was shown in time, or there is nothing to measure by.
    Unknown,
}

/// Throughput per core at the last step.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct BenefitStatus {
    /// How far it is known. Anything but `Measuring` stands for the rest of the attempt.
    pub outcome: BenefitOutcome,
    /// Requests per CPU-second, the free-threaded pool's over the standard pool's, such as `1.03`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ratio: Option<String>,
    /// Lower end of its 95 % interval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub low: Option<String>,
    /// Upper end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub high: Option<String>,
    /// All of it as one sentence.
    pub sentence: String,
    /// It is measured from here on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<MicroTime>,
    /// Fingerprint of what was asked for: something else is measured anew.
    pub of: String,
}
