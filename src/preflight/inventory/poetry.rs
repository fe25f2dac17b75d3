//! `poetry.lock`. From format 2.1 on each package says for which groups and by which marker it is installed; older ones leave that to
//! `pyproject.toml`, so that everything in them has to be counted.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use toml::Spanned;

use super::{
    lock::{Files, Lines, Picked, Pin, Wanted, only_once, toml},
    markers::Env,
    problem::{InputProblem, Problem, clipped, names, without_secrets},
    ranges::allows,
    wheel::normalised,
};

#[derive(Debug, Deserialize)]
struct Document {
    #[serde(default, rename = "package")]
    packages: Vec<Package>,
    #[serde(default)]
    extras: BTreeMap<String, Vec<String>>,
    metadata: Metadata,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Metadata {
    lock_version: Option<Spanned<String>>,
    python_versions: Option<Spanned<String>>,
    /// Until format 1.1.
    #[serde(default)]
    files: BTreeMap<String, Vec<File>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Package {
    name: Spanned<String>,
    version: String,
    #[serde(default)]
    optional: bool,
    category: Option<String>,
    python_versions: Option<String>,
    groups: Option<Vec<String>>,
    markers: Option<Spanned<Markers>>,
    #[serde(default)]
    files: Vec<File>,
    source: Option<Source>,
    #[serde(default)]
    dependencies: BTreeMap<String, toml::Value>,
}

/// One for all groups, or one for each.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Markers {
    All(String),
    ByGroup(BTreeMap<String, String>),
}

#[derive(Debug, Deserialize)]
struct File {
    file: String,
}

#[derive(Debug, Deserialize)]
struct Source {
    #[serde(default)]
    r#type: String,
    #[serde(default)]
    url: String,
}

impl Package {
    fn files(&self, of_old: &BTreeMap<String, Vec<File>>) -> Files {
        if let Some(source) = &self.source {
            let from = without_secrets(&source.url);
            match source.r#type.as_str() {
                "git" => return Files::Elsewhere(format!("git: {from}")),
                "directory" => return Files::Elsewhere(format!("the path {from}")),
                // One archive: the files below are it.
                _ => {}
            }
        }
        let old = of_old.get(self.name.get_ref()).into_iter().flatten();
        let files: Vec<String> = self.files.iter().chain(old).map(|file| file.file.clone()).collect();
        if files.is_empty() { Files::Unnamed } else { Files::All(files) }
    }

    /// Whether the target gets it, by format 2.1.
    fn counts(
        &self,
        groups: &[String],
        wanted: &Wanted,
        env: &Env,
    ) -> Result<bool, super::markers::MarkerProblem> {
        for group in groups {
            let name = normalised(group);
            if name != "main" && !wanted.groups.contains(&name) {
                continue;
            }
            let marker = match self.markers.as_ref().map(Spanned::get_ref) {
                None => None,
                Some(Markers::All(marker)) => Some(marker),
                Some(Markers::ByGroup(by)) => by.get(group),
            };
            match marker {
                None => return Ok(true),
                Some(marker) if env.counts(marker)? => return Ok(true),
                Some(_) => {}
            }
        }
        Ok(false)
    }
}

/// Reads a lock and picks what the target gets.
pub(super) fn read(text: &str, wanted: &Wanted) -> Result<Picked, InputProblem> {
    let lines = Lines::new(text);
    let document: Document = toml(text, &lines)?;
    if let Some(version) = &document.metadata.lock_version
        && !matches!(version.get_ref().split('.').next(), Some("1" | "2"))
    {
        let what = Problem::Version { have: clipped(version.get_ref()), known: "1.0 to 2.1" };
        return Err(InputProblem::at(lines.of(version.span().start), what));
    }
    if let Some(python) = &document.metadata.python_versions
        && !allows(python.get_ref(), &wanted.target)
    {
        let target = wanted.target.interpreter.to_string();
        let what = Problem::RequiresPython { requires: clipped(python.get_ref()), target };
        return Err(InputProblem::at(lines.of(python.span().start), what));
    }
    let extras = extras(&document, wanted)?;
    check_groups(&document, wanted)?;
    let mut env = wanted.env();
    env.extras.extend(extras.iter().cloned());
    let optional = reachable(&document, &extras);
    let mut pins = Vec::new();
    let mut without_groups = false;
    for package in &document.packages {
        let line = lines.of(package.name.span().start);
        let name = normalised(package.name.get_ref());
        let counts = if let Some(groups) = &package.groups {
            package.counts(groups, wanted, &env).map_err(|what| {
                let at = package.markers.as_ref().map_or(line, |markers| lines.of(markers.span().start));
                InputProblem::at(at, what)
            })?
        } else {
            without_groups |= package.category.is_none();
            let category = package.category.as_deref().unwrap_or("main");
            (category == "main" || wanted.groups.contains(category))
                && (!package.optional || optional.contains(&name))
        };
        let by_python = package.python_versions.as_deref().is_none_or(|range| allows(range, &wanted.target));
        if counts && by_python {
            pins.push(Pin {
                name,
                version: Some(package.version.clone()),
                line: Some(line),
                via: None,
                files: package.files(&document.metadata.files),
            });
        }
    }
    pins.sort_by(|a, b| a.name.cmp(&b.name));
    let mut notes = Vec::new();
    if without_groups {
        notes.push("a lock of this age does not say which packages are for which group and platform: all of them are counted; poetry 2 writes locks that say it".to_owned());
    } else if document.packages.iter().all(|package| package.groups.is_some()) {
        only_once(&pins)?;
    }
    Ok(Picked { pins, notes })
}

fn extras(document: &Document, wanted: &Wanted) -> Result<BTreeSet<String>, InputProblem> {
    let known: BTreeSet<String> = document.extras.keys().map(|name| normalised(name)).collect();
    if wanted.all_extras {
        return Ok(known);
    }
    if let Some(unknown) = wanted.extras.difference(&known).next() {
        let known = names(known.iter().map(String::as_str));
        return Err(InputProblem::whole(Problem::NoExtra { wanted: clipped(unknown), known }));
    }
    Ok(wanted.extras.clone())
}

fn check_groups(document: &Document, wanted: &Wanted) -> Result<(), InputProblem> {
    let named =
        document.packages.iter().flat_map(|package| package.groups.iter().flatten().chain(&package.category));
    let known: BTreeSet<String> = named.map(|name| normalised(name)).collect();
    match wanted.groups.difference(&known).next() {
        Some(unknown) => {
            let known = names(known.iter().map(String::as_str));
            Err(InputProblem::whole(Problem::NoGroup { wanted: clipped(unknown), known }))
        }
        None => Ok(()),
    }
}

/// What the extras bring in, in locks that do not say it by markers.
fn reachable(document: &Document, extras: &BTreeSet<String>) -> BTreeSet<String> {
    let mut needs: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for package in &document.packages {
        let all = needs.entry(normalised(package.name.get_ref())).or_default();
        all.extend(package.dependencies.keys().map(|name| normalised(name)));
    }
    let chosen = document.extras.iter().filter(|(name, _)| extras.contains(&normalised(name)));
    let mut open: Vec<String> =
        chosen.flat_map(|(_, names)| names).map(|name| normalised(bare(name))).collect();
    let mut seen = BTreeSet::new();
    while let Some(name) = open.pop() {
        if seen.insert(name.clone()) {
            open.extend(needs.get(&name).into_iter().flatten().cloned());
        }
    }
    seen
}

/// `name` of `name (>=1.0)` or `name[extra]`.
fn bare(requirement: &str) -> &str {
    requirement.split(['(', '[', ' ', ';', '<', '>', '=', '!', '~']).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCK: &str = r#"
[[package]]
name = "numpy"
version = "2.4.0"
optional = false
python-versions = ">=3.11"
groups = ["main", "dev"]
files = [{file = "numpy-2.4.0-cp314-cp314t-manylinux_2_17_x86_64.whl", hash = "sha256:0"}, {file = "numpy-2.4.0.tar.gz", hash = "sha256:1"}]

[[package]]
name = "colorama"
version = "0.4"
optional = false
python-versions = "*"
groups = ["main", "dev"]
markers = {main = "sys_platform == \"win32\"", dev = "os_name == \"posix\""}
files = [{file = "colorama-0.4-py3-none-any.whl", hash = "sha256:0"}]

[[package]]
name = "frame"
version = "1.0"
optional = true
python-versions = "*"
groups = ["main"]
markers = "extra == \"data\""
files = []

[package.source]
type = "git"
url = "https://host/frame"

[extras]
data = ["frame"]

[metadata]
lock-version = "2.1"
python-versions = "^3.11"
"#;

    fn read_names(text: &str, wanted: &Wanted) -> Vec<String> {
        read(text, wanted).unwrap().pins.into_iter().map(|pin| pin.name).collect()
    }

    #[test]
    fn groups_and_markers_pick() {
        let mut wanted = Wanted::default();
        assert_eq!(read_names(LOCK, &wanted), ["numpy"]);
        wanted.groups.insert("dev".to_owned());
        assert_eq!(read_names(LOCK, &wanted), ["colorama", "numpy"]);
        wanted.extras.insert("data".to_owned());
        let picked = read(LOCK, &wanted).unwrap();
        assert_eq!(picked.pins[1].files, Files::Elsewhere("git: https://host/frame".to_owned()));
        assert!(picked.notes.is_empty());
    }

    #[test]
    fn old_locks_are_counted_whole_and_say_so() {
        let old = "[[package]]\nname = 'a'\nversion = '1'\noptional = false\n[[package]]\nname = 'b'\nversion = '1'\noptional = true\n[package.dependencies]\nc = '*'\n[[package]]\nname = 'c'\nversion = '1'\noptional = true\n[extras]\nx = ['b (>=1)']\n[metadata]\nlock-version = '1.1'\n[metadata.files]\na = [{file = 'a-1-py3-none-any.whl', hash = ''}]";
        let mut wanted = Wanted::default();
        let picked = read(old, &wanted).unwrap();
        assert_eq!(picked.pins.len(), 1);
        assert_eq!(picked.pins[0].files, Files::All(vec!["a-1-py3-none-any.whl".to_owned()]));
        assert!(picked.notes[0].contains("all of them are counted"));
        wanted.extras.insert("x".to_owned());
        assert_eq!(read_names(old, &wanted), ["a", "b", "c"]);
    }

    #[test]
    fn what_cannot_be_is_refused_with_its_line() {
        let problem = |text: &str, wanted: &Wanted| read(text, wanted).unwrap_err().to_string();
        let mut wanted = Wanted::default();
        let old = LOCK.replace("^3.11", ">=3.9,<3.13");
        assert!(
            problem(&old, &wanted)
                .starts_with(" line 37: the lock is for Python >=3.9,<3.13, which 3.14t is not"),
            "{}",
            problem(&old, &wanted)
        );
        let future = LOCK.replace("\"2.1\"", "\"3.0\"");
        assert!(
            problem(&future, &wanted).starts_with(" line 36: its version is 3.0"),
            "{}",
            problem(&future, &wanted)
        );
        let marker = LOCK.replace("extra ==", "extra =");
        assert!(
            problem(&marker, &wanted).starts_with(" line 25: the marker"),
            "{}",
            problem(&marker, &wanted)
        );
        wanted.extras.insert("nope".to_owned());
        assert!(problem(LOCK, &wanted).contains("no extra 'nope' in it: it has data"));
        wanted.extras.clear();
        wanted.groups.insert("nope".to_owned());
        assert!(problem(LOCK, &wanted).contains("no dependency group 'nope' in it: it has dev, main"));
    }
}
