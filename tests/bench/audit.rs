//! The API server's audit log of the test cluster: each request of the operator's service accounts, with microseconds.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{BufRead as _, BufReader, Seek as _, SeekFrom},
    path::{Path, PathBuf},
};

use freethread_rollout::api::pool_name;
use jiff::Timestamp;
use serde::Deserialize;

use crate::{Result, stage::NAME};

/// A place in the log: what comes after it is read.
pub(super) struct Audit {
    path: PathBuf,
    from: u64,
}

/// A line, as far as it is of interest.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Entry {
    #[serde(rename = "auditID")]
    id: String,
    verb: String,
    #[serde(rename = "requestURI")]
    uri: String,
    #[serde(default)]
    object_ref: Option<Object>,
    #[serde(default)]
    response_status: Option<Answer>,
    request_received_timestamp: Timestamp,
    stage_timestamp: Timestamp,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Object {
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
}

#[derive(Debug, Clone, Deserialize)]
struct Answer {
    code: Option<u16>,
}

impl Audit {
    /// From the end of the log as it is now.
    pub(super) fn from_now(path: &Path) -> Result<Self> {
        let length = path.metadata().map_err(|e| format!("audit log {}: {e}", path.display()))?.len();
        Ok(Self { path: path.to_owned(), from: length })
    }

    /// What was written since.
    pub(super) fn read(&self) -> Result<Vec<Entry>> {
        let named = |e: std::io::Error| format!("audit log {}: {e}", self.path.display());
        let mut file = File::open(&self.path).map_err(named)?;
        // A log that is shorter than it was is another one: the API server turns it over at 100 MB.
        if file.metadata().map_err(named)?.len() >= self.from {
            file.seek(SeekFrom::Start(self.from)).map_err(named)?;
        }
        let mut entries = Vec::new();
        for line in BufReader::new(file).lines() {
            // The last line may be half written.
            entries.extend(serde_json::from_str(&line.map_err(named)?));
        }
        Ok(entries)
    }
}

/// When the operator's first write of the free-threaded pool since `since` was answered.
pub(super) fn weight_written(entries: &[Entry], namespace: &str, since: Timestamp) -> Option<Timestamp> {
    let is_it = |entry: &&Entry| {
        let Some(object) = &entry.object_ref else { return false };
        let done = entry.response_status.as_ref().and_then(|answer| answer.code) == Some(200);
        entry.verb == "patch"
            && (object.resource.as_str(), object.subresource.as_str()) == ("deployments", "")
            && (object.namespace.as_str(), object.name.as_str()) == (namespace, pool_name(NAME).as_str())
            && entry.request_received_timestamp >= since
            && done
    };
    entries.iter().filter(is_it).map(|entry| entry.stage_timestamp).min()
}

/// Requests by kind.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Requests {
    /// Renewals of the lease.
    pub(super) lease: usize,
    /// Watches that were opened.
    pub(super) watches: usize,
    /// Everything else, by verb and resource: nothing of it is idle.
    pub(super) others: BTreeMap<String, usize>,
}

/// The requests that arrived between `from` and `to`. One that is logged at several stages is one request.
pub(super) fn requests(entries: &[Entry], from: Timestamp, to: Timestamp) -> Requests {
    let mut known = BTreeSet::new();
    let mut found = Requests::default();
    for entry in entries {
        let at = entry.request_received_timestamp;
        if at < from || at > to || !known.insert(&entry.id) {
            continue;
        }
        let object = entry.object_ref.clone().unwrap_or_default();
        match (entry.verb.as_str(), object.resource.as_str()) {
            ("get" | "update" | "patch", "leases") => found.lease += 1,
            ("watch", _) => found.watches += 1,
            (verb, "") => *found.others.entry(format!("{verb} {}", entry.uri)).or_default() += 1,
            (verb, resource) => {
                let slash = if object.subresource.is_empty() { "" } else { "/" };
                let kind = format!("{verb} {resource}{slash}{}", object.subresource);
                *found.others.entry(kind).or_default() += 1;
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(id: &str, second: u32, verb: &str, object: &str) -> Entry {
        let at = format!("2026-11-23T19:00:{second:02}.250000Z");
        let line = format!(
            r#"{{"kind":"Event","auditID":"{id}","stage":"ResponseComplete","verb":"{verb}","requestURI":"/x?y",
                {object}"responseStatus":{{"metadata":{{}},"code":200}},"requestReceivedTimestamp":"{at}","stageTimestamp":"{at}"}}"#
        );
        serde_json::from_str(&line).unwrap()
    }

    fn object(resource: &str, subresource: &str) -> String {
        format!(
            r#""objectRef":{{"resource":"{resource}","subresource":"{subresource}","namespace":"n","name":"orders-ft"}},"#
        )
    }

    fn at(second: u32) -> Timestamp {
        format!("2026-11-23T19:00:{second:02}Z").parse().unwrap()
    }

    #[test]
    fn only_the_lease_and_watches_are_idle_and_a_request_counts_once_and_in_its_window() {
        let entries = [
            entry("before", 1, "patch", &object("deployments", "")),
            entry("a", 10, "update", &object("leases", "")),
            entry("b", 11, "watch", &object("pods", "")),
            entry("b", 12, "watch", &object("pods", "")),
            entry("c", 13, "patch", &object("freethreadrollouts", "status")),
            entry("d", 14, "create", &object("leases", "")),
            entry("e", 15, "get", ""),
            entry("after", 50, "list", &object("pods", "")),
        ];
        let found = requests(&entries, at(10), at(20));
        assert_eq!((found.lease, found.watches), (1, 1));
        let others: Vec<(&str, usize)> = found.others.iter().map(|(k, n)| (k.as_str(), *n)).collect();
        assert_eq!(others, [("create leases", 1), ("get /x?y", 1), ("patch freethreadrollouts/status", 1)]);
    }

    #[test]
    fn the_weight_is_written_by_the_first_patch_of_the_pool_after_the_breach() {
        let entries = [
            entry("before", 1, "patch", &object("deployments", "")),
            entry("status", 11, "patch", &object("freethreadrollouts", "status")),
            entry("second", 13, "patch", &object("deployments", "")),
            entry("first", 12, "patch", &object("deployments", "")),
        ];
        let written = weight_written(&entries, "n", at(10)).unwrap();
        assert_eq!(written.as_millisecond(), at(12).as_millisecond() + 250);
        assert_eq!(weight_written(&entries, "other", at(10)), None);
    }
}
