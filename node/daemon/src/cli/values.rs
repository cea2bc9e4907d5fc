//! Values of flags that need more than their type: each error names what would be right.

use std::time::Duration;

use starling_api::{ApiError, Quantity};
use starling_placement::Constraint;

/// The longest name of a node or a label, and the longest label's value.
const MAX_LABEL: usize = 63;

/// An image's name.
pub(crate) fn image(text: &str) -> Result<String, String> {
    as_written(text, starling_wire::container::check_image(text))
}

/// What is mounted in a container.
pub(crate) fn volume(text: &str) -> Result<String, String> {
    as_written(text, text.parse::<starling_wire::Volume>().map(|_| ()))
}

/// A port that leads into a container.
pub(crate) fn port(text: &str) -> Result<String, String> {
    as_written(text, text.parse::<starling_wire::Port>().map(|_| ()))
}

/// The text, if nothing is wrong with it; the flag's name is said by whoever shows the error.
fn as_written(text: &str, outcome: Result<(), starling_wire::SpecError>) -> Result<String, String> {
    match outcome {
        Ok(()) => Ok(text.to_owned()),
        Err(error) => Err(format!("{}; {}", error.problem, error.remedy)),
    }
}

/// A container engine's socket.
pub(crate) fn socket(text: &str) -> Result<std::path::PathBuf, String> {
    starling_exec::Sockets::parse(text)
}

/// `KEY=VALUE`, neither of them empty, for a node's label.
pub(crate) fn label(text: &str) -> Result<(String, String), String> {
    let right = "write KEY=VALUE, for example zone=attic";
    let (key, value) = text.split_once('=').ok_or(right)?;
    if key.is_empty() || value.is_empty() {
        return Err(format!("the key or the value is missing; {right}"));
    }
    if key.len() > MAX_LABEL || value.len() > MAX_LABEL {
        return Err(format!(
            "the key and the value may have {MAX_LABEL} bytes each"
        ));
    }
    if matches!(key, "arch" | "os" | "name" | "containers") {
        return Err(format!(
            "a node gives itself the label `{key}`; choose another key"
        ));
    }
    if key.contains(|c: char| c.is_whitespace() || c == '!') || value.contains([',', ')', '(']) {
        return Err(format!(
            "a key may have no spaces or `!`, a value no commas or parentheses; {right}"
        ));
    }
    Ok((key.to_owned(), value.to_owned()))
}

/// A node's name.
pub(crate) fn node_name(text: &str) -> Result<String, String> {
    let fits = (1..=MAX_LABEL).contains(&text.len())
        && text
            .chars()
            .all(|c| c.is_alphanumeric() || "-_.".contains(c));
    if fits {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "a name has 1 to {MAX_LABEL} letters, digits, dots, dashes and underscores"
        ))
    }
}

/// `KEY=VALUE` for the environment, or `KEY` alone to pass this process's value on.
pub(crate) fn env(text: &str) -> Result<(String, String), String> {
    let right = "write KEY=VALUE, or KEY alone to pass this shell's value on";
    match text.split_once('=') {
        Some(("", _)) => Err(format!("the key is missing; {right}")),
        Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
        None if text.is_empty() => Err(right.to_owned()),
        None => std::env::var(text)
            .map(|value| (text.to_owned(), value))
            .map_err(|_| format!("this shell has no variable `{text}`; {right}")),
    }
}

/// A constraint, checked here so that a slip is told before anything is sent.
pub(crate) fn constraint(text: &str) -> Result<String, String> {
    match text.parse::<Constraint>() {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// An amount of CPU.
pub(crate) fn cpu(text: &str) -> Result<Quantity, String> {
    checked(text, |amount| amount.cpu_millis("--cpu").map(drop))
}

/// An amount of memory.
pub(crate) fn memory(text: &str) -> Result<Quantity, String> {
    checked(text, |amount| amount.memory("--memory").map(drop))
}

/// An amount of disk.
pub(crate) fn disk(text: &str) -> Result<Quantity, String> {
    checked(text, |amount| amount.disk("--disk").map(drop))
}

/// How long a task may take to end.
pub(crate) fn grace(text: &str) -> Result<Quantity, String> {
    checked(text, |amount| amount.millis("--grace").map(drop))
}

/// How long a task may run.
pub(crate) fn timeout(text: &str) -> Result<Quantity, String> {
    checked(text, |amount| amount.long_millis("--timeout").map(drop))
}

fn checked(
    text: &str,
    check: impl Fn(&Quantity) -> Result<(), ApiError>,
) -> Result<Quantity, String> {
    let amount = Quantity::from(text);
    match check(&amount) {
        Ok(()) => Ok(amount),
        Err(error) => Err(format!(
            "{}; {}",
            error.message,
            error.remedy.unwrap_or_default()
        )),
    }
}

/// A span of time with its unit.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|error| format!("{error}; write for example 30s, 5m or 1h"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn slips_in_values_are_refused_with_a_remedy() {
        assert_eq!(label("zone=attic").unwrap().1, "attic");
        for text in [
            "zone",
            "=x",
            "zone=",
            "arch=x",
            "containers=x",
            "a b=c",
            "k=a,b",
        ] {
            assert!(label(text).is_err(), "{text}");
        }
        assert_eq!(env("A=b=c").unwrap(), ("A".into(), "b=c".into()));
        assert!(env("=x").is_err() && env("NO_SUCH_VARIABLE_HERE").is_err());
        assert!(node_name("attic-1").is_ok() && node_name("a b").is_err());
        assert!(constraint("arch").unwrap_err().contains("KEY=VALUE"));
        assert!(image("a:1").is_ok() && image("A b").unwrap_err().contains("NAME:TAG"));
        assert!(volume("/a:/b:ro").is_ok() && volume("a").unwrap_err().contains("TARGET"));
        assert!(port("80:80/udp").is_ok() && port("80").unwrap_err().contains("NODE:CONTAINER"));
        assert!(socket("/x").is_ok() && socket("tcp://x").unwrap_err().contains("unix://"));
        assert!(duration("5").unwrap_err().contains("30s"));
    }
}
