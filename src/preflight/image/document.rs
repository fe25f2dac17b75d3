//! What the inspection prints: the parts of it that are judged.

use serde::Deserialize;

/// The inspection of one image. Every string is at most 300 characters of a stranger's choice.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Inspected {
    /// The interpreter; `None` when it did not start.
    pub python: Option<Python>,
    /// A GIL that is forced on or off.
    #[serde(default)]
    pub gil: Gil,
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
