//! What the inspection prints: the parts of it that are judged.

use std::collections::BTreeMap;

use serde::Deserialize;

/// The line before the document in the pod's log.
pub const MARKER: &str = "--- freethread-rollout inspection ---";
/// The format that is understood. The script is ours: another one is a log of another version of the operator.
pub const FORMAT: u32 = 1;

/// The inspection of one image. Every string is at most 300 characters of a stranger's choice.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Document {
    /// [`FORMAT`].
    pub format: u32,
    /// Why there is nothing else.
    pub error: Option<String>,
    /// The interpreter; `None` when it did not start.
    pub python: Option<Python>,
    /// A GIL that is forced on or off.
    #[serde(default)]
    pub gil: Gil,
    /// What is installed.
    #[serde(default)]
    pub distributions: Distributions,
    /// Each module that was to be imported, in a process of its own.
    #[serde(default)]
    pub imports: Vec<Part>,
    /// All of them in one process.
    pub together: Option<Part>,
    /// The warm-up command.
    pub warmup: Option<Part>,
    /// Each module that turned the GIL on, once.
    #[serde(default)]
    pub gil_enabled_by: Vec<Offender>,
    /// The time was over before everything was done.
    #[serde(default)]
    pub stopped: bool,
}

/// The interpreter.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Python {
    /// Such as `CPython`.
    pub implementation: String,
    /// Such as `3.14.1`.
    pub version: String,
    /// Built with `--disable-gil`.
    pub free_threaded_build: bool,
}

/// A GIL that somebody forces.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Gil {
    /// `on`, `off`, or nobody does.
    pub forced: Option<String>,
    /// `PYTHON_GIL` or `-X gil`.
    pub by: Option<String>,
}

/// Installed packages.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Distributions {
    /// Name and version, at most a thousand.
    pub listed: BTreeMap<String, Option<String>>,
    /// How many there are.
    pub found: usize,
}

/// One process of the image's.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Part {
    /// What was imported; nothing for the warm-up.
    #[serde(default)]
    pub modules: Vec<String>,
    /// `ok`, `error`, `crash`, `hang` or `skipped`.
    pub status: String,
    /// How long it took, s.
    #[serde(default)]
    pub seconds: f64,
    /// The signal of a crash.
    pub signal: Option<String>,
    /// The exit code of a command that failed.
    pub exit_code: Option<i32>,
    /// The last lines that say why.
    #[serde(default)]
    pub detail: Vec<String>,
    /// `on`, `off` or `unknown`.
    pub gil: String,
    /// Why it is not known.
    pub why: Option<String>,
}

/// A module that turned the GIL on.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Offender {
    /// Its name.
    pub module: String,
    /// File and line of the import statement.
    pub imported_by: Option<String>,
}

/// Why a log holds no document.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// The pod ended before it was written.
    #[error("the pod's log holds no inspection; it ends with: {0}")]
    NoDocument(String),
    /// It is damaged, or cut.
    #[error("the inspection in the pod's log cannot be read: {0}")]
    Damaged(#[source] serde_json::Error),
    /// Another version of the operator wrote it.
    #[error("the inspection has format {0}, and {FORMAT} is understood")]
    Format(u32),
}

impl Document {
    /// The document of a pod's log: what follows the last marker. What the application prints goes before it.
    ///
    /// # Errors
    /// Where there is none.
    pub fn of_log(log: &str) -> Result<Self, DocumentError> {
        let mut lines = log.lines().rev().filter(|line| !line.trim().is_empty());
        let last = lines.next().unwrap_or_default();
        if lines.next() != Some(MARKER) {
            return Err(DocumentError::NoDocument(last.chars().take(200).collect()));
        }
        let document: Self = serde_json::from_str(last).map_err(DocumentError::Damaged)?;
        if document.format == FORMAT { Ok(document) } else { Err(DocumentError::Format(document.format)) }
    }
}
