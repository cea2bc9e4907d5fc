//! Reads TOML by hand, so that every complaint knows its line and the full name of its key.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use starling_api::Quantity;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::amount;
use super::error::{At, ScenarioError};

/// A value of a scenario file with its place.
#[derive(Clone)]
pub(crate) struct Value<'a> {
    pub(crate) at: At,
    text: &'a str,
    inner: &'a DeValue<'a>,
}

/// A table of a scenario file with its place.
#[derive(Clone)]
pub(crate) struct Table<'a> {
    pub(crate) at: At,
    text: &'a str,
    inner: &'a DeTable<'a>,
}

/// A list of a scenario file and the places of its values.
pub(crate) type List<'a> = Vec<Value<'a>>;

type Read<T> = Result<T, ScenarioError>;

/// Parses a file and hands its outermost table to `read`.
pub(crate) fn with_root<T>(
    text: &str,
    file: &str,
    read: impl FnOnce(Table<'_>) -> Read<T>,
) -> Read<T> {
    let at = At {
        file: Arc::from(file),
        line: 1,
        key: String::new(),
    };
    let parsed = DeTable::parse(text).map_err(|error| {
        let line = error.span().map_or(1, |span| line_of(text, &span));
        let at = At { line, ..at.clone() };
        let problem = error.message().lines().collect::<Vec<_>>().join(", ");
        at.error(
            format!("this is not TOML: {problem}"),
            "see scenarios/README.md for the form",
        )
    })?;
    read(Table {
        at,
        text,
        inner: parsed.get_ref(),
    })
}

fn line_of(text: &str, span: &Range<usize>) -> usize {
    let before = text.as_bytes().get(..span.start).unwrap_or_default();
    1 + before.iter().filter(|byte| **byte == b'\n').count()
}

impl<'a> Table<'a> {
    /// Refuses keys that are not among `known`.
    pub(crate) fn only(self, known: &[&str]) -> Read<Self> {
        for key in self.inner.keys() {
            let name = key.get_ref().as_ref();
            if known.contains(&name) {
                continue;
            }
            let at = self.at.child(line_of(self.text, &key.span()), name);
            return Err(at.error(
                format!("there is no key `{name}` here"),
                amount::instead(name, known.iter().copied()),
            ));
        }
        Ok(self)
    }

    /// The value at a key, if there is one.
    pub(crate) fn get(&self, key: &str) -> Option<Value<'a>> {
        let (name, value) = self.inner.get_key_value(key)?;
        Some(self.value(name, value))
    }

    /// The value at a key that must be there.
    pub(crate) fn need(&self, key: &str, example: &str) -> Read<Value<'a>> {
        self.get(key).ok_or_else(|| {
            self.missing(key)
                .error("it is missing", format!("write {example}"))
        })
    }

    /// Where a key would stand that is not there.
    pub(crate) fn missing(&self, key: &str) -> At {
        self.at.child(self.at.line, key)
    }

    /// Where a key stands, or would.
    pub(crate) fn place(&self, key: &str) -> At {
        self.get(key)
            .map_or_else(|| self.missing(key), |value| value.at)
    }

    /// All keys and values in the order of the keys.
    pub(crate) fn entries(&self) -> Vec<(String, Value<'a>)> {
        self.inner
            .iter()
            .map(|(key, value)| (key.get_ref().to_string(), self.value(key, value)))
            .collect()
    }

    /// Whether a key is there.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.inner.contains_key(key)
    }

    /// The first of `keys` that is there, if any; two of them contradict each other.
    pub(crate) fn one_of(&self, keys: &[&'static str]) -> Read<Option<(&'static str, Value<'a>)>> {
        let mut found = None;
        for key in keys {
            let Some(value) = self.get(key) else { continue };
            if let Some((first, _)) = found {
                return Err(value.at.error(
                    format!("`{key}` contradicts `{first}`"),
                    "write one of them",
                ));
            }
            found = Some((*key, value));
        }
        Ok(found)
    }

    /// The first of `keys` that is there, however many are.
    pub(crate) fn one_of_any(&self, keys: &[&'static str]) -> Option<(&'static str, Value<'a>)> {
        keys.iter().find_map(|key| Some((*key, self.get(key)?)))
    }

    /// A table at a key, with no other keys than `known`.
    pub(crate) fn table(&self, key: &str, known: &[&str]) -> Read<Option<Self>> {
        self.get(key).map(|value| value.table(known)).transpose()
    }

    /// A list of tables at a key; empty without it.
    pub(crate) fn tables(&self, key: &str, known: &[&str]) -> Read<Vec<Self>> {
        let Some(value) = self.get(key) else {
            return Ok(Vec::new());
        };
        let list = value.list()?;
        list.into_iter().map(|item| item.table(known)).collect()
    }

    fn value(
        &self,
        name: &Spanned<toml::de::DeString<'a>>,
        value: &'a Spanned<DeValue<'a>>,
    ) -> Value<'a> {
        let line = line_of(self.text, &name.span());
        Value {
            at: self.at.child(line, name.get_ref()),
            text: self.text,
            inner: value.get_ref(),
        }
    }
}

impl<'a> Value<'a> {
    /// The value as it was written, roughly, for complaints.
    pub(crate) fn shown(&self) -> String {
        match self.inner {
            DeValue::String(text) => format!("`{}`", text.chars().take(60).collect::<String>()),
            DeValue::Integer(number) => number.as_str().to_owned(),
            DeValue::Float(number) => number.as_str().to_owned(),
            DeValue::Boolean(flag) => flag.to_string(),
            DeValue::Datetime(_) => "a date".to_owned(),
            DeValue::Array(_) => "a list".to_owned(),
            DeValue::Table(_) => "a table".to_owned(),
        }
    }

    /// What is wrong with the value, and what would be right.
    pub(crate) fn wrong(&self, problem: &str, remedy: &str) -> ScenarioError {
        self.at.error(format!("{} {problem}", self.shown()), remedy)
    }

    pub(crate) const fn is_text(&self) -> bool {
        matches!(self.inner, DeValue::String(_))
    }

    pub(crate) const fn is_table(&self) -> bool {
        matches!(self.inner, DeValue::Table(_))
    }

    pub(crate) const fn is_list(&self) -> bool {
        matches!(self.inner, DeValue::Array(_))
    }

    pub(crate) fn text(&self, example: &str) -> Read<&'a str> {
        match self.inner {
            DeValue::String(text) => Ok(text.as_ref()),
            _ => Err(self.wrong("is not a text", &format!("write {example}"))),
        }
    }

    pub(crate) fn flag(&self) -> Read<bool> {
        match self.inner {
            DeValue::Boolean(flag) => Ok(*flag),
            _ => Err(self.wrong("is neither true nor false", "write true or false")),
        }
    }

    pub(crate) fn table(&self, known: &[&str]) -> Read<Table<'a>> {
        self.any_table()?.only(known)
    }

    /// A table whose keys are names that the scenario chooses.
    pub(crate) fn any_table(&self) -> Read<Table<'a>> {
        match self.inner {
            DeValue::Table(inner) => Ok(Table {
                at: self.at.clone(),
                text: self.text,
                inner,
            }),
            _ => Err(self.wrong("is not a table", "see scenarios/README.md for its keys")),
        }
    }

    pub(crate) fn list(&self) -> Read<List<'a>> {
        let DeValue::Array(items) = self.inner else {
            return Err(self.wrong("is not a list", "write it in brackets: [..]"));
        };
        let one = |(index, item): (usize, &'a Spanned<DeValue<'a>>)| Value {
            at: At {
                line: line_of(self.text, &item.span()),
                key: format!("{}[{index}]", self.at.key),
                file: Arc::clone(&self.at.file),
            },
            text: self.text,
            inner: item.get_ref(),
        };
        Ok(items.iter().enumerate().map(one).collect())
    }

    /// A list of exactly two.
    pub(crate) fn two(&self, example: &str) -> Read<[Self; 2]> {
        let list = self.list()?;
        <[Self; 2]>::try_from(list)
            .map_err(|_| self.wrong("has not two values", &format!("write {example}")))
    }

    /// A list of texts.
    pub(crate) fn texts(&self, example: &str) -> Read<Vec<(At, String)>> {
        let one = |value: Value<'a>| Ok((value.at.clone(), value.text(example)?.to_owned()));
        self.list()?.into_iter().map(one).collect()
    }

    /// A finite number.
    pub(crate) fn number(&self, example: &str) -> Read<f64> {
        let number = match self.inner {
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
                .map(as_float)
                .ok(),
            DeValue::Float(number) => number.as_str().parse().ok(),
            _ => None,
        };
        number
            .filter(|number: &f64| number.is_finite())
            .ok_or_else(|| self.wrong("is not a number", &format!("write {example}")))
    }

    /// A number of at least 0.
    pub(crate) fn at_least_zero(&self, example: &str) -> Read<f64> {
        let number = self.number(example)?;
        if number < 0.0 {
            return Err(self.wrong("is negative", &format!("write {example}")));
        }
        Ok(number)
    }

    /// A number above 0.
    pub(crate) fn above_zero(&self, example: &str) -> Read<f64> {
        let number = self.at_least_zero(example)?;
        if number == 0.0 {
            return Err(self.wrong("is nothing at all", &format!("write {example}")));
        }
        Ok(number)
    }

    /// A share or a probability, 0 to 1.
    pub(crate) fn share(&self) -> Read<f64> {
        let number = self.number("a share between 0 and 1, for example 0.2")?;
        if (0.0..=1.0).contains(&number) {
            return Ok(number);
        }
        Err(self.wrong(
            "is outside 0 to 1",
            "write a share between 0 and 1, for example 0.2",
        ))
    }

    /// A whole number from `least` to `most`.
    pub(crate) fn count(&self, least: u64, most: u64) -> Read<u64> {
        let remedy = format!("write a whole number from {least} to {most}");
        let DeValue::Integer(number) = self.inner else {
            return Err(self.wrong("is not a whole number", &remedy));
        };
        let number = i64::from_str_radix(number.as_str(), number.radix());
        let Some(number) = number.ok().map(i128::from) else {
            return Err(self.wrong("is too large", &remedy));
        };
        if number < i128::from(least) {
            let problem = if number < 0 {
                "is negative"
            } else {
                "is too few"
            };
            return Err(self.wrong(problem, &remedy));
        }
        u64::try_from(number)
            .ok()
            .filter(|number| *number <= most)
            .ok_or_else(|| self.wrong("is above the limit", &remedy))
    }

    /// A length of time with its unit.
    pub(crate) fn time(&self) -> Read<Duration> {
        const RIGHT: &str =
            "write a time with its unit, for example \"90.6s\", \"0.5ms\" or \"10m\"";
        let DeValue::String(text) = self.inner else {
            return Err(self.wrong("has no unit", RIGHT));
        };
        amount::time(text).map_err(|problem| self.wrong(problem, RIGHT))
    }

    /// A length of time above 0, in seconds.
    pub(crate) fn seconds(&self) -> Read<f64> {
        let time = self.time()?;
        if time.is_zero() {
            return Err(self.wrong(
                "is nothing at all",
                "write a time above 0, for example \"1s\"",
            ));
        }
        Ok(time.as_secs_f64())
    }

    /// CPU in millicores.
    pub(crate) fn cpu(&self) -> Read<u32> {
        self.quantity(Quantity::cpu_millis)
    }

    /// CPU in millicores, which may be none.
    pub(crate) fn some_cpu(&self) -> Read<u32> {
        let none = !self.is_text() && self.number("cores, for example 2")? == 0.0;
        if none { Ok(0) } else { self.cpu() }
    }

    /// Memory in bytes.
    pub(crate) fn memory(&self) -> Read<u64> {
        self.quantity(Quantity::memory)
    }

    /// Disk in bytes.
    pub(crate) fn disk(&self) -> Read<u64> {
        self.quantity(Quantity::disk)
    }

    fn quantity<T>(
        &self,
        read: impl FnOnce(&Quantity, &str) -> Result<T, starling_api::ApiError>,
    ) -> Read<T> {
        let quantity = match self.inner {
            DeValue::String(text) => Quantity::Text(text.to_string()),
            _ => Quantity::Number(self.number("an amount, for example 2, \"500m\" or \"8GiB\"")?),
        };
        read(&quantity, "amount").map_err(|error| {
            let remedy = error.remedy.unwrap_or_else(|| "write another".to_owned());
            let problem = error.message.replace("amount: ", "");
            self.at.error(problem, remedy)
        })
    }

    /// The file named here, relative to `base`.
    pub(crate) fn path(&self, base: &Path) -> Read<std::path::PathBuf> {
        Ok(base.join(self.text("the path of a file, relative to the scenario")?))
    }
}

#[allow(clippy::cast_precision_loss)]
const fn as_float(number: i64) -> f64 {
    number as f64
}
