//! The pure rooms import no client, no runtime, no clock and no random source.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail so")]

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Rooms and files that must stay pure.
const PURE: [&str; 22] = [
    "src/api",
    "src/judge",
    "src/decide",
    "src/pool",
    "src/replay",
    "src/report",
    "src/preflight/image",
    "src/preflight/inventory",
    "src/observe/observation.rs",
    "src/flag/answer.rs",
    "src/flag/bucket.rs",
    "src/route/cohorts.rs",
    "src/route/dialect.rs",
    "src/route/edit.rs",
    "src/route/gateway.rs",
    "src/route/grpc_route.rs",
    "src/route/http_proxy.rs",
    "src/route/http_route.rs",
    "src/route/managed.rs",
    "src/route/shares.rs",
    "src/route/traefik_service.rs",
    "src/route/virtual_service.rs",
];

/// Their doors to the outside.
const DOORS: [&str; 4] = [
    "src/replay/run.rs",
    "src/replay/range.rs",
    "src/preflight/inventory/run.rs",
    "src/preflight/inventory/index.rs",
];

/// What they may not name, and why.
const FORBIDDEN: [(&str, &str); 21] = [
    ("tokio", "a runtime"),
    ("futures", "a runtime"),
    ("async ", "a runtime"),
    ("kube::Client", "a client"),
    ("kube::Api", "a client"),
    ("kube::client", "a client"),
    ("kube::runtime", "a client"),
    ("reqwest", "a client"),
    ("prometheus_http_query", "a client"),
    ("hyper", "a client"),
    ("std::net", "a client"),
    ("std::fs", "the outside"),
    ("std::env", "the outside"),
    ("std::process", "the outside"),
    ("std::thread", "a runtime"),
    ("::now()", "a clock"),
    ("SystemTime", "a clock"),
    ("Instant", "a clock"),
    ("rand::", "a random source"),
    ("RandomState", "a random source"),
    ("HashMap", "an order that changes from run to run"),
];

fn files(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    let mut all: Vec<PathBuf> = fs::read_dir(path)
        .unwrap_or_else(|e| panic!("{}: {e}", path.display()))
        .flat_map(|entry| files(&entry.unwrap().path()))
        .filter(|p| p.extension().is_some_and(|e| e == "rs"))
        .collect();
    all.sort();
    all
}

/// Code without comments and without what follows `#[cfg(test)]`, where tests live.
fn code(text: &str) -> String {
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    code.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// `use` trees flattened to the form `a::b`, so that `use kube::{Client, Api}` is seen too.
fn flattened(code: &str) -> String {
    let mut flat = String::new();
    for statement in code.split("use ").skip(1).filter_map(|rest| rest.split(';').next()) {
        let compact: String = statement.split_whitespace().collect();
        if let Some((root, rest)) = compact.split_once("::{") {
            for item in rest.split([',', '{', '}']) {
                flat.extend([root, "::", item, "\n"]);
            }
        }
    }
    flat
}

#[test]
fn pure_rooms_reach_for_nothing_outside() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut seen = 0;
    let mut found = Vec::new();
    for file in PURE.iter().flat_map(|room| files(&root.join(room))) {
        if DOORS.iter().any(|door| file.ends_with(door)) {
            continue;
        }
        seen += 1;
        let code = code(&fs::read_to_string(&file).unwrap());
        let all = format!("{code}\n{}", flattened(&code));
        for (word, what) in FORBIDDEN {
            if all.contains(word) {
                found.push(format!("{} names {word}: {what}", file.strip_prefix(root).unwrap().display()));
            }
        }
        for room in ["crate::act", "crate::route", "crate::operator", "crate::cli"] {
            if all.contains(room) {
                found.push(format!(
                    "{} names {room}: data flows one way",
                    file.strip_prefix(root).unwrap().display()
                ));
            }
        }
    }
    assert!(seen > 10, "only {seen} files were looked at");
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn the_check_sees_what_it_should() {
    let bad = "use kube::{\n    Api, Client,\n};\nfn f() {} // tokio is fine here\n#[cfg(test)] mod t { use tokio::x; }";
    let code = code(bad);
    assert!(!code.contains("tokio"));
    assert!(flattened(&code).contains("kube::Client"));
}
