//! The report for people.

use std::fmt::Write as _;

use jiff::Timestamp;

use super::report::{Acted, Change, Judged, PoolReport, Report, RivalReport};
use crate::{
    api::Span,
    judge::{number, percent, ratio, setting},
};

/// All of it, each line of the beginning with one subject, and the answer last.
pub(super) fn text(report: &Report) -> String {
    let mut out = String::new();
    // Writing to a string never fails.
    let _ = head(&mut out, report);
    let _ = changes(&mut out, report);
    let _ = writeln!(out, "{}", answer(report));
    if let Some(rival) = &report.thresholds {
        let _ = writeln!(out, "{}", rivals_answer(rival, report.acted.as_ref()));
    }
    out
}

fn head(out: &mut String, report: &Report) -> std::fmt::Result {
    let intervals = number(report.intervals as f64);
    let length = span(report.interval_seconds);
    writeln!(out, "{}: {intervals} intervals of {length}, {} to {}", report.counts, report.from, report.to)?;
    pool(out, "standard pool", report.standard)?;
    pool(out, "free-threaded pool", report.free_threaded)?;
    if report.held_intervals > 0 {
        let held = number(report.held_intervals as f64);
        writeln!(out, "  intervals in which the weight changed, which are not counted: {held}")?;
    }
    let metrics: Vec<String> = report.metrics.iter().map(held_to).collect();
    writeln!(
        out,
        "judged by {}: {}; a healthy pool is rolled back in at most {} of attempts",
        report.rollout,
        metrics.join("; "),
        setting(report.false_rollback),
    )?;
    for metric in &report.metrics {
        writeln!(
            out,
            "noise of {}: {}; evidence divided by {:.2}, lasting difference between pods {:.2}",
            metric.name, metric.noise_source, metric.noise.phi, metric.noise.tau
        )?;
    }
    for note in &report.notes {
        writeln!(out, "note: {note}")?;
    }
    writeln!(out)
}

fn pool(out: &mut String, name: &str, pool: PoolReport) -> std::fmt::Result {
    if pool.pods == 0 {
        return writeln!(out, "  {name}: no pods");
    }
    let share = if pool.requests > 0.0 { pool.bad / pool.requests } else { 0.0 };
    let pods = if pool.pods == 1 { "1 pod".to_owned() } else { format!("up to {} pods", pool.pods) };
    writeln!(
        out,
        "  {name}: {pods}, {} requests, {} bad ({})",
        number(pool.requests),
        number(pool.bad),
        percent(share)
    )
}

/// `errors at most 1 %, and 0.2 % over the standard pool's`.
fn held_to(metric: &Judged) -> String {
    let objective = metric.max.map(|share| format!("at most {}", setting(share)));
    let tolerate =
        metric.tolerate.map(|share| format!("at most {} over the standard pool's", setting(share)));
    let all: Vec<String> = objective.into_iter().chain(tolerate).collect();
    format!("{} {}", metric.name, all.join(" and "))
}

fn changes(out: &mut String, report: &Report) -> std::fmt::Result {
    for (i, Change { at, verdict, sentence, .. }) in report.changes.iter().enumerate() {
        if i == report.left_out_after && report.changes_left_out > 0 {
            writeln!(out, "... {} more changes", number(report.changes_left_out as f64))?;
        }
        writeln!(out, "{at}  {:<14}  {sentence}", format!("{verdict:?}"))?;
    }
    writeln!(out)
}

fn answer(report: &Report) -> String {
    let Some(acted) = &report.acted else {
        let bound = number(report.bound);
        if report.largest.ratio <= 0.0 {
            return "would not have rolled back; there was no evidence".to_owned();
        }
        return format!(
            "would not have rolled back; evidence at most {}:1 (at {}), acts at {bound}:1",
            ratio(report.largest.ratio),
            report.largest.at,
        );
    };
    let began = if acted.excess.is_some() { "the evidence began to grow" } else { "the silence began" };
    let after = acted.after_seconds.map(|after| format!(": {} s after {began}", number(after)));
    let excess = acted.excess.map(|excess| {
        let excess = number(excess.round());
        format!(", and after {excess} bad requests beyond what the standard pool's rate predicts")
    });
    let (after, excess) = (after.unwrap_or_default(), excess.unwrap_or_default());
    let follow = report.free_threaded.bad - acted.errors;
    let follow = if follow >= 1.0 {
        format!("; {} more bad ones follow in the file", number(follow))
    } else {
        String::new()
    };
    format!("would have rolled back at {}{after}{excess}{follow}", acted.at)
}

fn rivals_answer(rival: &RivalReport, acted: Option<&Acted>) -> String {
    let rule = format!(
        "a threshold rule (success rate under {} in {}, {} times)",
        setting(rival.success_rate),
        span(rival.window_seconds),
        rival.failures
    );
    let failed = format!("{} of {} checks failed", rival.failed, rival.checks);
    let Some(at) = rival.at else {
        return format!("{rule} would not have rolled back; {failed}");
    };
    let compared = acted.map(|acted| compared(at, rival.errors, acted)).unwrap_or_default();
    format!("{rule} would have rolled back at {at}{compared}; {failed}")
}

/// `, 225 s later and 310 bad requests later`.
fn compared(at: Timestamp, errors: Option<f64>, acted: &Acted) -> String {
    let late = (at.as_millisecond() - acted.at.as_millisecond()) as f64 / 1000.0;
    let more = errors.unwrap_or_default() - acted.errors;
    if late < 0.0 {
        return format!(", {} s earlier", number(-late));
    }
    format!(", {} s and {} bad requests later", number(late), number(more))
}

fn span(seconds: f64) -> Span {
    #[allow(clippy::cast_possible_truncation, reason = "made of whole milliseconds")]
    Span::from_millis((seconds * 1000.0).round() as i64)
}
