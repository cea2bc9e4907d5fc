//! Amounts as people write them, and the nearest of known names.

use std::time::Duration;

/// The longest time that a scenario may name: ten years.
const LONGEST: f64 = 10.0 * 365.0 * 86_400.0;

/// A length of time such as `90.6s`, `0.5ms`, `10m`; whole nanoseconds. Says what is wrong.
pub(crate) fn time(text: &str) -> Result<Duration, &'static str> {
    let text = text.trim();
    let end = text
        .find(|c: char| !matches!(c, '0'..='9' | '.' | '-' | '+' | '_'))
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let number = number
        .replace('_', "")
        .parse::<f64>()
        .map_err(|_| "is not a length of time")?;
    let factor = match unit.trim() {
        "ns" => 1e-9,
        "us" | "µs" | "μs" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3_600.0,
        "d" => 86_400.0,
        "" => return Err("has no unit"),
        _ => return Err("has an unknown unit"),
    };
    if number < 0.0 {
        return Err("is negative");
    }
    seconds(number * factor).ok_or("is absurdly long")
}

/// Seconds as a duration, if they are a sane length of time.
pub(crate) fn seconds(seconds: f64) -> Option<Duration> {
    if (0.0..=LONGEST).contains(&seconds) {
        Duration::try_from_secs_f64(seconds).ok()
    } else {
        None
    }
}

/// A rate such as `20%/min` or `0.5/h`, as a number per second. Says what is wrong.
pub(crate) fn rate(text: &str) -> Result<f64, &'static str> {
    let (number, unit) = text.split_once('/').ok_or("has no time in it")?;
    let number = number.trim();
    let (number, factor) = number
        .strip_suffix('%')
        .map_or((number, 1.0), |number| (number, 0.01));
    let number: f64 = number.trim().parse().map_err(|_| "is not a rate")?;
    if !number.is_finite() {
        return Err("is not a rate");
    }
    if number < 0.0 {
        return Err("is negative");
    }
    let second = match unit.trim() {
        "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3_600.0,
        "d" => 86_400.0,
        _ => return Err("has an unknown unit of time"),
    };
    Ok(number * factor / second)
}

/// What to write instead of a name that does not exist.
pub(crate) fn instead<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    let near = known
        .iter()
        .map(|other| (distance(name, other), *other))
        .min();
    match near {
        Some((far, other)) if far <= 1 + name.chars().count() / 3 && far < name.chars().count() => {
            format!("did you mean `{other}`?")
        }
        _ if known.is_empty() => "leave it out".to_owned(),
        _ if known.len() > 24 => {
            let some: Vec<&str> = known.iter().take(24).copied().collect();
            format!(
                "known are {} and {} more",
                some.join(", "),
                known.len() - 24
            )
        }
        _ => format!("known are {}", known.join(", ")),
    }
}

/// How many letters must be changed, added or dropped.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let here = (corner + usize::from(x != *y))
                .min(row[j] + 1)
                .min(row[j + 1] + 1);
            corner = row[j + 1];
            row[j + 1] = here;
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_as_people_write_them() {
        for (text, nanos) in [
            ("90.6s", 90_600_000_000),
            ("0.5ms", 500_000),
            ("10m", 600_000_000_000),
            ("2 h", 7_200_000_000_000),
            ("250us", 250_000),
            ("0s", 0),
        ] {
            assert_eq!(time(text), Ok(Duration::from_nanos(nanos)), "{text}");
        }
        for (text, problem) in [
            ("5", "has no unit"),
            ("-1s", "is negative"),
            ("5 parsec", "has an unknown unit"),
            ("soon", "is not a length of time"),
            ("99999d", "is absurdly long"),
        ] {
            assert_eq!(time(text), Err(problem), "{text}");
        }
    }

    #[test]
    fn rates_as_people_write_them() {
        assert_eq!(rate("20%/min"), Ok(0.2 / 60.0));
        assert_eq!(rate("3/h"), Ok(3.0 / 3_600.0));
        assert_eq!(rate("-3/h"), Err("is negative"));
        assert_eq!(rate("3"), Err("has no time in it"));
    }

    #[test]
    fn the_nearest_name_is_offered() {
        assert_eq!(instead("rte", ["load", "rate"]), "did you mean `rate`?");
        assert_eq!(instead("banana", ["load", "rate"]), "known are load, rate");
    }
}
