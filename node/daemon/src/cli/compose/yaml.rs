//! YAML as a tree in which each value knows its line. Bounded in depth and in size, and what an alias
//! repeats counts each time, so a small file cannot become a large tree.

use std::collections::BTreeMap;

use saphyr_parser::{Event, Parser};

/// The deepest nesting.
const MAX_DEPTH: usize = 32;
/// The most values of a file, with those that aliases repeat.
const MAX_NODES: usize = 20_000;

/// A value, and where it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) line: usize,
    pub(super) value: Value,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// A text, number, truth value or nothing, as it is written.
    Scalar(String),
    List(Vec<Node>),
    /// By key, in the order of the file.
    Map(Vec<(Key, Node)>),
}

/// A key, and its line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) line: usize,
    pub(super) text: String,
}

/// What is wrong, and on which line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) line: usize,
    pub(super) text: String,
}

impl Fault {
    pub(super) fn new(line: usize, text: impl Into<String>) -> Self {
        Self {
            line,
            text: text.into(),
        }
    }
}

impl Node {
    /// How many values it holds, itself among them.
    fn size(&self) -> usize {
        1 + match &self.value {
            Value::Scalar(_) => 0,
            Value::List(list) => list.iter().map(Self::size).sum(),
            Value::Map(map) => map.iter().map(|(_, node)| node.size()).sum(),
        }
    }

    fn depth(&self) -> usize {
        1 + match &self.value {
            Value::Scalar(_) => 0,
            Value::List(list) => list.iter().map(Self::depth).max().unwrap_or(0),
            Value::Map(map) => map.iter().map(|(_, n)| n.depth()).max().unwrap_or(0),
        }
    }
}

/// A list or a map that is being read.
struct Open {
    anchor: usize,
    node: Node,
    /// The key that waits for its value.
    key: Option<Key>,
}

/// The tree of a file with one document.
pub(super) fn read(text: &str) -> Result<Node, Fault> {
    let mut reader = Reader::default();
    for event in Parser::new_from_str(text) {
        let (event, span) =
            event.map_err(|error| Fault::new(error.marker().line(), error.info()))?;
        reader.event(event, span.start.line())?;
    }
    reader.root.ok_or_else(|| Fault::new(1, "it is empty"))
}

#[derive(Default)]
struct Reader {
    open: Vec<Open>,
    anchors: BTreeMap<usize, Node>,
    size: usize,
    root: Option<Node>,
}

impl Reader {
    fn event(&mut self, event: Event<'_>, line: usize) -> Result<(), Fault> {
        let begin = |value, anchor| Open {
            anchor,
            node: Node { line, value },
            key: None,
        };
        match event {
            Event::SequenceStart(anchor, _) => self.enter(begin(Value::List(vec![]), anchor)),
            Event::MappingStart(anchor, _) => self.enter(begin(Value::Map(vec![]), anchor)),
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(open) => self.done(open.node, open.anchor),
                None => Err(Fault::new(line, "it ends what did not begin")),
            },
            Event::Scalar(text, _, anchor, _) => {
                let value = Value::Scalar(text.into_owned());
                self.done(Node { line, value }, anchor)
            }
            Event::Alias(anchor) => {
                let node = self.anchors.get(&anchor).cloned();
                let mut node =
                    node.ok_or_else(|| Fault::new(line, "it refers to itself, or to nothing"))?;
                if self.open.len() + node.depth() > MAX_DEPTH {
                    return Err(too_deep(line));
                }
                self.size += node.size();
                node.line = line;
                self.done(node, 0)
            }
            Event::DocumentStart(_) if self.root.is_some() => {
                Err(Fault::new(line, "there is a second document"))
            }
            _ => Ok(()),
        }
    }

    fn enter(&mut self, open: Open) -> Result<(), Fault> {
        if self.open.len() >= MAX_DEPTH {
            return Err(too_deep(open.node.line));
        }
        self.open.push(open);
        Ok(())
    }

    /// A value is whole: it goes to where it belongs.
    fn done(&mut self, node: Node, anchor: usize) -> Result<(), Fault> {
        let line = node.line;
        self.size += 1;
        if self.size > MAX_NODES {
            return Err(Fault::new(
                line,
                format!("it has more than {MAX_NODES} values"),
            ));
        }
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
            // The copy is kept as well.
            self.size += node.size();
        }
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        match (&mut open.node.value, open.key.take()) {
            (Value::List(list), _) => list.push(node),
            (Value::Map(_), None) => {
                let Value::Scalar(text) = node.value else {
                    return Err(Fault::new(line, "a key is no text"));
                };
                open.key = Some(Key { line, text });
            }
            (Value::Map(map), Some(key)) if key.text == "<<" => merge(map, node)?,
            (Value::Map(map), Some(key)) => {
                // What a merge brought gives way to what is said here.
                match map.iter_mut().find(|(known, _)| known.text == key.text) {
                    Some((known, _)) if known.line != 0 => {
                        let text = format!("`{}` is there twice", key.text);
                        return Err(Fault::new(key.line, text));
                    }
                    Some(entry) => *entry = (key, node),
                    None => map.push((key, node)),
                }
            }
            (Value::Scalar(_), _) => {}
        }
        Ok(())
    }
}

/// Adds what `<<` brings and is not there yet. Its keys have line 0 until something takes their place.
fn merge(map: &mut Vec<(Key, Node)>, node: Node) -> Result<(), Fault> {
    let line = node.line;
    let parts = match node.value {
        Value::List(list) => list,
        value => vec![Node { line, value }],
    };
    for part in parts {
        let Value::Map(more) = part.value else {
            return Err(Fault::new(line, "`<<` takes a map, or a list of maps"));
        };
        for (key, node) in more {
            if map.iter().all(|(known, _)| known.text != key.text) {
                map.push((Key { line: 0, ..key }, node));
            }
        }
    }
    Ok(())
}

fn too_deep(line: usize) -> Fault {
    Fault::new(line, format!("it is nested deeper than {MAX_DEPTH}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::fmt::Write as _;

    #[test]
    fn values_know_their_lines_and_merges_give_way() {
        let text = "base: &b\n  a: 1\n  b: 2\nother:\n  <<: *b\n  b: 3\nlist:\n- x\n- *b\n";
        let Value::Map(map) = read(text).unwrap().value else {
            panic!()
        };
        let lines: Vec<_> = map.iter().map(|(key, _)| key.line).collect();
        assert_eq!(lines, [1, 4, 7]);
        let Value::Map(other) = &map[1].1.value else {
            panic!()
        };
        let texts: Vec<_> = other
            .iter()
            .map(|(k, n)| (k.text.as_str(), &n.value))
            .collect();
        let scalar = |text: &str| Value::Scalar(text.to_owned());
        assert_eq!(texts, [("a", &scalar("1")), ("b", &scalar("3"))]);
    }

    #[test]
    fn bombs_and_slips_are_refused_with_their_line() {
        let mut bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
        for n in 1..10 {
            let list = vec![format!("*a{}", n - 1); 10].join(",");
            writeln!(bomb, "a{n}: &a{n} [{list}]").unwrap();
        }
        let deep = format!("a: {}", "[".repeat(MAX_DEPTH + 1));
        for (text, part) in [
            (bomb.as_str(), "more than"),
            (&deep, ""),
            ("a: &a [*a]\n", ""),
            ("a: 1\nb: 2\na: 3\n", "`a` is there twice"),
            ("a: [\n", ""),
            ("", "empty"),
            ("a: 1\n---\nb: 2\n", "second document"),
            ("a:\n  <<: 3\n", "`<<`"),
            ("[a]: 1\n", "no text"),
        ] {
            let fault = read(text).unwrap_err();
            assert!(fault.text.contains(part), "{part}: {fault:?}");
            assert!(fault.line > 0, "{fault:?}");
        }
        assert_eq!(read("a: 1\nb: 2\na: 3\n").unwrap_err().line, 3);
    }
}
