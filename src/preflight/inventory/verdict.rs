//! What a release means for the target: the verdict of the wheel that is taken, or of there being none.

use std::{cmp::Reverse, collections::BTreeSet};

use serde::Serialize;

use super::{
    tags::{Fit, Tags, minor},
    target::Target,
    wheel::{Wheel, is_sdist},
};

/// How a package will fare on the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Verdict {
    /// A wheel with extensions built for it: `cpXYt`, or `abi3t`.
    Ready,
    /// A wheel with a program or a library that is not loaded by its tag (`none-<platform>`): checked in the image.
    Native,
    /// Nothing of it is binary.
    Pure,
    /// Runs without the extensions that a build with the GIL gets.
    PureFallback,
    /// Only its source fits: it must be built.
    SourceOnly,
    /// Only `abi3`, which a free-threaded build cannot load; there is no source.
    AbiOnly,
    /// Nothing fits, and there is no source.
    Missing,
    /// Not known from what was given.
    Unknown,
}

/// A verdict with its reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Judged {
    pub(super) verdict: Verdict,
    /// The file that is taken.
    pub(super) wheel: Option<String>,
    /// Why, in one sentence without a full stop.
    pub(super) why: String,
}

impl Verdict {
    /// All of them, best first.
    pub const ALL: [Self; 8] = [
        Self::Ready,
        Self::Native,
        Self::Pure,
        Self::PureFallback,
        Self::SourceOnly,
        Self::AbiOnly,
        Self::Missing,
        Self::Unknown,
    ];

    /// Whether the image cannot be built from wheels because of it.
    pub fn blocks(self) -> bool {
        matches!(self, Self::SourceOnly | Self::AbiOnly | Self::Missing)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::Native => "Native",
            Self::Pure => "Pure",
            Self::PureFallback => "PureFallback",
            Self::SourceOnly => "SourceOnly",
            Self::AbiOnly => "AbiOnly",
            Self::Missing => "Missing",
            Self::Unknown => "Unknown",
        }
    }
}

impl Judged {
    pub(super) fn unknown(why: impl Into<String>) -> Self {
        Self { verdict: Verdict::Unknown, wheel: None, why: why.into() }
    }
}

/// What a release's files are, by their names. Names that are neither a wheel's nor a source's are left out, as pip does.
pub(super) struct Release {
    pub(super) wheels: Vec<Wheel>,
    pub(super) sdist: bool,
}

impl Release {
    pub(super) fn new<'a>(files: impl IntoIterator<Item = &'a str>) -> Self {
        let mut release = Self { wheels: Vec::new(), sdist: false };
        for file in files {
            if is_sdist(file) {
                release.sdist = true;
            } else {
                release.wheels.extend(Wheel::parse(file));
            }
        }
        release
    }

    /// What a build with the GIL gets instead: the wheel of the newest interpreter, as the one to compare with.
    fn with_gil(&self, tags: &Tags) -> Option<&Wheel> {
        let native = self.wheels.iter().filter(|wheel| wheel.for_gil_builds() && tags.on_platform(wheel));
        native.max_by_key(|wheel| wheel.pythons().filter_map(minor).max())
    }

    /// The wheel that is taken, and why it fits.
    fn best(&self, tags: &Tags) -> Option<(&Wheel, Fit)> {
        let ranked =
            self.wheels.iter().filter_map(|wheel| tags.rank(wheel).map(|(rank, fit)| (rank, fit, wheel)));
        let best = ranked.min_by_key(|(rank, _, wheel)| (*rank, Reverse(wheel.build())));
        best.map(|(_, fit, wheel)| (wheel, fit))
    }
}

/// Judges a release whose files are all known.
pub(super) fn judge(release: &Release, tags: &Tags, target: &Target) -> Judged {
    let Some((wheel, fit)) = release.best(tags) else { return unfit(release, tags, target) };
    let abi = target.abi();
    let (verdict, why) = match fit {
        Fit::Own => (Verdict::Ready, format!("has a wheel for {abi}")),
        Fit::Stable => {
            (Verdict::Ready, "has a wheel for the stable ABI of free-threaded builds (abi3t)".to_owned())
        }
        Fit::Native => (
            Verdict::Native,
            format!("binary, but no extension by its tag: see in the image whether {abi} runs it"),
        ),
        Fit::Any => match release.with_gil(tags) {
            None => (Verdict::Pure, "pure Python".to_owned()),
            Some(other) => {
                let tag = tag(other);
                (
                    Verdict::PureFallback,
                    format!(
                        "runs as pure Python, without the extensions of its {tag} wheel for builds with the GIL"
                    ),
                )
            }
        },
    };
    Judged { verdict, wheel: Some(wheel.file.clone()), why }
}

fn unfit(release: &Release, tags: &Tags, target: &Target) -> Judged {
    let stable = release.wheels.iter().find(|wheel| tags.stable_with_gil(wheel));
    let none = format!("no wheel for {} on {}", target.abi(), target.platform());
    let (verdict, rest) = match (release.sdist, stable) {
        (true, Some(wheel)) => (
            Verdict::SourceOnly,
            format!("has an sdist; its {} wheel is for builds with the GIL only", tag(wheel)),
        ),
        (true, None) => (Verdict::SourceOnly, "has an sdist".to_owned()),
        (false, Some(wheel)) => {
            let crash =
                if target.interpreter.minor == 13 { ", and copied in it crashes at import" } else { "" };
            (
                Verdict::AbiOnly,
                format!("no sdist; its {} wheel is for builds with the GIL only{crash}", tag(wheel)),
            )
        }
        (false, None) if release.wheels.is_empty() => {
            (Verdict::Missing, "no sdist, and no wheel at all".to_owned())
        }
        (false, None) => {
            (Verdict::Missing, format!("no sdist; there are wheels for {}", there_are(release, target)))
        }
    };
    Judged { verdict, wheel: None, why: format!("{none}; {rest}") }
}

/// `cp310-abi3`.
fn tag(wheel: &Wheel) -> String {
    let pythons: Vec<&str> = wheel.pythons().take(3).collect();
    let abis: Vec<&str> = wheel.abis().take(3).collect();
    super::problem::clipped(&format!("{}-{}", pythons.join("."), abis.join(".")))
}

/// What there is instead: other platforms for this interpreter, if there are any, for else other interpreters.
fn there_are(release: &Release, target: &Target) -> String {
    let own = target.abi();
    let mine: Vec<&Wheel> =
        release.wheels.iter().filter(|wheel| wheel.abis().any(|abi| abi == own)).collect();
    let (interpreters, wheels) = if mine.is_empty() {
        let mut abis: Vec<&str> =
            release.wheels.iter().flat_map(Wheel::abis).collect::<BTreeSet<_>>().into_iter().collect();
        abis.sort_by_key(|abi| {
            minor(abi.trim_end_matches(|c: char| !c.is_ascii_digit())).unwrap_or_default()
        });
        (listed(&abis, 8), release.wheels.iter().collect())
    } else {
        (own, mine)
    };
    let platforms: BTreeSet<&str> = wheels.iter().flat_map(|wheel| wheel.platforms()).collect();
    format!("{interpreters} on {}", listed(&platforms.into_iter().collect::<Vec<_>>(), 6))
}

fn listed(names: &[&str], most: usize) -> String {
    let shown: Vec<String> = names.iter().take(most).map(|name| super::problem::clipped(name)).collect();
    let more = names.len().saturating_sub(most);
    if more == 0 { shown.join(", ") } else { format!("{} and {more} more", shown.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINUX: &str = "3.14t-linux-x86_64-glibc2.36";

    fn judged(target: &str, files: &[&str]) -> Judged {
        let target: Target = target.parse().unwrap();
        judge(&Release::new(files.iter().copied()), &Tags::new(&target), &target)
    }

    #[test]
    fn each_verdict() {
        let own = "a-1-cp314-cp314t-manylinux_2_28_x86_64.whl";
        let gil = "a-1-cp314-cp314-manylinux_2_28_x86_64.whl";
        let old = "a-1-cp39-cp39-manylinux_2_28_x86_64.whl";
        let abi3 = "a-1-cp39-abi3-manylinux_2_28_x86_64.whl";
        let later = "a-1-cp315-abi3-manylinux_2_28_x86_64.whl";
        let program = "a-1-py3-none-manylinux_2_28_x86_64.whl";
        let pure = "a-1-py3-none-any.whl";
        let mac = "a-1-cp314-cp314t-macosx_11_0_arm64.whl";
        let macs_gil = "a-1-cp314-cp314-macosx_11_0_arm64.whl";
        let sdist = "a-1.tar.gz";
        for (files, verdict) in [
            (vec![own, gil, pure, sdist], Verdict::Ready),
            (vec![program, sdist], Verdict::Native),
            (vec![pure, sdist], Verdict::Pure),
            (vec![pure, macs_gil], Verdict::Pure),
            (vec![pure, own.replace("x86_64", "s390x").as_str()], Verdict::Pure),
            (vec![pure, gil], Verdict::PureFallback),
            (vec![pure, old], Verdict::PureFallback),
            (vec![pure, abi3], Verdict::PureFallback),
            (vec![gil, abi3, sdist], Verdict::SourceOnly),
            (vec![sdist], Verdict::SourceOnly),
            (vec![gil, abi3], Verdict::AbiOnly),
            (vec![gil, later], Verdict::Missing),
            (vec![mac, gil], Verdict::Missing),
            (vec![], Verdict::Missing),
        ] {
            assert_eq!(judged(LINUX, &files).verdict, verdict, "{files:?}");
        }
        let both = "a-1-cp315-abi3.abi3t-manylinux_2_28_x86_64.whl";
        assert_eq!(judged("3.15t-linux-x86_64-glibc2.36", &[both]).verdict, Verdict::Ready);
        assert_eq!(judged("3.16t-linux-x86_64-glibc2.36", &[both]).verdict, Verdict::Ready);
        assert_eq!(judged(LINUX, &[both]).verdict, Verdict::Missing);
    }

    #[test]
    fn sentences_say_what_there_is() {
        let mac = "a-1-cp314-cp314t-macosx_11_0_arm64.whl";
        let newer = "a-1-cp314-cp314t-manylinux_2_39_x86_64.whl";
        let gil = "a-1-cp39-cp39-win_amd64.whl";
        let sdist = "a-1.tar.gz";
        let none = "no wheel for cp314t on linux x86_64 glibc 2.36";
        assert_eq!(judged(LINUX, &[gil, sdist]).why, format!("{none}; has an sdist"));
        assert_eq!(
            judged(LINUX, &[mac, newer, gil]).why,
            format!(
                "{none}; no sdist; there are wheels for cp314t on macosx_11_0_arm64, manylinux_2_39_x86_64"
            )
        );
        assert_eq!(
            judged(LINUX, &[gil]).why,
            format!("{none}; no sdist; there are wheels for cp39 on win_amd64")
        );
        let abi3 = "a-1-cp39-abi3-manylinux_2_17_x86_64.whl";
        let thirteen = judged("3.13t-linux-x86_64-glibc2.36", &[abi3]);
        assert!(thirteen.why.ends_with("copied in it crashes at import"), "{}", thirteen.why);
    }

    #[test]
    fn of_equal_wheels_the_later_build_is_taken() {
        let files = ["a-1-2-py3-none-any.whl", "a-1-10-py3-none-any.whl", "a-1-py3-none-any.whl"];
        assert_eq!(judged(LINUX, &files).wheel.as_deref(), Some("a-1-10-py3-none-any.whl"));
    }
}
