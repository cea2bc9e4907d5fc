//! What a container writes, on its way from the engine to the files where a process's output lies as
//! well. The engine gives it from the beginning each time; so do the files begin anew.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bollard::container::LogOutput;
use bollard::query_parameters::LogsOptions;
use futures::StreamExt;

use super::engine::Engine;
use crate::logs::file::LogFile;
use crate::paths;
use crate::runner::Key;

/// Writes what a container says until it has said all; returns how many bytes are kept, and what
/// went wrong with a file. A full disk loses output, never the task.
pub(super) async fn pump(
    engine: Arc<Engine>,
    name: String,
    dir: PathBuf,
    key: Key,
    limit: u64,
) -> (u64, Option<std::io::Error>) {
    let path = |stream: &str| dir.join(paths::log(key.0, key.1, stream));
    for stream in ["out", "err"] {
        clear(&path(stream));
    }
    let options = LogsOptions {
        follow: true,
        stdout: true,
        stderr: true,
        ..LogsOptions::default()
    };
    let (mut out, mut err) = (LogFile::default(), LogFile::default());
    let mut problem = None;
    let mut said = std::pin::pin!(engine.docker.logs(&name, Some(options)));
    while let Some(Ok(part)) = said.next().await {
        let (file, stream) = match &part {
            LogOutput::StdErr { .. } => (&mut err, "err"),
            _ => (&mut out, "out"),
        };
        if problem.is_none() {
            let kept = file.keep(part.as_ref(), limit, &|| path(stream));
            problem = kept.err();
        }
    }
    (out.kept() + err.kept(), problem)
}

fn clear(path: &Path) {
    for path in [path.to_owned(), paths::rotated(path)] {
        // Most often there is none.
        let _ = fs::remove_file(path);
    }
}
