//! The name of a wheel's file says what it fits; it is read by the rules of `packaging.utils.parse_wheel_filename`.

use std::str::FromStr;

use pep440_rs::Version;

/// Longest name of a file that is looked at. File systems end at 255.
const LONGEST: usize = 512;

/// A wheel by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wheel {
    /// The name of its file.
    pub(super) file: String,
    /// The project's name, normalised.
    pub(super) project: String,
    /// As it stands in the name.
    pub(super) version: String,
    /// The build number breaks ties; one that has one is preferred.
    build: Option<(u64, String)>,
    /// `cp313.cp314-abi3-any`, in lower case.
    tags: String,
}

impl Wheel {
    /// Reads a name; nothing if pip would not take it for a wheel's.
    pub(super) fn parse(file: &str) -> Option<Self> {
        if file.len() > LONGEST {
            return None;
        }
        let stem = file.strip_suffix(".whl")?;
        let parts: Vec<&str> = stem.split('-').collect();
        let (name, version, build, tags) = match parts[..] {
            [name, version, python, abi, platform] => (name, version, None, [python, abi, platform]),
            [name, version, build, python, abi, platform] => {
                (name, version, Some(build), [python, abi, platform])
            }
            _ => return None,
        };
        let known = |c: char| c.is_alphanumeric() || c == '_' || c == '.';
        if name.is_empty() || name.contains("__") || !name.chars().all(known) {
            return None;
        }
        Version::from_str(version).ok()?;
        if tags.iter().any(|set| set.split('.').any(str::is_empty)) {
            return None;
        }
        let build = match build {
            None => None,
            Some(build) => {
                let digits = build.bytes().take_while(u8::is_ascii_digit).count();
                let (number, rest) = build.split_at(digits);
                if number.is_empty() {
                    return None;
                }
                Some((number.parse().unwrap_or(u64::MAX), rest.to_owned()))
            }
        };
        Some(Self {
            file: file.to_owned(),
            project: normalised(name),
            version: version.to_owned(),
            build,
            tags: tags.join("-").to_ascii_lowercase(),
        })
    }

    /// Wheels of one rank: the one with the greater build number is taken.
    pub(super) fn build(&self) -> Option<(u64, &str)> {
        self.build.as_ref().map(|(number, rest)| (*number, rest.as_str()))
    }

    /// `cp314`, `py3`.
    pub(super) fn pythons(&self) -> impl Iterator<Item = &str> {
        self.set(0)
    }

    /// `cp314t`, `abi3`, `none`.
    pub(super) fn abis(&self) -> impl Iterator<Item = &str> {
        self.set(1)
    }

    /// `manylinux_2_28_x86_64`, `any`.
    pub(super) fn platforms(&self) -> impl Iterator<Item = &str> {
        self.set(2)
    }

    /// Whether it holds extensions for `CPython` with the GIL.
    pub(super) fn for_gil_builds(&self) -> bool {
        self.pythons().any(|python| python.starts_with("cp"))
            && self.abis().any(|abi| abi == "abi3" || (abi.starts_with("cp") && !abi.ends_with('t')))
    }

    fn set(&self, which: usize) -> impl Iterator<Item = &str> {
        self.tags.split('-').nth(which).unwrap_or_default().split('.')
    }
}

/// The name of a project in the one form in which names are compared: `Foo_Bar.baz` is `foo-bar-baz`.
pub(super) fn normalised(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for c in name.chars() {
        match c {
            '-' | '_' | '.' => {
                if !out.ends_with('-') {
                    out.push('-');
                }
            }
            other => out.extend(other.to_lowercase()),
        }
    }
    out
}

/// The name of the file that an address or a path ends with, without escapes, query and fragment.
pub(super) fn file_name(address: &str) -> String {
    let end = address.split(['?', '#']).next().unwrap_or_default();
    let name = end.rsplit(['/', '\\']).next().unwrap_or_default();
    if !name.contains('%') {
        return name.to_owned();
    }
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let [first, tail @ ..] = rest {
        if let (b'%', [high, low, after @ ..]) = (first, tail)
            && let (Some(high), Some(low)) = (hex(*high), hex(*low))
        {
            bytes.push(high * 16 + low);
            rest = after;
            continue;
        }
        bytes.push(*first);
        rest = tail;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// Whether it is the name of a wheel, even if of none that can be.
pub(super) fn is_wheel(file: &str) -> bool {
    file.strip_suffix(".whl").is_some()
}

/// Whether it is the name of a source distribution.
pub(super) fn is_sdist(file: &str) -> bool {
    [".tar.gz", ".zip", ".tar.bz2", ".tar.xz", ".tgz"].iter().any(|end| file.ends_with(end))
}

/// The version in the name of a source distribution of a project. Old names hold hyphens of their own, so that it must be known of which.
pub(super) fn sdist_version(file: &str, project: &str) -> Option<Version> {
    let stem =
        [".tar.gz", ".zip", ".tar.bz2", ".tar.xz", ".tgz"].iter().find_map(|end| file.strip_suffix(end))?;
    if stem.len() > LONGEST {
        return None;
    }
    let mut cut = stem.match_indices('-').map(|(at, _)| at).filter(|at| normalised(&stem[..*at]) == project);
    let at = cut.next()?;
    Version::from_str(&stem[at + 1..]).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read() {
        let wheel =
            Wheel::parse("Foo.Bar_baz-1.0+cpu-2x-cp313.cp314-abi3-manylinux1_x86_64.Any.whl").unwrap();
        assert_eq!((wheel.project.as_str(), wheel.version.as_str()), ("foo-bar-baz", "1.0+cpu"));
        assert_eq!(wheel.build(), Some((2, "x")));
        assert_eq!(wheel.pythons().collect::<Vec<_>>(), ["cp313", "cp314"]);
        assert_eq!(wheel.platforms().collect::<Vec<_>>(), ["manylinux1_x86_64", "any"]);
        assert!(wheel.for_gil_builds());
        assert!(!Wheel::parse("a-1-cp314-cp314t-any.whl").unwrap().for_gil_builds());
        assert!(!Wheel::parse("a-1-pp310-pypy310_pp73-any.whl").unwrap().for_gil_builds());
    }

    #[test]
    fn what_pip_refuses_is_refused() {
        for name in [
            "",
            ".whl",
            "a-1-py3-none-any.zip",
            "a-1-py3-none.whl",
            "a-x-py3-none-any.whl",
            "a__b-1-py3-none-any.whl",
            "a-1-x1-py3-none-any.whl",
            "a-1-py3..py2-none-any.whl",
            "a b-1-py3-none-any.whl",
        ] {
            assert_eq!(Wheel::parse(name), None, "{name}");
        }
    }

    #[test]
    fn files_are_named_by_the_end_of_their_address() {
        assert_eq!(
            file_name("https://x/y/a-1.0%2Bcpu-py3-none-any.whl?t=1#sha256=2"),
            "a-1.0+cpu-py3-none-any.whl"
        );
        assert_eq!(file_name("..\\wheels\\a.whl"), "a.whl");
        assert_eq!(file_name("100%"), "100%");
        assert_eq!(file_name(""), "");
    }

    #[test]
    fn sdists_of_old_have_hyphens_in_their_names() {
        let version = |file, project| sdist_version(file, project).map(|version| version.to_string());
        assert_eq!(version("zope-interface-5.0.tar.gz", "zope-interface").as_deref(), Some("5.0"));
        assert_eq!(version("Zope.Interface-5.0.zip", "zope-interface").as_deref(), Some("5.0"));
        assert_eq!(version("other-5.0.zip", "zope-interface"), None);
        assert_eq!(version("zope-interface-x.zip", "zope-interface"), None);
    }
}
