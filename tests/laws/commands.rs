//! What people say, and what becomes of it.

use freethread_rollout::{
    api::{Phase, Reason},
    decide::Movement,
    judge::FindingKind,
};
use jiff::SignedDuration;

use super::{
    findings::{breach, clear},
    tables::{pass, result, settle, states, until, world},
};

#[test]
fn commands_are_answered_once() {
    type Case = (&'static str, Reason, &'static str, Reason);
    let cases: [Case; 12] = [
        ("promote", Reason::AwaitingApproval, "step 2/3 is approved", Reason::Holding),
        (
            "promote",
            Reason::Holding,
            "step 1/3: approved, and the rest of the hold is skipped",
            Reason::AwaitingApproval,
        ),
        ("promote", Reason::Completed, "nothing to promote", Reason::Completed),
        ("pause", Reason::Holding, "paused: the weight stays where it is", Reason::PausedByUser),
        ("resume", Reason::Holding, "nothing to resume: not paused by a person", Reason::AwaitingApproval),
        ("retry", Reason::Holding, "nothing to retry: the attempt is under way", Reason::AwaitingApproval),
        ("abort", Reason::Holding, "aborted", Reason::Aborted),
        ("abort", Reason::Completed, "aborted", Reason::Aborted),
        ("retry", Reason::ErrorRate, "attempt 2 begins", Reason::Holding),
        ("promote", Reason::ErrorRate, "nothing to promote", Reason::ErrorRate),
        ("abort", Reason::ErrorRate, "nothing to abort", Reason::ErrorRate),
        ("dance", Reason::Holding, "not understood: write VERB@TIME", Reason::AwaitingApproval),
    ];
    for (verb, from, answer, to) in cases {
        let mut world = world();
        if from == Reason::Completed {
            until(&mut world, Reason::AwaitingApproval);
            world.say("promote");
        }
        if from == Reason::ErrorRate {
            until(&mut world, Reason::Holding);
            world.finding = breach();
            until(&mut world, from);
            settle(&mut world);
            world.finding = clear();
        } else {
            until(&mut world, from);
        }
        world.say(verb);
        pass(&mut world);
        assert!(result(&world).starts_with(answer), "{verb} at {from:?}: {}", result(&world));
        assert_eq!(world.status.command.as_ref().unwrap().given, world.command.clone().unwrap());
        if world.status.reason != to {
            until(&mut world, to);
        }
        assert!(
            result(&world).starts_with(answer),
            "{verb} at {from:?} is answered twice: {}",
            result(&world)
        );
    }
}

#[test]
fn a_command_from_before_the_attempt_is_ignored() {
    let mut world = world();
    world.command = Some(format!("abort@{}", world.now - SignedDuration::from_secs(60)));
    until(&mut world, Reason::Holding);
    assert_eq!(result(&world), "ignored: it was given before the current attempt began");
}

#[test]
fn a_retry_from_before_the_rollback_is_none() {
    let mut world = world();
    until(&mut world, Reason::Holding);
    world.say("retry");
    world.finding = breach();
    settle(&mut world);
    assert_eq!(world.status.phase, Phase::RolledBack);
    assert!(result(&world).starts_with("nothing to retry: errors 21 %"), "{}", result(&world));
}

#[test]
fn promote_never_stands_for_evidence() {
    let mut world = world();
    until(&mut world, Reason::Holding);
    world.finding.kind = FindingKind::Unknown;
    world.say("promote");
    until(&mut world, Reason::InsufficientEvidence);
    for _ in 0..50 {
        let decision = pass(&mut world);
        assert_eq!((decision.status.step, decision.target.movement), (0, Movement::Stay));
    }
    world.finding = clear();
    let decision = until(&mut world, Reason::Stepping);
    assert_eq!(decision.status.step, 1);
}

#[test]
fn pause_keeps_the_weight_and_rollbacks_still_happen() {
    let mut world = world();
    until(&mut world, Reason::Holding);
    world.say("pause");
    pass(&mut world);
    assert_eq!(
        (world.status.phase, world.written(), states(&world).as_str()),
        (Phase::Paused, 1, "True False False")
    );
    world.tick(3_600_000);
    assert_eq!(pass(&mut world).status.step, 0);
    world.standard.as_mut().unwrap().replicas = 30;
    assert_eq!(settle(&mut world).target.weight, 1, "nothing rises");
    world.standard.as_mut().unwrap().replicas = 0;
    assert_eq!(pass(&mut world).target.movement, Movement::Fall, "a fall happens");
    world.standard.as_mut().unwrap().replicas = 9;
    world.say("resume");
    until(&mut world, Reason::Holding);
    assert_eq!(world.written(), 1);
}
