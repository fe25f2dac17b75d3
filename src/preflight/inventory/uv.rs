//! `uv.lock`: a graph of packages with every file of each.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use super::{
    lock::{Files, Lines, Picked, Wanted, toml},
    problem::{InputProblem, Problem, without_secrets},
    walk::walk,
    wheel::{file_name, normalised},
};

/// The file as it is written, as far as it is needed.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Document {
    version: Spanned<i64>,
    requires_python: Option<Spanned<String>>,
    #[serde(default)]
    manifest: Manifest,
    #[serde(default, rename = "package")]
    packages: Vec<Package>,
}

/// The workspace.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Manifest {
    #[serde(default)]
    pub(super) members: Vec<String>,
    /// Of a script, which has no project.
    #[serde(default)]
    pub(super) requirements: Vec<Dependency>,
    /// Of a workspace whose root is no project.
    #[serde(default)]
    pub(super) dependency_groups: BTreeMap<String, Vec<Dependency>>,
}

/// One release of a package.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Package {
    pub(super) name: Spanned<String>,
    pub(super) version: Option<String>,
    #[serde(default)]
    pub(super) source: Source,
    #[serde(default)]
    pub(super) resolution_markers: Vec<String>,
    #[serde(default)]
    pub(super) dependencies: Vec<Dependency>,
    #[serde(default)]
    pub(super) optional_dependencies: BTreeMap<String, Vec<Dependency>>,
    #[serde(default)]
    pub(super) dev_dependencies: BTreeMap<String, Vec<Dependency>>,
    #[serde(default)]
    metadata: Metadata,
    sdist: Option<File>,
    #[serde(default)]
    wheels: Vec<File>,
}

/// What a package says of itself: extras and groups without dependencies are named here only.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Metadata {
    #[serde(default)]
    provides_extras: Vec<String>,
    #[serde(default)]
    requires_dev: BTreeMap<String, toml::Value>,
}

/// Where it comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub(super) struct Source {
    registry: Option<String>,
    git: Option<String>,
    url: Option<String>,
    path: Option<String>,
    directory: Option<String>,
    editable: Option<String>,
    r#virtual: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
struct File {
    url: Option<String>,
    path: Option<String>,
    filename: Option<String>,
}

/// An edge of the graph.
#[derive(Debug, Deserialize)]
pub(super) struct Dependency {
    pub(super) name: Spanned<String>,
    pub(super) version: Option<String>,
    pub(super) source: Option<Source>,
    pub(super) marker: Option<String>,
    #[serde(default)]
    pub(super) extra: Vec<String>,
}

impl Package {
    pub(super) fn name(&self) -> String {
        normalised(self.name.get_ref())
    }

    /// Whether it is code of the repository and not a dependency.
    pub(super) fn is_project(&self) -> bool {
        self.source.editable.is_some() || self.source.r#virtual.is_some() || self.source.directory.is_some()
    }

    /// Whether it is the project that the lock lies beside.
    pub(super) fn is_root(&self) -> bool {
        [&self.source.editable, &self.source.r#virtual, &self.source.directory]
            .into_iter()
            .any(|path| path.as_deref() == Some("."))
    }

    pub(super) fn has_extra(&self, extra: &str) -> bool {
        self.optional_dependencies
            .keys()
            .chain(&self.metadata.provides_extras)
            .any(|name| normalised(name) == extra)
    }

    pub(super) fn has_group(&self, group: &str) -> bool {
        self.dev_dependencies
            .keys()
            .chain(self.metadata.requires_dev.keys())
            .any(|name| normalised(name) == group)
    }

    /// The dependencies that an extra or a group adds.
    pub(super) fn more<'a>(
        of: &'a BTreeMap<String, Vec<Dependency>>,
        wanted: &str,
    ) -> impl Iterator<Item = &'a Dependency> {
        of.iter().filter(move |(name, _)| normalised(name) == wanted).flat_map(|(_, all)| all)
    }

    pub(super) fn files(&self) -> Files {
        let source = &self.source;
        let own =
            [&source.directory, &source.editable, &source.r#virtual].into_iter().find_map(Option::as_ref);
        if let Some(path) = own {
            return Files::Elsewhere(format!("the path {}", without_secrets(path)));
        }
        if let Some(git) = &source.git {
            return Files::Elsewhere(format!("git: {}", without_secrets(git)));
        }
        let name = |file: &File| {
            let address = file.filename.as_deref().or(file.url.as_deref()).or(file.path.as_deref());
            address.map(file_name)
        };
        let mut files: Vec<String> = self.wheels.iter().chain(&self.sdist).filter_map(name).collect();
        // One archive by its address: it is all that there is.
        files.extend([&source.url, &source.path].into_iter().flatten().map(|address| file_name(address)));
        if files.is_empty() { Files::Unnamed } else { Files::All(files) }
    }
}

/// Reads a lock and picks what the target gets.
pub(super) fn read(text: &str, wanted: &Wanted) -> Result<Picked, InputProblem> {
    let lines = Lines::new(text);
    let document: Document = toml(text, &lines)?;
    let version = *document.version.get_ref();
    if version != 1 {
        let what = Problem::Version { have: version.to_string(), known: "version 1" };
        return Err(InputProblem::at(lines.of(document.version.span().start), what));
    }
    if let Some(requires) = &document.requires_python {
        wanted.check_python(requires.get_ref(), Some(lines.of(requires.span().start)))?;
    }
    walk(&document.manifest, &document.packages, &lines, wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCK: &str = r#"
version = 1
revision = 3
requires-python = ">=3.13"

[[package]]
name = "app"
version = "1.0"
source = { virtual = "." }
dependencies = [
    { name = "numpy", version = "2.0.0", source = { registry = "https://pypi.org/simple" }, marker = "python_full_version < '3.14'" },
    { name = "numpy", version = "2.4.0", source = { registry = "https://pypi.org/simple" }, marker = "python_full_version >= '3.14'" },
    { name = "web", extra = ["fast"] },
    { name = "windows-only", marker = "sys_platform == 'win32'" },
]

[package.optional-dependencies]
data = [{ name = "frame" }]

[package.dev-dependencies]
dev = [{ name = "tester" }]

[[package]]
name = "numpy"
version = "2.0.0"
source = { registry = "https://pypi.org/simple" }
wheels = [{ url = "https://x/numpy-2.0.0-cp313-cp313t-manylinux_2_17_x86_64.whl", hash = "sha256:0" }]

[[package]]
name = "numpy"
version = "2.4.0"
source = { registry = "https://pypi.org/simple" }
sdist = { url = "https://x/numpy-2.4.0.tar.gz" }
wheels = [{ url = "https://x/numpy-2.4.0-cp314-cp314t-manylinux_2_17_x86_64.whl" }]

[[package]]
name = "web"
version = "1.0"
source = { registry = "https://pypi.org/simple" }
dependencies = [{ name = "web" }]
wheels = [{ url = "https://x/web-1.0-py3-none-any.whl" }]

[package.optional-dependencies]
fast = [{ name = "looper" }]
slow = [{ name = "tester" }]

[[package]]
name = "looper"
version = "1.0"
source = { git = "https://me:secret@github.com/x/looper?rev=1#123" }

[[package]]
name = "windows-only"
version = "1.0"
source = { registry = "https://pypi.org/simple" }

[[package]]
name = "frame"
version = "1.0"
source = { path = "wheels/frame-1.0-py3-none-any.whl" }

[[package]]
name = "tester"
version = "1.0"
source = { registry = "../flat" }
wheels = [{ path = "tester-1.0-py3-none-any.whl" }]
"#;

    fn names(wanted: &Wanted) -> Vec<String> {
        let picked = read(LOCK, wanted).unwrap();
        picked
            .pins
            .into_iter()
            .map(|pin| format!("{} {}", pin.name, pin.version.unwrap_or_default()))
            .collect()
    }

    fn for_python(python: &str) -> Wanted {
        Wanted { target: format!("{python}-linux-x86_64-glibc2.36").parse().unwrap(), ..Wanted::default() }
    }

    #[test]
    fn the_walk_follows_markers_and_extras() {
        assert_eq!(names(&for_python("3.14t")), ["looper 1.0", "numpy 2.4.0", "web 1.0"]);
        assert_eq!(names(&for_python("3.13t")), ["looper 1.0", "numpy 2.0.0", "web 1.0"]);
        let mut wanted = for_python("3.14t");
        wanted.extras.insert("data".to_owned());
        assert_eq!(names(&wanted), ["frame 1.0", "looper 1.0", "numpy 2.4.0", "web 1.0"]);
        wanted.groups.insert("dev".to_owned());
        assert_eq!(names(&wanted).len(), 5);
    }

    #[test]
    fn what_was_wanted_by_whom_and_where_it_stands() {
        let picked = read(LOCK, &Wanted::default()).unwrap();
        let looper = &picked.pins[0];
        assert_eq!(looper.via.as_deref(), Some("app > web[fast]"));
        assert_eq!(looper.line, Some(48));
        assert_eq!(looper.files, Files::Elsewhere("git: https://github.com/x/looper".to_owned()));
    }

    #[test]
    fn what_cannot_be_is_refused_with_its_line() {
        let wanted = for_python("3.14t");
        let problem = |text: &str| read(text, &wanted).unwrap_err().to_string();
        assert!(problem("version = 2").starts_with(" line 1: its version is 2, and version 1 is"));
        let old = problem("version = 1\nrequires-python = '>=3.10, <3.14'");
        assert!(
            old.starts_with(" line 2: the lock is for Python >=3.10, <3.14, which 3.14t is not"),
            "{old}"
        );
        assert!(
            problem("version = 1\nrequires-python = 'x'")
                .contains("line 2: 'x' is no list of version specifiers")
        );
        assert!(problem("version = 1\n").contains("no package in it is the project itself"));
        assert!(problem("version = 1\n[[package]]\nversion = 'x'").contains("line 2: missing field `name`"));
        assert!(problem("version = 1\n[[package]\n").starts_with(" line 2: "));
        let cut = LOCK.replace("name = \"looper\"\nversion", "name = \"loper\"\nversion");
        assert!(
            problem(&cut).starts_with(" line 44: web needs looper, which is not in the lock"),
            "{}",
            problem(&cut)
        );
        let marker = LOCK.replace("sys_platform == 'win32'", "sys_platform = 'win32'");
        assert!(
            problem(&marker)
                .starts_with(" line 14: the marker 'sys_platform = 'win32'' is wrong at column 14"),
            "{}",
            problem(&marker)
        );
        let mut extra = wanted.clone();
        extra.extras.insert("nope".to_owned());
        let nope = read(LOCK, &extra).unwrap_err().to_string();
        assert!(nope.contains("there is no extra 'nope' in it: it has data"), "{nope}");
        let mut group = wanted.clone();
        group.groups.insert("nope".to_owned());
        assert!(read(LOCK, &group).unwrap_err().to_string().contains("it has dev"));
        let mut project = wanted.clone();
        project.projects.insert("nope".to_owned());
        assert!(read(LOCK, &project).unwrap_err().to_string().contains("it has app"));
    }
}
