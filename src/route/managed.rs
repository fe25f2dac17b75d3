//! A route that is the operator's own, written out in full, and read back. Pure.
//!
//! What the API server would fill in is written too: what is defaulted belongs to nobody, and is a difference for ever.

use serde_json::{Map, Value, json};

use super::cohorts::{Cohorts, Side};
use crate::api::{
    ANNOTATION_COHORT, ANNOTATION_ROLLBACK, ANNOTATION_TEMPLATE_HASH, LABEL_MANAGED_BY, LABEL_ROLLOUT,
    MANAGED_BY, MANAGER_ROUTE, ManagedRoute, hash,
};

/// Matches that a rule may have, by the Gateway API.
const MOST_MATCHES: usize = 64;
/// Paths that the spec may have: in 15 rules they are 120 of the 128 matches that a route may have.
const MOST_PATHS: usize = 8;

/// What the route is made of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// The rollout; the route's name too.
    pub rollout: String,
    /// What the spec says of it.
    pub spec: ManagedRoute,
    /// The standard pool's Service and its port, as far as it is known now.
    pub standard: Option<(String, i64)>,
    /// Our Service; its ports are the other one's.
    pub ours: String,
    /// The weights of the steps, in percent.
    pub weights: Vec<i32>,
}

/// Whether `object` is the route of `plan`'s rollout: by its label, or by our Service in it, whoever took the label off.
pub fn is_ours(object: &Value, plan: &Plan) -> bool {
    let label = object.pointer("/metadata/labels").and_then(|all| all.get(LABEL_ROLLOUT));
    label.and_then(Value::as_str) == Some(&plan.rollout) || written(object, &plan.ours).is_some()
}

/// The largest and the smallest share of `ours` in percent; `None` where it has nothing in the route. Where only a header leads to it that is 1 %:
/// more than nothing has to be taken back.
pub fn written(object: &Value, ours: &str) -> Option<(i32, i32)> {
    let (mut drawn, mut chosen, mut there): (Vec<i32>, bool, bool) = (Vec::new(), false, false);
    for rule in rules(object) {
        let weights = |mine: bool| {
            let all = backends(rule).filter(move |backend| (name(backend) == Some(ours)) == mine);
            all.map(|backend| backend.get("weight").and_then(Value::as_i64).unwrap_or(1)).sum::<i64>()
        };
        if !backends(rule).any(|backend| name(backend) == Some(ours)) {
            continue;
        }
        there = true;
        let (mine, others) = (weights(true), weights(false));
        if by_header(rule) {
            chosen |= mine > 0;
        } else {
            let all = (mine + others).max(1);
            // To the nearest percent, and never 0 where there is one.
            let percent = if mine > 0 { ((200 * mine + all) / (2 * all)).max(1) } else { 0 };
            drawn.push(i32::try_from(percent).unwrap_or(100));
        }
    }
    let (most, least) = (drawn.iter().max().copied(), drawn.iter().min().copied());
    there.then(|| (most.unwrap_or(0).max(i32::from(chosen)), least.unwrap_or(0)))
}

fn rules(object: &Value) -> impl Iterator<Item = &Value> {
    object.pointer("/spec/rules").and_then(Value::as_array).into_iter().flatten()
}

fn backends(rule: &Value) -> impl Iterator<Item = &Value> {
    rule.get("backendRefs").and_then(Value::as_array).into_iter().flatten()
}

fn name(backend: &Value) -> Option<&str> {
    backend.get("name").and_then(Value::as_str)
}

/// What a rule matches of the path, type and value: a regular expression is none of a prefix.
fn paths(rule: &Value) -> Vec<Value> {
    let matches = rule.get("matches").and_then(Value::as_array).into_iter().flatten();
    matches.map(|one| one.get("path").cloned().unwrap_or_else(|| prefix("/"))).collect()
}

fn prefix(path: &str) -> Value {
    json!({"type": "PathPrefix", "value": path})
}

fn by_header(rule: &Value) -> bool {
    let matches = rule.get("matches").and_then(Value::as_array).into_iter().flatten();
    matches.clone().count() > 0
        && matches
            .into_iter()
            .all(|one| one.get("headers").and_then(Value::as_array).is_some_and(|all| !all.is_empty()))
}

impl Plan {
    /// The object to apply at `weight`; `None`: nothing of ours in it. `now`: the route as it is, `note`: why the weight is 0.
    /// `None` where nobody knows the standard Service: not the plan, and not the route.
    pub fn body(&self, now: Option<&Value>, weight: Option<i32>, note: Option<&str>) -> Option<Value> {
        let paths: Vec<Value> = self.spec.paths.iter().map(|path| prefix(path)).collect();
        self.with_paths(&paths, now, weight, note)
    }

    fn with_paths(
        &self,
        paths: &[Value],
        now: Option<&Value>,
        weight: Option<i32>,
        note: Option<&str>,
    ) -> Option<Value> {
        let cohort = self.cohort(now).filter(|_| self.spec.sticky && weight.is_some_and(|weight| weight > 0));
        let spec = self.spec(paths, now, weight, cohort.as_deref())?;
        let mut annotations = Map::new();
        annotations.insert(ANNOTATION_TEMPLATE_HASH.into(), json!(hash(&spec)));
        for (annotation, value) in [(ANNOTATION_COHORT, cohort.as_deref()), (ANNOTATION_ROLLBACK, note)] {
            if let Some(value) = value {
                annotations.insert(annotation.into(), json!(value));
            }
        }
        let labels = json!({LABEL_ROLLOUT: self.rollout, LABEL_MANAGED_BY: MANAGED_BY});
        Some(json!({
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "HTTPRoute",
            // No owner reference: with the rollout, or before it, the garbage collector would take the route that users come through.
            "metadata": {"name": self.rollout, "labels": labels, "annotations": annotations},
            "spec": spec,
        }))
    }

    /// The same for a weight that falls, or goes: with gateways, host names and paths as the route has them. What is wrong with those that the spec
    /// has now must not stop it.
    pub fn falling(&self, now: &Value, weight: Option<i32>, note: Option<&str>) -> Option<Value> {
        let mut plan = self.clone();
        let mut there: Vec<Value> = Vec::new();
        // Of the rules that lead to us alone: what else somebody put there is not ours to widen.
        for path in
            rules(now).filter(|rule| backends(rule).any(|of| name(of) == Some(&self.ours))).flat_map(paths)
        {
            if !there.contains(&path) {
                there.push(path);
            }
        }
        if there.is_empty() {
            there = self.spec.paths.iter().map(|path| prefix(path)).collect();
        }
        if there.len() > MOST_PATHS {
            // With a rule for every cookie it would be more than a route may have, and refused. The next write is by the spec again.
            (plan.spec.testers, plan.spec.sticky) = (false, false);
        }
        let mut body = plan.with_paths(&there, Some(now), weight, note)?;
        for part in ["parentRefs", "hostnames"] {
            if let Some(there) = now.pointer(&format!("/spec/{part}")) {
                body["spec"][part] = there.clone();
            }
        }
        body["metadata"]["annotations"][ANNOTATION_TEMPLATE_HASH] = json!(hash(&body["spec"]));
        Some(body)
    }

    /// The standard Service that the route sends to now.
    pub fn service_of(&self, now: &Value) -> Option<String> {
        self.standing(now).map(|(service, _)| service)
    }

    /// Whether the route is not what the plan makes of it at the weight that it has, or somebody else wrote it last.
    pub fn stale(&self, now: &Value) -> bool {
        let weight = written(now, &self.ours).map(|(most, _)| most);
        let annotation = |object: &Value, name: &str| {
            object.pointer("/metadata/annotations").and_then(|all| all.get(name)).cloned()
        };
        let label = now.pointer("/metadata/labels").and_then(|all| all.get(LABEL_ROLLOUT));
        self.body(Some(now), weight, None).is_some_and(|body| {
            annotation(&body, ANNOTATION_TEMPLATE_HASH) != annotation(now, ANNOTATION_TEMPLATE_HASH)
                || label.and_then(Value::as_str) != Some(&self.rollout)
        }) || !owns(now)
    }

    fn spec(
        &self,
        paths: &[Value],
        now: Option<&Value>,
        weight: Option<i32>,
        cohort: Option<&str>,
    ) -> Option<Value> {
        let standard = self.standard.clone().or_else(|| self.standing(now?))?;
        let parents = self.spec.parent_refs.iter().map(|parent| {
            let mut of =
                json!({"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": parent.name});
            let rest = [
                ("namespace", json!(parent.namespace)),
                ("sectionName", json!(parent.section_name)),
                ("port", json!(parent.port)),
            ];
            for (field, value) in rest {
                if !value.is_null() {
                    of[field] = value;
                }
            }
            of
        });
        let parents: Vec<Value> = parents.collect();
        Some(
            json!({"parentRefs": parents, "hostnames": self.spec.hostnames, "rules": self.rules(paths, &standard, weight, cohort)}),
        )
    }

    /// The standard Service as the route names it: all that is known of it where it is gone, or the cache is empty.
    fn standing(&self, now: &Value) -> Option<(String, i64)> {
        let all = rules(now).flat_map(backends);
        let other = all.into_iter().find(|backend| name(backend) != Some(&self.ours))?;
        Some((name(other)?.to_owned(), other.get("port")?.as_i64()?))
    }

    fn rules(
        &self,
        paths: &[Value],
        (standard, port): &(String, i64),
        weight: Option<i32>,
        cohort: Option<&str>,
    ) -> Vec<Value> {
        let backend = |service: &str, weight: i32, filters: Option<Value>| {
            let mut of =
                json!({"group": "", "kind": "Service", "name": service, "port": port, "weight": weight});
            if let Some(filters) = filters {
                of["filters"] = filters;
            }
            of
        };
        let all = [prefix("/")];
        let paths = if paths.is_empty() { &all } else { paths };
        let of = |paths: &[Value], header: Option<Value>, backends: Vec<Value>| {
            let matches: Vec<Value> = paths
                .iter()
                .map(|path| {
                    let mut one = json!({"path": path});
                    if let Some(header) = &header {
                        one["headers"] = json!([header]);
                    }
                    one
                })
                .collect();
            json!({"matches": matches, "backendRefs": backends})
        };
        let rule = |header: Option<Value>, backends: Vec<Value>| of(paths, header, backends);
        let drawn = |backends: &[Value]| -> Vec<Value> {
            paths.chunks(MOST_MATCHES).map(|paths| of(paths, None, backends.to_vec())).collect()
        };
        let Some(weight) = weight else { return drawn(&[backend(standard, 100, None)]) };
        let mut all = Vec::new();
        // At weight 0 nothing but the drawing is left, and it draws nobody: one write takes everybody back.
        if self.spec.testers && weight > 0 {
            for (value, service) in [("on", &self.ours), ("off", standard)] {
                let header = json!({"type": "Exact", "name": "x-freethread", "value": value});
                all.push(rule(Some(header), vec![backend(service, 1, None)]));
            }
        }
        let cohorts = cohort.map(|id| Cohorts { id, weight, weights: &self.weights });
        let draw = |theirs: i32, ours: i32| {
            let told = |is_ours: bool| cohorts.as_ref().map(|cohorts| cohorts.told(is_ours));
            vec![backend(standard, theirs, told(false)), backend(&self.ours, ours, told(true))]
        };
        for (header, side) in cohorts.iter().flat_map(Cohorts::matches) {
            let backends = match side {
                Side::Ours => vec![backend(&self.ours, 1, None)],
                Side::Standard => vec![backend(standard, 1, None)],
                Side::Drawn(theirs, ours) => draw(theirs, ours),
            };
            all.push(rule(Some(header), backends));
        }
        all.extend(drawn(&draw(100 - weight, weight)));
        all
    }

    /// Names the rise from 0 that the route's users were drawn in: the one that is under way, or the one that begins on top of `now`.
    fn cohort(&self, now: Option<&Value>) -> Option<String> {
        let now = now?;
        let under_way = written(now, &self.ours).is_some_and(|(most, _)| most > 0);
        let known = now.pointer("/metadata/annotations").and_then(|all| all.get(ANNOTATION_COHORT));
        let known = known.and_then(Value::as_str).filter(|_| under_way);
        let of = json!([now.pointer("/metadata/uid"), now.pointer("/metadata/resourceVersion")]);
        Some(known.map_or_else(|| hash(&of), str::to_owned))
    }
}

/// Nobody wrote these parts since we did: each is taken or left as a whole.
pub fn owns(object: &Value) -> bool {
    let mut entries =
        object.pointer("/metadata/managedFields").and_then(Value::as_array).into_iter().flatten();
    entries.any(|entry| {
        let has = |part: &str| entry.pointer(&format!("/fieldsV1/f:spec/{part}")).is_some();
        entry.get("manager").and_then(Value::as_str) == Some(MANAGER_ROUTE)
            && ["f:parentRefs", "f:hostnames", "f:rules"].into_iter().all(has)
    })
}
