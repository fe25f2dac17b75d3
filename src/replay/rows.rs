//! Lines of CSV or JSON Lines as rows. Which of the two it is, the first character says.

use std::{borrow::Cow, fmt, io::BufRead};

use csv_core::{ReadRecordResult, Reader};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;

use super::{
    columns::{Column, Layout, Need, clipped, is_header, short},
    fields::{Draft, Field, Row, Times},
    lines::Lines,
    problem::{InputProblem, RowProblem},
};

/// Most pods at one time.
const PODS: usize = 10_000;

/// Rows in order of time.
pub(super) struct Rows<R> {
    lines: Lines<R>,
    need: Need,
    parser: Option<Parser>,
    times: Times,
    last: i64,
    /// How many rows have that time.
    same: usize,
}

enum Parser {
    Csv(Csv, Layout),
    Json(Layout),
}

impl<R: BufRead> Rows<R> {
    pub(super) fn new(input: R, need: &Need) -> Self {
        Self {
            lines: Lines::new(input),
            need: need.clone(),
            parser: None,
            times: Times::default(),
            last: i64::MIN,
            same: 0,
        }
    }

    /// The bucket boundary that stands for the threshold, in seconds. Known once there is a row.
    pub(super) fn boundary(&self) -> Option<f64> {
        match self.parser.as_ref()? {
            Parser::Csv(_, layout) | Parser::Json(layout) => layout.boundary(),
        }
    }

    /// The next row and its pod.
    pub(super) fn next(&mut self) -> Result<Option<(String, Row)>, InputProblem> {
        let Some((line, text)) = self.lines.next()? else { return Ok(None) };
        let at_line = |problem| InputProblem::row(line, problem);
        let (line, text) = match &mut self.parser {
            Some(_) => (line, text),
            None if text.trim_start().starts_with('{') => {
                let names: Vec<String> =
                    object(text).map_err(at_line)?.into_iter().map(|(name, _)| name).collect();
                self.parser = Some(Parser::Json(Layout::of(&names, &self.need).map_err(at_line)?));
                (line, text)
            }
            None => {
                let mut csv = Csv::new();
                let names: Vec<String> = csv.split(text).map_err(at_line)?.map(str::to_owned).collect();
                if !is_header(&names) {
                    return Err(at_line(RowProblem::NoHeader));
                }
                self.parser = Some(Parser::Csv(csv, Layout::of(&names, &self.need).map_err(at_line)?));
                match self.lines.next()? {
                    Some(line) => line,
                    None => return Ok(None),
                }
            }
        };
        let at_line = |problem| InputProblem::row(line, problem);
        let draft = match &mut self.parser {
            Some(Parser::Csv(csv, layout)) => csv.row(text, layout, &mut self.times),
            Some(Parser::Json(layout)) => json(text, layout, &mut self.times),
            None => return Ok(None),
        };
        let (pod, row) = draft.and_then(|draft| draft.finish(line)).map_err(at_line)?;
        // Objects may differ in their keys.
        if self.need.errors && row.errors.is_none() {
            return Err(at_line(RowProblem::Missing("errors", "")));
        }
        if self.need.threshold.is_some() && row.slow.is_none() {
            return Err(at_line(RowProblem::Missing("slow", "")));
        }
        if row.at < self.last {
            return Err(at_line(RowProblem::Backwards { before: self.last, at: row.at }));
        }
        self.same = if row.at == self.last { self.same + 1 } else { 1 };
        self.last = row.at;
        if self.same > PODS {
            return Err(at_line(RowProblem::TooManyPods(PODS)));
        }
        Ok(Some((pod, row)))
    }
}

/// Splits one line at a time, so that a quote that is never closed cannot swallow the rest of the file.
struct Csv {
    reader: Box<Reader>,
    line: Vec<u8>,
    text: Vec<u8>,
    ends: Vec<usize>,
}

impl Csv {
    fn new() -> Self {
        Self { reader: Box::new(Reader::new()), line: Vec::new(), text: Vec::new(), ends: vec![0; 64] }
    }

    fn split(&mut self, line: &str) -> Result<impl ExactSizeIterator<Item = &str> + '_, RowProblem> {
        self.reader.reset();
        // Unquoted, a field never grows; and no line has more fields than bytes.
        self.text.resize(self.text.len().max(line.len() + 1), 0);
        let (mut read, mut written, mut fields) = (0, 0, 0);
        self.line.clear();
        self.line.extend_from_slice(line.as_bytes());
        self.line.push(b'\n');
        loop {
            let (result, used, put, ended) = self.reader.read_record(
                self.line.get(read..).unwrap_or_default(),
                self.text.get_mut(written..).unwrap_or_default(),
                self.ends.get_mut(fields..).unwrap_or_default(),
            );
            read += used;
            written += put;
            fields += ended;
            match result {
                ReadRecordResult::Record => break,
                ReadRecordResult::OutputEndsFull => self.ends.resize(self.ends.len() * 2, 0),
                ReadRecordResult::OutputFull => self.text.resize(self.text.len() * 2, 0),
                ReadRecordResult::InputEmpty | ReadRecordResult::End => return Err(RowProblem::Quote),
            }
        }
        let (text, ends) = (&self.text, self.ends.get(..fields).unwrap_or_default());
        Ok(ends.iter().enumerate().map(move |(i, end)| {
            let start = i.checked_sub(1).and_then(|before| ends.get(before)).copied().unwrap_or_default();
            // Cut at commas and quotes, it is still the text that it was.
            std::str::from_utf8(text.get(start..*end).unwrap_or_default()).unwrap_or_default()
        }))
    }

    fn row(&mut self, line: &str, layout: &Layout, times: &mut Times) -> Result<Draft, RowProblem> {
        let fields = self.split(line)?;
        let (have, want) = (fields.len(), layout.columns().len());
        if have != want {
            return Err(RowProblem::Fields { have, want });
        }
        let mut draft = Draft::default();
        for (field, column) in fields.zip(layout.columns()) {
            draft.put(*column, &Field::Text(Cow::Borrowed(field)), times)?;
        }
        Ok(draft)
    }
}

fn json(line: &str, layout: &mut Layout, times: &mut Times) -> Result<Draft, RowProblem> {
    let mut draft = Draft::default();
    let fields = object(line)?;
    for (i, (name, value)) in fields.iter().enumerate() {
        if fields.iter().take(i).any(|(other, _)| other == name) {
            return Err(RowProblem::Twice(short(name)));
        }
        let column = layout.column(name, i)?;
        if column == Column::Ignored {
            continue;
        }
        let field = match value {
            Value::String(text) => Field::Text(Cow::Borrowed(text)),
            Value::Number(number) => Field::Number(number.as_f64().unwrap_or(f64::NAN)),
            Value::Bool(flag) => Field::Flag(*flag),
            Value::Null | Value::Array(_) | Value::Object(_) => return Err(RowProblem::NotFlat(short(name))),
        };
        draft.put(column, &field, times)?;
    }
    Ok(draft)
}

/// The keys and values of an object, in order: a map would hide that a key is there twice.
fn object(line: &str) -> Result<Vec<(String, Value)>, RowProblem> {
    let pairs = serde_json::from_str::<Pairs>(line).map_err(|e| {
        // Its own "at line 1" would be taken for a line of the file.
        let words = e.to_string();
        let words = words.split(" at line ").next().unwrap_or_default();
        RowProblem::Json(clipped(words, 160), e.column())
    })?;
    Ok(pairs.0)
}

struct Pairs(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(PairsVisitor)
    }
}

struct PairsVisitor;

impl<'de> Visitor<'de> for PairsVisitor {
    type Value = Pairs;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object in braces")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
        let mut pairs = Vec::with_capacity(16);
        while let Some(pair) = map.next_entry()? {
            pairs.push(pair);
        }
        Ok(Pairs(pairs))
    }
}
