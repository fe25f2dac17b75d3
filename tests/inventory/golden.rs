//! What users see, word for word.

use std::{env, fs};

use super::{
    agree::by_index,
    locks::{lock, path, read, report, wanted},
};

fn golden(name: &str, now: &str) {
    if env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(path(name), now).unwrap();
    }
    assert_eq!(now, read(name), "{name}: UPDATE_GOLDEN=1 writes it anew");
}

#[test]
fn text_json_and_sarif() {
    let name = "langchain/uv.lock";
    let found = report(name, &lock(name), &wanted("3.14t-linux-x86_64-glibc2.36", "", "")).unwrap();
    golden("golden/langchain.txt", &found.text(false));
    golden("golden/langchain.sarif", &(serde_json::to_string_pretty(&found.sarif()).unwrap() + "\n"));
    let found = by_index("service/Pipfile.lock", "3.13t-linux-x86_64-glibc2.36");
    golden("golden/pipfile.txt", &found.text(true));
    golden("golden/pipfile.json", &(serde_json::to_string_pretty(&found).unwrap() + "\n"));
    let name = "service/requirements.txt";
    let found = report(name, &lock(name), &wanted("3.14t-linux-x86_64-glibc2.36", "", "")).unwrap();
    golden("golden/requirements.txt", &found.text(false));
}

/// Each line of the examples, but for what is left out by three dots.
#[test]
fn what_the_documentation_shows_is_what_it_prints() {
    let told = read("golden/langchain.txt").replace("langchain/uv.lock", "uv.lock");
    for (document, heading) in
        [("docs/inventory.md", "# Inventory"), ("README.md", "## Will the dependencies run?")]
    {
        let text = fs::read_to_string(format!("{}/{document}", env!("CARGO_MANIFEST_DIR"))).unwrap();
        let shown = text.split(heading).nth(1).unwrap().split("```").nth(1).unwrap();
        for line in shown.lines().skip(2).filter(|line| *line != "...") {
            let line = line.trim_end_matches("...");
            assert!(
                told.lines().any(|told| told.starts_with(line)),
                "{document} shows what is not printed: {line}"
            );
        }
    }
}
