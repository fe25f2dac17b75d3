//! One repetition of each case: break it, and follow the way back.

use std::{path::Path, time::Duration};

use freethread_rollout::api::Phase;
use jiff::Timestamp;
use serde_json::json;
use tokio::time::Instant;

use super::{
    audit::{self, Audit},
    ground::{FREE_THREADED, Ground},
    prometheus,
    rollback::Case,
    signs::Signs,
    way::{Place, Way, seconds},
};
use crate::{
    Result,
    vocabulary::{Forbidden, Pool},
    world::State,
};

/// What one repetition showed.
pub(super) struct Run {
    /// The way back; nothing where there is none.
    pub(super) way: Option<Way>,
    /// The rest, in words.
    pub(super) words: String,
}

/// A breach: when it began, by both clocks, and the audit log from then on.
struct Breach {
    since: Instant,
    at: Timestamp,
    audit: Option<Audit>,
}

impl Breach {
    fn now(audit: Option<&Path>) -> Result<Self> {
        let audit = audit.map(Audit::from_now).transpose()?;
        Ok(Self { since: Instant::now(), at: Timestamp::now(), audit })
    }

    /// Waits until the traffic is back, and says how it went from the verdict on.
    async fn way_back(&self, ground: &mut Ground) -> Result<Way> {
        let seen = ground.became(self.since, "weight 0", |view| view.pool == Some(0)).await?;
        let gone =
            ground.became(self.since, "the end of the traffic", |view| view.free_threaded_ready == 0).await?;
        ground.became(self.since, "the rollback's status", |view| view.phase == Phase::RolledBack).await?;
        // Connections that are under way end with their pods: only then everything is counted.
        ground.play(json!({"expect-endpoints": {"free-threaded-listed": 0, "within": "90s"}})).await?;
        let history = ground.status().history;
        let entry =
            history.iter().rev().find(|entry| entry.phase == Phase::RolledBack && entry.at.0 >= self.at);
        let entries = self.audit.as_ref().map(Audit::read).transpose()?.unwrap_or_default();
        Ok(Way::default()
            .reached(Place::Verdict, entry.map(|entry| entry.at.0))
            .reached(Place::Written, audit::weight_written(&entries, &ground.stage.namespace, self.at))
            .reached(Place::Seen, Some(seen))
            .reached(Place::Gone, Some(gone)))
    }
}

/// Errors of `percent` in the free-threaded pool; with a standard pool that is short of a pod, or an operator that is killed, as the case is.
pub(super) async fn errors(
    ground: &mut Ground,
    case: Case,
    percent: u32,
    audit: Option<&Path>,
) -> Result<Run> {
    if case == Case::Short {
        ground.play(json!({"fault": {"pool": "standard", "pods": 1, "set": {"ready": false}}})).await?;
        ground
            .play(json!({"expect-endpoints": {"standard": super::ground::STANDARD - 1, "within": "30s"}}))
            .await?;
    }
    let breach = Breach::now(audit)?;
    let set = json!({"errors": f64::from(percent) / 100.0});
    ground.play(json!({"fault": {"pool": "free-threaded", "set": set}})).await?;
    // Not as a step: it would begin to count anew.
    let killed = if case == Case::Killed { Some(ground.stage.kill_leader().await?) } else { None };
    let way = breach.way_back(ground).await?;
    let ours = ground.stage.load.counts().await?.window.pool(Pool::FreeThreaded);
    let sign = ours.first_bad_unix_ms.and_then(|at| Timestamp::from_millisecond(at).ok());
    let sign = sign.ok_or("the free-threaded pool was told to fail, and failed nothing")?;
    let failures = prometheus::failures(&ground.stage.cluster, &ground.stage.namespace, breach.at).await?;
    let news = prometheus::news(&failures, breach.at);
    // The last scrape that can have been looked at; where there is none, the verdict was reached without Prometheus.
    let evidence =
        way.at(Place::Verdict).and_then(|verdict| news.iter().rev().find(|at| **at <= verdict).copied());
    let mut words = format!("{} bad of {} answers: {}", ours.failed, ours.answered, ground.status().message);
    if let Some(killed) = killed {
        words = format!("{killed}; {words}");
    }
    let last = ours.last_unix_ms.and_then(|at| Timestamp::from_millisecond(at).ok());
    if let (Some(last), Some(seen)) = (last, way.at(Place::Seen)) {
        words = format!("its last answer {:.2} s after weight 0; {words}", seconds(seen, last));
    }
    let way = way.reached(Place::Sign, Some(sign)).reached(Place::Scrape, news.first().copied());
    Ok(Run { way: Some(way.reached(Place::Evidence, evidence)), words })
}

/// A container that dies of a segmentation fault, or a GIL that comes back.
pub(super) async fn hard_signal(ground: &mut Ground, case: Case, audit: Option<&Path>) -> Result<Run> {
    let signs = follow(ground).await?;
    let breach = Breach::now(audit)?;
    let fault = if case == Case::Gil {
        json!({"pool": "free-threaded", "set": {"gil": true}})
    } else {
        json!({"pool": "free-threaded", "pods": 1, "set": {"crash": "segv"}})
    };
    ground.play(json!({"fault": fault})).await?;
    signalled(ground, case, &breach, signs).await
}

/// Pods that crash, come back healthy and crash again, by themselves. Weight 0 once and for all.
pub(super) async fn flapping(ground: &mut Ground, audit: Option<&Path>) -> Result<Run> {
    let signs = follow(ground).await?;
    let breach = Breach::now(audit)?;
    ground.stage.load.mark("flapping").await?;
    ground.stage.world.disturb();
    let mut run = signalled(ground, Case::Flapping, &breach, signs).await?;
    let rise = Forbidden {
        weight_rises: true,
        phase: vec![Phase::Pending, Phase::Progressing, Phase::Paused, Phase::Hybrid],
        ..Forbidden::default()
    };
    ground.stage.world.forbid(rise);
    ground.stage.load.mark("afterwards").await?;
    // A minute, by what the standard pool has answered in it.
    ground
        .play(json!({"expect-counts": {"since": "mark", "pool": "standard", "at-least": 6000, "within": "150s"}}))
        .await?;
    ground.play(json!("lift")).await?;
    run.words = format!("the weight did not rise again for 6000 answers; {}", run.words);
    Ok(run)
}

/// Prometheus goes for a minute and comes back: a condition, and nothing else.
pub(super) async fn prometheus_away(ground: &mut Ground) -> Result<Run> {
    ground.play(json!({"wait": {"conditions": {"MetricsAvailable": "True"}, "within": "60s"}})).await?;
    let before = ground.status().history.len();
    let from = Instant::now();
    ground.play(json!({"scale": {"prometheus": 0}})).await?;
    ground.play(json!({"wait": {"conditions": {"MetricsAvailable": "False"}, "within": "60s"}})).await?;
    let told = from.elapsed();
    ground.healthy(Duration::from_mins(1)).await?;
    let view = ground.stage.world.now().view();
    let after = ground.status().history.len();
    if view.pool != i32::try_from(FREE_THREADED).ok() || after != before {
        let entries = after.saturating_sub(before);
        return Err(format!(
            "an outage of Prometheus is no reason to act: {entries} new entries of history, {view:?}"
        )
        .into());
    }
    let back = Instant::now();
    ground.play(json!({"scale": {"prometheus": 1}})).await?;
    ground.play(json!({"wait": {"conditions": {"MetricsAvailable": "True"}, "within": "120s"}})).await?;
    let words = format!(
        "MetricsAvailable=False {:.1} s after Prometheus was told to go, nothing else in the minute after it, True {:.1} s after it was told to come back",
        told.as_secs_f64(),
        back.elapsed().as_secs_f64(),
    );
    Ok(Run { way: None, words })
}

async fn follow(ground: &Ground) -> Result<Signs> {
    let pods = ground.stage.world.now().pods_of(true);
    Signs::follow(&ground.stage.cluster.client, &ground.stage.namespace, &pods).await
}

async fn signalled(ground: &mut Ground, case: Case, breach: &Breach, signs: Signs) -> Result<Run> {
    let finished = if case.crashes() { finished(ground).await } else { None };
    let way = breach.way_back(ground).await?;
    let sign = signs.first().await?;
    let way = way.reached(Place::Sign, Some(sign));
    let window = ground.stage.load.counts().await?.window;
    // A process that died gives no answer; the usual errors are answers.
    let lost = window.pool(Pool::None);
    let mut words = format!("{} of {} requests without an answer", lost.failed, window.answered);
    if let Some(bad) = lost.first_bad_unix_ms.and_then(|at| Timestamp::from_millisecond(at).ok()) {
        words = format!("{words}, the first {:+.2} s from the line in the log", seconds(sign, bad));
    }
    if let (Some(finished), Some(to_zero)) = (finished, way.to(Place::Seen)) {
        // To the second, rounded down: the end was in the second that begins there.
        let latest = to_zero - seconds(sign, finished);
        let earliest = latest - 1.0;
        words = format!("{words}; finishedAt lies {earliest:.2} to {latest:.2} s before weight 0");
    }
    Ok(Run { way: Some(way), words: format!("{words}; {}", ground.status().message) })
}

/// `finishedAt` of the container that died of the segmentation fault, if the watch shows it in time: its pod goes soon.
async fn finished(ground: &Ground) -> Option<Timestamp> {
    let mut found = None;
    let check = |state: &State| {
        let statuses = state.pods.objects.values().filter_map(|pod| pod.status.as_ref());
        let mut ended =
            statuses.flat_map(|status| status.container_statuses.iter().flatten()).filter_map(|status| {
                let state =
                    |state: &Option<k8s_openapi::api::core::v1::ContainerState>| state.clone()?.terminated;
                state(&status.state)
                    .or_else(|| state(&status.last_state))
                    .filter(|ended| ended.exit_code == 139)
            });
        found = ended.find_map(|ended| ended.finished_at).map(|at| at.0);
        found.map(|_| String::new()).ok_or_else(String::new)
    };
    // Nothing is lost without it but a line for people.
    let _ = ground.stage.world.until(Instant::now() + Duration::from_secs(15), check).await;
    found
}
