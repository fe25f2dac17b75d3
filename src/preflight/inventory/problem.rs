//! What can be wrong with what `inventory` is given, and what to write instead.

use std::io;

use super::{markers::MarkerProblem, target::TargetProblem};

/// Why there is no inventory.
#[derive(Debug, thiserror::Error)]
pub enum InventoryError {
    /// A file or a folder cannot be read.
    #[error("{file} cannot be read: {problem}")]
    Read {
        /// As named on the command line.
        file: String,
        /// What the system says.
        problem: io::Error,
    },
    /// What is in it cannot be understood.
    #[error("{file}{problem}")]
    Input {
        /// As named on the command line.
        file: String,
        /// What is wrong with it.
        problem: InputProblem,
    },
    /// The report cannot be written.
    #[error("standard output cannot be written: {0}")]
    Write(io::Error),
    /// The target is none.
    #[error("{0}")]
    Target(#[from] TargetProblem),
    /// The package index cannot be used at all.
    #[error("the index {index} cannot be used: {problem}")]
    Index {
        /// Its address.
        index: String,
        /// Why not.
        problem: String,
    },
    /// Options that do not fit each other, or the files.
    #[error("{0}")]
    Options(String),
}

/// What is wrong with a file, and where. Follows the name of the file in a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputProblem {
    /// Which line, from 1, if it is one line's fault.
    pub line: Option<usize>,
    /// What.
    pub what: Problem,
}

/// What is wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Bytes that are no text.
    #[error("this is no UTF-8: save the file as UTF-8")]
    NotText,
    /// More than any lock file has.
    #[error("it is larger than {0} MiB, which no lock file is")]
    TooLarge(u64),
    /// Not one of the formats.
    #[error(
        "this is no file that inventory knows: give a uv.lock, pylock.toml, poetry.lock, Pipfile.lock, requirements.txt, a folder with wheels or a site-packages folder"
    )]
    Format,
    /// Not TOML, or not with the fields that the format has.
    #[error("{0}")]
    Toml(String),
    /// Not JSON, or not with the fields that the format has.
    #[error("{0}")]
    Json(String),
    /// A version of the format that is not known.
    #[error(
        "its version is {have}, and {known} is what inventory reads: make the lock with a release that writes that"
    )]
    Version {
        /// In the file.
        have: String,
        /// What is read.
        known: &'static str,
    },
    /// The lock is for other interpreters.
    #[error(
        "the lock is for Python {requires}, which {target} is not: lock again with requires-python extended to it, or name another target"
    )]
    RequiresPython {
        /// What it says.
        requires: String,
        /// What was asked.
        target: String,
    },
    /// The lock is for other environments.
    #[error(
        "the lock names the environments that it is for ({0}), and the target is none of them: lock again for it, or name another target"
    )]
    Environments(String),
    /// Specifiers of versions that cannot be read.
    #[error("'{}' is no list of version specifiers such as >=3.13,<4: {why}", clipped(text))]
    Specifiers {
        /// What stands there.
        text: String,
        /// What is wrong with it.
        why: String,
    },
    /// A marker that cannot be read.
    #[error("{0}")]
    Marker(#[from] MarkerProblem),
    /// Two packages where one may be.
    #[error(
        "{0} would be installed twice, as {1} and as {2}: do extras or groups that were chosen exclude each other, or was the file edited?"
    )]
    Twice(String, String, String),
    /// A package that is needed and not there.
    #[error("{} needs {}, which is not in the lock: it was edited or cut off; lock again", clipped(.0), clipped(.1))]
    NotLocked(String, String),
    /// No package is the project's own.
    #[error(
        "no package in it is the project itself (a source that is editable, virtual or a directory), so that there is nothing to start from"
    )]
    NoRoot,
    /// A package to start from that is not a member.
    #[error("'{wanted}' is none of its projects: {known}")]
    NoMember {
        /// What was asked.
        wanted: String,
        /// What there is.
        known: String,
    },
    /// An extra that does not exist.
    #[error("there is no extra '{wanted}' in it: {known}")]
    NoExtra {
        /// What was asked.
        wanted: String,
        /// What there is.
        known: String,
    },
    /// A group that does not exist.
    #[error("there is no dependency group '{wanted}' in it: {known}")]
    NoGroup {
        /// What was asked.
        wanted: String,
        /// What there is.
        known: String,
    },
    /// A requirement without a version.
    #[error("{} is not pinned: write {}==VERSION, or give the output of pip freeze or pip-compile", clipped(.0), clipped(.0))]
    Unpinned(String),
    /// A line that is no requirement.
    #[error("'{}' is no requirement: write such as name[extra]==1.2.3 ; marker --hash=sha256:...", clipped(.0))]
    Requirement(String),
    /// A version that is none.
    #[error("'{}' is no version of Python's rules (PEP 440) such as 1.2.3", clipped(.0))]
    PackageVersion(String),
    /// More files than anybody has.
    #[error("'{}' would be one included file more than {most}: is that meant?", clipped(.file), most = .most)]
    Includes {
        /// The file.
        file: String,
        /// How many are read.
        most: usize,
    },
}

impl InputProblem {
    pub(super) fn at(line: usize, what: impl Into<Problem>) -> Self {
        Self { line: Some(line), what: what.into() }
    }

    pub(super) fn whole(what: impl Into<Problem>) -> Self {
        Self { line: None, what: what.into() }
    }
}

impl std::fmt::Display for InputProblem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.line {
            Some(line) => write!(f, " line {line}: {}", self.what),
            None => write!(f, ": {}", self.what),
        }
    }
}

impl std::error::Error for InputProblem {}

/// A text from a file as it may stand in a message: not longer than a line, and nothing in it that moves a terminal's cursor.
pub(super) fn clipped(text: &str) -> String {
    const MOST: usize = 120;
    let mut out: String =
        text.chars().take(MOST).map(|c| if unsafe_to_print(c) { '\u{fffd}' } else { c }).collect();
    if text.chars().nth(MOST).is_some() {
        out.push_str("...");
    }
    out
}

/// Control characters, and those that turn the direction of a text around.
fn unsafe_to_print(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// `a, b, c`, or what to say when there is nothing.
pub(super) fn names<'a>(known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.into_iter().take(30).collect();
    if known.is_empty() { "it has none".to_owned() } else { format!("it has {}", clipped_list(&known)) }
}

fn clipped_list(known: &[&str]) -> String {
    known.iter().map(|name| clipped(name)).collect::<Vec<_>>().join(", ")
}

/// An address without what may be secret in it: a password, or a token in its query.
pub(super) fn without_secrets(address: &str) -> String {
    let Some((scheme, rest)) = address.split_once("://") else { return clipped(address) };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let host = authority.rsplit('@').next().unwrap_or_default();
    let path = path.split(['?', '#']).next().unwrap_or_default();
    clipped(&format!("{scheme}://{host}{path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_hostile_reaches_a_terminal() {
        assert_eq!(clipped("a\u{1b}[2J\u{202e}b"), "a\u{fffd}[2J\u{fffd}b");
        assert_eq!(clipped(&"x".repeat(200)).len(), 123);
        assert_eq!(without_secrets("git+https://me:token@host/x?key=1#f"), "git+https://host/x");
        assert_eq!(without_secrets("https://host?key=1"), "https://host");
        assert_eq!(without_secrets("../here"), "../here");
    }
}
