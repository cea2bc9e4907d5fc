//! `starling apply`: submit a job file.

use std::io::Read;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use starling_api::ClientError;

use super::connect::Connect;
use super::error::CliError;
use super::job_file;
use super::run::{Submitting, submit};
use crate::http::spec_from_request;

/// The largest job file: the API takes no larger request.
const MAX_FILE: u64 = 256 * 1024;

/// Submit a job from a TOML file
///
/// A job file has the fields of `run`'s flags: command = ["sh", "-c", "exit 0"], and if wanted
/// name, count, cpu, memory, disk, constraints, restart, attempts, grace, dir, user and a table
/// [env].
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
    let file = args.file.display().to_string();
    let (name, text) = if file == "-" {
        ("standard input".to_owned(), read(std::io::stdin().lock()))
    } else {
        let text = std::fs::File::open(&args.file).and_then(read);
        (file, text)
    };
    let text = text.map_err(|error| CliError::Usage(format!("{name}: {error}")))?;
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
