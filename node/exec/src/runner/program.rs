//! Which file a command names, and a clear word when it cannot be run. The search is done here and
//! not by the kernel's callers, so that "no such program" and "no such directory" are told apart
//! (both are ENOENT), and so that std keeps to its fast `posix_spawn` path when a task sets `PATH`.

use std::ffi::OsStr;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

/// The file that `program` names, looked for in the directories of `path` if it has no slash.
/// `dir` is the task's working directory, against which relative entries count.
pub(super) fn resolve(program: &str, path: &OsStr, dir: &Path) -> Result<PathBuf, String> {
    if program.is_empty() {
        return Err("the command is empty: no such program on this node".to_owned());
    }
    if program.contains('/') {
        return Ok(PathBuf::from(program));
    }
    let mut denied = None;
    for entry in std::env::split_paths(path) {
        let candidate = entry.join(program);
        let absolute = if candidate.is_absolute() {
            candidate
        } else {
            dir.join(candidate)
        };
        match std::fs::metadata(&absolute) {
            Ok(meta) if meta.is_file() && meta.permissions().mode() & 0o111 != 0 => {
                return Ok(std::path::absolute(&absolute).unwrap_or(absolute));
            }
            Ok(meta) if meta.is_file() => denied = Some(absolute),
            _ => {}
        }
    }
    Err(denied.map_or_else(
        || format!("`{program}`: no such program on this node"),
        |file| {
            format!(
                "`{}`: permission denied (it is not executable)",
                file.display()
            )
        },
    ))
}

/// Whether a start that failed like this may succeed a moment later.
pub(super) fn is_passing(error: &io::Error) -> bool {
    let passing = [
        Errno::AGAIN,
        Errno::MFILE,
        Errno::NFILE,
        Errno::NOMEM,
        Errno::TXTBSY,
        Errno::INTR,
    ];
    Errno::from_io_error(error).is_some_and(|errno| passing.contains(&errno))
}

/// Says for people why `program` could not be started in `dir`.
pub(crate) fn reason(error: &io::Error, program: &Path, dir: &Path) -> String {
    let shown = program.display();
    let found = std::fs::metadata(dir.join(program));
    match std::fs::metadata(dir) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            return format!(
                "`{}`: permission denied to enter the directory",
                dir.display()
            );
        }
        Err(_) => return format!("`{}`: no such directory on this node", dir.display()),
        Ok(meta) if !meta.is_dir() => return format!("`{}`: not a directory", dir.display()),
        Ok(_) => {}
    }
    match Errno::from_io_error(error) {
        Some(Errno::NOENT) if found.is_ok() => {
            format!("`{shown}`: the interpreter or loader it names is not on this node")
        }
        Some(Errno::NOENT | Errno::NOTDIR) => format!("`{shown}`: no such program on this node"),
        Some(Errno::ACCESS | Errno::PERM) => match found {
            Ok(meta) if meta.is_dir() => {
                format!("`{shown}`: permission denied (it is a directory)")
            }
            _ => format!("`{shown}`: permission denied"),
        },
        Some(Errno::NOEXEC) => {
            format!("`{shown}`: not a program for this machine (wrong format or architecture)")
        }
        Some(Errno::TOOBIG) => {
            format!("`{shown}`: arguments and environment are too long for this kernel")
        }
        _ => format!("`{shown}`: {error}"),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_or_the_reason_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let here = dir.path();
        std::fs::write(here.join("plain"), "").unwrap();
        assert!(
            resolve("sh", OsStr::new("/usr/bin:/bin"), here)
                .unwrap()
                .is_absolute()
        );
        assert_eq!(
            resolve("./x", OsStr::new(""), here).unwrap(),
            Path::new("./x")
        );
        let error = resolve("plain", here.as_os_str(), here).unwrap_err();
        assert!(error.contains("permission denied"), "{error}");
        let error = resolve("nowhere", here.as_os_str(), here).unwrap_err();
        assert!(error.contains("no such program on this node"), "{error}");
        assert!(resolve("", OsStr::new(""), here).is_err());
    }

    #[test]
    fn a_missing_directory_is_not_a_missing_program() {
        let error = io::Error::from_raw_os_error(2);
        let text = reason(&error, Path::new("/bin/sh"), Path::new("/nonexistent"));
        assert!(text.contains("no such directory"), "{text}");
        let text = reason(&error, Path::new("/nonexistent"), Path::new("/"));
        assert!(text.contains("no such program"), "{text}");
    }
}
