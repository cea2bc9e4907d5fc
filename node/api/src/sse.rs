//! Server-sent events, as far as Starling's API uses them: each event is one JSON value; an event
//! named `error` carries an [`ApiError`] and ends the stream; comments keep the line alive.

use std::collections::VecDeque;
use std::marker::PhantomData;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde::de::DeserializeOwned;

use crate::{ApiError, ClientError};

/// The daemon sends a comment at least every fifteen seconds; so long a silence is a dead line.
const SILENCE_LIMIT: Duration = Duration::from_secs(50);

/// The longest line of an event.
const MAX_LINE: usize = 4 << 20;

/// A stream of JSON values that the daemon sends as they come up.
#[derive(Debug)]
pub struct Streamed<T> {
    body: Incoming,
    at: String,
    lines: Lines,
    over: bool,
    item: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> Streamed<T> {
    pub(crate) fn new(body: Incoming, at: String) -> Self {
        Self {
            body,
            at,
            lines: Lines::default(),
            over: false,
            item: PhantomData,
        }
    }

    /// The next value; none at the orderly end. After an error the stream is over. Dropping the
    /// future loses nothing.
    pub async fn next(&mut self) -> Option<Result<T, ClientError>> {
        while !self.over {
            if let Some(event) = self.lines.pop() {
                let item = self.open(&event);
                self.over = item.is_err();
                return Some(item);
            }
            let frame = tokio::time::timeout(SILENCE_LIMIT, self.body.frame()).await;
            let problem = match frame {
                Ok(None) => {
                    self.over = true;
                    return None;
                }
                Ok(Some(Ok(frame))) => match frame.into_data().map(|data| self.lines.push(&data)) {
                    Ok(false) => "an event is too long".to_owned(),
                    _ => continue,
                },
                Ok(Some(Err(error))) => error.to_string(),
                Err(_) => "it went silent".to_owned(),
            };
            self.over = true;
            return Some(Err(self.broken(problem)));
        }
        None
    }

    fn open(&self, event: &Raw) -> Result<T, ClientError> {
        if event.name == "error" {
            let error = serde_json::from_str::<ApiError>(&event.data)
                .unwrap_or_else(|_| ApiError::internal(event.data.clone()));
            return Err(ClientError::Refused(error));
        }
        serde_json::from_str(&event.data)
            .map_err(|error| self.broken(format!("an event that does not decode: {error}")))
    }

    fn broken(&self, problem: String) -> ClientError {
        ClientError::Broken {
            at: self.at.clone(),
            problem,
        }
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Raw {
    name: String,
    data: String,
}

/// Cuts bytes into events.
#[derive(Debug, Default)]
struct Lines {
    rest: Vec<u8>,
    event: Raw,
    ready: VecDeque<Raw>,
}

impl Lines {
    /// Takes bytes; false when a line has grown too long.
    fn push(&mut self, mut bytes: &[u8]) -> bool {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            self.rest.extend_from_slice(&bytes[..end]);
            bytes = &bytes[end + 1..];
            let line = std::mem::take(&mut self.rest);
            self.line(String::from_utf8_lossy(&line).trim_end_matches('\r'));
        }
        self.rest.extend_from_slice(bytes);
        self.rest.len() <= MAX_LINE && self.event.data.len() <= MAX_LINE
    }

    fn line(&mut self, line: &str) {
        if line.is_empty() {
            let event = std::mem::take(&mut self.event);
            if !event.data.is_empty() {
                self.ready.push_back(event);
            }
            return;
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.event.name),
            "data" => {
                if !self.event.data.is_empty() {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
            }
            _ => {}
        }
    }

    fn pop(&mut self) -> Option<Raw> {
        self.ready.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_cut_wherever_the_bytes_are() {
        let text = ": hello\n\nid: 7\ndata: {\"a\":1}\n\nevent: error\r\ndata:one\ndata: two\n\n";
        for size in 1..text.len() {
            let mut lines = Lines::default();
            for piece in text.as_bytes().chunks(size) {
                assert!(lines.push(piece));
            }
            let raw = |name: &str, data: &str| Raw {
                name: name.into(),
                data: data.into(),
            };
            assert_eq!(lines.pop(), Some(raw("", "{\"a\":1}")), "{size}");
            assert_eq!(lines.pop(), Some(raw("error", "one\ntwo")), "{size}");
            assert_eq!(lines.pop(), None);
        }
    }

    #[test]
    fn an_endless_line_is_noticed() {
        let mut lines = Lines::default();
        let mut fine = true;
        for _ in 0..=MAX_LINE / 1024 {
            fine = lines.push(&[b'x'; 1024]);
        }
        assert!(!fine);
    }
}
