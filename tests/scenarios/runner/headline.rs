//! Steps in words.

use serde_json::{Value, json};

use crate::{
    expect,
    vocabulary::{Operator, Step, Watch},
};

/// A step in words, for the one who watches.
pub(crate) fn headline(step: &Step) -> String {
    let (word, rest): (&str, Value) = match step {
        Step::Wait(expected) => ("wait", json!(expect::short(expected))),
        Step::Expect(expected) => ("expect", json!(expect::short(expected))),
        Step::Fault(fault) => ("fault", json!(format!("{} {}", fault.pool.word(), fault.set))),
        Step::Kill(_) => ("kill", json!("the operator that leads")),
        Step::Scale(_) => ("scale", Value::Null),
        Step::Patch(patch) => ("patch", json!(format!("{} {}", patch.kind, patch.name))),
        Step::Apply(_) => ("apply", Value::Null),
        Step::ApplyExamples(_) => ("apply-examples", Value::Null),
        Step::Delete(_) => ("delete", Value::Null),
        Step::Operator(Operator::Uninstall) => ("operator", json!("uninstall")),
        Step::Operator(Operator::Install(install)) => match install.watch {
            Some(Watch::Here) => ("operator", json!("install, for this namespace alone")),
            None => ("operator", json!("install")),
        },
        Step::ApplyElsewhere => ("apply-elsewhere", Value::Null),
        Step::ExpectElsewhere(_) => ("expect-elsewhere", json!("untouched")),
        Step::Command(verb) => ("kubectl freethread", json!(verb)),
        Step::Rate(_) => ("rate", Value::Null),
        Step::Headers(headers) => ("headers", json!(format!("{headers:?}"))),
        Step::Mark(name) => ("mark", json!(name)),
        Step::ExpectCounts(_) => ("expect-counts", Value::Null),
        Step::ExpectJudged(_) => ("expect-judged", json!("across the mark")),
        Step::ExpectTasks(_) => ("expect-tasks", Value::Null),
        Step::ExpectNext(_) => ("expect-next", Value::Null),
        Step::ExpectEndpoints(_) => ("expect-endpoints", Value::Null),
        Step::ExpectGone(_) => ("expect-gone", Value::Null),
        Step::ExpectOrder(_) => ("expect-order", Value::Null),
        Step::ExpectHistory(_) => ("expect-history", Value::Null),
        Step::ExpectEvent(_) => ("expect-event", Value::Null),
        Step::ExpectObject(_) => ("expect-object", Value::Null),
        Step::ExpectShare(expected) => ("expect-share", json!(format!("{} %", expected.free_threaded))),
        Step::TeamEdits(_) => ("team-edits", json!("its route")),
        Step::RouteReverted(by) => ("route-reverted", json!(format!("by {}", by.manager))),
        Step::ExpectRoute(_) => ("expect-route", json!("as the team left it")),
        Step::ExpectPlugin(expected) => ("expect-plugin", json!(expected.run.join(" "))),
        Step::Never(_) => ("never", Value::Null),
        Step::Lift => ("lift", Value::Null),
    };
    match rest {
        Value::String(rest) => format!("{word} {rest}"),
        _ => word.to_owned(),
    }
}
