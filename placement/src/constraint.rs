//! Constraints over a node's labels: `KEY=VALUE`, `KEY!=VALUE`, `KEY in (A, B)`.
//!
//! `arch`, `os` and `name` are labels that every node has; the rest are what its owner gave it.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How a constraint compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Operator {
    /// The label has the value. A node without the label does not match.
    #[serde(rename = "=")]
    Is,
    /// The label has another value, or the node lacks it.
    #[serde(rename = "!=")]
    IsNot,
    /// The label has one of the values.
    #[serde(rename = "in")]
    In,
}

/// The label that a node has while it can run containers; its value names the engine.
pub const CONTAINERS_LABEL: &str = "containers";
/// The engines that can be its value.
const ENGINES: [&str; 2] = ["docker", "podman"];

/// One condition a node must meet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Constraint {
    /// The label's name.
    #[serde(rename = "k")]
    pub key: String,
    /// How it is compared.
    #[serde(rename = "o")]
    pub operator: Operator,
    /// What it is compared with: one value, or several for `in`.
    #[serde(rename = "v")]
    pub values: Vec<String>,
}

/// Why a text is not a constraint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not a constraint: {problem}; write KEY=VALUE, KEY!=VALUE or `KEY in (A, B)`, \
     for example arch=aarch64"
)]
pub struct ConstraintError {
    text: String,
    problem: &'static str,
}

impl Constraint {
    /// That the node can run containers.
    pub fn runs_containers() -> Self {
        Self {
            key: CONTAINERS_LABEL.to_owned(),
            operator: Operator::In,
            values: ENGINES.map(str::to_owned).to_vec(),
        }
    }

    /// Whether a node with these labels meets it.
    pub fn met_by(&self, labels: &BTreeMap<String, String>) -> bool {
        let value = labels.get(&self.key);
        let listed = value.is_some_and(|value| self.values.contains(value));
        match self.operator {
            Operator::Is | Operator::In => listed,
            Operator::IsNot => !listed,
        }
    }
}

impl FromStr for Constraint {
    type Err = ConstraintError;

    fn from_str(text: &str) -> Result<Self, ConstraintError> {
        let fail = |problem| ConstraintError {
            text: text.chars().take(120).collect(),
            problem,
        };
        let (key, operator, values) = if let Some((key, value)) = text.split_once("!=") {
            (key, Operator::IsNot, vec![value.trim()])
        } else if let Some((key, value)) = text.split_once('=') {
            (
                key,
                Operator::Is,
                vec![value.trim_start_matches('=').trim()],
            )
        } else if let Some((key, list)) = text.split_once(" in ") {
            let list = list
                .trim()
                .strip_prefix('(')
                .and_then(|list| list.strip_suffix(')'))
                .ok_or_else(|| fail("the values after `in` need parentheses"))?;
            (key, Operator::In, list.split(',').map(str::trim).collect())
        } else {
            return Err(fail("it has no `=`, `!=` or `in`"));
        };
        let key = key.trim();
        if key.is_empty() || key.contains(char::is_whitespace) {
            return Err(fail(
                "the label's name before the operator is missing or has a space",
            ));
        }
        if values.iter().any(|value| value.is_empty()) {
            return Err(fail("a value is missing"));
        }
        Ok(Self {
            key: key.to_owned(),
            operator,
            values: values.into_iter().map(str::to_owned).collect(),
        })
    }
}

impl fmt::Display for Constraint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.operator {
            Operator::Is => write!(f, "{}={}", self.key, self.values.join("")),
            Operator::IsNot => write!(f, "{}!={}", self.key, self.values.join("")),
            Operator::In => write!(f, "{} in ({})", self.key, self.values.join(", ")),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn labels() -> BTreeMap<String, String> {
        [("arch", "aarch64"), ("zone", "attic")]
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .into()
    }

    #[test]
    fn the_three_operators() {
        for (text, met) in [
            ("arch=aarch64", true),
            ("arch==aarch64", true),
            ("arch = x86_64", false),
            ("zone!=cellar", true),
            ("zone!=attic", false),
            ("gpu!=yes", true),
            ("gpu=yes", false),
            ("zone in (attic, cellar)", true),
            ("zone in (cellar)", false),
        ] {
            assert_eq!(
                text.parse::<Constraint>().unwrap().met_by(&labels()),
                met,
                "{text}"
            );
        }
    }

    #[test]
    fn errors_name_the_remedy() {
        for text in [
            "arch",
            "=x",
            "a b=c",
            "zone in attic",
            "zone=",
            "zone in (a,)",
            "",
        ] {
            let error = text.parse::<Constraint>().unwrap_err().to_string();
            assert!(error.contains("KEY=VALUE"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn display_and_parse_agree(
            key in "[a-z][a-z0-9_.-]{0,12}",
            values in prop::collection::vec("[a-z0-9_.-]{1,12}", 1..4),
            pick in 0..3usize,
        ) {
            prop_assume!(key != "in");
            let operator = [Operator::Is, Operator::IsNot, Operator::In][pick];
            let values = if operator == Operator::In { values } else { values[..1].to_vec() };
            let constraint = Constraint { key, operator, values };
            prop_assert_eq!(constraint.to_string().parse::<Constraint>().unwrap(), constraint);
        }

        #[test]
        fn any_text_is_a_constraint_or_an_error(text in ".{0,40}") {
            let _ = text.parse::<Constraint>();
        }
    }
}
