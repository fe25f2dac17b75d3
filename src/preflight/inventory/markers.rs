//! Markers of dependencies, evaluated for the target and not for the machine that this runs on.
//!
//! What cannot be known before the image runs (`platform_release`, `platform_version`) is neither true nor false; a package that
//! depends on it is counted, because leaving one out could hide a blocker.

use std::{collections::BTreeSet, str::FromStr};

use pep440_rs::{Version, VersionSpecifier};

use super::{target::Target, wheel::normalised};

/// Deepest nesting of brackets that is followed.
const DEEPEST: usize = 64;

/// What is wrong with a marker, and where in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the marker '{}' is wrong at column {column}: {what}", super::problem::clipped(marker))]
pub struct MarkerProblem {
    /// All of it.
    pub marker: String,
    /// Where, from 1.
    pub column: usize,
    /// What should stand there.
    pub what: &'static str,
}

/// What markers are evaluated for.
#[derive(Debug, Clone)]
pub(super) struct Env {
    machine: String,
    full_version: String,
    version: String,
    /// The extras that were chosen, also in the names that uv gives them in a lock with conflicts.
    pub(super) extras: BTreeSet<String>,
    /// The groups that were chosen.
    pub(super) groups: BTreeSet<String>,
}

/// A value that a marker names.
enum Value {
    Text(String),
    Version(String),
    Unknown,
    Extra,
    Extras,
    Groups,
}

/// A comparison that says nothing.
struct Incomparable;

enum Side {
    Literal(String),
    Variable(Value),
}

impl Env {
    pub(super) fn new(target: &Target) -> Self {
        Self {
            machine: target.machine.clone(),
            full_version: target.full_version(),
            version: format!("3.{}", target.interpreter.minor),
            extras: BTreeSet::new(),
            groups: BTreeSet::new(),
        }
    }

    /// Whether a marker holds; `None` where only the running image could say.
    pub(super) fn evaluate(&self, marker: &str) -> Result<Option<bool>, MarkerProblem> {
        let mut parser = Parser { text: marker, at: 0, env: self };
        let value = parser.any(0)?;
        parser.space();
        if parser.at < marker.len() {
            return Err(parser.wrong("write 'and', 'or', or nothing more"));
        }
        Ok(value)
    }

    /// Whether what has this marker must be counted.
    pub(super) fn counts(&self, marker: &str) -> Result<bool, MarkerProblem> {
        Ok(self.evaluate(marker)? != Some(false))
    }

    fn value(&self, name: &str) -> Option<Value> {
        let text = |text: &str| Value::Text(text.to_owned());
        Some(match name {
            "python_version" => Value::Version(self.version.clone()),
            "python_full_version" | "implementation_version" => Value::Version(self.full_version.clone()),
            "os_name" | "os.name" => text("posix"),
            "sys_platform" | "sys.platform" => text("linux"),
            "platform_system" => text("Linux"),
            "platform_machine" | "platform.machine" => text(&self.machine),
            "platform_python_implementation" | "platform.python_implementation" | "python_implementation" => {
                text("CPython")
            }
            "implementation_name" => text("cpython"),
            "platform_release" | "platform_version" | "platform.version" => Value::Unknown,
            "extra" => Value::Extra,
            "extras" => Value::Extras,
            "dependency_groups" => Value::Groups,
            _ => return None,
        })
    }

    fn compare(&self, left: &Side, op: &str, right: &Side) -> Result<Option<bool>, Incomparable> {
        let (literal, value, reversed) = match (left, right) {
            (Side::Variable(value), Side::Literal(literal)) => (literal, value, false),
            (Side::Literal(literal), Side::Variable(value)) => (literal, value, true),
            _ => return Err(Incomparable),
        };
        let member = |set: &BTreeSet<String>| set.contains(&normalised(literal));
        Ok(Some(match (value, op) {
            (Value::Unknown, _) => return Ok(None),
            (Value::Extra, "==") => member(&self.extras),
            (Value::Extra, "!=") => !member(&self.extras),
            (Value::Extras, "in") if reversed => member(&self.extras),
            (Value::Extras, "not in") if reversed => !member(&self.extras),
            (Value::Groups, "in") if reversed => member(&self.groups),
            (Value::Groups, "not in") if reversed => !member(&self.groups),
            (Value::Extra | Value::Extras | Value::Groups, _) => return Err(Incomparable),
            (Value::Version(value), _) => {
                let (have, want) = if reversed { (literal, value) } else { (value, literal) };
                versions(have, op, want).or_else(|| texts(have, op, want)).ok_or(Incomparable)?
            }
            (Value::Text(value), _) => {
                let (have, want) = if reversed { (literal, value) } else { (value, literal) };
                texts(have, op, want).ok_or(Incomparable)?
            }
        }))
    }
}

fn versions(have: &str, op: &str, want: &str) -> Option<bool> {
    let specifier = VersionSpecifier::from_str(&format!("{op}{want}")).ok()?;
    Some(specifier.contains(&Version::from_str(have).ok()?))
}

/// As texts there is no order, and `packaging` says so: nothing is less than another.
fn texts(have: &str, op: &str, want: &str) -> Option<bool> {
    Some(match op {
        "==" | "===" | "<=" | ">=" => have == want,
        "!=" => have != want,
        "<" | ">" => false,
        "in" => want.contains(have),
        "not in" => !want.contains(have),
        _ => return None,
    })
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    env: &'a Env,
}

impl Parser<'_> {
    fn any(&mut self, depth: usize) -> Result<Option<bool>, MarkerProblem> {
        let mut value = self.all(depth)?;
        while self.word("or") {
            let next = self.all(depth)?;
            value = match (value, next) {
                (Some(true), _) | (_, Some(true)) => Some(true),
                (Some(false), Some(false)) => Some(false),
                _ => None,
            };
        }
        Ok(value)
    }

    fn all(&mut self, depth: usize) -> Result<Option<bool>, MarkerProblem> {
        let mut value = self.one(depth)?;
        while self.word("and") {
            let next = self.one(depth)?;
            value = match (value, next) {
                (Some(false), _) | (_, Some(false)) => Some(false),
                (Some(true), Some(true)) => Some(true),
                _ => None,
            };
        }
        Ok(value)
    }

    fn one(&mut self, depth: usize) -> Result<Option<bool>, MarkerProblem> {
        self.space();
        if self.eat("(") {
            if depth >= DEEPEST {
                return Err(self.wrong("brackets are nested deeper than any tool nests them"));
            }
            let value = self.any(depth + 1)?;
            self.space();
            return if self.eat(")") { Ok(value) } else { Err(self.wrong("write ')'")) };
        }
        let left = self.side()?;
        let op = self.op()?;
        let right = self.side()?;
        self.env.compare(&left, op, &right).map_err(|Incomparable| {
            self.wrong("compare a variable with a text, by an operator that it knows")
        })
    }

    fn side(&mut self) -> Result<Side, MarkerProblem> {
        self.space();
        let rest = &self.text[self.at..];
        if let Some(quote @ ('\'' | '"')) = rest.chars().next() {
            let Some(end) = rest[1..].find(quote) else {
                return Err(self.wrong("the quoted text does not end"));
            };
            self.at += end + 2;
            return Ok(Side::Literal(rest[1..=end].to_owned()));
        }
        let length =
            rest.find(|c: char| !(c.is_ascii_lowercase() || c == '_' || c == '.')).unwrap_or(rest.len());
        let Some(value) = self.env.value(&rest[..length]) else {
            return Err(self.wrong("write a variable such as python_version, or a quoted text"));
        };
        self.at += length;
        Ok(Side::Variable(value))
    }

    fn op(&mut self) -> Result<&'static str, MarkerProblem> {
        self.space();
        for op in ["===", "==", "~=", "!=", "<=", ">=", "<", ">"] {
            if self.eat(op) {
                return Ok(op);
            }
        }
        if self.word("in") {
            return Ok("in");
        }
        if self.word("not") && self.word("in") {
            return Ok("not in");
        }
        Err(self.wrong("write an operator such as == or in"))
    }

    fn word(&mut self, word: &str) -> bool {
        self.space();
        let rest = &self.text[self.at..];
        let ends = rest
            .strip_prefix(word)
            .is_some_and(|after| after.chars().next().is_none_or(|c| !(c.is_alphanumeric() || c == '_')));
        if ends {
            self.at += word.len();
        }
        ends
    }

    fn eat(&mut self, sign: &str) -> bool {
        let found = self.text[self.at..].starts_with(sign);
        if found {
            self.at += sign.len();
        }
        found
    }

    fn space(&mut self) {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start_matches([' ', '\t', '\n', '\r']).len();
    }

    fn wrong(&self, what: &'static str) -> MarkerProblem {
        let column = self.text[..self.at].chars().count() + 1;
        MarkerProblem { marker: self.text.to_owned(), column, what }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env() -> Env {
        let mut env = Env::new(&"3.14.2t-linux-x86_64-glibc2.36".parse().unwrap());
        env.extras.insert("cpu-only".to_owned());
        env.groups.insert("dev".to_owned());
        env
    }

    #[test]
    fn markers_hold_for_the_target() {
        for (marker, holds) in [
            ("python_version >= '3.9'", true),
            ("python_version < '3.9'", false),
            // A number, not a text: 3.14 is newer than 3.9.
            ("'3.9' < python_version", true),
            ("python_full_version == '3.14.*'", true),
            ("python_full_version >= '3.14.3'", false),
            ("python_version in '3.13, 3.14'", true),
            ("python_version not in '3.13, 3.14'", false),
            ("python_version ~= '3.12'", true),
            ("sys_platform == 'win32' or platform_system != 'Windows'", true),
            ("sys_platform == 'win32' and python_version >= '3'", false),
            ("platform_python_implementation == 'CPython' and (os_name == 'nt' or os_name == 'posix')", true),
            ("platform_machine in 'x86_64 amd64'", true),
            ("'linux' in sys_platform", true),
            ("implementation_name == \"pypy\"", false),
            ("extra == 'CPU_only'", true),
            ("extra != 'gpu'", true),
            ("'cpu.only' in extras", true),
            ("'gpu' not in extras and 'dev' in dependency_groups", true),
            ("sys_platform > 'a'", false),
            ("\tpython_version\n>= '3' ", true),
        ] {
            assert_eq!(env().evaluate(marker).unwrap(), Some(holds), "{marker}");
        }
    }

    #[test]
    fn what_only_the_image_knows_is_counted() {
        assert_eq!(env().evaluate("platform_release >= '5'").unwrap(), None);
        assert!(env().counts("platform_release >= '5'").unwrap());
        assert_eq!(env().evaluate("platform_release >= '5' and os_name == 'nt'").unwrap(), Some(false));
        assert_eq!(env().evaluate("platform_release >= '5' or os_name == 'posix'").unwrap(), Some(true));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        for (marker, column) in [
            ("", 1),
            ("python_version", 15),
            ("python_version >= '3", 19),
            ("python_versio >= '3'", 1),
            ("(python_version >= '3'", 23),
            ("python_version >= '3' foo", 23),
            ("'a' == 'b'", 11),
            ("'é' == python_version or x", 26),
        ] {
            assert_eq!(env().evaluate(marker).unwrap_err().column, column, "{marker}");
        }
        let deep = format!("{}os_name == 'nt'", "(".repeat(100_000));
        assert!(env().evaluate(&deep).unwrap_err().what.contains("nested"));
    }
}
