//! The report: `tests/report/rolled-back.yaml` in, `.md` and `.html` out, and nothing of a stranger's that a page would take for its own.
//!
//! `UPDATE_GOLDEN=1 cargo test --test report` writes the pages anew; look at them in a browser before they are committed.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail so")]

#[path = "support/golden.rs"]
mod golden;

use std::{fs, path::PathBuf};

use freethread_rollout::{
    api::FreeThreadRollout,
    report::{Block, Document, Inventory, Sources, content, html, markdown},
};
use jiff::Timestamp;
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::json;

use golden::golden;

#[derive(Deserialize)]
struct Case {
    now: Timestamp,
    rollout: FreeThreadRollout,
}

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/report").join(name)
}

fn case() -> Case {
    serde_yaml::from_str(&fs::read_to_string(path("rolled-back.yaml")).unwrap()).unwrap()
}

fn inventory(name: &str) -> Inventory {
    let package = |name: &str, verdict: &str, why: &str| json!({"name": name, "version": "1.0", "verdict": verdict, "why": why, "fixedBy": null});
    let json = json!({"target": "CPython 3.14t on linux x86_64", "failing": 1, "packages": [
        package(name, "AbiOnly", "only an abi3 wheel"),
        package("flask", "Pure", "pure Python"),
    ]});
    serde_json::from_value(json).unwrap()
}

fn report(case: &Case, inventory: &Inventory, evidence: Option<&str>) -> Document {
    content(Sources { rollout: &case.rollout, inventory: Some(inventory), evidence, now: case.now })
}

#[test]
fn the_report_of_a_rollback() {
    let document =
        report(&case(), &inventory("protobuf"), Some("<svg xmlns=\"http://www.w3.org/2000/svg\"/>"));
    golden("report/rolled-back.html", &html(&document));
    golden(
        "report/rolled-back.md",
        &markdown(&document, |plot| Some(format!("rolled-back-{}.svg", plot.name))),
    );
    let titles: Vec<&str> = document.sections.iter().map(|section| section.title).collect();
    assert_eq!(
        titles,
        [
            "Result",
            "Before any traffic",
            "Dependencies",
            "Steps",
            "Comparison",
            "What happened",
            "Last words of its pods"
        ]
    );
}

#[test]
fn a_rollout_of_which_nothing_is_known_has_a_report_too() {
    let mut case = case();
    case.rollout.status = None;
    let document =
        content(Sources { rollout: &case.rollout, inventory: None, evidence: None, now: case.now });
    let page = html(&document);
    assert!(page.contains("Free threading of pricing: Pending"), "{page}");
}

/// Everything in a rollout that a stranger may write, written by one.
fn hostile(words: &str) -> (Case, Inventory) {
    let mut case = case();
    let status = case.rollout.status.as_mut().unwrap();
    status.message = words.into();
    status.standard.image = Some(words.into());
    for entry in &mut status.history {
        entry.message = words.into();
    }
    for log in &mut status.last_logs {
        log.pod = words.into();
        log.lines = vec![words.into(), words.into()];
    }
    let preflight = status.preflight.as_mut().unwrap();
    for known in
        [&mut preflight.inspect, &mut preflight.stress, &mut preflight.benchmark].into_iter().flatten()
    {
        known.sentence = words.into();
        known.blockers = vec![words.into(), words.into()];
        known.hints = vec![words.into()];
        known.image_id = Some(words.into());
    }
    let verdict = status.verdict.as_mut().unwrap();
    verdict.sentence = words.into();
    verdict.metrics[0].name = words.into();
    verdict.metrics[0].sentence = words.into();
    let mut inventory = inventory(words);
    inventory.target = words.into();
    inventory.packages[0].why = words.into();
    inventory.packages[0].version = Some(words.into());
    (case, inventory)
}

/// The tags that a page has, in order.
fn tags(page: &str) -> Vec<&str> {
    page.split('<').skip(1).map(|rest| rest.split(['>', ' ', '\n']).next().unwrap()).collect()
}

const NAMES: [&str; 8] = [
    "<script>alert(1)</script>",
    "</td></tr></table><img src=x onerror=alert(1)>",
    "\" onmouseover=\"alert(1)",
    "'--><style>*{display:none}</style>",
    "</pre></p><iframe src=//evil.example>",
    "![x](https://evil.example/x.png) [y](javascript:alert(1)) @everyone",
    "a | b\n\n# heading\n```\n- item",
    "&lt;script&gt; \u{202e} \u{0} \u{7f}",
];

#[test]
fn a_hostile_name_is_a_name() {
    let (plain, plain_inventory) = hostile("plain");
    for name in NAMES {
        let (case, inventory) = hostile(name);
        let document = report(&case, &inventory, Some("<svg><script>alert(1)</script></svg>"));
        let page = html(&document);
        let with_plot = report(&plain, &plain_inventory, Some("<svg/>"));
        assert_eq!(tags(&page), tags(&html(&with_plot)), "{name}: the page has another structure");
        assert!(!page.contains("onmouseover=\"alert"), "{name}: it has another attribute");
        let text = markdown(&document, |_| None);
        let plain_text = markdown(&report(&plain, &plain_inventory, Some("<svg/>")), |_| None);
        assert_eq!(text.lines().count(), plain_text.lines().count(), "{name}: the page has other lines");
        for line in text.lines().filter(|line| !line.starts_with("    ")) {
            assert!(!line.contains('<'), "{name}: {line}");
            assert!(
                !line.replace("\\]", "").contains("](") && !line.contains(" @") && !line.contains("https://"),
                "{name}: {line}"
            );
            let bars = line.matches('|').count() - line.matches("\\|").count();
            assert!(bars == 0 || line.starts_with('|'), "{name}: {line}");
        }
    }
    let harmless = html(&report(&plain, &plain_inventory, None));
    assert!(!harmless.contains("://"), "nothing is loaded from elsewhere");
}

proptest! {
    #[test]
    fn no_words_change_the_structure_of_a_page(words in "[^\r]{0,60}") {
        let (case, inventory) = hostile(&words);
        let (plain, plain_inventory) = hostile("plain");
        let (document, harmless) = (report(&case, &inventory, None), report(&plain, &plain_inventory, None));
        let (page, harmless_page) = (html(&document), html(&harmless));
        prop_assert_eq!(tags(&page), tags(&harmless_page));
        let (text, plain_text) = (markdown(&document, |_| None), markdown(&harmless, |_| None));
        prop_assert_eq!(text.lines().count(), plain_text.lines().count());
    }
}

#[test]
fn a_plot_from_outside_is_never_part_of_the_page() {
    let (case, inventory) = (case(), inventory("protobuf"));
    let document = report(&case, &inventory, Some("<svg onload=\"alert(1)\"/>"));
    assert!(
        document
            .sections
            .iter()
            .flat_map(|section| &section.blocks)
            .any(|block| { matches!(block, Block::Plot(plot) if plot.name == "evidence") })
    );
    assert!(!html(&document).contains("onload"));
}
