//! What `kubectl freethread status` shows, phase by phase: `tests/cli_status/NAME.yaml` in, `NAME.txt` out.
//!
//! `UPDATE_GOLDEN=1 cargo test --test cli_status` writes the screens anew; read the difference before it is committed.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are tests

#[path = "support/golden.rs"]
mod golden;

use std::{fs, path::PathBuf};

use freethread_rollout::{
    api::FreeThreadRollout,
    cli::{Style, View, line, render, view},
    observe::Pod,
};
use jiff::Timestamp;
use serde::Deserialize;

use golden::golden;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Case {
    now: Timestamp,
    rollout: FreeThreadRollout,
    #[serde(default)]
    standard: Vec<Pod>,
    #[serde(default)]
    free_threaded: Vec<Pod>,
}

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/cli_status").join(name)
}

fn seen(name: &str) -> View {
    let text = fs::read_to_string(path(&format!("{name}.yaml"))).unwrap_or_else(|e| panic!("{name}: {e}"));
    let case: Case = serde_yaml::from_str(&text).unwrap_or_else(|e| panic!("{name}: {e}"));
    view(&case.rollout, &case.standard, &case.free_threaded, case.now)
}

#[test]
fn screens() {
    for name in [
        "new",
        "preflight",
        "progressing",
        "approval",
        "rolled-back",
        "hybrid",
        "no-benefit",
        "failed",
        "deleting",
    ] {
        golden(&format!("cli_status/{name}.txt"), &render(&seen(name), Style::Plain));
    }
}

#[test]
fn json() {
    golden(
        "cli_status/progressing.json",
        &(serde_json::to_string_pretty(&seen("progressing")).unwrap() + "\n"),
    );
}

#[test]
fn colours_change_no_text() {
    for name in ["progressing", "rolled-back"] {
        let coloured = render(&seen(name), Style::Colour);
        assert!(coloured.contains("\u{1b}[1m"));
        let mut plain = String::new();
        for (index, part) in coloured.split("\u{1b}[").enumerate() {
            plain.push_str(if index == 0 { part } else { part.split_once('m').unwrap().1 });
        }
        let squeezed = |text: &str| text.lines().map(|l| l.trim_end().to_owned()).collect::<Vec<_>>();
        assert_eq!(squeezed(&plain), squeezed(&render(&seen(name), Style::Plain)));
    }
}

#[test]
fn one_line_for_logs() {
    assert_eq!(
        line(&seen("rolled-back")),
        "shop/thumbnails  RolledBack ErrorRate  0 % wanted, 0 % reachable, 0 % serving, none observed  \
         free-threaded 61 of 300 requests failed (20.3 %), standard 1 of 900 (0.1 %): evidence 3100:1, bound 200:1"
    );
}

#[test]
fn nothing_in_a_text_steers_the_terminal() {
    let mut view = seen("progressing");
    view.message = "a\u{1b}[2Jb\nc\u{7}".to_owned();
    view.pools[1].pods[0].trouble = Some("\u{9b}31m".to_owned());
    assert!(render(&view, Style::Plain).chars().all(|c| c == '\n' || !c.is_control()));
    assert!(!line(&view).contains(char::is_control));
}

#[test]
fn many_ready_pods_are_counted_and_those_with_trouble_are_shown() {
    let mut view = seen("progressing");
    let ready = view.pools[0].pods.iter().find(|p| p.ready).unwrap().clone();
    let broken = freethread_rollout::cli::PodView {
        name: "broken".into(),
        ready: false,
        trouble: Some("Error: no".into()),
        ..ready.clone()
    };
    view.pools[0].pods = (0..40)
        .map(|i| freethread_rollout::cli::PodView { name: format!("pod-{i:02}"), ..ready.clone() })
        .collect();
    view.pools[0].pods.push(broken);
    let text = render(&view, Style::Plain);
    assert!(text.contains("and 30 more that are ready") && text.contains("broken"), "{text}");
    assert!(!text.contains("pod-10"), "{text}");
}
