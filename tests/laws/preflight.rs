//! The image before it gets traffic, case by case.

use freethread_rollout::{
    api::{Phase, PreflightVerdict, Reason},
    decide::{JobWanted, PoolWanted},
};
use jiff::SignedDuration;

use super::{
    tables::{condition, pass, result, settle, states, until, world},
    world::World,
};

fn inspected(inspect: &str, image: PreflightVerdict) -> World {
    let mut world = world();
    let asked = serde_json::json!({"inspect": inspect, "import": ["app"]});
    world.spec.preflight = Some(serde_json::from_value(asked).unwrap());
    world.image = image;
    world
}

fn known(world: &World) -> (PreflightVerdict, bool) {
    world.status.preflight.as_ref().map(|known| (known.verdict, known.again)).unwrap()
}

#[test]
fn a_clean_image_is_inspected_once_and_then_its_pool_is_built() {
    let mut world = inspected("Require", PreflightVerdict::Passed);
    let first = pass(&mut world);
    assert_eq!((first.job, first.pool), (JobWanted::Create, PoolWanted::Leave));
    pass(&mut world);
    assert_eq!((world.status.phase, world.status.reason), (Phase::Preflight, Reason::PreflightRunning));
    assert_eq!(world.status.message, "image orders:1-ft is inspected by Job orders-preflight");
    assert_eq!(condition(&world, "PreflightPassed").0, "Unknown");
    assert_eq!(states(&world), "False False False");
    assert!(world.live.is_none(), "no pool before its image is known");
    until(&mut world, Reason::Holding);
    assert_eq!(known(&world), (PreflightVerdict::Passed, false));
    assert_eq!(condition(&world, "PreflightPassed"), ("True".into(), "the image: Passed".into()));
    // From zero again, with the same image: what is known is known.
    world.spec.suspend = true;
    settle(&mut world);
    world.spec.suspend = false;
    world.job = None;
    until(&mut world, Reason::Holding);
    assert!(world.job.is_none(), "the same image is not inspected twice");
    // Another image is.
    world.spec.free_threaded.image = "other".into();
    until(&mut world, Reason::PreflightRunning);
    assert_eq!((world.written(), world.job.is_some()), (0, true));
}

#[test]
fn a_blocked_image_gets_no_pool_until_somebody_does_something() {
    let mut world = inspected("Require", PreflightVerdict::Blocked);
    until(&mut world, Reason::PreflightFailed);
    settle(&mut world);
    assert_eq!((world.status.phase, world.live.is_none()), (Phase::Failed, true));
    assert_eq!(world.status.message, "preflight of image orders:1-ft: the image: Blocked");
    assert_eq!(states(&world), "False False True");
    assert_eq!(condition(&world, "PreflightPassed").0, "False");
    assert_eq!(world.status.weight.wanted, 0);
    // The progress deadline is for pools.
    world.tick(120_000);
    settle(&mut world);
    assert_eq!(world.status.reason, Reason::PreflightFailed);
    // A person retries: the old Job's word counts no more, and another Job runs.
    let old = world.job.as_ref().unwrap().0.uid.clone();
    world.image = PreflightVerdict::Passed;
    world.say("retry");
    until(&mut world, Reason::Holding);
    assert_ne!(world.job.as_ref().unwrap().0.uid, old);
    assert_eq!(result(&world), "attempt 2 begins, with fresh evidence");
}

#[test]
fn what_cannot_be_told_is_no_pass_and_is_tried_again() {
    let mut world = inspected("Require", PreflightVerdict::Unknown);
    let decision = until(&mut world, Reason::PreflightUnknown);
    assert_eq!((world.status.phase, world.live.is_none()), (Phase::Preflight, true));
    assert!(
        decision.events.iter().any(|note| note.warning
            && note.message == "preflight of image orders:1-ft: the image: Unknown; it is inspected again"),
        "{:?}",
        decision.events
    );
    let next = world.status.next.clone().unwrap();
    let at = world.status.preflight.clone().unwrap().at.unwrap().0;
    assert_eq!(next.at.unwrap().0, at + SignedDuration::from_mins(1));
    world.image = PreflightVerdict::Passed;
    world.tick(61_000);
    until(&mut world, Reason::Holding);
    assert_eq!(known(&world), (PreflightVerdict::Passed, false));
}

#[test]
fn a_warning_waits_for_the_word_and_for_nothing_else() {
    for verdict in [PreflightVerdict::Blocked, PreflightVerdict::Unknown] {
        let mut world = inspected("Warn", verdict);
        pass(&mut world);
        assert!(world.live.is_none());
        let mut warnings = 0;
        while world.status.reason != Reason::Holding {
            let decision = pass(&mut world);
            warnings += decision.events.iter().filter(|note| note.warning).count();
        }
        assert_eq!((known(&world).0, warnings), (verdict, 1));
    }
}

#[test]
fn nothing_is_inspected_that_nobody_asks_for() {
    let mut world = inspected("Skip", PreflightVerdict::Blocked);
    until(&mut world, Reason::Holding);
    assert!(world.job.is_none() && world.status.preflight.is_none());
    assert!(!world.status.conditions.iter().any(|condition| condition.type_ == "PreflightPassed"));
    // Asked for while there is traffic, it stops nothing that serves; no longer asked for, its Job goes.
    world.spec = inspected("Require", PreflightVerdict::Blocked).spec;
    settle(&mut world);
    assert_eq!(world.written(), 1);
    let mut world = inspected("Require", PreflightVerdict::Passed);
    until(&mut world, Reason::PreflightRunning);
    world.spec.preflight = None;
    settle(&mut world);
    assert!(world.job.is_none());
}

#[test]
fn a_tag_that_names_another_image_by_now_gets_no_more() {
    let mut world = inspected("Require", PreflightVerdict::Passed);
    until(&mut world, Reason::Holding);
    for (pod, _) in &mut world.pods {
        pod.image_id = Some("orders@sha256:b".into());
    }
    until(&mut world, Reason::PreflightUnknown);
    assert_eq!((world.status.phase, world.written()), (Phase::Paused, 1));
    assert!(world.status.message.contains("orders@sha256:b"), "{}", world.status.message);
    world.image_id = "orders@sha256:b".into();
    world.say("retry");
    until(&mut world, Reason::AwaitingApproval);
    assert_eq!(world.status.preflight.as_ref().unwrap().image_id.as_deref(), Some("orders@sha256:b"));
}

#[test]
fn an_uninstallation_takes_the_job_along() {
    let mut world = inspected("Require", PreflightVerdict::Passed);
    until(&mut world, Reason::PreflightRunning);
    world.giving_back = true;
    settle(&mut world);
    assert!(world.job.is_none());
}

#[test]
fn mode_observe_inspects_and_says_what_it_waits_for() {
    let mut world = inspected("Require", PreflightVerdict::Blocked);
    world.spec.mode = freethread_rollout::api::Mode::Observe;
    settle(&mut world);
    let mut said = String::new();
    for _ in 0..20 {
        pass(&mut world);
        said.clone_from(&world.status.message);
    }
    assert_eq!(said, "mode Observe: would wait: preflight of image orders:1-ft: the image: Blocked");
}
