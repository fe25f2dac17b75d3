//! What may happen to a rollout between two passes.

use freethread_rollout::{
    api::{
        BenefitOutcome, FreeThreadRolloutSpec, Mode, OnBlind, OnInconclusive, OnNone, OnStandardChange,
        Percent, PreflightVerdict, Reason, Span,
    },
    judge::{Blind, Finding, FindingKind, Share},
    observe::Obstacle,
};
use jiff::SignedDuration;

use super::benefit::found;
use super::{
    findings::{clear, history},
    world::{Standard, World},
};

/// One random event, or none.
pub(crate) fn strike(world: &mut World) {
    if world.random.percent(25) {
        world.finding = finding(world);
    }
    world.refuse_rise = world.random.percent(5);
    // Who puts the team's route back once does it again.
    if world.route.is_some() && world.status.drift.is_some() && world.random.percent(40) {
        return world.scaled_by("argocd-controller", 0);
    }
    if world.status.drift.is_some() && world.random.percent(20) {
        let Some(live) = world.live.as_mut() else { return };
        live.edited_by = Some("kubectl-edit".into());
        return;
    }
    if world.random.percent(55) {
        return;
    }
    match world.random.below(26) {
        0..=5 => command(world),
        6 | 7 => edit(world),
        8..=12 => standard(world),
        13..=17 => spec(world),
        18 => {
            let step = SignedDuration::from_secs(world.random.pick(&[-3600, -30, -1, 1, 30, 3600]));
            world.now += step;
        }
        19 if world.random.percent(30) => {
            world.obstacles = if world.obstacles.is_empty() {
                vec![Obstacle::WorkloadTaken { by: "other".into() }]
            } else {
                vec![]
            };
        }
        20 => {
            // A pod falls over, or comes back.
            let ready = world.now;
            if let Some((pod, at)) = world.pods.first_mut() {
                pod.ready_since = if pod.ready_since.is_some() { None } else { Some(ready) };
                *at = at.map(|_| ready + SignedDuration::from_secs(20));
            }
        }
        22..=24 => image(world),
        25 => route(world),
        21 if world.random.percent(5) => {
            if world.random.percent(50) {
                world.deleting = true;
            } else {
                world.giving_back = true;
            }
        }
        _ => {}
    }
}

fn finding(world: &mut World) -> Finding {
    let random = &mut world.random;
    let (kind, reason, sentence) = match random.below(100) {
        0..=34 => (FindingKind::Clear, Reason::Stepping, "no worse than the standard pool"),
        35..=59 => (FindingKind::Safe, Reason::Stepping, "shown to be no worse than the standard pool"),
        60..=84 => (FindingKind::Unknown, Reason::InsufficientEvidence, "20 requests of 300 so far"),
        85..=91 => (FindingKind::SharedIncident, Reason::SharedIncident, "both pools got worse together"),
        92..=96 => (FindingKind::Breach, Reason::ErrorRate, "errors 21 % against 0.1 %"),
        _ => (FindingKind::HardSignal, Reason::GilEnabled, "the GIL came back in pod orders-ft-1"),
    };
    let blind = match random.below(100) {
        0..=79 => Blind::No,
        80..=89 => Blind::OurPool,
        _ => Blind::Everything,
    };
    let standard_seen = random.percent(92);
    let history = if random.percent(85) { vec![history()] } else { vec![] };
    let counts_from = world.finding.counts_from;
    let benefit = match random.below(100) {
        0..=9 => None,
        10..=49 => Some(BenefitOutcome::Measuring),
        50..=84 => Some(BenefitOutcome::NoBenefit),
        85..=92 => Some(BenefitOutcome::Benefit),
        _ => Some(BenefitOutcome::Unknown),
    };
    let benefit = benefit.and_then(|outcome| found(world, outcome));
    let follows = f64::from(world.written().min(100)) / 100.0;
    let share = world.random.pick(&[0.001, 0.1, 0.25, follows, follows, follows]);
    Finding {
        observed: Some(Share { ours: Percent::from_ratio(share), of: world.random.pick(&[20.0, 5000.0]) }),
        benefit,
        kind,
        reason,
        sentence: sentence.into(),
        blind,
        standard_seen,
        counts_from,
        history,
        ..clear()
    }
}

fn command(world: &mut World) {
    let verb = world.random.pick(&[
        "promote", "promote", "promote", "abort", "pause", "resume", "resume", "retry", "retry", "dance",
    ]);
    world.say(verb);
    if world.random.percent(5) {
        world.command = Some(format!("{verb}@2001-01-01T00:00:00Z"));
    }
}

/// The team breaks its route or mends it, or adds a rule; or nobody sees it for a while; or one of ours is not what it should be.
fn route(world: &mut World) {
    let which = world.random.below(5);
    let Some(route) = world.route.as_mut() else { return };
    match which {
        0 => {
            let missing = || "HTTPRoute orders does not exist".into();
            route.unusable = if route.unusable.is_some() { None } else { Some(missing()) };
        }
        1 => route.uneven = true,
        2 => route.unseen = !route.unseen,
        3 => world.rewritten_by(Some("kubectl-edit")),
        // It was deleted, or the spec is another one.
        _ => world.rewritten_by(None),
    }
}

fn edit(world: &mut World) {
    let Some(live) = world.live.as_mut() else { return };
    match world.random.below(6) {
        0 | 1 => live.edited_by = Some("kubectl-edit".into()),
        2 => {
            let replicas = i32::try_from(world.random.below(12)).unwrap();
            world.scaled_by("kubectl-scale", replicas);
        }
        3 => {
            // A write without a name of its own.
            let replicas = i32::try_from(world.random.below(12)).unwrap();
            world.scale(replicas);
        }
        4 => live.deleting = true,
        _ => {
            world.live = None;
            world.pods.clear();
        }
    }
}

fn standard(world: &mut World) {
    let random = &mut world.random;
    let Some(standard) = world.standard.as_mut() else {
        world.standard = Some(Standard::new());
        return;
    };
    match random.below(12) {
        0..=3 => {
            standard.replicas = random.pick(&[0, 1, 3, 5, 9, 9, 10, 12, 30]);
            (standard.unready, standard.starting) = (0, 0);
        }
        4..=6 => standard.unready = random.pick(&[0, 1, 2]).min(standard.replicas),
        7..=9 => standard.unready = 0,
        10 if random.percent(50) => {
            let by = random.pick(&[None, Some("HorizontalPodAutoscaler orders")]);
            standard.scaled_by = by.map(str::to_owned);
        }
        10 => standard.hash = random.pick(&["t1", "t1", "t2", "t3"]).into(),
        _ => world.standard = None,
    }
}

/// Or ask for another one, or none.
pub(crate) fn ask_for_benefit(world: &mut World) {
    let (at_least, on_none) =
        (world.random.pick(&["20%", "20%", "5%"]), world.random.pick(&[OnNone::GiveBack, OnNone::Stay]));
    let asked = serde_json::json!({"atLeast": at_least, "onNone": on_none, "measureFor": "1h"});
    let asked = serde_json::from_value(asked).unwrap();
    world.spec.benefit = if world.random.percent(90) { Some(asked) } else { None };
}

/// Or for another one, or none.
pub(crate) fn ask_for_preflight(world: &mut World) {
    let (policy, module) =
        (world.random.pick(&["Require", "Require", "Warn", "Skip"]), world.random.pick(&["app", "main"]));
    let mut asked = serde_json::json!({"inspect": policy, "import": [module]});
    if world.random.percent(30) {
        let policy = world.random.pick(&["Require", "Require", "Warn", "Skip"]);
        asked["stress"] =
            serde_json::json!({"policy": policy, "commands": [{"name": "a", "command": ["a"]}]});
    }
    if world.random.percent(30) {
        let policy = world.random.pick(&["Require", "Require", "Warn", "Skip"]);
        let speedup = world.random.pick(&["10%", "10%", "30%", "90%"]);
        asked["benchmark"] = serde_json::json!({"policy": policy, "command": ["a"], "minSpeedup": speedup, "budget": "1m", "runTimeout": "5s"});
    }
    let asked = serde_json::from_value(asked).unwrap();
    world.spec.preflight = if world.random.percent(90) { Some(asked) } else { None };
}

/// What the image is: what inspections say, and its digest.
fn image(world: &mut World) {
    use PreflightVerdict::{Blocked, Passed, Unknown};
    world.image = world.random.pick(&[Passed, Passed, Passed, Blocked, Unknown]);
    if world.random.percent(60) {
        world.image_id = world.random.pick(&["orders@sha256:a", "orders@sha256:b"]).into();
    }
    if world.random.percent(10) {
        world.job = None;
    }
}

/// Steps that end when the evidence suffices.
pub(crate) fn pace_by_evidence(spec: &mut FreeThreadRolloutSpec) {
    for step in &mut spec.steps {
        step.hold = None;
        step.min_hold = Some(Span::from_secs(5));
        step.max_hold = Some(Span::from_secs(30));
    }
}

fn spec(world: &mut World) {
    world.generation += 1;
    if world.random.percent(10) {
        return ask_for_benefit(world);
    }
    if world.random.percent(10) {
        return ask_for_preflight(world);
    }
    if world.route.is_some() && world.random.percent(10) {
        world.spec.hand_over = None;
    }
    let random = &mut world.random;
    let spec = &mut world.spec;
    match random.below(18) {
        0 => spec.suspend = true,
        1..=3 => spec.suspend = false,
        4 => spec.mode = Mode::Observe,
        5..=7 => spec.mode = Mode::Active,
        8 => spec.on_standard_change = random.pick(&[OnStandardChange::Restart, OnStandardChange::Hold]),
        9 => spec.analysis.on_blind = random.pick(&[OnBlind::RollBack, OnBlind::Hold]),
        10 => spec.analysis.blind_for = random.pick(&[Span::from_secs(30), Span::from_secs(60)]),
        11 => spec.free_threaded.max_replicas = random.pick(&[50, 50, 2]),
        12 => {
            spec.steps.truncate(random.pick(&[1, 2, 3]));
        }
        13 | 14 => pace_by_evidence(spec),
        15 => {
            let all = [OnInconclusive::Pause, OnInconclusive::Advance, OnInconclusive::RollBack];
            spec.analysis.on_inconclusive = random.pick(&all);
        }
        _ => {
            spec.steps = super::world::plain_spec().steps;
            if let Some(step) = spec.steps.first_mut() {
                step.weight = random.pick(&[5, 10, 20]);
            }
        }
    }
}
