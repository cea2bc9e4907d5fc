//! From what a user asks for to what nodes agree on, and back.

mod container;

use starling_api::{ApiError, JobRequest, PartitionPolicy, Quantity, RestartPolicy};
use starling_placement::{Constraint, Resources};
use starling_wire::job::{DEFAULT_ATTEMPTS, DEFAULT_CPU, DEFAULT_GRACE_MS, Partition};
use starling_wire::{JobSpec, Restart, SpecError};

/// The longest name of a job.
const MAX_NAME: usize = 128;
/// The most tries a task may have.
const MAX_ATTEMPTS: u32 = 10_000;

/// The job that `request` asks for, with all that it leaves out filled in, or the field at fault.
pub fn spec_from_request(mut request: JobRequest) -> Result<JobSpec, ApiError> {
    let container = container::from_request(&mut request)?;
    let cpu = request
        .cpu
        .as_ref()
        .map(|cpu| cpu.cpu_millis("cpu"))
        .transpose()?;
    let memory = request
        .memory
        .as_ref()
        .map(|memory| memory.memory("memory"))
        .transpose()?;
    let disk = request
        .disk
        .as_ref()
        .map(|disk| disk.disk("disk"))
        .transpose()?;
    let grace_ms = request
        .grace
        .as_ref()
        .map_or(Ok(DEFAULT_GRACE_MS), |grace| grace.millis("grace"))?;
    let constraints = request
        .constraints
        .iter()
        .map(|text| text.parse::<Constraint>())
        .collect::<Result<_, _>>()
        .map_err(|error| {
            let text = error.to_string();
            let (problem, remedy) = text.split_once("; ").unwrap_or((&text, ""));
            ApiError::invalid("constraints", problem, remedy)
        })?;
    let timeout_ms = request
        .timeout
        .as_ref()
        .map(|timeout| timeout.long_millis("timeout"))
        .transpose()?;
    let (restart, attempts) = restart(request.restart, request.attempts)?;
    let spec = JobSpec {
        name: name(request.name)?,
        class: request.class.unwrap_or_default(),
        count: request.count,
        command: request.command,
        env: request.env,
        dir: directory(request.dir)?,
        user: user(request.user, container.is_some())?,
        need: Resources {
            cpu: cpu.unwrap_or(DEFAULT_CPU),
            memory: memory.unwrap_or(0),
            disk: disk.unwrap_or(0),
        },
        cpu_limit: cpu,
        memory_limit: memory,
        constraints,
        restart,
        attempts,
        grace_ms,
        timeout_ms,
        partition: match request.partition {
            None | Some(PartitionPolicy::Keep) => Partition::Keep,
            Some(PartitionPolicy::Stop) => Partition::Stop,
        },
        container,
    };
    spec.check().map_err(from_spec_error)?;
    Ok(spec)
}

/// What a user would have to ask for to get `spec`.
pub fn request_from_spec(spec: &JobSpec) -> JobRequest {
    let bytes = |bytes: u64| (bytes > 0).then(|| Quantity::Text(bytes.to_string()));
    let (restart, attempts) = match spec.restart {
        Restart::Never => (None, None),
        Restart::OnFailure => (Some(RestartPolicy::OnFailure), Some(spec.attempts)),
        Restart::Always => (
            Some(RestartPolicy::Always),
            Some(spec.attempts).filter(|most| *most != u32::MAX),
        ),
    };
    let constraints = spec.constraints.iter();
    let asked = constraints.filter(|constraint| {
        spec.container.is_none() || **constraint != Constraint::runs_containers()
    });
    let mut request = JobRequest {
        name: (!spec.name.is_empty()).then(|| spec.name.clone()),
        class: (!spec.class.is_empty()).then(|| spec.class.clone()),
        count: spec.count,
        env: spec.env.clone(),
        dir: spec.dir.clone(),
        user: spec.user.clone(),
        cpu: spec.cpu_limit.map(|cpu| format!("{cpu}m").into()),
        memory: bytes(spec.memory_limit.unwrap_or(0)),
        disk: bytes(spec.need.disk),
        constraints: asked.map(ToString::to_string).collect(),
        restart,
        attempts,
        timeout: spec.timeout_ms.map(|millis| format!("{millis}ms").into()),
        partition: (spec.partition == Partition::Stop).then_some(PartitionPolicy::Stop),
        grace: (spec.grace_ms != DEFAULT_GRACE_MS).then(|| format!("{}ms", spec.grace_ms).into()),
        ..JobRequest::new(spec.command.iter().cloned())
    };
    if let Some(container) = &spec.container {
        container::into_request(container, &mut request);
    }
    request
}

/// A job's fault as the API tells it.
pub fn from_spec_error(error: SpecError) -> ApiError {
    ApiError::invalid(&error.field, error.problem, error.remedy)
}

fn restart(
    policy: Option<RestartPolicy>,
    attempts: Option<u32>,
) -> Result<(Restart, u32), ApiError> {
    match (policy, attempts) {
        (_, Some(0)) => Err(ApiError::invalid(
            "attempts",
            "zero",
            "a task needs at least 1",
        )),
        (_, Some(n)) if n > MAX_ATTEMPTS => Err(ApiError::invalid(
            "attempts",
            format!("{n} is absurdly much"),
            format!("ask for 1 to {MAX_ATTEMPTS}"),
        )),
        (Some(RestartPolicy::OnFailure), attempts) => {
            Ok((Restart::OnFailure, attempts.unwrap_or(DEFAULT_ATTEMPTS)))
        }
        (Some(RestartPolicy::Always), attempts) => {
            Ok((Restart::Always, attempts.unwrap_or(u32::MAX)))
        }
        (_, None | Some(1)) => Ok((Restart::Never, 1)),
        (_, Some(n)) => Err(ApiError::invalid(
            "attempts",
            format!("{n}, but failed tasks are not to be tried again"),
            "say restart = on-failure or always as well, or leave attempts out",
        )),
    }
}

fn name(name: Option<String>) -> Result<String, ApiError> {
    let name = name.unwrap_or_default();
    if name.len() > MAX_NAME || name.chars().any(char::is_control) {
        return Err(ApiError::invalid(
            "name",
            "it is too long or holds control characters",
            format!("keep it under {MAX_NAME} bytes of plain text"),
        ));
    }
    Ok(name)
}

fn directory(dir: Option<String>) -> Result<Option<String>, ApiError> {
    match dir {
        Some(dir) if !dir.starts_with('/') => Err(ApiError::invalid(
            "dir",
            format!(
                "`{}` is not absolute",
                dir.chars().take(80).collect::<String>()
            ),
            "begin it with `/`, or leave it out for a fresh directory per task",
        )),
        dir => Ok(dir),
    }
}

fn user(user: Option<String>, in_container: bool) -> Result<Option<String>, ApiError> {
    let Some(user) = user else {
        return Ok(None);
    };
    // An image has users of its own, and a group can be given with one.
    let (name, group) = match user.split_once(':') {
        Some((name, group)) if in_container => (name, Some(group)),
        _ => (user.as_str(), None),
    };
    let wrong = |text: &str| text.is_empty() || text.contains(['\0', ':', '/', '\n']);
    if !wrong(name) && !group.is_some_and(wrong) {
        return Ok(Some(user));
    }
    Err(ApiError::invalid(
        "user",
        "that is no user's name",
        if in_container {
            "give USER or USER:GROUP, names of the image or numbers, or leave it out"
        } else {
            "give the name of a user of the node, or leave it out"
        },
    ))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_filled_in() {
        let spec = spec_from_request(JobRequest::new(["true"])).unwrap();
        assert_eq!(
            (spec.count, spec.need.cpu, spec.cpu_limit),
            (1, DEFAULT_CPU, None)
        );
        assert_eq!((spec.restart, spec.attempts), (Restart::Never, 1));
        assert_eq!((spec.grace_ms, spec.memory_limit), (DEFAULT_GRACE_MS, None));
        assert_eq!(request_from_spec(&spec), JobRequest::new(["true"]));
    }

    #[test]
    fn a_job_survives_the_way_back() {
        let request = JobRequest {
            name: Some("digest".into()),
            count: 3,
            env: [("A".to_owned(), "b".to_owned())].into(),
            dir: Some("/tmp".into()),
            user: Some("nobody".into()),
            cpu: Some("0.5".into()),
            memory: Some("64MiB".into()),
            disk: Some("1G".into()),
            constraints: vec!["arch in (x86_64, aarch64)".into()],
            restart: Some(RestartPolicy::OnFailure),
            attempts: Some(7),
            grace: Some("1s".into()),
            ..JobRequest::new(["sh", "-c", "exit 0"])
        };
        let spec = spec_from_request(request).unwrap();
        assert_eq!((spec.need.cpu, spec.cpu_limit), (500, Some(500)));
        assert_eq!(
            (spec.need.memory, spec.memory_limit),
            (64 << 20, Some(64 << 20))
        );
        assert_eq!(spec_from_request(request_from_spec(&spec)).unwrap(), spec);
    }

    #[test]
    fn each_bad_field_is_named() {
        type Spoil = fn(&mut JobRequest);
        let cases: [(&str, Spoil); 12] = [
            ("command", |r| r.command.clear()),
            ("count", |r| r.count = 0),
            ("cpu", |r| r.cpu = Some(Quantity::Number(0.0))),
            ("cpu", |r| r.cpu = Some("-2".into())),
            ("memory", |r| r.memory = Some("64".into())),
            ("disk", |r| r.disk = Some("0".into())),
            ("grace", |r| r.grace = Some("5 weeks".into())),
            ("constraints", |r| r.constraints = vec!["arch".into()]),
            ("attempts", |r| r.attempts = Some(0)),
            ("attempts", |r| r.attempts = Some(3)),
            ("dir", |r| r.dir = Some("here".into())),
            ("name", |r| r.name = Some("\x1b[2J".into())),
        ];
        for (field, spoil) in cases {
            let mut request = JobRequest::new(["true"]);
            spoil(&mut request);
            let error = spec_from_request(request).unwrap_err();
            assert_eq!(error.field.as_deref(), Some(field), "{error}");
            assert!(error.remedy.is_some_and(|remedy| !remedy.is_empty()));
        }
    }
}
