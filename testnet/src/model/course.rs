//! The course of a run: about two hundred moments, and the digest of all events.

use std::hash::Hasher;
use std::time::Duration;

use twox_hash::XxHash3_64;

use super::events::Event;
use super::net::nanos;
use super::world::World;
use crate::case::Case;
use crate::outcome::Moment;

/// Into how many moments the workload is divided.
const MOMENTS: u64 = 200;
/// A run that goes on long after its workload has no more than these.
const MOST: usize = 2_000;

/// Collects moments.
#[derive(Debug)]
pub(super) struct Course {
    pub(super) moments: Vec<Moment>,
    step: u64,
    messages: u64,
}

impl Course {
    pub(super) fn new(case: &Case) -> Self {
        let last = case.jobs.last().map_or(Duration::ZERO, |job| job.at);
        let horizon = nanos(case.end).min(nanos(last).saturating_add(nanos(last) / 20));
        Self {
            moments: Vec::new(),
            step: (horizon / MOMENTS).max(1_000_000),
            messages: 0,
        }
    }

    /// When the next moment is, in nanoseconds.
    pub(super) fn due(&self) -> u64 {
        if self.moments.len() >= MOST {
            return u64::MAX;
        }
        self.step.saturating_mul(self.moments.len() as u64 + 1)
    }

    /// Notes the run at this moment.
    pub(super) fn note(&mut self, world: &mut World<'_>, view_age: f64) {
        let (ended, responses) = std::mem::take(&mut world.recent);
        let messages = world.messages.placement + world.messages.spread;
        self.moments.push(Moment {
            at: Duration::from_nanos(world.now),
            up: world.fleet.hosts.iter().filter(|host| host.up).count() as u32,
            running: world.running,
            waiting: world.submitted - world.ended - world.running,
            view_age,
            ended,
            response: responses / f64::from(ended),
            messages: messages - self.messages,
        });
        self.messages = messages;
    }
}

/// A digest over all events, gathered in blocks for speed.
pub(super) struct Digest {
    hasher: XxHash3_64,
    block: Vec<u8>,
}

impl Digest {
    const BLOCK: usize = 1 << 14;

    pub(super) fn new(seed: u64) -> Self {
        Self {
            hasher: XxHash3_64::with_seed(seed),
            block: Vec::with_capacity(Self::BLOCK + 64),
        }
    }

    pub(super) fn add(&mut self, at: u64, event: &Event) {
        self.words(at, event.words());
    }

    pub(super) fn words(&mut self, at: u64, words: [u32; 4]) {
        self.block.extend_from_slice(&at.to_le_bytes());
        for word in words {
            self.block.extend_from_slice(&word.to_le_bytes());
        }
        if self.block.len() >= Self::BLOCK {
            self.hasher.write(&self.block);
            self.block.clear();
        }
    }

    pub(super) fn finish(mut self) -> String {
        self.hasher.write(&self.block);
        format!("{:016x}", self.hasher.finish())
    }
}
