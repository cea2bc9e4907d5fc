//! The part of a request that is for containers only.

use starling_api::{ApiError, JobRequest, PullPolicy};
use starling_wire::{Container, Pull};

use super::from_spec_error;

/// What a request says besides for containers, taken out of it; none if its tasks are processes.
pub(super) fn from_request(request: &mut JobRequest) -> Result<Option<Box<Container>>, ApiError> {
    let Some(image) = request.image.take() else {
        return only_processes(request).map(|()| None);
    };
    let volumes = request.volumes.iter().map(|text| text.parse());
    let ports = request.ports.iter().map(|text| text.parse());
    let container = Container {
        image,
        pull: match request.pull {
            None | Some(PullPolicy::Missing) => Pull::Missing,
            Some(PullPolicy::Never) => Pull::Never,
            Some(PullPolicy::Always) => Pull::Always,
        },
        entrypoint: request.entrypoint.take(),
        read_only: request.read_only.unwrap_or_default(),
        pids: request.pids,
        volumes: volumes.collect::<Result<_, _>>().map_err(from_spec_error)?,
        ports: ports.collect::<Result<_, _>>().map_err(from_spec_error)?,
    };
    Ok(Some(Box::new(container)))
}

/// Refuses what would be ignored without an image.
fn only_processes(request: &JobRequest) -> Result<(), ApiError> {
    let given = [
        ("pull", request.pull.is_some()),
        ("entrypoint", request.entrypoint.is_some()),
        ("read_only", request.read_only.is_some()),
        ("pids", request.pids.is_some()),
        ("volumes", !request.volumes.is_empty()),
        ("ports", !request.ports.is_empty()),
    ];
    match given.into_iter().find(|(_, given)| *given) {
        None => Ok(()),
        Some((field, _)) => Err(ApiError::invalid(
            field,
            "it is for containers, and no image is given",
            "give an image as well, or leave it out",
        )),
    }
}

/// Writes what a spec says for containers into the request that would ask for it.
pub(super) fn into_request(container: &Container, request: &mut JobRequest) {
    request.image = Some(container.image.clone());
    request.pull = match container.pull {
        Pull::Missing => None,
        Pull::Never => Some(PullPolicy::Never),
        Pull::Always => Some(PullPolicy::Always),
    };
    request.entrypoint.clone_from(&container.entrypoint);
    request.read_only = container.read_only.then_some(true);
    request.pids = container.pids;
    request.volumes = container.volumes.iter().map(ToString::to_string).collect();
    request.ports = container.ports.iter().map(ToString::to_string).collect();
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::{request_from_spec, spec_from_request};
    use super::*;

    fn whole() -> JobRequest {
        JobRequest {
            image: Some("registry.lan:5000/team/app:1.4".into()),
            pull: Some(PullPolicy::Never),
            entrypoint: Some(vec!["/init".into()]),
            read_only: Some(true),
            pids: Some(64),
            volumes: vec!["/srv/media:/media:ro".into(), "data:/var/lib/data".into()],
            ports: vec!["8080:80".into(), "127.0.0.1:53:53/udp".into()],
            user: Some("1000:1000".into()),
            dir: Some("/app".into()),
            ..JobRequest::new(["serve"])
        }
    }

    #[test]
    fn a_container_survives_the_way_back() {
        let mut spec = spec_from_request(whole()).unwrap();
        assert_eq!(request_from_spec(&spec), whole());
        // What the engine adds is not what the user asked for.
        spec.imply_constraints();
        assert_eq!(request_from_spec(&spec), whole());
        let bare = JobRequest {
            image: Some("alpine".into()),
            ..JobRequest::new([""; 0])
        };
        let spec = spec_from_request(bare.clone()).unwrap();
        assert_eq!(request_from_spec(&spec), bare);
    }

    #[test]
    fn each_bad_field_is_named() {
        type Spoil = fn(&mut JobRequest);
        let cases: [(&str, Spoil); 11] = [
            ("image", |r| r.image = Some("Not An Image".into())),
            ("volumes", |r| r.volumes = vec!["here:there".into()]),
            ("ports", |r| r.ports = vec!["80".into()]),
            ("pids", |r| r.pids = Some(0)),
            ("memory", |r| r.memory = Some("1MiB".into())),
            ("user", |r| r.user = Some("a:b:c".into())),
            ("pull", |r| r.image = None),
            ("entrypoint", |r| (r.image, r.pull) = (None, None)),
            ("volumes", |r| {
                *r = JobRequest {
                    volumes: r.volumes.clone(),
                    ..JobRequest::new(["x"])
                };
            }),
            ("ports", |r| {
                *r = JobRequest {
                    ports: r.ports.clone(),
                    ..JobRequest::new(["x"])
                };
            }),
            ("user", |r| {
                *r = JobRequest {
                    user: r.user.clone(),
                    ..JobRequest::new(["x"])
                };
            }),
        ];
        for (field, spoil) in cases {
            let mut request = whole();
            spoil(&mut request);
            let error = spec_from_request(request).unwrap_err();
            assert_eq!(error.field.as_deref(), Some(field), "{error}");
            assert!(error.remedy.is_some_and(|remedy| !remedy.is_empty()));
        }
    }
}
