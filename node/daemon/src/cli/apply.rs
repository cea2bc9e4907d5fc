//! `starling apply`: submit a job file, or the services of a compose file.

use std::io::Read;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use starling_api::{Client, ClientError, Submitted};

use super::connect::Connect;
use super::error::CliError;
use super::run::{Submitting, submit};
use super::{compose, job_file, output};
use crate::http::spec_from_request;

/// The largest job file: the API takes no larger request.
const MAX_FILE: u64 = 256 * 1024;

/// Submit a job from a TOML file, or the services of a compose file
///
/// A job file has the fields of `run`'s flags: command = ["sh", "-c", "exit 0"], and if wanted
/// name, count, cpu, memory, disk, constraints, restart, attempts, grace, dir, user and a table
/// [env]; for containers image, pull, entrypoint, read_only, pids, volumes and ports. A file that is
/// called .yaml or .yml is a compose file: each of its services is submitted as a job.
#[derive(Args, Debug)]
pub(super) struct ApplyArgs {
    /// The file; `-` reads standard input
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    submitting: Submitting,
    #[command(flatten)]
    connect: Connect,
}

pub(super) async fn apply(args: ApplyArgs) -> Result<ExitCode, CliError> {
    let is_compose = compose::is_compose(&args.file);
    let file = args.file.display().to_string();
    let (name, text) = if file == "-" {
        ("standard input".to_owned(), read(std::io::stdin().lock()))
    } else {
        let text = std::fs::File::open(&args.file).and_then(read);
        (file, text)
    };
    let text = text.map_err(|error| CliError::Usage(format!("{name}: {error}")))?;
    if is_compose {
        return services(&args, &compose::parse(&name, &text)?).await;
    }
    let job = job_file::parse(&name, &text)?;
    // Checked here as well, so that the line can be named and a slip costs no round trip.
    spec_from_request(job.clone())
        .map_err(|error| CliError::Usage(job_file::locate(&name, &text, &error)))?;
    let client = args.connect.client()?;
    submit(&client, &job, &args.submitting)
        .await
        .map_err(|error| match error {
            CliError::Client(ClientError::Refused(mut refusal)) if refusal.field.is_some() => {
                let located = job_file::locate(&name, &text, &refusal);
                refusal.field = None;
                refusal.remedy = None;
                refusal.message = located;
                CliError::Client(ClientError::Refused(refusal))
            }
            error => error,
        })
}

/// Submits the services of a compose file: all of them, or none.
async fn services(args: &ApplyArgs, composed: &compose::Composed) -> Result<ExitCode, CliError> {
    for warning in &composed.warnings {
        output::note(&format!("warning: {}", output::plain(warning)));
    }
    let client = args.connect.client()?;
    if let [job] = &composed.jobs[..] {
        return submit(&client, job, &args.submitting).await;
    }
    if args.submitting.wait {
        return Err(CliError::Usage(
            "--wait is for one job, and this file has several services; leave it out".to_owned(),
        ));
    }
    let mut submitted: Vec<Submitted> = Vec::new();
    for job in &composed.jobs {
        match client.submit(job).await {
            Ok(one) => submitted.push(one),
            Err(error) => {
                let service = job.name.as_deref().unwrap_or_default();
                return Err(undo(&client, &submitted, service, error).await);
            }
        }
    }
    if args.submitting.json {
        output::json(&submitted)?;
    } else {
        for (job, one) in composed.jobs.iter().zip(&submitted) {
            let service = output::plain(job.name.as_deref().unwrap_or_default());
            output::line(&format!("{}  {service}", one.job))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A service was not taken: those before it are stopped.
async fn undo(
    client: &Client,
    submitted: &[Submitted],
    service: &str,
    error: ClientError,
) -> CliError {
    output::note(&format!("service {} was not taken", output::plain(service)));
    for one in submitted {
        match client.stop_job(&one.job).await {
            Ok(_) => output::note(&format!("job {} is stopped again", one.job)),
            Err(error) => output::note(&format!("job {} runs on: {error}", one.job)),
        }
    }
    CliError::Client(error)
}

fn read(mut input: impl Read) -> std::io::Result<String> {
    let mut text = String::new();
    let length = input
        .by_ref()
        .take(MAX_FILE + 1)
        .read_to_string(&mut text)?;
    if u64::try_from(length).unwrap_or(u64::MAX) > MAX_FILE {
        let text = format!(
            "it is larger than the {} KiB a job may have",
            MAX_FILE / 1024
        );
        return Err(std::io::Error::other(text));
    }
    Ok(text)
}
