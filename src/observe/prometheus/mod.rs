//! Prometheus, asked for raw samples and nothing else.
//!
//! Never `rate()` or `increase()`: they extrapolate, overlap, and lose the first errors of a fresh pod. Samples are read as they were
//! scraped and differenced by the judge, so that the same code works live and after a restart.

mod answer;
mod boundaries;
mod choice;
mod circuit;
mod client;
mod convert;
mod cpu;
mod credentials;
mod gauges;
mod gil;
mod native;
mod problem;
pub mod promql;
mod reader;
mod shapes;

use std::collections::BTreeMap;

use futures::future::BoxFuture;

pub use crate::judge::{At, PodSamples, Point, Pool, Series};
pub(crate) use boundaries::TAIL;
pub use boundaries::{Shape, Survey};
pub use client::{HttpSource, MAX_PODS_PER_QUERY, MAX_SERIES};
pub use convert::{Boundary, RawFailures, boundary, cpu_samples, error_samples, latency_samples};
pub use cpu::{CpuReader, CpuReading};
pub use gauges::MemoryReader;
pub use problem::QueryProblem;
pub use reader::{AttemptKey, MetricReading, PodTarget, Reader, Reading};

use crate::api::TargetLabels;
use promql::Selector;

/// Whose series are asked for. The namespace is the rollout's own, always.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// Profile of the operator's configuration.
    pub profile: String,
    /// The rollout's uid: failures of one rollout's queries do not silence another's.
    pub rollout: String,
    /// The rollout's namespace.
    pub namespace: String,
    /// Label names of pod and namespace.
    pub labels: TargetLabels,
}

/// A stretch of time in milliseconds since the epoch, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Start.
    pub from: i64,
    /// End.
    pub to: i64,
}

/// One series as it was scraped: samples in order of time, no NaN among them.
#[derive(Debug, Clone, PartialEq)]
pub struct RawSeries {
    /// Its labels without the metric's name.
    pub labels: BTreeMap<String, String>,
    /// Its samples.
    pub points: Vec<Point>,
}

/// Where samples come from: Prometheus, or a recording in tests.
pub trait MetricSource: Send + Sync {
    /// All raw samples of the selector's series of these pods within the window. No series is an answer, not a problem.
    fn samples<'a>(
        &'a self,
        scope: &'a Scope,
        selector: &'a Selector,
        pods: &'a [String],
        window: Window,
    ) -> BoxFuture<'a, Result<Vec<RawSeries>, QueryProblem>>;

    /// The values that a label has on the selector's series at a time.
    fn values<'a>(
        &'a self,
        scope: &'a Scope,
        selector: &'a Selector,
        pods: &'a [String],
        label: &'a str,
        at: i64,
    ) -> BoxFuture<'a, Result<Vec<String>, QueryProblem>>;

    /// Native histograms of these pods within the window as buckets: a series per boundary, and one of all, each with a label `le`. Where a
    /// sample's own buckets lie across a boundary it has no value there.
    fn histograms<'a>(
        &'a self,
        scope: &'a Scope,
        histogram: &'a Selector,
        pods: &'a [String],
        window: Window,
        edges: &'a [f64],
    ) -> BoxFuture<'a, Result<Vec<RawSeries>, QueryProblem>>;

    /// About how many requests the buckets of a histogram held in a window. Good enough to choose boundaries by, and never counted.
    /// Without buckets of that name it is looked for as a native histogram, with boundaries up to the one at or above `wanted`.
    fn shape<'a>(
        &'a self,
        scope: &'a Scope,
        buckets: &'a Selector,
        pods: &'a [String],
        window: Window,
        wanted: f64,
    ) -> BoxFuture<'a, Result<Shape, QueryProblem>>;
}
