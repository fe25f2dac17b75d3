//! `pylock.toml` (PEP 751): packages with markers of their own, so that there is nothing to walk.

use serde::Deserialize;
use toml::Spanned;

use super::{
    lock::{Files, Lines, Picked, Pin, Wanted, only_once, toml},
    problem::{InputProblem, Problem, clipped, names, without_secrets},
    wheel::{file_name, normalised},
};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Document {
    lock_version: Spanned<String>,
    requires_python: Option<Spanned<String>>,
    #[serde(default)]
    environments: Vec<Spanned<String>>,
    #[serde(default)]
    extras: Vec<String>,
    #[serde(default)]
    dependency_groups: Vec<String>,
    #[serde(default)]
    default_groups: Vec<String>,
    created_by: Option<String>,
    #[serde(default)]
    packages: Vec<Package>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Package {
    name: Spanned<String>,
    version: Option<String>,
    marker: Option<Spanned<String>>,
    requires_python: Option<Spanned<String>>,
    vcs: Option<Place>,
    directory: Option<Place>,
    archive: Option<Place>,
    sdist: Option<File>,
    #[serde(default)]
    wheels: Vec<File>,
}

#[derive(Debug, Deserialize)]
struct Place {
    url: Option<String>,
    path: Option<String>,
}

#[derive(Debug, Deserialize)]
struct File {
    name: Option<String>,
    url: Option<String>,
    path: Option<String>,
}

impl Place {
    fn shown(&self) -> String {
        without_secrets(self.url.as_deref().or(self.path.as_deref()).unwrap_or("somewhere"))
    }
}

impl File {
    /// The name may be left out where the address ends with it.
    fn name(&self) -> Option<String> {
        if let Some(name) = &self.name {
            return Some(name.clone());
        }
        self.url.as_deref().or(self.path.as_deref()).map(file_name)
    }
}

impl Package {
    fn names(&self) -> Vec<String> {
        self.wheels.iter().chain(&self.sdist).filter_map(File::name).collect()
    }

    fn files(&self, one_each: bool) -> Files {
        if let Some(vcs) = &self.vcs {
            return Files::Elsewhere(format!("version control: {}", vcs.shown()));
        }
        if let Some(directory) = &self.directory {
            return Files::Elsewhere(format!("the path {}", directory.shown()));
        }
        if let Some(archive) = &self.archive {
            let address = archive.url.as_deref().or(archive.path.as_deref()).unwrap_or_default();
            return Files::All(vec![file_name(address)]);
        }
        let names = self.names();
        if names.is_empty() {
            Files::Unnamed
        } else if one_each {
            Files::One(names)
        } else {
            Files::All(names)
        }
    }
}

/// Reads a lock and picks what the target gets.
pub(super) fn read(text: &str, wanted: &Wanted) -> Result<Picked, InputProblem> {
    let lines = Lines::new(text);
    let document: Document = toml(text, &lines)?;
    let line = |at: usize| Some(lines.of(at));
    let version = document.lock_version.get_ref();
    // A newer minor version only adds; a newer major one means something else.
    if version.split('.').next() != Some("1") {
        let what = Problem::Version { have: clipped(version), known: "1.0" };
        return Err(InputProblem { line: line(document.lock_version.span().start), what });
    }
    if let Some(requires) = &document.requires_python {
        wanted.check_python(requires.get_ref(), line(requires.span().start))?;
    }
    let mut env = wanted.env();
    env.groups.extend(document.default_groups.iter().map(|name| normalised(name)));
    if wanted.all_extras {
        env.extras.extend(document.extras.iter().map(|name| normalised(name)));
    }
    known(&wanted.extras, &document.extras, |wanted, known| Problem::NoExtra { wanted, known })?;
    let groups: Vec<String> =
        document.dependency_groups.iter().chain(&document.default_groups).cloned().collect();
    known(&wanted.groups, &groups, |wanted, known| Problem::NoGroup { wanted, known })?;
    let counts = |marker: &Spanned<String>| {
        let counts = env.counts(marker.get_ref());
        counts.map_err(|what| InputProblem { line: line(marker.span().start), what: what.into() })
    };
    let mut meant = document.environments.is_empty();
    for environment in &document.environments {
        meant |= counts(environment)?;
    }
    if !meant {
        let all: Vec<String> =
            document.environments.iter().map(|one| clipped(one.get_ref())).take(4).collect();
        return Err(InputProblem::whole(Problem::Environments(all.join("; "))));
    }
    let one_each = one_each(&document);
    let mut pins = Vec::new();
    for package in &document.packages {
        if let Some(marker) = &package.marker
            && !counts(marker)?
        {
            continue;
        }
        if let Some(requires) = &package.requires_python {
            wanted.check_python(requires.get_ref(), line(requires.span().start))?;
        }
        pins.push(Pin {
            name: normalised(package.name.get_ref()),
            version: package.version.clone(),
            line: line(package.name.span().start),
            via: None,
            files: package.files(one_each),
        });
    }
    pins.sort_by(|a, b| a.name.cmp(&b.name));
    only_once(&pins)?;
    let mut notes = Vec::new();
    if one_each {
        notes.push("the lock names one file for each package, the one for the machine that it was made on: give --index to see the others".to_owned());
    }
    Ok(Picked { pins, notes })
}

/// `pip lock` writes down what it would install itself, and no other file of the release.
fn one_each(document: &Document) -> bool {
    if document.created_by.as_deref() == Some("pip") {
        return true;
    }
    let mut with_files =
        document.packages.iter().map(|package| package.names().len()).filter(|files| *files > 0).peekable();
    with_files.peek().is_some() && with_files.all(|files| files == 1)
}

fn known(
    wanted: &std::collections::BTreeSet<String>,
    known: &[String],
    problem: impl Fn(String, String) -> Problem,
) -> Result<(), InputProblem> {
    match wanted.iter().find(|name| !known.iter().any(|known| normalised(known) == **name)) {
        None => Ok(()),
        Some(name) => {
            Err(InputProblem::whole(problem(clipped(name), names(known.iter().map(String::as_str)))))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCK: &str = r#"
lock-version = "1.0"
created-by = "uv"
requires-python = ">=3.13"
environments = ["sys_platform == 'linux'", "sys_platform == 'win32'"]
extras = ["data"]
dependency-groups = ["test"]
default-groups = ["base"]

[[packages]]
name = "Numpy"
version = "2.4.0"
sdist = { url = "https://x/numpy-2.4.0.tar.gz", hashes = {} }
wheels = [
    { url = "https://x/numpy-2.4.0-cp314-cp314t-manylinux_2_17_x86_64.whl", hashes = {} },
    { name = "numpy-2.4.0-cp314-cp314-manylinux_2_17_x86_64.whl", url = "https://x/1" },
]

[[packages]]
name = "frame"
version = "1.0"
marker = "'data' in extras"
wheels = [{ path = "../frame-1.0-py3-none-any.whl" }]

[[packages]]
name = "tester"
marker = "'test' in dependency_groups"
vcs = { type = "git", url = "https://me:secret@host/tester", commit-id = "1" }

[[packages]]
name = "base"
marker = "'base' in dependency_groups"
archive = { url = "https://x/base-1-py3-none-any.whl" }
"#;

    #[test]
    fn markers_pick_what_is_installed() {
        let names = |wanted: &Wanted| -> Vec<String> {
            read(LOCK, wanted).unwrap().pins.into_iter().map(|pin| pin.name).collect()
        };
        let mut wanted = Wanted::default();
        assert_eq!(names(&wanted), ["base", "numpy"]);
        wanted.extras.insert("data".to_owned());
        wanted.groups.insert("test".to_owned());
        assert_eq!(names(&wanted), ["base", "frame", "numpy", "tester"]);
        let pins = read(LOCK, &wanted).unwrap().pins;
        assert_eq!(pins[3].files, Files::Elsewhere("version control: https://host/tester".to_owned()));
        assert_eq!(pins[2].line, Some(11));
        let Files::All(files) = &pins[2].files else { panic!("{:?}", pins[2]) };
        assert_eq!(files.len(), 3);
    }

    #[test]
    fn one_file_for_each_package_is_said() {
        let pip = "lock-version = '1.0'\ncreated-by = 'pip'\n[[packages]]\nname = 'a'\nwheels = [{name = 'a-1-py3-none-any.whl'}]";
        let picked = read(pip, &Wanted::default()).unwrap();
        assert!(matches!(picked.pins[0].files, Files::One(_)));
        assert!(picked.notes[0].contains("--index"));
        let other = pip.replace("'pip'", "'other'");
        assert!(matches!(read(&other, &Wanted::default()).unwrap().pins[0].files, Files::One(_)));
    }

    #[test]
    fn what_cannot_be_is_refused_with_its_line() {
        let problem = |text: &str| read(text, &Wanted::default()).unwrap_err().to_string();
        assert!(problem("lock-version = '2.0'").starts_with(" line 1: its version is 2.0"));
        let windows = LOCK.replace("\"sys_platform == 'linux'\", ", "");
        assert!(problem(&windows).contains("names the environments"), "{}", problem(&windows));
        let twice = LOCK.replace("\"frame\"", "\"numpy\"").replace("'data' in extras", "os_name == 'posix'");
        assert!(
            problem(&twice)
                .contains("numpy would be installed twice, as 2.4.0 (line 11) and as 1.0 (line 20)"),
            "{}",
            problem(&twice)
        );
        let marker = LOCK.replace("'data' in extras", "'data' on extras");
        assert!(problem(&marker).starts_with(" line 22: the marker"), "{}", problem(&marker));
    }
}
