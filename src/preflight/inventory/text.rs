//! The report for people: what needs a decision on a line of its own, what does not in two lines at the end.

use std::fmt::Write as _;

use super::{
    judging::NO_NAMES,
    problem::clipped,
    report::{Entry, Report},
    verdict::Verdict,
};

/// Widest column of names and of versions.
const WIDEST: usize = 40;

/// All of it; with every package on its own line if asked.
pub(super) fn text(report: &Report, all: bool) -> String {
    let mut out = String::new();
    // Writing to a string never fails.
    let _ = head(&mut out, report);
    let _ = table(&mut out, report, all);
    if !all {
        let _ = short(&mut out, report, Verdict::Ready);
        let _ = short(&mut out, report, Verdict::Pure);
        let _ = unnamed(&mut out, report);
    }
    let _ = writeln!(out, "{}", answer(report));
    out
}

fn head(out: &mut String, report: &Report) -> std::fmt::Result {
    for file in &report.files {
        let packages = counted(file.packages, "package");
        writeln!(out, "{} ({}): {packages} for {}", clipped(&file.file), file.format, report.target)?;
    }
    if let Some(index) = &report.index {
        writeln!(out, "index: {index}")?;
    }
    for note in &report.notes {
        writeln!(out, "note: {note}")?;
    }
    writeln!(out)
}

fn own_line(entry: &Entry, all: bool) -> bool {
    all || entry.yanked.is_some()
        || !(matches!(entry.verdict, Verdict::Ready | Verdict::Pure) || entry.why == NO_NAMES)
}

/// What is wrong with each of them is wrong with the file: it is said once.
fn unnamed(out: &mut String, report: &Report) -> std::fmt::Result {
    let names: Vec<String> =
        report.packages.iter().filter(|entry| entry.why == NO_NAMES).map(named).collect();
    if names.is_empty() {
        return Ok(());
    }
    writeln!(out, "Unknown ({}), {NO_NAMES}: {}", names.len(), names.join(", "))
}

fn named(entry: &Entry) -> String {
    clipped(&format!("{} {}", entry.name, entry.version.as_deref().unwrap_or("-")))
}

fn table(out: &mut String, report: &Report, all: bool) -> std::fmt::Result {
    let rows: Vec<&Entry> = report.packages.iter().filter(|entry| own_line(entry, all)).collect();
    if rows.is_empty() {
        return Ok(());
    }
    let version = |entry: &Entry| clipped(entry.version.as_deref().unwrap_or("-"));
    let width = |of: &dyn Fn(&Entry) -> String| {
        rows.iter().map(|entry| of(entry).chars().count()).max().unwrap_or_default().min(WIDEST)
    };
    let names = width(&|entry| clipped(&entry.name));
    let versions = width(&|entry| version(entry));
    for entry in &rows {
        let (name, version, verdict) = (clipped(&entry.name), version(entry), entry.verdict.name());
        write!(out, "{name:<names$}  {version:<versions$}  {verdict:<12}  {}", entry.why)?;
        if let Some(yanked) = &entry.yanked {
            let reason = if yanked.is_empty() { "without a reason".to_owned() } else { clipped(yanked) };
            write!(out, "; yanked from the index: {reason}")?;
        }
        if entry.allowed {
            write!(out, " (allowed)")?;
        }
        writeln!(out)?;
        let place = entry.line.map(|line| format!("{}:{line}", clipped(&entry.file)));
        let via = entry.via.as_ref().map(|via| format!("wanted by {via}"));
        let more: Vec<String> = place.into_iter().chain(via).collect();
        if entry.fails && !more.is_empty() {
            writeln!(out, "{:names$}  {}", "", more.join(", "))?;
        }
    }
    writeln!(out)
}

/// `Ready (3): numpy 2.4.0, ...`
fn short(out: &mut String, report: &Report, verdict: Verdict) -> std::fmt::Result {
    let of = report.packages.iter().filter(|entry| entry.verdict == verdict && entry.yanked.is_none());
    let names: Vec<String> = of.map(named).collect();
    if names.is_empty() {
        return Ok(());
    }
    writeln!(out, "{} ({}): {}", verdict.name(), names.len(), names.join(", "))
}

fn answer(report: &Report) -> String {
    let counts: Vec<String> = Verdict::ALL
        .iter()
        .filter_map(|verdict| {
            report.counts.get(verdict.name()).map(|count| format!("{count} {}", verdict.name()))
        })
        .collect();
    let all = counted(report.packages.len(), "package");
    let counts = if counts.is_empty() { all } else { format!("{all}: {}", counts.join(", ")) };
    if report.passes() {
        return format!("{counts}; nothing stands in the way of {}", report.target);
    }
    let failing: Vec<String> = report
        .packages
        .iter()
        .filter(|entry| entry.fails)
        .take(10)
        .map(|entry| clipped(&entry.name))
        .collect();
    let more = report.failing.saturating_sub(failing.len());
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    let stand = if report.failing == 1 { "stands" } else { "stand" };
    format!(
        "{counts}; {} {stand} in the way of {}: {}{more}",
        report.failing,
        report.target,
        failing.join(", ")
    )
}

fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}
