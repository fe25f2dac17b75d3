//! The view as text. Pure.

use std::fmt::Write as _;

use super::{PodView, PoolView, StepState, StepView, View, human};
use crate::{
    api::{BaselineStatus, Percent, Phase, PreflightStatus, WeightStatus},
    judge::duration,
};

/// Most ready pods of a pool that are listed; those with trouble are all listed.
const READY_PODS: usize = 10;

/// With or without colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Text alone.
    Plain,
    /// With ANSI colours.
    Colour,
}

#[derive(Clone, Copy)]
enum Paint {
    Bold,
    Dim,
    Good,
    Bad,
    Busy,
}

impl Style {
    fn paint(self, paint: Paint, text: &str) -> String {
        let code = match paint {
            Paint::Bold => "1",
            Paint::Dim => "2",
            Paint::Good => "32",
            Paint::Bad => "31",
            Paint::Busy => "33",
        };
        match self {
            Self::Plain => text.to_owned(),
            Self::Colour => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
        }
    }
}

/// The whole screen.
pub fn render(view: &View, style: Style) -> String {
    let mut out = String::new();
    head(&mut out, view, style);
    section(&mut out, style, "Traffic", &[shares(&view.weight)]);
    out.push('\n');
    for pool in &view.pools {
        pool_tree(&mut out, pool, style);
    }
    let steps: Vec<String> = view.steps.iter().map(|s| step(s, style)).collect();
    section(&mut out, style, "Steps", &steps);
    if let Some(verdict) = &view.verdict {
        let mut lines = vec![format!(
            "{}  {}",
            style.paint(verdict_paint(&verdict.overall), &verdict.overall),
            clean(&verdict.sentence)
        )];
        if let Some(evidence) = &verdict.evidence {
            let bound =
                verdict.bound.as_ref().map(|b| format!(", acted on at {}", clean(b))).unwrap_or_default();
            lines.push(format!("evidence against it {}{bound}", clean(evidence)));
        }
        for metric in &verdict.metrics {
            let word = style.paint(verdict_paint(&metric.verdict), &metric.verdict);
            lines.push(format!("{}  {word}  {}", clean(&metric.name), clean(&metric.sentence)));
        }
        lines.extend(view.benefit.as_ref().map(|known| {
            let word = format!("{:?}", known.outcome);
            format!("benefit  {}  {}", style.paint(verdict_paint(&word), &word), clean(&known.sentence))
        }));
        let known =
            view.baseline.iter().flat_map(|known| [Some(baseline(known)), compared(known), buckets(known)]);
        lines.extend(known.flatten().map(|line| style.paint(Paint::Dim, &clean(&line))));
        section(&mut out, style, "Comparison", &lines);
    }
    if let Some(known) = &view.preflight {
        section(&mut out, style, "Image", &preflight(known, style));
    }
    let history: Vec<String> = view
        .history
        .iter()
        .map(|h| {
            format!(
                "{:>6} ago  {} {:?}, {} %  {}",
                human(h.ago),
                phase(h.phase, style),
                h.reason,
                h.weight,
                clean(&h.message)
            )
        })
        .collect();
    section(&mut out, style, "History", &history);
    let next = view.next.as_ref().map(|next| match next.until {
        Some(until) if until.millis() < 1000 => format!("now: {}", clean(&next.what)),
        Some(until) => format!("in {}: {}", style.paint(Paint::Bold, &human(until)), clean(&next.what)),
        None => clean(&next.what),
    });
    let hint = view
        .hint
        .as_ref()
        .map(|command| format!("you may say: {}", style.paint(Paint::Bold, &clean(command))));
    section(&mut out, style, "Next", &next.into_iter().chain(hint).collect::<Vec<_>>());
    out
}

/// What evidence is discounted by.
fn baseline(known: &BaselineStatus) -> String {
    format!(
        "{} before: {}/s, {} bad; evidence divided by {}, pods that differ by {} allowed for; {}",
        known.metric, known.per_second, known.bad, known.divided_by, known.pods_differ_by, known.source
    )
}

/// The boundaries of a histogram at which the pools are compared beside the threshold's.
fn compared(known: &BaselineStatus) -> Option<String> {
    let at = known.boundaries.iter().map(|at| {
        let over = at.over.parse().map_or_else(|_| at.over.clone(), duration);
        format!("{over} ({} slower before)", at.slower)
    });
    let at: Vec<String> = at.collect();
    (!at.is_empty()).then(|| format!("{} compared too at {}", known.metric, at.join(", ")))
}

/// What the histogram cannot tell apart.
fn buckets(known: &BaselineStatus) -> Option<String> {
    known.resolution.as_ref().map(|resolution| format!("{} buckets: {resolution}", known.metric))
}

/// One line, for logs.
pub fn line(view: &View) -> String {
    let name = format!("{}/{}", clean(&view.namespace), clean(&view.name));
    format!("{name}  {:?} {:?}  {}  {}", view.phase, view.reason, shares(&view.weight), clean(&view.message))
}

fn head(out: &mut String, view: &View, style: Style) {
    let attempt = view.attempt.map(|n| format!("  attempt {n}")).unwrap_or_default();
    let name = style.paint(Paint::Bold, &clean(&view.name));
    put(
        out,
        &format!(
            "{name}  {}",
            style.paint(Paint::Dim, &format!("namespace {}{attempt}", clean(&view.namespace)))
        ),
    );
    put(out, &format!("{}  {:?}", phase(view.phase, style), view.reason));
    if !view.message.is_empty() {
        put(out, &clean(&view.message));
    }
    for note in &view.notes {
        put(out, &format!("{} {}", style.paint(Paint::Busy, "!"), clean(note)));
    }
}

fn shares(weight: &WeightStatus) -> String {
    let mut text = format!("{} % wanted", weight.wanted);
    for (share, what) in
        [(weight.reachable, "reachable"), (weight.serving, "serving"), (weight.observed, "observed")]
    {
        match share {
            Some(share) => _ = write!(text, ", {} {what}", percent(share)),
            None if what == "observed" => text.push_str(", none observed"),
            None => {}
        }
    }
    text
}

/// Whole percents, or one decimal where there is one.
fn percent(share: Percent) -> String {
    let text = format!("{:.1}", share.percent());
    format!("{} %", text.strip_suffix(".0").unwrap_or(&text))
}

fn pool_tree(out: &mut String, pool: &PoolView, style: Style) {
    let paint = if pool.ready >= pool.replicas { Paint::Good } else { Paint::Bad };
    let count = style.paint(
        if pool.replicas == 0 { Paint::Dim } else { paint },
        &format!("{}/{} ready", pool.ready, pool.replicas),
    );
    let image =
        pool.image.as_ref().map(|i| style.paint(Paint::Dim, &format!("  {}", clean(i)))).unwrap_or_default();
    put(
        out,
        &format!(
            "{}  {}  {count}{image}",
            style.paint(Paint::Bold, &format!("{:<13}", pool.kind)),
            clean(&pool.name)
        ),
    );
    let mut lines: Vec<String> =
        pool.note.iter().map(|n| format!("{} {}", style.paint(Paint::Busy, "!"), clean(n))).collect();
    let width = pool.pods.iter().map(|p| clean(&p.name).chars().count()).max().unwrap_or_default();
    let ready = pool.pods.iter().filter(|p| p.ready).count();
    let shown =
        pool.pods.iter().filter(|p| !p.ready).chain(pool.pods.iter().filter(|p| p.ready).take(READY_PODS));
    lines.extend(shown.map(|p| pod(p, width, style)));
    if ready > READY_PODS {
        lines.push(style.paint(Paint::Dim, &format!("and {} more that are ready", ready - READY_PODS)));
    }
    branches(out, &lines);
}

fn pod(pod: &PodView, width: usize, style: Style) -> String {
    let (paint, sign, word) = match pod {
        PodView { going: true, .. } => (Paint::Dim, "↓", "going"),
        PodView { ready: true, .. } => (Paint::Good, "✔", "ready"),
        PodView { trouble: Some(_), .. } => (Paint::Bad, "✖", "not ready"),
        _ => (Paint::Busy, "…", "starting"),
    };
    let name = clean(&pod.name);
    let mut text = format!("{} {name:<width$}  {word:<9}  {:>6}", style.paint(paint, sign), human(pod.age));
    if pod.restarts > 0 {
        let times =
            if pod.restarts == 1 { "1 restart".to_owned() } else { format!("{} restarts", pod.restarts) };
        _ = write!(text, "  {}", style.paint(Paint::Bad, &times));
    }
    if let Some(exit) = &pod.last_exit {
        _ = write!(text, "  last end: {}", clean(exit));
    }
    if let Some(trouble) = pod.trouble.as_ref().filter(|_| !pod.going) {
        _ = write!(text, "  {}", style.paint(Paint::Bad, &clean(trouble)));
    }
    text
}

fn step(step: &StepView, style: Style) -> String {
    let (paint, sign) = match step.state {
        StepState::Done => (Paint::Good, "✔"),
        StepState::Current => (Paint::Busy, "●"),
        StepState::Ended => (Paint::Bad, "✖"),
        StepState::Ahead => (Paint::Dim, "○"),
    };
    let mut text =
        format!("{} {}  {:>3} %  {}", style.paint(paint, sign), step.number, step.weight, pace(step));
    if step.pause {
        text.push_str(if step.approved { ", approved" } else { ", then approval" });
    }
    if let Some(estimate) = &step.estimate {
        _ = write!(text, "  {}", style.paint(Paint::Dim, &format!("evidence: {}", clean(estimate))));
    }
    let time = match (step.current_for, step.held_for) {
        (_, Some(held)) => format!("held for {}", human(held)),
        (Some(current), None) => format!("not reached yet, for {}", human(current)),
        _ => return text,
    };
    _ = write!(text, "  {}", style.paint(Paint::Bold, &time));
    text
}

/// Times as they were written: `10m`, `1h30m`.
fn pace(step: &StepView) -> String {
    match (step.hold, step.min_hold, step.max_hold) {
        (Some(hold), ..) => format!("hold {hold}"),
        (None, Some(min), Some(max)) => format!("by evidence, {min} to {max}"),
        _ => "by evidence".to_owned(),
    }
}

fn phase(phase: Phase, style: Style) -> String {
    let paint = match phase {
        Phase::Promoted | Phase::Hybrid => Paint::Good,
        Phase::RolledBack | Phase::Failed => Paint::Bad,
        Phase::Preflight | Phase::Paused | Phase::Progressing | Phase::NoBenefit => Paint::Busy,
        Phase::Pending => Paint::Dim,
    };
    style.paint(paint, &format!("{phase:?}"))
}

/// What each check said, then everything that stands against the image, and what is worth knowing.
fn preflight(known: &PreflightStatus, style: Style) -> Vec<String> {
    let mut lines = Vec::new();
    for (check, known) in known.known() {
        let word = format!("{:?}", known.verdict);
        let painted = style.paint(verdict_paint(&word), &word);
        lines.push(format!("{:<9}  {painted}  {}", check.name(), clean(&known.sentence)));
        lines.extend(known.blockers.iter().skip(1).map(|line| clean(line)));
        lines.extend(known.hints.iter().map(|line| style.paint(Paint::Dim, &clean(line))));
    }
    lines
}

fn verdict_paint(word: &str) -> Paint {
    match word {
        "Clear" | "Safe" | "Benefit" | "Passed" => Paint::Good,
        "Breach" | "HardSignal" | "Blocked" => Paint::Bad,
        _ => Paint::Busy,
    }
}

fn section(out: &mut String, style: Style, title: &str, lines: &[String]) {
    if lines.is_empty() {
        return;
    }
    out.push('\n');
    put(out, &style.paint(Paint::Bold, title));
    branches(out, lines);
}

fn branches(out: &mut String, lines: &[String]) {
    for (index, line) in lines.iter().enumerate() {
        let branch = if index + 1 == lines.len() { "└─" } else { "├─" };
        put(out, &format!("{branch} {line}"));
    }
}

fn put(out: &mut String, line: &str) {
    out.push_str(line.trim_end());
    out.push('\n');
}

/// Texts come from the cluster: nothing in them may steer the terminal.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
