//! `kubectl freethread init`: what is proposed for a Deployment, `tests/init/NAME.yaml` out, and that the operator takes it.
//!
//! `UPDATE_GOLDEN=1 cargo test --test init` writes the proposals anew; read the difference before it is committed.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail so")]
#![allow(clippy::needless_pass_by_value, reason = "json!() reads better in place")]

#[path = "support/golden.rs"]
mod golden;

use freethread_rollout::{
    api::{FreeThreadRollout, Mode},
    init::{Exposition, Found, Metrics, container_of, proposal, seen},
    observe::presets::MetricPlan,
};
use k8s_openapi::api::apps::v1::Deployment;
use proptest::prelude::*;
use serde_json::{Value, json};

use golden::golden;

fn workload(name: &str, replicas: i32, containers: Value) -> Deployment {
    serde_json::from_value(json!({
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": containers}}},
    }))
    .unwrap()
}

fn found(workload: Deployment, metrics: Metrics) -> Found {
    Found {
        workload,
        services: vec!["orders".into()],
        autoscalers: vec![],
        routes: vec!["Ingress shop".into()],
        managers: vec![],
        metrics,
        unknown: vec![],
    }
}

/// What the operator would make of it.
fn parsed(yaml: &str) -> FreeThreadRollout {
    let rollout: FreeThreadRollout = serde_yaml::from_str(yaml).unwrap_or_else(|e| panic!("{e}:\n{yaml}"));
    MetricPlan::of(&rollout.spec.analysis).unwrap_or_else(|e| panic!("{e}:\n{yaml}"));
    assert_eq!(rollout.spec.mode, Mode::Observe, "nothing moves before somebody says so");
    rollout
}

/// 90 and then 100 requests a second of one pod, 0.2 % failed, 0.6 % over 300 ms.
fn scrape(requests: u32) -> Exposition {
    let (all, failed) = (f64::from(requests), f64::from(requests) * 0.002);
    Exposition::parse(&format!(
        "http_requests_total{{handler=\"/orders\",method=\"GET\",status=\"2xx\"}} {}\n\
         http_requests_total{{handler=\"/orders\",method=\"GET\",status=\"5xx\"}} {failed}\n\
         http_request_duration_seconds_bucket{{handler=\"/orders\",le=\"0.1\"}} {}\n\
         http_request_duration_seconds_bucket{{handler=\"/orders\",le=\"0.3\"}} {}\n\
         http_request_duration_seconds_bucket{{handler=\"/orders\",le=\"+Inf\"}} {all}\n\
         process_cpu_seconds_total 12\n",
        all - failed,
        all * 0.9,
        all * 0.994,
    ))
}

#[test]
fn a_service_whose_metrics_are_known() {
    let containers = json!([
        {"name": "istio-proxy", "image": "istio/proxy:1.29"},
        {"name": "web", "image": "registry.example:5000/orders:1.4.2", "command": ["gunicorn", "app:app"]},
    ]);
    let seen = seen(&scrape(100_000), &scrape(100_500), 5.0).unwrap();
    assert!((seen.per_second - 100.0).abs() < 0.5, "{}", seen.per_second);
    assert_eq!(seen.slow.map(|(boundary, _)| boundary), Some(0.3));
    let mut found = found(workload("orders", 6, containers), Metrics::Seen(seen));
    found.autoscalers = vec!["HorizontalPodAutoscaler orders (2 to 10 pods)".into()];
    found.managers = vec!["Argo CD".into()];
    let yaml = proposal(&found);
    golden("init/known.yaml", &yaml);
    let rollout = parsed(&yaml);
    assert_eq!(rollout.spec.free_threaded.container.as_deref(), Some("web"));
    assert_eq!(rollout.spec.free_threaded.image, "registry.example:5000/orders:{tag}-py3.14t");
    assert!(yaml.contains("at the traffic of now"), "{yaml}");
}

#[test]
fn a_worker_of_which_little_can_be_known() {
    let mut found = found(
        workload(
            "jobs",
            2,
            json!([{"name": "jobs", "image": "registry.example/jobs@sha256:aa", "args": ["celery", "worker"]}]),
        ),
        Metrics::Unread("/metrics on port 9000 of pod jobs-1: not allowed".into()),
    );
    (found.services, found.routes) = (vec![], vec![]);
    found.unknown = vec!["Ingresses: not allowed".into()];
    let yaml = proposal(&found);
    golden("init/unknown.yaml", &yaml);
    let rollout = parsed(&yaml);
    assert_eq!(rollout.spec.free_threaded.image, "registry.example/jobs:latest-py3.14t");
    assert_eq!(rollout.spec.steps.iter().map(|step| step.weight).collect::<Vec<_>>(), [34, 50]);
}

#[test]
fn metrics_of_its_own_are_named() {
    let found = found(
        workload("orders", 0, json!([{"name": "a", "image": "a:1"}])),
        Metrics::Strange(vec!["shop_orders_total".into()]),
    );
    let yaml = proposal(&found);
    assert!(yaml.contains("# Some of what its pods export: shop_orders_total"), "{yaml}");
    assert_eq!(parsed(&yaml).spec.steps.len(), 3);
}

#[test]
fn every_exporter_is_known_by_its_names() {
    let cases = [
        ("starlette_requests_total{status_code=\"200\"} 1", "starlette-exporter"),
        ("django_http_responses_total_by_status_view_method_total{status=\"200\"} 1", "django-prometheus"),
        ("flask_http_request_duration_seconds_count{status=\"200\"} 1", "flask-exporter"),
        ("dramatiq_messages_total 1", "dramatiq"),
        ("granian_requests_handled 1", "granian"),
    ];
    for (line, word) in cases {
        let exposition = Exposition::parse(line);
        assert_eq!(seen(&exposition, &exposition, 5.0).map(|seen| seen.word), Some(word), "{line}");
    }
    assert_eq!(seen(&Exposition::default(), &Exposition::parse("up 1"), 5.0), None);
    // A pod that began anew in between has no rate, and no negative one.
    assert!(seen(&scrape(1000), &scrape(10), 5.0).unwrap().per_second.abs() < 1e-9);
}

#[test]
fn the_container_that_runs_python() {
    let name = |containers: Value| {
        let pod = workload("a", 1, containers).spec.unwrap().template.spec.unwrap();
        container_of(&pod).unwrap().name.clone()
    };
    assert_eq!(name(json!([{"name": "nginx"}, {"name": "app"}])), "app");
    assert_eq!(name(json!([{"name": "app"}, {"name": "worker", "args": ["python", "-m", "w"]}])), "worker");
    assert_eq!(name(json!([{"name": "proxy"}])), "proxy");
}

proptest! {
    /// Whatever things are called in a cluster: what is proposed is one rollout, with these names.
    #[test]
    fn names_cannot_break_the_proposal(words in "\\PC{0,40}|[\n\t:#'\"{}&*!|>%@`-]{0,20}", replicas in 0..200) {
        let containers = json!([{"name": words, "image": words, "args": ["python"]}, {"name": "b"}]);
        let mut found = found(workload("orders", replicas, containers), Metrics::Strange(vec![words.clone()]));
        found.services = vec![words.clone()];
        found.unknown = vec![words.clone()];
        found.managers = vec![words.clone()];
        let rollout = parsed(&proposal(&found));
        prop_assert_eq!(rollout.metadata.name.as_deref(), Some("orders"));
        prop_assert_eq!(rollout.spec.free_threaded.container, Some(words));
    }
}
