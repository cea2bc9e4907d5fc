//! Compose files: each service becomes a job whose tasks are containers. The part that makes sense
//! on several machines is understood; of the rest each key is named with its line, as an error where
//! leaving it out would change what runs, as a warning where not.

mod service;
mod text;
mod yaml;

use std::collections::BTreeSet;
use std::path::Path;

use starling_api::JobRequest;

use super::error::CliError;
use crate::http::spec_from_request;
use service::{Around, Warnings, is_null, job, map};
use yaml::{Fault, Key, Node, Value};

/// What a compose file asks for.
#[derive(Debug)]
pub(super) struct Composed {
    /// A job for each service, in the order of the file.
    pub(super) jobs: Vec<JobRequest>,
    /// What has no effect, each with its line.
    pub(super) warnings: Vec<String>,
}

/// Whether a file is a compose file, by its name.
pub(super) fn is_compose(file: &Path) -> bool {
    let extension = file.extension().and_then(|extension| extension.to_str());
    matches!(extension, Some("yaml" | "yml"))
}

/// Reads the compose file `name` with this text; `env_file`s lie beside it, and variables come from
/// this process's environment.
pub(super) fn parse(name: &str, text: &str) -> Result<Composed, CliError> {
    let folder = Path::new(name).parent().unwrap_or_else(|| Path::new(""));
    let around = Around {
        folder,
        variable: &|name| std::env::var(name).ok(),
    };
    let located = |fault: &Fault| format!("{name}:{}: {}", fault.line, fault.text);
    let (jobs, warnings) = read(text, &around).map_err(|fault| CliError::Usage(located(&fault)))?;
    Ok(Composed {
        jobs,
        warnings: warnings.iter().map(located).collect(),
    })
}

fn read(text: &str, around: &Around<'_>) -> Result<(Vec<JobRequest>, Warnings), Fault> {
    let root = yaml::read(text)?;
    let mut warnings = Vec::new();
    let mut services: &[(Key, Node)] = &[];
    let mut volumes = BTreeSet::new();
    for (key, node) in map(&root, "a compose file")? {
        match key.text.as_str() {
            "services" => services = map(node, "`services`")?,
            "volumes" => {
                for (key, node) in map(node, "`volumes`")? {
                    plain_volume(key, node)?;
                    volumes.insert(key.text.as_str());
                }
            }
            "name" | "version" => {}
            other if other.starts_with("x-") => {}
            other => {
                let text =
                    format!("`{other}` is not supported, and without it something else would run");
                return Err(Fault::new(key.line, text));
            }
        }
    }
    if services.is_empty() {
        return Err(Fault::new(root.line, "it has no services"));
    }
    let mut jobs = Vec::new();
    for (key, node) in services {
        let job = job(key, node, around, &mut warnings)?;
        for volume in &job.volumes {
            let source = volume.split(':').next().unwrap_or_default();
            if !source.starts_with('/') && !volumes.contains(source) {
                let text = format!("`{source}` is not among the volumes at the file's top");
                return Err(Fault::new(node.line, text));
            }
        }
        // What the daemon would refuse is refused here, where the line is known.
        spec_from_request(job.clone()).map_err(|error| {
            let line = line_of(node, error.field.as_deref().unwrap_or_default());
            Fault::new(line, format!("service `{}`: {error}", key.text))
        })?;
        jobs.push(job);
    }
    if let [_, (second, _), ..] = services {
        warnings.push(Fault::new(
            second.line,
            "services do not find one another by name: publish a port, and tell its address",
        ));
    }
    Ok((jobs, warnings))
}

/// A volume at the file's top may only be named: drivers and options would make it another one.
fn plain_volume(key: &Key, node: &Node) -> Result<(), Fault> {
    let plain = match &node.value {
        Value::Scalar(text) => is_null(text),
        Value::Map(map) => map.is_empty(),
        Value::List(_) => false,
    };
    if plain {
        return Ok(());
    }
    let text = format!("volume `{}` has options, which are not supported", key.text);
    Err(Fault::new(key.line, text))
}

/// The line of the key that a job's field came from, else of the service.
fn line_of(service: &Node, field: &str) -> usize {
    let names: &[&str] = match field {
        "dir" => &["working_dir"],
        "env" => &["environment", "env_file"],
        "grace" => &["stop_grace_period"],
        "memory" => &["mem_limit", "deploy"],
        "cpu" => &["cpus", "deploy"],
        "pids" => &["pids_limit", "deploy"],
        "count" => &["deploy", "scale"],
        "attempts" => &["restart"],
        other => &[other][..],
    };
    let keys = map(service, "").unwrap_or_default();
    let found = names
        .iter()
        .find_map(|name| keys.iter().find(|(key, _)| key.text == *name));
    found.map_or(service.line, |(_, node)| node.line)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use starling_api::RestartPolicy;

    fn composed(text: &str) -> Result<(Vec<JobRequest>, Warnings), Fault> {
        let around = Around {
            folder: Path::new("/nonexistent"),
            variable: &|name| (name == "TAG").then(|| "16".to_owned()),
        };
        read(text, &around)
    }

    #[test]
    fn a_whole_file_becomes_jobs() {
        let text = r#"
version: "3.8"
x-common: &common
  restart: unless-stopped
  environment:
    TZ: Europe/Berlin
services:
  web:
    <<: *common
    image: nginx:1.27
    command: nginx -g 'daemon off;'
    ports: ["8080:80"]
    volumes:
      - /srv/www:/usr/share/nginx/html:ro
    depends_on: [db]
    read_only: true
    user: "101:101"
    stop_grace_period: 30s
    deploy:
      replicas: 3
      resources:
        limits: {cpus: "0.5", memory: 64M, pids: 50}
  db:
    image: postgres:${TAG}-alpine
    container_name: db
    entrypoint: ["/entry", "postgres"]
    environment: [POSTGRES_PASSWORD=a$$b, UNSET]
    volumes: ["pg:/var/lib/postgresql/data"]
    restart: on-failure:4
volumes:
  pg:
"#;
        let (jobs, warnings) = composed(text).unwrap();
        let [web, db] = &jobs[..] else {
            panic!("{jobs:?}")
        };
        assert_eq!(web.name.as_deref(), Some("web"));
        assert_eq!(web.command, ["nginx", "-g", "daemon off;"]);
        assert_eq!((web.count, web.pids), (3, Some(50)));
        assert_eq!(web.restart, Some(RestartPolicy::Always));
        assert_eq!(web.env["TZ"], "Europe/Berlin");
        let spec = spec_from_request(web.clone()).unwrap();
        assert_eq!(
            (spec.cpu_limit, spec.memory_limit),
            (Some(500), Some(64 << 20))
        );
        assert_eq!(spec.grace_ms, 30_000);
        assert_eq!(db.image.as_deref(), Some("postgres:16-alpine"));
        assert_eq!(db.entrypoint.as_ref().unwrap().len(), 2);
        assert_eq!(db.env.len(), 1);
        assert_eq!(db.env["POSTGRES_PASSWORD"], "a$b");
        assert_eq!(
            (db.restart, db.attempts),
            (Some(RestartPolicy::OnFailure), Some(5))
        );
        let lines: Vec<usize> = warnings.iter().map(|warning| warning.line).collect();
        assert_eq!(lines, [15, 25, 23], "{warnings:?}");
    }

    #[test]
    fn what_would_run_otherwise_is_an_error_with_its_line() {
        for (extra, line, part) in [
            ("privileged: true", 4, "privileged"),
            ("networks: [x]", 4, "networks"),
            ("cap_add: [ALL]", 4, "cap_add"),
            ("ports: [\"80\"]", 4, "ports"),
            ("ports:\n      - target: 80", 5, "short form"),
            ("volumes: [\"./x:/x\"]", 4, "absolute path"),
            ("volumes: [\"data:/x\"]", 3, "`data` is not among"),
            ("restart: sometimes", 4, "unless-stopped"),
            ("deploy: {placement: {}}", 4, "deploy.placement"),
            ("mem_limit: lots", 4, "whole number"),
            ("mem_limit: 1m", 4, "6MiB"),
            ("environment: {A: $B}", 4, "variable B"),
            ("env_file: no.env", 4, "no.env"),
            (
                "depends_on: {x: {condition: service_healthy}}",
                4,
                "condition on `x`",
            ),
            ("read_only: maybe", 4, "true or false"),
            ("image: b", 4, "twice"),
            ("command: \"a 'b\"", 4, "quotation"),
            ("cpus: 0", 4, "cpu"),
        ] {
            let text = format!("services:\n  a:\n    image: x\n    {extra}\n");
            let fault = composed(&text).unwrap_err();
            assert!(fault.text.contains(part), "{extra}: {fault:?}");
            assert_eq!(fault.line, line, "{extra}: {fault:?}");
        }
        for (text, line, part) in [
            ("services:\n  a:\n    build: .\n", 3, "build"),
            ("services:\n  a:\n    user: x\n", 2, "no image"),
            ("services: {}\n", 1, "no services"),
            ("secrets:\n  x: {}\n", 1, "secrets"),
            ("services:\n  - a\n", 2, "no map"),
            (
                "volumes:\n  a: {driver: nfs}\nservices: {b: {image: x}}\n",
                2,
                "options",
            ),
            ("a: [\n", 2, ""),
        ] {
            let fault = composed(text).unwrap_err();
            assert!(fault.text.contains(part), "{text}: {fault:?}");
            assert_eq!(fault.line, line, "{text}: {fault:?}");
        }
    }
}
