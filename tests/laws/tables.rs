//! Conditions, deadlines and sentences, case by case.

use freethread_rollout::{
    api::{FreeThreadRolloutStatus, Mode, OnBlind, Phase, Reason},
    decide::{Decision, Guards, Movement, PoolWanted},
    judge::{Blind, FindingKind},
    observe::Obstacle,
};
use jiff::SignedDuration;

use super::{
    findings::{breach, clear},
    world::World,
};

pub(crate) fn world() -> World {
    let mut world = World::new(1);
    world.ready_after = Some(1000);
    world
}

/// One pass, all its writes, and half a second.
pub(crate) fn pass(world: &mut World) -> Decision {
    let (_, decision) = world.decide(Guards::ALL);
    world.act(&decision, usize::MAX);
    if decision.wake_at != Some(world.now) {
        world.tick(500);
    }
    decision
}

pub(crate) fn until(world: &mut World, reason: Reason) -> Decision {
    for _ in 0..300 {
        let decision = pass(world);
        if world.status.reason == reason {
            return decision;
        }
    }
    panic!("never {reason:?}: {:#?}", world.status);
}

/// As many passes as it takes until nothing is left to do.
pub(crate) fn settle(world: &mut World) -> Decision {
    (0..8).map(|_| pass(world)).last().unwrap()
}

pub(crate) fn result(world: &World) -> String {
    world.status.command.as_ref().map(|command| command.result.clone()).unwrap_or_default()
}

pub(crate) fn condition(world: &World, kind: &str) -> (String, String) {
    let condition = world.status.conditions.iter().find(|condition| condition.type_ == kind).unwrap();
    (condition.status.clone(), condition.message.clone())
}

pub(crate) fn states(world: &World) -> String {
    ["Ready", "Reconciling", "Stalled"].map(|kind| condition(world, kind).0).join(" ")
}

#[test]
fn the_way_up_says_what_it_does() {
    let mut world = world();
    let first = pass(&mut world);
    assert_eq!((first.pool, first.target.weight, world.status.phase), (PoolWanted::Apply, 0, Phase::Pending));
    assert_eq!(first.wake_at, Some(world.now));
    let second = pass(&mut world);
    assert_eq!(
        (second.target.movement, world.status.phase),
        (Movement::Stay, Phase::Progressing),
        "persisted first"
    );
    assert_eq!(second.wake_at, Some(world.now));
    let third = pass(&mut world);
    assert_eq!((third.target.movement, third.target.weight), (Movement::Rise, 1));
    assert_eq!(world.status.message, "step 1/3: 10 % wanted, 1 pod beside 9 make 10 %");
    until(&mut world, Reason::Holding);
    let next = world.status.next.clone().unwrap();
    let converged = world.status.attempt.as_ref().unwrap().converged_at.clone().unwrap();
    assert_eq!(next.what, "step 2/3 (25 %), with a clear verdict");
    assert_eq!(next.at.unwrap().0, converged.0 + SignedDuration::from_secs(10));
    until(&mut world, Reason::AwaitingApproval);
    assert_eq!(world.status.step_label.as_deref(), Some("2/3"));
    world.say("promote");
    until(&mut world, Reason::Completed);
    assert_eq!((world.status.phase, world.written()), (Phase::Hybrid, 9));
    world.finding = breach();
    let back = pass(&mut world);
    assert_eq!((back.target.movement, back.target.weight), (Movement::Fall, 0));
    let message = "errors 21 % against 0.1 % on the standard pool; traffic is back on the standard pool";
    assert_eq!(world.status.message, message);
    assert_eq!(world.live.as_ref().unwrap().rollback.as_ref().unwrap().message, message);
    let entries: Vec<_> = world.status.history.iter().map(|entry| (entry.phase, entry.weight)).collect();
    let (pending, up, paused) = (Phase::Pending, Phase::Progressing, Phase::Paused);
    assert_eq!(
        entries,
        [
            (pending, 0),
            (up, 10),
            (up, 25),
            (paused, 25),
            (up, 50),
            (Phase::Hybrid, 50),
            (Phase::RolledBack, 0)
        ]
    );
}

#[test]
fn a_breach_is_acted_on_whatever_else_is_wrong() {
    type Wrong = (&'static str, fn(&mut World));
    let wrongs: [Wrong; 8] = [
        ("standard short", |w| w.standard.as_mut().unwrap().unready = 3),
        ("pods pending", |w| w.pods.iter_mut().for_each(|(pod, _)| pod.ready_since = None)),
        ("paused", |w| w.say("pause")),
        ("retry said", |w| w.say("retry")),
        ("blind", |w| w.finding.blind = Blind::Everything),
        ("another template", |w| w.standard.as_mut().unwrap().hash = "t2".into()),
        ("another image", |w| w.spec.free_threaded.image = "other".into()),
        ("edited", |w| w.live.as_mut().unwrap().edited_by = Some("kubectl".into())),
    ];
    for (name, wrong) in wrongs {
        let mut world = world();
        until(&mut world, Reason::Holding);
        world.finding = breach();
        wrong(&mut world);
        let decision = pass(&mut world);
        assert_eq!((decision.target.movement, decision.target.weight), (Movement::Fall, 0), "{name}");
        assert_eq!(
            (decision.status.phase, decision.status.reason),
            (Phase::RolledBack, Reason::ErrorRate),
            "{name}"
        );
    }
}

#[test]
fn conditions_are_kstatus() {
    let mut world = world();
    pass(&mut world);
    assert_eq!(states(&world), "False False False", "pending");
    pass(&mut world);
    pass(&mut world);
    assert_eq!(states(&world), "False True False", "converging");
    assert_eq!(condition(&world, "GilDisabled").0, "Unknown");
    until(&mut world, Reason::Holding);
    assert_eq!(states(&world), "True False False", "dwelling");
    assert_eq!(condition(&world, "TrafficConverged").0, "True");
    assert_eq!(condition(&world, "PoolAvailable").0, "True");
    assert_eq!(condition(&world, "GilDisabled").0, "True");
    world.finding.kind = FindingKind::SharedIncident;
    pass(&mut world);
    assert_eq!(states(&world), "True False False", "holding through a shared incident");
    world.finding = clear();
    until(&mut world, Reason::AwaitingApproval);
    assert_eq!(states(&world), "True False False", "waiting for approval");
    world.finding = breach();
    (world.finding.kind, world.finding.reason) = (FindingKind::HardSignal, Reason::GilEnabled);
    pass(&mut world);
    assert_eq!(states(&world), "False True True", "rolled back, not yet read back");
    pass(&mut world);
    assert_eq!(states(&world), "False False True", "rolled back");
    world.finding = clear();
    pass(&mut world);
    assert_eq!(condition(&world, "GilDisabled").0, "False", "what was seen in this attempt stays said");
    assert!(world.status.conditions.iter().all(|condition| condition.observed_generation == Some(1)));
}

#[test]
fn an_outage_of_the_monitoring_is_a_condition_and_nothing_else() {
    let mut world = world();
    until(&mut world, Reason::Holding);
    world.finding.kind = FindingKind::Unknown;
    world.finding.blind = Blind::Everything;
    world.finding.sentence = "query up: 503 Service Unavailable".into();
    for _ in 0..100 {
        world.tick(60_000);
        let decision = pass(&mut world);
        assert_eq!((decision.target.weight, decision.status.phase), (1, Phase::Progressing));
    }
    assert_eq!(
        condition(&world, "MetricsAvailable"),
        ("False".into(), "query up: 503 Service Unavailable".into())
    );
    assert_eq!((world.status.reason, states(&world).as_str()), (Reason::Blind, "True False False"));
}

#[test]
fn blind_on_our_pool_ends_at_the_deadline() {
    for (on_blind, phase, reason, pods) in [
        (OnBlind::RollBack, Phase::RolledBack, Reason::BlindTooLong, 0),
        (OnBlind::Hold, Phase::Paused, Reason::Blind, 1),
    ] {
        let mut world = world();
        world.spec.analysis.on_blind = on_blind;
        until(&mut world, Reason::Holding);
        (world.finding.kind, world.finding.blind) = (FindingKind::Unknown, Blind::OurPool);
        let now = world.now;
        let decision = pass(&mut world);
        assert_eq!(
            decision.wake_at,
            Some(now + SignedDuration::from_secs(30)),
            "the deadline is persisted and absolute"
        );
        world.tick(29_000);
        assert_eq!(pass(&mut world).target.weight, 1);
        world.tick(1000);
        let decision = pass(&mut world);
        assert_eq!(
            (decision.status.phase, decision.status.reason, decision.target.weight),
            (phase, reason, pods)
        );
        if on_blind == OnBlind::Hold {
            world.finding = clear();
            assert_eq!(pass(&mut world).status.phase, Phase::Progressing, "data is back");
        }
    }
}

#[test]
fn the_progress_deadline_names_the_pods_own_reason() {
    let mut world = world();
    world.ready_after = Some(10_000_000);
    until(&mut world, Reason::WaitingForPods);
    world.pods[0].0.trouble = Some("ImagePullBackOff: no such image".into());
    let since = world.status.attempt.as_ref().unwrap().waiting_since.clone().unwrap().0;
    assert_eq!(pass(&mut world).wake_at, Some(since + SignedDuration::from_secs(60)));
    world.standard.as_mut().unwrap().unready = 1;
    world.now = since + SignedDuration::from_secs(60);
    let decision = pass(&mut world);
    assert_eq!(decision.status.reason, Reason::ProgressDeadlineExceeded);
    let pod = &world.status.message;
    assert!(
        pod.starts_with(
            "step 1/3: 0 of 1 pods serve after 1m (pod orders-ft-1: ImagePullBackOff: no such image)"
        ),
        "{pod}"
    );
}

/// A cache that is behind, or a status that somebody put back: the note on the Deployment knows more, and nothing rises.
#[test]
fn a_status_from_before_the_notes_attempt_adopts_the_note() {
    let mut world = world();
    until(&mut world, Reason::Holding);
    let first = world.status.clone();
    world.standard.as_mut().unwrap().hash = "t2".into();
    until(&mut world, Reason::Holding);
    let second = world.status.clone();
    world.finding = breach();
    pass(&mut world);
    world.finding = clear();
    let (rolled_back, number) = (world.status.message.clone(), |status: &FreeThreadRolloutStatus| {
        status.attempt.as_ref().map(|attempt| attempt.number)
    });
    assert_eq!((number(&first), number(&second)), (Some(1), Some(2)));
    for behind in [second, first] {
        world.status = behind;
        let (_, decision) = world.decide(Guards::ALL);
        assert_eq!((decision.target.movement, decision.target.weight), (Movement::Stay, 0));
        assert_eq!(
            (decision.status.phase, decision.status.reason, &decision.status.message),
            (Phase::RolledBack, Reason::ErrorRate, &rolled_back)
        );
        assert_eq!(
            number(&decision.status),
            Some(2),
            "the attempt that ended, so that the next one is another"
        );
        world.scale(3);
        let (_, decision) = world.decide(Guards::ALL);
        assert_eq!((decision.target.movement, decision.target.weight), (Movement::Fall, 0));
        assert_eq!(
            decision.target.note.map(|note| (note.attempt, note.message)),
            Some((2, rolled_back.clone()))
        );
        world.scale(0);
    }
}

#[test]
fn overshoot_waits_for_consent() {
    let mut world = world();
    world.standard.as_mut().unwrap().replicas = 3;
    world.spec.steps[0].weight = 5;
    until(&mut world, Reason::AwaitingOvershootConsent);
    assert_eq!(
        world.status.message,
        "5 % wanted, 25 % is the least with 3 standard pods: allow it with `kubectl freethread promote orders` or spec.traffic.podCount.allowOvershoot"
    );
    assert_eq!(
        (settle(&mut world).target.weight, world.status.phase, states(&world).as_str()),
        (0, Phase::Paused, "True False False")
    );
    world.say("promote");
    until(&mut world, Reason::Holding);
    assert_eq!(world.written(), 1);
}

#[test]
fn obstacles_heal() {
    let mut world = world();
    world.obstacles = vec![Obstacle::WorkloadTaken { by: "older".into() }];
    let decision = settle(&mut world);
    assert_eq!(
        (decision.status.phase, decision.pool, decision.target.weight),
        (Phase::Failed, PoolWanted::Leave, 0)
    );
    assert!(world.live.is_none() && decision.status.message.contains("older"), "nothing is created");
    assert_eq!(states(&world), "False False True");
    world.obstacles.clear();
    until(&mut world, Reason::Holding);
    world.obstacles = vec![Obstacle::Invalid { message: "write something else".into() }];
    let decision = pass(&mut world);
    assert_eq!((decision.target.movement, decision.status.reason), (Movement::Fall, Reason::InvalidSpec));
    assert_eq!(decision.target.note, None, "it heals: no rollback");
    world.obstacles.clear();
    until(&mut world, Reason::Holding);
}

#[test]
fn observe_says_what_it_would_do() {
    let mut world = world();
    world.spec.mode = Mode::Observe;
    let decision = settle(&mut world);
    assert_eq!(decision.status.message, "mode Observe: would set 10 %: 1 pod beside 9");
    assert_eq!(
        (decision.status.phase, decision.pool, decision.target.weight),
        (Phase::Progressing, PoolWanted::Leave, 0)
    );
    assert!(world.live.is_some(), "the pool is built");
    let number = |world: &World| world.status.attempt.as_ref().unwrap().number;
    assert_eq!(number(&world), 1, "evidence is collected");
    world.standard.as_mut().unwrap().hash = "t2".into();
    settle(&mut world);
    assert_eq!(number(&world), 2, "another template, fresh evidence");
    assert!(world.live.as_ref().unwrap().hash.starts_with("t2/"));
    world.finding = breach();
    assert!(pass(&mut world).status.message.starts_with("mode Observe: would roll back: errors 21 %"));
}
