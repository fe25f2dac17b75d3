//! `kubectl freethread`: people's view of a rollout, and their commands.
//!
//! `view` turns what was fetched into a plain model and `render` turns that into text; both are pure, with `now` as an argument.

mod args;
mod command;
mod connect;
mod error;
mod init;
mod logs;
mod render;
mod report;
mod status;
mod time;
mod view;

use jiff::Timestamp;

pub use args::{
    Args, ClusterTask, Colour, ConnectionArgs, InitArgs, Output, ReportArgs, ReportOutput, StatusArgs,
    Target, Task,
};
pub use error::CliError;
pub use render::{Style, line, render};
pub use time::human;
pub use view::{HistoryView, NextView, PodView, PoolView, StepState, StepView, View, view};

/// Do what the command line says to do in the cluster.
///
/// # Errors
/// When it could not be done; the text says what to do about it.
pub async fn run(connection: &ConnectionArgs, task: ClusterTask) -> Result<(), CliError> {
    let connection = connect::Connection::open(connection).await?;
    match task {
        ClusterTask::Status(wanted) if wanted.watch => status::watch(&connection, &wanted).await,
        ClusterTask::Status(wanted) => status::once(&connection, &wanted).await,
        ClusterTask::Promote(Target { name }) => {
            command::give(&connection, &name, "promote", Timestamp::now()).await
        }
        ClusterTask::Abort(Target { name }) => {
            command::give(&connection, &name, "abort", Timestamp::now()).await
        }
        ClusterTask::Pause(Target { name }) => {
            command::give(&connection, &name, "pause", Timestamp::now()).await
        }
        ClusterTask::Resume(Target { name }) => {
            command::give(&connection, &name, "resume", Timestamp::now()).await
        }
        ClusterTask::Retry(Target { name }) => {
            command::give(&connection, &name, "retry", Timestamp::now()).await
        }
        ClusterTask::Logs(Target { name }) => logs::show(&connection, &name).await,
        ClusterTask::Init(wanted) => init::propose(&connection, &wanted).await,
        ClusterTask::Report(wanted) => report::write(&connection, &wanted).await,
    }
}
