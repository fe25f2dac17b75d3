//! Files and standard output: the only part of `replay` that touches anything outside.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Cursor, Read, Write},
    path::Path,
};

use super::{
    args::{Format, ReplayArgs},
    problem::ReplayError,
    range::fetch,
    rollout::LARGEST,
    session::replay,
};

/// How much is read at once.
const BUFFER: usize = 1 << 20;

/// Judges a file and prints what would have happened.
///
/// # Errors
/// If a file cannot be read, understood or written.
pub async fn run(args: &ReplayArgs) -> Result<(), ReplayError> {
    let yaml = text(&args.rollout)?;
    let history = args.history.as_deref().map(open).transpose()?;
    let counts = match &args.counts {
        Some(path) => open(path)?,
        None => Box::new(Cursor::new(fetch(args, &yaml).await?)),
    };
    let replayed = replay(args, &yaml, counts, history)?;
    if let Some(path) = &args.plot {
        let failed = |problem| ReplayError::Write { file: path.display().to_string(), problem };
        std::fs::write(path, replayed.svg()).map_err(failed)?;
    }
    let words = match args.format {
        Format::Text => replayed.text(),
        Format::Json => {
            let json = serde_json::to_string_pretty(&replayed.report);
            let mut json = json.map_err(|e| ReplayError::Options(format!("the report is no JSON: {e}")))?;
            json.push('\n');
            json
        }
    };
    match io::stdout().lock().write_all(words.as_bytes()) {
        // Whoever reads has read enough.
        Err(problem) if problem.kind() != io::ErrorKind::BrokenPipe => {
            Err(ReplayError::Write { file: "standard output".to_owned(), problem })
        }
        _ => Ok(()),
    }
}

fn text(path: &Path) -> Result<String, ReplayError> {
    let file = || path.display().to_string();
    let mut text = String::new();
    let read = open(path)?.take(LARGEST + 1).read_to_string(&mut text);
    let read = read.map_err(|problem| ReplayError::Open { file: file(), problem })?;
    if read as u64 > LARGEST {
        return Err(ReplayError::Rollout {
            file: file(),
            problem: format!("it is larger than {LARGEST} bytes"),
        });
    }
    Ok(text)
}

fn open(path: &Path) -> Result<Box<dyn BufRead>, ReplayError> {
    if path.as_os_str() == "-" {
        return Ok(Box::new(BufReader::with_capacity(BUFFER, io::stdin())));
    }
    let file = File::open(path);
    let file = file.map_err(|problem| ReplayError::Open { file: path.display().to_string(), problem })?;
    Ok(Box::new(BufReader::with_capacity(BUFFER, file)))
}
