//! What a report says.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kube::ResourceExt;

use super::{
    document::{Block, Document, Plot, Section},
    inventory::Inventory,
    plots,
};
use crate::api::{
    Check, CheckStatus, FreeThreadRollout, FreeThreadRolloutStatus, Pace, PoolStatus, Preflight,
    PreflightStatus, Step,
};

/// Most packages that are listed: the worst come first.
const PACKAGES: usize = 200;

/// What a report is made of.
#[derive(Debug, Clone, Copy)]
pub struct Sources<'a> {
    /// The rollout as it is now.
    pub rollout: &'a FreeThreadRollout,
    /// Its dependencies, where they were taken stock of.
    pub inventory: Option<&'a Inventory>,
    /// `replay`'s plot of the evidence over time, where there is one.
    pub evidence: Option<&'a str>,
    /// Now.
    pub now: Timestamp,
}

/// The report.
pub fn content(sources: Sources<'_>) -> Document {
    let rollout = sources.rollout;
    let status = rollout.status.clone().unwrap_or_default();
    let sections = [
        summary(rollout, &status, sources.now),
        image(rollout.spec.preflight.as_ref(), &status),
        dependencies(sources.inventory),
        steps(&rollout.spec.steps, &status),
        comparison(&status, sources.evidence),
        history(&status),
        logs(&status),
    ];
    Document {
        title: format!("Free threading of {}: {:?}", rollout.spec.workload_ref.name, status.phase),
        lead: status.message.clone(),
        sections: sections.into_iter().filter(|section| !section.blocks.is_empty()).collect(),
    }
}

fn table(head: &[&'static str], rows: Vec<Vec<String>>) -> Option<Block> {
    (!rows.is_empty()).then(|| Block::Table { head: head.to_vec(), rows })
}

fn summary(rollout: &FreeThreadRollout, status: &FreeThreadRolloutStatus, now: Timestamp) -> Section {
    let mut rows = vec![
        vec![
            "Rollout".to_owned(),
            format!("{}/{}", rollout.namespace().unwrap_or_default(), rollout.name_any()),
        ],
        vec!["Result".to_owned(), format!("{:?} ({})", status.phase, status.reason.as_str())],
    ];
    let mut row = |name: &str, value: Option<String>| {
        rows.extend(value.map(|value| vec![name.to_owned(), value]));
    };
    row("Standard pool", pool(&status.standard));
    row("Free-threaded pool", pool(&status.free_threaded));
    let attempt = status.attempt.as_ref();
    row(
        "Attempt",
        attempt.map(|attempt| format!("{}, begun {}", attempt.number, moment(attempt.started_at.0))),
    );
    row("Written", Some(moment(now)));
    let benefit = status.benefit.as_ref().map(|known| format!("{:?}: {}", known.outcome, known.sentence));
    row("Throughput per core", benefit);
    let next = status.next.as_ref().map(|next| next.what.clone());
    row("Next", next);
    Section { title: "Result", blocks: table(&["", ""], rows).into_iter().collect() }
}

fn pool(pool: &PoolStatus) -> Option<String> {
    let image = pool.image.as_deref()?;
    Some(format!("{}: {} of {} pods ready, {image}", pool.name, pool.ready, pool.replicas))
}

fn moment(at: Timestamp) -> String {
    Timestamp::from_second(at.as_second()).unwrap_or(at).to_string()
}

/// What the checks said, then what stands against the image, then the benchmark's rounds.
fn image(asked: Option<&Preflight>, status: &FreeThreadRolloutStatus) -> Section {
    let known: Vec<(Check, &CheckStatus)> =
        status.preflight.iter().flat_map(PreflightStatus::known).collect();
    let rows = known.iter().map(|(check, known)| {
        let id = known.image_id.clone().unwrap_or_default();
        vec![check.name().to_owned(), format!("{:?}", known.verdict), known.sentence.clone(), id]
    });
    let mut blocks: Vec<Block> =
        table(&["Check", "Verdict", "", "Image"], rows.collect()).into_iter().collect();
    for (_, known) in &known {
        let lines: Vec<String> = known.blockers.iter().skip(1).chain(&known.hints).cloned().collect();
        if !lines.is_empty() {
            blocks.push(Block::List(lines));
        }
    }
    let wanted = asked.and_then(|asked| asked.benchmark.as_ref()).map(crate::api::Benchmark::wanted);
    let rounds = status.preflight.as_ref().and_then(|known| known.benchmark.as_ref());
    if let Some(known) = rounds.filter(|known| !known.rounds.is_empty()) {
        blocks.push(Block::Plot(Plot {
            name: "benchmark",
            caption: format!(
                "Speed of the free-threaded image over the standard one's, {} rounds",
                known.rounds.len()
            ),
            svg: plots::benchmark(&known.rounds, wanted.unwrap_or(1.0)),
        }));
    }
    Section { title: "Before any traffic", blocks }
}

fn dependencies(inventory: Option<&Inventory>) -> Section {
    let mut blocks = Vec::new();
    if let Some(inventory) = inventory {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for package in &inventory.packages {
            *counts.entry(&package.verdict).or_default() += 1;
        }
        let counts: Vec<String> =
            counts.iter().map(|(verdict, count)| format!("{count} {verdict}")).collect();
        blocks.push(Block::Text(format!(
            "{} packages for {}: {}. {} of them stand in the way.",
            inventory.packages.len(),
            inventory.target,
            counts.join(", "),
            inventory.failing
        )));
        let rows = inventory.packages.iter().take(PACKAGES).map(|package| {
            let fixed = package.fixed_by.as_ref().map(|by| format!("; fixed by {by}")).unwrap_or_default();
            vec![
                package.name.clone(),
                package.version.clone().unwrap_or_default(),
                package.verdict.clone(),
                format!("{}{fixed}", package.why),
            ]
        });
        blocks.extend(table(&["Package", "Version", "Verdict", ""], rows.collect()));
        let more = inventory.packages.len().saturating_sub(PACKAGES);
        if more > 0 {
            blocks.push(Block::Text(format!("And {more} more, which are no worse than these.")));
        }
    }
    Section { title: "Dependencies", blocks }
}

fn steps(steps: &[Step], status: &FreeThreadRolloutStatus) -> Section {
    let estimates = status.attempt.as_ref().map(|attempt| attempt.estimates.as_slice()).unwrap_or_default();
    let rows = steps.iter().enumerate().map(|(index, step)| {
        let pace = match step.pace() {
            Pace::Fixed(hold) => format!("held for {hold}"),
            Pace::Evidence { min, max } => format!("by evidence, {min} to {max}"),
        };
        let approval = if step.pause { ", then a person approves" } else { "" };
        let estimate = estimates.iter().find(|estimate| usize::try_from(estimate.step) == Ok(index));
        let estimate = estimate.map(|estimate| estimate.message.clone()).unwrap_or_default();
        vec![(index + 1).to_string(), format!("{} %", step.weight), format!("{pace}{approval}"), estimate]
    });
    let mut blocks: Vec<Block> =
        table(&["Step", "Weight", "Pace", "Expected before it began"], rows.collect()).into_iter().collect();
    if status.history.len() > 1 {
        blocks.push(Block::Plot(Plot {
            name: "weight",
            caption: "Wanted share of the free-threaded pool over time".into(),
            svg: plots::weight(&status.history),
        }));
    }
    Section { title: "Steps", blocks }
}

fn comparison(status: &FreeThreadRolloutStatus, evidence: Option<&str>) -> Section {
    let mut blocks = Vec::new();
    if let Some(verdict) = status.verdict.as_ref().filter(|verdict| !verdict.overall.is_empty()) {
        let evidence = match (&verdict.evidence, &verdict.bound) {
            (Some(evidence), Some(bound)) => format!(" Evidence {evidence}; it is acted on at {bound}."),
            _ => String::new(),
        };
        blocks.push(Block::Text(format!("{}: {}.{evidence}", verdict.overall, verdict.sentence)));
        let rows = verdict.metrics.iter();
        let rows = rows.map(|m| vec![m.name.clone(), m.verdict.clone(), m.sentence.clone()]);
        blocks.extend(table(&["Metric", "Verdict", ""], rows.collect()));
    }
    let baseline = status.attempt.as_ref().map(|attempt| attempt.baseline.as_slice()).unwrap_or_default();
    let rows = baseline
        .iter()
        .map(|known| vec![known.metric.clone(), known.per_second.clone(), known.bad.to_string()]);
    blocks.extend(table(&["Standard pool before the attempt", "Requests per second", "Bad"], rows.collect()));
    if let Some(svg) = evidence {
        blocks.push(Block::Plot(Plot {
            name: "evidence",
            caption: "Evidence against the free-threaded pool over time, and both pools' bad requests".into(),
            svg: svg.to_owned(),
        }));
    }
    Section { title: "Comparison", blocks }
}

fn history(status: &FreeThreadRolloutStatus) -> Section {
    let rows = status.history.iter().map(|entry| {
        vec![
            moment(entry.at.0),
            format!("{:?}", entry.phase),
            format!("{} %", entry.weight),
            entry.message.clone(),
        ]
    });
    let rows = table(&["When", "Phase", "Weight", ""], rows.collect());
    Section { title: "What happened", blocks: rows.into_iter().collect() }
}

fn logs(status: &FreeThreadRolloutStatus) -> Section {
    let blocks = status.last_logs.iter();
    let blocks = blocks.map(|log| Block::Lines { name: log.pod.clone(), lines: log.lines.clone() });
    Section { title: "Last words of its pods", blocks: blocks.collect() }
}
