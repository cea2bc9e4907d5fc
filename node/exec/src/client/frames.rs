//! Requests cut into lists that fit into a frame each.

use crate::launch::Launch;
use crate::protocol::{FRAME_TARGET, Request};

/// Keys of one request, so that it stays far below a frame's limit.
const KEYS: usize = 16 << 10;

/// Cuts requests into lists that fit into a frame each, without the empty ones.
pub(super) fn into_frames(requests: Vec<Request>) -> Vec<Vec<Request>> {
    let mut frames = Vec::new();
    let mut frame = Vec::new();
    let mut size = 0;
    let mut add = |request: Request, bytes: usize| {
        frame.push(request);
        size += bytes;
        if size >= FRAME_TARGET {
            frames.push(std::mem::take(&mut frame));
            size = 0;
        }
    };
    for request in requests {
        match request {
            Request::Start(launches) => {
                let mut some = Vec::new();
                let mut bytes = 0;
                for launch in launches {
                    bytes += weight(&launch);
                    some.push(launch);
                    if bytes >= FRAME_TARGET {
                        add(Request::Start(std::mem::take(&mut some)), bytes);
                        bytes = 0;
                    }
                }
                if !some.is_empty() {
                    add(Request::Start(some), bytes);
                }
            }
            Request::Acknowledge(keys) => {
                for keys in keys.chunks(KEYS) {
                    add(Request::Acknowledge(keys.to_vec()), keys.len() * 32);
                }
            }
            other => add(other, 128),
        }
    }
    if !frame.is_empty() {
        frames.push(frame);
    }
    frames
}

/// About how many bytes a launch takes in a frame.
fn weight(launch: &Launch) -> usize {
    let words = launch.command.iter().map(String::len);
    let variables = launch
        .env
        .iter()
        .map(|(key, value)| key.len() + value.len() + 8);
    256 + words
        .map(|length| length + 8)
        .chain(variables)
        .sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use starling_wire::{JobId, Outcome, TaskId};
    use std::collections::BTreeMap;

    fn launch(index: u32) -> Launch {
        Launch {
            task: TaskId {
                job: JobId(1),
                index,
            },
            epoch: 1,
            command: vec!["x".repeat(1000)],
            env: BTreeMap::new(),
            dir: None,
            user: None,
            cpu_limit: None,
            memory_limit: None,
            grace_ms: 0,
            lease: None,
            container: None,
            note: Vec::new(),
        }
    }

    #[test]
    fn requests_are_cut_into_frames_in_order() {
        let launches: Vec<Launch> = (0..5000).map(launch).collect();
        let requests = vec![
            Request::Start(launches),
            Request::Start(Vec::new()),
            Request::Stop(launch(0).task, 1, Outcome::Stopped),
            Request::Acknowledge(vec![(launch(0).task, 1); 100_000]),
        ];
        let mut started = 0;
        let mut forgotten = 0;
        for frame in into_frames(requests) {
            let mut bytes = Vec::new();
            assert!(crate::protocol::push_frame(&mut bytes, &frame).is_ok());
            assert!(bytes.len() < 3 * FRAME_TARGET);
            for request in frame {
                match request {
                    Request::Start(some) => {
                        assert!(some.iter().zip(started..).all(|(l, at)| l.task.index == at));
                        started += u32::try_from(some.len()).unwrap_or(0);
                    }
                    Request::Stop(..) => assert_eq!(started, 5000),
                    Request::Acknowledge(keys) => forgotten += keys.len(),
                    _ => {}
                }
            }
        }
        assert_eq!((started, forgotten), (5000, 100_000));
    }
}
