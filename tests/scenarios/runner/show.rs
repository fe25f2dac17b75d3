//! Shows a scenario while it plays: one line for each change of the rollout, and one every few seconds with the counts.

use std::{sync::Arc, time::Duration};

use freethread_rollout::api::Phase;
use tokio::time::Instant;

use crate::{
    load::Load,
    stage::word,
    vocabulary::Pool,
    world::{View, World},
};

/// Longest silence.
const QUIET: Duration = Duration::from_secs(5);

/// Prints until it is dropped.
pub(crate) async fn live(world: Arc<World>, load: Load) {
    let start = Instant::now();
    let mut changes = world.changes();
    let mut shown = View::default();
    println!();
    println!("  time  phase        step  wanted  pods  standard            free-threaded       verdict");
    loop {
        let _ = tokio::time::timeout(QUIET, changes.changed()).await;
        // Bursts of changes become one line.
        tokio::time::sleep(Duration::from_millis(150)).await;
        changes.mark_unchanged();
        let view = world.now().view();
        if !view.rollout {
            continue;
        }
        line(start, &view, &load).await;
        if view.message != shown.message && !view.message.is_empty() {
            println!("        {}: {}", word(view.reason), view.message);
        }
        let same = same_for_people(&view, &shown);
        shown = view;
        if same {
            // Only the evidence moved: no need to print it at every scrape.
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
    }
}

fn same_for_people(a: &View, b: &View) -> bool {
    let key = |v: &View| {
        (v.phase, v.reason, v.step_label.clone(), v.wanted, v.standard_ready, v.free_threaded_ready)
    };
    key(a) == key(b)
}

async fn line(start: Instant, view: &View, load: &Load) {
    let seconds = start.elapsed().as_secs();
    let counts = load.counts().await.ok();
    let answers = |pool: Pool| {
        let tally = counts.as_ref().map(|counts| counts.total.pool(pool)).unwrap_or_default();
        format!("{} ({} bad)", tally.answered, tally.failed)
    };
    let verdict = match (&view.verdict, &view.evidence) {
        (Some(verdict), Some(evidence)) => format!("{verdict}, evidence {evidence}"),
        (Some(verdict), None) => verdict.clone(),
        _ => "-".into(),
    };
    println!(
        " {:>2}:{:02}  {:<11}  {:<4}  {:>4} %  {:<4}  {:<18}  {:<18}  {verdict}",
        seconds / 60,
        seconds % 60,
        phase(view.phase),
        view.step_label.as_deref().unwrap_or("-"),
        view.wanted,
        format!("{}+{}", view.standard_ready, view.free_threaded_ready),
        answers(Pool::Standard),
        answers(Pool::FreeThreaded),
    );
}

fn phase(phase: Phase) -> String {
    format!("{phase:?}")
}
