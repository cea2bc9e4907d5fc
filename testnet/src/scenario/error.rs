//! What is wrong with a scenario, where, and what would be right.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A place in a scenario file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct At {
    /// The file, as it was named.
    pub file: Arc<str>,
    /// Its line, from 1.
    pub line: usize,
    /// The key there, with the tables around it: `workload.rate`. Empty for the file as a whole.
    pub key: String,
}

/// A scenario that cannot be run. It displays as one line:
/// `x.toml:12: workload.rate: -3 is negative; write a rate above 0, for example 4.5`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ScenarioError(Box<Complaint>);

/// The parts of a [`ScenarioError`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    /// Where in the scenario.
    pub at: At,
    /// Where in the file that the scenario names there, if that one is at fault.
    pub within: Option<Within>,
    /// What is wrong.
    pub problem: String,
    /// What would be right.
    pub remedy: String,
}

/// A place in a file that a scenario names: a trace, a table of nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Within {
    /// The file, as it was looked for.
    pub file: PathBuf,
    /// Its line, from 1; none if the file as a whole is meant.
    pub line: Option<u64>,
}

impl At {
    /// The key `name` in the table at this place.
    pub(crate) fn child(&self, line: usize, name: &str) -> Self {
        let key = if self.key.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.key)
        };
        Self {
            file: Arc::clone(&self.file),
            line,
            key,
        }
    }

    /// What is wrong here, and what would be right.
    pub(crate) fn error(
        &self,
        problem: impl Into<String>,
        remedy: impl Into<String>,
    ) -> ScenarioError {
        ScenarioError(Box::new(Complaint {
            at: self.clone(),
            within: None,
            problem: problem.into(),
            remedy: remedy.into(),
        }))
    }

    /// What is wrong in a file that is named here.
    pub(crate) fn error_within(
        &self,
        file: &Path,
        line: Option<u64>,
        problem: impl Into<String>,
        remedy: impl Into<String>,
    ) -> ScenarioError {
        let mut error = self.error(problem, remedy);
        error.0.within = Some(Within {
            file: file.to_owned(),
            line,
        });
        error
    }
}

impl ScenarioError {
    /// Its parts.
    pub const fn complaint(&self) -> &Complaint {
        &self.0
    }
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.at.file, self.at.line)?;
        if !self.at.key.is_empty() {
            write!(f, "{}: ", self.at.key)?;
        }
        match &self.within {
            Some(Within {
                file,
                line: Some(line),
            }) => write!(f, "{}:{line}: ", file.display())?,
            Some(Within { file, line: None }) => write!(f, "{}: ", file.display())?,
            None => {}
        }
        write!(f, "{}; {}", self.problem, self.remedy)
    }
}
