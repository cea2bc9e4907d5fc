//! The first step of a task that has limits or a user of its own: a hidden subcommand of the same
//! binary that puts itself into the task's control groups, takes on the user, and then becomes the
//! task's program. `pre_exec` would do the same within one program start, but needs unsafe code.
//! Its standard input is the way back: a reason written there means that the program did not
//! start; it closes without a word when the program begins.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::{Gid, Uid};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

use crate::runner::reason;

/// The exit code of a task whose program did not start.
pub(crate) const FAILED: i32 = 127;

/// What the step is told on its command line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// The files into which to write itself.
    pub(crate) entrances: Vec<PathBuf>,
    /// User, main group and all groups to take on.
    pub(crate) user: Option<(u32, u32, Vec<u32>)>,
    /// The program's file.
    pub(crate) program: PathBuf,
    /// The program's own name and its arguments.
    pub(crate) arguments: Vec<OsString>,
}

impl Plan {
    /// The plan as arguments.
    pub(crate) fn to_args(&self) -> Vec<OsString> {
        let mut args = vec![self.entrances.len().to_string().into()];
        args.extend(
            self.entrances
                .iter()
                .map(|path| path.clone().into_os_string()),
        );
        args.push(
            self.user
                .as_ref()
                .map_or_else(OsString::new, |(uid, gid, groups)| {
                    let numbers: Vec<String> = [uid, gid]
                        .into_iter()
                        .chain(groups)
                        .map(u32::to_string)
                        .collect();
                    numbers.join(",").into()
                }),
        );
        args.push(self.program.clone().into_os_string());
        args.extend(self.arguments.iter().cloned());
        args
    }

    /// Reads the arguments again.
    pub(crate) fn from_args(args: impl IntoIterator<Item = OsString>) -> Option<Self> {
        let mut args = args.into_iter();
        let count: usize = args.next()?.to_str()?.parse().ok()?;
        let entrances: Vec<PathBuf> = args.by_ref().take(count).map(PathBuf::from).collect();
        let user = args.next()?;
        let user = match user.to_str()? {
            "" => None,
            text => {
                let numbers: Result<Vec<u32>, _> = text.split(',').map(str::parse).collect();
                let numbers = numbers.ok()?;
                let (&[uid, gid], groups) = numbers.split_first_chunk::<2>()?;
                Some((uid, gid, groups.to_vec()))
            }
        };
        let program = PathBuf::from(args.next()?);
        Some(Self {
            entrances,
            user,
            program,
            arguments: args.collect(),
        })
    }
}

/// What the hidden subcommand does, given the arguments after it: become the task's program, or
/// tell the runner why not and exit with 127. Call it before any thread is started.
pub fn enter_main(args: impl IntoIterator<Item = OsString>) -> ! {
    let back = io::stdin().as_fd().try_clone_to_owned().map(File::from);
    let null = File::open("/dev/null").and_then(|null| Ok(rustix::stdio::dup2_stdin(&null)?));
    let reason = match (null, Plan::from_args(args)) {
        (Err(error), _) => format!("cannot open /dev/null: {error}"),
        (_, None) => "the command line of the first step is malformed".to_owned(),
        (Ok(()), Some(plan)) => carry_out(&plan),
    };
    if let Ok(mut back) = back {
        let _ = back.write_all(reason.as_bytes());
    }
    std::process::exit(FAILED)
}

/// Returns only if the program does not start, with the reason.
fn carry_out(plan: &Plan) -> String {
    for entrance in &plan.entrances {
        if let Err(error) = fs::write(entrance, "0") {
            return format!(
                "cannot enter the control group `{}`: {error}",
                entrance.display()
            );
        }
    }
    if let Some((uid, gid, groups)) = &plan.user {
        let groups: Vec<Gid> = groups.iter().map(|gid| Gid::from_raw(*gid)).collect();
        let (uid, gid) = (Uid::from_raw(*uid), Gid::from_raw(*gid));
        let taken = set_thread_groups(&groups)
            .and_then(|()| set_thread_res_gid(gid, gid, gid))
            .and_then(|()| set_thread_res_uid(uid, uid, uid));
        if let Err(error) = taken {
            return format!("cannot become user {}: {error}", uid.as_raw());
        }
    }
    let mut command = Command::new(&plan.program);
    if let Some((name, rest)) = plan.arguments.split_first() {
        command.arg0(name).args(rest);
    }
    let error = command.exec();
    reason(&error, &plan.program, Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_survives_the_command_line() {
        let plan = Plan {
            entrances: vec!["/a/cgroup.procs".into(), "/b".into()],
            user: Some((7, 8, vec![9, 10])),
            program: "/bin/sh".into(),
            arguments: vec!["sh".into(), "-c".into(), "".into()],
        };
        assert_eq!(Plan::from_args(plan.to_args()), Some(plan));
        let plain = Plan {
            program: "x".into(),
            ..Plan::default()
        };
        assert_eq!(Plan::from_args(plain.to_args()), Some(plain));
    }

    #[test]
    fn nonsense_is_refused() {
        for args in [
            &[][..],
            &["x"],
            &["1"],
            &["0", "7", "p"],
            &["0", "a,b", "p"],
            &["0", ""],
        ] {
            assert_eq!(Plan::from_args(args.iter().map(OsString::from)), None);
        }
    }
}
