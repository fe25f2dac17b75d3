//! What is worth reading after a failure, in one file.

use std::{fmt::Write as _, fs, path::Path};

use kube::{ResourceExt as _, api::LogParams};

use crate::{
    Result,
    cluster::within,
    stage::{Stage, word},
};

/// Lines of each operator's log.
const LOG_LINES: i64 = 400;

/// Writes everything about a failed scenario to `<out>/<name>.txt` and returns the path.
pub(crate) async fn write(stage: &Stage, name: &str, failure: &str, out: &Path) -> Result<String> {
    let mut text = format!("{failure}\n");
    present(stage, &mut text);
    section(&mut text, "load generator");
    let counts = stage.load.counts().await;
    let words = counts.map_or_else(
        |error| error.to_string(),
        |counts| format!("total: {}\nsince the mark: {}", counts.total.describe(), counts.window.describe()),
    );
    let _ = writeln!(text, "{words}");
    for line in stage.load.bad().await.unwrap_or_default() {
        let _ = writeln!(text, "{line}");
    }
    let operators = stage.cluster.operator_pods().await.unwrap_or_default();
    for pod in operators.into_iter().chain(stage.cluster.give_back_pods().await.unwrap_or_default()) {
        let name = pod.name_any();
        section(&mut text, &format!("log of {name}"));
        let params = LogParams { tail_lines: Some(LOG_LINES), ..LogParams::default() };
        let log = within(stage.cluster.pods(&stage.cluster.operator_namespace).logs(&name, &params)).await;
        text.push_str(&log.unwrap_or_else(|error| error.to_string()));
    }
    fs::create_dir_all(out).map_err(|e| format!("{}: {e}", out.display()))?;
    let path = out.join(format!("{name}.txt"));
    fs::write(&path, text).map_err(|e| format!("{}: {e}", path.display()))?;
    Ok(path.display().to_string())
}

fn section(text: &mut String, title: &str) {
    let _ = writeln!(text, "\n--- {title}");
}

fn present(stage: &Stage, text: &mut String) {
    let world = stage.world.now();
    section(text, "rollout");
    match world.rollout() {
        Some(rollout) => {
            let mut rollout = rollout.clone();
            rollout.metadata.managed_fields = None;
            let _ = writeln!(
                text,
                "{}",
                serde_yaml::to_string(&rollout).unwrap_or_else(|error| error.to_string())
            );
        }
        None => text.push_str("none\n"),
    }
    section(text, "the way here");
    let start = world.timeline.first().map(|moment| moment.at);
    for moment in &world.timeline {
        let view = &moment.view;
        let seconds = start.map_or(0.0, |start| (moment.at - start).as_secs_f64());
        let _ = writeln!(
            text,
            "{seconds:7.2} s  {:?} ({}) step {} wanted {} %  endpoints {}+{} ({} listed)  replicas {:?}+{:?}  {} {}  {}",
            view.phase,
            word(view.reason),
            view.step_label.as_deref().unwrap_or("-"),
            view.wanted,
            view.standard_ready,
            view.free_threaded_ready,
            view.free_threaded_listed,
            view.standard,
            view.pool,
            view.verdict.as_deref().unwrap_or("-"),
            view.evidence.as_deref().unwrap_or("-"),
            view.message
        );
    }
    section(text, "pods");
    for pod in world.pods.objects.values() {
        let status = pod.status.clone().unwrap_or_default();
        let containers: Vec<String> = status
            .container_statuses
            .iter()
            .flatten()
            .map(|c| {
                format!(
                    "{} ready={} restarts={} state={:?} last={:?}",
                    c.name, c.ready, c.restart_count, c.state, c.last_state
                )
            })
            .collect();
        let deleting = if pod.metadata.deletion_timestamp.is_some() { " deleting" } else { "" };
        let _ = writeln!(
            text,
            "{} {}{deleting}: {}",
            pod.name_any(),
            status.phase.unwrap_or_default(),
            containers.join("; ")
        );
    }
    section(text, "events");
    for event in world.events.objects.values() {
        let about = event.regarding.clone().unwrap_or_default();
        let at = event.event_time.as_ref().map(|time| time.0.to_string());
        let _ = writeln!(
            text,
            "{} {}/{} {}: {}",
            at.unwrap_or_default(),
            about.kind.unwrap_or_default(),
            about.name.unwrap_or_default(),
            event.reason.clone().unwrap_or_default(),
            event.note.clone().unwrap_or_default()
        );
    }
    if let Some(trouble) = &world.trouble {
        section(text, "last failure of a watch");
        text.push_str(trouble);
    }
}
