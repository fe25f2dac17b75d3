//! A GitOps tool, as far as it applies one object: `tests/gitops/sync`, made of the tools' own libraries.

use std::{
    io::Write,
    path::PathBuf,
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::Result;

#[derive(Debug, Clone)]
pub(crate) struct Tool(PathBuf);

impl Tool {
    pub(crate) fn new(program: PathBuf) -> Self {
        Self(program)
    }

    /// Has it applied as `how` does, and gives the word that is said. It ends by itself after a minute.
    pub(crate) fn sync(&self, how: &str, git: &Value, ignored: Option<&str>) -> Result<String> {
        let mut command = Command::new(&self.0);
        command.arg(how).args(ignored).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| format!("{}: {error}", self.0.display()))?;
        child.stdin.take().ok_or("no input")?.write_all(git.to_string().as_bytes())?;
        let output = child.wait_with_output()?;
        if !output.status.success() {
            return Err(format!("{how}: {}", String::from_utf8_lossy(&output.stderr).trim()).into());
        }
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    }
}
