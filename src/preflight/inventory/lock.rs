//! What every format comes down to: the packages that the target gets, with the files that there are of each.

use std::collections::{BTreeMap, BTreeSet};

use pep440_rs::VersionSpecifiers;

use super::{
    markers::Env,
    problem::{InputProblem, Problem, clipped},
    target::Target,
};

/// What of a lock is asked for.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// For which image.
    pub target: Target,
    /// Extras of the project, normalised.
    pub extras: BTreeSet<String>,
    /// All of them.
    pub all_extras: bool,
    /// Dependency groups, normalised.
    pub groups: BTreeSet<String>,
    /// The projects of a workspace to start from; all of them if empty.
    pub projects: BTreeSet<String>,
}

/// What a file holds for the target.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Picked {
    pub(super) pins: Vec<Pin>,
    /// What else is worth knowing.
    pub(super) notes: Vec<String>,
}

/// One package that would be installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pin {
    /// Normalised.
    pub(super) name: String,
    pub(super) version: Option<String>,
    /// Where it stands in the file.
    pub(super) line: Option<usize>,
    /// The package that wants it, if the file says so.
    pub(super) via: Option<String>,
    pub(super) files: Files,
}

/// What is known of a release's files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Files {
    /// All of them, by name.
    All(Vec<String>),
    /// The one that was chosen for another machine.
    One(Vec<String>),
    /// Only their hashes: `sha256:...`.
    Hashes(BTreeSet<String>),
    /// Nothing.
    Unnamed,
    /// It does not come from an index; says from where.
    Elsewhere(String),
    /// It is installed; these are the tags of the wheel that it came in, and the ends of its shared objects.
    Installed { tags: Vec<String>, objects: BTreeSet<String> },
}

impl Pin {
    /// `line 12`, for sentences about two of them.
    pub(super) fn place(&self) -> String {
        let version = self.version.as_deref().unwrap_or("a version that is not named");
        match self.line {
            Some(line) => format!("{} (line {line})", clipped(version)),
            None => clipped(version),
        }
    }
}

impl Wanted {
    pub(super) fn env(&self) -> Env {
        let mut env = Env::new(&self.target);
        env.extras.clone_from(&self.extras);
        env.groups.clone_from(&self.groups);
        env
    }

    /// Refuses a lock whose interpreters the target is not one of.
    pub(super) fn check_python(&self, requires: &str, line: Option<usize>) -> Result<(), InputProblem> {
        let specifiers = requires.parse::<VersionSpecifiers>().map_err(|why| InputProblem {
            line,
            what: Problem::Specifiers {
                text: requires.to_owned(),
                why: clipped(&one_line(&why.to_string())),
            },
        })?;
        if self.target.satisfies(&specifiers) {
            return Ok(());
        }
        let target = self.target.interpreter.to_string();
        Err(InputProblem { line, what: Problem::RequiresPython { requires: clipped(requires), target } })
    }
}

/// Two releases of one package cannot both be installed: the file is not what it says.
pub(super) fn only_once(pins: &[Pin]) -> Result<(), InputProblem> {
    let mut seen: BTreeMap<&str, &Pin> = BTreeMap::new();
    for pin in pins {
        if let Some(other) = seen.insert(&pin.name, pin) {
            let what = Problem::Twice(clipped(&pin.name), other.place(), pin.place());
            return Err(InputProblem { line: pin.line, what });
        }
    }
    Ok(())
}

/// The first line of an explanation that has more, with a drawing of where it is.
fn one_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().trim_end_matches(':').to_owned()
}

/// From places in a text to its lines.
pub(super) struct Lines(Vec<usize>);

impl Lines {
    pub(super) fn new(text: &str) -> Self {
        Self(text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at).collect())
    }

    /// The line that a byte is in, from 1.
    pub(super) fn of(&self, at: usize) -> usize {
        self.0.partition_point(|end| *end < at) + 1
    }
}

/// Reads TOML into what a format has; an error names the line.
pub(super) fn toml<T: serde::de::DeserializeOwned>(text: &str, lines: &Lines) -> Result<T, InputProblem> {
    toml::from_str(text).map_err(|problem: toml::de::Error| InputProblem {
        line: problem.span().map(|span| lines.of(span.start)),
        what: Problem::Toml(clipped(problem.message())),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_lines() {
        let lines = Lines::new("a\nbc\n\nd");
        assert_eq!([0, 1, 2, 4, 5, 6].map(|at| lines.of(at)), [1, 1, 2, 2, 3, 4]);
        assert_eq!(Lines::new("").of(0), 1);
    }
}
