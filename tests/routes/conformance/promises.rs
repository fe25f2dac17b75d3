//! What every router promises.

use std::{future::Future, pin::Pin};

use freethread_rollout::api::{ANNOTATION_ROUTE, RouterKind};
use serde_json::{Value, json};

use crate::{
    Result,
    ground::{Ground, Seen},
};

type Played<'a> = Pin<Box<dyn Future<Output = Result<()>> + 'a>>;
type Promise = for<'a> fn(&'a Ground) -> Played<'a>;

/// Name and promise, in the order in which they are played.
pub(crate) const ALL: [(&str, Promise); 13] = [
    ("what is written is read back", |g| Box::pin(read_back(g))),
    ("weight 0 as the first write changes nothing", |g| Box::pin(first_zero(g))),
    ("undone exactly", |g| Box::pin(undone(g))),
    ("what the team edits meanwhile stays", |g| Box::pin(edits_stay(g))),
    ("a falling weight lands on an object that changed meanwhile", |g| Box::pin(falls_anyway(g))),
    ("a rising weight does not", |g| Box::pin(rises_on_what_was_seen(g))),
    ("an object that is gone is no failure on the way down", |g| Box::pin(gone(g))),
    ("somebody else's weight is seen, with their name", |g| Box::pin(named(g))),
    ("Argo CD leaves the weight alone, by the rule that is said", |g| Box::pin(argo_cd(g))),
    ("Flux leaves the weight alone, by the rule that is said", |g| Box::pin(flux(g))),
    ("why the weight is 0 is written with it", |g| Box::pin(noted(g))),
    ("never nothing over nothing", |g| Box::pin(never_nothing(g))),
    ("writing the same again writes nothing", |g| Box::pin(quiet(g))),
];

fn demand(holds: bool, what: impl Into<String>) -> Result<()> {
    if holds { Ok(()) } else { Err(what.into().into()) }
}

async fn read_back(ground: &Ground) -> Result<()> {
    for weight in [1, 5, 25, 50, 100] {
        ground.raise(weight).await?;
        let seen = ground.seen().await?;
        demand(
            seen == Seen { written: Some(weight), least: weight, note: None },
            format!("wrote {weight}, read {seen:?}"),
        )?;
    }
    ground.lower(0).await?;
    let seen = ground.seen().await?;
    demand(seen.written == Some(0), format!("wrote 0, read {seen:?}"))
}

async fn first_zero(ground: &Ground) -> Result<()> {
    let before = ground.object().await?;
    ground.lower(0).await?;
    let (after, seen) = (ground.theirs().await?, ground.seen().await?);
    demand(after["spec"] == before["spec"], "the spec changed")?;
    demand(seen.written.unwrap_or(0) == 0, format!("read {seen:?}"))
}

async fn undone(ground: &Ground) -> Result<()> {
    let before = ground.theirs().await?;
    for weight in [1, 50, 100] {
        ground.raise(weight).await?;
    }
    ground.lower_on(&ground.object().await?, 0, Some("why")).await?;
    ground.give_back().await?;
    if ground.dialect().is_none() {
        // By pod counts there is nothing of the team's: the Deployment is ours.
        let seen = ground.seen().await?;
        return demand(seen.written.unwrap_or(0) == 0, format!("something is left: {seen:?}"));
    }
    let after = ground.theirs().await?;
    demand(before == after, format!("before {before}\nafter  {after}"))
}

/// The list of rules, where there is one.
fn rules(ground: &Ground) -> Option<&'static str> {
    match ground.router {
        RouterKind::PodCount | RouterKind::Flag | RouterKind::TraefikService => None,
        RouterKind::HttpRoute | RouterKind::GrpcRoute => Some("rules"),
        RouterKind::VirtualService => Some("http"),
        RouterKind::HttpProxy => Some("routes"),
    }
}

/// The team takes out a rule of its own and annotates the object.
async fn team_edit(ground: &Ground) -> Result<()> {
    let object = ground.object().await?;
    let mut set = json!({"metadata": {"annotations": {"example.com/owner": "warehouse"}}});
    if let Some(rules) = rules(ground).filter(|_| !ground.is_ours()) {
        let mut all = object["spec"][rules].clone();
        all.as_array_mut().ok_or("no rules")?.remove(0);
        set["spec"] = json!({rules: all});
    }
    ground.edit("team", &set).await
}

async fn edits_stay(ground: &Ground) -> Result<()> {
    let mut wanted = ground.theirs().await?;
    ground.raise(25).await?;
    team_edit(ground).await?;
    ground.raise(50).await?;
    ground.lower(0).await?;
    ground.give_back().await?;
    let after = ground.theirs().await?;
    if ground.is_ours() {
        return demand(after["annotations"]["example.com/owner"] == "warehouse", "the annotation is lost");
    }
    wanted["annotations"]["example.com/owner"] = json!("warehouse");
    if let Some(rules) = rules(ground) {
        wanted["spec"][rules].as_array_mut().ok_or("no rules")?.remove(0);
    }
    demand(after == wanted, format!("wanted {wanted}\nafter  {after}"))
}

async fn falls_anyway(ground: &Ground) -> Result<()> {
    ground.raise(50).await?;
    let before = ground.object().await?;
    team_edit(ground).await?;
    ground.lower_on(&before, 0, None).await?;
    let seen = ground.seen().await?;
    demand(seen.written == Some(0), format!("read {seen:?}"))
}

async fn rises_on_what_was_seen(ground: &Ground) -> Result<()> {
    ground.raise(5).await?;
    let before = ground.object().await?;
    team_edit(ground).await?;
    let refused = ground.raise_on(&before, 50).await.is_err();
    let seen = ground.seen().await?;
    demand(refused && seen.written == Some(5), format!("refused: {refused}, read {seen:?}"))
}

async fn gone(ground: &Ground) -> Result<()> {
    ground.raise(5).await?;
    let before = ground.object().await?;
    ground.delete().await?;
    ground.lower_on(&before, 0, None).await?;
    demand(ground.raise_on(&before, 50).await.is_err(), "raised on an object that is gone")
}

async fn named(ground: &Ground) -> Result<()> {
    ground.raise(50).await?;
    let ours = "freethread-rollout/";
    let otherwise = if ground.router == RouterKind::Flag {
        "/f:metadata/f:annotations/f:freethreading.dev~1flag-weight"
    } else {
        "/f:spec/f:replicas"
    };
    let part = ground.dialect().map_or(otherwise, |dialect| dialect.owned);
    demand(ground.owners(part).await?.iter().any(|owner| owner.starts_with(ours)), "the weight is not ours")?;
    let object = ground.object().await?;
    let set = match ground.dialect() {
        None if ground.router == RouterKind::Flag => {
            json!({"metadata": {"annotations": {"freethreading.dev/flag-weight": "7"}}})
        }
        None => json!({"spec": {"replicas": 7}}),
        Some(_) => {
            // As a GitOps tool does: the object as it was, over everything.
            let text = std::fs::read_to_string(format!("tests/routes/{}.yaml", ground.router))?;
            let manifest: Value = serde_yaml::from_str(&text)?;
            json!({"spec": manifest["spec"]})
        }
    };
    ground.edit("somebody", &set).await?;
    let seen = ground.seen().await?;
    demand(seen.written != Some(50), format!("read {seen:?} after {object}"))?;
    let owners = ground.owners(part).await?;
    demand(owners.contains(&"somebody".to_owned()), format!("the weight belongs to {owners:?}"))
}

async fn weighs(ground: &Ground, weight: i32, when: &str) -> Result<()> {
    let seen = ground.seen().await?;
    demand(seen.written == Some(weight) && seen.least == weight, format!("{when}: read {seen:?}"))
}

/// Another edit of the team's in Git.
fn edited(git: &Value) -> Value {
    let mut git = git.clone();
    git["metadata"]["annotations"]["example.com/owner"] = json!("warehouse");
    git
}

async fn arrived(ground: &Ground) -> Result<()> {
    let object = ground.object().await?;
    demand(
        object["metadata"]["annotations"]["example.com/owner"] == "warehouse",
        "an edit in Git does not arrive",
    )
}

/// What it says of the object with a weight of ours is what it said without.
async fn argo_cd(ground: &Ground) -> Result<()> {
    let Some(dialect) = ground.in_git() else { return Ok(()) };
    let rule = Some(dialect.jq);
    for how in ["argocd", "argocd-server-side"] {
        ground.sync(how, &ground.git, None)?;
        let (alone, by_rule) = (ground.sync(how, &ground.git, None)?, ground.sync(how, &ground.git, rule)?);
        ground.raise(25).await?;
        let said = ground.sync(how, &ground.git, rule)?;
        demand(said == by_rule, format!("{how} says {said} at 25 %, and {by_rule} before"))?;
        weighs(ground, 25, how).await?;
        let said = ground.sync(how, &edited(&ground.git), rule)?;
        demand(said == "OutOfSync", format!("{how} says {said} of an edit in Git"))?;
        arrived(ground).await?;
        weighs(ground, 25, how).await?;
        ground.raise(50).await?;
        ground.lower(0).await?;
        ground.give_back().await?;
        ground.sync(how, &ground.git, None)?;
        let said = ground.sync(how, &ground.git, None)?;
        demand(said == alone, format!("{how} says {said} afterwards, and {alone} before"))?;
    }
    Ok(())
}

async fn flux(ground: &Ground) -> Result<()> {
    let Some(dialect) = ground.in_git() else { return Ok(()) };
    let list = if dialect.rules.is_empty() { dialect.backends } else { dialect.rules };
    let (git, pointer) = (&ground.git, format!("/{}", list.join("/")));
    ground.sync("flux", git, None)?;
    demand(ground.sync("flux", git, None)? == "unchanged", "it is never at rest")?;
    ground.raise(25).await?;
    let mut left = git.clone();
    left["metadata"]["annotations"]["kustomize.toolkit.fluxcd.io/ssa"] = json!("IfNotPresent");
    let said = ground.sync("flux", &left, None)?;
    demand(said == "skipped", format!("{said} with the annotation"))?;
    weighs(ground, 25, "with the annotation").await?;
    let said = ground.sync("flux", git, Some(&pointer))?;
    demand(said == "unchanged", format!("{said} with {pointer} ignored"))?;
    let said = ground.sync("flux", &edited(git), Some(&pointer))?;
    demand(said == "configured", format!("{said} after an edit in Git, with {pointer} ignored"))?;
    arrived(ground).await?;
    weighs(ground, 25, "after an edit in Git").await?;
    ground.raise(50).await?;
    ground.lower(0).await?;
    ground.give_back().await?;
    ground.sync("flux", git, None)?;
    let said = ground.sync("flux", git, None)?;
    demand(said == "unchanged", format!("{said} afterwards"))
}

async fn noted(ground: &Ground) -> Result<()> {
    ground.raise(50).await?;
    ground.lower_on(&ground.object().await?, 0, Some("errors 21 %")).await?;
    let seen = ground.seen().await?;
    demand(seen.note.as_deref() == Some("errors 21 %") && seen.written == Some(0), format!("read {seen:?}"))?;
    if ground.dialect().is_some() {
        let object = ground.object().await?;
        let says = if ground.is_ours() { "labels" } else { "annotations" };
        demand(
            object["metadata"][says][ANNOTATION_ROUTE] == "orders",
            "the object does not say whose it is",
        )?;
        ground.give_back().await?;
        demand(ground.seen().await? == Seen { written: None, least: 0, note: None }, "something is left")?;
    }
    Ok(())
}

/// In every list the weights of what is left add up to something.
async fn never_nothing(ground: &Ground) -> Result<()> {
    let Some(dialect) = ground.dialect() else { return Ok(()) };
    for weight in [100, 0] {
        if weight > 0 {
            ground.raise(weight).await?;
        } else {
            ground.lower(weight).await?;
        }
        let object = ground.object().await?;
        let rules = match rules(ground) {
            Some(rules) => object["spec"][rules].as_array().cloned().unwrap_or_default(),
            None => vec![object.clone()],
        };
        for rule in rules {
            let list = dialect.backends.iter().try_fold(&rule, |value, token| value.get(token));
            let Some(list) = list.and_then(Value::as_array) else { continue };
            let weights: Vec<i64> = list.iter().filter_map(|backend| backend["weight"].as_i64()).collect();
            demand(weights.is_empty() || weights.iter().sum::<i64>() > 0, format!("{weight} %: {rule}"))?;
            if let Some(sum) = dialect.sum.filter(|_| weights.len() > 1) {
                demand(weights.iter().sum::<i64>() == sum, format!("{weight} %: not {sum}: {rule}"))?;
            }
        }
    }
    Ok(())
}

async fn quiet(ground: &Ground) -> Result<()> {
    ground.raise(25).await?;
    let before = ground.object().await?;
    ground.lower_on(&before, 25, None).await?;
    let after = ground.object().await?;
    let version = |object: &Value| object["metadata"]["generation"].clone();
    demand(version(&before) == version(&after), "the same weight was written again")
}
