//! The part of the small world that a hand-over makes: a standard pool that keeps a few pods while all of its traffic is elsewhere.

use freethread_rollout::{
    api::{Phase, Reason},
    decide::{Decision, Guards, Movement, StandardWanted},
    observe::{Observation, Obstacle},
};

use super::{findings::breach, world::World};

/// What is asked for where a rollout ends at 100 %.
pub(crate) fn ask_for_hand_over(world: &mut World) {
    let standby = world.random.pick(&[1, 2, 20]);
    let after = world.random.pick(&["0s", "0s", "10s"]);
    world.spec.hand_over =
        Some(serde_json::from_value(serde_json::json!({"standby": standby, "after": after})).unwrap());
    let last = world.random.pick(&[1, 1, 3]);
    world.spec.steps.truncate(last);
    world.spec.steps.last_mut().unwrap().weight = 100;
}

impl World {
    /// The standard pool's replicas, and what stands on it.
    pub(crate) fn scale_standard(&mut self, wanted: StandardWanted) {
        let Some(standard) = self.standard.as_mut() else { return };
        match wanted {
            StandardWanted::Leave => {}
            StandardWanted::Shrink { had, to } => {
                standard.before = Some(had);
                standard.replicas = to;
                standard.unready = standard.unready.min(to);
            }
            // A pod that is new is not ready.
            StandardWanted::Grow { to, .. } => {
                standard.starting += to - standard.replicas;
                standard.unready += to - standard.replicas;
                standard.replicas = to;
            }
            StandardWanted::Release => standard.before = None,
        }
    }

    /// One more pod of those that came back is ready, by chance where pods take any time.
    pub(crate) fn bring_up_standard(&mut self) {
        let soon = self.ready_after.is_some() || self.random.percent(60);
        let Some(standard) = self.standard.as_mut().filter(|standard| standard.starting > 0 && soon) else {
            return;
        };
        standard.starting -= 1;
        standard.unready = (standard.unready - 1).max(0);
    }
}

/// The share in percent that nobody but our pool can take, because the standard pool was handed over and is not back yet.
pub(crate) fn held(seen: &Observation) -> i32 {
    let ours = seen.free_threaded.pods.iter().any(|pod| pod.ready_since.is_some());
    let Some((standard, had)) = seen.standard.as_ref().and_then(|s| Some((s, s.before?))) else { return 0 };
    let needed = had.max(seen.free_threaded.live.as_ref().map_or(0, |live| live.replicas));
    let ready = standard.pods.iter().filter(|pod| pod.ready_since.is_some()).count();
    let missing = (needed - i32::try_from(ready).unwrap()).max(0);
    if ours { (100 * missing / needed).min(seen.route.written.unwrap_or(0)) } else { 0 }
}

/// The standard pool shrinks only where all of its traffic is elsewhere for good, and it comes back before its traffic does.
pub(crate) fn law(world: &World, seen: &Observation, decision: &Decision) -> Result<(), String> {
    let demand = |holds: bool, what: &str| if holds { Ok(()) } else { Err(what.to_owned()) };
    let standard = seen.standard.as_ref();
    let before = standard.and_then(|standard| standard.before);
    let missing = held(seen) > 0 && decision.target.weight < 100;
    match decision.standard {
        StandardWanted::Leave => {
            let whole = standard.zip(before).is_none_or(|(standard, had)| standard.replicas >= had);
            demand(whole || !missing, "traffic goes home to a pool that nobody brings back")
        }
        StandardWanted::Shrink { had, to } => {
            let wanted = world.spec.hand_over.as_ref().ok_or("shrunk unasked")?;
            let standard = standard.ok_or("shrunk what does not exist")?;
            demand(to == wanted.standby && (1..had).contains(&to), "shrunk to something else")?;
            demand(had == standard.replicas && before.is_none(), "not what it had")?;
            demand(standard.scaled_by.is_none(), "shrunk against who decides about it")?;
            let all = seen.route.written == Some(100) && seen.route.serving == Some(100);
            demand(all && decision.target.weight == 100, "shrunk before all of its traffic is elsewhere")?;
            demand(decision.status.phase == Phase::Promoted, "shrunk before the promotion")?;
            demand(world.finding.kind.is_clear(), "shrunk without a clear verdict")?;
            let live = seen.free_threaded.live.as_ref().map_or(0, |live| live.replicas);
            let ready = seen.free_threaded.pods.iter().filter(|pod| pod.ready_since.is_some()).count();
            demand(i32::try_from(ready).unwrap() >= live, "shrunk while ours has too few pods")
        }
        StandardWanted::Grow { seen: from, to } => {
            let standard = standard.ok_or("grown what does not exist")?;
            demand(before.is_some(), "scaled what was not handed over")?;
            demand(from == standard.replicas && to > from, "the standard pool is made smaller")?;
            demand(Some(to) >= before, "fewer than it had")
        }
        StandardWanted::Release => {
            let standard = standard.ok_or("released what does not exist")?;
            demand(before.is_some_and(|had| standard.replicas >= had), "released before it is whole")
        }
    }
}

fn promoted() -> World {
    let mut world = World::by_route(7);
    world.finding.observed = None;
    world.ready_after = Some(2000);
    world.spec.steps.truncate(1);
    world.spec.steps[0].weight = 100;
    world.spec.hand_over =
        Some(serde_json::from_value(serde_json::json!({"standby": 2, "after": "1m"})).unwrap());
    world
}

/// Passes of a second each, until `done`; what was done to the standard pool, and the weights, in their order.
fn play(world: &mut World, mut done: impl FnMut(&World) -> bool) -> Vec<String> {
    let mut all = Vec::new();
    for _ in 0..300 {
        let (seen, decision) = world.decide(Guards::ALL);
        law(world, &seen, &decision).unwrap();
        if decision.standard != StandardWanted::Leave {
            all.push(format!("{:?}", decision.standard));
        }
        if matches!(decision.target.movement, Movement::Rise | Movement::Fall) {
            all.push(decision.target.weight.to_string());
        }
        world.act(&decision, usize::MAX);
        world.tick(1000);
        world.hear_of_the_step();
        if done(world) {
            return all;
        }
    }
    panic!("never: {:#?}", world.status)
}

fn handed_over(world: &World) -> bool {
    world.standard.as_ref().unwrap().before.is_some()
}

#[test]
fn a_promotion_that_has_settled_is_handed_over_and_its_replicas_come_back_before_the_traffic() {
    let mut world = promoted();
    assert_eq!(play(&mut world, handed_over), ["100", "Shrink { had: 9, to: 2 }"]);
    let since = world.status.attempt.as_ref().unwrap().guard_since.clone().unwrap().0;
    assert!(world.now.duration_since(since).as_secs() >= 60, "not before a minute without a finding");
    play(&mut world, |world| world.status.message.contains("the standard pool keeps 2 of 9 pods"));
    assert_eq!(world.status.hand_over.as_ref().unwrap().had, 9);
    world.finding = breach();
    let home = play(&mut world, |world| world.written() == 0 && !handed_over(world));
    let expected = ["Grow { seen: 2, to: 9 }", "77", "66", "55", "44", "33", "22", "11", "Release", "0"];
    assert_eq!(home.iter().filter(|did| *did != "0").count(), expected.len() - 1, "{home:?}");
    assert_eq!(home[..8], expected[..8], "as its pods become ready");
    assert_eq!((world.status.phase, world.status.reason), (Phase::RolledBack, Reason::ErrorRate));
    assert!(
        world.status.message.ends_with("; traffic goes back to the standard pool as its pods become ready")
    );
    assert_eq!(world.standard.as_ref().unwrap().replicas, 9);
}

#[test]
fn while_the_traffic_waits_for_the_standard_pool_the_conditions_say_so() {
    let mut world = promoted();
    play(&mut world, handed_over);
    world.finding = breach();
    play(&mut world, |world| world.written() == 77);
    // None of its pods starts any more.
    world.standard.as_mut().unwrap().starting = 0;
    let (mut before, mut quiet) = (String::new(), 0);
    play(&mut world, |world| {
        let condition = world.status.conditions.iter().find(|c| c.type_ == "TrafficConverged").unwrap();
        assert_eq!(condition.status, "False", "{condition:?}");
        quiet = if condition.message == before { quiet + 1 } else { 0 };
        before.clone_from(&condition.message);
        quiet == 20
    });
    let ready = world.standard.as_ref().map(|standard| standard.replicas - standard.unready).unwrap();
    let expected = format!(
        "0 % wanted, {} % stays until the standard pool can take it: {ready} of 9 pods are ready",
        world.written()
    );
    assert_eq!((before, world.status.phase), (expected, Phase::RolledBack));
    assert_eq!(world.status.next.as_ref().unwrap().what, "the standard pool's pods become ready");
}

#[test]
fn another_rollout_of_the_same_workload_leaves_it_alone() {
    let mut world = World::by_route(7);
    world.obstacles = vec![Obstacle::WorkloadTaken { by: "older".into() }];
    let standard = world.standard.as_mut().unwrap();
    (standard.replicas, standard.before) = (1, Some(9));
    let (_, decision) = world.decide(Guards::ALL);
    assert_eq!(decision.standard, StandardWanted::Leave);
    // Without an older one it was left behind by one that is gone: nobody else would bring it back.
    world.obstacles = vec![];
    let (_, decision) = world.decide(Guards::ALL);
    assert_eq!(decision.standard, StandardWanted::Grow { seen: 1, to: 9 });
}

#[test]
fn a_later_installation_hands_over_again() {
    let mut world = promoted();
    play(&mut world, handed_over);
    world.giving_back = true;
    play(&mut world, |world| world.live.is_none() && world.status.attempt.is_none() && !handed_over(world));
    world.giving_back = false;
    assert_eq!(play(&mut world, handed_over), ["100", "Shrink { had: 9, to: 2 }"]);
}

#[test]
fn where_ours_serves_nothing_the_standby_takes_all_at_once() {
    let mut world = promoted();
    play(&mut world, handed_over);
    for (pod, ready) in &mut world.pods {
        (pod.ready_since, *ready) = (None, None);
    }
    world.finding = breach();
    assert_eq!(play(&mut world, |world| world.written() == 0), ["Grow { seen: 2, to: 9 }", "0"]);
}

#[test]
fn whoever_decides_about_its_replicas_keeps_them_and_it_is_said() {
    let mut world = promoted();
    world.standard.as_mut().unwrap().scaled_by = Some("HorizontalPodAutoscaler orders".into());
    let says = "the standard pool keeps its 9 pods: HorizontalPodAutoscaler orders decides about them";
    play(&mut world, |world| world.status.message.contains(says));
    let since = world.now;
    assert_eq!(
        play(&mut world, |world| world.now.duration_since(since).as_secs() > 120),
        Vec::<String>::new()
    );
}

#[test]
fn somebody_who_scales_it_back_has_it_back_and_it_is_not_taken_again() {
    let mut world = promoted();
    play(&mut world, handed_over);
    world.standard.as_mut().unwrap().replicas = 9;
    assert_eq!(play(&mut world, |world| !handed_over(world)), ["Release"]);
    let since = world.now;
    assert_eq!(
        play(&mut world, |world| world.now.duration_since(since).as_secs() > 120),
        Vec::<String>::new()
    );
    assert_eq!(world.status.phase, Phase::Promoted);
}

#[test]
fn a_hand_over_that_is_not_wanted_any_more_is_undone_with_the_weight_as_it_is() {
    let mut world = promoted();
    play(&mut world, handed_over);
    world.spec.hand_over = None;
    let back = play(&mut world, |world| !handed_over(world));
    assert_eq!(back, ["Grow { seen: 2, to: 9 }", "Release"]);
    let said = |text: &str| world.status.message.contains(text);
    assert!(!said("somebody"), "{}", world.status.message);
    assert_eq!((world.written(), world.status.phase), (100, Phase::Promoted));
}

#[test]
fn a_rollout_that_is_deleted_goes_only_when_its_traffic_has_somewhere_to_go() {
    let mut world = promoted();
    play(&mut world, handed_over);
    world.deleting = true;
    let (_, decision) = world.decide(Guards::ALL);
    assert_eq!(decision.standard, StandardWanted::Grow { seen: 2, to: 9 });
    assert_eq!(decision.target.weight, 77);
    play(&mut world, |world| world.live.is_none() && !handed_over(world));
}
