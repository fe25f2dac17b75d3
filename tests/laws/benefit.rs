//! Is it worth it: measured at the last step, acted on when the steps are done, and never a reason to rise.

use freethread_rollout::{
    api::{BenefitOutcome, OnNone, Percent, Phase, Reason, Span},
    decide::Movement,
    judge::BenefitFinding,
};

use super::{
    findings::{breach, clear},
    tables::{condition, pass, states, world},
    world::World,
};

/// A rollout that asks for 20 % more.
pub(crate) fn asking(on_none: OnNone) -> World {
    let mut world = world();
    world.spec.steps.truncate(1);
    let asked = serde_json::json!({"atLeast": "20%", "measureFor": "1h", "onNone": on_none});
    world.spec.benefit = Some(serde_json::from_value(asked).unwrap());
    world
}

/// What the judge says of what is measured now.
pub(crate) fn found(world: &World, outcome: BenefitOutcome) -> Option<BenefitFinding> {
    let since = world.status.benefit.as_ref()?.since.as_ref()?;
    Some(BenefitFinding {
        of: world.spec.benefit.as_ref()?.fingerprint(),
        from: since.0.as_millisecond(),
        outcome,
        ratio: Some(1.03),
        low: Some(0.98),
        high: Some(1.08),
        blocks: 24,
        sentence: format!("throughput per core 1.03 times the standard pool's: {outcome:?}"),
    })
}

fn until_phase(world: &mut World, phase: Phase) {
    for _ in 0..200 {
        pass(world);
        if world.status.phase == phase {
            return;
        }
    }
    panic!("never {phase:?}: {:#?}", world.status);
}

fn settled(on_none: OnNone) -> World {
    let mut world = asking(on_none);
    until_phase(&mut world, Phase::Hybrid);
    assert_eq!(world.status.benefit.as_ref().unwrap().outcome, BenefitOutcome::Measuring);
    assert!(world.status.message.ends_with("throughput per core is being measured"));
    world
}

#[test]
fn no_benefit_gives_the_traffic_back_and_that_is_no_rollback() {
    let mut world = settled(OnNone::GiveBack);
    world.finding.benefit = found(&world, BenefitOutcome::NoBenefit);
    let decision = pass(&mut world);
    assert_eq!((decision.target.movement, decision.target.weight), (Movement::Fall, 0));
    assert!(decision.events.iter().all(|note| !note.warning));
    assert_eq!((world.status.phase, world.status.reason), (Phase::NoBenefit, Reason::NoBenefit));
    assert!(world.status.message.ends_with("; traffic is back on the standard pool"));
    // It stays there, whatever is measured or found then.
    for outcome in [BenefitOutcome::Benefit, BenefitOutcome::NoBenefit, BenefitOutcome::Measuring] {
        world.finding.benefit = found(&world, outcome);
        for _ in 0..20 {
            let decision = pass(&mut world);
            assert_eq!((decision.target.weight, world.status.phase), (0, Phase::NoBenefit));
        }
    }
    world.finding = breach();
    assert_eq!(pass(&mut world).status.phase, Phase::NoBenefit);
    assert_eq!(states(&world), "True False False");
    world.finding = clear();
    world.say("retry");
    pass(&mut world);
    assert_eq!((world.status.attempt.as_ref().unwrap().number, world.status.benefit.clone()), (2, None));
}

#[test]
fn another_benefit_is_another_attempt_where_the_traffic_is_back() {
    for change in [
        (|w: &mut World| w.spec.benefit = None) as fn(&mut World),
        |w| w.spec.benefit.as_mut().unwrap().on_none = OnNone::Stay,
        |w| w.spec.benefit.as_mut().unwrap().at_least = Percent::from_ratio(0.05),
    ] {
        let mut world = settled(OnNone::GiveBack);
        world.finding.benefit = found(&world, BenefitOutcome::NoBenefit);
        until_phase(&mut world, Phase::NoBenefit);
        pass(&mut world);
        change(&mut world);
        pass(&mut world);
        assert_eq!(world.status.attempt.as_ref().unwrap().number, 2);
        assert!(world.status.message.contains("spec.benefit changed"), "{}", world.status.message);
    }
}

#[test]
fn where_the_spec_says_stay_it_stays_and_says_so() {
    let mut world = settled(OnNone::Stay);
    let pods = world.written();
    world.finding.benefit = found(&world, BenefitOutcome::NoBenefit);
    let decision = pass(&mut world);
    let sentence = &world.status.benefit.as_ref().unwrap().sentence;
    assert!(decision.events.iter().any(|note| note.message == *sentence && !note.warning));
    assert_eq!((world.status.phase, world.status.reason), (Phase::Hybrid, Reason::NoBenefit));
    assert!(condition(&world, "Ready").1.contains(sentence.as_str()));
    // What is known stands: nothing that is measured later changes it.
    world.finding.benefit = found(&world, BenefitOutcome::Benefit);
    assert!(pass(&mut world).events.is_empty());
    assert_eq!(world.status.benefit.as_ref().unwrap().outcome, BenefitOutcome::NoBenefit);
    assert_eq!(world.written(), pods);
    // Changing one's mind about what follows needs no second measurement.
    world.spec.benefit.as_mut().unwrap().on_none = OnNone::GiveBack;
    pass(&mut world);
    assert_eq!((world.status.phase, world.written()), (Phase::NoBenefit, 0));
}

#[test]
fn a_benefit_and_what_cannot_be_known_stay_where_they_are() {
    for outcome in [BenefitOutcome::Benefit, BenefitOutcome::Unknown] {
        let mut world = settled(OnNone::GiveBack);
        let pods = world.written();
        world.finding.benefit = found(&world, outcome);
        assert_eq!(pass(&mut world).events.len(), 1);
        for _ in 0..5 {
            assert!(pass(&mut world).events.is_empty());
        }
        assert_eq!((world.status.phase, world.status.reason), (Phase::Hybrid, Reason::Completed));
        assert_eq!((world.status.benefit.as_ref().unwrap().outcome, world.written()), (outcome, pods));
    }
}

#[test]
fn nothing_is_acted_on_before_the_steps_are_done_nor_what_is_of_another_time() {
    let mut world = asking(OnNone::GiveBack);
    while world.status.benefit.is_none() {
        pass(&mut world);
    }
    world.finding.benefit = found(&world, BenefitOutcome::NoBenefit);
    pass(&mut world);
    assert_eq!(world.status.phase, Phase::Progressing);
    assert_eq!(world.status.benefit.as_ref().unwrap().ratio.as_deref(), Some("1.030"));
    // Of the step before, or of what was asked before.
    world.finding.benefit.as_mut().unwrap().from -= 1000;
    until_phase(&mut world, Phase::Hybrid);
    world.finding.benefit = found(&world, BenefitOutcome::NoBenefit);
    world.finding.benefit.as_mut().unwrap().of = "other".into();
    pass(&mut world);
    assert_eq!(world.status.phase, Phase::Hybrid);
}

#[test]
fn asked_for_later_it_is_measured_from_then_on_and_an_edit_measures_anew() {
    let mut world = asking(OnNone::Stay);
    let asked = world.spec.benefit.take();
    until_phase(&mut world, Phase::Hybrid);
    world.tick(3_600_000);
    world.spec.benefit = asked;
    pass(&mut world);
    let since = |world: &World| world.status.benefit.as_ref().unwrap().since.clone().unwrap().0;
    assert!(world.now.duration_since(since(&world)).as_secs() < 60);
    world.finding.benefit = found(&world, BenefitOutcome::Unknown);
    pass(&mut world);
    world.tick(600_000);
    world.spec.benefit.as_mut().unwrap().measure_for = Span::from_secs(4 * 3600);
    pass(&mut world);
    assert!(world.now.duration_since(since(&world)).as_secs() < 60);
    assert_eq!(world.status.benefit.as_ref().unwrap().outcome, BenefitOutcome::Measuring);
    assert_eq!(world.status.attempt.as_ref().unwrap().number, 1, "no new attempt");
}
