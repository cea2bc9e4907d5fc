//! Where this process stands in the control group hierarchies: `/proc/self/mountinfo` says where
//! they are mounted, `/proc/self/cgroup` which group of each holds the process.

use std::fs;
use std::path::{Path, PathBuf};

/// One hierarchy, seen from this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Where it is mounted.
    pub(crate) mount: PathBuf,
    /// The group that holds this process.
    pub(crate) own: PathBuf,
    /// Its version 1 controllers; none for version 2.
    controllers: Option<Vec<String>>,
}

impl Place {
    /// The groups below which Starling may try to make its own: this process's and its parent.
    pub(crate) fn candidates(&self) -> Vec<&Path> {
        let parent = self
            .own
            .parent()
            .filter(|parent| parent.starts_with(&self.mount));
        [Some(self.own.as_path()), parent]
            .into_iter()
            .flatten()
            .collect()
    }

    /// This process's group and those it lies in, up to the mount.
    pub(crate) fn ancestors(&self) -> impl Iterator<Item = &Path> {
        self.own
            .ancestors()
            .take_while(|dir| dir.starts_with(&self.mount))
    }
}

/// Every hierarchy there is.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Hierarchies {
    places: Vec<Place>,
}

impl Hierarchies {
    /// Those this process is in.
    pub(crate) fn of_this_process() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        Self::parse(&read("/proc/self/mountinfo"), &read("/proc/self/cgroup"))
    }

    fn parse(mountinfo: &str, groups: &str) -> Self {
        let places = mountinfo
            .lines()
            .filter_map(|line| parse_mount(line, groups))
            .collect();
        Self { places }
    }

    /// All of them.
    pub(crate) fn all(&self) -> &[Place] {
        &self.places
    }

    /// The one of version 2.
    pub(crate) fn v2(&self) -> Option<&Place> {
        self.places.iter().find(|place| place.controllers.is_none())
    }

    /// The one of version 1 that has this controller.
    pub(crate) fn v1(&self, controller: &str) -> Option<&Place> {
        self.places.iter().find(|place| {
            place
                .controllers
                .iter()
                .flatten()
                .any(|offered| offered == controller)
        })
    }
}

fn parse_mount(line: &str, groups: &str) -> Option<Place> {
    let (front, back) = line.split_once(" - ")?;
    let mut front = front.split(' ').skip(3);
    let (root, mount) = (
        unescape(front.next()?),
        PathBuf::from(unescape(front.next()?)),
    );
    let mut back = back.split(' ');
    let kind = back.next()?;
    let options: Vec<&str> = back.nth(1)?.split(',').collect();
    let mut lines = groups.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        Some((parts.next()?, parts.next()?))
    });
    let (controllers, group) = match kind {
        "cgroup2" => (None, lines.find(|(names, _)| names.is_empty())?.1),
        "cgroup" => {
            let (names, group) = lines.find(|(names, _)| {
                !names.is_empty() && names.split(',').all(|name| options.contains(&name))
            })?;
            (Some(names.split(',').map(str::to_owned).collect()), group)
        }
        _ => return None,
    };
    // Inside a container the mount shows a part of the hierarchy only.
    let below = Path::new(group)
        .strip_prefix(&root)
        .unwrap_or_else(|_| Path::new(""));
    let own = Some(mount.join(below)).filter(|own| own.is_dir());
    Some(Place {
        own: own.unwrap_or_else(|| mount.clone()),
        mount,
        controllers,
    })
}

/// Undoes the octal escapes of mountinfo that can occur in a path.
fn unescape(text: &str) -> String {
    text.replace("\\040", " ")
        .replace("\\011", "\t")
        .replace("\\012", "\n")
        .replace("\\134", "\\")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_are_found() {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().display();
        fs::create_dir_all(dir.path().join("memory/a/b")).unwrap();
        let mounts = format!(
            "30 31 0:29 / {at}/cpu rw,relatime - cgroup cgroup rw,cpu,cpuacct\n\
             35 31 0:32 /top {at}/memory rw,relatime shared:3 - cgroup cgroup rw,memory\n\
             41 31 0:38 / {at}/unified rw - cgroup2 cgroup2 rw\nnonsense\n"
        );
        let groups = "4:memory:/top/a/b\n3:cpu,cpuacct:/gone\n0::/\nnonsense\n";
        let found = Hierarchies::parse(&mounts, groups);
        let memory = found.v1("memory").unwrap();
        assert_eq!(memory.own, dir.path().join("memory/a/b"));
        assert_eq!(memory.ancestors().count(), 3);
        assert_eq!(memory.candidates().len(), 2);
        assert_eq!(found.v1("cpuacct").unwrap().own, dir.path().join("cpu"));
        assert_eq!(
            found.v2().unwrap().candidates(),
            [dir.path().join("unified").as_path()]
        );
        assert_eq!((found.v1("pids"), found.all().len()), (None, 3));
    }
}
