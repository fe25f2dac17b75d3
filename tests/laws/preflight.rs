//! The image before it gets traffic, case by case.

use freethread_rollout::{
    api::{Check, Phase, PreflightVerdict, Reason},
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
    let known = world.status.preflight.as_ref().and_then(|known| known.inspect.as_ref()).unwrap();
    (known.verdict, known.again)
}

#[test]
fn a_clean_image_is_inspected_once_and_then_its_pool_is_built() {
    let mut world = inspected("Require", PreflightVerdict::Passed);
    let first = pass(&mut world);
    assert_eq!((first.job, first.pool), (JobWanted::Create(Check::Inspect), PoolWanted::Leave));
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
            && note.message == "preflight of image orders:1-ft: the image: Unknown; it is tried again"),
        "{:?}",
        decision.events
    );
    let next = world.status.next.clone().unwrap();
    let at = world.status.preflight.clone().unwrap().inspect.unwrap().at.unwrap().0;
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
    let known = world.status.preflight.clone().unwrap().inspect.unwrap();
    assert_eq!(known.image_id.as_deref(), Some("orders@sha256:b"));
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

fn measured(speed: i64, min_speedup: &str) -> World {
    let mut world = inspected("Require", PreflightVerdict::Passed);
    let asked = serde_json::json!({"import": ["app"], "stress": {"commands": [{"name": "race", "command": ["race"]}]},
        "benchmark": {"command": ["work"], "minSpeedup": min_speedup, "budget": "1h"}});
    world.spec.preflight = Some(serde_json::from_value(asked).unwrap());
    world.speed = speed;
    world
}

fn benchmark(world: &World) -> freethread_rollout::api::CheckStatus {
    world.status.preflight.clone().unwrap().benchmark.unwrap()
}

fn benchmark_rounds(world: &World) -> usize {
    world
        .status
        .preflight
        .as_ref()
        .and_then(|known| Some(known.benchmark.as_ref()?.rounds.len()))
        .unwrap_or(0)
}

#[test]
fn checks_are_done_one_after_the_other_and_a_benchmark_round_by_round() {
    let mut world = measured(300_000, "10%");
    let mut created = Vec::new();
    let mut said = Vec::new();
    while world.status.reason != Reason::Holding {
        let decision = pass(&mut world);
        created.extend(match decision.job {
            JobWanted::Create(check) => Some(check),
            _ => None,
        });
        said.push(world.status.message.clone());
        assert!(world.live.is_none() || created.len() >= 6, "no pool before all is known");
    }
    assert_eq!(
        created,
        [
            Check::Inspect,
            Check::Stress,
            Check::Benchmark,
            Check::Benchmark,
            Check::Benchmark,
            Check::Benchmark
        ]
    );
    assert!(said.contains(&"image orders:1-ft is stressed by Job orders-preflight".to_owned()), "{said:?}");
    let measuring = "image orders:1-ft is measured against the standard image by Job orders-preflight; 3 of at least 4 \
                     rounds are measured";
    assert!(said.contains(&measuring.to_owned()), "{said:?}");
    let known = benchmark(&world);
    assert_eq!((known.verdict, known.rounds.len()), (PreflightVerdict::Passed, 4));
    assert!(
        known.sentence.starts_with("1.36 times as fast as the standard image (95 % interval "),
        "{}",
        known.sentence
    );
}

#[test]
fn an_image_that_is_not_worth_it_ends_without_traffic() {
    let mut world = measured(0, "20%");
    until(&mut world, Reason::NoBenefit);
    settle(&mut world);
    assert_eq!((world.status.phase, world.live.is_none()), (Phase::NoBenefit, true));
    let message = &world.status.message;
    assert!(message.starts_with("preflight of image orders:1-ft: 1.01 times as fast"), "{message}");
    assert!(message.contains("less than the 1.20 wanted"), "{message}");
    assert_eq!(condition(&world, "PreflightPassed").0, "False");
    assert_eq!(states(&world), "True False False");
    // What is wanted is edited: the same rounds say something else.
    let rounds = benchmark(&world).rounds;
    let asked = world.spec.preflight.as_mut().unwrap().benchmark.as_mut().unwrap();
    asked.min_speedup = "30%".parse().unwrap();
    settle(&mut world);
    assert_eq!(world.status.reason, Reason::NoBenefit, "it is asked for more than before");
    // Or no longer needed.
    let asked = world.spec.preflight.as_mut().unwrap().benchmark.as_mut().unwrap();
    asked.policy = freethread_rollout::api::PreflightPolicy::Warn;
    until(&mut world, Reason::Holding);
    assert_eq!(benchmark(&world).rounds, rounds, "nothing is measured again");
}

#[test]
fn a_retry_after_no_benefit_measures_anew() {
    let mut world = measured(0, "20%");
    until(&mut world, Reason::NoBenefit);
    settle(&mut world);
    let stress = world.status.preflight.clone().unwrap().stress.unwrap();
    world.speed = 500_000;
    world.say("retry");
    until(&mut world, Reason::Holding);
    assert_eq!(result(&world), "attempt 2 begins, with fresh evidence");
    assert!(benchmark(&world).sentence.starts_with("1.6"), "{}", benchmark(&world).sentence);
    assert_eq!(
        world.status.preflight.clone().unwrap().stress.unwrap(),
        stress,
        "what passed is not done again"
    );
}

#[test]
fn a_benchmark_that_cannot_tell_in_its_budget_waits_for_a_person() {
    // 10 % is wanted, and it is 10 %.
    let mut world = measured(90_310, "10%");
    while world.status.reason != Reason::PreflightUnknown && benchmark_rounds(&world) <= 30 {
        pass(&mut world);
    }
    assert_eq!(benchmark(&world).rounds.len(), 30);
    let message = world.status.message.clone();
    assert!(message.contains("30 rounds in 1h did not suffice to tell it from the 1.10 wanted"), "{message}");
    world.tick(4 * 3_600_000);
    settle(&mut world);
    assert_eq!((world.status.message.as_str(), benchmark(&world).rounds.len()), (message.as_str(), 30));
    // A shorter budget ends it earlier.
    let mut world = measured(90_310, "10%");
    world.spec.preflight.as_mut().unwrap().benchmark.as_mut().unwrap().budget = "1m".parse().unwrap();
    until(&mut world, Reason::PreflightUnknown);
    assert!((2..30).contains(&benchmark(&world).rounds.len()), "{}", benchmark(&world).rounds.len());
}
