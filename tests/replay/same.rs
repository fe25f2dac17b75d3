//! The same counts in other words come to the same end.

use std::collections::BTreeMap;

use super::{
    example::EXAMPLE,
    world::{ERRORS, Row, STEP, World, csv, json_lines, judged, rollout},
};

const BOTH: &str = "errorRate: {max: 1%}, latency: {threshold: 300ms, max: 5%}";

/// As counters that are scraped when each interval begins, and once more at the end.
fn counters(rows: &[Row]) -> Vec<Row> {
    let mut totals: BTreeMap<String, Row> = BTreeMap::new();
    let mut out = Vec::new();
    let end = rows.last().unwrap().at + STEP;
    for row in rows {
        let zero = Row { requests: 1000, errors: 10, fast: 900, ..row.clone() };
        let total = totals.entry(row.pod.clone()).or_insert(zero);
        // The weight of an interval is read when it has ended.
        out.push(Row { at: row.at, weight: total.weight, ..total.clone() });
        total.requests += row.requests;
        total.errors += row.errors;
        total.fast += row.fast;
        total.weight = row.weight;
    }
    out.extend(totals.into_values().map(|total| Row { at: end, ..total }));
    out
}

#[test]
fn csv_and_json_lines() {
    let (rows, yaml) = (EXAMPLE.rows(), rollout(BOTH));
    let one = judged(csv(&rows).as_bytes(), &yaml, "--against thresholds").unwrap();
    let two = judged(json_lines(&rows).as_bytes(), &yaml, "--against thresholds").unwrap();
    assert_eq!(one.report, two.report);
    assert_eq!(one.svg(), two.svg());
}

#[test]
fn counters_and_increments() {
    for yaml in [ERRORS.to_owned(), rollout(BOTH)] {
        let rows = EXAMPLE.rows();
        let one = judged(csv(&rows).as_bytes(), &yaml, "--against thresholds").unwrap().report;
        let two = judged(csv(&counters(&rows)).as_bytes(), &yaml, "--against thresholds --cumulative")
            .unwrap()
            .report;
        assert_eq!(one.acted, two.acted);
        assert_eq!(one.thresholds, two.thresholds);
        assert_eq!(one.largest, two.largest);
        assert_eq!((one.intervals, one.held_intervals), (two.intervals, two.held_intervals));
        assert_eq!((one.standard, one.free_threaded), (two.standard, two.free_threaded));
    }
}

#[test]
fn a_counter_that_falls_has_started_over() {
    let mut rows = counters(&World { bad: |_, _| 0.001, ..EXAMPLE }.rows());
    let whole = judged(csv(&rows).as_bytes(), ERRORS, "--cumulative").unwrap().report;
    let at = rows[rows.len() / 2].at;
    let pod = "thumbnails-3";
    let before = rows.iter().rfind(|row| row.pod == pod && row.at < at).unwrap().clone();
    for row in rows.iter_mut().filter(|row| row.pod == pod && row.at >= at) {
        row.requests -= before.requests;
        row.errors -= before.errors;
        row.fast -= before.fast;
    }
    let reset = judged(csv(&rows).as_bytes(), ERRORS, "--cumulative").unwrap().report;
    assert_eq!(whole.standard, reset.standard);
    assert_eq!(whole.changes, reset.changes);
}

#[test]
fn rows_at_times_of_their_own_are_taken_together() {
    let mut rows = EXAMPLE.rows();
    let whole = judged(csv(&rows).as_bytes(), ERRORS, "").unwrap().report;
    // Each pod a second after the one before.
    let pods: BTreeMap<String, usize> =
        rows.iter().take(12).enumerate().map(|(i, row)| (row.pod.clone(), i)).collect();
    for row in &mut rows {
        row.at += pods[&row.pod] as i64;
    }
    let apart = judged(csv(&rows).as_bytes(), ERRORS, "").unwrap().report;
    assert_eq!(whole.acted, apart.acted);
    assert_eq!(whole.changes, apart.changes);
    assert!(apart.notes[0].contains("taken together in intervals of 15s"), "{:?}", apart.notes);
}

#[test]
fn short_intervals_add_up() {
    let rows = EXAMPLE.rows();
    let report = judged(csv(&rows).as_bytes(), ERRORS, "--interval 1m").unwrap().report;
    assert_eq!((report.intervals, report.interval_seconds), (40, 60.0));
    assert_eq!(
        report.free_threaded.requests,
        rows.iter().filter(|row| row.pool != "standard").map(|row| f64::from(row.requests)).sum::<f64>()
    );
    assert!(report.acted.is_some());
}

#[test]
fn history_is_learnt_from_and_not_judged() {
    let world =
        World { intervals: 240, bad: |i, ours| if ours && i >= 200 { 0.02 } else { 0.002 }, ..EXAMPLE };
    let counts = csv(&world.rows());
    let until = "--history-until 2026-11-02T09:30:00Z";
    let report = judged(counts.as_bytes(), ERRORS, until).unwrap().report;
    assert!(report.metrics[0].noise_source.starts_with("learnt from 30 min, "), "{:?}", report.metrics);
    assert_eq!((report.from.to_string().as_str(), report.intervals), ("2026-11-02T09:30:00Z", 120));
    assert!(report.metrics[0].noise.phi >= 1.2 && report.metrics[0].noise.tau < 0.25, "{:?}", report.metrics);
    assert!(report.acted.is_some());
    // The same with the history in a file of its own.
    let lines: Vec<&str> = counts.lines().collect();
    let (before, after) = lines[1..].split_at(120 * 12);
    let file = |lines: &[&str]| format!("{}\n{}\n", counts.lines().next().unwrap(), lines.join("\n"));
    let args = super::world::args("--history history.csv");
    let two = freethread_rollout::replay::replay(
        &args,
        ERRORS,
        file(after).as_bytes(),
        Some(file(before).as_bytes()),
    );
    assert_eq!(two.unwrap().report, report);
}
