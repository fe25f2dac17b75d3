//! `kubectl freethread report`: what remains of a rollout, as a file to attach to the decision.

use std::{
    fs,
    io::{Write, stdout},
    path::{Path, PathBuf},
};

use jiff::Timestamp;

use super::{CliError, ReportArgs, ReportOutput, connect::Connection};
use crate::report::{Block, Document, Inventory, Plot, Sources, content, html, markdown};

/// Largest file that is taken in.
const LARGEST: u64 = 32 << 20;

/// Write the report of a rollout.
pub(super) async fn write(connection: &Connection, args: &ReportArgs) -> Result<(), CliError> {
    // What the files are is said before anything else is done.
    let inventory = args.inventory.as_deref().map(inventory).transpose()?;
    let evidence = args.plot.as_deref().map(plot).transpose()?;
    let found = connection.bounded("reading the rollout", connection.rollouts().get(&args.name)).await;
    let rollout = found.map_err(|error| connection.explain(&args.name, error))?;
    let document = content(Sources {
        rollout: &rollout,
        inventory: inventory.as_ref(),
        evidence: evidence.as_deref(),
        now: Timestamp::now(),
    });
    match (&args.file, args.output) {
        (Some(file), ReportOutput::Html) => save(file, &html(&document)),
        (Some(file), ReportOutput::Markdown) => {
            for plot in plots(&document) {
                save(&beside(file, plot), &plot.svg)?;
            }
            let name =
                |plot: &Plot| beside(file, plot).file_name().map(|name| name.to_string_lossy().into_owned());
            save(file, &markdown(&document, name))
        }
        (None, ReportOutput::Html) => Ok(stdout().write_all(html(&document).as_bytes())?),
        (None, ReportOutput::Markdown) => Ok(stdout().write_all(markdown(&document, |_| None).as_bytes())?),
    }
}

fn plots(document: &Document) -> impl Iterator<Item = &Plot> {
    document.sections.iter().flat_map(|section| &section.blocks).filter_map(|block| match block {
        Block::Plot(plot) => Some(plot),
        _ => None,
    })
}

/// `report.md` has its weight in `report-weight.svg`.
fn beside(file: &Path, plot: &Plot) -> PathBuf {
    let stem = file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    file.with_file_name(format!("{stem}-{}.svg", plot.name))
}

fn save(file: &Path, text: &str) -> Result<(), CliError> {
    fs::write(file, text)
        .map_err(|source| CliError::File { file: file.to_owned(), problem: source.to_string() })
}

fn read(file: &Path) -> Result<String, CliError> {
    let failed = |problem: String| CliError::File { file: file.to_owned(), problem };
    let size = fs::metadata(file).map_err(|error| failed(error.to_string()))?.len();
    if size > LARGEST {
        return Err(failed(format!("it has {size} bytes; at most {LARGEST} are read")));
    }
    fs::read_to_string(file).map_err(|error| failed(error.to_string()))
}

fn inventory(file: &Path) -> Result<Inventory, CliError> {
    serde_json::from_str(&read(file)?).map_err(|error| CliError::File {
        file: file.to_owned(),
        problem: format!("no inventory, which `kubectl freethread inventory --format json` prints: {error}"),
    })
}

fn plot(file: &Path) -> Result<String, CliError> {
    let text = read(file)?;
    if text.trim_start().starts_with("<svg") {
        return Ok(text);
    }
    let problem = "no plot, which `freethread-rollout replay --plot FILE` writes".to_owned();
    Err(CliError::File { file: file.to_owned(), problem })
}
