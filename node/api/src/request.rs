//! What a user asks for: one type for `POST /v1/jobs`, the TOML job file and the command line.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Quantity;

/// A job to submit. All but `command` or `image` may be left out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct JobRequest {
    /// A name for people; need not be unique.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Under which name its speed is learned, at most 64 bytes. Left out: made from the program and
    /// the job's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// How many tasks, 1 unless said otherwise.
    #[serde(default = "one")]
    #[schema(default = 1, minimum = 1, maximum = 100_000)]
    pub count: u32,
    /// The program and its arguments; no shell is involved. With `image`: what the image's entry
    /// point gets; left out: what the image says.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// Makes the tasks containers of this image: `NAME:TAG` or `NAME@sha256:DIGEST`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Containers: when the image is fetched from its registry. Left out: when it is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull: Option<PullPolicy>,
    /// Containers: replaces the image's entry point.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<Vec<String>>,
    /// Containers: whether the root file system cannot be written to. Left out: it can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_only: Option<bool>,
    /// Containers: the most processes and threads. Left out: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pids: Option<u32>,
    /// Containers: `SOURCE:TARGET` or `SOURCE:TARGET:ro`, where `SOURCE` is an absolute path of the
    /// node, or the name of a volume, which is made if it is missing and never removed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<String>,
    /// Containers: `NODE:CONTAINER`, ports that lead inside; with an IPv4 address of the node before
    /// and `/udp` after where needed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<String>,
    /// Environment variables besides the `STARLING_*` ones.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Working directory; left out: a fresh directory for each task, or what the image says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dir: Option<String>,
    /// User to run as; left out: the daemon's, or what the image says. In a container `USER:GROUP`,
    /// by names of the image or by numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// CPU of each task, reserved and the most it gets: cores (`2`, `0.5`) or millicores (`500m`).
    /// Left out: a tenth of a core is reserved and nothing limited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Quantity>,
    /// Memory of each task, reserved and the most it gets: bytes, or `64MiB`, `1G`.
    /// Left out: nothing is reserved or limited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Quantity>,
    /// Disk that each task reserves: bytes, or `10GiB`. Left out: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<Quantity>,
    /// Conditions on the node: `KEY=VALUE`, `KEY!=VALUE`, `KEY in (A, B)`; every node has the
    /// labels `arch`, `os` and `name`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub constraints: Vec<String>,
    /// Whether a task that ended is run again. Left out: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart: Option<RestartPolicy>,
    /// How often a task is run at most: left out, 5 times with `restart = "on-failure"`, and without
    /// limit with `"always"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u32>,
    /// Time between SIGTERM and SIGKILL: seconds, or `500ms`, `5s`, `1m`. Left out: 5 s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace: Option<Quantity>,
    /// Time after which a task that still runs is stopped and has failed: seconds, or `90s`, `10m`,
    /// `2h`. Left out: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Quantity>,
    /// What a partition of the cluster means for its tasks. Left out: keep.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<PartitionPolicy>,
}

/// What a partition of the cluster means for a job's tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PartitionPolicy {
    /// At least once: each side goes on, and runs again what it does not see.
    Keep,
    /// At most once: a task runs only while a majority of the job's owners agrees, and is killed on a
    /// node that is cut off from them before it is run elsewhere.
    Stop,
}

/// Whether a task that ended is run again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RestartPolicy {
    /// A failed task stays failed.
    Never,
    /// A failed task is tried again, up to the job's attempts.
    OnFailure,
    /// A task that ended is run again, however it ended, until somebody stops it.
    Always,
}

/// When a container's image is fetched from its registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PullPolicy {
    /// When the node does not have it.
    Missing,
    /// Never: the node must have it.
    Never,
    /// Before each start.
    Always,
}

const fn one() -> u32 {
    1
}

impl JobRequest {
    /// A job of one task that runs `command`.
    pub fn new<S: Into<String>>(command: impl IntoIterator<Item = S>) -> Self {
        Self {
            name: None,
            class: None,
            count: 1,
            command: command.into_iter().map(Into::into).collect(),
            image: None,
            pull: None,
            entrypoint: None,
            read_only: None,
            pids: None,
            volumes: Vec::new(),
            ports: Vec::new(),
            env: BTreeMap::new(),
            dir: None,
            user: None,
            cpu: None,
            memory: None,
            disk: None,
            constraints: Vec::new(),
            restart: None,
            attempts: None,
            grace: None,
            timeout: None,
            partition: None,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_job_file_and_json_say_the_same() {
        let toml =
            "command = ['sh', '-c', 'exit 0']\ncpu = 0.5\nmemory = '64MiB'\n[env]\nA = 'b'\n";
        let json = r#"{"command":["sh","-c","exit 0"],"cpu":0.5,"memory":"64MiB","env":{"A":"b"}}"#;
        let from_toml: JobRequest = toml::from_str(toml).unwrap();
        let from_json: JobRequest = serde_json::from_str(json).unwrap();
        assert_eq!(from_toml, from_json);
        assert_eq!(from_toml.count, 1);
        let again = serde_json::to_string(&from_json).unwrap();
        assert_eq!(
            serde_json::from_str::<JobRequest>(&again).unwrap(),
            from_json
        );
    }

    #[test]
    fn unknown_fields_are_refused_by_name() {
        let error = serde_json::from_str::<JobRequest>(r#"{"command":["x"],"cpus":1}"#)
            .unwrap_err()
            .to_string();
        assert!(error.contains("cpus") && error.contains("`cpu`"), "{error}");
    }
}
