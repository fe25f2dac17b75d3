//! From the inspection's facts to one word and its sentence.

use super::{
    CheckFinding,
    document::{Inspected, Offender, Part},
    finding::{enables, last_words},
};

/// What an inspection says. A blocker that was seen counts, whatever else could not be seen.
pub(super) fn finding(document: &Inspected) -> CheckFinding {
    let (hints, blockers) = (hints(document), blockers(document));
    if !blockers.is_empty() {
        return CheckFinding::blocked(blockers, hints);
    }
    match (unknown(document), &document.python) {
        (Some(why), _) => CheckFinding::unknown(why, hints),
        (None, None) => CheckFinding::unknown("the interpreter said nothing of itself".into(), hints),
        (None, Some(python)) => {
            let what = ran(document);
            let sentence = format!("{} {}, free-threaded: {what}", python.implementation, python.version);
            CheckFinding::passed(sentence, hints)
        }
    }
}

/// Every process of the image's, with what people call it. All imports together only where each alone was fine: the same words twice
/// help nobody.
fn parts(document: &Inspected) -> impl Iterator<Item = (String, &Part)> {
    let each_fine = document.imports.iter().all(|part| part.status == "ok");
    let imports = document.imports.iter().map(|part| (format!("import {}", part.modules.join(" ")), part));
    let together = document.together.as_ref().filter(|_| each_fine);
    let together = together.map(|part| ("all imports together".to_owned(), part));
    imports.chain(together).chain(document.warmup.as_ref().map(|part| ("the warm-up".to_owned(), part)))
}

fn blockers(document: &Inspected) -> Vec<String> {
    let Some(python) = &document.python else { return Vec::new() };
    let mut found = Vec::new();
    if !python.free_threaded_build {
        found.push(format!("{} {} is not a free-threaded build", python.implementation, python.version));
        return found;
    }
    if document.gil.forced.as_deref() == Some("on") {
        found.push(format!(
            "{} forces the GIL on: take it out",
            document.gil.by.as_deref().unwrap_or("a setting")
        ));
    }
    found.extend(document.gil_enabled_by.iter().map(offender));
    found.extend(parts(document).filter_map(|(name, part)| failed(&name, part)));
    found
}

fn offender(offender: &Offender) -> String {
    let by = offender.imported_by.as_ref().map(|by| format!(" (imported by {by})")).unwrap_or_default();
    format!("{}{by}", enables(&offender.module))
}

fn failed(name: &str, part: &Part) -> Option<String> {
    let words = last_words(&part.detail);
    match part.status.as_str() {
        "crash" => {
            Some(format!("{name} crashes with {}{words}", part.signal.as_deref().unwrap_or("a signal")))
        }
        "hang" => Some(format!("{name} hangs, ended after {:.0} s{words}", part.seconds)),
        "error" => match part.exit_code {
            Some(code) => Some(format!("{name} fails with exit code {code}{words}")),
            None => Some(format!("{name} fails{words}")),
        },
        _ => None,
    }
}

fn unknown(document: &Inspected) -> Option<String> {
    if document.stopped {
        return Some("the time for the inspection was over before all of it was done".into());
    }
    let unseen = parts(document).find(|(_, part)| part.gil != "off" || part.status != "ok");
    unseen.map(|(name, part)| {
        let why = part.why.as_deref().unwrap_or("nobody said so");
        format!("whether the GIL stays off in {name} cannot be told: {why}")
    })
}

fn ran(document: &Inspected) -> String {
    let modules: Vec<&str> = document.imports.iter().flat_map(|p| &p.modules).map(String::as_str).collect();
    let imported = (!modules.is_empty()).then(|| format!("imported {}", modules.join(", ")));
    let warmed = document.warmup.as_ref().map(|_| "ran the warm-up".to_owned());
    let all: Vec<String> = imported.into_iter().chain(warmed).collect();
    if all.is_empty() {
        return "nothing was imported; name the application under preflight.import".into();
    }
    format!("{}, and the GIL stayed off", all.join(" and "))
}

fn hints(document: &Inspected) -> Vec<String> {
    let off = document.gil.forced.as_deref() == Some("off");
    let hint = off.then(|| {
        let by = document.gil.by.as_deref().unwrap_or("a setting");
        format!(
            "{by} forces the GIL off, which hides at run time that a module needs it: take it out (it was not in force here)"
        )
    });
    hint.into_iter().collect()
}
