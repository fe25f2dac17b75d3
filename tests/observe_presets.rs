//! What is asked of Prometheus: the queries of every preset word for word, and nothing of a rollout can change their meaning.
#![allow(clippy::unwrap_used, clippy::panic, clippy::needless_pass_by_value, reason = "helpers of tests")]

use freethread_rollout::{
    api::{Analysis, MatchOperator, Matcher, TargetLabels},
    observe::{
        presets::{Failures, MetricPlan, PROBE_NAMES, PROBE_PATHS, PlanError},
        prometheus::promql::{Selector, literal, quote, range},
    },
};
use proptest::prelude::*;
use serde_json::json;

fn analysis(more: serde_json::Value) -> Analysis {
    let mut whole = json!({"errorRate": {"max": "1%"}, "latency": {"threshold": "300ms", "max": "1%"}});
    whole.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    serde_json::from_value(whole).unwrap()
}

fn plan(more: serde_json::Value) -> Result<MetricPlan, PlanError> {
    MetricPlan::of(&analysis(more))
}

fn render(selector: &Selector) -> String {
    selector.render(&TargetLabels::default(), "shop", &["web-1".into(), "web-2.x".into()])
}

/// Requests, failures and buckets of a preset.
fn queries(plan: &MetricPlan) -> Vec<String> {
    let mut all = Vec::new();
    for errors in &plan.counts {
        all.push(render(&errors.requests));
        all.push(match &errors.failures {
            Failures::Among(selector) => format!("among {}", render(selector)),
            Failures::Apart(selector) => format!("apart {}", render(selector)),
        });
    }
    all.extend(plan.latency.as_ref().map(|latency| render(&latency.buckets)));
    all
}

const OURS: &str = r#"namespace="shop",pod=~"^(?:web-1|web-2\\.x)$""#;

#[test]
fn presets_ask_for_exactly_this() {
    let by_status = |name: &str, left_out: &str, status: &str, histogram: &str| {
        vec![
            format!("{name}{{{OURS},{left_out}}}"),
            format!("among {name}{{{OURS},{left_out},{status}=~\"5..\"}}"),
            format!("{histogram}_bucket{{{OURS},{left_out}}}"),
        ]
    };
    let (paths, names) = (quote(PROBE_PATHS), quote(PROBE_NAMES));
    for (preset, wanted) in [
        (
            "fastapi-instrumentator",
            by_status(
                "http_requests_total",
                &format!("handler!~\"{paths}\""),
                "status",
                "http_request_duration_seconds",
            ),
        ),
        (
            "starlette-exporter",
            by_status(
                "starlette_requests_total",
                &format!("path!~\"{paths}\""),
                "status_code",
                "starlette_request_duration_seconds",
            ),
        ),
        (
            "flask-exporter",
            by_status(
                "flask_http_request_duration_seconds_count",
                &format!("path!~\"{paths}\",url_rule!~\"{paths}\",endpoint!~\"{names}\""),
                "status",
                "flask_http_request_duration_seconds",
            ),
        ),
        (
            "django-prometheus",
            by_status(
                "django_http_responses_total_by_status_view_method_total",
                &format!("view!~\"{names}\""),
                "status",
                "django_http_requests_latency_seconds_by_view_method",
            ),
        ),
        (
            "dramatiq",
            vec![
                format!("dramatiq_messages_total{{{OURS}}}"),
                format!("apart dramatiq_message_errors_total{{{OURS}}}"),
                format!("dramatiq_message_duration_milliseconds_bucket{{{OURS}}}"),
            ],
        ),
    ] {
        assert_eq!(queries(&plan(json!({"preset": preset})).unwrap()), wanted, "{preset}");
    }
}

#[test]
fn granian_has_no_durations_and_says_so() {
    let error = plan(json!({"preset": "granian"})).unwrap_err();
    assert_eq!(error, PlanError::NoDurations("granian"));
    assert!(error.to_string().contains("remove analysis.latency"));
    let only_errors: Analysis =
        serde_json::from_value(json!({"preset": "granian", "errorRate": {"max": "1%"}})).unwrap();
    let wanted =
        [format!("granian_requests_handled{{{OURS}}}"), format!("apart granian_connections_err{{{OURS}}}")];
    assert_eq!(queries(&MetricPlan::of(&only_errors).unwrap()), wanted);
}

#[test]
fn thresholds_are_in_the_histograms_unit() {
    let wanted = |preset| plan(json!({"preset": preset})).unwrap().latency.unwrap().wanted();
    assert!((wanted("dramatiq") - 300.0).abs() < 1e-12);
    assert!((wanted("flask-exporter") - 0.3).abs() < 1e-12);
}

#[test]
fn own_names_with_the_same_counter_are_a_subset() {
    let custom = json!({"metrics": {
        "requests": {"name": "rpc_total", "matchers": [{"label": "kind", "value": "unary"}]},
        "errors": {"name": "rpc_total", "matchers": [{"label": "code", "operator": "NotMatches", "value": "OK|Canceled"}]},
        "latency": {"histogram": "rpc_ms", "unit": "milliseconds"}},
        "labels": {"pod": "kubernetes_pod_name", "namespace": "ns"}});
    let plan = plan(custom.clone()).unwrap();
    let labels = analysis(custom).labels;
    let Failures::Among(failed) = &plan.counts[0].failures else { panic!() };
    assert_eq!(
        failed.render(&labels, "shop", &["a".into()]),
        r#"rpc_total{ns="shop",kubernetes_pod_name=~"^(?:a)$",kind="unary",code!~"OK|Canceled"}"#
    );
}

#[test]
fn what_cannot_be_planned_says_what_to_write() {
    let requests = json!({"name": "rpc_total"});
    for (more, part) in [
        (
            json!({"metrics": {"requests": requests, "latency": {"histogram": "h"}}}),
            "analysis.metrics.errors",
        ),
        (json!({"metrics": {"requests": requests, "errors": requests}}), "latency.histogram"),
        (json!({"metrics": {"requests": {"name": "a{}"}, "errors": requests}}), "'a{}' is no metric name"),
        (
            json!({"metrics": {"requests": requests, "errors": requests, "latency": {"histogram": "1h"}}}),
            "'1h' is no metric name",
        ),
        (
            json!({"metrics": {"requests": {"name": "a", "matchers": [{"label": "b=\"\"} or x{c", "value": ""}]},
                "errors": requests}}),
            "is no label name",
        ),
        (json!({"preset": "flask-exporter", "labels": {"pod": "p,x"}}), "'p,x' is no label name"),
        (json!({}), "analysis.preset or analysis.metrics"),
    ] {
        let error = plan(more.clone()).unwrap_err().to_string();
        assert!(error.contains(part), "{more}: {error}");
    }
}

#[test]
fn strings_and_pod_names_are_escaped() {
    assert_eq!(quote("a\"} or up{x=\"\\\n\u{7}ü"), "a\\\"} or up{x=\\\"\\\\\\n\\x07ü");
    assert_eq!(literal("a.b|c(d)[e]{f}^g$h*i+j?k\\l-m"), r"a\.b\|c\(d\)\[e\]\{f\}\^g\$h\*i\+j\?k\\l-m");
    assert_eq!(
        (range(0), range(1), range(1000), range(30_001)),
        ("[1s]".into(), "[1s]".into(), "[1s]".into(), "[31s]".into())
    );
    let selector = Selector { name: "m".into(), matchers: Vec::new() };
    assert_eq!(
        selector.with_one_of("le", &["+Inf".into(), "0.5".into()]).render(
            &TargetLabels::default(),
            "n\"",
            &[]
        ),
        r#"m{namespace="n\"",pod=~"^(?:)$",le=~"^(?:\\+Inf|0\\.5)$"}"#
    );
}

proptest! {
    /// Whatever a value holds, the quotes that begin and end strings stay the rendered ones: outside of strings there is only what
    /// the operator wrote.
    #[test]
    fn no_value_leaves_its_string(value in any::<String>(), namespace in any::<String>()) {
        let matcher = Matcher { label: "l".into(), operator: MatchOperator::Matches, value };
        let selector = Selector { name: "m".into(), matchers: vec![matcher] };
        let query = selector.render(&TargetLabels::default(), &namespace, &["p".into()]);
        let (mut outside, mut inside, mut escaped) = (String::new(), false, false);
        for c in query.chars() {
            prop_assert!(c != '\n');
            match c {
                _ if escaped => escaped = false,
                '\\' if inside => escaped = true,
                '"' => inside = !inside,
                c if !inside => outside.push(c),
                _ => {}
            }
        }
        prop_assert!(!inside);
        let wanted = "m{namespace=,pod=~,l=~}";
        prop_assert_eq!(outside, wanted);
        let first = query.starts_with("m{namespace=\"");
        prop_assert!(first);
    }
}
