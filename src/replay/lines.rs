//! Lines of text, one at a time, none longer than it may be.

use std::io::{BufRead, Read};

use super::problem::{InputProblem, RowProblem};

/// Longest line, in bytes: a file without line ends must not fill the memory.
const LONGEST: usize = 64 * 1024;

/// Reads lines. A byte order mark and carriage returns are left out.
pub(super) struct Lines<R> {
    input: R,
    buffer: Vec<u8>,
    number: u64,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(input: R) -> Self {
        Self { input, buffer: Vec::new(), number: 0 }
    }

    /// The next line that is not blank, with its number.
    pub(super) fn next(&mut self) -> Result<Option<(u64, &str)>, InputProblem> {
        loop {
            self.buffer.clear();
            let mut limited = (&mut self.input).take(LONGEST as u64 + 2);
            limited
                .read_until(b'\n', &mut self.buffer)
                .map_err(|problem| InputProblem::Read { line: self.number, problem })?;
            if self.buffer.is_empty() {
                return Ok(None);
            }
            self.number += 1;
            while matches!(self.buffer.last(), Some(b'\n' | b'\r')) {
                self.buffer.pop();
            }
            if self.buffer.len() > LONGEST {
                return Err(InputProblem::row(self.number, RowProblem::TooLong(LONGEST)));
            }
            if self.number == 1 && self.buffer.starts_with(b"\xef\xbb\xbf") {
                self.buffer.drain(..3);
            }
            if !self.buffer.trim_ascii().is_empty() {
                break;
            }
        }
        match std::str::from_utf8(&self.buffer) {
            Ok(text) => Ok(Some((self.number, text))),
            Err(_) => Err(InputProblem::row(self.number, RowProblem::NotText)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_ends_and_blank_lines_are_left_out() {
        let mut lines = Lines::new(&b"\xef\xbb\xbfa,b\r\n\r\n  \n1,2\n3,4"[..]);
        let mut all = Vec::new();
        while let Some((number, text)) = lines.next().unwrap() {
            all.push((number, text.to_owned()));
        }
        assert_eq!(all, [(1, "a,b".to_owned()), (4, "1,2".to_owned()), (5, "3,4".to_owned())]);
    }

    #[test]
    fn a_line_without_end_is_not_swallowed() {
        let long = vec![b'a'; 10 * LONGEST];
        let problem = Lines::new(&long[..]).next().map(|_| ()).unwrap_err();
        assert_eq!(problem.to_string(), " line 1: the line is longer than 65536 bytes");
    }
}
