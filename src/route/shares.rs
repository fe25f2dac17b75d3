//! What a weighted object says of our two Services, read out of it as it is. Pure.
//!
//! In a list that the standard Service shared with nobody both weights together are a hundred times what it had: any whole number of percent is then
//! exact. In one that it shares with others they are just what it had, so that the others keep their shares. Where it was alone, what it had stands on
//! the object too: there nobody's share depends on it, and it may have been changed, or not have been there.

use std::collections::BTreeMap;

use serde_json::Value;

use super::dialect::Dialect;
use crate::api::{ANNOTATION_BEFORE, ANNOTATION_ROUTE, hash};

/// Largest weight of a backend alone in its list: a hundred times that is the most that the Gateway API takes.
const MOST_ALONE: i64 = 10_000;
/// Smallest weight of a backend that shares its list, for a hundred steps.
const LEAST_SHARED: i64 = 100;

/// The two Services.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Names<'a> {
    /// The rollout.
    pub rollout: &'a str,
    /// The standard pool's.
    pub standard: &'a str,
    /// The free-threaded pool's.
    pub ours: &'a str,
}

/// A list of backends that names the standard Service, or ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct List {
    /// Which rule it is of, from 0.
    pub(super) rule: usize,
    /// The rule by what it matches and does, without its backends: its number changes when others come and go.
    pub(super) key: String,
    /// Where it is, as tokens of a JSON pointer.
    pub(super) at: Vec<String>,
    /// Index of the standard Service's backend; `None` where only ours is left in the list.
    pub(super) standard: Option<usize>,
    /// Indexes of ours: one, or none yet.
    pub(super) ours: Vec<usize>,
    /// The standard one's weight as it stands there, if one does.
    pub(super) written: Option<i64>,
    /// The standard one's weight.
    pub(super) weight: i64,
    /// Ours, together.
    pub(super) our_weight: i64,
    /// No other backend has a share of it.
    pub(super) alone: bool,
}

/// Why an object cannot share its traffic between the pools. Each says what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// No list names the Service.
    #[error(
        "{what} sends nothing to Service {service}: name it as a backend, or another object under spec.traffic"
    )]
    NotNamed {
        /// The object.
        what: String,
        /// The Service.
        service: String,
    },
    /// Only ours is left in a list.
    #[error(
        "{what}, rule {rule}: has Service {ours} and no longer Service {service}: put {service} back, or take {ours} out"
    )]
    Orphan {
        /// The object.
        what: String,
        /// The rule, from 1.
        rule: usize,
        /// Our Service.
        ours: String,
        /// The standard one.
        service: String,
    },
    /// One list names it more than once.
    #[error("{what}, rule {rule}: names Service {service} more than once; name it once")]
    Twice {
        /// The object.
        what: String,
        /// The rule, from 1.
        rule: usize,
        /// The Service.
        service: String,
    },
    /// Its share of a list is too small to be divided by percents.
    #[error(
        "{what}, rule {rule}: Service {service} shares it at weight {weight}, too coarse for whole percents: multiply all weights of the rule by 100"
    )]
    Coarse {
        /// The object.
        what: String,
        /// The rule, from 1.
        rule: usize,
        /// The Service.
        service: String,
        /// Its weight.
        weight: i64,
    },
    /// Its weight is too large to be multiplied.
    #[error(
        "{what}, rule {rule}: weight {weight} of Service {service} is more than {MOST_ALONE}: alone in its rule it needs none"
    )]
    Large {
        /// The object.
        what: String,
        /// The rule, from 1.
        rule: usize,
        /// The Service.
        service: String,
        /// Its weight.
        weight: i64,
    },
    /// A feature that a weight of 0 does not end.
    #[error("{what}, rule {rule}: {why}")]
    Refused {
        /// The object.
        what: String,
        /// The rule, from 1.
        rule: usize,
        /// What it has, and what to do.
        why: &'static str,
    },
    /// Another rollout's weights are in it.
    #[error("{what} carries the weights of FreeThreadRollout {by}: one object for each rollout")]
    Taken {
        /// The object.
        what: String,
        /// The other rollout.
        by: String,
    },
}

/// The object, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shares {
    /// The lists in which the standard Service has a share, or had one.
    pub(super) lists: Vec<List>,
    /// What the standard Service had where it was alone, by the rule's key; `None` for no weight.
    pub(super) before: BTreeMap<String, Option<i64>>,
    /// Something of ours is in it.
    pub(super) marked: bool,
}

/// Read `object`.
pub fn read(dialect: &Dialect, object: &Value, names: Names<'_>) -> Shares {
    let found = lists(dialect, object).into_iter().map(|(rule, at, list)| {
        let namespace = object.pointer("/metadata/namespace").and_then(Value::as_str).unwrap_or_default();
        let service = |backend: &Value| (dialect.service)(backend, namespace);
        let of = |name: &str| -> Vec<usize> {
            let is = |(_, backend): &(usize, &Value)| service(backend).as_deref() == Some(name);
            list.iter().enumerate().filter(is).map(|(index, _)| index).collect()
        };
        let (standard, ours) = (of(names.standard).first().copied(), of(names.ours));
        let written =
            |index: usize| list.get(index).and_then(|backend| backend.get("weight")).and_then(Value::as_i64);
        let absent = if list.len() == 1 { 1 } else { dialect.absent };
        let weight = |index: usize| written(index).unwrap_or(absent);
        let others = (0..list.len()).filter(|index| Some(*index) != standard && !ours.contains(index));
        let share = |index: usize| {
            list.get(index)
                .is_some_and(|backend| service(backend).is_some() || backend.get("mirror").is_none())
                && written(index) != Some(0)
        };
        List {
            rule,
            key: key(dialect, object, rule),
            at,
            standard,
            written: standard.and_then(written),
            weight: standard.map_or(0, weight),
            our_weight: ours.iter().map(|index| weight(*index)).sum(),
            alone: others.filter(|index| share(*index)).count() == 0,
            ours,
        }
    });
    let annotation = |name: &str| {
        object.pointer("/metadata/annotations").and_then(|all| all.get(name)).and_then(Value::as_str)
    };
    let lists: Vec<List> = found.filter(|list| list.weight > 0 || !list.ours.is_empty()).collect();
    let before = annotation(ANNOTATION_BEFORE).unwrap_or_default().split(' ').filter_map(|entry| {
        let (key, weight) = entry.split_once('=')?;
        Some((key.to_owned(), if weight == "-" { None } else { Some(weight.parse().ok()?) }))
    });
    let before = before.collect();
    Shares {
        marked: annotation(ANNOTATION_ROUTE) == Some(names.rollout)
            || lists.iter().any(|list| !list.ours.is_empty()),
        before,
        lists,
    }
}

fn key(dialect: &Dialect, object: &Value, rule: usize) -> String {
    let mut of = step(object, dialect.rules).and_then(|rules| rules.get(rule)).cloned().unwrap_or_default();
    if let (Some(fields), Some(backends)) = (of.as_object_mut(), dialect.backends.first()) {
        fields.remove(*backends);
    }
    hash(&of).chars().take(8).collect()
}

/// Every list of backends, with the number of its rule and where it is.
fn lists<'a>(dialect: &Dialect, object: &'a Value) -> Vec<(usize, Vec<String>, &'a [Value])> {
    let rules = if dialect.rules.is_empty() {
        vec![(0, Vec::new(), object)]
    } else {
        let all =
            step(object, dialect.rules).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let at =
            |index: usize| dialect.rules.iter().map(ToString::to_string).chain([index.to_string()]).collect();
        all.iter().enumerate().map(|(index, rule)| (index, at(index), rule)).collect()
    };
    let list = |(index, at, rule): (usize, Vec<String>, &'a Value)| {
        let list = step(rule, dialect.backends)?.as_array()?;
        Some((
            index,
            at.into_iter().chain(dialect.backends.iter().map(ToString::to_string)).collect(),
            list.as_slice(),
        ))
    };
    rules.into_iter().filter_map(list).collect()
}

pub(super) fn step<'a>(value: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, token| value.get(token))
}

/// The Services of `known` that the object names, in its own order.
pub fn named(dialect: &Dialect, object: &Value, known: &[String]) -> Vec<String> {
    let namespace = object.pointer("/metadata/namespace").and_then(Value::as_str).unwrap_or_default();
    let all = lists(dialect, object).into_iter().flat_map(|(_, _, list)| list);
    let mut found = Vec::new();
    for service in all.filter_map(|backend| (dialect.service)(backend, namespace)) {
        if known.contains(&service) && !found.contains(&service) {
            found.push(service);
        }
    }
    found
}

impl Shares {
    /// The largest and the smallest share in percent over all lists; `None` where nothing of ours is in the object.
    pub fn written(&self) -> Option<(i32, i32)> {
        if !self.marked {
            return None;
        }
        let percents = self.lists.iter().map(List::percent);
        Some((percents.clone().max().unwrap_or(0), percents.min().unwrap_or(0)))
    }

    /// What the standard Service of `list` had without us; `None` for no weight.
    pub(super) fn before(&self, dialect: &Dialect, list: &List) -> Option<i64> {
        match self.before.get(&list.key).filter(|_| list.alone) {
            Some(before) => *before,
            None => Some(list.derived(dialect)),
        }
    }
}

impl List {
    /// Our share, to the nearest percent, and never 0 where there is one.
    fn percent(&self) -> i32 {
        let all = self.weight + self.our_weight;
        if self.our_weight <= 0 || all <= 0 {
            return 0;
        }
        if self.standard.is_none() {
            return 100;
        }
        // 0.5 is rounded up.
        i32::try_from(((200 * self.our_weight + all) / (2 * all)).max(1)).unwrap_or(100)
    }

    /// What both weights have to add up to.
    pub(super) fn total(&self, dialect: &Dialect) -> i64 {
        let sum = self.weight + self.our_weight;
        match (self.alone, dialect.sum) {
            (true, Some(sum)) => sum,
            (true, None) if !self.ours.is_empty() && sum > 0 && sum % 100 == 0 => sum,
            // Nothing and nothing is no share at all.
            (true, None) if sum <= MOST_ALONE => sum.max(1) * 100,
            _ => sum,
        }
    }

    /// What the standard Service had without us, as far as its weights tell.
    fn derived(&self, dialect: &Dialect) -> i64 {
        let sum = self.weight + self.our_weight;
        match (self.alone, dialect.sum) {
            (true, Some(sum)) => sum,
            (true, None) if sum > 0 && sum % 100 == 0 => sum / 100,
            _ => sum,
        }
    }
}

/// Why the object cannot be used as it is.
///
/// # Errors
/// The first reason, with what to write instead.
pub fn usable(dialect: &Dialect, object: &Value, names: Names<'_>) -> Result<(), Unusable> {
    let name = object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
    let (what, service) = (format!("{} {name}", dialect.kind), names.standard.to_owned());
    let by = object
        .pointer("/metadata/annotations")
        .and_then(|all| all.get(ANNOTATION_ROUTE))
        .and_then(Value::as_str);
    if let Some(by) = by.filter(|by| *by != names.rollout) {
        return Err(Unusable::Taken { what, by: by.to_owned() });
    }
    let shares = read(dialect, object, names);
    if shares.lists.is_empty() {
        return Err(Unusable::NotNamed { what, service });
    }
    for list in &shares.lists {
        let rule = list.rule + 1;
        if list.standard.is_none() {
            return Err(Unusable::Orphan { what, rule, ours: names.ours.to_owned(), service });
        }
        let here =
            step_owned(object, &list.at).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let namespace = object.pointer("/metadata/namespace").and_then(Value::as_str).unwrap_or_default();
        let times = here
            .iter()
            .filter(|one| (dialect.service)(one, namespace).as_deref() == Some(names.standard))
            .count();
        if times > 1 {
            return Err(Unusable::Twice { what, rule, service });
        }
        let of = step(object, dialect.rules).and_then(|rules| rules.get(list.rule)).unwrap_or(object);
        if let Some(why) = (dialect.refuses)(object, of) {
            return Err(Unusable::Refused { what, rule, why });
        }
        let weight = list.weight + list.our_weight;
        if !list.alone && weight < LEAST_SHARED {
            return Err(Unusable::Coarse { what, rule, service, weight });
        }
        if list.alone && list.ours.is_empty() && dialect.sum.is_none() && weight > MOST_ALONE {
            return Err(Unusable::Large { what, rule, service, weight });
        }
    }
    Ok(())
}

pub(super) fn step_owned<'a>(value: &'a Value, path: &[String]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, token| match value {
        Value::Array(items) => items.get(token.parse::<usize>().ok()?),
        other => other.get(token),
    })
}
