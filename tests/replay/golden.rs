//! What users see, word for word.

use std::{fs, path::Path};

use freethread_rollout::replay::{Replayed, replay};

use super::{
    example::{EXAMPLE, golden},
    world::{ERRORS, START, World, args, csv, judged, text},
};

/// The command that the documentation shows.
fn example() -> Replayed {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut args = args("--against thresholds --plot docs/replay.svg");
    args.counts = Some("examples/replay/regression.csv".into());
    let counts = fs::read(root.join("examples/replay/regression.csv")).unwrap();
    replay(&args, ERRORS, &counts[..], None::<&[u8]>).unwrap()
}

#[test]
fn the_example_in_text_json_and_svg() {
    let replayed = example();
    golden("tests/replay/regression.txt", &replayed.text());
    let json = serde_json::to_string_pretty(&replayed.report).unwrap() + "\n";
    golden("tests/replay/regression.json", &json);
    golden("docs/replay.svg", &replayed.svg());
}

#[test]
fn what_the_documentation_shows_is_what_it_prints() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let told = example().text();
    let manual = fs::read_to_string(root.join("docs/replay.md")).unwrap();
    assert!(manual.contains(&told), "docs/replay.md does not show this:\n{told}");
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    let section = readme.split("## Try the judge on your own data").nth(1).unwrap();
    let shown = section.split("```").nth(1).unwrap();
    for line in shown.lines().skip(2).filter(|line| *line != "...") {
        assert!(
            told.lines().any(|told| told == line),
            "README.md shows another line than is printed: {line}"
        );
    }
}

#[test]
fn a_hung_pool_is_silent_where_the_weight_is_told() {
    let mut rows = World { bad: |_, _| 0.001, ..EXAMPLE }.rows();
    for row in rows.iter_mut().filter(|row| row.pool != "standard" && row.at >= START + 900) {
        (row.requests, row.errors, row.fast) = (0, 0, 0);
    }
    let answer = text(&csv(&rows), ERRORS, "");
    assert!(
        answer.contains("2026-11-02T09:15:15Z  HardSignal      the free-threaded pool completed "),
        "{answer}"
    );
    assert!(
        answer.contains("would have rolled back at 2026-11-02T09:15:15Z: 15 s after the silence began\n"),
        "{answer}"
    );
}

#[test]
fn a_healthy_pool_is_left_alone() {
    let healthy = World { bad: |_, _| 0.001, ..EXAMPLE };
    let answer = text(&csv(&healthy.rows()), ERRORS, "--against thresholds");
    let last: Vec<&str> = answer.lines().rev().take(2).collect();
    assert!(last[1].starts_with("would not have rolled back; evidence at most "), "{answer}");
    assert!(last[0].ends_with("would not have rolled back; 0 of 40 checks failed"), "{answer}");
}

#[test]
fn thresholds_act_where_the_rate_is_high_enough() {
    let broken = World { bad: |i, ours| if ours && i >= 100 { 0.05 } else { 0.001 }, ..EXAMPLE };
    let report = judged(csv(&broken.rows()).as_bytes(), ERRORS, "--against thresholds").unwrap().report;
    let (acted, rival) = (report.acted.unwrap(), report.thresholds.unwrap());
    // Five windows of a minute from 09:25 on.
    assert_eq!(rival.at.unwrap().to_string(), "2026-11-02T09:30:00Z");
    assert_eq!((rival.failed, rival.failures), (5, 5));
    assert!(acted.at.to_string().as_str() <= "2026-11-02T09:26:00Z", "{acted:?}");
    assert!(rival.errors.unwrap() > acted.errors);
    // A stricter one is sooner, a laxer one never there.
    let at = |more: &str| {
        let more = format!("--against thresholds {more}");
        judged(csv(&broken.rows()).as_bytes(), ERRORS, &more).unwrap().report.thresholds.unwrap().at
    };
    assert_eq!(at("--failures 1 --window 30s").unwrap().to_string(), "2026-11-02T09:25:30Z");
    assert_eq!(at("--success-rate 90%"), None);
}

#[test]
fn both_pools_failing_together_blame_nobody() {
    let both = World { bad: |i, _| if i >= 100 { 0.05 } else { 0.001 }, ..EXAMPLE };
    let report = judged(csv(&both.rows()).as_bytes(), ERRORS, "--against thresholds").unwrap().report;
    assert_eq!(report.acted, None);
    assert!(
        report.changes.iter().any(|change| format!("{:?}", change.verdict) == "SharedIncident"),
        "{report:?}"
    );
    assert!(report.thresholds.unwrap().at.is_some(), "the rule knows nothing of the other pool");
}

#[test]
fn silence_of_one_pool_is_unknown_and_then_acted_on() {
    let mut rows = World { bad: |_, _| 0.001, ..EXAMPLE }.rows();
    rows.retain(|row| row.pool == "standard" || row.at < START + 900);
    let report = judged(csv(&rows).as_bytes(), ERRORS, "").unwrap().report;
    let acted = report.acted.unwrap();
    assert!(acted.sentence.starts_with("no data of the free-threaded pool since "), "{acted:?}");
    assert!(acted.after_seconds.unwrap() >= 600.0);
}
