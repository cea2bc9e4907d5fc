//! The rules of leases, for one task: what an owner grants and what its host may make of it. No more
//! than numbers, so that a model checker can walk all of their states (`tests/model.rs`).
//!
//! An owner grants a task to one placement at a time, and to none that is older than one it granted.
//! A host counts a lease from before it asked, and needs grants of more than half of the owners, who
//! never change: so of two hosts that both run a task some owner would have granted both at a time.

use std::collections::BTreeSet;

use starling_wire::Epoch;

/// What an owner has granted of a task. `H` names hosts; times are of the owner's clock.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Permit<H, T> {
    /// The placement, and where it is.
    pub epoch: Epoch,
    /// Where it is.
    pub host: H,
    /// Until when nobody else may have it.
    pub until: T,
    /// Its host has ended it.
    pub over: bool,
}

/// An owner's answer to a host that asks for a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    /// Granted, to whom it was granted before.
    Renewed,
    /// Granted anew: to be on disk before it is told.
    Granted,
    /// Another has it for now.
    Held,
    /// A newer placement has or had it: it will never be granted.
    Stale,
}

/// A host asks an owner for a lease at `now`, which would end at `until`.
pub fn ask<H: Copy + PartialEq, T: Copy + Ord>(
    permit: &mut Option<Permit<H, T>>,
    (host, epoch): (H, Epoch),
    now: T,
    until: T,
) -> Answer {
    match permit {
        Some(held) if held.epoch == epoch && held.host == host && !held.over => {
            held.until = until;
            Answer::Renewed
        }
        Some(held) if held.epoch >= epoch => Answer::Stale,
        Some(held) if held.until > now => Answer::Held,
        _ => {
            *permit = Some(Permit {
                epoch,
                host,
                until,
                over: false,
            });
            Answer::Granted
        }
    }
}

/// A host says that a placement is over.
pub fn release<H: PartialEq, T: Copy>(permit: &mut Permit<H, T>, host: H, epoch: Epoch, now: T) {
    if permit.host == host && permit.epoch == epoch {
        // A late question must not revive it.
        permit.over = true;
        permit.until = now;
    }
}

/// A host's lease. `O` names owners; times are of the host's clock.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Lease<O, T> {
    round: u64,
    asked: T,
    agreed: BTreeSet<O>,
    until: T,
}

impl<O, T: Default> Default for Lease<O, T> {
    fn default() -> Self {
        Self {
            round: 0,
            asked: T::default(),
            agreed: BTreeSet::new(),
            until: T::default(),
        }
    }
}

impl<O: Copy + Ord, T: Copy + Ord> Lease<O, T> {
    /// The round of questions that is under way; 0 before the first.
    pub const fn round(&self) -> u64 {
        self.round
    }

    /// A round of questions begins. Its number must be greater than any before, over restarts too.
    pub fn begin(&mut self, round: u64, now: T) {
        self.round = round;
        self.asked = now;
        self.agreed.clear();
    }

    /// An owner, of so many, has granted in a round. If it is the one that makes a majority: until
    /// when the lease holds, which `ends` makes from when it was asked for.
    pub fn agree(
        &mut self,
        owner: O,
        round: u64,
        owners: usize,
        now: T,
        ends: impl FnOnce(T) -> T,
    ) -> Option<T> {
        if round != self.round || !self.agreed.insert(owner) || self.agreed.len() != owners / 2 + 1
        {
            return None;
        }
        let until = ends(self.asked);
        if until <= now || until <= self.until {
            return None;
        }
        self.until = until;
        Some(until)
    }
}
