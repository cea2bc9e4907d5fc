//! The one form in which the API says no.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::NodeRef;

/// The stable words in [`ApiError::code`].
pub mod codes {
    /// The request is not understood: not JSON, an unknown field, a wrong type.
    pub const BAD_REQUEST: &str = "bad_request";
    /// A value is out of range or contradicts another.
    pub const INVALID: &str = "invalid";
    /// The bearer token is missing or wrong.
    pub const UNAUTHORIZED: &str = "unauthorized";
    /// The request may not be made from there.
    pub const FORBIDDEN: &str = "forbidden";
    /// There is no such job, task, node or page.
    pub const NOT_FOUND: &str = "not_found";
    /// Several things begin like that.
    pub const AMBIGUOUS: &str = "ambiguous";
    /// The page does not know the method.
    pub const METHOD_NOT_ALLOWED: &str = "method_not_allowed";
    /// The request is too large.
    pub const TOO_LARGE: &str = "too_large";
    /// The job or task is over already.
    pub const ALREADY_OVER: &str = "already_over";
    /// No node of the cluster could ever hold such a task.
    pub const IMPOSSIBLE: &str = "impossible";
    /// A bounded queue is full; try again later.
    pub const BUSY: &str = "busy";
    /// The node that would have to answer is not there.
    pub const UNAVAILABLE: &str = "unavailable";
    /// The answer took too long.
    pub const TIMEOUT: &str = "timeout";
    /// The data directory cannot be written: nothing was taken.
    pub const STORAGE: &str = "storage";
    /// A bug, or something that should not happen.
    pub const INTERNAL: &str = "internal";
}

/// Why a request was refused, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ApiError {
    /// A stable word for programs, for example `not_found`.
    pub code: String,
    /// What is wrong, for people.
    pub message: String,
    /// The field at fault, by its name in a job file or request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// What would be right.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
    /// Particulars, for example the nearest miss of each node.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<Detail>,
}

/// One particular of an error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Detail {
    /// The node it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeRef>,
    /// What is to be said.
    pub text: String,
}

impl ApiError {
    /// An error with one of the [`codes`].
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self {
            code: code.to_owned(),
            message: message.into(),
            field: None,
            remedy: None,
            details: Vec::new(),
        }
    }

    /// A field that holds what it must not.
    pub fn invalid(field: &str, problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(codes::INVALID, problem)
            .with_field(field)
            .with_remedy(remedy)
    }

    /// `what` (job, task, node) is not there.
    pub fn not_found(what: &str, text: &str) -> Self {
        let shown: String = text.chars().take(80).collect();
        Self::new(codes::NOT_FOUND, format!("there is no {what} `{shown}`"))
    }

    /// Something that should not happen.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(codes::INTERNAL, message)
    }

    /// Names the field at fault.
    #[must_use]
    pub fn with_field(mut self, field: &str) -> Self {
        self.field = Some(field.to_owned());
        self
    }

    /// Says what would be right.
    #[must_use]
    pub fn with_remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// Adds a particular.
    #[must_use]
    pub fn with_detail(mut self, node: Option<NodeRef>, text: impl Into<String>) -> Self {
        self.details.push(Detail {
            node,
            text: text.into(),
        });
        self
    }
}

/// One line: `field: message; remedy`. Details are left to whoever shows it.
impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(field) = &self.field {
            write!(f, "{field}: ")?;
        }
        f.write_str(&self.message)?;
        if let Some(remedy) = &self.remedy {
            write!(f, "; {remedy}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ApiError {}
