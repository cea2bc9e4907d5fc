//! Jobs as every node sees them: what a user asked for, and how a task ended.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use starling_placement::{Constraint, Resources};

use crate::container::{Container, MIN_MEMORY};

/// The fencing number of a task's placement: it only grows. A program may hand it to a shared
/// store, which then refuses the writes of an older copy.
pub type Epoch = u64;

/// The most tasks one job may have.
pub const MAX_COUNT: u32 = 100_000;
/// The most bytes that a job's command, environment, labels and constraints may take together, so
/// that a claim fits into one frame.
pub const MAX_SPEC_BYTES: usize = 32 * 1024;
/// The most bytes of a class's name.
pub const MAX_CLASS: usize = 64;
/// CPU that a task reserves when its job does not say: a tenth of a core.
pub const DEFAULT_CPU: u32 = 100;
/// How long a task may take to end after SIGTERM when its job does not say, in milliseconds.
pub const DEFAULT_GRACE_MS: u32 = 5_000;
/// How often a task with `restart = on-failure` is tried when its job does not say.
pub const DEFAULT_ATTEMPTS: u32 = 5;

/// Whether a task that ended is run again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Restart {
    /// A failed task stays failed.
    #[default]
    #[serde(rename = "never")]
    Never,
    /// A failed task is tried again, up to the job's attempts.
    #[serde(rename = "on-failure")]
    OnFailure,
    /// A task that ended is run again, however it ended, until somebody stops it.
    #[serde(rename = "always")]
    Always,
}

/// What a partition of the cluster means for a job's tasks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Partition {
    /// At least once: each side goes on and places again what it misses.
    #[default]
    #[serde(rename = "keep")]
    Keep,
    /// At most once: a task runs only while a majority of the job's owners has leased it to its node,
    /// which stops it before they could lease it to another.
    #[serde(rename = "stop")]
    Stop,
}

impl Partition {
    /// Whether it is what a job means that says nothing.
    #[allow(clippy::trivially_copy_pass_by_ref)] // serde hands it over by reference.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// What a user asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct JobSpec {
    /// A name for people; need not be unique.
    pub name: String,
    /// Under which name its speed is learned; empty derives it from what is run, see
    /// [`JobSpec::class_name`].
    #[serde(skip_serializing_if = "String::is_empty")]
    pub class: String,
    /// How many tasks.
    pub count: u32,
    /// Program and arguments. Of a container these are what its entry point gets; empty is what the
    /// image says.
    pub command: Vec<String>,
    /// Environment besides the `STARLING_*` variables.
    pub env: BTreeMap<String, String>,
    /// Working directory; none is a fresh directory per task.
    pub dir: Option<String>,
    /// User to run as; none is the daemon's.
    pub user: Option<String>,
    /// What each task reserves on its node.
    pub need: Resources,
    /// Hard CPU limit in millicores; none is no limit.
    pub cpu_limit: Option<u32>,
    /// Hard memory limit in bytes; none is no limit.
    pub memory_limit: Option<u64>,
    /// Conditions on the node.
    pub constraints: Vec<Constraint>,
    /// Whether failed tasks are tried again.
    pub restart: Restart,
    /// How often a task may be started when `restart` is not never; the greatest number is no limit.
    pub attempts: u32,
    /// Milliseconds between SIGTERM and SIGKILL.
    pub grace_ms: u32,
    /// Milliseconds after which a task that still runs is stopped, and has failed; none is no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// What a partition of the cluster means for its tasks.
    #[serde(skip_serializing_if = "Partition::is_default")]
    pub partition: Partition,
    /// What is to be said besides when the tasks are containers; none makes them processes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<Box<Container>>,
}

/// What is wrong with a job, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{field}: {problem}; {remedy}")]
pub struct SpecError {
    /// The field at fault, by its name in a job file.
    pub field: String,
    /// What is wrong with it.
    pub problem: String,
    /// What would be right.
    pub remedy: String,
}

impl SpecError {
    /// An error about `field`.
    pub fn new(field: &str, problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            field: field.to_owned(),
            problem: problem.into(),
            remedy: remedy.into(),
        }
    }
}

impl JobSpec {
    /// The name of the class whose speed its tasks teach: the one given, else made from what runs
    /// it (`process`, or `container` and the image), the program without its directory and the job's
    /// name, if it has one: `process:ffmpeg/encode`, `container:alpine:3.20:sh`. At most
    /// [`MAX_CLASS`] bytes; what is longer is cut.
    pub fn class_name(&self) -> String {
        if !self.class.is_empty() {
            return cut(self.class.clone());
        }
        let program = self.command.first().map_or("", String::as_str);
        let program = program.rsplit('/').next().unwrap_or(program);
        let mut class = match &self.container {
            None => format!("process:{program}"),
            Some(container) if program.is_empty() => {
                format!("container:{}", container.short_image())
            }
            Some(container) => format!("container:{}:{program}", container.short_image()),
        };
        if !self.name.is_empty() {
            class.push('/');
            class.push_str(&self.name);
        }
        cut(class.replace(char::is_control, " "))
    }

    /// Adds the conditions on the node that what is asked for brings with it. They are in the spec,
    /// and not left to each node, so that one of an older version, which would not know what it is
    /// asked for, does not take it.
    pub fn imply_constraints(&mut self) {
        let implied = Constraint::runs_containers();
        if self.container.is_some() && !self.constraints.contains(&implied) {
            self.constraints.push(implied);
        }
    }

    /// Checks every range that does not depend on the cluster.
    pub fn check(&self) -> Result<(), SpecError> {
        if let Some(container) = &self.container {
            container.check()?;
            if self.partition == Partition::Stop {
                return Err(SpecError::new(
                    "partition",
                    "`stop` is for processes: while its daemon is down, nothing ends a container \
                     in time",
                    "leave partition out, or leave image out",
                ));
            }
            if let Some(memory) = self.memory_limit.filter(|memory| *memory < MIN_MEMORY) {
                return Err(SpecError::new(
                    "memory",
                    format!("{memory} bytes are less than container engines accept"),
                    "ask for at least 6MiB, or leave it out",
                ));
            }
        } else if self.command.first().is_none_or(String::is_empty) {
            return Err(SpecError::new(
                "command",
                "there is none",
                "give a program and its arguments, for example `-- sleep 5`, or an image",
            ));
        }
        if self.class.len() > MAX_CLASS || self.class.contains(char::is_control) {
            return Err(SpecError::new(
                "class",
                format!("it is longer than {MAX_CLASS} bytes or has control characters"),
                "give a short name, for example `encode`, or leave it out",
            ));
        }
        if self.count == 0 || self.count > MAX_COUNT {
            return Err(SpecError::new(
                "count",
                format!("{} tasks", self.count),
                format!("ask for 1 to {MAX_COUNT}"),
            ));
        }
        let nul = self
            .command
            .iter()
            .chain(self.env.keys())
            .chain(self.env.values())
            .chain(&self.dir)
            .any(|text| text.contains('\0'));
        if nul {
            return Err(SpecError::new(
                "command",
                "it, the environment or the directory holds a NUL byte",
                "remove it: no program can receive one",
            ));
        }
        if let Some(key) = self
            .env
            .keys()
            .find(|key| key.is_empty() || key.contains('='))
        {
            return Err(SpecError::new(
                "env",
                format!("`{key}` cannot name a variable"),
                "write KEY=VALUE with a KEY that is not empty and has no `=`",
            ));
        }
        if self.cpu_limit == Some(0) || self.need.cpu == 0 {
            return Err(SpecError::new(
                "cpu",
                "zero",
                "ask for at least 1m (a thousandth of a core), or leave it out",
            ));
        }
        if self.memory_limit == Some(0) {
            return Err(SpecError::new(
                "memory",
                "zero",
                "ask for at least some MiB, for example 64MiB, or leave it out",
            ));
        }
        if self.timeout_ms == Some(0) {
            return Err(SpecError::new(
                "timeout",
                "zero",
                "give a time, for example 10m, or leave it out",
            ));
        }
        if self.attempts == 0 {
            return Err(SpecError::new(
                "attempts",
                "zero",
                "a task needs at least 1",
            ));
        }
        let bytes = crate::codec::encode(self).len();
        if bytes > MAX_SPEC_BYTES {
            return Err(SpecError::new(
                "command",
                format!("command, environment and constraints take {bytes} bytes"),
                format!("keep them under {MAX_SPEC_BYTES}; put larger input into a file"),
            ));
        }
        Ok(())
    }
}

/// Cuts a class's name to what is allowed.
fn cut(mut class: String) -> String {
    while class.len() > MAX_CLASS {
        class.pop();
    }
    class
}

/// How a task ended on a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// It ended by itself with this exit code.
    #[serde(rename = "e")]
    Exited(i32),
    /// A signal ended it that Starling did not send.
    #[serde(rename = "s")]
    Signalled(i32),
    /// The kernel killed it for its memory limit, or for the machine's memory.
    #[serde(rename = "o")]
    OutOfMemory,
    /// It could not be started; the reason is for people.
    #[serde(rename = "n")]
    NotStarted(String),
    /// Starling stopped it because somebody asked for that.
    #[serde(rename = "x")]
    Stopped,
    /// Starling stopped it because its time was up.
    #[serde(rename = "t")]
    TimedOut,
    /// Its node gave it up (drained, leaving); it is to run elsewhere.
    #[serde(rename = "v")]
    Evicted,
    /// Its node no longer knows it: the machine restarted, or its runner died.
    #[serde(rename = "l")]
    Lost,
}

impl Outcome {
    /// Whether the task did what it should.
    pub const fn is_success(&self) -> bool {
        matches!(self, Self::Exited(0))
    }

    /// Whether the task itself is done with, well or badly; otherwise only its placement is.
    pub const fn is_final(&self) -> bool {
        !matches!(self, Self::Evicted | Self::Lost)
    }

    /// The exit code a shell would show: 128 + N for signal N, 137 for an out-of-memory kill,
    /// 127 for what could not be started, 124 as of timeout(1).
    pub const fn exit_code(&self) -> Option<i32> {
        match self {
            Self::Exited(code) => Some(*code),
            Self::Signalled(signal) => Some(128 + *signal),
            Self::OutOfMemory => Some(137),
            Self::NotStarted(_) => Some(127),
            Self::TimedOut => Some(124),
            Self::Stopped | Self::Evicted | Self::Lost => None,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(code) => write!(f, "exit code {code}"),
            Self::Signalled(signal) => write!(f, "ended by signal {signal}"),
            Self::OutOfMemory => f.write_str("out of memory"),
            Self::TimedOut => f.write_str("its time was up"),
            Self::NotStarted(reason) => write!(f, "could not start: {reason}"),
            Self::Stopped => f.write_str("stopped"),
            Self::Evicted => f.write_str("moved off its node"),
            Self::Lost => f.write_str("lost with its node"),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn good() -> JobSpec {
        JobSpec {
            count: 1,
            command: vec!["true".into()],
            need: Resources {
                cpu: DEFAULT_CPU,
                ..Resources::default()
            },
            attempts: 1,
            ..JobSpec::default()
        }
    }

    #[test]
    fn each_bad_field_is_named() {
        assert_eq!(good().check(), Ok(()));
        type Spoil = fn(&mut JobSpec);
        let cases: [(&str, Spoil); 10] = [
            ("class", |s| s.class = "x".repeat(MAX_CLASS + 1)),
            ("class", |s| s.class = "a\u{1b}[2J".into()),
            ("command", |s| s.command.clear()),
            ("command", |s| s.command = vec!["a\0b".into()]),
            ("command", |s| s.command.push("x".repeat(MAX_SPEC_BYTES))),
            ("count", |s| s.count = 0),
            ("count", |s| s.count = MAX_COUNT + 1),
            ("cpu", |s| s.need.cpu = 0),
            ("memory", |s| s.memory_limit = Some(0)),
            ("env", |s| {
                s.env.insert("a=b".into(), String::new());
            }),
        ];
        for (field, spoil) in cases {
            let mut spec = good();
            spoil(&mut spec);
            assert_eq!(spec.check().unwrap_err().field, field);
        }
    }

    #[test]
    fn a_container_needs_no_command_and_a_node_that_runs_containers() {
        let mut spec = JobSpec {
            command: vec![],
            container: Some(Box::new(Container {
                image: "registry.lan/team/app:1.4".into(),
                ..Container::default()
            })),
            ..good()
        };
        assert_eq!(spec.check(), Ok(()));
        assert_eq!(spec.class_name(), "container:app:1.4");
        spec.imply_constraints();
        spec.imply_constraints();
        assert_eq!(spec.constraints, [Constraint::runs_containers()]);
        spec.command = vec!["/bin/sh".into()];
        spec.name = "x".into();
        assert_eq!(spec.class_name(), "container:app:1.4:sh/x");
        spec.memory_limit = Some(MIN_MEMORY - 1);
        assert_eq!(spec.check().unwrap_err().field, "memory");
        (spec.memory_limit, spec.partition) = (None, Partition::Stop);
        assert_eq!(spec.check().unwrap_err().field, "partition");
        let mut process = good();
        process.imply_constraints();
        assert!(process.constraints.is_empty());
    }

    #[test]
    fn a_spec_of_an_older_version_is_a_process() {
        let old = crate::codec::encode(&good());
        assert!(!old.windows(9).any(|bytes| bytes == b"container"));
        let read: JobSpec = crate::codec::decode(&old, MAX_SPEC_BYTES).unwrap();
        assert_eq!(read, good());
    }

    #[test]
    fn a_class_is_given_or_derived() {
        let spec = |command: &str, name: &str, class: &str| JobSpec {
            command: vec![command.into()],
            name: name.into(),
            class: class.into(),
            ..JobSpec::default()
        };
        assert_eq!(
            spec("/usr/bin/ffmpeg", "encode", "").class_name(),
            "process:ffmpeg/encode"
        );
        assert_eq!(spec("true", "", "").class_name(), "process:true");
        assert_eq!(spec("true", "x", "mine").class_name(), "mine");
        let long = spec(&"\u{e4}".repeat(200), "a\nb", "").class_name();
        assert!(long.len() <= MAX_CLASS && !long.contains(char::is_control));
    }
}
