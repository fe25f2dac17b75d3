//! `kubectl freethread`, as people call it.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

use crate::{Result, context, stage::NAME};

/// Longest time for a command and its answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// Gives the rollout a command and returns the operator's answer.
pub(crate) async fn give(namespace: &str, verb: &str) -> Result<String> {
    run(namespace, &[verb.to_owned(), NAME.to_owned()]).await
}

/// Runs it with these arguments and returns what it prints.
pub(crate) async fn run(namespace: &str, arguments: &[String]) -> Result<String> {
    let (plugin, verb) = (path()?, arguments.join(" "));
    let mut command = Command::new(&plugin);
    command.args(arguments).args(["--namespace", namespace]).stdin(Stdio::null());
    let ended = tokio::task::spawn_blocking(move || command.output());
    let ended = tokio::time::timeout(PATIENCE, ended).await;
    let output = ended
        .map_err(|_| format!("kubectl freethread {verb}: no end after {} s", PATIENCE.as_secs()))??
        .map_err(context(&plugin.display().to_string()))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    } else {
        Err(format!("kubectl freethread {verb}: {}", String::from_utf8_lossy(&output.stderr).trim()).into())
    }
}

/// Where cargo puts it, beside the folder of this program; or `KUBECTL_FREETHREAD`.
fn path() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("KUBECTL_FREETHREAD") {
        return Ok(path.into());
    }
    let this = std::env::current_exe()?;
    let folder = this.parent().and_then(|examples| examples.parent());
    Ok(folder.ok_or("this program is in no folder")?.join("kubectl-freethread"))
}
