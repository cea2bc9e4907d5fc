//! Job files: a job in TOML. Errors name the file, the line and the key.

use starling_api::{ApiError, JobRequest};

use super::error::CliError;

/// The job in `text`, which was read from `file`.
pub(super) fn parse(file: &str, text: &str) -> Result<JobRequest, CliError> {
    let job: JobRequest = toml::from_str(text).map_err(|error| {
        // The error shows the line with its number and the place in it.
        CliError::Usage(format!("{file}: {}", error.to_string().trim_end()))
    })?;
    if job.command.is_empty() && job.image.is_none() {
        return Err(CliError::Usage(format!(
            "{file}: it has neither `command` nor `image`; give what is to be run, for example \
             command = [\"sleep\", \"5\"]"
        )));
    }
    Ok(job)
}

/// Where and what, for an error that was found after parsing.
pub(super) fn locate(file: &str, text: &str, error: &ApiError) -> String {
    let place = error
        .field
        .as_deref()
        .and_then(|field| line_of(text, field))
        .map_or_else(|| file.to_owned(), |line| format!("{file}:{line}"));
    format!("{place}: {error}")
}

/// The line of the top-level key `field`, from 1.
fn line_of(text: &str, field: &str) -> Option<usize> {
    let field = field.split(['.', '[']).next()?;
    let table = toml::de::DeTable::parse(text).ok()?;
    let (key, _) = table
        .get_ref()
        .iter()
        .find(|(key, _)| key.get_ref() == field)?;
    let before = text.get(..key.span().start)?;
    Some(1 + before.matches('\n').count())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_job_file() {
        let text = "
name = 'digest'
count = 200
command = ['sh', '-c', 'exit 0']
cpu = 0.5
memory = '64MiB'
constraints = ['arch in (x86_64, aarch64)']
restart = 'on-failure'
grace = '5s'
[env]
KEY = 'VALUE'
";
        let job = parse("job.toml", text).unwrap();
        assert_eq!((job.count, job.env.len()), (200, 1));
    }

    #[test]
    fn errors_name_file_line_and_key() {
        let text = "command = ['x']\ncuont = 3\n";
        let error = parse("job.toml", text).unwrap_err();
        let shown = error.to_string();
        assert_eq!(error.code(), 2);
        for part in ["job.toml", "line 2", "cuont", "`count`"] {
            assert!(shown.contains(part), "{part}: {shown}");
        }
        let shown = parse("-", "command = 'x'\n").unwrap_err().to_string();
        assert!(shown.contains("line 1"), "{shown}");
        assert!(parse("-", "").unwrap_err().to_string().contains("command"));

        let text = "# first\ncommand = ['x']\n\ncpu = '0'\n";
        let job = parse("job.toml", text).unwrap();
        let error = job.cpu.unwrap().cpu_millis("cpu").unwrap_err();
        let shown = locate("job.toml", text, &error);
        assert!(shown.starts_with("job.toml:4: cpu: "), "{shown}");
        let shown = locate("job.toml", text, &ApiError::internal("x"));
        assert_eq!(shown, "job.toml: x");
    }
}
