//! The report for a pull request or a wiki. Pictures are files beside it.

use std::fmt::Write as _;

use super::document::{Block, Document, Plot};
use crate::svg::is_bidi;

/// The report as Markdown. `picture` says where a plot is found; where it says nothing, there is only its caption.
pub fn markdown(document: &Document, picture: impl Fn(&Plot) -> Option<String>) -> String {
    let mut out = String::new();
    // Writing to a string never fails.
    let _ = page(&mut out, document, &picture);
    out
}

fn page(
    out: &mut String,
    document: &Document,
    picture: &dyn Fn(&Plot) -> Option<String>,
) -> std::fmt::Result {
    writeln!(out, "# {}\n\n{}", escaped(&document.title), escaped(&document.lead))?;
    for section in &document.sections {
        writeln!(out, "\n## {}", escaped(section.title))?;
        for part in &section.blocks {
            writeln!(out)?;
            block(out, part, picture)?;
        }
    }
    Ok(())
}

fn block(out: &mut String, block: &Block, picture: &dyn Fn(&Plot) -> Option<String>) -> std::fmt::Result {
    match block {
        Block::Text(text) => writeln!(out, "{}", escaped(text)),
        Block::List(lines) => lines.iter().try_for_each(|line| writeln!(out, "- {}", escaped(line))),
        Block::Table { head, rows } => {
            let row = |cells: Vec<String>| format!("| {} |", cells.join(" | "));
            writeln!(out, "{}", row(head.iter().map(|name| escaped(name)).collect()))?;
            writeln!(out, "{}", row(head.iter().map(|_| "---".to_owned()).collect()))?;
            let rows = rows.iter().map(|cells| row(cells.iter().map(|cell| escaped(cell)).collect()));
            rows.into_iter().try_for_each(|row| writeln!(out, "{row}"))
        }
        Block::Lines { name, lines } => {
            writeln!(out, "{}\n", escaped(name))?;
            // Indented: nothing in it can end it.
            let lines = lines.iter().map(|line| line.replace(|c: char| c.is_control() || is_bidi(c), " "));
            lines.into_iter().try_for_each(|line| writeln!(out, "    {line}"))
        }
        Block::Plot(plot) => match picture(plot) {
            Some(file) => writeln!(out, "![{}]({})", escaped(&plot.caption), target(&file)),
            None => writeln!(out, "*{}: see the HTML report.*", escaped(&plot.caption)),
        },
    }
}

/// Words that mean nothing but themselves: what Markdown or HTML would take for its own is escaped, lines become one.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '#' | '~' | '!' | '$' => out.extend(['\\', c]),
            // What looks like an address becomes a link, and like a name notifies somebody.
            ':' if out.ends_with("http") || out.ends_with("https") => out.push_str("&#58;"),
            '@' => out.push_str("&#64;"),
            c if c.is_control() || is_bidi(c) => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

/// A file's name as the target of a link.
fn target(file: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '/');
    let mut out = String::new();
    for c in file.chars() {
        if plain(c) {
            out.push(c);
        } else {
            let mut bytes = [0; 4];
            for byte in c.encode_utf8(&mut bytes).bytes() {
                // Writing to a string never fails.
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}
