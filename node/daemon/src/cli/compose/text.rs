//! Texts in a compose file: variables that are filled in, and commands that are split into words.

/// Fills `$NAME`, `${NAME}`, `${NAME:-DEFAULT}` and `${NAME-DEFAULT}` in; `$$` is a dollar.
pub(super) fn fill(text: &str, value: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        filled.push_str(before);
        if let Some(after) = after.strip_prefix('$') {
            filled.push('$');
            rest = after;
        } else if let Some(after) = after.strip_prefix('{') {
            let (inside, after) = after
                .split_once('}')
                .ok_or_else(|| format!("`${{{after}` has no end"))?;
            filled.push_str(&braced(inside, value)?);
            rest = after;
        } else {
            let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let end = after.find(|c| !word(c)).unwrap_or(after.len());
            let (name, after) = after.split_at(end);
            filled.push_str(&plain(name, value)?);
            rest = after;
        }
    }
    filled.push_str(rest);
    Ok(filled)
}

fn braced(inside: &str, value: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let end = inside
        .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .unwrap_or(inside.len());
    let (name, how) = inside.split_at(end);
    if let Some(default) = how.strip_prefix(":-") {
        let set = value(name).filter(|value| !value.is_empty());
        return Ok(set.unwrap_or_else(|| default.to_owned()));
    }
    if let Some(default) = how.strip_prefix('-') {
        return Ok(value(name).unwrap_or_else(|| default.to_owned()));
    }
    if how.is_empty() {
        return plain(name, value);
    }
    Err(format!(
        "`${{{inside}}}` is not understood; write ${{NAME}} or ${{NAME:-DEFAULT}}, or $$ for a dollar"
    ))
}

fn plain(name: &str, value: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    if name.is_empty() {
        return Err("a `$` names no variable; write $$ for a dollar".to_owned());
    }
    value(name).ok_or_else(|| {
        format!("the variable {name} is not set; set it, or write ${{{name}:-DEFAULT}}")
    })
}

/// The words of a command as a shell without variables would split it.
pub(super) fn words(text: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut letters = text.chars();
    while let Some(c) = letters.next() {
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (Some('"') | None, '\\') => {
                let next = letters.next().ok_or("it ends in a backslash")?;
                word.get_or_insert_default().push(next);
            }
            (Some(_), c) => word.get_or_insert_default().push(c),
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (None, c) => word.get_or_insert_default().push(c),
        }
    }
    if quote.is_some() {
        return Err("a quotation mark is not closed".to_owned());
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_filled_in() {
        let value = |name: &str| match name {
            "A" => Some("x".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        for (text, filled) in [
            ("$A-${A}", "x-x"),
            ("${B:-d} ${EMPTY:-d} ${EMPTY-d}!", "d d !"),
            ("$$A 5$$", "$A 5$"),
            ("", ""),
        ] {
            assert_eq!(fill(text, &value).unwrap(), filled, "{text}");
        }
        for text in ["$B", "${B}", "${A", "$", "5$ ", "${A:?no}", "${}"] {
            assert!(fill(text, &value).is_err(), "{text}");
        }
    }

    #[test]
    fn commands_are_split_as_a_shell_does() {
        for (text, split) in [
            ("a  b\tc", &["a", "b", "c"][..]),
            ("sh -c 'echo \"x\" y'", &["sh", "-c", "echo \"x\" y"]),
            ("\"a\\\"b\" c\\ d ''", &["a\"b", "c d", ""]),
            ("", &[]),
        ] {
            assert_eq!(words(text).unwrap(), split, "{text}");
        }
        assert!(words("a 'b").is_err() && words("a\\").is_err());
    }
}
