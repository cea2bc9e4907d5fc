//! The report's files, all or none of them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::Report;
use super::plot::PlotError;

/// Why a report could not be written; nothing of it was, and what was there before still is.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// A file or a directory.
    #[error("{doing} {}: {source}", .path.display())]
    File {
        /// What was tried.
        doing: &'static str,
        /// With what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The JSON.
    #[error("the report as JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// The CSV.
    #[error("the report as CSV: {0}")]
    Csv(#[from] csv::Error),
    /// The page.
    #[error(transparent)]
    Plot(#[from] PlotError),
}

/// An error about doing something with a path.
fn file<'a>(doing: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> ReportError + 'a {
    move |source| ReportError::File {
        doing,
        path: path.to_owned(),
        source,
    }
}

impl Report {
    /// Writes `report.json`, `report.csv`, `report.html` and `scenario.toml` into a directory, which
    /// is made if it is not there, and returns their paths. They are written beside it first and
    /// then moved in, so that whoever is interrupted leaves no half of a file; other files in the
    /// directory stay as they are.
    ///
    /// # Errors
    ///
    /// If one of the four cannot be made or written: then none is, and files of these names that
    /// were there before are put back.
    pub fn write(&self, dir: &Path) -> Result<Vec<PathBuf>, ReportError> {
        let files = [
            ("report.json", self.json()?),
            ("report.csv", self.csv()?),
            ("report.html", self.html()?),
            ("scenario.toml", self.scenario.clone()),
        ];
        let parent = match dir.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        fs::create_dir_all(parent).map_err(file("cannot make", parent))?;
        // Beside, not in the system's directory for such things: a move must not cross file systems.
        let beside = tempfile::Builder::new()
            .prefix(".report-")
            .tempdir_in(parent)
            .map_err(file("cannot make a directory in", parent))?;
        for (name, text) in &files {
            let path = beside.path().join(name);
            fs::write(&path, text).map_err(file("cannot write", &path))?;
        }
        fs::create_dir_all(dir).map_err(file("cannot make", dir))?;
        let names = files.map(|(name, _)| name);
        move_in(&beside, dir, &names)?;
        Ok(names.map(|name| dir.join(name)).to_vec())
    }
}

/// Moves the named files in, and those of the same names away; or none.
fn move_in(beside: &TempDir, dir: &Path, names: &[&str]) -> Result<(), ReportError> {
    let kept = |name: &str| beside.path().join(format!("{name}.before"));
    let mut moved = Vec::new();
    for name in names {
        let (new, place) = (beside.path().join(name), dir.join(name));
        let result = set_aside(&place, &kept(name)).and_then(|was_there| {
            moved.push((*name, was_there));
            fs::rename(&new, &place)
        });
        if let Err(source) = result {
            for (name, was_there) in moved.iter().rev() {
                let place = dir.join(name);
                // The error told is the first; where even this fails, there is no better state.
                let _ = if *was_there {
                    fs::rename(kept(name), &place)
                } else {
                    fs::remove_file(&place)
                };
            }
            return Err(file("cannot write", &place)(source));
        }
    }
    Ok(())
}

/// Whether there was a file to be moved away. A directory is none.
fn set_aside(place: &Path, to: &Path) -> io::Result<bool> {
    match fs::symlink_metadata(place) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
        Ok(found) if found.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        Ok(_) => fs::rename(place, to).map(|()| true),
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::report;
    use super::*;

    fn names_in(dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn four_files_are_written_and_replaced() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("deep/out");
        let mut report = report();
        let paths = report.write(&dir).unwrap();
        assert_eq!(paths.len(), 4);
        fs::write(dir.join("notes"), "mine").unwrap();
        report.scenario = "# other".to_owned();
        report.write(&dir).unwrap();
        let all = [
            "notes",
            "report.csv",
            "report.html",
            "report.json",
            "scenario.toml",
        ];
        assert_eq!(names_in(&dir), all);
        assert_eq!(
            names_in(&root.path().join("deep")),
            ["out"],
            "nothing beside"
        );
        assert_eq!(fs::read_to_string(&paths[3]).unwrap(), "# other");
        assert_eq!(
            fs::read_to_string(&paths[0]).unwrap(),
            report.json().unwrap()
        );
    }

    #[test]
    fn nothing_is_written_where_one_cannot_be() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("out");
        // The last to be moved in cannot be.
        fs::create_dir_all(dir.join("scenario.toml")).unwrap();
        fs::write(dir.join("report.csv"), "before").unwrap();
        let error = report().write(&dir).unwrap_err().to_string();
        assert!(
            error.contains("scenario.toml") && error.contains("director"),
            "{error}"
        );
        assert_eq!(names_in(&dir), ["report.csv", "scenario.toml"]);
        assert_eq!(
            fs::read_to_string(dir.join("report.csv")).unwrap(),
            "before"
        );
        assert_eq!(names_in(root.path()), ["out"]);

        let taken = root.path().join("file");
        fs::write(&taken, "a file").unwrap();
        let error = report().write(&taken).unwrap_err().to_string();
        assert!(
            error.contains("cannot make") && error.contains("file"),
            "{error}"
        );
        assert_eq!(names_in(root.path()), ["file", "out"]);
    }
}
