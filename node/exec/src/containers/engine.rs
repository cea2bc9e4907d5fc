//! A connection to a container engine: what it is, and its errors in our words.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bollard::errors::Error;
use bollard::models::{SystemInfo, SystemVersion};
use bollard::{API_DEFAULT_VERSION, Docker};
use starling_wire::ContainerEngine;
use tokio::time::timeout;

use crate::protocol::clip;

/// How long an engine may take to begin an answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);
/// How long it may take to answer when it is asked whether it is there.
const PING_WITHIN: Duration = Duration::from_secs(3);

/// A container engine that answered.
#[derive(Debug)]
pub(super) struct Engine {
    pub(super) docker: Docker,
    pub(super) facts: ContainerEngine,
    pub(super) can: Abilities,
    pub(super) path: PathBuf,
}

/// What the engine's kernel can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Abilities {
    pub(super) limit_cpu: bool,
    pub(super) limit_memory: bool,
    pub(super) limit_pids: bool,
    /// The processors that a CPU limit may not exceed.
    pub(super) processors: u32,
}

impl Engine {
    /// Connects to the engine at `path`, and asks what it is.
    pub(super) async fn connect(path: &Path) -> Result<Self, String> {
        let text = path.to_string_lossy();
        let open = Docker::connect_with_unix(&text, ANSWER_WITHIN.as_secs(), API_DEFAULT_VERSION);
        let docker = open.map_err(|error| in_words(&error))?;
        let asked = async {
            // The oldest of the two versions is spoken from here on.
            let docker = docker.negotiate_version().await?;
            let (version, info) = futures::try_join!(docker.version(), docker.info())?;
            Ok::<_, Error>((docker, version, info))
        };
        match timeout(PING_WITHIN, asked).await {
            Err(_) => Err("it does not answer".to_owned()),
            Ok(Err(error)) => Err(in_words(&error)),
            Ok(Ok((docker, version, info))) => Ok(Self {
                docker,
                facts: facts(version),
                can: abilities(&info),
                path: path.to_owned(),
            }),
        }
    }

    /// Whether it still answers.
    pub(super) async fn is_there(&self) -> bool {
        matches!(timeout(PING_WITHIN, self.docker.ping()).await, Ok(Ok(_)))
    }
}

fn facts(version: SystemVersion) -> ContainerEngine {
    let parts = version.components.unwrap_or_default();
    let is_podman = parts.iter().any(|part| part.name.contains("Podman"));
    ContainerEngine {
        engine: if is_podman { "podman" } else { "docker" }.to_owned(),
        version: version.version.unwrap_or_default(),
        arch: version.arch.unwrap_or_default(),
    }
}

fn abilities(info: &SystemInfo) -> Abilities {
    // What is not said is tried.
    Abilities {
        limit_cpu: info.cpu_cfs_quota.unwrap_or(true),
        limit_memory: info.memory_limit.unwrap_or(true),
        limit_pids: info.pids_limit.unwrap_or(true),
        processors: info
            .ncpu
            .and_then(|n| u32::try_from(n).ok())
            .unwrap_or(0)
            .max(1),
    }
}

/// Whether the engine answered that it knows no such thing.
pub(super) const fn is_missing(error: &Error) -> bool {
    matches!(
        error,
        Error::DockerResponseServerError {
            status_code: 404,
            ..
        }
    )
}

/// Why a container was not started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// Trying again would not help.
    Refused(String),
    /// The engine does not answer.
    Silence(String),
}

impl Trouble {
    /// What an error of the engine means for a start; `what` is put before its words.
    pub(super) fn of(what: &str, error: &Error) -> Self {
        let words = format!("{what}{}", in_words(error));
        match error {
            Error::DockerResponseServerError { .. } | Error::DockerStreamError { .. } => {
                Self::Refused(words)
            }
            _ => Self::Silence(words),
        }
    }
}

/// An error on one line, without the words about its way here.
pub(super) fn in_words(error: &Error) -> String {
    let text = match error {
        Error::DockerResponseServerError { message, .. } => message.clone(),
        Error::DockerStreamError { error } => error.clone(),
        other => {
            let mut text = other.to_string();
            let mut source = std::error::Error::source(other);
            while let Some(cause) = source {
                let cause_text = cause.to_string();
                if !text.contains(&cause_text) {
                    text = format!("{text}: {cause_text}");
                }
                source = cause.source();
            }
            text
        }
    };
    let words: Vec<&str> = text.split_whitespace().collect();
    clip(without_ways(&words.join(" ")))
}

/// What a container runtime's error says in the end, without the programs that it came through.
fn without_ways(text: &str) -> &str {
    let ways = [
        "OCI runtime create failed: ",
        "runc create failed: ",
        "unable to start container process: ",
    ];
    let ends = ways
        .iter()
        .filter_map(|way| text.rfind(way).map(|at| at + way.len()));
    let text = &text[ends.max().unwrap_or(0)..];
    // A port that cannot be had: the endpoint's name and number say nothing to anybody.
    let text = match text.split_once("on endpoint ") {
        Some((_, rest)) => rest.split_once("): ").map_or(text, |(_, why)| why),
        None => text,
    };
    text.strip_suffix(": unknown").unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bollard::models::SystemVersionComponents;

    #[test]
    fn podman_is_told_from_docker() {
        let version = |name: &str| SystemVersion {
            components: Some(vec![SystemVersionComponents {
                name: name.into(),
                version: "5".into(),
                details: None,
            }]),
            version: Some("5.1".into()),
            arch: Some("arm64".into()),
            ..SystemVersion::default()
        };
        assert_eq!(facts(version("Podman Engine")).engine, "podman");
        let docker = facts(version("Engine"));
        assert_eq!(
            (docker.engine.as_str(), docker.arch.as_str()),
            ("docker", "arm64")
        );
        assert_eq!(facts(SystemVersion::default()).version, "");
    }

    #[test]
    fn errors_are_one_line_of_the_engine_s_own_words() {
        let error = Error::DockerResponseServerError {
            status_code: 404,
            message: "No such image:\n  x:1\t".into(),
        };
        assert_eq!(in_words(&error), "No such image: x:1");
        assert!(is_missing(&error));
        let refused = Trouble::of("x: ", &error);
        assert_eq!(refused, Trouble::Refused("x: No such image: x:1".into()));
        let deep = Error::DockerResponseServerError {
            status_code: 400,
            message: "failed to create shim task: OCI runtime create failed: runc create failed: \
                      unable to start container process: exec: \"x\": no such file: unknown"
                .into(),
        };
        assert_eq!(in_words(&deep), "exec: \"x\": no such file");
        let port = Error::DockerResponseServerError {
            status_code: 500,
            message: "driver failed programming external connectivity on endpoint x (7): \
                      Error starting userland proxy: address already in use"
                .into(),
        };
        assert_eq!(
            in_words(&port),
            "Error starting userland proxy: address already in use"
        );
        let gone = Error::IOError {
            err: std::io::ErrorKind::ConnectionRefused.into(),
        };
        assert!(!is_missing(&gone));
        assert!(matches!(Trouble::of("", &gone), Trouble::Silence(_)));
    }
}
