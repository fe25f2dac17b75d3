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
