//! `requirements.txt`, fully pinned: versions and perhaps hashes, so that only an index knows the files.

use std::{collections::BTreeSet, str::FromStr};

use pep440_rs::Version;

use super::{
    lock::{Files, Picked, Pin, Wanted, only_once},
    problem::{InputProblem, Problem, without_secrets},
    wheel::{Wheel, file_name, is_sdist, is_wheel, normalised},
};

/// What a file of requirements holds, before other files that it includes are read.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Requirements {
    pub(super) picked: Picked,
    /// Files that it includes by `-r`, with the line that does.
    pub(super) includes: Vec<(usize, String)>,
}

/// Reads requirements and picks what the target gets.
pub(super) fn read(text: &str, wanted: &Wanted) -> Result<Requirements, InputProblem> {
    let env = wanted.env();
    let mut read = Requirements::default();
    let mut index_named = false;
    for (line, text) in joined(text) {
        let (words, options) = options(&text);
        if let Some(option) = words.strip_prefix('-') {
            let (name, value) = option.split_once(['=', ' ']).unwrap_or((option, ""));
            let value = value.trim().trim_matches(['"', '\'']);
            match name.trim_start_matches('-') {
                "r" | "requirement" => read.includes.push((line, value.to_owned())),
                "e" | "editable" => read.picked.pins.push(editable(line, value)),
                "i" | "index-url" | "extra-index-url" | "f" | "find-links" => index_named = true,
                // Everything else changes how pip works, and not what is named.
                _ => {}
            }
            continue;
        }
        let (requirement, marker) = split_marker(&words);
        if let Some(marker) = marker
            && !env.counts(marker).map_err(|what| InputProblem::at(line, what))?
        {
            continue;
        }
        let mut pin = pin(requirement.trim(), line).map_err(|what| InputProblem::at(line, what))?;
        if pin.files == Files::Unnamed && !options.is_empty() {
            pin.files = Files::Hashes(options);
        }
        read.picked.pins.push(pin);
    }
    // Once more the same is nothing new; another version of it cannot be installed, and pip says so too.
    let mut seen = BTreeSet::new();
    read.picked.pins.retain(|pin| seen.insert((pin.name.clone(), pin.version.clone())));
    only_once(&read.picked.pins)?;
    if index_named {
        read.picked.notes.push(
            "the file names indexes or folders of its own, which are not asked: only what --index names is"
                .to_owned(),
        );
    }
    Ok(read)
}

/// Lines without comments, and those that end with a backslash put together; with the number of the first.
fn joined(text: &str) -> Vec<(usize, String)> {
    let mut all = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (i, line) in text.lines().enumerate() {
        let line = line.trim_start_matches('\u{feff}');
        let line = match comment(line) {
            Some(at) => &line[..at],
            None => line,
        };
        let (part, goes_on) = match line.trim_end().strip_suffix('\\') {
            Some(part) => (part, true),
            None => (line, false),
        };
        let (number, mut whole) = open.take().unwrap_or((i + 1, String::new()));
        whole.push_str(part);
        whole.push(' ');
        if goes_on {
            open = Some((number, whole));
        } else {
            all.push((number, whole.trim().to_owned()));
        }
    }
    all.extend(open.map(|(number, whole)| (number, whole.trim().to_owned())));
    all.retain(|(_, whole)| !whole.is_empty());
    all
}

/// A number sign begins a comment at the beginning or after a blank: in an address it is something else.
fn comment(line: &str) -> Option<usize> {
    line.match_indices('#')
        .map(|(at, _)| at)
        .find(|at| line[..*at].chars().next_back().is_none_or(char::is_whitespace))
}

/// What stands before the first option, and the hashes among the options.
fn options(text: &str) -> (String, BTreeSet<String>) {
    let Some(at) = text.find(" --").filter(|_| !text.starts_with('-')) else {
        return (text.to_owned(), BTreeSet::new());
    };
    let hashes =
        text[at..].split_whitespace().filter_map(|word| word.strip_prefix("--hash=")).map(str::to_owned);
    (text[..at].trim().to_owned(), hashes.collect())
}

/// An address may hold a semicolon; then the marker's has a blank before it.
fn split_marker(text: &str) -> (&str, Option<&str>) {
    let split = if text.contains("://") { text.split_once(" ;") } else { text.split_once(';') };
    split.map_or((text, None), |(requirement, marker)| (requirement, Some(marker.trim())))
}

fn pin(text: &str, line: usize) -> Result<Pin, Problem> {
    let wrong = || Problem::Requirement(without_secrets(text));
    let of = |name: &str, version: Option<String>, files| Pin {
        name: normalised(name),
        version,
        line: Some(line),
        via: None,
        files,
    };
    let length = text
        .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')))
        .unwrap_or(text.len());
    let (name, mut rest) = text.split_at(length);
    // A bare address or path names no package, but its end may.
    if rest.starts_with([':', '/', '\\', '+']) || name.is_empty() || matches!(name, "." | "..") {
        return archive(text, None, line).ok_or_else(wrong);
    }
    if is_wheel(name) || is_sdist(name) {
        return archive(text, None, line).ok_or_else(wrong);
    }
    rest = rest.trim_start();
    if let Some(after) = rest.strip_prefix('[') {
        rest = after.split_once(']').ok_or_else(wrong)?.1.trim_start();
    }
    if let Some(address) = rest.strip_prefix('@') {
        return archive(address.trim(), Some(name), line).ok_or_else(wrong);
    }
    let rest = rest.trim().trim_start_matches('(').trim_end_matches(')');
    if !rest.is_empty() && !rest.starts_with(['=', '<', '>', '!', '~']) {
        return Err(wrong());
    }
    let pinned = rest.split(',').map(str::trim).filter_map(|one| {
        one.strip_prefix("===")
            .or_else(|| one.strip_prefix("=="))
            .map(str::trim)
            .filter(|version| !version.ends_with(".*"))
    });
    let Some(version) = pinned.into_iter().next() else { return Err(Problem::Unpinned(name.to_owned())) };
    Version::from_str(version).map_err(|_| Problem::PackageVersion(version.to_owned()))?;
    Ok(of(name, Some(version.to_owned()), Files::Unnamed))
}

/// A package by its address: a wheel says all of itself, anything else nothing.
fn archive(address: &str, name: Option<&str>, line: usize) -> Option<Pin> {
    if address.is_empty() {
        return None;
    }
    let file = file_name(address);
    let vcs = ["git+", "hg+", "svn+", "bzr+"].iter().any(|scheme| address.starts_with(scheme));
    let wheel = Wheel::parse(&file);
    let files = if vcs {
        Files::Elsewhere(format!("version control: {}", without_secrets(address)))
    } else if wheel.is_some() || (is_sdist(&file) && name.is_some()) {
        Files::All(vec![file.clone()])
    } else {
        Files::Elsewhere(without_secrets(address))
    };
    let egg = || address.split_once("#egg=").map(|(_, egg)| egg.split(['&', '[']).next().unwrap_or_default());
    let named = name.map(str::to_owned).or_else(|| wheel.as_ref().map(|wheel| wheel.project.clone()));
    let named = named.or_else(|| egg().map(str::to_owned)).unwrap_or_else(|| without_secrets(&file));
    let version = wheel.map(|wheel| wheel.version);
    Some(Pin { name: normalised(&named), version, line: Some(line), via: None, files })
}

fn editable(line: usize, value: &str) -> Pin {
    let from = format!("an editable install of {}", without_secrets(value));
    let name = value
        .split_once("#egg=")
        .map_or_else(|| without_secrets(&file_name(value)), |(_, egg)| egg.to_owned());
    let name = if name.is_empty() { ".".to_owned() } else { normalised(&name) };
    Pin { name, version: None, line: Some(line), via: None, files: Files::Elsewhere(from) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pins(text: &str) -> Vec<Pin> {
        read(text, &Wanted::default()).unwrap().picked.pins
    }

    #[test]
    fn pinned_requirements_are_read() {
        let text = "\u{feff}# made by hand\n\
            Flask[async]==3.1.0 ; python_version >= '3.9' \\\n    --hash=sha256:1 \\\n    --hash=sha256:2\n    # via app\n\
            colorama==0.4 ; sys_platform == 'win32'\n\
            numpy == 2.4.0,>=2  # fast\n\
            -r more.txt\n--index-url https://me:x@host/simple\n-e ../lib\n\
            tool @ https://host/tool-1.0-py3-none-any.whl ; os_name == 'posix'\n\
            git+https://me:x@host/thing.git@main#egg=thing\n\
            ./wheels/local-2.0-py3-none-any.whl\n";
        let read = read(text, &Wanted::default()).unwrap();
        assert_eq!(read.includes, [(8, "more.txt".to_owned())]);
        assert!(read.picked.notes[0].contains("--index"));
        let all: Vec<_> = read
            .picked
            .pins
            .iter()
            .map(|pin| (pin.name.as_str(), pin.version.as_deref(), pin.line.unwrap()))
            .collect();
        assert_eq!(
            all,
            [
                ("flask", Some("3.1.0"), 2),
                ("numpy", Some("2.4.0"), 7),
                ("lib", None, 10),
                ("tool", Some("1.0"), 11),
                ("thing", None, 12),
                ("local", Some("2.0"), 13),
            ]
        );
        assert!(matches!(&read.picked.pins[0].files, Files::Hashes(hashes) if hashes.len() == 2));
        assert_eq!(
            read.picked.pins[4].files,
            Files::Elsewhere("version control: git+https://host/thing.git@main".to_owned())
        );
    }

    #[test]
    fn what_is_not_pinned_is_refused_with_its_line() {
        for (text, says) in [
            ("\nflask\n", " line 2: flask is not pinned: write flask==VERSION"),
            ("flask>=1", "is not pinned"),
            ("flask==1.*", "is not pinned"),
            ("flask==one", "'one' is no version"),
            ("flask 3", "'flask 3' is no requirement"),
            ("flask[a==1", "is no requirement"),
            ("flask==1 ; python_version", "the marker"),
            (
                "flask==1\nFlask==1\nFLASK==2",
                " line 3: flask would be installed twice, as 1 (line 1) and as 2 (line 3)",
            ),
        ] {
            let problem = read(text, &Wanted::default()).unwrap_err().to_string();
            assert!(problem.contains(says), "{text}: {problem}");
        }
    }

    #[test]
    fn addresses_name_packages_by_their_end() {
        assert_eq!(pins("https://host/a-1-py3-none-any.whl#sha256=0")[0].name, "a");
        assert_eq!(pins("a-1-py3-none-any.whl")[0].version.as_deref(), Some("1"));
        assert!(matches!(pins("./here")[0].files, Files::Elsewhere(_)));
    }
}
