//! Where a container engine may answer.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Where to look for a container engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sockets {
    /// Nowhere: this node runs no containers.
    Off,
    /// At one place, because somebody said so.
    Only(PathBuf),
    /// Where engines usually are; the first that answers is taken.
    Usual(Vec<PathBuf>),
}

/// What the environment says about engines.
#[derive(Clone, Debug, Default)]
struct Surroundings {
    docker_host: Option<OsString>,
    runtime_dir: Option<OsString>,
    home: Option<OsString>,
}

impl Sockets {
    /// Reads a place as `--docker-host` and `DOCKER_HOST` give it: `unix:///PATH`, or a path.
    pub fn parse(text: &str) -> Result<PathBuf, String> {
        let path = text.strip_prefix("unix://").unwrap_or(text);
        if path.starts_with('/') {
            return Ok(path.into());
        }
        Err(format!(
            "`{}` is no Unix socket, and only those are spoken to; write unix:///run/docker.sock, \
             or the path alone",
            text.chars().take(80).collect::<String>()
        ))
    }

    /// Where the environment says an engine is, else the usual places: those of Docker, of Docker
    /// and Podman without root, and of Podman. A `DOCKER_HOST` that is no Unix socket turns
    /// containers off, with a warning: tasks shall not run on another machine than their node.
    pub fn from_environment() -> Self {
        from(&Surroundings {
            docker_host: std::env::var_os("DOCKER_HOST"),
            runtime_dir: std::env::var_os("XDG_RUNTIME_DIR"),
            home: std::env::var_os("HOME"),
        })
    }

    /// The places, in the order in which they are tried.
    pub(super) fn paths(&self) -> &[PathBuf] {
        match self {
            Self::Off => &[],
            Self::Only(path) => std::slice::from_ref(path),
            Self::Usual(paths) => paths,
        }
    }

    /// The places in words.
    pub(super) fn in_words(&self) -> String {
        let paths = self.paths().iter().map(|path| path.display().to_string());
        paths.collect::<Vec<_>>().join(", ")
    }
}

fn from(around: &Surroundings) -> Sockets {
    let given = around.docker_host.as_ref().filter(|host| !host.is_empty());
    if let Some(host) = given {
        return match Sockets::parse(&host.to_string_lossy()) {
            Ok(path) => Sockets::Only(path),
            Err(problem) => {
                tracing::warn!("DOCKER_HOST: {problem}; this node runs no containers");
                Sockets::Off
            }
        };
    }
    let mut paths: Vec<PathBuf> = vec!["/var/run/docker.sock".into()];
    let absolute = |dir: &Option<OsString>| {
        let dir = dir.as_ref().map(Path::new);
        dir.filter(|dir| dir.is_absolute()).map(Path::to_owned)
    };
    let (runtime, home) = (absolute(&around.runtime_dir), absolute(&around.home));
    paths.extend(runtime.iter().map(|dir| dir.join("docker.sock")));
    paths.extend(home.iter().map(|dir| dir.join(".docker/run/docker.sock")));
    paths.push("/run/podman/podman.sock".into());
    paths.extend(runtime.iter().map(|dir| dir.join("podman/podman.sock")));
    Sockets::Usual(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(docker_host: &str) -> Sockets {
        from(&Surroundings {
            docker_host: Some(docker_host.into()),
            ..Surroundings::default()
        })
    }

    #[test]
    fn what_is_said_goes_before_what_is_usual() {
        let only = Sockets::Only("/run/x.sock".into());
        assert_eq!(said("unix:///run/x.sock"), only);
        assert_eq!(said("/run/x.sock"), only);
        for elsewhere in [
            "tcp://10.0.0.1:2375",
            "ssh://host",
            "run/x.sock",
            "unix://x",
        ] {
            assert_eq!(said(elsewhere), Sockets::Off, "{elsewhere}");
            assert!(Sockets::parse(elsewhere).unwrap_err().contains("unix:///"));
        }
    }

    #[test]
    fn the_usual_places_are_docker_s_first_and_podman_s_last() {
        let usual = from(&Surroundings {
            docker_host: Some("".into()),
            runtime_dir: Some("/run/user/7".into()),
            home: Some("relative".into()),
        });
        let paths: Vec<_> = usual.paths().iter().filter_map(|p| p.to_str()).collect();
        assert_eq!(
            paths,
            [
                "/var/run/docker.sock",
                "/run/user/7/docker.sock",
                "/run/podman/podman.sock",
                "/run/user/7/podman/podman.sock",
            ]
        );
        let least = from(&Surroundings::default());
        assert_eq!(least.paths().len(), 2);
        assert!(Sockets::Off.paths().is_empty());
    }
}
