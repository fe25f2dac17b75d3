//! What a package index says of a project: its releases, with the files of each.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
    str::FromStr,
};

use pep440_rs::{Version, VersionSpecifiers};
use serde::Deserialize;

use super::{
    problem::clipped,
    tags::Tags,
    target::Target,
    verdict::{Release, Verdict, judge},
    wheel::{Wheel, is_sdist, sdist_version},
};

/// What was learnt of one project.
#[derive(Debug, Clone)]
pub(super) enum Answer {
    /// Its releases.
    Project(Project),
    /// The index does not have it.
    Absent,
    /// The index did not say.
    Failed(String),
}

/// A project by its releases.
#[derive(Debug, Clone, Default)]
pub(super) struct Project(BTreeMap<Version, Vec<Listed>>);

#[derive(Debug, Clone)]
struct Listed {
    name: String,
    sha256: Option<String>,
    requires_python: Option<VersionSpecifiers>,
    /// With the reason.
    yanked: Option<String>,
}

/// The release that would do better.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fix {
    pub(super) version: String,
    /// Whether it is the very release that is pinned: the lock is older than the file.
    pub(super) same: bool,
    pub(super) verdict: Verdict,
}

/// The simple API (PEP 691), as far as it is needed.
#[derive(Debug, Deserialize)]
struct Page {
    files: Vec<PageFile>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct PageFile {
    filename: String,
    #[serde(default)]
    hashes: BTreeMap<String, String>,
    requires_python: Option<String>,
    #[serde(default)]
    yanked: Yanked,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Yanked {
    Is(bool),
    Because(String),
}

impl Default for Yanked {
    fn default() -> Self {
        Self::Is(false)
    }
}

impl Project {
    /// Reads an index's answer. Files whose names are not of this project are left out, as pip does.
    pub(super) fn parse(json: &[u8], project: &str) -> Result<Self, String> {
        let page: Page = serde_json::from_slice(json).map_err(|problem| clipped(&problem.to_string()))?;
        let mut releases: BTreeMap<Version, Vec<Listed>> = BTreeMap::new();
        for file in page.files {
            let Some(version) = version(&file.filename, project) else { continue };
            releases.entry(version).or_default().push(Listed {
                sha256: file.hashes.get("sha256").cloned(),
                // One that cannot be read binds nobody, as with pip.
                requires_python: file
                    .requires_python
                    .and_then(|text| VersionSpecifiers::from_str(&text).ok()),
                yanked: match file.yanked {
                    Yanked::Is(false) => None,
                    Yanked::Is(true) => Some(String::new()),
                    Yanked::Because(reason) => Some(reason),
                },
                name: file.filename,
            });
        }
        Ok(Self(releases))
    }

    pub(super) fn has(&self, version: &Version) -> bool {
        self.0.contains_key(version)
    }

    /// The files of a release that the target may take; of these hashes alone, if there are any.
    pub(super) fn files(
        &self,
        version: &Version,
        target: &Target,
        hashes: Option<&BTreeSet<String>>,
    ) -> Vec<&str> {
        let fits = |file: &&Listed| {
            let allowed = hashes.is_none_or(|hashes| {
                file.sha256.as_ref().is_some_and(|sha256| hashes.contains(&format!("sha256:{sha256}")))
            });
            allowed && file.requires_python.as_ref().is_none_or(|python| target.satisfies(python))
        };
        self.0.get(version).into_iter().flatten().filter(fits).map(|file| file.name.as_str()).collect()
    }

    /// Why a release was withdrawn, if all of it was.
    pub(super) fn yanked(&self, version: &Version) -> Option<&str> {
        let files = self.0.get(version)?;
        let reasons: Option<Vec<&str>> = files.iter().map(|file| file.yanked.as_deref()).collect();
        reasons?.first().copied()
    }

    /// The last release before the pinned one that had a wheel: interpreters that are old are dropped again.
    pub(super) fn last_with_wheel(&self, pinned: &Version, tags: &Tags, target: &Target) -> Option<String> {
        let until = (Bound::Unbounded, Bound::Excluded(pinned));
        let before = self.0.range::<Version, _>(until).rev().filter(|(version, _)| !version.any_prerelease());
        let mut with_wheel = before.filter(|(_, files)| Self::best(files, tags, target) <= Verdict::Native);
        with_wheel.next().map(|(version, _)| version.to_string())
    }

    /// The verdict of the files that somebody who asks today would get.
    fn best(files: &[Listed], tags: &Tags, target: &Target) -> Verdict {
        let python =
            |file: &&Listed| file.requires_python.as_ref().is_none_or(|python| target.satisfies(python));
        let usable = files.iter().filter(|file| file.yanked.is_none()).filter(python);
        judge(&Release::new(usable.map(|file| file.name.as_str())), tags, target).verdict
    }

    /// The first release, from the pinned one on, with a verdict that is better than what is pinned. Pre-releases and withdrawn
    /// files do not count, as nobody would get them.
    pub(super) fn first_fix(
        &self,
        pinned: &Version,
        judged: Verdict,
        tags: &Tags,
        target: &Target,
    ) -> Option<Fix> {
        let from = (Bound::Included(pinned), Bound::Unbounded);
        for (version, files) in self.0.range::<Version, _>(from) {
            if version.any_prerelease() && !pinned.any_prerelease() {
                continue;
            }
            let verdict = Self::best(files, tags, target);
            if !verdict.blocks() && verdict < judged {
                return Some(Fix { version: version.to_string(), same: version == pinned, verdict });
            }
        }
        None
    }
}

fn version(file: &str, project: &str) -> Option<Version> {
    if is_sdist(file) {
        return sdist_version(file, project);
    }
    let wheel = Wheel::parse(file).filter(|wheel| wheel.project == project)?;
    Version::from_str(&wheel.version).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = r#"{"files": [
        {"filename": "a-1.0.tar.gz", "hashes": {"sha256": "1"}, "yanked": "broken"},
        {"filename": "a-1.0-cp313-cp313-manylinux_2_17_x86_64.whl", "hashes": {"sha256": "2"}, "yanked": true},
        {"filename": "a-1.1-cp314-cp314t-manylinux_2_17_x86_64.whl", "yanked": true},
        {"filename": "a-1.2rc1-cp314-cp314t-manylinux_2_17_x86_64.whl"},
        {"filename": "a-1.3-cp314-cp314t-manylinux_2_17_x86_64.whl", "requires-python": ">=3.15"},
        {"filename": "a-1.4-cp314-cp314t-manylinux_2_17_x86_64.whl", "requires-python": ">=3.11"},
        {"filename": "other-9-py3-none-any.whl"},
        {"filename": "notes.txt"}
    ], "meta": {"api-version": "1.4"}, "name": "a"}"#;

    fn v(text: &str) -> Version {
        text.parse().unwrap()
    }

    #[test]
    fn releases_files_and_fixes() {
        let project = Project::parse(PAGE.as_bytes(), "a").unwrap();
        let target = Target::default();
        let tags = Tags::new(&target);
        assert_eq!(project.0.len(), 5);
        assert_eq!(project.yanked(&v("1.0")), Some("broken"));
        assert_eq!(project.yanked(&v("1.4")), None);
        assert_eq!(project.files(&v("1.0.0"), &target, None).len(), 2);
        let allowed = BTreeSet::from(["sha256:2".to_owned()]);
        assert_eq!(
            project.files(&v("1.0"), &target, Some(&allowed)),
            ["a-1.0-cp313-cp313-manylinux_2_17_x86_64.whl"]
        );
        assert!(project.files(&v("1.3"), &target, None).is_empty());
        let fix = project.first_fix(&v("1.0"), Verdict::SourceOnly, &tags, &target).unwrap();
        assert_eq!((fix.version.as_str(), fix.same, fix.verdict), ("1.4", false, Verdict::Ready));
        let pre = project.first_fix(&v("1.2rc0"), Verdict::Missing, &tags, &target).unwrap();
        assert_eq!(pre.version, "1.2rc1");
        assert_eq!(project.last_with_wheel(&v("2"), &tags, &target).as_deref(), Some("1.4"));
        assert_eq!(project.last_with_wheel(&v("1.4"), &tags, &target), None);
        assert_eq!(project.first_fix(&v("1.5"), Verdict::Missing, &tags, &target), None);
    }

    #[test]
    fn what_is_no_answer_is_said() {
        assert!(Project::parse(b"<html>", "a").unwrap_err().contains("expected value"));
    }
}
