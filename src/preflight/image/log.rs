//! What a check leaves in its pod's log: a line that says so, then one document.

use serde::{Deserialize, de::DeserializeOwned};

/// The line before the document in the pod's log.
pub const MARKER: &str = "--- freethread-rollout preflight ---";
/// The format that is understood. The scripts are ours: another one is a log of another version of the operator.
const FORMAT: u32 = 1;

/// Why a log holds no document.
#[derive(Debug, thiserror::Error)]
pub(super) enum DocumentError {
    /// The pod ended before it was written.
    #[error("the pod's log holds no result; it ends with: {0}")]
    NoDocument(String),
    /// It is damaged, or cut.
    #[error("the result in the pod's log cannot be read: {0}")]
    Damaged(#[source] serde_json::Error),
    /// Another version of the operator wrote it.
    #[error("the result has format {0}, and {FORMAT} is understood")]
    Format(u32),
    /// The check says that it failed.
    #[error("{0}")]
    Failed(String),
}

/// What every document has.
#[derive(Deserialize)]
struct Head {
    format: u32,
    error: Option<String>,
}

/// The document of a pod's log: what follows the last marker. What the application prints goes before it.
///
/// # Errors
/// Where there is none, or it says that the check failed.
pub(super) fn document<T: DeserializeOwned>(log: &str) -> Result<T, DocumentError> {
    let mut lines = log.lines().rev().filter(|line| !line.trim().is_empty());
    let last = lines.next().unwrap_or_default();
    if lines.next() != Some(MARKER) {
        return Err(DocumentError::NoDocument(last.chars().take(200).collect()));
    }
    let head: Head = serde_json::from_str(last).map_err(DocumentError::Damaged)?;
    if head.format != FORMAT {
        return Err(DocumentError::Format(head.format));
    }
    match head.error {
        Some(error) => Err(DocumentError::Failed(error.chars().take(300).collect())),
        None => serde_json::from_str(last).map_err(DocumentError::Damaged),
    }
}
