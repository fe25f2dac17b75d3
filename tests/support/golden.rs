//! What people see, held against a file that a person has read.

use std::{fs, path::PathBuf};

/// Holds `text` against the file of this name under `tests/`; with `UPDATE_GOLDEN=1` the file is written anew.
pub fn golden(file: &str, text: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests").join(file);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        return fs::write(path, text).unwrap();
    }
    let wanted = fs::read_to_string(&path).unwrap_or_default();
    assert!(wanted == text, "{file} differs; UPDATE_GOLDEN=1 writes it anew. It is now:\n{text}");
}
