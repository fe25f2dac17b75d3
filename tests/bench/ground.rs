//! Where rollbacks are measured: a namespace with a healthy rollout at 25 %, which is broken, healed and broken again.

use std::{path::Path, time::Duration};

use freethread_rollout::api::{FreeThreadRolloutStatus, Phase};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{SCENARIOS, rollback::Case};
use crate::{
    Result,
    cluster::Cluster,
    context,
    play::Play,
    stage::Stage,
    vocabulary::{Forbidden, Pool, Scenario, Step},
    world::{State, View},
};

/// Requests a second, both pools together.
const RPS: u32 = 100;
/// Pods of the standard pool, and those that make 25 % beside them.
pub(super) const STANDARD: usize = 9;
pub(super) const FREE_THREADED: usize = 3;
/// Failures of both pools before the breach.
const USUAL_ERRORS: f64 = 0.001;
/// Longest way up, and longest way back.
const UP: Duration = Duration::from_mins(5);
const BACK: Duration = Duration::from_mins(2);

/// The scenario of one case, without its steps.
pub(super) fn scenario(case: Case, name: &str) -> Result<Scenario> {
    let server = if case.crashes() { "single" } else { "gunicorn" };
    let mut ours = json!({});
    if case == Case::Flapping {
        // Each start ends in a crash, healthy as it looks until then.
        let faults = json!({"errors": USUAL_ERRORS, "crash": "segv", "after_s": 40}).to_string();
        ours = json!({"env": [{"name": "FAULTS", "value": faults}]});
    }
    let setting = json!({
        "description": "a benchmark",
        "standard": {
            "replicas": STANDARD,
            "env": {"SERVER": server, "FAULTS": json!({"errors": USUAL_ERRORS}).to_string()},
        },
        "rps": RPS,
        "rollout": {
            "freeThreaded": ours,
            "steps": [{"weight": 25, "hold": "24h"}],
            "analysis": {"errorRate": {"max": "1%", "tolerate": "0%"}},
        },
    });
    let setting = serde_json::from_value(setting).map_err(context("the benchmark's setting"))?;
    // The steps are taken one by one; this one says that there has to be somebody who kills.
    let steps =
        if case == Case::Killed { vec![step(json!({"kill": {"operator": "leader"}}))?] } else { vec![] };
    Ok(Scenario { name: format!("bench-{name}"), setting, steps })
}

/// A step in the scenarios' words.
pub(super) fn step(words: Value) -> Result<Step> {
    serde_json::from_value(words).map_err(context("a step of the benchmark"))
}

/// A namespace, set up.
pub(super) struct Ground {
    pub(super) stage: Stage,
}

impl Ground {
    /// Creates the namespace, nothing in it.
    pub(super) async fn open(cluster: &Cluster, scenario: &Scenario) -> Result<Self> {
        Ok(Self { stage: Stage::open(cluster, scenario, Path::new(SCENARIOS)).await? })
    }

    /// Does or waits for what the words say.
    pub(super) async fn play(&mut self, words: Value) -> Result<String> {
        let step = step(words)?;
        Play::new(&mut self.stage).step(&step).await
    }

    /// Waits until the rollout serves at 25 %.
    pub(super) async fn up(&mut self) -> Result<()> {
        let within = format!("{}s", UP.as_secs());
        self.play(json!({"wait": {"phase": "Progressing", "step": 1, "free-threaded": FREE_THREADED, "within": within}}))
            .await?;
        let endpoints = json!({"standard": STANDARD, "free-threaded": FREE_THREADED, "within": "60s"});
        self.play(json!({"expect-endpoints": endpoints})).await?;
        Ok(())
    }

    /// Waits until both pools have served healthily for so long. A rollback in this time is a false alarm.
    pub(super) async fn healthy(&mut self, time: Duration) -> Result<()> {
        let stage = &self.stage;
        stage.load.mark("healthy").await?;
        let alarms = Forbidden { phase: vec![Phase::RolledBack, Phase::Failed], ..Forbidden::default() };
        stage.world.forbid(alarms);
        let from = Instant::now();
        let share = FREE_THREADED as f64 / (FREE_THREADED + STANDARD) as f64;
        let due = f64::from(RPS) * time.as_secs_f64();
        loop {
            stage.world.guard().map_err(context("while both pools were healthy"))?;
            let window = stage.load.counts().await?.window;
            let answered = |pool| window.pool(pool).answered as f64;
            // Half of what each pool's share predicts: a machine that cannot send more measures nothing.
            let served = answered(Pool::FreeThreaded) >= due * share / 2.0
                && answered(Pool::Standard) >= due * (1.0 - share) / 2.0;
            let spent = from.elapsed();
            if spent >= time && served {
                stage.world.lift();
                return Ok(());
            }
            if spent > time * 2 + Duration::from_secs(30) {
                let seen = window.describe();
                return Err(format!("in {} s of health: {seen}", spent.as_secs()).into());
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    /// Everything as before the breach, in a new attempt.
    pub(super) async fn heal(&mut self) -> Result<()> {
        self.play(json!({"fault": {"pool": "standard", "set": {"errors": USUAL_ERRORS}}})).await?;
        self.play(json!({"expect-endpoints": {"free-threaded-listed": 0, "within": "90s"}})).await?;
        self.play(json!({"command": "retry"})).await?;
        Ok(())
    }

    /// Waits until the view is so, at `since` or later, and returns when it became so.
    pub(super) async fn became(
        &self,
        since: Instant,
        what: &str,
        is: impl Fn(&View) -> bool,
    ) -> Result<Timestamp> {
        let mut at = None;
        let found = |state: &State| {
            at = state.timeline.iter().find(|moment| moment.at >= since && is(&moment.view)).map(|m| m.at);
            let view = state.view();
            at.map(|_| String::new()).ok_or_else(|| {
                format!("{what} was not seen: {:?} ({:?}): {}", view.phase, view.reason, view.message)
            })
        };
        self.stage.world.until(Instant::now() + BACK, found).await?;
        Ok(at.map_or_else(Timestamp::now, wall))
    }

    /// The rollout's status.
    pub(super) fn status(&self) -> FreeThreadRolloutStatus {
        self.stage.world.now().rollout().and_then(|rollout| rollout.status.clone()).unwrap_or_default()
    }
}

/// A moment of this process as the time of day.
fn wall(at: Instant) -> Timestamp {
    let ago = SignedDuration::try_from(at.elapsed()).unwrap_or_default();
    Timestamp::now().checked_sub(ago).unwrap_or_default()
}
