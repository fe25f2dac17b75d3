//! Which exporter it is, and what the traffic is like: from two scrapes of one pod.

use super::exposition::{Exposition, Sample};
use crate::api::{BaselineStatus, Percent, Preset, Span};

/// What an exporter calls its things.
struct Names {
    preset: Preset,
    /// As the spec has it.
    word: &'static str,
    requests: &'static str,
    /// Label with the status, where failures are answers of 500 and more; or else a counter of failures.
    status: Result<&'static str, &'static str>,
    /// Base name of the histogram, and its buckets' unit in seconds.
    histogram: Option<(&'static str, f64)>,
}

/// In the order in which they are tried: the more telling names first.
const EXPORTERS: [Names; 6] = [
    Names {
        preset: Preset::StarletteExporter,
        word: "starlette-exporter",
        requests: "starlette_requests_total",
        status: Ok("status_code"),
        histogram: Some(("starlette_request_duration_seconds", 1.0)),
    },
    Names {
        preset: Preset::DjangoPrometheus,
        word: "django-prometheus",
        requests: "django_http_responses_total_by_status_view_method_total",
        status: Ok("status"),
        histogram: Some(("django_http_requests_latency_seconds_by_view_method", 1.0)),
    },
    Names {
        preset: Preset::FlaskExporter,
        word: "flask-exporter",
        requests: "flask_http_request_duration_seconds_count",
        status: Ok("status"),
        histogram: Some(("flask_http_request_duration_seconds", 1.0)),
    },
    Names {
        preset: Preset::Dramatiq,
        word: "dramatiq",
        requests: "dramatiq_messages_total",
        status: Err("dramatiq_message_errors_total"),
        histogram: Some(("dramatiq_message_duration_milliseconds", 0.001)),
    },
    Names {
        preset: Preset::FastapiInstrumentator,
        word: "fastapi-instrumentator",
        requests: "http_requests_total",
        status: Ok("status"),
        histogram: Some(("http_request_duration_seconds", 1.0)),
    },
    Names {
        preset: Preset::Granian,
        word: "granian",
        requests: "granian_requests_handled",
        status: Err("granian_connections_err"),
        histogram: None,
    },
];

/// What is known of a pod's metrics.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// The exporter.
    pub preset: Preset,
    /// As the spec has it.
    pub word: &'static str,
    /// Requests per second of that pod.
    pub per_second: f64,
    /// Share of failed requests since the pod began.
    pub failed: f64,
    /// The smallest boundary of the histogram's that at most 1 % of the requests were above, in seconds, and their share.
    pub slow: Option<(f64, f64)>,
    /// It exports `python_gil_enabled`.
    pub gil: bool,
    /// It exports `process_cpu_seconds_total`.
    pub cpu: bool,
}

/// What two scrapes say, `seconds` apart. `None`: no exporter that is known.
pub fn seen(first: &Exposition, second: &Exposition, seconds: f64) -> Option<Seen> {
    // An application may count its own requests under the same name, with another label for the status.
    let fits = |names: &&Names| match names.status {
        Ok(label) => second.of(names.requests).iter().any(|sample| sample.labels.contains_key(label)),
        Err(_) => second.has(names.requests),
    };
    let names = EXPORTERS.iter().find(fits)?;
    let (before, after) = (sum(first.of(names.requests)), sum(second.of(names.requests)));
    let failed = match names.status {
        Ok(label) => {
            let failed = second.of(names.requests).iter();
            sum_of(failed.filter(|sample| sample.labels.get(label).is_some_and(|code| code.starts_with('5'))))
        }
        Err(counter) => sum(second.of(counter)),
    };
    let share = if after > 0.0 { (failed / after).clamp(0.0, 1.0) } else { 0.0 };
    Some(Seen {
        preset: names.preset,
        word: names.word,
        // A counter that fell began anew in between.
        per_second: if seconds > 0.0 { (after - before).max(0.0) / seconds } else { 0.0 },
        failed: share,
        slow: names.histogram.and_then(|(name, unit)| slow(second, name, unit)),
        gil: second.has("python_gil_enabled"),
        cpu: second.has("process_cpu_seconds_total"),
    })
}

fn sum(samples: &[Sample]) -> f64 {
    sum_of(samples.iter())
}

fn sum_of<'a>(samples: impl Iterator<Item = &'a Sample>) -> f64 {
    samples.map(|sample| sample.value).filter(|value| value.is_finite()).sum()
}

fn slow(seen: &Exposition, name: &str, unit: f64) -> Option<(f64, f64)> {
    let mut buckets: Vec<(f64, f64)> = Vec::new();
    for sample in seen.of(&format!("{name}_bucket")) {
        let Some(le) = sample.labels.get("le").and_then(|le| le.parse::<f64>().ok()) else { continue };
        match buckets.iter_mut().find(|(known, _)| known.total_cmp(&le).is_eq()) {
            Some((_, count)) => *count += sample.value,
            None => buckets.push((le, sample.value)),
        }
    }
    buckets.sort_by(|(one, _), (other, _)| one.total_cmp(other));
    let all = buckets.last().map(|(_, count)| *count).filter(|count| *count > 0.0)?;
    let above = |count: f64| 1.0 - count / all;
    let found = buckets.iter().find(|(le, count)| le.is_finite() && above(*count) <= 0.01)?;
    Some((found.0 * unit, above(found.1)))
}

impl Seen {
    /// What the operator would know of the whole pool of `pods` from its history: assumed to be like this pod now.
    pub fn baseline(&self, pods: i32) -> Vec<BaselineStatus> {
        let known = |metric: &str, bad: f64| BaselineStatus {
            metric: metric.into(),
            divided_by: "1.2".into(),
            pods_differ_by: Percent::from_ratio(0.0),
            per_second: format!("{:.3}", self.per_second * f64::from(pods.max(1))),
            bad: Percent::from_ratio(bad),
            source: "one pod, read twice".into(),
            slow_over: None,
            boundaries: Vec::new(),
            resolution: None,
        };
        let latency = self.slow.map(|(_, share)| known("latency", share));
        std::iter::once(known("errors", self.failed)).chain(latency).collect()
    }

    /// Where slow begins, as the spec has it.
    #[allow(clippy::cast_possible_truncation, reason = "a cast stays within its type")]
    pub fn threshold(&self) -> Option<Span> {
        self.slow.map(|(seconds, _)| Span::from_millis((seconds * 1000.0).round() as i64))
    }
}
