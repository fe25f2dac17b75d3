//! From a package and what is known of its files to a line of the report.

use std::{collections::BTreeSet, str::FromStr};

use pep440_rs::Version;

use super::{
    lock::{Files, Pin},
    releases::{Answer, Fix, Project},
    report::Entry,
    session::{Answers, Policy},
    tags::Tags,
    target::Target,
    verdict::{Judged, Release, Verdict, judge},
    wheel::Wheel,
};

/// One target's judge.
pub(super) struct Judge<'a> {
    target: &'a Target,
    tags: Tags,
    answers: Option<&'a Answers>,
}

impl<'a> Judge<'a> {
    pub(super) fn new(target: &'a Target, answers: Option<&'a Answers>) -> Self {
        Self { target, tags: Tags::new(target), answers }
    }

    /// Judges one package. `free_threaded` says that it is installed for the target's own interpreter, if it is installed.
    pub(super) fn entry(&self, pin: &Pin, file: &str, free_threaded: bool, policy: &Policy) -> Entry {
        let version = pin.version.as_deref().and_then(|version| Version::from_str(version).ok());
        let elsewhere = matches!(pin.files, Files::Elsewhere(_));
        let answer = self.answers.filter(|_| !elsewhere).and_then(|answers| answers.projects.get(&pin.name));
        let project = match answer {
            Some(Answer::Project(project)) => Some(project),
            _ => None,
        };
        let mut judged = self.judged(pin, version.as_ref(), answer, free_threaded);
        let of_index = project.zip(version.as_ref());
        let fix = of_index
            .filter(|_| judged.verdict.blocks() || judged.verdict == Verdict::PureFallback)
            .map(|(project, version)| {
                let fix = project.first_fix(version, judged.verdict, &self.tags, self.target);
                let last = || project.last_with_wheel(version, &self.tags, self.target);
                judged.why.push_str(&sentence(fix.as_ref(), last));
                fix
            });
        let allowed = policy.allow.contains(&pin.name);
        let strict = policy.strict && judged.verdict == Verdict::PureFallback;
        let bad = judged.verdict.blocks() || judged.verdict == Verdict::Unknown || strict;
        Entry {
            name: pin.name.clone(),
            version: pin.version.clone(),
            verdict: judged.verdict,
            why: judged.why,
            wheel: judged.wheel,
            file: file.to_owned(),
            line: pin.line,
            via: pin.via.clone(),
            fixed_by: fix.flatten().map(|fix| fix.version),
            yanked: of_index.and_then(|(project, version)| project.yanked(version)).map(str::to_owned),
            allowed: bad && allowed,
            fails: bad && !allowed,
        }
    }

    fn judged(
        &self,
        pin: &Pin,
        version: Option<&Version>,
        answer: Option<&Answer>,
        free_threaded: bool,
    ) -> Judged {
        match &pin.files {
            Files::All(files) => self.listed(files),
            Files::Elsewhere(from) => {
                Judged::unknown(format!("comes from {from}: what it is built into shows in the image"))
            }
            Files::One(files) => match answer {
                Some(answer) => self.asked(version, answer, None),
                None => self.one(files),
            },
            Files::Hashes(hashes) => match answer {
                Some(answer) => self.asked(version, answer, Some(hashes)),
                None => Judged::unknown(NO_NAMES),
            },
            Files::Unnamed => match answer {
                Some(answer) => self.asked(version, answer, None),
                None => Judged::unknown(NO_NAMES),
            },
            Files::Installed { tags, objects } => {
                self.installed(tags, objects, version, answer, free_threaded)
            }
        }
    }

    fn listed(&self, files: &[String]) -> Judged {
        judge(&Release::new(files.iter().map(String::as_str)), &self.tags, self.target)
    }

    /// The one wheel that another interpreter chose. If it fits, it is what there is; if not, others may.
    fn one(&self, files: &[String]) -> Judged {
        let judged = self.listed(files);
        if !judged.verdict.blocks() {
            return judged;
        }
        let file = files.first().map(|file| super::problem::clipped(file)).unwrap_or_default();
        Judged::unknown(format!("the lock names {file} only, which is for another interpreter: {ASK}"))
    }

    fn asked(&self, version: Option<&Version>, answer: &Answer, hashes: Option<&BTreeSet<String>>) -> Judged {
        let project: &Project = match answer {
            Answer::Project(project) => project,
            Answer::Absent => {
                return Judged::unknown("the index does not have it: give the one that it comes from");
            }
            Answer::Failed(why) => return Judged::unknown(format!("the index did not answer: {why}")),
        };
        let Some(version) = version.filter(|version| project.has(version)) else {
            return Judged::unknown("the index does not have this release");
        };
        let files = project.files(version, self.target, hashes);
        if files.is_empty() && !project.files(version, self.target, None).is_empty() {
            return Judged::unknown("no file of the release on the index has a hash that the lock allows");
        }
        judge(&Release::new(files), &self.tags, self.target)
    }

    /// What is installed fits, or it is from the image of another interpreter; then another wheel may.
    fn installed(
        &self,
        tags: &[String],
        objects: &BTreeSet<String>,
        version: Option<&Version>,
        answer: Option<&Answer>,
        free_threaded: bool,
    ) -> Judged {
        let wheels: Vec<Wheel> =
            tags.iter().filter_map(|tag| Wheel::parse(&format!("x-0-{tag}.whl"))).collect();
        let own = format!("cpython-3{}t", self.target.interpreter.minor);
        let foreign = objects.iter().find(|end| !end.starts_with(&own) && !end.starts_with("abi3t"));
        if foreign.is_none() && wheels.iter().any(|wheel| self.tags.rank(wheel).is_some()) {
            let files: Vec<String> = tags.iter().map(|tag| format!("x-0-{tag}.whl")).collect();
            return Judged { wheel: None, ..self.listed(&files) };
        }
        if let Some(answer) = answer {
            return self.asked(version, answer, None);
        }
        let stable = foreign.is_some_and(|end| end == "abi3")
            || wheels.iter().any(|wheel| self.tags.stable_with_gil(wheel));
        if free_threaded && stable {
            let crash = if self.target.interpreter.minor == 13 { ", and crashes it at import" } else { "" };
            return Judged {
                verdict: Verdict::AbiOnly,
                wheel: None,
                why: format!(
                    "was installed from an abi3 wheel, which {} cannot load{crash}",
                    self.target.abi()
                ),
            };
        }
        let built = foreign.cloned().or_else(|| tags.first().cloned()).unwrap_or_default();
        let built = super::problem::clipped(&built);
        Judged::unknown(format!("is installed for another interpreter ({built}): {ASK}"))
    }

    /// Whether a site-packages folder is one of the target's own interpreter.
    pub(super) fn is_free_threaded(&self, pins: &[Pin]) -> bool {
        let abi = format!("-{}-", self.target.abi());
        pins.iter().any(|pin| matches!(&pin.files, Files::Installed { tags, .. } if tags.iter().any(|tag| tag.contains(&abi))))
    }
}

const ASK: &str = "--index https://pypi.org/simple looks up the others";
pub(super) const NO_NAMES: &str = "the file names no wheels: --index https://pypi.org/simple looks them up";

fn sentence(fix: Option<&Fix>, last: impl Fn() -> Option<String>) -> String {
    match fix {
        Some(Fix { same: true, .. }) => {
            "; the index has a wheel of this release by now: lock again".to_owned()
        }
        Some(Fix { version, verdict: Verdict::Pure | Verdict::PureFallback, .. }) => {
            format!("; first release that runs, as pure Python: {version}")
        }
        Some(Fix { version, .. }) => format!("; first release with one: {version}"),
        None => match last() {
            Some(version) => format!("; no later release has one; the last that had: {version}"),
            None => "; no release has one".to_owned(),
        },
    }
}
