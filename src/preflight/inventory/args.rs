//! The command line of `inventory`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{
    lock::Wanted,
    problem::InventoryError,
    session::Policy,
    target::{Interpreter, Libc, Target, machine},
    wheel::normalised,
};

/// How the report is printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum ReportFormat {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
    /// For code scanning.
    Sarif,
}

/// Arguments of `freethread-rollout inventory`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Ends with 0 when nothing stands in the way, with 1 when something does (SourceOnly, AbiOnly, Missing, or Unknown, which is never good news),
and with 2 when the input could not be read or is not for the target.

Nothing is sent anywhere without --index. docs/inventory.md has the verdicts, the formats and their limits.")]
pub struct InventoryArgs {
    /// uv.lock, pylock.toml, requirements.txt, poetry.lock, Pipfile.lock, a folder with wheels, a site-packages folder or an environment.
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// The free-threaded image: interpreter, system, architecture, C library.
    #[arg(long, value_name = "TARGET", default_value_t)]
    pub target: Target,
    /// Another interpreter than the target's, such as 3.15t, or 3.14.2t where the patch release matters.
    #[arg(long, value_name = "VERSION")]
    pub python: Option<Interpreter>,
    /// Another architecture than the target's, such as arm64.
    #[arg(long, value_name = "ARCH", value_parser = machine)]
    pub arch: Option<String>,
    /// Another C library than the target's, such as musl1.2.
    #[arg(long, value_name = "LIBC")]
    pub libc: Option<Libc>,
    /// An extra of the project; can be repeated.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub extra: Vec<String>,
    /// All extras of the project.
    #[arg(long, conflicts_with = "extra")]
    pub all_extras: bool,
    /// A dependency group; can be repeated. None is counted by itself, as an image for production has none.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub group: Vec<String>,
    /// The project of a workspace to start from; can be repeated. Default: all of them.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub package: Vec<String>,
    /// Ask this package index (simple API, JSON) for files that the lock does not name, withdrawn releases, and the first release with a
    /// wheel. An address may hold user and password.
    #[arg(long, value_name = "URL")]
    pub index: Option<String>,
    /// Accept the verdict of a package, such as one that the image's build makes from its source; can be repeated.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub allow: Vec<String>,
    /// Let a package that loses its extensions (`PureFallback`) fail the check too.
    #[arg(long)]
    pub strict: bool,
    /// How to print the report.
    #[arg(long, value_enum, default_value_t)]
    pub format: ReportFormat,
    /// Give every package a line of its own, in the text as well.
    #[arg(long)]
    pub all: bool,
}

impl InventoryArgs {
    /// What is asked for.
    ///
    /// # Errors
    /// If something stands for all files that only one can have.
    pub fn wanted(&self) -> Result<Wanted, InventoryError> {
        let names = |names: &[String]| names.iter().map(|name| normalised(name)).collect();
        let mut target = self.target.clone();
        if let Some(interpreter) = self.python {
            target.interpreter = interpreter;
        }
        if let Some(arch) = &self.arch {
            target.machine.clone_from(arch);
        }
        if let Some(libc) = self.libc {
            target.libc = libc;
        }
        let wanted = Wanted {
            target,
            extras: names(&self.extra),
            all_extras: self.all_extras,
            groups: names(&self.group),
            projects: names(&self.package),
        };
        if self.files.len() > 1
            && !(wanted.extras.is_empty() && wanted.groups.is_empty() && wanted.projects.is_empty())
        {
            let options =
                "--extra, --group and --package are those of one file: give one file at a time with them";
            return Err(InventoryError::Options(options.to_owned()));
        }
        Ok(wanted)
    }

    /// What is accepted.
    pub fn policy(&self) -> Policy {
        Policy { allow: self.allow.iter().map(|name| normalised(name)).collect(), strict: self.strict }
    }
}
