//! The flags of `starling up`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// Run this machine's daemon in the foreground
///
/// The first start founds a cluster, or joins one with --join; later starts need neither. SIGTERM
/// or Ctrl-C leaves in order: the others are told, and this machine's tasks run elsewhere.
#[derive(Args, Clone, Debug)]
pub struct UpArgs {
    /// Where the node's key, jobs and logs are kept [default: the platform's, see `starling --help`]
    #[arg(long, value_name = "DIR", env = "STARLING_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
    /// The node's name, for people and for the constraint `name` [default: the host's name]
    #[arg(long, value_name = "NAME", value_parser = super::values::node_name)]
    pub name: Option<String>,
    /// Where to listen for other nodes, as a multiaddress; may be repeated
    /// [default: port 4310 of all addresses]
    #[arg(long, value_name = "MULTIADDR")]
    pub listen: Vec<String>,
    /// Join the cluster that this token is from (`starling token` prints one)
    #[arg(long, value_name = "TOKEN")]
    pub join: Option<String>,
    /// Also serve the API at this TCP address, to whoever has the token in DIR/api.token
    #[arg(long, value_name = "ADDR:PORT")]
    pub api: Option<SocketAddr>,
    /// A label for constraints; may be repeated
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = super::values::label)]
    pub labels: Vec<(String, String)>,
    /// Do not look for the cluster's nodes on the local network
    #[arg(long)]
    pub no_mdns: bool,
    /// The container engine's Unix socket: unix:///PATH or a path [default: DOCKER_HOST, else where
    /// Docker's and Podman's usually are]
    #[arg(long, value_name = "SOCKET", value_parser = super::values::socket)]
    pub docker_host: Option<PathBuf>,
    /// Run no containers, whatever engine there is
    #[arg(long, conflicts_with = "docker_host")]
    pub no_containers: bool,
    /// By what this node places the jobs that it owns
    #[arg(long, value_name = "RULE", value_enum, default_value_t = Placement::Fit)]
    pub placement: Placement,
    /// How the log is written
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
    /// Also tell others the addresses that only this machine can reach (for tests and demos)
    #[arg(long)]
    pub advertise_loopback: bool,
}

/// By what tasks are placed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Placement {
    /// By what was learned of classes: their speed per platform, and who disturbs whom.
    #[default]
    Fit,
    /// By measured load alone; nothing is learned.
    Load,
}

/// How the log is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}
