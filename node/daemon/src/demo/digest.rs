//! The real work: SHA-256 over the files of a folder, dealt out to tasks, and the direct
//! computation that their results are checked against.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use crate::cli::DemoArgs;

/// Tasks beside the digests that only sleep, as services would.
pub(super) const SLEEPERS: u32 = 40;
/// Tasks beside the digests that fail once.
pub(super) const FLAKY: u32 = 5;
/// The most files that are digested.
const MAX_FILES: usize = 30_000;
/// The most bytes that are digested.
const MAX_BYTES: u64 = 1 << 30;

/// What is to be digested, and where its parts and results lie.
pub(super) struct Plan {
    pub(super) dir: PathBuf,
    files: Vec<PathBuf>,
    pub(super) bytes: u64,
    tasks: u32,
    list: PathBuf,
    results: PathBuf,
}

/// How the results compare with the direct computation.
pub(super) struct Verified {
    pub(super) files: usize,
    pub(super) right: usize,
    pub(super) tasks: u32,
    pub(super) tasks_found: u32,
}

impl Verified {
    pub(super) const fn is_right(&self) -> bool {
        self.files == self.right && self.tasks == self.tasks_found
    }
}

impl Plan {
    /// Finds the files and deals them out.
    pub(super) fn make(args: &DemoArgs, root: &Path) -> Result<Self, String> {
        let dir = args.dir.clone().or_else(cargo_sources).ok_or(
            "cargo's sources are not where they usually are; say what to digest with --dir DIR",
        )?;
        let mut files = Vec::new();
        let mut bytes = 0;
        find(&dir, &mut files, &mut bytes)
            .map_err(|error| format!("--dir: {} cannot be read: {error}", dir.display()))?;
        if files.is_empty() {
            return Err(format!(
                "--dir: {} holds no files; name another folder",
                dir.display()
            ));
        }
        let tasks = args
            .tasks
            .min(u32::try_from(files.len()).unwrap_or(u32::MAX));
        let list = root.join("files");
        let results = root.join("results");
        let plan = Self {
            dir,
            files,
            bytes,
            tasks,
            list,
            results,
        };
        plan.write()
            .map_err(|error| format!("the list of files cannot be written: {error}"))?;
        Ok(plan)
    }

    fn write(&self) -> io::Result<()> {
        fs::create_dir(&self.results)?;
        let mut list = BufWriter::new(File::create(&self.list)?);
        for (at, file) in (0..).zip(&self.files) {
            // A file's task is its number modulo the number of tasks.
            writeln!(list, "{} {}", at % self.tasks, file.display())?;
        }
        list.flush()
    }

    pub(super) fn files(&self) -> usize {
        self.files.len()
    }

    pub(super) const fn tasks(&self) -> u32 {
        self.tasks
    }

    pub(super) const fn total_tasks(&self) -> u64 {
        self.tasks as u64 + SLEEPERS as u64 + FLAKY as u64
    }

    pub(super) fn command(&self) -> Vec<String> {
        let exe = std::env::current_exe().unwrap_or_else(|_| "starling".into());
        [
            exe.as_os_str(),
            "digest".as_ref(),
            self.list.as_os_str(),
            self.results.as_os_str(),
        ]
        .map(|part| part.to_string_lossy().into_owned())
        .to_vec()
    }

    /// Collects what the tasks wrote and compares it with a direct computation.
    pub(super) fn verify(&self) -> Result<Verified, String> {
        let mut found: BTreeMap<String, String> = BTreeMap::new();
        let mut tasks_found = 0;
        for task in 0..self.tasks {
            let Ok(text) = fs::read_to_string(self.results.join(task.to_string())) else {
                continue;
            };
            tasks_found += 1;
            found.extend(text.lines().filter_map(|line| {
                let (digest, path) = line.split_once(' ')?;
                Some((path.to_owned(), digest.to_owned()))
            }));
        }
        let mut right = 0;
        for file in &self.files {
            let digest = digest_file(file)
                .map_err(|error| format!("{} cannot be digested: {error}", file.display()))?;
            right += usize::from(found.get(&file.display().to_string()) == Some(&digest));
        }
        Ok(Verified {
            files: self.files.len(),
            right,
            tasks: self.tasks,
            tasks_found,
        })
    }
}

fn cargo_sources() -> Option<PathBuf> {
    let home = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo")))?;
    Some(home.join("registry").join("src")).filter(|dir| dir.is_dir())
}

/// Collects regular files with readable names, in a fixed order, up to the limits.
fn find(dir: &Path, files: &mut Vec<PathBuf>, bytes: &mut u64) -> io::Result<()> {
    let mut entries: Vec<_> = fs::read_dir(dir)?.collect::<Result<_, _>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        if files.len() >= MAX_FILES || *bytes >= MAX_BYTES {
            break;
        }
        let (path, kind) = (entry.path(), entry.file_type()?);
        let nameable = path.to_str().is_some_and(|name| !name.contains('\n'));
        if kind.is_dir() {
            find(&path, files, bytes)?;
        } else if kind.is_file() && nameable && File::open(&path).is_ok() {
            *bytes += entry.metadata()?.len();
            files.push(path);
        }
    }
    Ok(())
}

fn digest_file(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(HEXLOWER.encode(&digest.finalize())),
            read => digest.update(&buffer[..read]),
        }
    }
}

/// One digest task: its part of the list, written whole or not at all.
pub(crate) fn digest_task(list: &Path, results: &Path) -> io::Result<()> {
    let variable = |name: &str| {
        std::env::var(name).map_err(|_| io::Error::other(format!("{name} is not set")))
    };
    let (index, epoch) = (variable("STARLING_INDEX")?, variable("STARLING_EPOCH")?);
    let mut result = String::new();
    for line in fs::read_to_string(list)?.lines() {
        if let Some((task, path)) = line.split_once(' ')
            && task == index
        {
            result.push_str(&format!("{} {path}\n", digest_file(Path::new(path))?));
        }
    }
    // Two copies of a task, of different epochs, do not write into one file.
    let fresh = results.join(format!("{index}.{epoch}"));
    fs::write(&fresh, &result)?;
    fs::rename(&fresh, results.join(&index))?;
    print!("{result}");
    Ok(())
}
