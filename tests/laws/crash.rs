//! Law 5: kill the operator before or after any write, restart it, and the same end state is reached with the same history.

use freethread_rollout::{
    api::{BenefitOutcome, OnBlind, OnStandardChange, Phase, Reason, Span},
    decide::Guards,
    judge::{Blind, FindingKind},
};

use super::{
    benefit::found,
    check::LAWS,
    findings::{breach, clear},
    world::World,
};

/// Something that happens once the persisted status says so.
type Event = (fn(&World) -> bool, fn(&mut World));

#[derive(Clone)]
struct Script {
    name: &'static str,
    events: Vec<Event>,
    end: fn(&World) -> bool,
}

fn at(world: &World, step: i32, reason: Reason) -> bool {
    world.status.step == step && world.status.reason == reason
}

fn back(world: &World) -> bool {
    world.status.phase == Phase::RolledBack && world.written() == 0
}

/// A weight in pods, or in percent of a route.
fn either(world: &World, pods: i32, percent: i32) -> i32 {
    if world.route.is_some() { percent } else { pods }
}

fn known(world: &World) -> BenefitOutcome {
    world.status.benefit.as_ref().map(|known| known.outcome).unwrap_or_default()
}

fn given_back(world: &World) -> bool {
    world.giving_back && world.live.is_none() && world.pods.is_empty()
}

/// The standard pool has what it had, and nothing of ours on it.
fn whole(world: &World) -> bool {
    world.standard.as_ref().is_some_and(|standard| standard.before.is_none() && standard.replicas == 9)
}

fn attempt(world: &World) -> i32 {
    world.status.attempt.as_ref().map_or(0, |attempt| attempt.number)
}

/// The pause of the second step, approved.
const APPROVED: Event = (|w| at(w, 1, Reason::AwaitingApproval), |w| w.say("promote"));

#[allow(clippy::too_many_lines, reason = "a table")]
fn scripts() -> Vec<Script> {
    vec![
        Script {
            name: "to the end, while the standard pool scales",
            events: vec![
                (|w| at(w, 0, Reason::Holding), |w| w.standard.as_mut().unwrap().replicas = 12),
                APPROVED,
                (|w| w.status.phase == Phase::Hybrid, |w| w.standard.as_mut().unwrap().replicas = 6),
            ],
            end: |w| w.status.phase == Phase::Hybrid && w.written() == either(w, 6, 50),
        },
        Script {
            name: "a breach",
            events: vec![APPROVED, (|w| at(w, 2, Reason::Holding), |w| w.finding = breach())],
            end: back,
        },
        Script {
            name: "a breach that passes: rolled back is rolled back",
            events: vec![
                (|w| at(w, 0, Reason::Holding), |w| w.finding = breach()),
                (|w| w.written() == 0, |w| w.finding = clear()),
            ],
            end: back,
        },
        Script {
            name: "abort, retry",
            events: vec![(|w| at(w, 0, Reason::Holding), |w| w.say("abort")), (back, |w| w.say("retry"))],
            end: |w| attempt(w) == 2 && at(w, 0, Reason::Holding),
        },
        Script {
            name: "another standard template",
            events: vec![(
                |w| at(w, 1, Reason::AwaitingApproval),
                |w| w.standard.as_mut().unwrap().hash = "t2".into(),
            )],
            end: |w| attempt(w) == 2 && at(w, 0, Reason::Holding),
        },
        Script {
            name: "another standard template, held, then retried",
            events: vec![
                (|_| true, |w| w.spec.on_standard_change = OnStandardChange::Hold),
                (|w| at(w, 1, Reason::AwaitingApproval), |w| w.standard.as_mut().unwrap().hash = "t2".into()),
                (|w| w.status.reason == Reason::StandardChanged, |w| w.say("retry")),
            ],
            end: |w| attempt(w) == 2 && at(w, 0, Reason::Holding),
        },
        Script {
            name: "another image",
            events: vec![(|w| at(w, 0, Reason::Holding), |w| w.spec.free_threaded.image = "other".into())],
            end: |w| attempt(w) == 2 && at(w, 0, Reason::Holding),
        },
        Script {
            name: "another analysis",
            events: vec![(
                |w| at(w, 1, Reason::AwaitingApproval),
                |w| w.spec.analysis.blind_for = Span::from_secs(45),
            )],
            end: |w| attempt(w) == 2 && at(w, 1, Reason::AwaitingApproval),
        },
        Script {
            name: "someone deletes the pool",
            events: vec![
                (
                    |w| at(w, 0, Reason::Holding),
                    |w| {
                        w.live = None;
                        w.pods.clear();
                    },
                ),
                (|w| w.status.reason == Reason::PoolDeleted && w.live.is_some(), |w| w.say("resume")),
            ],
            end: |w| w.status.step == 1 && w.status.reason == Reason::AwaitingApproval,
        },
        Script {
            name: "someone deletes the pool slowly",
            events: vec![(
                |w| at(w, 1, Reason::AwaitingApproval),
                |w| w.live.as_mut().unwrap().deleting = true,
            )],
            end: |w| {
                w.status.reason == Reason::PoolDeleted && w.live.as_ref().is_some_and(|live| !live.deleting)
            },
        },
        Script {
            name: "suspended for a while",
            events: vec![
                (|w| at(w, 1, Reason::AwaitingApproval), |w| w.spec.suspend = true),
                (|w| w.status.reason == Reason::Suspended && w.written() == 0, |w| w.spec.suspend = false),
            ],
            end: |w| at(w, 1, Reason::AwaitingApproval) && w.written() == either(w, 3, 25),
        },
        Script {
            name: "not worth it",
            events: vec![
                (
                    |_| true,
                    |w| {
                        w.spec.steps.truncate(1);
                        let asked = serde_json::json!({"atLeast": "20%", "onNone": "GiveBack"});
                        w.spec.benefit = Some(serde_json::from_value(asked).unwrap());
                    },
                ),
                (
                    |w| w.status.phase == Phase::Hybrid,
                    |w| w.finding.benefit = found(w, BenefitOutcome::NoBenefit),
                ),
            ],
            end: |w| {
                w.status.phase == Phase::NoBenefit
                    && w.written() == 0
                    && known(w) == BenefitOutcome::NoBenefit
            },
        },
        Script {
            name: "blind for too long",
            events: vec![(
                |w| at(w, 0, Reason::Holding),
                |w| {
                    w.spec.analysis.on_blind = OnBlind::RollBack;
                    w.finding = clear();
                    (w.finding.kind, w.finding.blind) = (FindingKind::Unknown, Blind::OurPool);
                },
            )],
            end: back,
        },
        Script {
            name: "an image that does not start",
            events: vec![(|_| true, |w| w.ready_after = Some(10_000_000))],
            end: |w| back(w) && w.status.reason == Reason::ProgressDeadlineExceeded,
        },
        Script {
            name: "the rollout is deleted",
            events: vec![(|w| at(w, 1, Reason::AwaitingApproval), |w| w.deleting = true)],
            end: |w| w.live.is_none() && w.deleting,
        },
        Script {
            name: "the operator is uninstalled",
            events: vec![(|w| at(w, 1, Reason::AwaitingApproval), |w| w.giving_back = true)],
            end: |w| given_back(w) && w.status.phase == Phase::Pending,
        },
        Script {
            name: "the operator is uninstalled after a rollback",
            events: vec![
                (|w| at(w, 0, Reason::Holding), |w| w.finding = breach()),
                (back, |w| w.giving_back = true),
            ],
            end: |w| given_back(w) && w.status.reason == Reason::ErrorRate && attempt(w) == 1,
        },
        Script {
            name: "the operator is uninstalled, and installed again",
            events: vec![
                (|w| at(w, 0, Reason::Holding), |w| w.giving_back = true),
                (|w| w.status.phase == Phase::Pending && given_back(w), |w| w.giving_back = false),
            ],
            end: |w| attempt(w) == 1 && at(w, 0, Reason::Holding),
        },
    ]
}

/// What only a route's percent can have: all of the traffic, and a standard pool that is handed over.
fn by_route_alone() -> Vec<Script> {
    let promote: Event = (
        |_| true,
        |w| {
            w.spec.steps.truncate(1);
            w.spec.steps[0].weight = 100;
            w.finding.observed = None;
            w.spec.hand_over = Some(serde_json::from_value(serde_json::json!({"after": "5s"})).unwrap());
        },
    );
    let handed: fn(&World) -> bool = |w| w.status.message.contains("the standard pool keeps 1 of 9 pods");
    vec![
        Script {
            name: "handed over, and back for a breach",
            events: vec![promote, (handed, |w| w.finding = breach())],
            end: |w| back(w) && whole(w),
        },
        Script {
            name: "handed over, and the rollout is deleted",
            events: vec![promote, (handed, |w| w.deleting = true)],
            end: |w| w.live.is_none() && whole(w),
        },
        Script {
            name: "handed over, and another standard template",
            events: vec![promote, (handed, |w| w.standard.as_mut().unwrap().hash = "t2".into())],
            end: |w| attempt(w) == 2 && w.status.message.contains("the standard pool keeps 1 of 9 pods"),
        },
    ]
}

/// Writes that stand for none of them lost to a crash, but a rise refused by the API server.
const REFUSED: usize = 4;

/// Runs to the end. `crash`: the pass in which the operator dies, and the writes that it still makes.
/// Returns what is to be the same, and the number of passes.
fn run(script: &Script, by_route: bool, crash: Option<(usize, usize)>) -> (String, usize) {
    let mut world = if by_route { World::by_route(7) } else { World::new(7) };
    world.ready_after = Some(1500);
    let mut events = script.events.iter();
    let mut next = events.next();
    let mut calm = 0;
    for pass in 0..400 {
        if let Some((when, what)) = next
            && when(&world)
        {
            what(&mut world);
            next = events.next();
        }
        let (observation, decision) = world.decide(Guards::ALL);
        for (number, law) in LAWS {
            if let Err(broken) = law(&world, &observation, &decision) {
                panic!("{}, crash {crash:?}, pass {pass}: law {number}: {broken}", script.name);
            }
        }
        let dies = crash.filter(|(when, _)| *when == pass);
        world.refuse_rise = dies.is_some_and(|(_, writes)| writes == REFUSED);
        world.act(&decision, dies.map_or(usize::MAX, |(_, writes)| writes));
        if dies.is_some() {
            world.tick(3000);
        } else if decision.wake_at != Some(world.now) {
            world.tick(500);
        }
        // A few passes more: what is reached has to stay.
        // By a route pods go a moment after their weight.
        let drained = world.written() > 0 || world.live.as_ref().is_none_or(|live| live.replicas == 0);
        calm = if next.is_none() && drained && (script.end)(&world) { calm + 1 } else { 0 };
        if calm == 6 {
            return (end_state(&world), pass);
        }
    }
    panic!("{}, crash {crash:?}: never ends: {:#?}", script.name, world.status);
}

fn end_state(world: &World) -> String {
    let status = &world.status;
    let history: Vec<_> = status
        .history
        .iter()
        .map(|entry| {
            // By a route pods and gateway are waited for apart: for which of them first depends on how long the operator was away.
            let waits =
                matches!(entry.reason, Reason::WaitingForPods | Reason::RouteNotAccepted | Reason::Stepping);
            if world.route.is_some() && waits {
                return format!("{:?} {}", entry.phase, entry.weight);
            }
            format!("{:?} {:?} {} {}", entry.phase, entry.reason, entry.weight, entry.message)
        })
        .collect();
    // How many pods a route's weight has beyond what it needs depends on how many there were at its time.
    let pods = |replicas: i32| if world.route.is_some() { i32::from(replicas > 0) } else { replicas };
    let pool =
        world.live.as_ref().map(|live| (pods(live.replicas), live.hash.clone(), live.rollback.clone()));
    let route = world.route.as_ref().map(|route| (route.written, route.note.clone()));
    let mut weights: Vec<_> = status
        .attempt
        .iter()
        .flat_map(|attempt| &attempt.weight_changes)
        .map(|change| change.written)
        .collect();
    if world.spec.hand_over.is_some() {
        // On the way home a weight follows pods: which numbers it passes depends on how many became ready meanwhile.
        weights.retain(|weight| [0, 100].contains(weight));
    }
    let standard = world.standard.as_ref().map(|standard| (standard.replicas, standard.before));
    let now =
        (status.phase, status.reason, status.step, status.weight.wanted, attempt(world), &status.message);
    let command = status.command.as_ref().map(|command| &command.result);
    let benefit = status.benefit.as_ref().map(|b| (b.outcome, &b.sentence));
    format!(
        "{benefit:?} {now:#?}\n{history:#?}\n{pool:#?} {route:?} {standard:?}\n{weights:?}\n{command:?}\n{:?}",
        status.drift
    )
}

#[test]
fn law5_every_crash_point_is_safe() {
    let both = scripts().into_iter().flat_map(|script| [(script.clone(), false), (script, true)]);
    let alone = by_route_alone().into_iter().map(|script| (script, true));
    let mut points = 0;
    for (script, by_route) in both.chain(alone) {
        let (whole, passes) = run(&script, by_route, None);
        for pass in 0..passes {
            for writes in 0..=REFUSED {
                let (crashed, _) = run(&script, by_route, Some((pass, writes)));
                let name = script.name;
                assert_eq!(
                    crashed, whole,
                    "{name}, by route {by_route}: killed in pass {pass} after {writes} writes"
                );
                points += 1;
            }
        }
    }
    assert!(points > 1000, "{points} crash points");
}
