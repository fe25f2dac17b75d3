//! Commands: an annotation on the rollout, and the operator's answer in its status.

use jiff::Timestamp;
use kube::{
    ResourceExt,
    api::{Patch, PatchParams},
    runtime::wait::{Condition, await_condition},
};
use serde_json::json;

use super::{
    CliError,
    connect::{Connection, duration},
};
use crate::api::{ANNOTATION_COMMAND, FreeThreadRollout, MANAGER_COMMAND, Span};

/// Longest wait for the operator's answer.
const ANSWER: Span = Span::from_secs(10);

/// Give the command `verb` to the rollout `name`, and wait for the answer.
pub(super) async fn give(
    connection: &Connection,
    name: &str,
    verb: &str,
    now: Timestamp,
) -> Result<(), CliError> {
    // To the millisecond: the same verb twice in a second is two commands.
    let now = Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now);
    let given = format!("{verb}@{now}");
    let patch = Patch::Merge(json!({"metadata": {"annotations": {ANNOTATION_COMMAND: given}}}));
    let params = PatchParams { field_manager: Some(MANAGER_COMMAND.into()), ..PatchParams::default() };
    let api = connection.rollouts();
    let written = connection.bounded("giving the command", api.patch_metadata(name, &params, &patch)).await;
    written.map_err(|error| connection.explain(name, error))?;
    let answered = await_condition(api, name, settled(given.clone()));
    match tokio::time::timeout(duration(ANSWER), answered).await {
        Err(_) => Err(CliError::Unanswered { given, after: ANSWER }),
        Ok(Err(error)) => Err(CliError::Watch(error.to_string())),
        Ok(Ok(None)) => Err(CliError::Gone(name.to_owned())),
        Ok(Ok(Some(rollout))) => match (answer(&rollout, &given), stands(&rollout)) {
            (Some(result), _) => {
                println!("{name}: {result}");
                Ok(())
            }
            (None, by) => Err(CliError::Replaced { given, by: by.unwrap_or("none").to_owned() }),
        },
    }
}

fn stands(rollout: &FreeThreadRollout) -> Option<&str> {
    rollout.annotations().get(ANNOTATION_COMMAND).map(String::as_str)
}

/// What became of this very command.
fn answer<'a>(rollout: &'a FreeThreadRollout, given: &str) -> Option<&'a str> {
    let command = rollout.status.as_ref()?.command.as_ref()?;
    (command.given == given).then_some(command.result.as_str())
}

/// Nothing is left to wait for: it is answered, or replaced, or the rollout is gone.
fn settled(given: String) -> impl Condition<FreeThreadRollout> {
    move |rollout: Option<&FreeThreadRollout>| {
        rollout.is_none_or(|r| answer(r, &given).is_some() || newer(stands(r), &given))
    }
}

/// Whether what stands there was given later than `given`. One from before it is no replacement: a watch may lag behind the patch.
fn newer(stands: Option<&str>, given: &str) -> bool {
    let at = |text: &str| text.split_once('@').and_then(|(_, at)| at.parse::<Timestamp>().ok());
    stands.is_none_or(|text| text != given && at(text) > at(given))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rollout(annotation: &str, answered: Option<&str>) -> FreeThreadRollout {
        let command = answered.map(|given| json!({"given": given, "result": "done"}));
        serde_json::from_value(json!({
            "apiVersion": "freethreading.dev/v1alpha1", "kind": "FreeThreadRollout",
            "metadata": {"name": "a", "annotations": {ANNOTATION_COMMAND: annotation}},
            "spec": {"workloadRef": {"name": "a"}, "freeThreaded": {"image": "a:t"}, "traffic": {"podCount": {}},
                "steps": [{"weight": 10}], "analysis": {"preset": "granian", "errorRate": {"max": "1%"}}},
            "status": {"command": command},
        }))
        .unwrap()
    }

    #[test]
    fn waits_for_the_answer_to_this_very_command() {
        let (earlier, given, later) =
            ("pause@2026-11-23T19:00:00Z", "promote@2026-11-23T19:00:01.5Z", "abort@2026-11-23T19:00:02Z");
        let settled = settled(given.to_owned());
        assert!(!settled.matches_object(Some(&rollout(given, None))));
        assert!(
            !settled.matches_object(Some(&rollout(given, Some(earlier)))),
            "an answer to another command"
        );
        assert!(!settled.matches_object(Some(&rollout(earlier, Some(earlier)))), "the watch lags behind");
        assert!(settled.matches_object(Some(&rollout(given, Some(given)))));
        assert!(settled.matches_object(Some(&rollout(later, None))), "replaced");
        assert!(settled.matches_object(None), "deleted");
    }
}
