//! What changes under a rollout: the workload, the spec, our pool in other people's hands, the memory, the clock.

use freethread_rollout::{
    api::{FreeThreadRolloutStatus, OnStandardChange, Phase, Reason, Span},
    decide::{Movement, PoolWanted, decide},
    judge::{Checkpoint, Finding, FindingKind},
    observe::{LogTail, RollbackNote},
};
use jiff::{SignedDuration, Timestamp};

use super::{
    findings::{breach, clear},
    tables::{condition, pass, settle, states, until, world},
    world::World,
};

#[test]
fn the_workload_may_come_and_go() {
    let mut world = world();
    until(&mut world, Reason::Holding);
    let standard = world.standard.take();
    let decision = pass(&mut world);
    assert_eq!((decision.target.weight, decision.status.phase), (0, Phase::Pending));
    assert_eq!(decision.status.message, "Deployment orders does not exist");
    world.standard = standard;
    until(&mut world, Reason::Holding);
    assert_eq!((world.status.step, world.written()), (0, 1));
}

#[test]
fn another_standard_template_restarts_or_holds() {
    let mut world = world();
    until(&mut world, Reason::AwaitingApproval);
    world.standard.as_mut().unwrap().hash = "t2".into();
    let decision = pass(&mut world);
    assert_eq!(
        (decision.target.movement, decision.target.weight, decision.pool),
        (Movement::Fall, 0, PoolWanted::Leave)
    );
    let decision = pass(&mut world);
    assert_eq!((decision.pool, decision.status.attempt.as_ref().unwrap().number), (PoolWanted::Apply, 2));

    let mut world = super::tables::world();
    world.spec.on_standard_change = OnStandardChange::Hold;
    until(&mut world, Reason::Holding);
    world.standard.as_mut().unwrap().hash = "t2".into();
    let decision = settle(&mut world);
    assert_eq!(
        (decision.status.reason, decision.target.weight, decision.pool),
        (Reason::StandardChanged, 1, PoolWanted::Leave)
    );
    // Its template is nowhere any more: what others make of the pool is not what was judged.
    let live = world.live.as_mut().unwrap();
    (live.edited_by, live.edited_at) = (Some("kubectl-edit".into()), Some(world.now));
    for _ in 0..3 {
        let decision = pass(&mut world);
        assert_eq!((decision.target.weight, decision.pool), (0, PoolWanted::Leave));
        assert_eq!((world.status.phase, world.status.reason), (Phase::Paused, Reason::StandardChanged));
        assert!(
            world.status.message.contains("kubectl-edit changed Deployment orders-ft"),
            "{}",
            world.status.message
        );
        assert_eq!(world.status.drift.as_ref().unwrap().count, 1);
    }
    world.say("retry");
    until(&mut world, Reason::Holding);
    assert_eq!(world.status.attempt.as_ref().unwrap().number, 2);
    assert!(world.live.as_ref().unwrap().hash.starts_with("t2/"));
}

#[test]
fn a_pool_that_is_deleted_while_the_template_is_held_is_restored_at_zero() {
    let mut world = world();
    world.spec.on_standard_change = OnStandardChange::Hold;
    until(&mut world, Reason::Holding);
    world.standard.as_mut().unwrap().hash = "t2".into();
    settle(&mut world);
    world.live = None;
    world.pods.clear();
    pass(&mut world);
    assert_eq!((world.status.phase, world.status.reason), (Phase::Paused, Reason::PoolDeleted));
    settle(&mut world);
    assert_eq!(world.written(), 0);
    assert!(world.live.is_some(), "restored");
}

#[test]
fn rolled_back_ends_with_a_real_change() {
    type Change = (fn(&mut World), bool);
    let changes: [Change; 5] = [
        (|w| w.spec.free_threaded.image = "fixed".into(), true),
        (|w| w.spec.analysis.blind_for = Span::from_secs(45), true),
        (|w| w.standard.as_mut().unwrap().hash = "t2".into(), true),
        (|w| w.spec.steps[0].weight = 5, false),
        (|w| w.spec.suspend = true, false),
    ];
    for (index, (change, restarts)) in changes.into_iter().enumerate() {
        let mut world = world();
        until(&mut world, Reason::Holding);
        world.finding = breach();
        settle(&mut world);
        world.finding = clear();
        change(&mut world);
        pass(&mut world);
        let number = world.status.attempt.as_ref().unwrap().number;
        assert_eq!(
            (number, world.status.phase == Phase::RolledBack),
            (1 + i32::from(restarts), !restarts),
            "change {index}"
        );
    }
}

#[test]
fn edits_are_put_back_and_the_third_is_a_contest() {
    let mut world = world();
    until(&mut world, Reason::Holding);
    world.spec.steps[0].hold = Some(Span::from_secs(3600));
    let edit = |world: &mut World| {
        let live = world.live.as_mut().unwrap();
        (live.edited_by, live.edited_at) = (Some("argocd-controller".into()), Some(world.now));
    };
    for count in 1..=3 {
        world.tick(3000);
        edit(&mut world);
        let decision = pass(&mut world);
        assert_eq!(decision.pool, PoolWanted::Apply, "put back, time {count}");
        assert_eq!(decision.status.drift.as_ref().unwrap().count, count);
        assert!(
            decision.events.iter().any(|note| note.message.contains("argocd-controller")),
            "{:?}",
            decision.events
        );
        assert_eq!(decision.events.len(), 1, "one sentence each time");
    }
    assert_eq!(
        (world.status.phase, world.status.reason, world.written()),
        (Phase::Paused, Reason::PoolContested, 1)
    );
    assert_eq!(condition(&world, "Stalled").0, "True");
    assert!(condition(&world, "Stalled").1.contains("argocd-controller"));
    // Two that undo each other at once would do it for ever.
    for _ in 0..2 {
        edit(&mut world);
        let decision = pass(&mut world);
        assert_eq!(decision.pool, PoolWanted::Leave);
        let wake_at = decision.wake_at.unwrap();
        assert!(wake_at > world.now && wake_at <= world.now + SignedDuration::from_secs(30));
        world.tick(10_000);
    }
    world.tick(10_000);
    assert_eq!(pass(&mut world).pool, PoolWanted::Apply);
    assert!(world.live.as_ref().unwrap().edited_by.is_none(), "put back all the same");
    assert_eq!((world.status.reason, world.status.drift.as_ref().unwrap().count), (Reason::PoolContested, 5));
    world.say("resume");
    until(&mut world, Reason::Holding);
    assert_eq!(states(&world), "True False False");
}

#[test]
fn a_pool_that_the_api_server_refuses_says_why() {
    let mut world = world();
    pass(&mut world);
    world.live = None;
    let mut observation = world.observe();
    observation.free_threaded.trouble = Some("exceeded quota: deployments".into());
    let decision = decide(&world.input(&observation));
    assert_eq!((decision.status.phase, decision.pool), (Phase::Pending, PoolWanted::Apply));
    assert_eq!(
        decision.status.message,
        "the free-threaded pool orders-ft is being built (exceeded quota: deployments)"
    );
    let available = decision.status.conditions.iter().find(|c| c.type_ == "PoolAvailable").unwrap();
    assert_eq!(available.message, "Deployment orders-ft does not exist: exceeded quota: deployments");
}

#[test]
fn a_pool_that_stays_refused_ends_at_the_deadline() {
    let mut world = world();
    world.refuse_pool = Some("exceeded quota: deployments".into());
    until(&mut world, Reason::WaitingForPods);
    let since = world.status.attempt.as_ref().unwrap().waiting_since.clone().unwrap().0;
    assert_eq!(pass(&mut world).wake_at, Some(since + SignedDuration::from_secs(60)));
    assert_eq!(world.status.phase, Phase::Pending);
    world.now = since + SignedDuration::from_secs(60);
    pass(&mut world);
    assert_eq!(
        (world.status.phase, world.status.reason),
        (Phase::RolledBack, Reason::ProgressDeadlineExceeded)
    );
    assert_eq!(
        world.status.message,
        "step 1/3: the free-threaded pool orders-ft is not built after 1m (exceeded quota: deployments); traffic is back on the standard pool"
    );
    world.refuse_pool = None;
    world.say("retry");
    until(&mut world, Reason::Holding);
    assert_eq!(world.status.attempt.as_ref().unwrap().waiting_since, None);
}

/// Its deadline is for a pool that was never there: one that is fought over, and put back after the person has resumed, goes on.
#[test]
fn a_contest_that_a_person_ends_is_no_missed_deadline() {
    let mut world = world();
    until(&mut world, Reason::Holding);
    for _ in 0..3 {
        world.tick(3000);
        let live = world.live.as_mut().unwrap();
        (live.edited_by, live.edited_at) = (Some("argocd-controller".into()), Some(world.now));
        pass(&mut world);
    }
    // The opponent is faster than any pass, for longer than the deadline.
    for _ in 0..10 {
        let live = world.live.as_mut().unwrap();
        (live.edited_by, live.edited_at) = (Some("argocd-controller".into()), Some(world.now));
        pass(&mut world);
        world.tick(15_000);
    }
    assert_eq!(world.status.reason, Reason::PoolContested);
    assert_eq!(world.status.attempt.as_ref().unwrap().waiting_since, None);
    let live = world.live.as_mut().unwrap();
    (live.edited_by, live.edited_at) = (Some("argocd-controller".into()), Some(world.now));
    world.say("resume");
    pass(&mut world);
    assert_eq!(world.status.phase, Phase::Progressing, "{}", world.status.message);
}

#[test]
fn a_removal_that_is_refused_says_why() {
    let mut world = world();
    until(&mut world, Reason::Holding);
    world.deleting = true;
    world.refuse_pool = Some("denied by policy".into());
    pass(&mut world);
    assert_eq!(
        world.status.message,
        "the rollout is being deleted: traffic goes back first, then the pool goes (denied by policy)"
    );
}

#[test]
fn scaled_by_someone_else_comes_back() {
    let mut world = world();
    until(&mut world, Reason::Holding);
    world.scale(6);
    let decision = pass(&mut world);
    assert_eq!((decision.target.movement, decision.target.weight), (Movement::Fall, 1));
    assert_eq!(
        decision.events[0].message,
        "someone scaled Deployment orders-ft from 1 to 6: put back (once in this attempt)"
    );
    world.scale(0);
    let decision = pass(&mut world);
    assert_eq!(decision.status.drift.as_ref().unwrap().count, 2);
    until(&mut world, Reason::Holding);
    assert_eq!(world.written(), 1);
}

#[test]
fn one_edit_counts_once_however_long_it_takes_to_put_it_back() {
    let mut world = world();
    until(&mut world, Reason::Holding);
    for (edit, count) in [(world.now, 1), (world.now + SignedDuration::from_secs(60), 2)] {
        for _ in 0..4 {
            // The API server refuses: it stays as it is.
            let live = world.live.as_mut().unwrap();
            (live.edited_by, live.edited_at) = (Some("kubectl-edit".into()), Some(edit));
            assert_eq!(pass(&mut world).status.drift.unwrap().count, count);
            world.tick(10_000);
        }
    }
}

#[test]
fn scaled_by_someone_else_to_just_what_the_step_wants_comes_back_while_a_gate_holds() {
    let mut world = world();
    until(&mut world, Reason::Holding);
    world.finding.kind = FindingKind::Unknown;
    world.spec.steps[0].weight = 25;
    settle(&mut world);
    assert_eq!(world.written(), 1, "no evidence, no rise");
    world.scaled_by("kubectl", 3);
    let decision = pass(&mut world);
    assert_eq!((decision.target.movement, decision.target.weight), (Movement::Fall, 1));
    assert!(decision.events[0].message.starts_with("kubectl scaled Deployment orders-ft from 1 to 3"));
}

#[test]
fn the_last_words_of_the_pods_are_kept_until_the_next_attempt() {
    let mut world = world();
    world.spec.steps[0].weight = 40;
    until(&mut world, Reason::Holding);
    let tail = |pod: &str, line: &str| LogTail { pod: pod.into(), lines: vec![line.into()] };
    let ours: Vec<String> = world.pods.iter().map(|(pod, _)| pod.name.clone()).collect();
    assert_eq!(ours.len(), 6);
    let earlier = (0..5).map(|n| tail(&format!("earlier-{n}"), "hello"));
    world.tails = earlier.chain(ours.iter().map(|pod| tail(pod, "before"))).collect();
    world.finding = breach();
    let status = pass(&mut world).status;
    let pods = |status: &FreeThreadRolloutStatus| {
        status.last_logs.iter().map(|log| log.pod.clone()).collect::<Vec<String>>()
    };
    assert_eq!(pods(&status), ours[..3], "of this attempt's pods, bounded");
    // On its way out it says more; that is read when it is gone, and not with each line.
    world.tails[5] = tail(&ours[0], "last");
    assert!(world.pods.is_empty());
    let status = pass(&mut world).status;
    assert_eq!(status.last_logs[0].lines, ["last"]);
    assert_eq!(pods(&status), ours[..3]);
    world.tails.clear();
    world.finding = clear();
    assert_eq!(settle(&mut world).status.last_logs.len(), 3, "an operator that starts anew forgets nothing");
    world.tick(1000);
    world.say("retry");
    until(&mut world, Reason::Holding);
    assert!(world.status.last_logs.is_empty());
}

#[test]
fn a_note_on_the_pool_is_adopted_word_for_word() {
    let mut world = world();
    until(&mut world, Reason::Holding);
    world.scale(0);
    let note = |attempt| RollbackNote {
        attempt,
        phase: Phase::RolledBack,
        reason: Reason::Crash,
        message: "it crashed".into(),
    };
    world.live.as_mut().unwrap().rollback = Some(note(0));
    assert_ne!(pass(&mut world).status.phase, Phase::RolledBack, "of another attempt");
    world.live.as_mut().unwrap().rollback = Some(note(1));
    let status = pass(&mut world).status;
    assert_eq!(
        (status.phase, status.reason, status.message.as_str()),
        (Phase::RolledBack, Reason::Crash, "it crashed")
    );
    assert_eq!(status.history.last().unwrap().message, "it crashed");
}

#[test]
fn a_lost_status_starts_from_zero_and_remembers_a_rollback() {
    let mut world = world();
    until(&mut world, Reason::AwaitingApproval);
    world.status = <_>::default();
    pass(&mut world);
    assert_eq!(world.written(), 0);
    until(&mut world, Reason::Holding);
    world.finding = breach();
    settle(&mut world);
    world.status = <_>::default();
    world.finding = clear();
    assert_eq!(settle(&mut world).status.phase, Phase::RolledBack);
    world.tick(1000);
    world.say("retry");
    until(&mut world, Reason::Holding);
}

#[test]
fn steps_may_become_fewer_or_other_ones() {
    let mut world = world();
    until(&mut world, Reason::AwaitingApproval);
    world.spec.steps[1].weight = 10;
    let decision = pass(&mut world);
    assert_eq!((decision.target.movement, decision.target.weight), (Movement::Fall, 1), "down at once");
    until(&mut world, Reason::AwaitingApproval);
    world.spec.steps[1].weight = 40;
    world.finding.kind = FindingKind::Unknown;
    assert_eq!(settle(&mut world).target.weight, 1, "up only on evidence");
    world.finding = clear();
    until(&mut world, Reason::Holding);
    assert_eq!(world.written(), 6);
    world.spec.steps.truncate(1);
    let decision = settle(&mut world);
    assert_eq!((decision.status.step, decision.target.weight), (0, 1));
}

#[test]
fn a_clock_that_steps_back_stretches_nothing_by_that_much() {
    let mut world = world();
    until(&mut world, Reason::Holding);
    world.now = Timestamp::from_second(1_700_000_000).unwrap();
    let decision = pass(&mut world);
    let at = decision.status.next.unwrap().at.unwrap().0;
    assert_eq!(at, Timestamp::from_second(1_700_000_010).unwrap());
}

#[test]
fn another_analysis_knows_nothing_of_the_evidence_before_it() {
    let mut world = world();
    until(&mut world, Reason::Holding);
    world.finding.checkpoint = Some(Checkpoint { until: world.now.as_millisecond(), data: vec![1] });
    pass(&mut world);
    let before = world.status.attempt.clone().unwrap();
    assert!(before.checkpoint.is_some() && !before.baseline.is_empty());
    world.finding = Finding { history: vec![], checkpoint: None, ..clear() };
    world.spec.analysis.blind_for = Span::from_secs(45);
    pass(&mut world);
    let fresh = world.status.attempt.clone().unwrap();
    assert_eq!((fresh.number, fresh.baseline.len()), (before.number + 1, 0), "its own hour is read");
    assert_eq!((fresh.checkpoint, fresh.step_counts_from, fresh.weight_changes.len()), (None, None, 1));
    assert_eq!(
        world.live.as_ref().unwrap().replicas,
        before.weight_changes.last().unwrap().written,
        "the weight stays"
    );
}

#[test]
fn a_clock_that_steps_back_delays_no_evidence() {
    let mut world = world();
    until(&mut world, Reason::Holding);
    world.now -= SignedDuration::from_hours(1);
    pass(&mut world);
    let from = world.status.attempt.as_ref().unwrap().step_counts_from.as_ref().unwrap().0;
    assert!(from <= world.now + SignedDuration::from_secs(5), "{from} at {}", world.now);
}

#[test]
fn where_all_is_done_safe_and_clear_are_the_same() {
    let mut world = world();
    until(&mut world, Reason::AwaitingApproval);
    world.say("promote");
    until(&mut world, Reason::Completed);
    pass(&mut world);
    let settled = world.status.clone();
    world.finding.kind = FindingKind::Safe;
    pass(&mut world);
    assert_eq!(world.status, settled, "nobody waits for it, and each change would be a write");
}
