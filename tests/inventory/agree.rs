//! What pip, packaging and uv said of the lock files (`record.py` asked them) is what `inventory` says.

use std::{collections::BTreeMap, fmt::Write as _};

use freethread_rollout::preflight::inventory::{Content, Input, Policy, Report, all_tags, take_stock};
use serde::Deserialize;
use serde_json::Value;

use super::locks::{LOCKS, lock, read, report, wanted};

#[derive(Deserialize)]
struct Answers {
    pip: String,
    targets: Vec<String>,
    tags: BTreeMap<String, Tags>,
    markers: BTreeMap<String, String>,
    walks: BTreeMap<String, Vec<String>>,
    chosen: BTreeMap<String, Chosen>,
}

#[derive(Deserialize)]
struct Tags {
    platforms: Vec<String>,
    lines: Vec<String>,
}

/// One answer for all targets, or one for each.
#[derive(Deserialize)]
#[serde(untagged)]
enum Chosen {
    Each(Vec<Option<String>>),
    All(Option<String>),
}

impl Chosen {
    fn of(&self, target: usize) -> Option<&str> {
        match self {
            Self::All(file) => file.as_deref(),
            Self::Each(files) => files[target].as_deref(),
        }
    }
}

fn answers() -> Answers {
    serde_json::from_str(&read("answers.json")).unwrap()
}

#[test]
fn tags_are_in_the_order_of_packaging() {
    for (target, Tags { platforms, lines }) in answers().tags {
        let told = lines.iter().flat_map(|line| match line.strip_suffix('*') {
            Some(line) => platforms.iter().map(|platform| format!("{line}{platform}")).collect(),
            None => vec![line.clone()],
        });
        assert_eq!(all_tags(&target.parse().unwrap()), told.collect::<Vec<_>>(), "{target}");
    }
}

/// A lock in which each package has one of the markers: what is installed is what holds.
#[test]
fn markers_hold_where_packaging_says() {
    let answers = answers();
    assert!(answers.markers.len() > 50, "only {} markers", answers.markers.len());
    let mut lock = "lock-version = '1.0'\nextras = ['all']\ndependency-groups = ['dev']\n".to_owned();
    for (i, marker) in answers.markers.keys().enumerate() {
        let marker = serde_json::to_string(marker).unwrap();
        let _ = writeln!(lock, "[[packages]]\nname = 'm{i}'\nmarker = {marker}");
    }
    for (at, target) in answers.targets.iter().enumerate() {
        let found = report("pylock.toml", &lock, &wanted(target, "all", "dev")).unwrap();
        for (i, (marker, holds)) in answers.markers.iter().enumerate() {
            let name = format!("m{i}");
            let counted = found.packages.iter().any(|entry| entry.name == name);
            assert_eq!(counted, holds.as_bytes()[at] == b'1', "{marker} for {target}");
        }
    }
}

#[test]
fn the_walk_ends_where_uvs_own_does() {
    let walks = answers().walks;
    assert!(walks.len() >= 20, "only {} walks", walks.len());
    for (asked, told) in walks {
        let mut words = asked.split(' ');
        let (name, target) = (words.next().unwrap(), words.next().unwrap());
        let options: Vec<&str> = words.collect();
        let chosen = |option: &str| {
            let pairs = options.chunks(2).filter(|pair| pair[0] == option);
            pairs.map(|pair| pair[1]).collect::<Vec<_>>().join(",")
        };
        let wanted = wanted(target, &chosen("--extra"), &chosen("--group"));
        let found = report("uv.lock", &lock(&format!("{name}/uv.lock")), &wanted).unwrap();
        let mut found: Vec<String> = found
            .packages
            .iter()
            .map(|entry| format!("{}=={}", entry.name, entry.version.as_deref().unwrap_or_default()))
            .collect();
        found.sort();
        let mut told: Vec<String> = told.iter().map(|one| without_path(one, &found)).collect();
        told.sort();
        assert_eq!(found, told, "{asked}");
    }
}

/// uv exports a folder as its path; the lock has its name and version.
fn without_path(requirement: &str, found: &[String]) -> String {
    if requirement.contains("==") {
        return requirement.to_owned();
    }
    let end = requirement.trim_start_matches("-e ").rsplit('/').next().unwrap_or_default();
    let is = |name: &str| name == end || name.strip_suffix(end).is_some_and(|rest| rest.ends_with('-'));
    found.iter().find(|one| one.split("==").next().is_some_and(is)).cloned().unwrap_or_default()
}

/// Every release of every lock, whether it is reached or not, against pip's choice among the same files.
#[test]
fn the_wheel_is_the_one_that_pip_takes() {
    let answers = answers();
    assert!(answers.pip.as_str() >= "26.1", "pip {} knows no abi3t", answers.pip);
    let mut compared = 0;
    for (name, text) in
        LOCKS.iter().map(|(name, ..)| (*name, lock(name))).filter(|(name, _)| !name.starts_with("service/P"))
    {
        let Ok(document) = toml::from_str::<toml::Value>(&text) else { continue };
        let packages = ["package", "packages"].into_iter().find_map(|key| document.get(key)?.as_array());
        for package in packages.into_iter().flatten() {
            let Some((key, wheels)) = release(name, package) else { continue };
            let Some(chosen) = answers.chosen.get(&key) else { continue };
            for (at, target) in answers.targets.iter().enumerate() {
                let input = Input { name: "wheels".to_owned(), content: Content::Wheels(wheels.clone()) };
                let found = take_stock(&[input], &wanted(target, "", "")).unwrap().report(&Policy::default());
                let taken = found.packages.first().and_then(|entry| entry.wheel.as_deref());
                assert_eq!(taken, chosen.of(at), "{key} for {target}");
                compared += 1;
            }
        }
    }
    assert_eq!(compared, answers.chosen.len() * answers.targets.len(), "each answer is compared once");
    println!("{compared} choices of {} releases as pip {} makes them", answers.chosen.len(), answers.pip);
}

/// `starlette anyio 4.0.0`, and the wheels that the lock names.
fn release(lock: &str, package: &toml::Value) -> Option<(String, Vec<String>)> {
    let text = |value: &toml::Value, key: &str| value.get(key)?.as_str().map(str::to_owned);
    let list = |key: &str| package.get(key).and_then(toml::Value::as_array).cloned().unwrap_or_default();
    let end = |file: &toml::Value| {
        let address = text(file, "file").or_else(|| text(file, "name")).or_else(|| text(file, "url"))?;
        Some(address.rsplit('/').next()?.replace("%2B", "+"))
    };
    let files = list("wheels").iter().chain(&list("files")).filter_map(end).collect::<Vec<_>>();
    let wheels = files.into_iter().filter(|file| file.strip_suffix(".whl").is_some()).collect();
    let project = lock.split('/').next()?;
    Some((format!("{project} {} {}", text(package, "name")?, text(package, "version")?), wheels))
}

/// And what the report says of the packages that are reached is the same.
#[test]
fn the_report_names_the_wheel_that_pip_takes() {
    let answers = answers();
    let mut compared = 0;
    for (name, extras, groups) in LOCKS {
        for (at, target) in answers.targets.iter().enumerate() {
            let found = report(name, &lock(name), &wanted(target, extras, groups)).unwrap();
            let project = name.split('/').next().unwrap();
            for entry in found.packages {
                let key = format!("{project} {} {}", entry.name, entry.version.unwrap_or_default());
                if let Some(chosen) =
                    answers.chosen.get(&key).filter(|_| !entry.why.contains("names no wheels"))
                {
                    assert_eq!(entry.wheel.as_deref(), chosen.of(at), "{key} for {target}");
                    compared += 1;
                }
            }
        }
    }
    assert!(compared > 500, "only {compared} compared");
}

/// The pages of the index as they were; `record.py live` asks today's.
pub fn by_index(name: &str, target: &str) -> Report {
    let pages: BTreeMap<String, Value> = serde_json::from_str(&read("pages.json")).unwrap();
    let pages = pages.into_iter().map(|(name, page)| (name, page.to_string())).collect();
    let input = Input { name: name.to_owned(), content: Content::Text(lock(name)) };
    let stock = take_stock(&[input], &wanted(target, "", "")).unwrap();
    stock.report_by(&Policy::default(), "https://pypi.org/simple", &pages)
}

#[test]
fn an_index_knows_what_hashes_do_not_say() {
    for (name, blockers) in [
        ("service/requirements.txt", vec!["psycopg-binary"]),
        ("service/Pipfile.lock", vec!["grpcio", "orjson"]),
    ] {
        let alone = report(name, &lock(name), &wanted("3.14t-linux-x86_64-glibc2.36", "", "")).unwrap();
        assert_eq!(alone.counts.keys().copied().collect::<Vec<_>>(), ["Unknown"]);
        let found = by_index(name, "3.14t-linux-x86_64-glibc2.36");
        let failing = found.packages.iter().filter(|entry| entry.fails).map(|entry| entry.name.as_str());
        assert_eq!(failing.collect::<Vec<_>>(), blockers, "{name}");
    }
}
