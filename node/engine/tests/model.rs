//! The rules of leases under a model checker: every order in which messages of three owners and two
//! hosts are delivered, late or never, owners and daemons restart, a clock is late, and
//! placements are made by any number of nodes that each believe to act for the job.
//!
//! One task stands for all: leases of different tasks have nothing in common.
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeSet;

use starling_engine::lease::{Answer, Lease, Permit, ask, release};
use stateright::{Checker, Model, Property};

const OWNERS: usize = 3;
const HOSTS: usize = 2;
/// Ticks that a lease lasts by its host's clock.
const LEASE: u8 = 2;
const ALONE: &str = "it runs on one host at a time";

/// What is checked, and how far.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    /// Ticks that a lease keeps others away by an owner's clock.
    span: u8,
    /// Of how many owners a majority must agree.
    owners: usize,
    ticks: u8,
    placements: u64,
    rounds: u64,
    restarts: u8,
    /// How many ticks a host's clock may lose.
    late: u8,
    /// Whether the task may end before its lease does.
    ends: bool,
}

const BOUNDS: Bounds = Bounds {
    // A host's clock may lose one tick.
    span: LEASE + 1,
    owners: OWNERS,
    ticks: 3,
    placements: 2,
    rounds: 2,
    restarts: 0,
    late: 1,
    ends: false,
};

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum What {
    Ask(u64),
    Leased(u64),
    Released,
}

/// Between a host and an owner, about a placement.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Message {
    host: usize,
    owner: usize,
    epoch: u64,
    what: What,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Host {
    placed: Option<u64>,
    lease: Lease<usize, u8>,
    /// Until when its runner lets the task run.
    runs: Option<u8>,
    /// How far its clock is behind.
    late: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    now: u8,
    permits: [Option<Permit<usize, u8>>; OWNERS],
    hosts: [Host; HOSTS],
    placements: u64,
    rounds: u64,
    restarts: u8,
    /// What is on its way: delivered in any order, however late, or never.
    sent: BTreeSet<Message>,
    /// Which hosts the task has run on.
    ran: [bool; HOSTS],
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Action {
    /// Time passes; the clock of this host stands.
    Tick(Option<usize>),
    Place(usize),
    AskAll(usize),
    Deliver(Message),
    RestartOwner(usize),
    RestartDaemon(usize),
    End(usize),
}

impl State {
    fn clock(&self, host: usize) -> u8 {
        self.now - self.hosts[host].late
    }

    fn send_all(&mut self, host: usize, epoch: u64, what: &What) {
        for owner in 0..OWNERS {
            let what = what.clone();
            self.sent.insert(Message {
                host,
                owner,
                epoch,
                what,
            });
        }
    }

    fn end(&mut self, host: usize) {
        self.hosts[host].runs = None;
        if let Some(epoch) = self.hosts[host].placed.take() {
            self.send_all(host, epoch, &What::Released);
        }
    }

    fn deliver(&mut self, message: &Message, bounds: &Bounds) {
        let (host, owner, epoch) = (message.host, message.owner, message.epoch);
        match message.what {
            What::Ask(round) => {
                let until = self.now + bounds.span;
                let answer = ask(&mut self.permits[owner], (host, epoch), self.now, until);
                if matches!(answer, Answer::Granted | Answer::Renewed) {
                    let what = What::Leased(round);
                    self.sent.insert(Message {
                        what,
                        ..message.clone()
                    });
                }
            }
            What::Leased(round) => {
                let now = self.clock(host);
                let there = &mut self.hosts[host];
                if there.placed != Some(epoch) {
                    return;
                }
                let ends = |asked| asked + LEASE;
                let until = there.lease.agree(owner, round, bounds.owners, now, ends);
                if until.is_some() {
                    there.runs = there.runs.max(until);
                    self.ran[host] = true;
                }
            }
            What::Released => {
                if let Some(permit) = &mut self.permits[owner] {
                    release(permit, host, epoch, self.now);
                }
            }
        }
    }

    /// Answers that nobody waits for any more make no difference.
    fn tidy(&mut self) {
        let hosts = &self.hosts;
        self.sent.retain(|message| match message.what {
            What::Leased(round) => {
                let host = &hosts[message.host];
                host.placed == Some(message.epoch) && host.lease.round() == round
            }
            What::Ask(_) | What::Released => true,
        });
    }

    fn tick(&mut self, stands: Option<usize>) {
        self.now += 1;
        if let Some(host) = stands {
            self.hosts[host].late += 1;
        }
        for host in 0..HOSTS {
            let now = self.clock(host);
            if self.hosts[host].runs.is_some_and(|until| until <= now) {
                self.end(host);
            }
        }
    }
}

impl Model for Bounds {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            now: 0,
            permits: [const { None }; OWNERS],
            hosts: <[Host; HOSTS]>::default(),
            placements: 0,
            rounds: 0,
            restarts: 0,
            sent: BTreeSet::new(),
            ran: [false; HOSTS],
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.now < self.ticks {
            actions.push(Action::Tick(None));
            // Hosts are alike: if a clock is late it may as well be this one's.
            if state.hosts[0].late < self.late {
                actions.push(Action::Tick(Some(0)));
            }
        }
        for (at, host) in state.hosts.iter().enumerate() {
            match host.placed {
                None if state.placements < self.placements => actions.push(Action::Place(at)),
                Some(_) if state.rounds < self.rounds => actions.push(Action::AskAll(at)),
                _ => {}
            }
            if self.ends && host.runs.is_some() {
                actions.push(Action::End(at));
            }
            if at == 0 && state.restarts < self.restarts && host.lease.round() > 0 {
                actions.push(Action::RestartDaemon(at));
            }
        }
        // And so are owners.
        if state.restarts < self.restarts && state.permits[0].is_some() {
            actions.push(Action::RestartOwner(0));
        }
        actions.extend(state.sent.iter().cloned().map(Action::Deliver));
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::Tick(stands) => state.tick(stands),
            Action::Place(host) => {
                state.placements += 1;
                state.hosts[host].placed = Some(state.placements);
                state.hosts[host].lease = Lease::default();
            }
            Action::AskAll(host) => {
                state.rounds += 1;
                let (round, now) = (state.rounds, state.clock(host));
                let epoch = state.hosts[host].placed?;
                state.hosts[host].lease.begin(round, now);
                state.send_all(host, epoch, &What::Ask(round));
            }
            Action::Deliver(message) => {
                state.sent.remove(&message);
                state.deliver(&message, self);
            }
            Action::RestartOwner(owner) => {
                state.restarts += 1;
                if let Some(permit) = &mut state.permits[owner] {
                    // What was written, and not when it was renewed last.
                    permit.until = state.now + self.span;
                    permit.over = false;
                }
            }
            Action::RestartDaemon(host) => {
                state.restarts += 1;
                state.hosts[host].lease = Lease::default();
            }
            Action::End(host) => state.end(host),
        }
        state.tidy();
        Some(state).filter(|state| state != last)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(ALONE, |_, state: &State| {
                let running = state.hosts.iter().filter(|host| host.runs.is_some());
                running.count() <= 1
            }),
            Property::sometimes(
                "it runs on both, one after the other",
                |_, state: &State| state.ran == [true; HOSTS],
            ),
        ]
    }
}

#[test]
fn a_task_runs_on_one_host_at_a_time_in_every_state() {
    let checker = BOUNDS.checker().threads(2).spawn_bfs().join();
    println!(
        "{} states where a clock is late",
        checker.unique_state_count()
    );
    checker.assert_properties();
}

#[test]
fn the_same_where_owners_and_daemons_restart() {
    let bounds = Bounds {
        restarts: 1,
        late: 0,
        ..BOUNDS
    };
    let checker = bounds.checker().threads(2).spawn_bfs().join();
    println!("{} states with restarts", checker.unique_state_count());
    checker.assert_properties();
}

#[test]
fn the_same_where_it_ends_by_itself() {
    let bounds = Bounds {
        late: 0,
        ends: true,
        ..BOUNDS
    };
    let checker = bounds.checker().threads(2).spawn_bfs().join();
    println!("{} states with early ends", checker.unique_state_count());
    checker.assert_properties();
}

/// The model would find what is wrong if something were.
#[test]
fn a_margin_that_is_too_small_is_found() {
    let bounds = Bounds {
        span: LEASE,
        restarts: 0,
        ..BOUNDS
    };
    let checker = bounds.checker().threads(2).spawn_bfs().join();
    assert!(checker.discovery(ALONE).is_some());
}

/// The same where one owner's word is enough.
#[test]
fn owners_that_are_no_majority_are_found() {
    let bounds = Bounds {
        owners: 1,
        restarts: 0,
        ..BOUNDS
    };
    let checker = bounds.checker().threads(2).spawn_bfs().join();
    assert!(checker.discovery(ALONE).is_some());
}
