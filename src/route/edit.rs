//! The JSON patches that set a share and take everything of ours out again. Pure.
//!
//! Every operation that changes something comes after a `test` of what it was decided on: where the object is another one by then, the API
//! server refuses the whole patch, and it is made anew on the object as it is. So what the team edits meanwhile stays.

use json_patch::{AddOperation, Patch, PatchOperation, RemoveOperation, TestOperation, jsonptr::PointerBuf};
use serde_json::{Value, json};

use super::{
    dialect::Dialect,
    shares::{List, Names, Shares, read, step, step_owned},
};
use crate::api::{ANNOTATION_BEFORE, ANNOTATION_ROLLBACK, ANNOTATION_ROUTE, ANNOTATION_STANDARD};

/// Give our Service `percent` (0 to 100) of the standard one's traffic in every list that names it. `note`: why the weight is 0. Empty where the
/// object is so already; 0 adds nothing to an object that has nothing of ours.
pub fn set(dialect: &Dialect, object: &Value, names: Names<'_>, percent: i32, note: Option<&str>) -> Patch {
    let shares = read(dialect, object, names);
    if percent <= 0 && !shares.marked {
        return Patch(Vec::new());
    }
    let mut all = Vec::new();
    for list in &shares.lists {
        share(&mut all, dialect, object, names, list, percent);
    }
    annotate(&mut all, object, &marks(dialect, names, &shares, note));
    Patch(all)
}

/// Take out what is ours, weights and marks, and give the standard Service what it had. Only where our weight is 0.
pub fn give_back(dialect: &Dialect, object: &Value, names: Names<'_>) -> Patch {
    let shares = read(dialect, object, names);
    let mut all = Vec::new();
    for list in shares.lists.iter().filter(|list| !list.ours.is_empty()) {
        let at = |tail: &[String]| pointer(&list.at, tail);
        test_entries(&mut all, dialect, object, list);
        if let Some(standard) = list.standard {
            let path = at(&[standard.to_string(), "weight".into()]);
            match (shares.before(dialect, list), list.written) {
                (None, Some(_)) => all.push(PatchOperation::Remove(RemoveOperation { path })),
                (Some(before), written) if written != Some(before) => {
                    all.push(PatchOperation::Add(AddOperation { path, value: json!(before) }));
                }
                _ => {}
            }
        }
        // From the last one on: the indexes of the others stay.
        for ours in list.ours.iter().rev() {
            all.push(PatchOperation::Remove(RemoveOperation { path: at(&[ours.to_string()]) }));
        }
    }
    annotate(
        &mut all,
        object,
        &[
            (ANNOTATION_ROUTE, None),
            (ANNOTATION_STANDARD, None),
            (ANNOTATION_ROLLBACK, None),
            (ANNOTATION_BEFORE, None),
        ],
    );
    Patch(all)
}

fn share(
    all: &mut Vec<PatchOperation>,
    dialect: &Dialect,
    object: &Value,
    names: Names<'_>,
    list: &List,
    percent: i32,
) {
    let Some(standard_at) = list.standard else { return orphan(all, dialect, object, list, percent) };
    let total = list.total(dialect);
    let ours = match i64::from(percent.clamp(0, 100)) {
        0 => 0,
        // Rounded, and never nothing of something.
        percent => ((2 * total * percent + 100) / 200).clamp(1, total.max(1)),
    };
    let standard = total - ours;
    let entries = step_owned(object, &list.at);
    let entry = |index: usize| entries.and_then(|entries| entries.get(index)).cloned().unwrap_or_default();
    let mut wanted = entry(standard_at);
    (dialect.rename)(&mut wanted, names.standard, names.ours);
    set_weight(&mut wanted, ours);
    let right = |index: usize, first: bool| {
        let mut one = wanted.clone();
        if !first {
            set_weight(&mut one, 0);
        }
        entry(index) == one
    };
    let same = list.written == Some(standard)
        && !list.ours.is_empty()
        && list.ours.iter().enumerate().all(|(nth, index)| right(*index, nth == 0));
    if same || (list.ours.is_empty() && ours == 0) {
        return;
    }
    test_entries(all, dialect, object, list);
    let at = |tail: &[String]| pointer(&list.at, tail);
    let weight = at(&[standard_at.to_string(), "weight".into()]);
    all.push(PatchOperation::Add(AddOperation { path: weight, value: json!(standard) }));
    if list.ours.is_empty() {
        all.push(PatchOperation::Add(AddOperation { path: at(&["-".into()]), value: wanted }));
        return;
    }
    for (nth, index) in list.ours.iter().enumerate().filter(|(nth, index)| !right(**index, *nth == 0)) {
        let mut value = wanted.clone();
        if nth > 0 {
            set_weight(&mut value, 0);
        }
        let path = at(&[index.to_string()]);
        all.push(PatchOperation::Replace(json_patch::ReplaceOperation { path, value }));
    }
}

/// The standard Service is not in the list (any more): whoever else is gets our share. Where there is nobody else nothing can be done.
fn orphan(all: &mut Vec<PatchOperation>, dialect: &Dialect, object: &Value, list: &List, percent: i32) {
    if percent > 0 || list.our_weight == 0 || list.alone {
        return;
    }
    test_entries(all, dialect, object, list);
    for index in &list.ours {
        let path = pointer(&list.at, &[index.to_string(), "weight".into()]);
        all.push(PatchOperation::Add(AddOperation { path, value: json!(0) }));
    }
}

/// That the list is still the one that was read, as far as we go by it: both backends are where they were, with the weights that they had.
fn test_entries(all: &mut Vec<PatchOperation>, dialect: &Dialect, object: &Value, list: &List) {
    let entries = step_owned(object, &list.at).and_then(Value::as_array);
    for index in list.standard.iter().chain(&list.ours) {
        let Some(entry) = entries.and_then(|entries| entries.get(*index)) else { continue };
        let test = |tail: &[&str], value: Value| {
            let tail: Vec<String> =
                std::iter::once(index.to_string()).chain(tail.iter().map(ToString::to_string)).collect();
            PatchOperation::Test(TestOperation { path: pointer(&list.at, &tail), value })
        };
        all.push(test(dialect.identity, step(entry, dialect.identity).cloned().unwrap_or_default()));
        // What is not there is `null` to the API server's test.
        all.push(test(&["weight"], entry.get("weight").cloned().unwrap_or_default()));
    }
}

fn set_weight(backend: &mut Value, weight: i64) {
    if let Some(fields) = backend.as_object_mut() {
        fields.insert("weight".into(), json!(weight));
    }
}

/// The annotations that go with a weight.
fn marks(
    dialect: &Dialect,
    names: Names<'_>,
    shares: &Shares,
    note: Option<&str>,
) -> Vec<(&'static str, Option<String>)> {
    let alone = shares.lists.iter().filter(|list| list.alone && list.standard.is_some());
    let before = alone.map(|list| {
        let before = if list.ours.is_empty() { list.written } else { shares.before(dialect, list) };
        format!("{}={}", list.key, before.map_or("-".into(), |weight| weight.to_string()))
    });
    let before: Vec<String> = before.collect();
    vec![
        (ANNOTATION_ROUTE, Some(names.rollout.to_owned())),
        (ANNOTATION_STANDARD, Some(names.standard.to_owned()).filter(|name| !name.is_empty())),
        (ANNOTATION_ROLLBACK, note.map(str::to_owned)),
        (ANNOTATION_BEFORE, (!before.is_empty()).then(|| before.join(" "))),
    ]
}

/// Annotations to set, or to remove (`None`).
fn annotate(all: &mut Vec<PatchOperation>, object: &Value, wanted: &[(&'static str, Option<String>)]) {
    let there = object.pointer("/metadata/annotations").and_then(Value::as_object);
    let at =
        |name: Option<&str>| PointerBuf::from_tokens(["metadata", "annotations"].into_iter().chain(name));
    let Some(there) = there else {
        let fresh: serde_json::Map<String, Value> = wanted
            .iter()
            .filter_map(|(name, value)| Some(((*name).to_owned(), json!(value.as_ref()?))))
            .collect();
        if !fresh.is_empty() {
            all.push(PatchOperation::Test(TestOperation { path: at(None), value: Value::Null }));
            all.push(PatchOperation::Add(AddOperation { path: at(None), value: Value::Object(fresh) }));
        }
        return;
    };
    for (name, value) in wanted {
        let path = at(Some(name));
        match (value, there.get(*name)) {
            (Some(value), Some(before)) if before.as_str() == Some(value) => {}
            (Some(value), _) => all.push(PatchOperation::Add(AddOperation { path, value: json!(value) })),
            (None, Some(before)) => {
                all.push(PatchOperation::Test(TestOperation { path: path.clone(), value: before.clone() }));
                all.push(PatchOperation::Remove(RemoveOperation { path }));
            }
            (None, None) => {}
        }
    }
}

fn pointer(list: &[String], tail: &[String]) -> PointerBuf {
    PointerBuf::from_tokens(list.iter().chain(tail).map(String::as_str))
}
