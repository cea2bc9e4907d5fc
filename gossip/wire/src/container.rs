//! What a job says besides when its tasks are containers.

// The value alone; what opens sockets is not in `core`.
use core::net::Ipv4Addr;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::job::SpecError;

/// The most bytes of an image's name.
pub const MAX_IMAGE: usize = 255;
/// The least memory limit that container engines accept, in bytes.
pub const MIN_MEMORY: u64 = 6 << 20;
/// The most volumes, and the most ports, of a task.
pub const MAX_LISTED: usize = 64;

/// When an image is fetched from its registry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Pull {
    /// When the node does not have it.
    #[default]
    #[serde(rename = "missing")]
    Missing,
    /// Never: the node must have it.
    #[serde(rename = "never")]
    Never,
    /// Before each start.
    #[serde(rename = "always")]
    Always,
}

/// What a job says besides when its tasks are containers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Container {
    /// The image, by name and tag or digest.
    pub image: String,
    /// When it is fetched.
    pub pull: Pull,
    /// Replaces the image's entry point; none keeps it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<Vec<String>>,
    /// Whether the root file system cannot be written to.
    pub read_only: bool,
    /// The most processes and threads; none is no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pids: Option<u32>,
    /// What is mounted.
    pub volumes: Vec<Volume>,
    /// What is reachable from outside.
    pub ports: Vec<Port>,
}

/// A folder of the node, or a volume of its engine, inside the container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Volume {
    /// An absolute path of the node, which must exist, or the name of a volume, which is made if it
    /// is missing and is never removed.
    pub source: String,
    /// The absolute path inside.
    pub target: String,
    /// Whether it cannot be written to.
    pub read_only: bool,
}

/// How a port is spoken to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Transport {
    /// TCP.
    #[default]
    #[serde(rename = "tcp")]
    Tcp,
    /// UDP.
    #[serde(rename = "udp")]
    Udp,
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

/// A port of the node that leads to one of the container.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Port {
    /// The node's address that listens; none is each of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<Ipv4Addr>,
    /// The node's port.
    pub host: u16,
    /// The container's port.
    pub inside: u16,
    /// TCP or UDP.
    pub transport: Transport,
}

impl Container {
    /// Checks every range that does not depend on a node.
    pub(crate) fn check(&self) -> Result<(), SpecError> {
        check_image(&self.image)?;
        let words = self.entrypoint.iter().flatten();
        let nul = words.clone().any(|word| word.contains('\0'));
        if nul || (self.entrypoint.is_some() && words.count() == 0) {
            return Err(SpecError::new(
                "entrypoint",
                "it is empty or holds a NUL byte",
                "give a program and its arguments, or leave it out to keep the image's",
            ));
        }
        if self.pids == Some(0) {
            return Err(SpecError::new(
                "pids",
                "zero",
                "ask for at least 1, or leave it out",
            ));
        }
        let lists = [("volumes", self.volumes.len()), ("ports", self.ports.len())];
        for (field, length) in lists {
            if length > MAX_LISTED {
                return Err(SpecError::new(
                    field,
                    format!("{length} of them"),
                    format!("give at most {MAX_LISTED}"),
                ));
            }
        }
        let mut targets: Vec<_> = self.volumes.iter().map(|v| v.target.as_str()).collect();
        targets.sort_unstable();
        if let Some(twice) = targets.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(SpecError::new(
                "volumes",
                format!("two are mounted at {}", twice[0]),
                "give each a path of its own",
            ));
        }
        // What came by the wire was not necessarily parsed from text.
        for volume in &self.volumes {
            volume.to_string().parse::<Volume>()?;
        }
        for port in &self.ports {
            port.to_string().parse::<Port>()?;
        }
        Ok(())
    }

    /// What people call the image: without registry, folder and digest.
    pub(crate) fn short_image(&self) -> &str {
        let name = self.image.split('@').next().unwrap_or_default();
        name.rsplit('/').next().unwrap_or(name)
    }
}

/// Checks that `image` names an image, by tag or digest or neither.
pub fn check_image(image: &str) -> Result<(), SpecError> {
    let wrong = |problem: String| {
        Err(SpecError::new(
            "image",
            problem,
            "write NAME:TAG or NAME@sha256:DIGEST, for example `alpine:3.20` or \
             `registry.lan:5000/team/app:1.4`",
        ))
    };
    if image.is_empty() || image.len() > MAX_IMAGE {
        return wrong(format!("it is empty or longer than {MAX_IMAGE} bytes"));
    }
    let shown = || image.escape_debug().take(80).collect::<String>();
    let (name, digest) = match image.split_once('@') {
        Some((name, digest)) => (name, Some(digest)),
        None => (image, None),
    };
    if let Some(digest) = digest {
        let hex = digest.strip_prefix("sha256:").unwrap_or_default();
        if hex.len() != 64 || !hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return wrong(format!("`{}` ends in no sha256 digest", shown()));
        }
    }
    // A colon before the last slash belongs to a registry's port.
    let (path, tag) = match name.rsplit_once(':') {
        Some((path, tag)) if !tag.contains('/') => (path, Some(tag)),
        _ => (name, None),
    };
    if let Some(tag) = tag {
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let good = tag.starts_with(word) && tag.chars().all(|c| word(c) || ".-".contains(c));
        if !good || tag.len() > 128 {
            return wrong(format!("`{}` ends in no tag", shown()));
        }
    }
    let (registry, rest) = match path.split_once('/') {
        Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => {
            (Some(first), rest)
        }
        _ => (None, path),
    };
    let registry_is_good = registry.is_none_or(|registry| {
        let letter = |c: char| c.is_ascii_alphanumeric() || ".-:".contains(c);
        registry.starts_with(|c: char| c.is_ascii_alphanumeric()) && registry.chars().all(letter)
    });
    let part = |part: &str| {
        let edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        part.starts_with(edge)
            && part.ends_with(edge)
            && part.chars().all(|c| edge(c) || "._-".contains(c))
    };
    if !registry_is_good || !rest.split('/').all(part) {
        return wrong(format!("`{}` names no image", shown()));
    }
    Ok(())
}

impl FromStr for Volume {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let wrong = |problem: &str| {
            let shown: String = text.escape_debug().take(80).collect();
            SpecError::new(
                "volumes",
                format!("`{shown}`: {problem}"),
                "write SOURCE:TARGET or SOURCE:TARGET:ro, where SOURCE is an absolute path of the \
                 node or a volume's name, for example `/srv/media:/media:ro` or `data:/var/lib/data`",
            )
        };
        let parts: Vec<&str> = text.split(':').collect();
        let (source, target, read_only) = match parts[..] {
            [source, target] => (source, target, false),
            [source, target, "ro"] => (source, target, true),
            [source, target, "rw"] => (source, target, false),
            [_, _, _] => return Err(wrong("after the second colon comes `ro` or `rw`")),
            _ => return Err(wrong("it has not two or three parts")),
        };
        if text.contains(char::is_control) {
            return Err(wrong("it holds control characters"));
        }
        if !target.starts_with('/') || target == "/" {
            return Err(wrong(
                "the path inside is not absolute, or is the root itself",
            ));
        }
        if !source.starts_with('/') {
            let word = |c: char| c.is_ascii_alphanumeric();
            let named =
                source.starts_with(word) && source.chars().all(|c| word(c) || "_.-".contains(c));
            if !named || source.len() < 2 {
                return Err(wrong(
                    "the source is neither an absolute path nor a volume's name (two or more \
                     letters, digits, `_`, `.`, `-`)",
                ));
            }
        }
        Ok(Self {
            source: source.to_owned(),
            target: target.to_owned(),
            read_only,
        })
    }
}

impl fmt::Display for Volume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ro = if self.read_only { ":ro" } else { "" };
        write!(f, "{}:{}{ro}", self.source, self.target)
    }
}

impl FromStr for Port {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let wrong = |problem: &str| {
            let shown: String = text.escape_debug().take(80).collect();
            SpecError::new(
                "ports",
                format!("`{shown}`: {problem}"),
                "write NODE:CONTAINER, with an IPv4 address before and `/udp` after it where \
                 needed, for example `8080:80` or `127.0.0.1:5353:53/udp`",
            )
        };
        let (numbers, transport) = match text.split_once('/') {
            None => (text, Transport::Tcp),
            Some((numbers, "tcp")) => (numbers, Transport::Tcp),
            Some((numbers, "udp")) => (numbers, Transport::Udp),
            Some(_) => return Err(wrong("after the slash comes `tcp` or `udp`")),
        };
        let parts: Vec<&str> = numbers.split(':').collect();
        let (address, host, inside) = match parts[..] {
            [host, inside] => (None, host, inside),
            [address, host, inside] => {
                let parsed = address.parse::<Ipv4Addr>();
                let address = parsed.map_err(|_| wrong("its first part is no IPv4 address"))?;
                (Some(address), host, inside)
            }
            _ => return Err(wrong("it has not two or three parts")),
        };
        let number = |text: &str| match text.parse::<u16>() {
            Ok(number) if number > 0 => Ok(number),
            _ => Err(wrong("a port is a number from 1 to 65535")),
        };
        Ok(Self {
            address,
            host: number(host)?,
            inside: number(inside)?,
            transport,
        })
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(address) = self.address {
            write!(f, "{address}:")?;
        }
        write!(f, "{}:{}", self.host, self.inside)?;
        match self.transport {
            Transport::Tcp => Ok(()),
            Transport::Udp => f.write_str("/udp"),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn image(name: &str) -> Container {
        Container {
            image: name.into(),
            ..Container::default()
        }
    }

    #[test]
    fn images_are_names_with_tags_or_digests() {
        let digest = format!("alpine@sha256:{}", "a1".repeat(32));
        for good in [
            "alpine",
            "alpine:3.20",
            "library/alpine",
            "localhost/app:x",
            "registry.lan:5000/team/app:1.4_b-2",
            "ghcr.io/a/b__c",
            &digest,
        ] {
            assert_eq!(image(good).check(), Ok(()), "{good}");
        }
        let long = "a".repeat(MAX_IMAGE + 1);
        for bad in [
            "",
            " ",
            "Alpine",
            "alpine:",
            "alpine: x",
            "a//b",
            "/a",
            "a/",
            "-a",
            "alpine@sha256:12",
            "alpine@md5:00",
            "reg istry.lan/a",
            "a:b:c",
            "a\nb",
            "../a",
            &long,
        ] {
            let error = image(bad).check().unwrap_err();
            assert!(error.field == "image" && !error.remedy.is_empty(), "{bad}");
            assert!(!error.to_string().contains('\n'), "{error}");
        }
    }

    #[test]
    fn volumes_and_ports_are_read_as_they_are_written() {
        for text in ["/a:/b", "/a b:/b:ro", "data:/var/x", "a.b-c_d:/x:ro"] {
            assert_eq!(text.parse::<Volume>().unwrap().to_string(), text);
        }
        for text in [
            "80:81",
            "1:65535/udp",
            "127.0.0.1:8080:80",
            "0.0.0.0:1:2/udp",
        ] {
            assert_eq!(text.parse::<Port>().unwrap().to_string(), text);
        }
        assert!(!"/a:/b:rw".parse::<Volume>().unwrap().read_only);
        for text in [
            "",
            "/a",
            "/a:b",
            "/a:/",
            "a:/b",
            "./a:/b",
            "/a:/b:x",
            "/a:/b:ro:z",
            "/a\n:/b",
        ] {
            assert_eq!(
                text.parse::<Volume>().unwrap_err().field,
                "volumes",
                "{text}"
            );
        }
        for text in [
            "",
            "80",
            "0:80",
            "80:0",
            "80:65536",
            "x:80",
            "80:80/sctp",
            "::1:80:80",
            "1:2:3",
        ] {
            assert_eq!(text.parse::<Port>().unwrap_err().field, "ports", "{text}");
        }
    }

    #[test]
    fn each_bad_part_is_named() {
        type Spoil = fn(&mut Container);
        let cases: [(&str, Spoil); 5] = [
            ("entrypoint", |c| c.entrypoint = Some(vec![])),
            ("pids", |c| c.pids = Some(0)),
            ("volumes", |c| c.volumes = vec![Volume::default()]),
            ("volumes", |c| c.volumes = vec!["/a:/b".parse().unwrap(); 2]),
            ("ports", |c| c.ports = vec![Port::default(); MAX_LISTED + 1]),
        ];
        for (field, spoil) in cases {
            let mut container = image("a");
            spoil(&mut container);
            assert_eq!(container.check().unwrap_err().field, field);
        }
    }

    proptest! {
        #[test]
        fn no_text_panics_and_what_is_taken_is_written_the_same(text in "\\PC{0,40}") {
            if let Ok(volume) = text.parse::<Volume>() {
                prop_assert_eq!(volume.to_string().parse::<Volume>().unwrap(), volume);
            }
            if let Ok(port) = text.parse::<Port>() {
                prop_assert_eq!(port.to_string().parse::<Port>().unwrap(), port);
            }
            let _ = check_image(&text);
        }
    }
}
