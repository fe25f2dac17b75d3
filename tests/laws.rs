//! The laws that concern `decide`, each as a named property over the same random histories of observations, findings, commands,
//! edits, crashes and clock steps; and what each guard is for: without any one of them a law is broken.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

#[path = "laws/benefit.rs"]
mod benefit;
#[path = "laws/by_route.rs"]
mod by_route;
#[path = "laws/changes.rs"]
mod changes;
#[path = "laws/chaos.rs"]
mod chaos;
#[path = "laws/check.rs"]
mod check;
#[path = "laws/commands.rs"]
mod commands;
#[path = "laws/crash.rs"]
mod crash;
#[path = "laws/findings.rs"]
mod findings;
#[path = "laws/gitops.rs"]
mod gitops;
#[path = "support/golden.rs"]
mod golden;
#[path = "laws/handed.rs"]
mod handed;
#[path = "laws/pace.rs"]
mod pace;
#[path = "laws/preflight.rs"]
mod preflight;
#[path = "laws/route.rs"]
mod route;
#[path = "laws/sizing.rs"]
mod sizing;
#[path = "laws/tables.rs"]
mod tables;
#[path = "laws/uninstall.rs"]
mod uninstall;
#[path = "laws/world.rs"]
mod world;
#[path = "laws/writes.rs"]
mod writes;

use std::{collections::BTreeMap, sync::LazyLock, thread};

use freethread_rollout::{
    api::{OnInconclusive, OnStandardChange, Phase},
    decide::{Guards, JobWanted, Movement, PoolWanted, StandardWanted},
};

use check::LAWS;
use world::World;

/// Random histories per law.
const HISTORIES: u64 = 10_000;
/// Passes of each.
const PASSES: usize = 30;

/// What the histories showed.
#[derive(Default)]
struct Explored {
    /// First breach of each law.
    broken: BTreeMap<u8, String>,
    /// First pass that had more to do and did not say so.
    unquiet: Option<String>,
    /// What happened how often, so that no property holds for want of a case.
    seen: BTreeMap<String, u64>,
}

static EXPLORED: LazyLock<Explored> = LazyLock::new(|| {
    let halves =
        [0, 1].map(|half| thread::spawn(move || explore(Guards::ALL, (half..HISTORIES).step_by(2), false)));
    halves.into_iter().map(|half| half.join().unwrap()).fold(Explored::default(), |mut all, half| {
        all.broken.extend(half.broken);
        all.unquiet = all.unquiet.or(half.unquiet);
        for (what, count) in half.seen {
            *all.seen.entry(what).or_default() += count;
        }
        all
    })
});

fn explore(guards: Guards, seeds: impl Iterator<Item = u64>, stop_at_first: bool) -> Explored {
    let mut explored = Explored::default();
    for seed in seeds {
        history(guards, seed, &mut explored);
        if stop_at_first && !explored.broken.is_empty() {
            break;
        }
    }
    explored
}

fn history(guards: Guards, seed: u64, explored: &mut Explored) {
    let mut world = match seed % 6 {
        2 => World::by_route(seed),
        5 => World::by_managed_route(seed),
        _ => World::new(seed),
    };
    // Some histories are calm for long, so that the last steps are seen too.
    let storm = world.random.pick(&[20, 60, 100]);
    if world.random.percent(30) {
        world.spec.on_standard_change = OnStandardChange::Hold;
    }
    world.hear_of_the_step();
    if world.random.percent(40) {
        chaos::pace_by_evidence(&mut world.spec);
        let all = [OnInconclusive::Pause, OnInconclusive::Advance, OnInconclusive::RollBack];
        world.spec.analysis.on_inconclusive = world.random.pick(&all);
    }
    if world.random.percent(50) {
        chaos::ask_for_benefit(&mut world);
    }
    if world.random.percent(40) {
        chaos::ask_for_preflight(&mut world);
    }
    if world.route.is_some() && world.spec.benefit.is_none() && world.random.percent(80) {
        handed::ask_for_hand_over(&mut world);
    }
    // From a promotion there is still the way home.
    let passes = if world.spec.hand_over.is_some() { 2 * PASSES } else { PASSES };
    for pass in 0..passes {
        if world.random.percent(storm) {
            chaos::strike(&mut world);
        } else if world.status.phase == Phase::Paused {
            world.say("promote");
        }
        let (observation, decision) = world.decide(guards);
        for (number, law) in LAWS {
            if let Err(what) = law(&world, &observation, &decision) {
                let text = || format!("seed {seed}, pass {pass}: {what}\n{:#?}\n{decision:#?}", world.status);
                explored.broken.entry(number).or_insert_with(text);
            }
        }
        *explored.seen.entry(format!("{:?}", decision.target.movement)).or_default() += 1;
        let standard = format!("{:?}", decision.standard);
        *explored.seen.entry(standard.split(' ').next().unwrap().to_owned()).or_default() += 1;
        if decision.status.phase != world.status.phase || decision.status.reason != world.status.reason {
            let what = format!("{:?}/{:?}", decision.status.phase, decision.status.reason);
            *explored.seen.entry(what).or_default() += 1;
        }
        let writes = if world.random.percent(15) {
            usize::try_from(world.random.below(3)).unwrap()
        } else {
            usize::MAX
        };
        let finished = world.act(&decision, writes);
        let still = decision.target.movement == Movement::Stay
            && decision.pool == PoolWanted::Leave
            && decision.replicas.is_none()
            && decision.standard == StandardWanted::Leave
            && decision.job == JobWanted::Leave;
        if finished && still && decision.wake_at != Some(world.now) && seed.is_multiple_of(4) {
            let (_, again) = world.decide(guards);
            if again.status != decision.status
                || !again.events.is_empty()
                || again.target.movement != Movement::Stay
            {
                let text = || format!("seed {seed}, pass {pass}: {decision:#?}\nthen {again:#?}");
                explored.unquiet.get_or_insert_with(text);
            }
        }
        pass_time(&mut world, decision.wake_at);
    }
}

fn pass_time(world: &mut World, wake_at: Option<jiff::Timestamp>) {
    if wake_at == Some(world.now) {
        return world.tick(0);
    }
    let until = wake_at.map_or(5000, |at| i64::try_from(at.duration_since(world.now).as_millis()).unwrap());
    let millis = match world.random.below(20) {
        0..=10 => until.min(60_000),
        11..=15 => 1000,
        16..=18 => 8000,
        _ => 70_000,
    };
    world.tick(millis);
}

fn holds(law: u8) {
    if let Some(broken) = EXPLORED.broken.get(&law) {
        panic!("law {law} is broken: {broken}");
    }
}

#[test]
fn law1_a_rollback_is_never_gated() {
    holds(1);
}

#[test]
fn law2_the_standard_pool_is_sacred() {
    holds(2);
}

#[test]
fn law3_no_data_is_never_good_news_and_an_outage_of_the_monitoring_rolls_nothing_back() {
    holds(3);
}

#[test]
fn law4_the_weight_rises_only_on_evidence() {
    holds(4);
}

#[test]
fn law8_every_change_leaves_exactly_one_sentence() {
    holds(8);
}

#[test]
fn a_pass_that_changes_nothing_is_followed_by_one_that_changes_nothing() {
    if let Some(unquiet) = &EXPLORED.unquiet {
        panic!("more to do, and not said: {unquiet}");
    }
}

/// A property over histories in which nothing happens shows nothing.
#[test]
fn the_histories_have_seen_everything() {
    let seen = &EXPLORED.seen;
    let often = |what: &str| seen.get(what).copied().unwrap_or(0) >= 30;
    let wanted = [
        "Rise",
        "Fall",
        "GiveBack",
        "Stay",
        "Shrink",
        "Grow",
        "Release",
        "Promoted/Completed",
        "Pending/WorkloadNotFound",
        "Pending/StandardNotReady",
        "Pending/MetricsUnavailable",
        "Pending/WaitingForPods",
        "Pending/Uninstalled",
        "Preflight/PreflightRunning",
        "Preflight/PreflightUnknown",
        "Failed/PreflightFailed",
        "Paused/PreflightUnknown",
        "Progressing/Stepping",
        "Progressing/Converging",
        "Progressing/WaitingForPods",
        "Progressing/WarmingUp",
        "Progressing/Holding",
        "Progressing/InsufficientEvidence",
        "Progressing/SharedIncident",
        "Progressing/Blind",
        "Progressing/StandardChanged",
        "Progressing/Observing",
        "Progressing/StandardNotReady",
        "Paused/AwaitingApproval",
        "Paused/Inconclusive",
        "RolledBack/Inconclusive",
        "Paused/AwaitingOvershootConsent",
        "Paused/PausedByUser",
        "Paused/Suspended",
        "Paused/Blind",
        "Paused/StandardChanged",
        "Paused/PoolDeleted",
        "Paused/PoolContested",
        "Paused/RouteContested",
        "Pending/RouteUnusable",
        "Progressing/RouteNotAccepted",
        "Hybrid/Completed",
        "Hybrid/NoBenefit",
        "NoBenefit/NoBenefit",
        "RolledBack/ErrorRate",
        "RolledBack/GilEnabled",
        "RolledBack/BlindTooLong",
        "RolledBack/ProgressDeadlineExceeded",
        "RolledBack/Aborted",
        "Failed/WorkloadTaken",
    ];
    let missing: Vec<_> = wanted.into_iter().filter(|what| !often(what)).collect();
    assert!(missing.is_empty(), "too seldom: {missing:?} of {seen:#?}");
}

/// Every guard earns its place: with it left out, some law is broken.
#[test]
fn without_any_one_guard_a_law_is_broken() {
    let needless: Vec<_> = Guards::names()
        .into_iter()
        .filter(|name| explore(Guards::without(name), 0..HISTORIES, true).broken.is_empty())
        .collect();
    assert!(needless.is_empty(), "left out, and no property noticed: {needless:?}");
}
