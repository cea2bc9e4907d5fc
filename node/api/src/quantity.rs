//! Amounts as people write them: `500m` of CPU, `64MiB` of memory, `5s`.
//!
//! `K`, `M`, `G`, `T`, `P` are powers of 1000 and `Ki`, `Mi`, .. of 1024, with or without a `B`, in
//! either case. What is zero, negative or absurd is refused with the field's name: it is a slip.

use std::fmt;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, OneOfBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

use crate::ApiError;

/// The most CPU one task may ask for, in millicores: ten thousand cores.
pub const MAX_CPU_MILLIS: u32 = 10_000_000;
/// The least memory one task may ask for: less is a unit forgotten.
pub const MIN_MEMORY: u64 = 1 << 20;
/// The most memory one task may ask for: a pebibyte.
pub const MAX_MEMORY: u64 = 1 << 50;
/// The most disk one task may ask for: an exbibyte.
pub const MAX_DISK: u64 = 1 << 60;
/// The longest grace, in milliseconds: an hour.
pub const MAX_GRACE_MS: u32 = 3_600_000;
/// The longest time that something may take, in milliseconds: a thousand days.
const MAX_TIME_MS: u64 = 86_400_000_000;

/// An amount as it was written: a bare number, or a number with a unit.
#[derive(Clone, Debug, PartialEq)]
pub enum Quantity {
    /// A bare number, in the field's base unit (cores, bytes, seconds).
    Number(f64),
    /// A text, for example `64MiB`.
    Text(String),
}

impl From<&str> for Quantity {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Quantity {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) => f.write_str(text),
        }
    }
}

impl Quantity {
    /// CPU in millicores.
    pub fn cpu_millis(&self, field: &str) -> Result<u32, ApiError> {
        const RIGHT: &str = "write cores (`2`, `0.5`) or millicores (`500m`)";
        let (number, unit) = self.split(field, RIGHT)?;
        let millis = match unit.as_str() {
            "" => number * 1000.0,
            "m" => number,
            _ => return Err(self.unknown_unit(field, &unit, RIGHT)),
        };
        let most = f64::from(MAX_CPU_MILLIS);
        let millis = self.in_range(field, millis.round(), 1.0, most, "1m", "10000 cores")?;
        u32::try_from(millis).map_err(|_| ApiError::internal("cpu out of range"))
    }

    /// Memory in bytes.
    pub fn memory(&self, field: &str) -> Result<u64, ApiError> {
        let bytes = self.bytes(field)?;
        self.in_range(
            field,
            bytes,
            as_float(MIN_MEMORY),
            as_float(MAX_MEMORY),
            "1MiB",
            "1PiB",
        )
    }

    /// Disk in bytes.
    pub fn disk(&self, field: &str) -> Result<u64, ApiError> {
        let bytes = self.bytes(field)?;
        self.in_range(field, bytes, 1.0, as_float(MAX_DISK), "1 byte", "1024PiB")
    }

    /// A time to wait, in milliseconds; zero is none.
    pub fn millis(&self, field: &str) -> Result<u32, ApiError> {
        const RIGHT: &str = "write seconds (`5`) or a time with its unit (`500ms`, `5s`, `1m`)";
        let millis = self.time(field, RIGHT)?;
        let most = f64::from(MAX_GRACE_MS);
        let millis = self.in_range(field, millis, 0.0, most, "0s", "1h")?;
        u32::try_from(millis).map_err(|_| ApiError::internal("time out of range"))
    }

    /// A time that something may take, in milliseconds.
    pub fn long_millis(&self, field: &str) -> Result<u64, ApiError> {
        const RIGHT: &str =
            "write seconds (`90`) or a time with its unit (`90s`, `10m`, `2h`, `7d`)";
        let millis = self.time(field, RIGHT)?;
        let most = as_float(MAX_TIME_MS);
        self.in_range(field, millis, 1.0, most, "1ms", "1000d")
    }

    fn time(&self, field: &str, right: &'static str) -> Result<f64, ApiError> {
        let (number, unit) = self.split(field, right)?;
        let factor = match unit.as_str() {
            "ms" => 1.0,
            "" | "s" => 1000.0,
            "m" | "min" => 60_000.0,
            "h" => 3_600_000.0,
            "d" => 86_400_000.0,
            _ => return Err(self.unknown_unit(field, &unit, right)),
        };
        Ok((number * factor).round())
    }

    fn bytes(&self, field: &str) -> Result<f64, ApiError> {
        const RIGHT: &str = "write bytes or a number with its unit (`64MiB`, `1G`)";
        let (number, unit) = self.split(field, RIGHT)?;
        let lower = unit.to_ascii_lowercase();
        let prefix = lower.strip_suffix('b').unwrap_or(&lower);
        let (prefix, base) = prefix
            .strip_suffix('i')
            .map_or((prefix, 1000.0_f64), |prefix| (prefix, 1024.0));
        let power = match prefix {
            "" if base < 1001.0 => 0,
            "k" => 1,
            "m" => 2,
            "g" => 3,
            "t" => 4,
            "p" => 5,
            _ => return Err(self.unknown_unit(field, &unit, RIGHT)),
        };
        Ok((number * base.powi(power)).round())
    }

    /// The number and what follows it.
    fn split(&self, field: &str, right: &str) -> Result<(f64, String), ApiError> {
        let text = match self {
            Self::Number(number) if number.is_finite() => return Ok((*number, String::new())),
            Self::Number(_) => String::new(),
            Self::Text(text) => text.trim().to_owned(),
        };
        let end = text
            .find(|c: char| !matches!(c, '0'..='9' | '.' | '-' | '+' | '_'))
            .unwrap_or(text.len());
        let (number, unit) = text.split_at(end);
        let number = number.replace('_', "").parse::<f64>().map_err(|_| {
            ApiError::invalid(field, format!("`{}` is not an amount", self.shown()), right)
        })?;
        Ok((number, unit.trim().to_owned()))
    }

    fn in_range(
        &self,
        field: &str,
        value: f64,
        least: f64,
        most: f64,
        least_text: &str,
        most_text: &str,
    ) -> Result<u64, ApiError> {
        if value >= least && value <= most {
            return Ok(as_integer(value));
        }
        let problem = if value < 0.0 {
            format!("`{}` is negative", self.shown())
        } else if value == 0.0 {
            format!("`{}` is nothing at all", self.shown())
        } else if value < least {
            format!("`{}` is too little", self.shown())
        } else {
            format!("`{}` is absurdly much", self.shown())
        };
        let remedy = format!("ask for {least_text} to {most_text}, or leave it out");
        Err(ApiError::invalid(field, problem, remedy))
    }

    fn unknown_unit(&self, field: &str, unit: &str, right: &str) -> ApiError {
        let unit: String = unit.chars().take(20).collect();
        let problem = format!("`{}` has the unknown unit `{unit}`", self.shown());
        ApiError::invalid(field, problem, right)
    }

    fn shown(&self) -> String {
        self.to_string().chars().take(40).collect()
    }
}

#[allow(clippy::cast_precision_loss)]
const fn as_float(number: u64) -> f64 {
    number as f64
}

/// A number that is known to lie in a range far inside u64's.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
const fn as_integer(number: f64) -> u64 {
    number as u64
}

impl Serialize for Quantity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Number(number) if number.fract() == 0.0 && (0.0..9e15).contains(number) => {
                serializer.serialize_u64(as_integer(*number))
            }
            Self::Number(number) => serializer.serialize_f64(*number),
            Self::Text(text) => serializer.serialize_str(text),
        }
    }
}

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(QuantityVisitor)
    }
}

struct QuantityVisitor;

#[allow(clippy::cast_precision_loss)]
impl Visitor<'_> for QuantityVisitor {
    type Value = Quantity;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an amount: a number, or a number with a unit in quotes")
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Quantity, E> {
        Ok(Quantity::Number(number as f64))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Quantity, E> {
        Ok(Quantity::Number(number as f64))
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Quantity, E> {
        Ok(Quantity::Number(number))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Quantity, E> {
        Ok(Quantity::Text(text.to_owned()))
    }
}

impl PartialSchema for Quantity {
    fn schema() -> RefOr<Schema> {
        OneOfBuilder::new()
            .item(ObjectBuilder::new().schema_type(Type::Number))
            .item(ObjectBuilder::new().schema_type(Type::String))
            .description(Some(
                "A bare number in the field's base unit, or a text with a unit such as 500m, 64MiB, 5s",
            ))
            .into()
    }
}

impl ToSchema for Quantity {}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_people_write() {
        for (text, millis) in [
            ("2", 2000),
            ("0.5", 500),
            ("500m", 500),
            ("1m", 1),
            (" 1.25 ", 1250),
        ] {
            assert_eq!(
                Quantity::from(text).cpu_millis("cpu").unwrap(),
                millis,
                "{text}"
            );
        }
        assert_eq!(Quantity::Number(0.25).cpu_millis("cpu").unwrap(), 250);
        for (text, bytes) in [
            ("64MiB", 64 << 20),
            ("64mi", 64 << 20),
            ("1G", 1_000_000_000),
            ("1.5 GiB", 3 << 29),
            ("2000000", 2_000_000),
            ("2000000B", 2_000_000),
            ("2_000kB", 2_000_000),
        ] {
            assert_eq!(
                Quantity::from(text).memory("memory").unwrap(),
                bytes,
                "{text}"
            );
        }
        for (text, ms) in [
            ("5s", 5000),
            ("500ms", 500),
            ("1m", 60_000),
            ("0s", 0),
            ("3", 3000),
        ] {
            assert_eq!(Quantity::from(text).millis("grace").unwrap(), ms, "{text}");
        }
    }

    #[test]
    fn slips_are_refused_with_the_field_and_a_remedy() {
        for text in [
            "0", "-1", "0.0001", "1e9", "20000", "5MiB", "", "m", "NaN", "half", "1.2.3",
        ] {
            let error = Quantity::from(text).cpu_millis("cpu").unwrap_err();
            assert_eq!(error.field.as_deref(), Some("cpu"), "{text}");
            assert!(error.remedy.is_some(), "{text}");
        }
        for text in ["0", "64", "-5MiB", "9999999T", "5s", "iB", "MiB", "12 ib"] {
            let error = Quantity::from(text).memory("memory").unwrap_err();
            assert_eq!(error.field.as_deref(), Some("memory"), "{text}");
        }
        assert!(Quantity::Number(f64::INFINITY).memory("memory").is_err());
        assert!(Quantity::Number(f64::NAN).disk("disk").is_err());
        assert!(Quantity::from("2h").millis("grace").is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_an_amount_or_an_error(text in ".{0,20}") {
            let quantity = Quantity::from(text);
            let _ = quantity.cpu_millis("cpu");
            let _ = quantity.memory("memory");
            let _ = quantity.disk("disk");
            let _ = quantity.millis("grace");
        }
    }
}
