//! Machines that can be cut off: network namespaces on one bridge, which is in a namespace of its
//! own, away from this machine's firewall. Needs root and iproute2; all goes when it is dropped.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// The first three numbers of all addresses; a range for documentation, so that no real network
/// is hidden.
const NETWORK: &str = "192.0.2";
/// The bridges, in the namespace of the hub: one for all machines, and one for those that are parted
/// from them.
const BRIDGES: [&str; 2] = ["bridge", "apart"];

/// Counts what this process has laid.
static NUMBER: AtomicU32 = AtomicU32::new(0);

/// Namespaces, their links, and the bridge between them.
#[derive(Debug)]
pub struct Wires {
    /// Begins all names; holds this process's id and a number, so that two of them do not meet.
    prefix: String,
    machines: usize,
}

impl Wires {
    /// So many machines on one bridge, or why that cannot be.
    pub fn lay(machines: usize) -> Result<Self, String> {
        if !rustix::process::geteuid().is_root() {
            return Err("network namespaces need root".to_owned());
        }
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("sb{}-{number}", std::process::id());
        // Made before the first link: what fails half-way is removed as well.
        let wires = Self { prefix, machines };
        let hub = wires.hub();
        ip(&["netns", "add", &hub])?;
        for bridge in BRIDGES {
            ip(&["-n", &hub, "link", "add", bridge, "type", "bridge"])?;
            ip(&["-n", &hub, "link", "set", bridge, "up"])?;
        }
        for at in 0..machines {
            let (space, outer, address) = (wires.space(at), outer(at), address(at));
            ip(&["netns", "add", &space])?;
            let inner = ["peer", "name", "eth0", "netns", &space];
            ip(&[
                &["-n", &hub, "link", "add", &outer, "type", "veth"][..],
                &inner,
            ]
            .concat())?;
            ip(&[
                "-n", &hub, "link", "set", &outer, "master", BRIDGES[0], "up",
            ])?;
            ip(&["-n", &space, "addr", "add", &address, "dev", "eth0"])?;
            ip(&["-n", &space, "link", "set", "eth0", "up"])?;
            ip(&["-n", &space, "link", "set", "lo", "up"])?;
        }
        Ok(wires)
    }

    /// A program that starts `exe` on the machine that its `--name node-N` names, and has it listen
    /// there.
    pub fn program(&self, dir: &Path, exe: &Path) -> io::Result<PathBuf> {
        let path = dir.join("up-on-its-machine");
        let (prefix, exe) = (&self.prefix, exe.display());
        let text = format!(
            "#!/bin/sh\nn=${{3#node-}}\nexec ip netns exec {prefix}n$n '{exe}' \"$@\" \
             --listen /ip4/{NETWORK}.$((n + 1))/tcp/4310\n"
        );
        std::fs::write(&path, text)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700))?;
        Ok(path)
    }

    /// Lets all packets from and to a machine vanish; its link stays up, so that nobody is told.
    pub fn cut(&self, at: usize) -> Result<(), String> {
        ip(&["-n", &self.hub(), "link", "set", &outer(at), "nomaster"])
    }

    /// Undoes a cut, or a parting.
    pub fn mend(&self, at: usize) -> Result<(), String> {
        self.join(at, BRIDGES[0])
    }

    /// Parts a machine from the others, except from those that are parted too.
    pub fn part(&self, at: usize) -> Result<(), String> {
        self.join(at, BRIDGES[1])
    }

    fn join(&self, at: usize, bridge: &str) -> Result<(), String> {
        let (hub, outer) = (self.hub(), outer(at));
        ip(&["-n", &hub, "link", "set", &outer, "master", bridge])
    }

    fn hub(&self) -> String {
        format!("{}hub", self.prefix)
    }

    fn space(&self, at: usize) -> String {
        format!("{}n{at}", self.prefix)
    }
}

impl Drop for Wires {
    fn drop(&mut self) {
        // Links go with their namespaces; some may never have been made.
        for space in (0..self.machines)
            .map(|at| self.space(at))
            .chain([self.hub()])
        {
            let _ = ip(&["netns", "del", &space]);
        }
    }
}

fn outer(at: usize) -> String {
    format!("port{at}")
}

fn address(at: usize) -> String {
    format!("{NETWORK}.{}/24", at + 1)
}

fn ip(args: &[&str]) -> Result<(), String> {
    let output = Command::new("ip").args(args).stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("`ip` (iproute2) does not run: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let problem = String::from_utf8_lossy(&output.stderr);
    Err(format!("`ip {}`: {}", args.join(" "), problem.trim()))
}
