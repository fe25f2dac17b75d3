//! Files, folders and standard output: with `index`, the only part of `inventory` that touches anything outside.

use std::{
    collections::BTreeSet,
    fs,
    io::{self, Read, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use super::{
    args::{InventoryArgs, ReportFormat},
    index,
    installed::Installed,
    lock::Wanted,
    problem::{InputProblem, InventoryError, Problem},
    report::Report,
    requirements,
    session::{Content, Format, Input, LARGEST, format, take_stock},
    wheel::is_wheel,
};

/// Files that requirements may include, all together.
const INCLUDES: usize = 100;

/// Entries of a folder that are looked at.
const ENTRIES: usize = 100_000;

/// Largest file of an installed package that is read: a `RECORD` with a line for each file.
const LARGEST_RECORD: u64 = 16 << 20;

/// As clap ends for arguments that it does not understand.
const BAD_INPUT: u8 = 2;

/// The whole command: 0 when nothing stands in the way, 1 when something does, 2 when the input cannot be read. An error is told
/// with `teller` before it.
pub async fn main(args: &InventoryArgs, teller: &str) -> ExitCode {
    let printed = match run(args).await {
        Ok(report) => print(&report, args).map(|()| report.passes()),
        Err(problem) => Err(problem),
    };
    match printed {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(problem) => {
            eprintln!("{teller}: {problem}");
            ExitCode::from(BAD_INPUT)
        }
    }
}

/// Reads what is given, asks the index if there is one, and judges.
///
/// # Errors
/// If something cannot be read or understood, or is not for the target.
pub async fn run(args: &InventoryArgs) -> Result<Report, InventoryError> {
    let wanted = args.wanted()?;
    let mut inputs = Vec::new();
    for path in &args.files {
        read(path, &wanted, &mut inputs)?;
    }
    let stock = take_stock(&inputs, &wanted)?;
    let answers = match &args.index {
        Some(index) => Some(index::ask(index, stock.questions()).await?),
        None => None,
    };
    Ok(stock.report_with(&args.policy(), answers.as_ref()))
}

fn print(report: &Report, args: &InventoryArgs) -> Result<(), InventoryError> {
    let json = |value: serde_json::Result<String>| {
        value
            .map(|text| text + "\n")
            .map_err(|why| InventoryError::Options(format!("the report is no JSON: {why}")))
    };
    let words = match args.format {
        ReportFormat::Text => report.text(args.all),
        ReportFormat::Json => json(serde_json::to_string_pretty(report))?,
        ReportFormat::Sarif => json(serde_json::to_string_pretty(&report.sarif()))?,
    };
    match io::stdout().lock().write_all(words.as_bytes()) {
        // Whoever reads has read enough.
        Err(problem) if problem.kind() != io::ErrorKind::BrokenPipe => Err(InventoryError::Write(problem)),
        _ => Ok(()),
    }
}

fn read(path: &Path, wanted: &Wanted, inputs: &mut Vec<Input>) -> Result<(), InventoryError> {
    if path.is_dir() {
        inputs.push(folder(path)?);
        return Ok(());
    }
    let mut open = vec![path.to_owned()];
    let mut seen = BTreeSet::new();
    while let Some(path) = open.pop() {
        // Files that include each other are each read once.
        if !seen.insert(fs::canonicalize(&path).map_err(unreadable(&path))?) {
            continue;
        }
        let name = path.display().to_string();
        let failed = |problem| InventoryError::Input { file: name.clone(), problem };
        let text = contents(&path)?;
        if seen.len() > 1 || format(&name, &text) == Some(Format::Requirements) {
            let includes = requirements::read(&text, wanted).map_err(failed)?.includes;
            for (line, include) in includes {
                if seen.len() + open.len() >= INCLUDES {
                    return Err(failed(InputProblem::at(
                        line,
                        Problem::Includes { file: include, most: INCLUDES },
                    )));
                }
                open.push(path.parent().unwrap_or(Path::new("")).join(include));
            }
        }
        inputs.push(Input { name, content: Content::Text(text) });
    }
    Ok(())
}

fn unreadable(path: &Path) -> impl Fn(io::Error) -> InventoryError + '_ {
    |problem| InventoryError::Read { file: path.display().to_string(), problem }
}

fn contents(path: &Path) -> Result<String, InventoryError> {
    let failed =
        |what| InventoryError::Input { file: path.display().to_string(), problem: InputProblem::whole(what) };
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(unreadable(path))?;
    file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(unreadable(path))?;
    if bytes.len() as u64 > LARGEST {
        return Err(failed(Problem::TooLarge(LARGEST >> 20)));
    }
    String::from_utf8(bytes).map_err(|_| failed(Problem::NotText))
}

/// A folder of wheels, a site-packages folder, or an environment with one in it.
fn folder(path: &Path) -> Result<Input, InventoryError> {
    let name = path.display().to_string();
    let names = entries(path)?;
    if names.iter().any(|name| name.ends_with(".dist-info")) {
        let folders = names.into_iter().filter(|name| name.ends_with(".dist-info"));
        let all = folders.map(|folder| installed(path, folder)).collect();
        return Ok(Input { name, content: Content::Installed(all) });
    }
    if names.iter().any(|name| is_wheel(name)) {
        return Ok(Input { name, content: Content::Wheels(names) });
    }
    match site_packages(path)? {
        Some(inner) => folder(&inner),
        None => Err(InventoryError::Input { file: name, problem: InputProblem::whole(Problem::Format) }),
    }
}

fn entries(path: &Path) -> Result<Vec<String>, InventoryError> {
    let mut names = Vec::new();
    for entry in fs::read_dir(path).map_err(unreadable(path))?.take(ENTRIES) {
        names.push(entry.map_err(unreadable(path))?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// `lib/python3.14t/site-packages` of an environment; the first by name that has packages.
fn site_packages(path: &Path) -> Result<Option<PathBuf>, InventoryError> {
    for lib in [path.join("lib"), path.join("usr/local/lib"), path.join("usr/lib")] {
        if !lib.is_dir() {
            continue;
        }
        let pythons = entries(&lib)?.into_iter().filter(|name| name.starts_with("python3"));
        let folders = pythons.map(|python| lib.join(python).join("site-packages"));
        for folder in folders.filter(|folder| folder.is_dir()) {
            if entries(&folder)?.iter().any(|name| name.ends_with(".dist-info")) {
                return Ok(Some(folder));
            }
        }
    }
    Ok(None)
}

/// What cannot be read of an installed package is as if it was not there: its verdict then says that nothing is known.
fn installed(path: &Path, folder: String) -> Installed {
    let read = |name: &str| {
        let mut bytes = Vec::new();
        let file = fs::File::open(path.join(&folder).join(name)).ok()?;
        file.take(LARGEST_RECORD).read_to_end(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    };
    Installed { wheel: read("WHEEL"), record: read("RECORD"), direct_url: read("direct_url.json"), folder }
}
