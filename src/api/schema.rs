//! What the CRD's schema leaves out of what the types say.

use schemars::Schema;
use serde_json::Value;

/// No defaults inside lists: the API server would write them into every item, and a comparison that takes a list as a whole, as Argo CD's
/// does, would find the rollout different from Git for ever. The types have the same defaults.
pub(super) fn no_defaults_in_lists(schema: &mut Schema) {
    let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) else { return };
    properties.values_mut().for_each(|property| strip(property, false));
}

fn strip(schema: &mut Value, in_list: bool) {
    let Some(schema) = schema.as_object_mut() else { return };
    if in_list {
        schema.remove("default");
    }
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        properties.values_mut().for_each(|property| strip(property, in_list));
    }
    if let Some(items) = schema.get_mut("items") {
        strip(items, true);
    }
    // An optional one is one of several.
    for one_of in ["anyOf", "oneOf", "allOf"] {
        for one in schema.get_mut(one_of).and_then(Value::as_array_mut).into_iter().flatten() {
            strip(one, in_list);
        }
    }
}
