//! Puts pieces of tasks' output where they belong: to standard output or error as they are, behind
//! the task's index, or as JSON.

use std::collections::BTreeMap;
use std::io::{self, Write};

use starling_api::{LogChunk, LogStream};

use super::output;

/// A last line without an end that has grown so long is shown as it is.
const MAX_LINE: usize = 64 * 1024;

/// Puts pieces of output where they belong.
pub(super) struct Printer {
    json: bool,
    /// The width of an index before each line; none without such.
    width: Option<usize>,
    /// Lines that have not ended yet.
    rest: BTreeMap<(u32, bool), Vec<u8>>,
}

impl Printer {
    pub(super) fn new(json: bool, many: bool, count: u32) -> Self {
        let width = count.saturating_sub(1).to_string().len();
        Self {
            json,
            width: many.then_some(width),
            rest: BTreeMap::new(),
        }
    }

    pub(super) fn take(&mut self, index: u32, chunk: &LogChunk) -> io::Result<()> {
        if self.json {
            #[derive(serde::Serialize)]
            struct Line<'a> {
                index: u32,
                #[serde(flatten)]
                chunk: &'a LogChunk,
            }
            return output::json_line(&Line { index, chunk });
        }
        let bytes = chunk.bytes().unwrap_or_default();
        let is_error = chunk.stream == LogStream::Err;
        let Some(width) = self.width else {
            return write(is_error, &bytes);
        };
        let rest = self.rest.entry((index, is_error)).or_default();
        rest.extend_from_slice(&bytes);
        let whole = match rest.iter().rposition(|byte| *byte == b'\n') {
            Some(end) => end + 1,
            None if rest.len() > MAX_LINE => rest.len(),
            None => return Ok(()),
        };
        let lines: Vec<u8> = rest.drain(..whole).collect();
        write(is_error, &prefixed(index, width, &lines))
    }

    /// The task is over: shows its last lines even if they lack an end.
    pub(super) fn finish(&mut self, index: u32) -> io::Result<()> {
        for is_error in [false, true] {
            let rest = self.rest.remove(&(index, is_error)).unwrap_or_default();
            if let (false, Some(width)) = (rest.is_empty(), self.width) {
                write(is_error, &prefixed(index, width, &rest))?;
            }
        }
        Ok(())
    }
}

fn write(is_error: bool, bytes: &[u8]) -> io::Result<()> {
    if is_error {
        let mut err = io::stderr().lock();
        err.write_all(bytes)?;
        err.flush()
    } else {
        output::bytes(bytes)
    }
}

/// Each of `lines` behind the index.
fn prefixed(index: u32, width: usize, lines: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(lines.len() + 16);
    for line in lines.split_inclusive(|byte| *byte == b'\n') {
        text.extend_from_slice(format!("{index:>width$} | ").as_bytes());
        text.extend_from_slice(line);
        if !line.ends_with(b"\n") {
            text.push(b'\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_many_tasks_carry_the_index() {
        let text = prefixed(7, 3, b"a\nb\nc");
        assert_eq!(
            String::from_utf8_lossy(&text),
            "  7 | a\n  7 | b\n  7 | c\n"
        );
    }
}
