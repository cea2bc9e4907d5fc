//! Tables that a scenario names: comma-separated files, plain or compressed, whose every fault is
//! told with its line.

use std::fs::File;
use std::io::{BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};

use csv::StringRecord;
use flate2::read::MultiGzDecoder;

use super::amount;
use super::error::{At, ScenarioError};

/// A file open for reading.
pub(crate) struct Sheet {
    at: At,
    path: PathBuf,
    heading: Vec<String>,
    reader: csv::Reader<Box<dyn Read>>,
}

/// A row of it.
pub(crate) struct Row<'a> {
    at: &'a At,
    path: &'a Path,
    heading: &'a [String],
    record: &'a StringRecord,
    /// Its line in the file, from 1.
    pub(crate) line: u64,
}

impl Sheet {
    /// Opens a file whose first line names its columns. `at` is where the scenario names it.
    pub(crate) fn open(at: &At, path: &Path) -> Result<Self, ScenarioError> {
        let mut sheet = Self::open_bare(at, path)?;
        let mut record = StringRecord::new();
        if !sheet.read(&mut record)? {
            return Err(sheet.error(None, "it is empty", "its first line must name its columns"));
        }
        sheet.heading = record.iter().map(|name| name.trim().to_owned()).collect();
        Ok(sheet)
    }

    /// Opens a file without a heading.
    pub(crate) fn open_bare(at: &At, path: &Path) -> Result<Self, ScenarioError> {
        let within = |problem: String| {
            at.error_within(
                path,
                None,
                problem,
                "write the path of a file, relative to the scenario",
            )
        };
        let file = File::open(path).map_err(|error| match error.kind() {
            ErrorKind::NotFound => within("there is no such file".to_owned()),
            _ => within(format!("it cannot be read: {error}")),
        })?;
        if file.metadata().is_ok_and(|data| data.is_dir()) {
            return Err(within("it is a directory".to_owned()));
        }
        let file = BufReader::new(file);
        let input: Box<dyn Read> = if path.extension().is_some_and(|end| end == "gz") {
            Box::new(MultiGzDecoder::new(file))
        } else {
            Box::new(file)
        };
        let reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .from_reader(input);
        Ok(Self {
            at: at.clone(),
            path: path.to_owned(),
            heading: Vec::new(),
            reader,
        })
    }

    /// Whether there is a column of that name.
    pub(crate) fn has(&self, column: &str) -> bool {
        self.heading.iter().any(|name| name == column)
    }

    /// The column of that name, which must be there.
    pub(crate) fn column(&self, name: &str) -> Result<usize, ScenarioError> {
        self.heading
            .iter()
            .position(|other| other == name)
            .ok_or_else(|| {
                let known = self.heading.iter().map(String::as_str);
                self.error(
                    Some(1),
                    &format!("it has no column `{name}`"),
                    &amount::instead(name, known),
                )
            })
    }

    /// Hands each row to `take`, which stops by returning false.
    pub(crate) fn each(
        mut self,
        mut take: impl FnMut(&Row<'_>) -> Result<bool, ScenarioError>,
    ) -> Result<(), ScenarioError> {
        let mut record = StringRecord::new();
        while self.read(&mut record)? {
            let line = record.position().map_or(0, csv::Position::line);
            if !self.heading.is_empty() && record.len() != self.heading.len() {
                let problem = format!(
                    "{} columns where the heading has {}",
                    record.len(),
                    self.heading.len()
                );
                return Err(self.error(Some(line), &problem, CUT_SHORT));
            }
            let row = Row {
                at: &self.at,
                path: &self.path,
                heading: &self.heading,
                record: &record,
                line,
            };
            if !take(&row)? {
                break;
            }
        }
        Ok(())
    }

    /// Something wrong with the file.
    pub(crate) fn error(&self, line: Option<u64>, problem: &str, remedy: &str) -> ScenarioError {
        self.at.error_within(&self.path, line, problem, remedy)
    }

    fn read(&mut self, record: &mut StringRecord) -> Result<bool, ScenarioError> {
        let line = self.reader.position().line();
        self.reader.read_record(record).map_err(|error| {
            let line = Some(error.position().map_or(line, csv::Position::line));
            match error.kind() {
                csv::ErrorKind::Io(error) if error.kind() == ErrorKind::UnexpectedEof => self
                    .error(
                        line,
                        "it ends in the middle of its compressed data",
                        CUT_SHORT,
                    ),
                csv::ErrorKind::Io(error) => {
                    let problem = format!("it cannot be read: {error}");
                    self.error(line, &problem, "write the path of a .csv or .csv.gz file")
                }
                _ => self.error(
                    line,
                    "it is not text",
                    "write the path of a .csv or .csv.gz file",
                ),
            }
        })
    }
}

/// What to do about a file that is not whole.
const CUT_SHORT: &str = "the file is cut short or damaged: fetch it again";

impl Row<'_> {
    /// All cells.
    pub(crate) fn cells(&self) -> impl Iterator<Item = &str> {
        self.record.iter()
    }

    /// The text in a column.
    pub(crate) fn text(&self, column: usize) -> &str {
        self.record.get(column).unwrap_or_default().trim()
    }

    /// The number in a column: finite and at least 0.
    pub(crate) fn number(&self, column: usize) -> Result<f64, ScenarioError> {
        let text = self.text(column);
        self.parse(column, text)
    }

    /// A number that stands in a column.
    pub(crate) fn parse(&self, column: usize, text: &str) -> Result<f64, ScenarioError> {
        let name = self.heading.get(column).map_or("cell", String::as_str);
        let shown: String = text.chars().take(40).collect();
        match text.parse::<f64>() {
            Ok(number) if number.is_finite() && number >= 0.0 => Ok(number),
            Ok(number) if number < 0.0 => Err(self.error(
                &format!("{name}: {shown} is negative"),
                "write a number of at least 0",
            )),
            _ => Err(self.error(
                &format!("{name}: `{shown}` is not a number"),
                "write a number of at least 0",
            )),
        }
    }

    /// Something wrong with the row.
    pub(crate) fn error(&self, problem: &str, remedy: &str) -> ScenarioError {
        self.at
            .error_within(self.path, Some(self.line), problem, remedy)
    }

    /// The row says something that the file as a whole contradicts, because it is cut short.
    pub(crate) fn cut_short(&self, problem: &str) -> ScenarioError {
        self.error(problem, CUT_SHORT)
    }
}
