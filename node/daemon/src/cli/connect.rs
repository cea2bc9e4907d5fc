//! Finding the daemon.

use std::path::{Path, PathBuf};

use clap::Args;
use starling_api::{Client, SOCKET_FILE, TOKEN_FILE};

use super::error::CliError;

/// How a command finds the daemon.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Which daemon")]
pub(super) struct Connect {
    /// The daemon's data directory [env: STARLING_DATA_DIR] [default: the platform's]
    #[arg(long, value_name = "DIR")]
    pub(super) data_dir: Option<PathBuf>,
    /// The daemon's TCP address, HOST:PORT [env: STARLING_API]
    #[arg(long, value_name = "ADDR")]
    pub(super) api: Option<String>,
}

impl Connect {
    /// A client of that daemon. A flag counts more than a variable, and TCP more than a directory
    /// given in the same way.
    pub(super) fn client(&self) -> Result<Client, CliError> {
        let env = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let env_dir = env("STARLING_DATA_DIR").map(PathBuf::from);
        let api = match (&self.api, &self.data_dir) {
            (Some(api), _) => Some(api.clone()),
            (None, Some(_)) => None,
            (None, None) => env("STARLING_API"),
        };
        let dir = self.data_dir.clone().or(env_dir);
        let Some(api) = api else {
            let dir = dir.map_or_else(default_data_dir, Ok)?;
            return Ok(Client::unix(dir.join(SOCKET_FILE)));
        };
        let token = match env("STARLING_API_TOKEN") {
            Some(token) => Some(token),
            None => dir
                .or_else(|| default_data_dir().ok())
                .and_then(|dir| read_token(&dir)),
        };
        Ok(Client::tcp(address(&api)?, token))
    }
}

/// The data directory when none is named: the platform's place for a user's data.
pub fn default_data_dir() -> Result<PathBuf, CliError> {
    directories::ProjectDirs::from("", "", "starling")
        .map(|dirs| dirs.data_local_dir().to_owned())
        .ok_or_else(|| {
            CliError::Usage(
                "this user has no home directory: name a data directory with --data-dir".to_owned(),
            )
        })
}

fn read_token(dir: &Path) -> Option<String> {
    let text = std::fs::read_to_string(dir.join(TOKEN_FILE)).ok()?;
    Some(text.trim().to_owned()).filter(|token| !token.is_empty())
}

fn address(api: &str) -> Result<String, CliError> {
    let address = api.strip_prefix("http://").unwrap_or(api);
    let address = address.trim_end_matches('/');
    let port = address
        .rsplit_once(':')
        .map(|(_, port)| port.parse::<u16>());
    match port {
        Some(Ok(_)) => Ok(address.to_owned()),
        _ => Err(CliError::Usage(format!(
            "--api: `{api}` is not an address; write HOST:PORT, for example 127.0.0.1:7700"
        ))),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use starling_api::Target;

    #[test]
    fn flags_name_the_daemon() {
        let connect = Connect {
            data_dir: Some("/d".into()),
            api: None,
        };
        let target = connect.client().unwrap().target().clone();
        assert_eq!(target, Target::Unix("/d/api.sock".into()));
        for (api, addr) in [
            ("127.0.0.1:7700", "127.0.0.1:7700"),
            ("http://[::1]:7700/", "[::1]:7700"),
        ] {
            let connect = Connect {
                api: Some(api.into()),
                ..connect.clone()
            };
            match connect.client().unwrap().target() {
                Target::Tcp { addr: found, .. } => assert_eq!(found, addr),
                other => panic!("{other:?}"),
            }
        }
        for api in ["localhost", "localhost:port", "localhost:99999", ""] {
            assert!(address(api).is_err(), "{api}");
        }
    }
}
