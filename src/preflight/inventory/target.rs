//! What the dependencies must run on: interpreter, architecture and C library.

use std::{fmt, str::FromStr};

use pep440_rs::{Version, VersionSpecifiers};

/// Architectures as `platform.machine()` names them on Linux.
const MACHINES: [&str; 8] =
    ["x86_64", "aarch64", "ppc64le", "s390x", "riscv64", "loongarch64", "armv7l", "i686"];

/// Stands for "the newest patch release" where a target names none: an image is built with one that is up to date.
const NEWEST_PATCH: u64 = 99;

/// A free-threaded interpreter: `3.14t`, or `3.14.2t` when the patch release matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interpreter {
    /// 14 of 3.14t.
    pub minor: u64,
    /// 2 of 3.14.2t.
    pub patch: Option<u64>,
}

/// The C library of the image, with its version: wheels name the oldest that they run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Libc {
    /// glibc, as in Debian, Ubuntu, Red Hat: `glibc2.36`.
    Glibc(u64, u64),
    /// musl, as in Alpine: `musl1.2`.
    Musl(u64, u64),
}

/// Interpreter, architecture and C library of the free-threaded image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Which `CPython`.
    pub interpreter: Interpreter,
    /// As `platform.machine()` says: `x86_64`, `aarch64`.
    pub machine: String,
    /// Which C library, and which version of it.
    pub libc: Libc,
}

/// A target that does not exist, or that is none of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetProblem {
    /// Not a target at all.
    #[error(
        "'{0}' is no target: write interpreter, system, architecture and C library, such as 3.14t-linux-x86_64-glibc2.36"
    )]
    Shape(String),
    /// An interpreter with the GIL.
    #[error("'{0}' is an interpreter with the GIL: write {0}t for its free-threaded build")]
    Gil(String),
    /// Not an interpreter.
    #[error(
        "'{0}' is no interpreter that can be free-threaded: write 3.13t, 3.14t or 3.15t, or with a patch release 3.14.2t"
    )]
    Interpreter(String),
    /// Not Linux.
    #[error("'{0}' is no system that the operator runs on: write linux")]
    System(String),
    /// Not an architecture.
    #[error("'{0}' is no architecture that is known: write one of {all}", all = MACHINES.join(", "))]
    Machine(String),
    /// Not a C library.
    #[error(
        "'{0}' is no C library with its version: write such as glibc2.36 (ldd --version in the image says it) or musl1.2"
    )]
    Libc(String),
}

impl Target {
    /// Whether the interpreter is one that these specifiers allow. Without a patch release, one that fits is enough.
    pub fn satisfies(&self, specifiers: &VersionSpecifiers) -> bool {
        let minor = self.interpreter.minor;
        let patches = self.interpreter.patch.map_or(vec![0, NEWEST_PATCH], |patch| vec![patch]);
        patches.into_iter().any(|patch| specifiers.contains(&Version::new([3, minor, patch])))
    }

    /// What `platform.python_version()` says, in a marker.
    pub(super) fn full_version(&self) -> String {
        let Interpreter { minor, patch } = self.interpreter;
        format!("3.{minor}.{}", patch.unwrap_or(NEWEST_PATCH))
    }

    /// `cp314t`: the tag of wheels that are built for exactly this interpreter.
    pub(super) fn abi(&self) -> String {
        format!("cp3{}t", self.interpreter.minor)
    }

    /// `linux x86_64 glibc 2.36`: the target without its interpreter, as it stands in sentences.
    pub(super) fn platform(&self) -> String {
        let (name, major, minor) = match self.libc {
            Libc::Glibc(major, minor) => ("glibc", major, minor),
            Libc::Musl(major, minor) => ("musl", major, minor),
        };
        format!("linux {} {name} {major}.{minor}", self.machine)
    }
}

impl Default for Target {
    /// What most images are by now: Debian 12 or newer on `x86_64`.
    fn default() -> Self {
        Self {
            interpreter: Interpreter { minor: 14, patch: None },
            machine: "x86_64".to_owned(),
            libc: Libc::Glibc(2, 36),
        }
    }
}

impl fmt::Display for Interpreter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.patch {
            Some(patch) => write!(f, "3.{}.{patch}t", self.minor),
            None => write!(f, "3.{}t", self.minor),
        }
    }
}

impl fmt::Display for Libc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Glibc(major, minor) => write!(f, "glibc{major}.{minor}"),
            Self::Musl(major, minor) => write!(f, "musl{major}.{minor}"),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-linux-{}-{}", self.interpreter, self.machine, self.libc)
    }
}

impl FromStr for Target {
    type Err = TargetProblem;

    fn from_str(text: &str) -> Result<Self, TargetProblem> {
        let parts: Vec<&str> = text.trim().split('-').collect();
        let [interpreter, system, arch, libc] = parts[..] else {
            return Err(TargetProblem::Shape(text.to_owned()));
        };
        if system != "linux" {
            return Err(TargetProblem::System(system.to_owned()));
        }
        Ok(Self { interpreter: interpreter.parse()?, machine: machine(arch)?, libc: libc.parse()? })
    }
}

impl FromStr for Interpreter {
    type Err = TargetProblem;

    fn from_str(text: &str) -> Result<Self, TargetProblem> {
        let wrong = || TargetProblem::Interpreter(text.to_owned());
        let named = text.strip_prefix("cp").unwrap_or(text);
        let (numbers, threaded) = named.strip_suffix('t').map_or((named, false), |rest| (rest, true));
        let parsed: Option<Vec<u64>> = numbers.split('.').map(number).collect();
        let (minor, patch) = match parsed.as_deref() {
            Some([3, minor]) => (*minor, None),
            Some([3, minor, patch]) => (*minor, Some(*patch)),
            _ => return Err(wrong()),
        };
        // 3.13 is the first that can; far beyond what is known a typing error is likelier.
        if !(13..=40).contains(&minor) {
            return Err(wrong());
        }
        if threaded { Ok(Self { minor, patch }) } else { Err(TargetProblem::Gil(text.to_owned())) }
    }
}

impl FromStr for Libc {
    type Err = TargetProblem;

    fn from_str(text: &str) -> Result<Self, TargetProblem> {
        let wrong = || TargetProblem::Libc(text.to_owned());
        let version = |rest: &str| {
            let (major, minor) = rest.split_once('.')?;
            Some((number(major)?, number(minor)?))
        };
        // Every version down from this one becomes a tag: a bound keeps the list of them short.
        let sane = |(major, minor): (u64, u64), want: u64| major == want && minor <= 200;
        if let Some(found) = text.strip_prefix("glibc").and_then(version) {
            return if sane(found, 2) { Ok(Self::Glibc(found.0, found.1)) } else { Err(wrong()) };
        }
        if let Some(found) = text.strip_prefix("musl").and_then(version) {
            return if sane(found, 1) { Ok(Self::Musl(found.0, found.1)) } else { Err(wrong()) };
        }
        Err(wrong())
    }
}

/// An architecture by Python's name for it, or by Kubernetes' own.
pub(super) fn machine(text: &str) -> Result<String, TargetProblem> {
    let name = match text {
        "amd64" => "x86_64",
        "arm64" => "aarch64",
        other => other,
    };
    if MACHINES.contains(&name) { Ok(name.to_owned()) } else { Err(TargetProblem::Machine(text.to_owned())) }
}

fn number(text: &str) -> Option<u64> {
    (!text.is_empty() && text.len() < 10 && text.bytes().all(|b| b.is_ascii_digit()))
        .then(|| text.parse().ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_read_and_written_alike() {
        for text in
            ["3.14t-linux-x86_64-glibc2.36", "3.13.5t-linux-aarch64-musl1.2", "3.15t-linux-s390x-glibc2.17"]
        {
            assert_eq!(text.parse::<Target>().unwrap().to_string(), text);
        }
        let kubernetes: Target = "3.14t-linux-amd64-glibc2.36".parse().unwrap();
        assert_eq!(kubernetes, Target::default());
    }

    #[test]
    fn what_is_wrong_is_said_with_what_to_write() {
        for (text, says) in [
            ("3.14-linux-x86_64-glibc2.36", "write 3.14t"),
            ("3.12t-linux-x86_64-glibc2.36", "3.13t, 3.14t or 3.15t"),
            ("3.14t-windows-x86_64-glibc2.36", "write linux"),
            ("3.14t-linux-sparc-glibc2.36", "x86_64, aarch64"),
            ("3.14t-linux-x86_64-glibc", "glibc2.36"),
            ("3.14t-linux-x86_64-glibc9.1", "glibc2.36"),
            ("3.14t", "3.14t-linux-x86_64-glibc2.36"),
            ("", "3.14t-linux-x86_64-glibc2.36"),
        ] {
            let problem = text.parse::<Target>().unwrap_err().to_string();
            assert!(problem.contains(says), "{text}: {problem}");
        }
    }

    #[test]
    fn without_a_patch_release_one_that_fits_is_enough() {
        let any: Target = "3.14t-linux-x86_64-glibc2.36".parse().unwrap();
        let first: Target = "3.14.0t-linux-x86_64-glibc2.36".parse().unwrap();
        let newer: VersionSpecifiers = ">=3.14.1".parse().unwrap();
        assert!(any.satisfies(&newer));
        assert!(!first.satisfies(&newer));
        assert!(any.satisfies(&"<3.14.1".parse().unwrap()));
        assert!(!any.satisfies(&"<3.14".parse().unwrap()));
    }
}
