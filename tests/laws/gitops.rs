//! What GitOps tools see: one rollout in each state that `decide` brings about, as `tests/gitops/rollouts/NAME.json`. The tests in
//! `tests/gitops` read these files: kstatus by its own library, and the Lua of `examples/argocd`.

use std::{fs, path::Path};

use freethread_rollout::{
    api::{BenefitOutcome, FINALIZER, Mode, OnNone, OnStandardChange, Phase, PreflightVerdict, Reason},
    observe::Obstacle,
};
use serde_json::{Value, json};

use super::{
    benefit,
    findings::breach,
    golden::golden,
    tables::{pass, result, settle, until, world},
    world::World,
};

const VERBS: [&str; 5] = ["promote", "pause", "resume", "abort", "retry"];

type Case = (&'static str, fn() -> World);

const CASES: [Case; 32] = [
    ("pending-workload-missing", || {
        let mut world = world();
        world.standard = None;
        settled(world)
    }),
    ("pending-pods", || {
        let mut world = world();
        pass(&mut world);
        world
    }),
    ("pending-route-unusable", || {
        let mut world = by_route();
        world.route.as_mut().unwrap().unusable = Some("HTTPRoute orders does not exist".into());
        settled(world)
    }),
    ("preflight", || reached(inspected(PreflightVerdict::Passed), Reason::PreflightRunning)),
    ("preflight-failed", || settled(reached(inspected(PreflightVerdict::Blocked), Reason::PreflightFailed))),
    ("converging", || {
        let mut world = world();
        for _ in 0..3 {
            pass(&mut world);
        }
        world
    }),
    ("holding", || reached(world(), Reason::Holding)),
    ("holding-by-route", || reached(by_route(), Reason::Holding)),
    ("observing", || {
        let mut world = world();
        world.spec.mode = Mode::Observe;
        settled(world)
    }),
    ("approval", || reached(world(), Reason::AwaitingApproval)),
    ("overshoot", || {
        let mut world = world();
        world.standard.as_mut().unwrap().replicas = 2;
        reached(world, Reason::AwaitingOvershootConsent)
    }),
    ("paused", || {
        let mut world = reached(world(), Reason::Holding);
        world.say("pause");
        settled(world)
    }),
    ("approval-paused", || {
        let mut world = reached(world(), Reason::AwaitingApproval);
        world.say("pause");
        settled(world)
    }),
    ("suspended", || {
        let mut world = reached(world(), Reason::Holding);
        world.spec.suspend = true;
        settled(world)
    }),
    ("standard-changed", || {
        let mut world = reached(world(), Reason::Holding);
        world.spec.on_standard_change = OnStandardChange::Hold;
        world.standard.as_mut().unwrap().hash = "t2".into();
        settled(world)
    }),
    ("pool-deleted", || {
        let mut world = reached(world(), Reason::Holding);
        world.live = None;
        world.pods.clear();
        settled(world)
    }),
    ("pool-contested", || {
        let mut world = reached(world(), Reason::Holding);
        for _ in 0..3 {
            world.scaled_by("argocd-controller", 0);
            settle(&mut world);
        }
        world
    }),
    ("route-contested", || {
        let mut world = by_route();
        for _ in 0..3 {
            settle(&mut world);
            world.scaled_by("argocd-controller", 0);
        }
        settled(world)
    }),
    ("hybrid", completed),
    ("hybrid-paused", || {
        let mut world = completed();
        world.say("pause");
        settled(world)
    }),
    ("promoted", || {
        let mut world = by_route();
        world.spec.steps = serde_json::from_value(json!([{"weight": 100, "hold": "10s"}])).unwrap();
        world.finding.observed = None;
        reached(world, Reason::Completed)
    }),
    ("no-benefit", || {
        let mut world = benefit::asking(OnNone::GiveBack);
        while world.status.phase != Phase::Hybrid {
            pass(&mut world);
        }
        world.finding.benefit = benefit::found(&world, BenefitOutcome::NoBenefit);
        settled(world)
    }),
    ("rolling-back", || {
        let mut world = reached(by_route(), Reason::Holding);
        world.finding = breach();
        pass(&mut world);
        world.route.as_mut().unwrap().taken = jiff::Timestamp::MAX;
        pass(&mut world);
        world
    }),
    ("rolled-back", || {
        let mut world = reached(world(), Reason::Holding);
        world.finding = breach();
        settled(world)
    }),
    ("rolled-back-aborted", || {
        let mut world = reached(world(), Reason::Holding);
        world.say("abort");
        settled(world)
    }),
    ("rolled-back-paused-before", || {
        let mut world = reached(world(), Reason::Holding);
        world.say("pause");
        settle(&mut world);
        world.finding = breach();
        settled(world)
    }),
    ("failed-workload-taken", || obstructed(Obstacle::WorkloadTaken { by: "other".into() })),
    ("failed-managed-by-other", || obstructed(Obstacle::ManagedByOther { what: "Canary orders".into() })),
    ("failed-invalid", || obstructed(Obstacle::Invalid { message: "no such container".into() })),
    ("deleting", || {
        let mut world = reached(world(), Reason::Holding);
        world.deleting = true;
        pass(&mut world);
        world
    }),
    ("uninstalling", || {
        let mut world = reached(world(), Reason::Holding);
        world.giving_back = true;
        pass(&mut world);
        world
    }),
    ("edited-since", || {
        let mut world = reached(world(), Reason::Holding);
        world.generation += 1;
        world
    }),
];

fn by_route() -> World {
    let mut world = World::by_route(1);
    world.ready_after = Some(1000);
    world
}

fn inspected(image: PreflightVerdict) -> World {
    let mut world = world();
    world.spec.preflight = Some(serde_json::from_value(json!({"import": ["app"]})).unwrap());
    world.image = image;
    world
}

fn obstructed(obstacle: Obstacle) -> World {
    let mut world = world();
    world.obstacles = vec![obstacle];
    settled(world)
}

fn completed() -> World {
    let mut world = reached(world(), Reason::AwaitingApproval);
    world.say("promote");
    settled(reached(world, Reason::Completed))
}

fn reached(mut world: World, reason: Reason) -> World {
    until(&mut world, reason);
    world
}

fn settled(mut world: World) -> World {
    settle(&mut world);
    world
}

/// The rollout as the API server has it.
fn object(world: &World) -> Value {
    let mut metadata = json!({"name": "orders", "namespace": "shop", "generation": world.generation,
        "finalizers": [FINALIZER]});
    if world.deleting {
        metadata["deletionTimestamp"] = json!(world.now);
    }
    if let Some(command) = &world.command {
        metadata["annotations"] = json!({"freethreading.dev/command": command});
    }
    json!({"apiVersion": "freethreading.dev/v1alpha1", "kind": "FreeThreadRollout", "metadata": metadata,
        "spec": world.spec, "status": world.status})
}

/// What a person may say here so that something comes of it.
fn accepted(case: fn() -> World) -> Vec<&'static str> {
    let obeyed = |verb: &str| {
        let mut world = case();
        // To an abort that was one already the operator says yes once more.
        if verb == "abort" && world.status.phase.is_over() {
            return false;
        }
        // Later than whatever was said before.
        world.tick(1000);
        world.say(verb);
        for _ in 0..200 {
            pass(&mut world);
            if world.status.command.as_ref().map(|command| &command.given) == world.command.as_ref() {
                let answer = result(&world);
                return !["nothing to", "paused already", "ignored"].iter().any(|no| answer.starts_with(no));
            }
        }
        false
    };
    VERBS.into_iter().filter(|verb| obeyed(verb)).collect()
}

#[test]
fn rollouts_as_gitops_tools_see_them() {
    let mut names: Vec<String> = vec!["new.json".into()];
    // As the API server makes it of the CRD's defaults. Nobody answers yet.
    let mut new = world();
    new.status.observed_generation = -1;
    let mut new = object(&new);
    new["metadata"].as_object_mut().unwrap().remove("finalizers");
    let text = |value: &Value| serde_json::to_string_pretty(value).unwrap() + "\n";
    golden("gitops/rollouts/new.json", &text(&json!({"object": new, "accepts": []})));
    for (name, case) in CASES {
        let document = json!({"object": object(&case()), "accepts": accepted(case)});
        golden(&format!("gitops/rollouts/{name}.json"), &text(&document));
        names.push(format!("{name}.json"));
    }
    names.sort();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/gitops/rollouts");
    let mut there: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    there.sort();
    assert_eq!(there, names, "a file that no case writes any more");
}

#[test]
fn every_phase_is_among_them() {
    let seen: Vec<Phase> = CASES.iter().map(|(_, case)| case().status.phase).collect();
    for phase in Phase::ALL {
        assert!(seen.contains(&phase), "{phase:?}");
    }
}
