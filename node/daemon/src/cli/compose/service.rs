//! One service of a compose file as a job.

use std::path::Path;

use starling_api::{JobRequest, PullPolicy, Quantity, RestartPolicy};

use super::text::{fill, words};
use super::yaml::{Fault, Key, Node, Value};

/// Where a file's variables and files come from.
pub(super) struct Around<'a> {
    pub(super) folder: &'a Path,
    pub(super) variable: &'a dyn Fn(&str) -> Option<String>,
}

/// What a reader of a service says besides the job.
pub(super) type Warnings = Vec<Fault>;

/// Keys that change nothing about what runs here, and why.
const WITHOUT_EFFECT: [(&str, &str); 8] = [
    ("container_name", "containers are named by their task"),
    ("labels", "containers carry Starling's own labels"),
    ("annotations", "they are not passed on"),
    ("expose", "only `ports` lead inside"),
    (
        "healthcheck",
        "health is not looked at; a service runs until it ends",
    ),
    ("logging", "output is kept for `starling logs`"),
    ("hostname", "a container's name is its id"),
    ("develop", "it is for development"),
];

/// The job of a service.
pub(super) fn job(
    name: &Key,
    service: &Node,
    around: &Around<'_>,
    warnings: &mut Warnings,
) -> Result<JobRequest, Fault> {
    let mut job = JobRequest::new([""; 0]);
    job.name = Some(name.text.clone());
    // In the order of the file, except that what `environment` says goes before `env_file`.
    let mut environment = None;
    for (key, node) in map(service, "a service")? {
        if key.text == "environment" {
            environment = Some(node);
        } else {
            field(&mut job, key, node, around, warnings)?;
        }
    }
    if let Some(node) = environment {
        job.env.extend(pairs(node, around)?);
    }
    if job.image.is_none() {
        let text = format!("service `{}` has no image; images are not built", name.text);
        return Err(Fault::new(name.line, text));
    }
    Ok(job)
}

fn field(
    job: &mut JobRequest,
    key: &Key,
    node: &Node,
    around: &Around<'_>,
    warnings: &mut Warnings,
) -> Result<(), Fault> {
    let line = if key.line == 0 { node.line } else { key.line };
    match key.text.as_str() {
        "image" => job.image = Some(scalar(node, around)?),
        "command" => job.command = command(node, around)?,
        "entrypoint" => job.entrypoint = Some(command(node, around)?),
        "env_file" => {
            for path in texts(node, around)? {
                job.env.extend(env_file(node.line, &path, around)?);
            }
        }
        "user" => job.user = Some(scalar(node, around)?),
        "working_dir" => job.dir = Some(scalar(node, around)?),
        "read_only" => job.read_only = Some(truth(node, around)?),
        "ports" => job.ports = texts(node, around)?,
        "volumes" => {
            for text in texts(node, around)? {
                if text.starts_with(['.', '~']) {
                    return Err(Fault::new(
                        node.line,
                        format!(
                            "`{text}` is a folder of this machine, and the service may run on \
                             another; write an absolute path that is there, or a volume's name"
                        ),
                    ));
                }
                job.volumes.push(text);
            }
        }
        "restart" => (job.restart, job.attempts) = restart(node, around)?,
        "pull_policy" => {
            job.pull = Some(match scalar(node, around)?.as_str() {
                "always" => PullPolicy::Always,
                "never" => PullPolicy::Never,
                "missing" | "if_not_present" => PullPolicy::Missing,
                other => {
                    return Err(Fault::new(
                        node.line,
                        format!("`{other}`: write always, never or missing"),
                    ));
                }
            });
        }
        "stop_grace_period" => job.grace = Some(Quantity::Text(scalar(node, around)?)),
        "cpus" => job.cpu = Some(Quantity::Text(scalar(node, around)?)),
        "mem_limit" => job.memory = Some(memory(node, around)?),
        "pids_limit" => job.pids = Some(number(node, around)?),
        "scale" => job.count = number(node, around)?,
        "deploy" => deploy(job, node, around, warnings)?,
        "depends_on" => depends_on(line, node, around, warnings)?,
        other if other.starts_with("x-") => {}
        other => match WITHOUT_EFFECT.iter().find(|(key, _)| *key == other) {
            Some((key, why)) => {
                warnings.push(Fault::new(line, format!("`{key}` has no effect: {why}")));
            }
            None => {
                return Err(Fault::new(
                    line,
                    format!("`{other}` is not supported, and without it something else would run"),
                ));
            }
        },
    }
    Ok(())
}

fn deploy(
    job: &mut JobRequest,
    node: &Node,
    around: &Around<'_>,
    warnings: &mut Warnings,
) -> Result<(), Fault> {
    for (key, node) in map(node, "`deploy`")? {
        match key.text.as_str() {
            "replicas" => job.count = number(node, around)?,
            "resources" => {
                for (key, node) in map(node, "`resources`")? {
                    match key.text.as_str() {
                        "limits" => limits(job, node, around)?,
                        "reservations" => warnings.push(Fault::new(
                            key.line,
                            "`reservations` has no effect: what is limited is what is reserved",
                        )),
                        other => return Err(unknown(key, &format!("deploy.resources.{other}"))),
                    }
                }
            }
            other => return Err(unknown(key, &format!("deploy.{other}"))),
        }
    }
    Ok(())
}

fn limits(job: &mut JobRequest, node: &Node, around: &Around<'_>) -> Result<(), Fault> {
    for (key, node) in map(node, "`limits`")? {
        match key.text.as_str() {
            "cpus" => job.cpu = Some(Quantity::Text(scalar(node, around)?)),
            "memory" => job.memory = Some(memory(node, around)?),
            "pids" => job.pids = Some(number(node, around)?),
            other => {
                let path = format!("deploy.resources.limits.{other}");
                return Err(unknown(key, &path));
            }
        }
    }
    Ok(())
}

/// Only the order of starts is left out; a condition on another service's end or health is not.
fn depends_on(
    line: usize,
    node: &Node,
    around: &Around<'_>,
    warnings: &mut Warnings,
) -> Result<(), Fault> {
    if let Value::Map(map) = &node.value {
        for (key, node) in map {
            for (what, node) in self::map(node, "a dependency")? {
                let condition = what.text == "condition";
                if condition && scalar(node, around)? != "service_started" {
                    return Err(unknown(
                        what,
                        &format!("a condition on `{}` besides service_started", key.text),
                    ));
                }
            }
        }
    } else {
        texts(node, around)?;
    }
    warnings.push(Fault::new(
        line,
        "`depends_on` has no effect: services start at the same time",
    ));
    Ok(())
}

fn unknown(key: &Key, path: &str) -> Fault {
    Fault::new(
        key.line,
        format!("`{path}` is not supported, and without it something else would run"),
    )
}

fn restart(
    node: &Node,
    around: &Around<'_>,
) -> Result<(Option<RestartPolicy>, Option<u32>), Fault> {
    let text = scalar(node, around)?;
    Ok(match text.split_once(':') {
        None => match text.as_str() {
            "no" | "false" => (None, None),
            "always" | "unless-stopped" => (Some(RestartPolicy::Always), None),
            "on-failure" => (Some(RestartPolicy::OnFailure), None),
            _ => return Err(no_restart(node, &text)),
        },
        Some(("on-failure", retries)) => match retries.parse::<u32>() {
            Ok(retries) => (
                Some(RestartPolicy::OnFailure),
                Some(retries.saturating_add(1)),
            ),
            Err(_) => return Err(no_restart(node, &text)),
        },
        Some(_) => return Err(no_restart(node, &text)),
    })
}

fn no_restart(node: &Node, text: &str) -> Fault {
    Fault::new(
        node.line,
        format!("`{text}`: write \"no\", always, unless-stopped, on-failure or on-failure:N"),
    )
}

/// An amount of memory: `64m` of compose is `64MiB` here.
fn memory(node: &Node, around: &Around<'_>) -> Result<Quantity, Fault> {
    let text = scalar(node, around)?.to_ascii_lowercase();
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let unit = match &text[digits..] {
        "" | "b" => "",
        "k" | "kb" => "KiB",
        "m" | "mb" => "MiB",
        "g" | "gb" => "GiB",
        _ => {
            let text = format!("`{text}`: write a whole number with b, k, m or g");
            return Err(Fault::new(node.line, text));
        }
    };
    Ok(Quantity::Text(format!("{}{unit}", &text[..digits])))
}

pub(super) fn map<'a>(node: &'a Node, what: &str) -> Result<&'a [(Key, Node)], Fault> {
    match &node.value {
        Value::Map(map) => Ok(map),
        // Nothing said is an empty map.
        Value::Scalar(text) if is_null(text) => Ok(&[]),
        _ => Err(Fault::new(node.line, format!("{what} is no map"))),
    }
}

pub(super) fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null")
}

fn scalar(node: &Node, around: &Around<'_>) -> Result<String, Fault> {
    match &node.value {
        Value::Scalar(text) => {
            fill(text, around.variable).map_err(|problem| Fault::new(node.line, problem))
        }
        _ => Err(Fault::new(node.line, "a text is wanted here")),
    }
}

/// A text, or a list of texts.
fn texts(node: &Node, around: &Around<'_>) -> Result<Vec<String>, Fault> {
    match &node.value {
        Value::List(list) => list
            .iter()
            .map(|node| match &node.value {
                Value::Scalar(_) => scalar(node, around),
                _ => Err(Fault::new(
                    node.line,
                    "only the short form, a text, is understood here",
                )),
            })
            .collect(),
        _ => Ok(vec![scalar(node, around)?]),
    }
}

fn command(node: &Node, around: &Around<'_>) -> Result<Vec<String>, Fault> {
    match &node.value {
        Value::Scalar(text) if is_null(text) => Ok(Vec::new()),
        Value::Scalar(_) => {
            words(&scalar(node, around)?).map_err(|problem| Fault::new(node.line, problem))
        }
        _ => texts(node, around),
    }
}

fn truth(node: &Node, around: &Around<'_>) -> Result<bool, Fault> {
    match scalar(node, around)?.as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        other => Err(Fault::new(
            node.line,
            format!("`{other}`: write true or false"),
        )),
    }
}

fn number(node: &Node, around: &Around<'_>) -> Result<u32, Fault> {
    let text = scalar(node, around)?;
    let number = text.parse();
    number.map_err(|_| Fault::new(node.line, format!("`{text}` is no whole number from 0")))
}

/// `KEY: VALUE`, or a list of `KEY=VALUE`; a key alone passes a variable of this shell on.
fn pairs(node: &Node, around: &Around<'_>) -> Result<Vec<(String, String)>, Fault> {
    let mut pairs = Vec::new();
    match &node.value {
        Value::Map(map) => {
            for (key, node) in map {
                match &node.value {
                    Value::Scalar(text) if is_null(text) => pass_on(&key.text, around, &mut pairs),
                    _ => pairs.push((key.text.clone(), scalar(node, around)?)),
                }
            }
        }
        _ => {
            for text in texts(node, around)? {
                match text.split_once('=') {
                    Some((key, value)) => pairs.push((key.to_owned(), value.to_owned())),
                    None => pass_on(&text, around, &mut pairs),
                }
            }
        }
    }
    Ok(pairs)
}

/// A variable that is not set is not set inside either.
fn pass_on(key: &str, around: &Around<'_>, pairs: &mut Vec<(String, String)>) {
    pairs.extend((around.variable)(key).map(|value| (key.to_owned(), value)));
}

/// The variables of a file of `KEY=VALUE` lines.
fn env_file(line: usize, path: &str, around: &Around<'_>) -> Result<Vec<(String, String)>, Fault> {
    let file = around.folder.join(path);
    let text = std::fs::read_to_string(&file)
        .map_err(|error| Fault::new(line, format!("env_file {}: {error}", file.display())))?;
    let mut pairs = Vec::new();
    for (number, text) in (1..).zip(text.lines()) {
        let text = text.trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let text = text.strip_prefix("export ").unwrap_or(text);
        let Some((key, value)) = text.split_once('=') else {
            let text = format!("env_file {}:{number}: it has no `=`", file.display());
            return Err(Fault::new(line, text));
        };
        let value = value.trim();
        let quoted = |mark| value.strip_prefix(mark)?.strip_suffix(mark);
        let value = quoted('"').or_else(|| quoted('\'')).unwrap_or(value);
        pairs.push((key.trim().to_owned(), value.to_owned()));
    }
    Ok(pairs)
}
