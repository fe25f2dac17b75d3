//! `Pipfile.lock`: versions and hashes, so that only an index knows the files.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{
    lock::{Files, Picked, Pin, Wanted},
    problem::{InputProblem, Problem, clipped, names, without_secrets},
    wheel::{file_name, normalised},
};

#[derive(Debug, Deserialize)]
struct Document {
    #[serde(rename = "_meta")]
    meta: Meta,
    /// `default`, `develop`, and categories of one's own.
    #[serde(flatten)]
    categories: BTreeMap<String, BTreeMap<String, Package>>,
}

#[derive(Debug, Deserialize)]
struct Meta {
    #[serde(default)]
    requires: Requires,
}

#[derive(Debug, Default, Deserialize)]
struct Requires {
    python_version: Option<String>,
    python_full_version: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Package {
    version: Option<String>,
    hashes: Vec<String>,
    markers: Option<String>,
    git: Option<String>,
    hg: Option<String>,
    svn: Option<String>,
    bzr: Option<String>,
    path: Option<String>,
    file: Option<String>,
}

impl Package {
    fn files(&self) -> Files {
        if let Some(address) =
            [&self.git, &self.hg, &self.svn, &self.bzr].into_iter().find_map(Option::as_ref)
        {
            return Files::Elsewhere(format!("version control: {}", without_secrets(address)));
        }
        if let Some(path) = &self.path {
            return Files::Elsewhere(format!("the path {}", without_secrets(path)));
        }
        if let Some(file) = &self.file {
            return Files::All(vec![file_name(file)]);
        }
        if self.hashes.is_empty() {
            Files::Unnamed
        } else {
            Files::Hashes(self.hashes.iter().cloned().collect())
        }
    }
}

/// Reads a lock and picks what the target gets: the default packages, and those of the groups that were chosen.
pub(super) fn read(text: &str, wanted: &Wanted) -> Result<Picked, InputProblem> {
    let document: Document = serde_json::from_str(text).map_err(|problem| InputProblem {
        line: (problem.line() > 0).then(|| problem.line()),
        what: Problem::Json(clipped(&problem.to_string())),
    })?;
    let mut notes = Vec::new();
    let Requires { python_version, python_full_version } = &document.meta.requires;
    if let Some(python) = python_full_version.as_ref().or(python_version.as_ref()) {
        let interpreter = wanted.target.interpreter;
        if *python != format!("3.{}", interpreter.minor)
            && !wanted
                .env()
                .counts(&format!("python_full_version == '{}'", python.replace('\'', "")))
                .unwrap_or(true)
        {
            // pipenv only warns, and the versions would be the same ones.
            notes.push(format!("the lock is for Python {}, and its versions were chosen for that: lock again for {interpreter}", clipped(python)));
        }
    }
    let known = || document.categories.keys().map(String::as_str).filter(|name| *name != "default");
    let mut chosen = vec!["default"];
    for group in &wanted.groups {
        // Everybody else calls it dev.
        let found = known().find(|name| normalised(name) == *group || (*name == "develop" && group == "dev"));
        let what = || Problem::NoGroup { wanted: clipped(group), known: names(known()) };
        chosen.push(found.ok_or_else(|| InputProblem::whole(what()))?);
    }
    if let Some(extra) = wanted.extras.first() {
        let known = "a Pipfile.lock has groups only".to_owned();
        return Err(InputProblem::whole(Problem::NoExtra { wanted: clipped(extra), known }));
    }
    let env = wanted.env();
    let places = Places::new(text);
    let mut pins: BTreeMap<String, Pin> = BTreeMap::new();
    for category in chosen {
        for (name, package) in document.categories.get(category).into_iter().flatten() {
            let line = places.of(name);
            if let Some(marker) = &package.markers
                && !env.counts(marker).map_err(|what| InputProblem { line, what: what.into() })?
            {
                continue;
            }
            let name = normalised(name);
            let version =
                package.version.as_ref().map(|version| version.trim_start_matches('=').trim().to_owned());
            let pin = Pin { name: name.clone(), version, line, via: None, files: package.files() };
            pins.entry(name).or_insert(pin);
        }
    }
    Ok(Picked { pins: pins.into_values().collect(), notes })
}

/// On which line each key stands: pipenv writes one on each.
struct Places<'a>(BTreeMap<&'a str, usize>);

impl<'a> Places<'a> {
    fn new(text: &'a str) -> Self {
        let mut places = BTreeMap::new();
        for (i, line) in text.lines().enumerate() {
            let key = line.trim_start().strip_prefix('"').and_then(|rest| rest.split_once("\": {"));
            if let Some((name, _)) = key {
                places.entry(name).or_insert(i + 1);
            }
        }
        Self(places)
    }

    fn of(&self, name: &str) -> Option<usize> {
        self.0.get(name).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCK: &str = r#"{
    "_meta": {"hash": {"sha256": "0"}, "pipfile-spec": 6, "requires": {"python_version": "3.12"}, "sources": []},
    "default": {
        "Numpy": {
            "hashes": ["sha256:1", "sha256:2"],
            "index": "pypi",
            "markers": "python_version >= '3.11'",
            "version": "==2.4.0"
        },
        "colorama": {
            "markers": "sys_platform == 'win32'",
            "version": "==0.4"
        }
    },
    "develop": {
        "tester": {
            "git": "https://me:x@host/tester",
            "ref": "1"
        }
    }
}"#;

    #[test]
    fn versions_and_hashes_are_read() {
        let mut wanted = Wanted::default();
        let picked = read(LOCK, &wanted).unwrap();
        let numpy = &picked.pins[0];
        assert_eq!(
            (picked.pins.len(), numpy.name.as_str(), numpy.version.as_deref(), numpy.line),
            (1, "numpy", Some("2.4.0"), Some(4))
        );
        assert!(matches!(&numpy.files, Files::Hashes(hashes) if hashes.len() == 2));
        assert!(picked.notes[0].contains("lock is for Python 3.12"));
        wanted.groups.insert("dev".to_owned());
        let picked = read(LOCK, &wanted).unwrap();
        assert_eq!(picked.pins[1].files, Files::Elsewhere("version control: https://host/tester".to_owned()));
    }

    #[test]
    fn what_cannot_be_is_refused_with_its_line() {
        let problem = |text: &str| read(text, &Wanted::default()).unwrap_err().to_string();
        assert!(problem("{\n\"a\": }").starts_with(" line 2: "));
        assert!(problem("{}").contains("missing field `_meta`"));
        let marker = LOCK.replace(">= '3.11'", ">> '3.11'");
        assert!(problem(&marker).starts_with(" line 4: the marker"), "{}", problem(&marker));
    }
}
