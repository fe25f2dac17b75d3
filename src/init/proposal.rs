//! The proposal as YAML with comments: what was found, what follows, and what nobody could find out.

use std::fmt::Write as _;

use kube::ResourceExt;

use super::found::{Found, Metrics, container_of};
use crate::{
    api::{FreeThreadRolloutSpec, Span},
    decide::{estimates, reach},
    observe::Precision,
};

/// Shares that people think in, in percent; what pod counts make of them depends on the pods.
const SHARES: [i32; 3] = [10, 25, 50];
/// Tags of the free-threaded image, where nobody says how it is called.
const SUFFIX: &str = "-py3.14t";

/// A first rollout, to be read and edited before it is applied.
pub fn proposal(found: &Found) -> String {
    let mut out = String::new();
    // Writing to a string never fails.
    let _ = write(&mut out, found);
    out
}

/// A text as a YAML scalar that means nothing else: as JSON has it, which YAML reads.
fn scalar(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | '/');
    let letter = text.starts_with(|c: char| c.is_ascii_alphabetic());
    if letter
        && text.chars().all(plain)
        && !["true", "false", "null", "yes", "no", "on", "off", "y", "n"].contains(&text)
    {
        return text.to_owned();
    }
    serde_json::to_string(text).unwrap_or_default()
}

/// Words for a comment: on one line.
fn words(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') { ' ' } else { c })
        .collect()
}

fn list(names: &[String]) -> String {
    names.iter().map(|name| words(name)).collect::<Vec<_>>().join(", ")
}

fn write(out: &mut String, found: &Found) -> std::fmt::Result {
    let name = found.workload.name_any();
    let namespace = found.workload.namespace().unwrap_or_default();
    let spec = found.workload.spec.as_ref();
    let replicas = spec.and_then(|spec| spec.replicas).unwrap_or(1).max(0);
    let pod = spec.and_then(|spec| spec.template.spec.clone()).unwrap_or_default();
    let container = container_of(&pod);
    writeln!(
        out,
        "# Proposed for Deployment {namespace}/{name} as it runs now. Read it, edit it, then: kubectl apply -f FILE"
    )?;
    head(out, found, replicas)?;
    writeln!(out, "apiVersion: freethreading.dev/v1alpha1\nkind: FreeThreadRollout\nmetadata:")?;
    writeln!(out, "  name: {}\n  namespace: {}", scalar(&name), scalar(&namespace))?;
    writeln!(out, "spec:\n  mode: Observe                 # everything but traffic; Active moves it")?;
    writeln!(out, "  workloadRef:\n    name: {}", scalar(&name))?;
    writeln!(out, "  freeThreaded:")?;
    let image = container.and_then(|container| container.image.as_deref()).unwrap_or_default();
    writeln!(
        out,
        "    # The same application on a free-threaded interpreter, which you build; {{tag}} is the standard image's tag."
    )?;
    writeln!(out, "    image: {}", scalar(&free_threaded(image)))?;
    if pod.containers.len() > 1
        && let Some(container) = container
    {
        let others = pod.containers.iter().map(|c| c.name.clone()).filter(|other| *other != container.name);
        let others = list(&others.collect::<Vec<_>>());
        writeln!(
            out,
            "    container: {}    # seems to run Python; the others: {others}",
            scalar(&container.name)
        )?;
    }
    let exported = matches!(&found.metrics, Metrics::Seen(seen) if seen.gil);
    if !exported {
        writeln!(
            out,
            "    probe: true                 # says whether the GIL came back and why: its pods export no python_gil_enabled"
        )?;
    }
    writeln!(
        out,
        "  preflight:\n    # Modules of your application: does the GIL stay off when they are imported? Uncomment and name them."
    )?;
    writeln!(out, "    # import: [app.main]\n    inspect: Require")?;
    writeln!(
        out,
        "  traffic:\n    podCount: {{}}               # by ready pods behind the same Services; needs nothing else"
    )?;
    steps(out, found, replicas)?;
    analysis(out, &found.metrics)?;
    benefit(out, &found.metrics)
}

fn head(out: &mut String, found: &Found, replicas: i32) -> std::fmt::Result {
    let none =
        |names: &[String], nothing: &str| if names.is_empty() { nothing.to_owned() } else { list(names) };
    writeln!(
        out,
        "#\n# Found: {replicas} pods; Services: {}; scaled by: {}; routed by: {}",
        none(&found.services, "none"),
        none(&found.autoscalers, "nobody"),
        none(&found.routes, "nothing that is known")
    )?;
    if !found.managers.is_empty() {
        writeln!(
            out,
            "# Managed by {}: put this file beside the Deployment there. The operator only reads the Deployment.",
            list(&found.managers)
        )?;
    }
    if !found.autoscalers.is_empty() {
        writeln!(
            out,
            "# An autoscaler moves the standard pool's pods: the free-threaded pool follows their number, and its share stays."
        )?;
    }
    if found.services.is_empty() {
        writeln!(
            out,
            "# No Service selects its pods. By pod counts the free-threaded pods take their share of whatever work the others take\n# (a queue, say)."
        )?;
    }
    let metrics = match &found.metrics {
        Metrics::Unread(why) => Some(format!("what its pods export: {}", words(why))),
        Metrics::Strange(_) => {
            Some("which of its metrics are requests and failures: name them under analysis.metrics".into())
        }
        Metrics::Seen(_) => None,
    };
    let unknown: Vec<String> = found.unknown.iter().map(|text| words(text)).chain(metrics).collect();
    if !unknown.is_empty() {
        writeln!(out, "#\n# Could not be found out:")?;
    }
    unknown.iter().try_for_each(|text| writeln!(out, "# - {text}"))
}

/// `registry/app:1.2` is `registry/app:{tag}-py3.14t`.
fn free_threaded(image: &str) -> String {
    let image = image.split('@').next().unwrap_or(image);
    let name = match image.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => name,
        _ => return format!("{image}:latest{SUFFIX}"),
    };
    format!("{name}:{{tag}}{SUFFIX}")
}

fn steps(out: &mut String, found: &Found, replicas: i32) -> std::fmt::Result {
    let weights = weights(replicas);
    let known = match &found.metrics {
        Metrics::Seen(seen) if seen.per_second > 0.0 => estimated(seen, &weights, replicas),
        _ => Vec::new(),
    };
    writeln!(out, "  steps:                        # each ends when the evidence says that it is safe")?;
    for (index, (weight, pods)) in weights.iter().enumerate() {
        let beside = match pods {
            0 => "some pods".to_owned(),
            1 => "1 pod".to_owned(),
            pods => format!("{pods} pods"),
        };
        let time = known.get(index).map(|time| format!("; {time} at the traffic of now")).unwrap_or_default();
        writeln!(out, "  - weight: {weight}                  # {beside} beside {replicas}{time}")?;
    }
    Ok(())
}

/// Weights that pods can make, with the pods: every one of them in a small pool.
fn weights(replicas: i32) -> Vec<(i32, i32)> {
    let precision = Precision::Pods { standard: replicas, max: 50 };
    let mut pods: Vec<i32> = match replicas {
        1..=3 => (1..=replicas).collect(),
        _ => SHARES.iter().map(|share| reach(precision, *share).pods).collect(),
    };
    pods.dedup();
    // Rounded up: a share of just under that is reached by one pod less.
    let weight = |pods: i32| (100 * pods + replicas + pods - 1) / (replicas + pods).max(1);
    match replicas {
        0 => SHARES.iter().map(|share| (*share, 0)).collect(),
        _ => pods.into_iter().map(|pods| (weight(pods), pods)).collect(),
    }
}

/// How long each step's evidence would take, in words.
fn estimated(seen: &super::traffic::Seen, weights: &[(i32, i32)], replicas: i32) -> Vec<String> {
    let steps: Vec<_> = weights.iter().map(|(weight, _)| serde_json::json!({"weight": weight})).collect();
    let spec = serde_json::json!({
        "workloadRef": {"name": "a"}, "freeThreaded": {"image": "a"}, "traffic": {"podCount": {}}, "steps": steps,
        "analysis": analysis_of(seen),
    });
    // What is made here is a spec; if it were none, nothing would be said of time.
    let Ok(spec) = serde_json::from_value::<FreeThreadRolloutSpec>(spec) else { return Vec::new() };
    let precision = Precision::Pods { standard: replicas, max: 50 };
    estimates(&spec, &seen.baseline(replicas), precision).into_iter().map(|e| e.message).collect()
}

/// In whole percents: the objective is above what there is today, or every pool would be at fault.
fn objective(share: f64) -> f64 {
    (share * 100.0 * 2.0).ceil().clamp(1.0, 50.0)
}

fn analysis_of(seen: &super::traffic::Seen) -> serde_json::Value {
    let mut analysis = serde_json::json!({"preset": seen.word,
        "errorRate": {"max": format!("{}%", objective(seen.failed)), "tolerate": "0.5%"}});
    if let (Some(threshold), Some((_, share))) = (seen.threshold(), seen.slow) {
        analysis["latency"] = serde_json::json!({"threshold": threshold.to_string(),
            "max": format!("{}%", objective(share)), "tolerate": "1%"});
    }
    analysis
}

fn analysis(out: &mut String, metrics: &Metrics) -> std::fmt::Result {
    writeln!(out, "  analysis:")?;
    let Metrics::Seen(seen) = metrics else {
        if let Metrics::Strange(names) = metrics {
            writeln!(out, "    # Some of what its pods export: {}", list(names))?;
        }
        writeln!(
            out,
            "    metrics:                    # or preset: fastapi-instrumentator, starlette-exporter, flask-exporter, django-prometheus, granian, dramatiq"
        )?;
        writeln!(
            out,
            "      requests: {{name: http_requests_total}}\n      errors: {{name: http_requests_total, matchers: [{{label: status, operator: Matches, value: \"5..\"}}]}}"
        )?;
        return writeln!(out, "    errorRate: {{max: 1%, tolerate: 0.5%}}");
    };
    writeln!(out, "    preset: {}    # as its pods export", seen.word)?;
    writeln!(
        out,
        "    # {} of its requests fail today. max: whatever is above is acted on; tolerate: how much worse than the standard pool is fine.",
        percent(seen.failed)
    )?;
    writeln!(out, "    errorRate: {{max: {}%, tolerate: 0.5%}}", objective(seen.failed))?;
    if let (Some(threshold), Some((_, share))) = (seen.threshold(), seen.slow) {
        writeln!(
            out,
            "    # {} take longer than {threshold}, a boundary of the histogram's.",
            percent(share)
        )?;
        writeln!(out, "    latency: {{threshold: {threshold}, max: {}%, tolerate: 1%}}", objective(share))?;
    } else {
        writeln!(
            out,
            "    # No histogram of durations, or too slow for its buckets: nothing is compared by latency."
        )?;
    }
    Ok(())
}

fn percent(share: f64) -> String {
    format!("{:.2} %", share * 100.0)
}

fn benefit(out: &mut String, metrics: &Metrics) -> std::fmt::Result {
    let cpu = matches!(metrics, Metrics::Seen(seen) if seen.cpu);
    if cpu {
        let hours = Span::from_secs(7200);
        writeln!(
            out,
            "  benefit:                      # is it worth it? Requests per CPU-second, measured at the last step for {hours} at most\n    atLeast: 10%"
        )?;
    }
    Ok(())
}
