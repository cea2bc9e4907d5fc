//! A piece of a task's output.

use data_encoding::BASE64;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Which of its two outputs a task wrote to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LogStream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// A piece of a task's output, exactly as it was written: `text` when it is UTF-8, else `base64`.
/// Pieces need not end where lines do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogChunk {
    /// Where it was written.
    pub stream: LogStream,
    /// The piece, if it is UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The piece in base 64, if it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base64: Option<String>,
}

impl LogChunk {
    /// A piece that holds `bytes`.
    pub fn new(stream: LogStream, bytes: &[u8]) -> Self {
        let text = std::str::from_utf8(bytes).ok().map(str::to_owned);
        let base64 = text.is_none().then(|| BASE64.encode(bytes));
        Self {
            stream,
            text,
            base64,
        }
    }

    /// The bytes; none when `base64` is garbled.
    pub fn bytes(&self) -> Option<Vec<u8>> {
        match (&self.text, &self.base64) {
            (Some(text), _) => Some(text.clone().into_bytes()),
            (None, Some(base64)) => BASE64.decode(base64.as_bytes()).ok(),
            (None, None) => Some(Vec::new()),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_survive_json(bytes: Vec<u8>) {
            let chunk = LogChunk::new(LogStream::Out, &bytes);
            let json = serde_json::to_string(&chunk).unwrap();
            let back: LogChunk = serde_json::from_str(&json).unwrap();
            prop_assert_eq!(back.bytes(), Some(bytes));
        }
    }
}
