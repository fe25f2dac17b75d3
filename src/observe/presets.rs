//! Which series count, and as what: the plan of one rollout's queries. Pure.
//!
//! `docs/metrics.md` tells users the same in their words.

use super::prometheus::promql::{Selector, is_label, is_metric};
use crate::{
    api::{Analysis, Counter, CounterTest, DurationUnit, MatchOperator, Matcher, MemoryGrowth, Preset, Span},
    judge::MetricSpec,
};

/// Paths of probes and scrapes, for exporters that label requests with a path. They are no requests of users.
pub const PROBE_PATHS: &str = "/(-/)?(metrics|health|healthz|healthy|healthcheck|health/(live|ready|startup)|live|livez|liveness|ready|readyz|readiness|startup|startupz|ping)/?";
/// The same for exporters that label requests with a view's or an endpoint's name, with or without a namespace.
pub const PROBE_NAMES: &str = "(.*[:.])?(prometheus[-_](django[-_])?metrics|metrics|health|healthz|health[-_]?check|live|livez|liveness|ready|readyz|readiness|startup|startupz|ping)";
/// A failed answer: `500`, or `5xx` where the exporter groups.
const FAILED: &str = "5..";

/// Everything that is asked for one rollout.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricPlan {
    /// What is counted by counters: requests and failures, and the user's own.
    pub counts: Vec<CountPlan>,
    /// Counts of requests and slow ones; `None` when the spec does not compare them.
    pub latency: Option<LatencyPlan>,
}

/// The judge's names of the operator's own metrics.
pub const ERRORS: &str = "errors";
/// See [`ERRORS`].
pub const LATENCY: &str = "latency";

/// What throughput per core is measured by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CpuPlan {
    /// All requests.
    pub requests: Selector,
    /// CPU-seconds.
    pub cpu: Selector,
}

/// CPU-seconds of a process, as `prometheus_client` exports them.
const PROCESS_CPU: &str = "process_cpu_seconds_total";

impl CpuPlan {
    /// The plan for one spec. `cpu`: its counter of CPU-seconds, where it names one.
    ///
    /// # Errors
    /// The spec names nothing that can be asked for; the error says what to write instead.
    pub fn of(analysis: &Analysis, cpu: Option<&Counter>) -> Result<Self, PlanError> {
        let Counter { name, matchers } = Names::in_spec(analysis)?.requests;
        let process = counter(PROCESS_CPU, Vec::new());
        let cpu = cpu.unwrap_or(&process);
        Ok(Self { requests: selector(&name, &matchers)?, cpu: selector(&cpu.name, &cpu.matchers)? })
    }
}

/// Bytes of a process, as `prometheus_client` exports them.
const PROCESS_MEMORY: &str = "process_resident_memory_bytes";

/// The gauge that the growth of memory is measured by.
///
/// # Errors
/// The spec names nothing that can be asked for.
pub fn memory(memory: &MemoryGrowth) -> Result<Selector, PlanError> {
    let process = counter(PROCESS_MEMORY, Vec::new());
    let gauge = memory.metric.as_ref().unwrap_or(&process);
    selector(&gauge.name, &gauge.matchers)
}

/// How tries and failures are counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CountPlan {
    /// The judge's name of the metric.
    pub metric: String,
    /// All tries, the failed ones included: requests, or what else the user's counter counts.
    pub requests: Selector,
    /// The failed ones.
    pub failures: Failures,
    /// A counter of failures that nobody has ever seen is a problem and not good news. An exporter's own may be missing until the first
    /// one, the user's may not.
    pub must_exist: bool,
}

/// Where failures are found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failures {
    /// They are those series of the requests that this selector matches as well.
    Among(Selector),
    /// They are counted by a counter of their own.
    Apart(Selector),
}

/// Boundaries of a histogram in seconds, fixed for an attempt.
#[derive(Debug, Clone, PartialEq)]
pub struct Chosen {
    /// The boundary that stands for the threshold.
    pub slow_over: f64,
    /// Others at which the pools are compared, in the order in which the judge knows them.
    pub others: Vec<f64>,
}

impl Chosen {
    /// Those by which a metric is judged, once they are known.
    pub fn of(metric: &MetricSpec) -> Option<Self> {
        let others = metric.others.iter().map(|other| other.over).collect();
        Some(Self { slow_over: metric.slow_over?, others })
    }
}

/// How slow requests are counted.
#[derive(Debug, Clone, PartialEq)]
pub struct LatencyPlan {
    /// The histogram's buckets, all boundaries.
    pub buckets: Selector,
    /// What counts as slow.
    pub threshold: Span,
    /// Unit of the boundaries.
    pub unit: DurationUnit,
    /// The boundaries of this attempt; `None`: the one that stands for the threshold is looked for.
    pub chosen: Option<Chosen>,
}

impl LatencyPlan {
    /// The threshold in the unit of the boundaries.
    pub fn wanted(&self) -> f64 {
        match self.unit {
            DurationUnit::Seconds => self.threshold.secs(),
            DurationUnit::Milliseconds => self.threshold.millis() as f64,
        }
    }

    /// How many of the boundaries' unit a second has.
    pub fn per_second(&self) -> f64 {
        match self.unit {
            DurationUnit::Seconds => 1.0,
            DurationUnit::Milliseconds => 1000.0,
        }
    }
}

/// Why no plan can be made. The API server's rules refuse most of these earlier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// Not a metric name.
    #[error("'{}' is no metric name: letters, digits, '_' and ':', such as http_requests_total", .0.escape_debug())]
    Metric(String),
    /// Not a label name.
    #[error("'{}' is no label name: letters, digits and '_', such as status", .0.escape_debug())]
    Label(String),
    /// The exporter has no durations.
    #[error(
        "the preset {0} has no histogram of durations: remove analysis.latency, or name yours in analysis.metrics"
    )]
    NoDurations(&'static str),
    /// `errorRate` without a counter of failures.
    #[error("errorRate needs to know what failed: set analysis.metrics.errors")]
    NoErrors,
    /// `latency` without a histogram.
    #[error("latency needs a histogram: set analysis.metrics.latency.histogram")]
    NoHistogram,
    /// Neither a preset nor metrics.
    #[error("no metrics are named: set analysis.preset or analysis.metrics")]
    Nothing,
}

impl MetricPlan {
    /// The plan for one spec.
    ///
    /// # Errors
    /// The spec names nothing that can be asked for; the error says what to write instead.
    pub fn of(analysis: &Analysis) -> Result<Self, PlanError> {
        for label in [&analysis.labels.pod, &analysis.labels.namespace] {
            if !is_label(label) {
                return Err(PlanError::Label(label.clone()));
            }
        }
        let names = Names::in_spec(analysis)?;
        let errors = analysis.error_rate.as_ref().map(|_| names.errors());
        let own = analysis.counters.iter().map(|counter| names.own(counter));
        let counts = errors.into_iter().chain(own).collect::<Result<_, _>>()?;
        let latency = analysis.latency.as_ref().map(|wanted| names.latency(wanted.threshold)).transpose()?;
        Ok(Self { counts, latency })
    }

    /// The judge's names of all metrics in it.
    pub fn metrics(&self) -> impl Iterator<Item = &str> {
        let latency = self.latency.as_ref().map(|_| LATENCY);
        self.counts.iter().map(|counted| counted.metric.as_str()).chain(latency)
    }
}

/// A preset or the user's own names, in one form.
struct Names {
    label: &'static str,
    requests: Counter,
    errors: Option<Counter>,
    histogram: Option<(String, DurationUnit, Vec<Matcher>)>,
}

impl Names {
    fn in_spec(analysis: &Analysis) -> Result<Self, PlanError> {
        match (analysis.preset, &analysis.metrics) {
            (Some(preset), _) => Ok(Self::of(preset)),
            (None, Some(metrics)) => Ok(Self::custom(metrics)),
            (None, None) => Err(PlanError::Nothing),
        }
    }

    fn custom(metrics: &crate::api::Metrics) -> Self {
        let histogram = |h: &crate::api::Histogram| (h.histogram.clone(), h.unit, h.matchers.clone());
        Self {
            label: "custom",
            requests: metrics.requests.clone(),
            errors: metrics.errors.clone(),
            histogram: metrics.latency.as_ref().map(histogram),
        }
    }

    fn of(preset: Preset) -> Self {
        match preset {
            Preset::FastapiInstrumentator => Self::by_status(
                "fastapi-instrumentator",
                "http_requests_total",
                "status",
                "http_request_duration_seconds",
                &[("handler", PROBE_PATHS)],
            ),
            Preset::StarletteExporter => Self::by_status(
                "starlette-exporter",
                "starlette_requests_total",
                "status_code",
                "starlette_request_duration_seconds",
                &[("path", PROBE_PATHS)],
            ),
            // `flask_http_request_total` has no path, so that probes could not be left out; the histogram's count has one, under
            // the name that the application's `group_by` gives it. A label that is not there matches.
            Preset::FlaskExporter => Self::by_status(
                "flask-exporter",
                "flask_http_request_duration_seconds_count",
                "status",
                "flask_http_request_duration_seconds",
                &[("path", PROBE_PATHS), ("url_rule", PROBE_PATHS), ("endpoint", PROBE_NAMES)],
            ),
            // Of the two counters by status only this one has the view.
            Preset::DjangoPrometheus => Self::by_status(
                "django-prometheus",
                "django_http_responses_total_by_status_view_method_total",
                "status",
                "django_http_requests_latency_seconds_by_view_method",
                &[("view", PROBE_NAMES)],
            ),
            Preset::Granian => Self {
                label: "granian",
                requests: counter("granian_requests_handled", Vec::new()),
                errors: Some(counter("granian_connections_err", Vec::new())),
                histogram: None,
            },
            Preset::Dramatiq => Self {
                label: "dramatiq",
                requests: counter("dramatiq_messages_total", Vec::new()),
                errors: Some(counter("dramatiq_message_errors_total", Vec::new())),
                histogram: Some((
                    "dramatiq_message_duration_milliseconds".into(),
                    DurationUnit::Milliseconds,
                    Vec::new(),
                )),
            },
        }
    }

    fn by_status(
        label: &'static str,
        requests: &str,
        status: &str,
        histogram: &str,
        left_out: &[(&str, &str)],
    ) -> Self {
        let left_out: Vec<Matcher> = left_out
            .iter()
            .map(|(label, probes)| matcher(label, MatchOperator::NotMatches, probes))
            .collect();
        let mut failed = left_out.clone();
        failed.push(matcher(status, MatchOperator::Matches, FAILED));
        Self {
            label,
            requests: counter(requests, left_out.clone()),
            errors: Some(counter(requests, failed)),
            histogram: Some((histogram.to_owned(), DurationUnit::Seconds, left_out)),
        }
    }

    fn errors(&self) -> Result<CountPlan, PlanError> {
        let errors = self.errors.as_ref().ok_or(PlanError::NoErrors)?;
        Self::counted(ERRORS, &self.requests, errors, false)
    }

    fn own(&self, counter: &CounterTest) -> Result<CountPlan, PlanError> {
        let of = counter.of.as_ref().unwrap_or(&self.requests);
        Self::counted(&counter.name, of, &counter.bad, true)
    }

    fn counted(
        metric: &str,
        all: &Counter,
        errors: &Counter,
        must_exist: bool,
    ) -> Result<CountPlan, PlanError> {
        let requests = selector(&all.name, &all.matchers)?;
        let failures = if errors.name == all.name {
            // Its series are a subset of the requests, so that they have to match both.
            let mut both = requests.clone();
            for matcher in selector(&errors.name, &errors.matchers)?.matchers {
                if !both.matchers.contains(&matcher) {
                    both.matchers.push(matcher);
                }
            }
            Failures::Among(both)
        } else {
            Failures::Apart(selector(&errors.name, &errors.matchers)?)
        };
        Ok(CountPlan { metric: metric.to_owned(), requests, failures, must_exist })
    }

    fn latency(&self, threshold: Span) -> Result<LatencyPlan, PlanError> {
        let Some((base, unit, matchers)) = &self.histogram else {
            return Err(if self.label == "custom" {
                PlanError::NoHistogram
            } else {
                PlanError::NoDurations(self.label)
            });
        };
        if !is_metric(base) {
            return Err(PlanError::Metric(base.clone()));
        }
        Ok(LatencyPlan {
            buckets: selector(&format!("{base}_bucket"), matchers)?,
            threshold,
            unit: *unit,
            chosen: None,
        })
    }
}

fn counter(name: &str, matchers: Vec<Matcher>) -> Counter {
    Counter { name: name.to_owned(), matchers }
}

fn matcher(label: &str, operator: MatchOperator, value: &str) -> Matcher {
    Matcher { label: label.to_owned(), operator, value: value.to_owned() }
}

fn selector(name: &str, matchers: &[Matcher]) -> Result<Selector, PlanError> {
    if !is_metric(name) {
        return Err(PlanError::Metric(name.to_owned()));
    }
    if let Some(matcher) = matchers.iter().find(|matcher| !is_label(&matcher.label)) {
        return Err(PlanError::Label(matcher.label.clone()));
    }
    Ok(Selector { name: name.to_owned(), matchers: matchers.to_vec() })
}
