//! The lock files, and `inventory` on them.

use std::{fs, path::Path};

use freethread_rollout::preflight::inventory::{
    Content, Input, InventoryError, Policy, Report, Wanted, take_stock,
};

/// Each with its extras and groups.
pub const LOCKS: [(&str, &str, &str); 7] = [
    ("starlette/uv.lock", "full", "dev,docs"),
    ("langchain/uv.lock", "", ""),
    ("conflicts/uv.lock", "new", "dev"),
    ("snowflake-cli/pylock.toml", "", ""),
    ("service/poetry.lock", "grpc", "dev"),
    ("service/Pipfile.lock", "", "dev"),
    ("service/requirements.txt", "", ""),
];

pub fn path(name: &str) -> String {
    format!("{}/tests/inventory/{name}", env!("CARGO_MANIFEST_DIR"))
}

pub fn read(name: &str) -> String {
    fs::read_to_string(Path::new(&path(name))).unwrap_or_else(|e| panic!("{name}: {e}"))
}

pub fn lock(name: &str) -> String {
    read(&format!("locks/{name}"))
}

/// `wanted("3.14t-linux-x86_64-glibc2.36", "all", "dev,docs")`.
pub fn wanted(target: &str, extras: &str, groups: &str) -> Wanted {
    let set = |names: &str| names.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect();
    Wanted { target: target.parse().unwrap(), extras: set(extras), groups: set(groups), ..Wanted::default() }
}

pub fn report(name: &str, text: &str, wanted: &Wanted) -> Result<Report, InventoryError> {
    let input = Input { name: name.to_owned(), content: Content::Text(text.to_owned()) };
    Ok(take_stock(&[input], wanted)?.report(&Policy::default()))
}
