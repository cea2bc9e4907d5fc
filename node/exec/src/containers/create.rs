//! What the engine is told about a container that it is to make.

use std::collections::HashMap;

use bollard::models::{
    ContainerCreateBody, HostConfig, HostConfigLogConfig, Mount, MountType, PortBinding,
};
use starling_wire::{Container, Port, Volume};

use super::engine::Abilities;
use super::image::full_name;
use super::labels;
use crate::launch::Launch;

/// What the engine keeps of a container's output, in bytes and files. It is read while it is
/// written, so this only has to bridge the daemon's absence.
const LOG_FILE: &str = "8m";
const LOG_FILES: &str = "2";

/// The least CPU limit that engines take, in millicores.
const LEAST_CPU: u32 = 10;

/// The container of a launch; with it what the engine cannot do of what is asked for.
pub(super) fn body(
    launch: &Launch,
    container: &Container,
    (node, boot): (&str, &str),
    can: Abilities,
) -> (ContainerCreateBody, Vec<&'static str>) {
    let mut cannot = Vec::new();
    let mut limit = |wanted: Option<i64>, able: bool, what| {
        if wanted.is_some() && !able {
            cannot.push(what);
        }
        wanted.filter(|_| able)
    };
    let nano_cpus = launch.cpu_limit.map(|millis| {
        let most = can.processors.saturating_mul(1_000).max(LEAST_CPU);
        i64::from(millis.clamp(LEAST_CPU, most)) * 1_000_000
    });
    let memory = launch
        .memory_limit
        .map(|bytes| i64::try_from(bytes).unwrap_or(i64::MAX));
    let memory = limit(memory, can.limit_memory, "memory");
    let host = HostConfig {
        nano_cpus: limit(nano_cpus, can.limit_cpu, "CPU"),
        memory,
        // No swap on top.
        memory_swap: memory,
        pids_limit: limit(container.pids.map(i64::from), can.limit_pids, "process"),
        readonly_rootfs: Some(container.read_only),
        mounts: Some(container.volumes.iter().map(mount).collect()),
        port_bindings: Some(bindings(&container.ports)),
        log_config: Some(HostConfigLogConfig {
            typ: Some("json-file".to_owned()),
            config: Some(
                [("max-size", LOG_FILE), ("max-file", LOG_FILES)]
                    .map(|(key, value)| (key.to_owned(), value.to_owned()))
                    .into(),
            ),
        }),
        ..HostConfig::default()
    };
    let exposed = container.ports.iter().map(inside);
    let env = launch
        .env
        .iter()
        .map(|(key, value)| format!("{key}={value}"));
    let body = ContainerCreateBody {
        image: Some(full_name(&container.image)),
        entrypoint: container.entrypoint.clone(),
        cmd: (!launch.command.is_empty()).then(|| launch.command.clone()),
        env: Some(env.collect()),
        user: launch.user.clone(),
        working_dir: launch.dir.clone(),
        labels: Some(labels::of(launch, node, boot)),
        exposed_ports: Some(exposed.collect()),
        host_config: Some(host),
        ..ContainerCreateBody::default()
    };
    (body, cannot)
}

fn mount(volume: &Volume) -> Mount {
    let typ = if volume.source.starts_with('/') {
        MountType::BIND
    } else {
        MountType::VOLUME
    };
    Mount {
        source: Some(volume.source.clone()),
        target: Some(volume.target.clone()),
        typ: Some(typ),
        read_only: Some(volume.read_only),
        ..Mount::default()
    }
}

fn inside(port: &Port) -> String {
    format!("{}/{}", port.inside, port.transport)
}

fn bindings(ports: &[Port]) -> HashMap<String, Option<Vec<PortBinding>>> {
    let mut all: HashMap<String, Option<Vec<PortBinding>>> = HashMap::new();
    for port in ports {
        let binding = PortBinding {
            host_ip: port.address.map(|address| address.to_string()),
            host_port: Some(port.host.to_string()),
        };
        all.entry(inside(port))
            .or_default()
            .get_or_insert_default()
            .push(binding);
    }
    all
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::containers::tests::launch;

    const ABLE: Abilities = Abilities {
        limit_cpu: true,
        limit_memory: true,
        limit_pids: true,
        processors: 2,
    };

    fn made(launch: &Launch, can: Abilities) -> (ContainerCreateBody, Vec<&'static str>) {
        let container = launch.container.as_deref().unwrap();
        body(launch, container, ("node", "boot"), can)
    }

    #[test]
    fn what_is_left_out_stays_as_the_image_says() {
        let (body, cannot) = made(&launch(), ABLE);
        assert_eq!(body.image.as_deref(), Some("app:latest"));
        assert_eq!((body.cmd, body.entrypoint, body.user), (None, None, None));
        let host = body.host_config.unwrap();
        assert_eq!(
            (host.memory, host.nano_cpus, host.pids_limit),
            (None, None, None)
        );
        assert!(cannot.is_empty());
    }

    #[test]
    fn limits_are_what_the_engine_takes_or_are_named() {
        let mut launch = launch();
        launch.cpu_limit = Some(64_000);
        launch.memory_limit = Some(64 << 20);
        launch.container.as_mut().unwrap().pids = Some(9);
        let host = made(&launch, ABLE).0.host_config.unwrap();
        // More than there is, is all there is; and memory is limited without swap on top.
        assert_eq!(host.nano_cpus, Some(2_000_000_000));
        assert_eq!(
            (host.memory, host.memory_swap),
            (Some(64 << 20), Some(64 << 20))
        );
        assert_eq!(host.pids_limit, Some(9));
        launch.cpu_limit = Some(1);
        let host = made(&launch, ABLE).0.host_config.unwrap();
        assert_eq!(host.nano_cpus, Some(10_000_000));
        let unable = Abilities {
            limit_cpu: false,
            limit_memory: false,
            limit_pids: false,
            processors: 1,
        };
        let (body, mut cannot) = made(&launch, unable);
        cannot.sort_unstable();
        assert_eq!(cannot, ["CPU", "memory", "process"]);
        let host = body.host_config.unwrap();
        assert_eq!(
            (host.memory, host.memory_swap, host.nano_cpus),
            (None, None, None)
        );
    }

    #[test]
    fn volumes_and_ports_lead_inside() {
        let mut launch = launch();
        let container = launch.container.as_mut().unwrap();
        container.volumes = vec!["/srv:/a:ro".parse().unwrap(), "data:/b".parse().unwrap()];
        container.ports = ["80:8080", "127.0.0.1:81:8080", "53:53/udp"]
            .map(|text| text.parse().unwrap())
            .to_vec();
        let (body, _) = made(&launch, ABLE);
        let host = body.host_config.unwrap();
        let mounts = host.mounts.unwrap();
        assert_eq!(
            (mounts[0].typ, mounts[0].read_only),
            (Some(MountType::BIND), Some(true))
        );
        assert_eq!(
            (mounts[1].typ, mounts[1].read_only),
            (Some(MountType::VOLUME), Some(false))
        );
        let bindings = host.port_bindings.unwrap();
        assert_eq!(bindings["8080/tcp"].as_ref().unwrap().len(), 2);
        assert_eq!(bindings["53/udp"].as_ref().unwrap().len(), 1);
        assert!(body.exposed_ports.unwrap().contains(&"53/udp".to_owned()));
    }
}
