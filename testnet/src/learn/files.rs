//! Measurements, questions and features in CSV files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Why a file cannot be used; lines and columns count from 1.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read.
    #[error("{}: {reason}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        reason: String,
    },
    /// A line is not CSV.
    #[error("{}:{line}: {reason}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line.
        line: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// A column is not there.
    #[error("{}:1: there is no column `{column}` (there are: {found})", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// The column.
        column: String,
        /// The columns that are there.
        found: String,
    },
    /// A field is wrong.
    #[error("{}:{line}: column {place} (`{column}`): {reason}", path.display())]
    Field {
        /// The file.
        path: PathBuf,
        /// The line.
        line: u64,
        /// The column's place.
        place: usize,
        /// The column's name.
        column: String,
        /// What is wrong with it.
        reason: String,
    },
    /// It holds nothing.
    #[error("{}: there is no line after the heads", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
}

/// The most lines of a file.
const MOST: usize = 20_000_000;

/// A CSV file with heads.
pub(super) struct Sheet {
    path: PathBuf,
    heads: Vec<String>,
    lines: Vec<(u64, csv::StringRecord)>,
}

impl Sheet {
    pub(super) fn read(path: &Path) -> Result<Self, FileError> {
        let read = |reason: String| FileError::Read {
            path: path.to_owned(),
            reason,
        };
        let file = std::fs::File::open(path).map_err(|error| read(error.to_string()))?;
        let mut reader = csv::ReaderBuilder::new()
            .trim(csv::Trim::All)
            .from_reader(std::io::BufReader::new(file));
        let line_error = |error: csv::Error| FileError::Line {
            path: path.to_owned(),
            line: error.position().map_or(1, csv::Position::line),
            reason: error.to_string(),
        };
        let heads = reader.headers().map_err(line_error)?;
        let heads = heads.iter().map(|head| {
            let head = head.trim_start_matches('\u{feff}').trim();
            head.to_owned()
        });
        let heads: Vec<String> = heads.collect();
        let mut lines = Vec::new();
        for record in reader.records() {
            let record = record.map_err(line_error)?;
            let line = record.position().map_or(0, csv::Position::line);
            lines.push((line, record));
            if lines.len() > MOST {
                return Err(read(format!("more than {MOST} lines")));
            }
        }
        if lines.is_empty() {
            return Err(FileError::Empty {
                path: path.to_owned(),
            });
        }
        Ok(Self {
            path: path.to_owned(),
            heads,
            lines,
        })
    }

    fn find(&self, column: &str) -> Option<usize> {
        self.heads
            .iter()
            .position(|head| head.eq_ignore_ascii_case(column))
    }

    pub(super) fn column(&self, column: &str) -> Result<usize, FileError> {
        self.find(column).ok_or_else(|| FileError::Missing {
            path: self.path.clone(),
            column: column.to_owned(),
            found: self.heads.join(", "),
        })
    }

    pub(super) fn lines(&self) -> impl Iterator<Item = Line<'_>> {
        self.lines.iter().map(|(line, record)| Line {
            sheet: self,
            line: *line,
            record,
        })
    }
}

/// A line of a sheet.
pub(super) struct Line<'a> {
    sheet: &'a Sheet,
    line: u64,
    record: &'a csv::StringRecord,
}

impl<'a> Line<'a> {
    pub(super) fn wrong(&self, at: usize, reason: String) -> FileError {
        FileError::Field {
            path: self.sheet.path.clone(),
            line: self.line,
            place: at + 1,
            column: self.sheet.heads.get(at).cloned().unwrap_or_default(),
            reason,
        }
    }

    pub(super) fn text(&self, at: usize) -> &'a str {
        self.record.get(at).unwrap_or("")
    }

    fn name(&self, at: usize) -> Result<&'a str, FileError> {
        match self.text(at) {
            "" => Err(self.wrong(at, "it is empty".to_owned())),
            name => Ok(name),
        }
    }

    pub(super) fn number(&self, at: usize) -> Result<f64, FileError> {
        let text = self.text(at);
        text.parse()
            .map_err(|_| self.wrong(at, format!("`{text}` is not a number")))
    }

    fn positive(&self, at: usize) -> Result<f64, FileError> {
        let value = self.number(at)?;
        if value.is_finite() && value > 0.0 {
            return Ok(value);
        }
        let text = self.text(at);
        Err(self.wrong(at, format!("`{text}` is not a finite number above 0")))
    }
}

/// One measurement: of a class, in a column, above 0, standing for so many.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// The class: a row of the matrix.
    pub class: String,
    /// The column: a platform, a neighbour, a size.
    pub column: String,
    /// The value.
    pub value: f64,
    /// How many measurements it stands for.
    pub weight: f64,
}

/// Reads measurements: `class,column,value[,weight]`.
///
/// # Errors
///
/// The file cannot be read, lacks a column, or holds what is no measurement.
pub fn measurements(path: &Path) -> Result<Vec<Measured>, FileError> {
    let sheet = Sheet::read(path)?;
    let (class, column) = (sheet.column("class")?, sheet.column("column")?);
    let (value, weight) = (sheet.column("value")?, sheet.find("weight"));
    sheet
        .lines()
        .map(|line| {
            let weight = match weight.filter(|at| !line.text(*at).is_empty()) {
                Some(at) => line.positive(at)?,
                None => 1.0,
            };
            Ok(Measured {
                class: line.name(class)?.to_owned(),
                column: line.name(column)?.to_owned(),
                value: line.positive(value)?,
                weight,
            })
        })
        .collect()
}

/// Reads questions: `class,column`, whatever else is there.
///
/// # Errors
///
/// The file cannot be read, lacks a column, or a name is empty.
pub fn questions(path: &Path) -> Result<Vec<(String, String)>, FileError> {
    let sheet = Sheet::read(path)?;
    let (class, column) = (sheet.column("class")?, sheet.column("column")?);
    sheet
        .lines()
        .map(|line| Ok((line.name(class)?.to_owned(), line.name(column)?.to_owned())))
        .collect()
}

/// Reads features of classes: a line per class, `class` and a column of numbers per feature; or a
/// line per number, `class,feature,value`. An empty field is a missing number.
///
/// # Errors
///
/// The file cannot be read, has no classes, or holds what is no number.
pub fn features(path: &Path) -> Result<BTreeMap<String, Vec<f64>>, FileError> {
    let sheet = Sheet::read(path)?;
    let class = sheet.column("class")?;
    let number = |line: &Line<'_>, at: usize| {
        if line.text(at).is_empty() {
            return Ok(f64::NAN);
        }
        let value = line.number(at)?;
        if value.is_infinite() {
            return Err(line.wrong(at, "it is infinite".to_owned()));
        }
        Ok(value)
    };
    let mut all = BTreeMap::new();
    if let (3, Some(name), Some(value)) = (
        sheet.heads.len(),
        sheet.find("feature"),
        sheet.find("value"),
    ) {
        let names: BTreeSet<&str> = sheet.lines().map(|line| line.text(name)).collect();
        for line in sheet.lines() {
            let row = all.entry(line.name(class)?.to_owned());
            let row: &mut Vec<f64> = row.or_insert_with(|| vec![f64::NAN; names.len()]);
            let name = line.name(name)?;
            if let Some(at) = names.iter().position(|other| *other == name) {
                row[at] = number(&line, value)?;
            }
        }
        return Ok(all);
    }
    for line in sheet.lines() {
        let others = (0..sheet.heads.len()).filter(|at| *at != class);
        let row: Result<Vec<f64>, FileError> = others.map(|at| number(&line, at)).collect();
        all.insert(line.name(class)?.to_owned(), row?);
    }
    Ok(all)
}
