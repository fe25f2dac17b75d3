//! `spec.analysis.metrics`: which series of a Prometheus are requests, failures and durations.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Exporters whose metric names are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// prometheus-fastapi-instrumentator: `http_requests_total`, `http_request_duration_seconds`.
    FastapiInstrumentator,
    /// `starlette_exporter`: `starlette_requests_total`, `starlette_request_duration_seconds`.
    StarletteExporter,
    /// prometheus-flask-exporter: `flask_http_request_duration_seconds`, whose count has the path that the counter lacks.
    FlaskExporter,
    /// django-prometheus: `django_http_responses_total_by_status_view_method_total`, `django_http_requests_latency_seconds_by_view_method`.
    DjangoPrometheus,
    /// granian's own metrics: `granian_requests_handled`, `granian_connections_err`. An application's own 500 is not among them, and
    /// there are no durations.
    Granian,
    /// dramatiq's middleware: `dramatiq_messages_total`, `dramatiq_message_errors_total`, `dramatiq_message_duration_milliseconds`.
    Dramatiq,
}

/// The user's own metric names.
#[derive(KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Metrics {
    /// Counter of requests, failed ones included.
    pub requests: Counter,
    /// Counter of failed requests: with the same name as `requests`, its series are the ones among them that also match; with another name, a counter of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub errors: Option<Counter>,
    /// Histogram of durations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<Histogram>,
}

/// A counter by name, and which of its series count.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Counter {
    /// Metric name, such as `http_requests_total`.
    #[schemars(length(min = 1, max = 200), regex(pattern = r"^[a-zA-Z_:][a-zA-Z0-9_:]*$"))]
    pub name: String,
    /// Label matchers that all have to hold. Namespace and pod are always added by the operator.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub matchers: Vec<Matcher>,
}

/// A histogram by its base name (without `_bucket`): classic, or native where there are no buckets of that name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Histogram {
    /// Base name, such as `http_request_duration_seconds`.
    #[schemars(length(min = 1, max = 200), regex(pattern = r"^[a-zA-Z_:][a-zA-Z0-9_:]*$"))]
    pub histogram: String,
    /// Unit of its buckets.
    #[serde(default)]
    pub unit: DurationUnit,
    /// Label matchers that all have to hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub matchers: Vec<Matcher>,
}

/// Unit of a histogram's buckets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DurationUnit {
    /// Seconds.
    #[default]
    Seconds,
    /// Milliseconds.
    Milliseconds,
}

/// One condition on a label.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Matcher {
    /// Label name.
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[a-zA-Z_][a-zA-Z0-9_]*$"))]
    pub label: String,
    /// How the value is compared; `Equal` if nothing is said.
    #[serde(default)]
    pub operator: MatchOperator,
    /// The value, or a regular expression (RE2, anchored on both ends).
    #[schemars(length(max = 512))]
    pub value: String,
}

/// PromQL's four comparisons.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum MatchOperator {
    /// `=`
    #[default]
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`
    Matches,
    /// `!~`
    NotMatches,
}

/// Label names of the user's Prometheus.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct TargetLabels {
    /// Label with the pod's name.
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[a-zA-Z_][a-zA-Z0-9_]*$"))]
    pub pod: String,
    /// Label with the namespace. Its matcher is always the rollout's namespace.
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[a-zA-Z_][a-zA-Z0-9_]*$"))]
    pub namespace: String,
}

impl Default for TargetLabels {
    fn default() -> Self {
        Self { pod: "pod".into(), namespace: "namespace".into() }
    }
}
