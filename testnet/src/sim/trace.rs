//! What happened lately, for whoever has to explain a violation; and, if asked for, everything.

use std::collections::VecDeque;
use std::fmt::Write as _;

use starling_engine::Input;
use starling_wire::Time;

/// How many events are remembered.
const LATELY: usize = 20_000;
/// How many of a machine are shown.
const SHOWN: usize = 20;

/// An event in few bytes.
#[derive(Clone, Copy, Debug)]
struct Line {
    at: Time,
    machine: u32,
    kind: &'static str,
    /// The first eight bytes of whoever it came from; 0 for none.
    peer: u64,
}

/// Where a whole trace goes, line by line.
pub type Sink = Box<dyn FnMut(&str) + Send>;

/// The last events of a world.
#[derive(Default)]
pub(crate) struct Trace {
    lately: VecDeque<Line>,
    pub(super) sink: Option<Sink>,
}

impl Trace {
    pub(super) fn note(&mut self, at: Time, machine: u32, input: &Input) {
        let (kind, peer) = match input {
            Input::Frame { from, bytes } => (frame_kind(bytes), Some(from)),
            Input::LinkUp(peer) => ("link up", Some(peer)),
            Input::LinkDown(peer) => ("link down", Some(peer)),
            Input::DialFailed { peer, .. } => ("dial failed", Some(peer)),
            Input::Discovered { peer, .. } => ("discovered", Some(peer)),
            Input::Sample(_) => ("sample", None),
            Input::Fixed(_) => ("static part", None),
            Input::Task(_) => ("task event", None),
            Input::Command { .. } => ("command", None),
            Input::Durable(_) | Input::NotDurable { .. } => ("disk", None),
        };
        let peer = peer.map_or(0, |peer| peer.head());
        if let Some(sink) = &mut self.sink {
            let shown = match input {
                Input::Frame { from, bytes } => match starling_wire::decode_frame(bytes) {
                    Ok(message) => format!("from {from:?} {message:?}"),
                    Err(error) => format!("from {from:?} {error}"),
                },
                other => format!("{other:?}"),
            };
            sink(&format!("{at} machine {machine}: {shown}"));
        }
        self.keep(Line {
            at,
            machine,
            kind,
            peer,
        });
    }

    pub(super) fn note_tick(&mut self, at: Time, machine: u32) {
        if let Some(sink) = &mut self.sink {
            sink(&format!("{at} machine {machine}: tick"));
        }
        self.keep(Line {
            at,
            machine,
            kind: "tick",
            peer: 0,
        });
    }

    pub(super) fn remark(&mut self, at: Time, text: &str) {
        if let Some(sink) = &mut self.sink {
            sink(&format!("{at} {text}"));
        }
    }

    fn keep(&mut self, line: Line) {
        if self.lately.len() == LATELY {
            self.lately.pop_front();
        }
        self.lately.push_back(line);
    }

    /// The last events of a machine, one per line.
    pub(super) fn last_of(&self, machine: u32) -> String {
        let mut text = String::new();
        let of = self.lately.iter().filter(|line| line.machine == machine);
        let lines: Vec<_> = of.rev().take(SHOWN).collect();
        for line in lines.into_iter().rev() {
            let _ = write!(text, "\n  {} {}", line.at, line.kind);
            if line.peer != 0 {
                let _ = write!(text, " from {:016x}", line.peer);
            }
        }
        text
    }
}

/// What a frame is, by its first bytes; see the tally in `effects`.
fn frame_kind(frame: &[u8]) -> &'static str {
    match (frame.get(3), frame.get(6)) {
        (Some(b'g'), Some(b'p')) => "gossip ping",
        (Some(b'g'), Some(b'a')) => "gossip ack",
        (Some(b'g'), Some(b'y')) => "gossip sync",
        (Some(b'g'), Some(b'd')) => "gossip delta",
        (Some(b'g'), Some(b'r')) => "gossip rumours",
        (Some(b'g'), _) => "gossip",
        (Some(b'j'), Some(b'p')) => "probe",
        (Some(b'j'), Some(b'a')) => "room",
        (Some(b'j'), Some(b'c')) => "claim",
        (Some(b'j'), Some(b'd')) => "claimed",
        (Some(b'j'), Some(b'w')) => "wait",
        (Some(b'j'), Some(b'r')) => "reports",
        (Some(b'j'), Some(b'k')) => "noted",
        (Some(b'j'), _) => "job message",
        _ => "unreadable frame",
    }
}
