//! The rules of the house, checked: which package may use which, and what the deterministic ones
//! may not touch.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Each package's folder and the packages of this workspace it may depend on.
const ARROWS: [(&str, &str, &[&str]); 10] = [
    ("placement", "starling-placement", &[]),
    ("gossip/wire", "starling-wire", &["starling-placement"]),
    (
        "gossip/core",
        "starling-gossip",
        &["starling-placement", "starling-wire"],
    ),
    ("gossip/net", "starling-net", &["starling-wire"]),
    (
        "node/engine",
        "starling-engine",
        &["starling-gossip", "starling-placement", "starling-wire"],
    ),
    (
        "node/exec",
        "starling-exec",
        &["starling-placement", "starling-wire"],
    ),
    ("node/store", "starling-store", &[]),
    ("node/api", "starling-api", &[]),
    (
        "node/daemon",
        "starling",
        &[
            "starling-api",
            "starling-engine",
            "starling-exec",
            "starling-gossip",
            "starling-net",
            "starling-placement",
            "starling-store",
            "starling-wire",
        ],
    ),
    (
        "testnet",
        "starling-testnet",
        &[
            "starling",
            "starling-api",
            "starling-engine",
            "starling-gossip",
            "starling-placement",
            "starling-wire",
        ],
    ),
];

/// Packages without a clock, I/O, threads or chance of their own.
const PURE: [&str; 4] = ["placement", "gossip/wire", "gossip/core", "node/engine"];

/// What the pure packages may not name.
const OUTSIDE: [&str; 12] = [
    "Instant::now",
    "SystemTime",
    "rand::rng()",
    "thread_rng",
    "SysRng",
    "HashMap",
    "HashSet",
    "std::fs",
    "std::net::",
    "std::thread",
    "std::env",
    "tokio",
];

/// A file that outgrows this has more than one subject.
const MAX_LINES: usize = 600;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

fn sources(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![dir.to_owned()];
    while let Some(dir) = open.pop() {
        let Ok(entries) = fs::read_dir(&dir) else {
            continue;
        };
        for entry in entries {
            let path = entry.unwrap().path();
            if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// The keys below a heading of a manifest.
fn dependencies(manifest: &str, heading: &str) -> BTreeSet<String> {
    manifest
        .lines()
        .skip_while(|line| line.trim() != heading)
        .skip(1)
        .take_while(|line| !line.starts_with('['))
        .filter_map(|line| line.split(['.', ' ', '=']).next())
        .filter(|name| name.starts_with("starling"))
        .map(str::to_owned)
        .collect()
}

#[test]
fn dependencies_point_one_way() {
    let known: BTreeMap<_, _> = ARROWS
        .iter()
        .map(|(dir, name, may)| (*dir, (*name, *may)))
        .collect();
    for (dir, (name, may)) in known {
        let manifest = fs::read_to_string(root().join(dir).join("Cargo.toml")).unwrap();
        assert!(
            manifest.contains(&format!("name = \"{name}\"")),
            "{dir} is not {name}"
        );
        let used = dependencies(&manifest, "[dependencies]");
        let may: BTreeSet<String> = may.iter().map(ToString::to_string).collect();
        let extra: Vec<_> = used.difference(&may).collect();
        assert!(extra.is_empty(), "{name} may not depend on {extra:?}");
    }
}

#[test]
fn only_the_network_crate_names_libp2p() {
    for (dir, name, _) in ARROWS {
        let manifest = fs::read_to_string(root().join(dir).join("Cargo.toml")).unwrap();
        assert_eq!(
            manifest.contains("libp2p"),
            name == "starling-net",
            "{name}"
        );
    }
}

#[test]
fn the_pure_packages_touch_nothing_outside() {
    for dir in PURE {
        for path in sources(&root().join(dir).join("src")) {
            let text = fs::read_to_string(&path).unwrap();
            for (number, line) in (1..).zip(text.lines()) {
                let code = line.split("//").next().unwrap_or_default();
                for word in OUTSIDE {
                    assert!(!code.contains(word), "{}:{number}: {word}", path.display());
                }
            }
        }
    }
}

#[test]
fn files_keep_to_one_subject_and_leave_nothing_open() {
    // Written apart, so that this file does not find itself.
    let open = ["todo", "unimplemented"].map(|word| format!("{word}!("));
    for (dir, _, _) in ARROWS {
        for path in sources(&root().join(dir)) {
            let text = fs::read_to_string(&path).unwrap();
            let lines = text.lines().count();
            assert!(lines <= MAX_LINES, "{} has {lines} lines", path.display());
            for word in &open {
                assert!(!text.contains(word), "{}: {word}", path.display());
            }
        }
    }
}
