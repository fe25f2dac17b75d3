//! Ranges of versions as Poetry writes them: `^3.11`, `~3.12`, `>=3.9,<3.13 || >=3.14`, `*`.

use std::str::FromStr;

use pep440_rs::{Version, VersionSpecifiers};

use super::target::Target;

/// Whether a range lets the target's interpreter in. One that cannot be read does: leaving a package out could hide a blocker.
pub(super) fn allows(range: &str, target: &Target) -> bool {
    range.split("||").any(|part| specifiers(part).is_none_or(|specifiers| target.satisfies(&specifiers)))
}

fn specifiers(part: &str) -> Option<VersionSpecifiers> {
    let mut all = Vec::new();
    for one in part.split(',').flat_map(joined) {
        let one = one.trim();
        if one.is_empty() || one == "*" {
            continue;
        }
        all.push(match one.strip_prefix('^') {
            Some(version) => caret(version)?,
            None => match one.strip_prefix('~').filter(|rest| !rest.starts_with('=')) {
                Some(version) => tilde(version)?,
                None if one.starts_with(|c: char| c.is_ascii_digit()) => format!("=={one}"),
                None => one.to_owned(),
            },
        });
    }
    VersionSpecifiers::from_str(&all.join(",")).ok()
}

/// Poetry lets blanks stand for commas: `>=3.9 <4`. The blank after an operator is none of those.
fn joined(part: &str) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for word in part.split_whitespace() {
        match all.last_mut() {
            Some(last) if last.ends_with(['=', '<', '>', '~', '^', '!']) => last.push_str(word),
            _ => all.push(word.to_owned()),
        }
    }
    all
}

/// Up to the next change of the first number that is not 0.
fn caret(text: &str) -> Option<String> {
    let version = Version::from_str(text.trim()).ok()?;
    let numbers = version.release();
    let fixed = numbers.iter().position(|number| *number != 0).unwrap_or(numbers.len() - 1);
    Some(below(&version, fixed))
}

/// Up to the next minor version, or the next major one where there is no minor.
fn tilde(text: &str) -> Option<String> {
    let version = Version::from_str(text.trim()).ok()?;
    Some(below(&version, usize::from(version.release().len() > 1)))
}

fn below(version: &Version, last: usize) -> String {
    let mut upper: Vec<u64> = version.release()[..=last].to_vec();
    if let Some(number) = upper.last_mut() {
        *number = number.saturating_add(1);
    }
    format!(">={version},<{}", Version::new(upper))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read() {
        let target: Target = "3.14.2t-linux-x86_64-glibc2.36".parse().unwrap();
        for (range, lets) in [
            ("*", true),
            ("", true),
            ("^3.9", true),
            ("^2.7", false),
            ("^3", true),
            ("^0.1", false),
            ("~3.14", true),
            ("~3.13", false),
            ("~3", true),
            ("~=3.9", true),
            (">=3.9,<4.0", true),
            (">=3.9 <3.13", false),
            (">= 3.9, < 3.13 || >= 3.14", true),
            ("3.14.*", true),
            ("!=3.14.*", false),
            ("what is this", true),
        ] {
            assert_eq!(allows(range, &target), lets, "{range}");
        }
    }
}
