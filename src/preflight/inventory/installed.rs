//! Folders: wheels that were downloaded, and packages that are installed.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::{
    lock::{Files, Picked, Pin},
    problem::without_secrets,
    wheel::{Wheel, is_sdist, is_wheel, normalised, sdist_version},
};

/// What a `*.dist-info` folder says. Nothing of it has to be there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Installed {
    /// The folder's name.
    pub folder: String,
    /// Its file `WHEEL`.
    pub wheel: Option<String>,
    /// Its file `RECORD`.
    pub record: Option<String>,
    /// Its file `direct_url.json`.
    pub direct_url: Option<String>,
}

#[derive(Debug, Deserialize)]
struct DirectUrl {
    #[serde(default)]
    url: String,
    vcs_info: Option<serde_json::Value>,
    dir_info: Option<serde_json::Value>,
}

/// The releases in a folder of wheels: of each, what lies there is all that there is.
pub(super) fn wheels(files: &[String]) -> Picked {
    let mut releases: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
    let mut strange = 0;
    for file in files {
        if let Some(wheel) = Wheel::parse(file) {
            releases.entry((wheel.project, wheel.version)).or_default().push(file.clone());
        } else if !is_sdist(file) {
            strange += usize::from(is_wheel(file));
        }
    }
    for file in files.iter().filter(|file| is_sdist(file)) {
        let of = file.match_indices('-').map(|(at, _)| normalised(&file[..at])).take(16);
        let found = of
            .into_iter()
            .find_map(|project| sdist_version(file, &project).map(|version| (project, version.to_string())));
        if let Some(release) = found {
            releases.entry(release).or_default().push(file.clone());
        }
    }
    let pins = releases.into_iter().map(|((name, version), files)| Pin {
        name,
        version: Some(version),
        line: None,
        via: None,
        files: Files::All(files),
    });
    let mut picked = Picked { pins: pins.collect(), notes: Vec::new() };
    if strange > 0 {
        picked
            .notes
            .push(format!("files with names that no wheel may have, which pip leaves out too: {strange}"));
    }
    picked
}

/// What is installed.
pub(super) fn installed(all: &[Installed]) -> Picked {
    let mut pins: Vec<Pin> = all.iter().map(pin).collect();
    pins.sort_by(|a, b| a.name.cmp(&b.name));
    Picked { pins, notes: Vec::new() }
}

fn pin(installed: &Installed) -> Pin {
    let folder = installed.folder.trim_end_matches(".dist-info");
    let (name, version) = folder.rsplit_once('-').unwrap_or((folder, ""));
    let pin = |files| Pin {
        name: normalised(name),
        version: (!version.is_empty()).then(|| version.to_owned()),
        line: None,
        via: None,
        files,
    };
    let direct =
        installed.direct_url.as_deref().and_then(|text| serde_json::from_str::<DirectUrl>(text).ok());
    let tags = tags(installed.wheel.as_deref().unwrap_or_default());
    if tags.is_empty() {
        let from = match direct {
            Some(DirectUrl { url, vcs_info, dir_info }) if vcs_info.is_some() || dir_info.is_some() => {
                without_secrets(&url)
            }
            _ => "something that left no WHEEL file".to_owned(),
        };
        return pin(Files::Elsewhere(from));
    }
    pin(Files::Installed { tags, objects: objects(installed.record.as_deref().unwrap_or_default()) })
}

/// `Tag: cp314-cp314t-manylinux_2_17_x86_64`, one on each line.
fn tags(wheel: &str) -> Vec<String> {
    let tags = wheel.lines().filter_map(|line| line.strip_prefix("Tag:")).map(|tag| tag.trim().to_owned());
    tags.filter(|tag| tag.matches('-').count() == 2).take(256).collect()
}

/// The ends of the shared objects that are extensions: `cpython-314t-x86_64-linux-gnu`, `abi3`.
fn objects(record: &str) -> BTreeSet<String> {
    let paths = record.lines().filter_map(|line| line.trim_start_matches('"').split([',', '"']).next());
    let ends = paths.filter_map(|path| {
        let name = path.rsplit('/').next()?.strip_suffix(".so")?;
        let (_, end) = name.rsplit_once('.')?;
        (end.starts_with("cpython-") || end.starts_with("abi3")).then(|| end.to_owned())
    });
    ends.take(256).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wheels_of_one_release_belong_together() {
        let files =
            ["A_b-1.0-py3-none-any.whl", "a-b-1.0.tar.gz", "c-2-py3-none-any.whl", "odd.whl", "notes.txt"];
        let picked = wheels(&files.map(str::to_owned));
        assert_eq!(picked.pins.len(), 2);
        assert_eq!(picked.pins[0].files, Files::All(vec![files[0].to_owned(), files[1].to_owned()]));
        assert!(picked.notes[0].ends_with(": 1"));
    }

    #[test]
    fn what_is_installed_tells_its_tags() {
        let all = [
            Installed {
                folder: "numpy-2.4.0.dist-info".to_owned(),
                wheel: Some("Wheel-Version: 1.0\nTag: cp314-cp314t-manylinux_2_17_x86_64\nTag: odd\n".to_owned()),
                record: Some("numpy/a.cpython-314t-x86_64-linux-gnu.so,sha256=0,1\nnumpy/libx.so.1,,\n\"a,b/c.abi3.so\",,\nz.so,,".to_owned()),
                direct_url: None,
            },
            Installed {
                folder: "app-1.0.dist-info".to_owned(),
                direct_url: Some(r#"{"url": "https://me:x@host/app", "vcs_info": {"vcs": "git"}}"#.to_owned()),
                ..Installed::default()
            },
        ];
        let picked = installed(&all);
        assert_eq!(picked.pins[0].files, Files::Elsewhere("https://host/app".to_owned()));
        let Files::Installed { tags, objects } = &picked.pins[1].files else { panic!() };
        assert_eq!(tags, &["cp314-cp314t-manylinux_2_17_x86_64"]);
        assert_eq!(objects.iter().map(String::as_str).collect::<Vec<_>>(), ["cpython-314t-x86_64-linux-gnu"]);
    }
}
