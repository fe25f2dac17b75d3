//! The report as SARIF 2.1.0, which code scanning shows at the line of the lock file.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{
    report::{Entry, Report},
    verdict::Verdict,
};

/// One result for each package that needs a decision.
pub(super) fn sarif(report: &Report) -> Value {
    let rules: Vec<Value> = Verdict::ALL.iter().map(|verdict| rule(*verdict)).collect();
    let told =
        report.packages.iter().filter(|entry| entry.yanked.is_some() || level(entry.verdict) != "none");
    let results: Vec<Value> = told.map(|entry| result(entry, report)).collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "freethread-rollout inventory",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            }},
            "results": results,
            "properties": {"target": report.target},
        }],
    })
}

fn level(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::SourceOnly | Verdict::AbiOnly | Verdict::Missing => "error",
        Verdict::Unknown | Verdict::PureFallback => "warning",
        Verdict::Native => "note",
        Verdict::Ready | Verdict::Pure => "none",
    }
}

fn rule(verdict: Verdict) -> Value {
    let text = match verdict {
        Verdict::Ready => "There is a wheel for the free-threaded interpreter",
        Verdict::Native => "A binary that is no extension by its tag: to be checked in the image",
        Verdict::Pure => "Pure Python",
        Verdict::PureFallback => "Runs without the extensions that a build with the GIL gets",
        Verdict::SourceOnly => "No wheel fits: it must be built from its source",
        Verdict::AbiOnly => "Only abi3 wheels, which a free-threaded interpreter cannot load, and no source",
        Verdict::Missing => "No wheel fits, and there is no source",
        Verdict::Unknown => "Not known from what was given",
    };
    json!({
        "id": verdict.name(),
        "shortDescription": {"text": text},
        "defaultConfiguration": {"level": level(verdict)},
    })
}

fn result(entry: &Entry, report: &Report) -> Value {
    let version = entry.version.as_deref().map(|version| format!(" {version}")).unwrap_or_default();
    let mut text = format!("{}{version}: {} ({})", entry.name, entry.why, report.target);
    if let Some(yanked) = &entry.yanked {
        text.push_str("; yanked from the index: ");
        text.push_str(yanked);
    }
    let mut place = json!({"artifactLocation": {"uri": uri(&entry.file)}});
    if let Some(line) = entry.line {
        place["region"] = json!({"startLine": line});
    }
    let mut result = json!({
        "ruleId": entry.verdict.name(),
        // A yanked package that runs is still worth a look.
        "level": if level(entry.verdict) == "none" { "warning" } else { level(entry.verdict) },
        "message": {"text": text},
        "locations": [{"physicalLocation": place}],
        "partialFingerprints": {"package/v1": format!("{}/{}", entry.name, entry.verdict.name())},
    });
    if entry.allowed {
        result["suppressions"] = json!([{"kind": "external", "justification": "--allow"}]);
    }
    result
}

/// A path as a relative reference: what is no letter, digit, or sign of paths is escaped.
fn uri(path: &str) -> String {
    let mut out = String::new();
    for byte in path.strip_prefix("./").unwrap_or(path).bytes() {
        if byte.is_ascii_alphanumeric() || b"/.-_~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a string never fails.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_escaped() {
        assert_eq!(uri("./a b/uv.lock"), "a%20b/uv.lock");
        assert_eq!(uri("é"), "%C3%A9");
    }
}
