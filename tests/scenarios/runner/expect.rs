//! Expectations about what the API server shows. Each says what it is content with, or what it sees instead.

use serde_json::{Value, json};

use crate::{
    cluster::revision,
    stage::word,
    vocabulary::{
        Entry, Expected, ExpectedCondition, ExpectedEndpoints, ExpectedEvent, ExpectedGone, ExpectedHistory,
        ExpectedObject, Went,
    },
    world::{Moment, State, View},
};

type Seen = Result<String, String>;

/// The rollout's status.
pub(crate) fn status(expected: &Expected, state: &State) -> Seen {
    let Some(rollout) = state.rollout() else { return Err("there is no rollout".into()) };
    let Some(status) = &rollout.status else {
        return Err("the rollout has no status: no operator has looked at it".into());
    };
    let view = state.view();
    let seen = format!(
        "{:?} ({}), step {}, {} % wanted, standard {}, free-threaded {}: {}",
        status.phase,
        word(status.reason),
        status.step + 1,
        status.weight.wanted,
        status.standard.ready_label,
        status.free_threaded.ready_label,
        status.message
    );
    let generation = rollout.metadata.generation.unwrap_or(0);
    let mut wrong = Vec::new();
    let mut check = |holds: bool, what: String| {
        if !holds {
            wrong.push(what);
        }
    };
    check(
        status.observed_generation == generation,
        format!("status is about generation {} of {generation}", status.observed_generation),
    );
    check(
        expected.phase.is_empty() || expected.phase.contains(&status.phase),
        format!("phase is not {:?}", expected.phase),
    );
    check(
        expected.reason.is_empty() || expected.reason.contains(&status.reason),
        format!("reason is not {:?}", expected.reason),
    );
    if let Some(step) = expected.step {
        check(status.step + 1 == step, format!("step is not {step}"));
    }
    if let Some(attempt) = expected.attempt {
        let number = status.attempt.as_ref().map_or(0, |attempt| attempt.number);
        check(number == attempt, format!("it is attempt {number}, not {attempt}"));
    }
    if let Some(sentence) = &expected.sentence {
        check(contains(&status.message, sentence), format!("the sentence does not say '{sentence}'"));
    }
    if let Some(wanted) = expected.wanted {
        check(status.weight.wanted == wanted, format!("{wanted} % is not wanted"));
    }
    if let Some(verdict) = &expected.verdict {
        let overall = status.verdict.as_ref().map(|verdict| verdict.overall.as_str()).unwrap_or_default();
        check(overall == verdict, format!("the verdict is '{overall}', not {verdict}"));
    }
    if let Some(standard) = expected.standard {
        check(status.standard.ready == standard, format!("not {standard} standard pods are ready"));
    }
    if let Some(free_threaded) = expected.free_threaded {
        check(
            status.free_threaded.ready == free_threaded,
            format!("not {free_threaded} free-threaded pods are ready"),
        );
    }
    if let Some(note) = &expected.note {
        let notes =
            [&status.standard.note, &status.free_threaded.note].map(|note| note.clone().unwrap_or_default());
        check(
            notes.iter().any(|text| contains(text, note)),
            format!("no pool's note says '{note}': {notes:?}"),
        );
    }
    if let Some(drift) = expected.drift {
        let count = status.drift.as_ref().map_or(0, |drift| drift.count);
        check(count == drift, format!("{count} edits were put back, not {drift}"));
    }
    for (kind, expected) in &expected.conditions {
        let (wanted, says) = match expected {
            ExpectedCondition::Status(status) => (status, ""),
            ExpectedCondition::Both { status, says } => (status, says.as_str()),
        };
        let found = status.conditions.iter().find(|condition| &condition.type_ == kind);
        let is = found
            .map(|condition| format!("{} ({}: {})", condition.status, condition.reason, condition.message));
        let holds =
            found.is_some_and(|condition| &condition.status == wanted && contains(&condition.message, says));
        check(holds, format!("{kind} is not {wanted} {says} but {}", is.unwrap_or_else(|| "missing".into())));
    }
    if wrong.is_empty() {
        Ok(seen)
    } else {
        Err(format!("{}; seen: {seen}; {}", wrong.join(", "), short_view(&view)))
    }
}

fn short_view(view: &View) -> String {
    format!(
        "endpoints: {} standard, {} free-threaded; replicas asked: {:?} and {:?}",
        view.standard_ready, view.free_threaded_ready, view.standard, view.pool
    )
}

/// An expectation in few words.
pub(crate) fn short(expected: &Expected) -> String {
    let mut words = Vec::new();
    let phases: Vec<String> = expected.phase.iter().map(|phase| format!("{phase:?}")).collect();
    let reasons: Vec<String> = expected.reason.iter().map(|&reason| word(reason)).collect();
    if !phases.is_empty() {
        words.push(phases.join(" or "));
    }
    if !reasons.is_empty() {
        words.push(format!("({})", reasons.join(" or ")));
    }
    if let Some(step) = expected.step {
        words.push(format!("at step {step}"));
    }
    if let Some(attempt) = expected.attempt {
        words.push(if attempt == 0 { "without an attempt".into() } else { format!("in attempt {attempt}") });
    }
    if let Some(pods) = expected.standard {
        words.push(format!("{pods} standard pods ready"));
    }
    if let Some(pods) = expected.free_threaded {
        words.push(format!("{pods} free-threaded pods ready"));
    }
    for (kind, condition) in &expected.conditions {
        let (ExpectedCondition::Status(status) | ExpectedCondition::Both { status, .. }) = condition;
        words.push(format!("{kind}={status}"));
    }
    if let Some(note) = &expected.note {
        words.push(format!("a note that says '{note}'"));
    }
    if let Some(drift) = expected.drift {
        words.push(format!("{drift} edits put back"));
    }
    if words.is_empty() { "the rollout".into() } else { words.join(" ") }
}

/// The Service's endpoints.
pub(crate) fn endpoints(expected: &ExpectedEndpoints, view: &View) -> Seen {
    let seen =
        format!("{} standard and {} free-threaded endpoints", view.standard_ready, view.free_threaded_ready);
    let holds = expected.standard.is_none_or(|wanted| wanted == view.standard_ready)
        && expected.free_threaded.is_none_or(|wanted| wanted == view.free_threaded_ready)
        && expected.free_threaded_listed.is_none_or(|wanted| wanted == view.free_threaded_listed);
    if holds {
        Ok(seen)
    } else {
        Err(format!("{seen} ({} listed), expected {expected:?}", view.free_threaded_listed))
    }
}

/// Objects that are gone.
pub(crate) fn gone(expected: &ExpectedGone, view: &View) -> Seen {
    match (expected.rollout && view.rollout, expected.pool && view.pool.is_some()) {
        (false, false) => Ok("gone".into()),
        (true, _) => Err(format!(
            "the rollout is still there: {:?} ({}): {}",
            view.phase,
            word(view.reason),
            view.message
        )),
        (false, true) => Err("the free-threaded pool's Deployment is still there".into()),
    }
}

/// What went in which order, by the API server's own count of changes.
pub(crate) fn order(expected: &[Went], moments: &[Moment]) -> Seen {
    let went = |what: Went| {
        let is_gone = |view: &View| match what {
            Went::Traffic => view.free_threaded_ready == 0,
            Went::Pool => view.pool.is_none(),
            Went::Finalizer => !view.finalizer,
            Went::Rollout => !view.rollout,
        };
        moments.iter().find(|moment| is_gone(&moment.view)).map(|moment| moment.revision)
    };
    let mut last = 0;
    for &what in expected {
        let revision = went(what).ok_or_else(|| format!("{what:?} has not gone"))?;
        if revision < last {
            return Err(format!("{what:?} went before what should have gone first: expected {expected:?}"));
        }
        last = revision;
    }
    let words: Vec<String> = expected.iter().map(|what| format!("{what:?}").to_lowercase()).collect();
    Ok(format!("went in order: {}", words.join(", ")))
}

/// `status.history`.
pub(crate) fn history(expected: &ExpectedHistory, state: &State) -> Seen {
    let history =
        state.rollout().and_then(|rollout| rollout.status.as_ref()).map(|status| status.history.clone());
    let history = history.unwrap_or_default();
    let lines: Vec<String> = history
        .iter()
        .map(|entry| format!("{:?} ({}) {} %", entry.phase, word(entry.reason), entry.weight))
        .collect();
    let seen = lines.join(" -> ");
    let is = |wanted: &Entry, index: usize| {
        let entry = &history[index];
        wanted.phase.is_none_or(|phase| phase == entry.phase)
            && wanted.reason.is_none_or(|reason| reason == entry.reason)
            && wanted.weight.is_none_or(|weight| weight == entry.weight)
    };
    let mut next = 0;
    for wanted in &expected.in_order {
        match (next..history.len()).find(|&index| is(wanted, index)) {
            Some(index) => next = index + 1,
            None => return Err(format!("the history lacks {wanted:?} at its place: {seen}")),
        }
    }
    for unwanted in &expected.without {
        if (0..history.len()).any(|index| is(unwanted, index)) {
            return Err(format!("the history holds {unwanted:?}: {seen}"));
        }
    }
    Ok(seen)
}

/// An event.
pub(crate) fn event(expected: &ExpectedEvent, state: &State) -> Seen {
    let mut others = Vec::new();
    for event in state.events.objects.values() {
        let reason = event.reason.clone().unwrap_or_default();
        let note = event.note.clone().unwrap_or_default();
        let holds = expected.reason.as_ref().is_none_or(|wanted| wanted == &reason)
            && expected.says.as_ref().is_none_or(|says| contains(&note, says));
        if holds {
            return Ok(format!("event {reason}: {note}"));
        }
        if event.regarding.as_ref().and_then(|object| object.kind.as_deref()) == Some("FreeThreadRollout") {
            others.push(format!("{reason}: {note}"));
        }
    }
    Err(format!("no event like {expected:?}; the rollout's events are {others:?}"))
}

/// Requests of the free-threaded pool that the verdict rests on, as its sentence tells them: `errors 0 % of 1,234 requests against ...`.
pub(crate) fn judged(state: &State) -> Result<f64, String> {
    let verdict = state.rollout().and_then(|rollout| rollout.status.as_ref()?.verdict.as_ref());
    let sentence = verdict.map(|verdict| verdict.sentence.clone()).unwrap_or_default();
    let number = sentence.split_once(" of ").and_then(|(_, rest)| rest.split_once(" requests"));
    number
        .and_then(|(number, _)| number.replace(',', "").parse().ok())
        .ok_or_else(|| format!("the verdict tells no requests: '{sentence}'"))
}

/// A Deployment as it was at `since` or later.
pub(crate) fn seen_since(deployment: &str, since: u64, state: &State) -> Seen {
    let seen = state.deployments.objects.get(deployment).map_or(0, revision);
    if seen >= since {
        Ok(String::new())
    } else {
        Err(format!("the watch shows Deployment {deployment} as it was"))
    }
}

/// A field of a Deployment or of a rollout.
pub(crate) fn object(expected: &ExpectedObject, state: &State) -> Seen {
    let (document, name) = match (&expected.deployment, &expected.rollout) {
        (Some(name), _) => (state.deployments.objects.get(name).map(serde_json::to_value), name.as_str()),
        (None, Some(name)) => (state.rollouts.objects.get(name).map(serde_json::to_value), name.as_str()),
        (None, None) => (state.rollout().map(serde_json::to_value), "the rollout"),
    };
    let document = document.ok_or_else(|| format!("there is no {name}"))?.map_err(|e| e.to_string())?;
    let found = document.pointer(&expected.at).cloned().unwrap_or(Value::Null);
    let seen = format!("{} of {name} is {found}", expected.at);
    let holds = expected.is.as_ref().is_none_or(|wanted| json!(wanted) == found)
        && expected.says.as_ref().is_none_or(|text| contains(&found.to_string(), text))
        && expected.lacks.as_ref().is_none_or(|text| !found.to_string().contains(text));
    if holds { Ok(seen) } else { Err(seen) }
}

fn contains(text: &str, part: &str) -> bool {
    text.to_lowercase().contains(&part.to_lowercase())
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[test]
    fn order_is_by_revision_and_not_by_arrival() {
        let moment = |revision, free_threaded_ready, pool, rollout| {
            let view = View { rollout, pool, free_threaded_ready, ..View::default() };
            Moment { at: Instant::now(), revision, view }
        };
        // The rollout's deletion arrived before the pool's, and happened after it.
        let moments = [
            moment(10, 1, Some(1), true),
            moment(11, 0, Some(0), true),
            moment(14, 0, Some(0), false),
            moment(12, 0, None, false),
        ];
        let wanted = [Went::Traffic, Went::Pool, Went::Rollout];
        assert_eq!(order(&wanted, &moments).unwrap(), "went in order: traffic, pool, rollout");
        assert!(order(&[Went::Rollout, Went::Pool], &moments).is_err());
        assert!(order(&wanted, &moments[..2]).is_err());
    }
}
