//! One file that needs nothing else: no script, no font, nothing from elsewhere, as its own policy says.

use std::fmt::Write as _;

use base64::prelude::{BASE64_STANDARD, Engine as _};

use super::document::{Block, Document};
use crate::svg::escaped;

const STYLE: &str = "\
:root{color-scheme:light dark}body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;\
color:light-dark(#222,#e6e6e6);background:light-dark(#fff,#16181d)}h1{font-size:1.6rem}h2{font-size:1.2rem;margin-top:2rem}\
.lead{font-size:1.1rem;border-left:4px solid #175cd3;padding-left:.8rem}table{border-collapse:collapse;width:100%;margin:1rem 0}\
th,td{text-align:left;vertical-align:top;padding:.3rem .6rem;border-bottom:1px solid light-dark(#ddd,#3a3d45);overflow-wrap:anywhere}\
th{white-space:nowrap}td:nth-child(-n+2){min-width:6rem}\
figure{margin:1rem 0}img{width:100%}figcaption,.name{color:light-dark(#555,#b5b8c0)}pre{overflow-x:auto;padding:.6rem;\
background:light-dark(#f4f4f5,#22252b)}";

/// The report as a page.
pub fn html(document: &Document) -> String {
    let mut out = String::new();
    // Writing to a string never fails.
    let _ = page(&mut out, document);
    out
}

fn page(out: &mut String, document: &Document) -> std::fmt::Result {
    let (title, lead) = (escaped(&document.title), escaped(&document.lead));
    writeln!(out, "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">")?;
    writeln!(
        out,
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">"
    )?;
    writeln!(out, "<meta name=\"viewport\" content=\"width=device-width\">")?;
    writeln!(out, "<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>")?;
    writeln!(out, "<h1>{title}</h1>\n<p class=\"lead\">{lead}</p>")?;
    for section in &document.sections {
        writeln!(out, "<h2>{}</h2>", escaped(section.title))?;
        for part in &section.blocks {
            block(out, part)?;
        }
    }
    writeln!(out, "</body>\n</html>")
}

fn block(out: &mut String, block: &Block) -> std::fmt::Result {
    match block {
        Block::Text(text) => writeln!(out, "<p>{}</p>", escaped(text)),
        Block::List(lines) => {
            let items = lines.iter().map(|line| format!("<li>{}</li>\n", escaped(line)));
            writeln!(out, "<ul>\n{}</ul>", items.collect::<String>())
        }
        Block::Table { head, rows } => {
            writeln!(out, "<table>")?;
            if head.iter().any(|name| !name.is_empty()) {
                let cells = head.iter().map(|name| format!("<th>{}</th>", escaped(name)));
                writeln!(out, "<tr>{}</tr>", cells.collect::<String>())?;
            }
            for row in rows {
                let cells = row.iter().map(|cell| format!("<td>{}</td>", escaped(cell)));
                writeln!(out, "<tr>{}</tr>", cells.collect::<String>())?;
            }
            writeln!(out, "</table>")
        }
        Block::Lines { name, lines } => {
            let lines: Vec<String> = lines.iter().map(|line| escaped(line)).collect();
            writeln!(out, "<p class=\"name\">{}</p>\n<pre>{}</pre>", escaped(name), lines.join("\n"))
        }
        // As an image: whatever is in it runs nothing and reaches nothing.
        Block::Plot(plot) => {
            let (caption, data) = (escaped(&plot.caption), BASE64_STANDARD.encode(&plot.svg));
            writeln!(
                out,
                "<figure><img alt=\"{caption}\" src=\"data:image/svg+xml;base64,{data}\"><figcaption>{caption}</figcaption></figure>"
            )
        }
    }
}
