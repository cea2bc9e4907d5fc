//! The engine itself: inputs go to the part they concern, and what the parts say to this node comes
//! back to them.

mod learn;

use std::collections::VecDeque;
use std::time::Duration;

use rand::SeedableRng;
use rand_chacha::ChaCha12Rng;
use starling_gossip::{Gossip, Member, MemberState, Output};
use starling_placement::Resources;
use starling_wire::jobs::JobMessage;
use starling_wire::{JobId, Message, NodeId, Signer, Time, decode_frame, encode_frame};

use crate::config::Config;
use crate::counters::Counters;
use crate::effect::{CommandError, Effect, Effects, Event, EventKind, Reply};
use crate::host::{HeldView, Host};
use crate::input::{Command, Input, RequestId};
use crate::job::Job;
use crate::owner::Owner;
use crate::saved::{self, Saved, SavedError};

/// One node's state and rules. See the crate's documentation for the contract with its driver.
pub struct Engine {
    config: Config,
    gossip: Gossip,
    owner: Owner,
    host: Host,
    rng: ChaCha12Rng,
    /// Messages from this node to itself, not yet handled.
    local: VecDeque<JobMessage>,
    scratch: Vec<Output>,
    /// Peers without a link that something was said to.
    unlinked: Vec<NodeId>,
    undecodable: u64,
    /// Whether jobs or placements may have changed since the last tick: most frames are gossip, and
    /// leave them alone.
    touched: bool,
}

/// What a part of the engine may reach while it works on one input.
pub(crate) struct Ctx<'a> {
    pub(crate) now: Time,
    pub(crate) me: NodeId,
    pub(crate) config: &'a Config,
    pub(crate) gossip: &'a Gossip,
    pub(crate) rng: &'a mut ChaCha12Rng,
    pub(crate) fx: &'a mut Effects,
    local: &'a mut VecDeque<JobMessage>,
    unlinked: &'a mut Vec<NodeId>,
}

impl Ctx<'_> {
    /// Sends at once; to this node itself without a detour.
    pub(crate) fn send(&mut self, to: NodeId, message: JobMessage) {
        if to == self.me {
            self.local.push_back(message);
        } else {
            if !self.gossip.is_linked(&to) {
                self.unlinked.push(to);
            }
            let bytes = encode_frame(&Message::Jobs(message));
            self.fx.now.push(Effect::Send {
                to,
                urgent: true,
                bytes,
            });
        }
    }

    /// Sends when what was saved before is durable.
    pub(crate) fn send_after(&mut self, to: NodeId, message: JobMessage) {
        if to != self.me && !self.gossip.is_linked(&to) {
            self.unlinked.push(to);
        }
        let bytes = encode_frame(&Message::Jobs(message));
        self.fx.after.push(Effect::Send {
            to,
            urgent: true,
            bytes,
        });
    }

    /// Tells whoever listens.
    pub(crate) fn event(&mut self, event: Event) {
        self.fx.now.push(Effect::Event(event));
    }

    /// A member that can be talked to.
    pub(crate) fn alive(&self, node: &NodeId) -> Option<Member<'_>> {
        self.gossip
            .member(node)
            .filter(|member| matches!(member.state, MemberState::Alive | MemberState::Suspect))
    }

    /// How long a node that is not in the view is looked for before it counts as gone.
    pub(crate) fn patience(&self) -> Duration {
        if self.gossip.is_alone() {
            Duration::ZERO
        } else if self.gossip.sees_all() {
            self.config.recovery / 2
        } else {
            self.config.seek
        }
    }
}

impl Engine {
    /// An engine that takes up what an earlier life of this node left. What is to be done first is
    /// put into `fx`; it must be carried out before any input is fed.
    pub fn new(
        mut config: Config,
        signer: Box<dyn Signer>,
        saved: &Saved,
        mut rng: ChaCha12Rng,
        now: Time,
        fx: &mut Effects,
    ) -> Result<Self, SavedError> {
        let read = saved.read()?;
        let incarnation = read.incarnation.saturating_add(1);
        fx.saves.push(saved::save_incarnation(incarnation));
        if config.classes.is_some() || !config.policy.classes {
            // What is given, or not asked for, need not be learned.
            config.gossip.table_limit = 0;
        }
        let mut seeds = std::mem::take(&mut config.seeds);
        if !seeds.is_empty() {
            // Whoever was joined by is found again, even if this life is short.
            let known: Vec<_> = seeds.iter().chain(&read.book).cloned().collect();
            fx.saves.push(saved::save_book(&known));
        }
        seeds.extend(read.book);
        let mut gossip = Gossip::new(
            config.gossip.clone(),
            signer,
            incarnation,
            config.fixed.clone(),
            seeds,
            ChaCha12Rng::from_rng(&mut rng),
            now,
        );
        gossip.restore_observations(now, read.observations);
        let mut engine = Self {
            config,
            gossip,
            owner: Owner::default(),
            host: Host::default(),
            rng,
            local: VecDeque::new(),
            scratch: Vec::new(),
            unlinked: Vec::new(),
            undecodable: 0,
            touched: true,
        };
        engine.owner.give(engine.config.classes.clone());
        let (owner, host, mut ctx) = engine.split(now, fx);
        host.take_up(
            read.held,
            read.specs,
            &saved.held,
            read.draining,
            read.drain_deadline,
            &mut ctx,
        );
        owner.take_up(read.jobs, &mut ctx);
        owner.take_up_permits(read.permits, &mut ctx);
        engine.load_changed(now, fx);
        Ok(engine)
    }

    /// Takes one input in.
    pub fn handle(&mut self, now: Time, input: Input, fx: &mut Effects) {
        match input {
            Input::Frame { from, bytes } => self.frame(now, from, &bytes, fx),
            Input::LinkUp(peer) => self.gossiping(now, fx, |g, out| g.link_up(now, peer, out)),
            Input::LinkDown(peer) => self.gossiping(now, fx, |g, out| g.link_down(now, peer, out)),
            Input::DialFailed { peer, refused } => {
                self.gossiping(now, fx, |g, out| g.dial_failed(now, peer, refused, out));
            }
            Input::Discovered { peer, addr } => {
                self.gossiping(now, fx, |g, out| g.discovered(now, peer, addr, out));
            }
            Input::Fixed(fixed) => {
                self.gossiping(now, fx, |g, out| g.set_fixed(now, fixed, out));
                self.touched = true;
            }
            Input::Sample(sample) => {
                self.host.sample(sample, now);
                self.load_changed(now, fx);
            }
            Input::Task(event) => {
                let (_, host, mut ctx) = self.split(now, fx);
                host.task_event(event, &mut ctx);
            }
            Input::Command { request, command } => self.command(now, request, command, fx),
            Input::Durable(job) => {
                let (owner, _, mut ctx) = self.split(now, fx);
                owner.durable(job, &mut ctx);
            }
            Input::NotDurable { job, reason } => {
                let (owner, _, mut ctx) = self.split(now, fx);
                owner.not_durable(job, reason, &mut ctx);
            }
        }
        self.settle(now, fx);
    }

    /// Does what is due. To be called at each deadline, and after each batch of inputs: reports
    /// that pile up within a batch leave as one.
    pub fn tick(&mut self, now: Time, fx: &mut Effects) {
        if self.gossip.next_deadline().is_some_and(|at| at <= now) {
            self.gossiping(now, fx, |g, out| g.tick(now, out));
        }
        let due = |at: Option<Time>| at.is_some_and(|at| at <= now);
        let idle = !self.touched && !self.gossip.has_changed_cells();
        if idle && !due(self.owner.next_deadline()) && !due(self.host.next_deadline()) {
            return;
        }
        let (owner, host, mut ctx) = self.split(now, fx);
        owner.tick(&mut ctx);
        host.tick(&mut ctx);
        self.settle(now, fx);
        let (owner, host, mut ctx) = self.split(now, fx);
        host.flush(&mut ctx);
        owner.place_all(&mut ctx);
        self.settle(now, fx);
        let (owner, _, mut ctx) = self.split(now, fx);
        owner.send_copies(&mut ctx);
        self.settle(now, fx);
        self.learn(now);
        self.load_changed(now, fx);
        // Both are asked, so that neither keeps an old answer.
        if self.owner.ties_changed() | self.host.ties_changed() {
            let watched = self.owner.ties().chain(self.host.owners());
            self.gossip.set_ties(watched, self.host.heirs());
        }
        self.touched = false;
    }

    /// When [`Engine::tick`] is next to be called.
    pub fn next_deadline(&self) -> Option<Time> {
        [
            self.gossip.next_deadline(),
            self.owner.next_deadline(),
            self.host.next_deadline(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Who is here, as far as this node knows.
    pub const fn gossip(&self) -> &Gossip {
        &self.gossip
    }

    /// The jobs that this node owns.
    pub fn jobs(&self) -> impl Iterator<Item = &Job> {
        self.owner.jobs.values()
    }

    /// A job that this node owns.
    pub fn job(&self, id: JobId) -> Option<&Job> {
        self.owner.jobs.get(&id)
    }

    /// How many nodes have a job's record on disk, as far as this node knows; whoever acts for it
    /// knows best.
    pub fn copies(&self, job: &Job) -> u32 {
        let alive = |node: &NodeId| {
            let member = self.gossip.member(node);
            member.is_some_and(|member| member.state.is_live())
        };
        self.owner.copies_of(job, alive, self.gossip.me())
    }

    /// The placements that this node holds.
    pub fn held(&self) -> impl Iterator<Item = HeldView<'_>> {
        self.host.view()
    }

    /// What placement took so far.
    pub const fn counters(&self) -> Counters {
        let mut counters = self.owner.counters;
        counters.stealing_offers = self.host.counters.stealing_offers;
        counters
    }

    /// What the placements that this node holds reserve together; those that are over, nothing.
    pub const fn reserved(&self) -> Resources {
        self.host.reserved()
    }

    /// Frames that could not be decoded, since the start.
    pub const fn undecodable(&self) -> u64 {
        self.undecodable
    }

    fn frame(&mut self, now: Time, from: NodeId, bytes: &[u8], fx: &mut Effects) {
        match decode_frame(bytes) {
            Ok(Message::Gossip(message)) => {
                let size = bytes.len();
                self.gossiping(now, fx, |g, out| g.handle(now, from, message, size, out));
            }
            Ok(Message::Jobs(message)) => {
                self.gossip.heard(now, from);
                self.job_message(now, from, message, fx);
            }
            Err(error) => {
                self.undecodable += 1;
                tracing::debug!(?from, %error, "a frame that cannot be decoded");
            }
        }
    }

    fn job_message(&mut self, now: Time, from: NodeId, message: JobMessage, fx: &mut Effects) {
        if let JobMessage::Room { load, .. }
        | JobMessage::Claimed { load, .. }
        | JobMessage::Reports { load, .. } = &message
        {
            self.gossip.observe_load(now, from, *load);
        }
        let (owner, host, mut ctx) = self.split(now, fx);
        match message {
            JobMessage::Probe { .. }
            | JobMessage::Claim { .. }
            | JobMessage::Wait { .. }
            | JobMessage::Pass
            | JobMessage::Halt(_)
            | JobMessage::Noted(_)
            | JobMessage::Acting(_)
            | JobMessage::Leased { .. }
            | JobMessage::Audit(_) => host.message(from, message, &mut ctx),
            JobMessage::Room { .. }
            | JobMessage::Claimed { .. }
            | JobMessage::Reports { .. }
            | JobMessage::Copy { .. }
            | JobMessage::Copied { .. }
            | JobMessage::Lease { .. }
            | JobMessage::Released(_)
            | JobMessage::Disown(_) => {
                owner.message(from, message, &mut ctx);
            }
        }
    }

    fn command(&mut self, now: Time, request: RequestId, command: Command, fx: &mut Effects) {
        let (owner, host, mut ctx) = self.split(now, fx);
        let reply = match command {
            Command::Submit(_) | Command::Drain { .. } if host.is_leaving() => {
                Err(CommandError::Leaving)
            }
            Command::Submit(spec) => match owner.submit(request, *spec, &mut ctx) {
                // The answer follows when enough owners have it on disk.
                Ok(()) => return self.load_changed(now, fx),
                Err(error) => Err(error),
            },
            Command::Stop(target) => owner.stop(target, &mut ctx),
            Command::Drain { on, deadline } => {
                host.drain(on, deadline, &mut ctx);
                Ok(Reply::Done)
            }
            Command::Leave => {
                host.leave(&mut ctx);
                Ok(Reply::Done)
            }
        };
        fx.after.push(Effect::Reply { request, reply });
        self.load_changed(now, fx);
    }

    /// Handles what this node said to itself, and ends a leave that is done.
    fn settle(&mut self, now: Time, fx: &mut Effects) {
        let me = self.gossip.me();
        while let Some(message) = self.local.pop_front() {
            self.job_message(now, me, message, fx);
        }
        if !self.unlinked.is_empty() {
            self.dial_unlinked(now, fx);
        }
        if !self.host.is_leaving() {
            return;
        }
        let (owner, host, ctx) = self.split(now, fx);
        let told = owner.has_told(&ctx);
        if host.has_left(told, now) {
            self.gossiping(now, fx, |g, out| g.leave(now, out));
            fx.now.push(Effect::Left);
        }
    }

    /// Beyond the link limit most members have no link: whoever is spoken to is dialled first.
    fn dial_unlinked(&mut self, now: Time, fx: &mut Effects) {
        let peers = std::mem::take(&mut self.unlinked);
        let mut dials = Effects::default();
        for peer in peers {
            self.gossiping(now, &mut dials, |g, out| g.reach(now, peer, out));
        }
        fx.now.splice(0..0, dials.now);
        fx.lazy.extend(dials.lazy);
    }

    /// Lets the gossip part work and carries out what it wants.
    fn gossiping(
        &mut self,
        now: Time,
        fx: &mut Effects,
        work: impl FnOnce(&mut Gossip, &mut Vec<Output>),
    ) {
        let mut outputs = std::mem::take(&mut self.scratch);
        work(&mut self.gossip, &mut outputs);
        for output in outputs.drain(..) {
            match output {
                Output::Send {
                    to, frame, urgent, ..
                } => fx.now.push(Effect::Send {
                    to,
                    urgent,
                    bytes: frame,
                }),
                Output::Dial { peer, addrs } => fx.now.push(Effect::Dial { peer, addrs }),
                Output::HangUp { peer } => fx.now.push(Effect::HangUp(peer)),
                Output::AddressBook(book) => fx.lazy.push(saved::save_book(&book)),
                Output::Observations(rows) => {
                    let saves = rows.into_iter();
                    fx.lazy
                        .extend(saves.map(|(tag, value)| saved::save_observation(tag, value)));
                }
                Output::Changed {
                    node, incarnation, ..
                } if node == self.gossip.me() => {
                    // It refuted a suspicion; its next life must begin beyond that.
                    fx.lazy.push(saved::save_incarnation(incarnation));
                    // Whoever held it dead may have replaced what runs here, and asks no more.
                    self.host.report_all();
                    self.touched = true;
                }
                Output::Changed { node, from, to, .. } => {
                    self.member_changed(now, node, from, to, fx);
                }
            }
        }
        self.scratch = outputs;
    }

    fn member_changed(
        &mut self,
        now: Time,
        node: NodeId,
        from: Option<MemberState>,
        to: MemberState,
        fx: &mut Effects,
    ) {
        let (owner, host, mut ctx) = self.split(now, fx);
        let kind = match to {
            MemberState::Alive => EventKind::NodeAlive,
            MemberState::Suspect => EventKind::NodeSuspect,
            MemberState::Dead => EventKind::NodeDead,
            MemberState::Left => EventKind::NodeLeft,
        };
        if from != Some(to) {
            let detail = String::new();
            ctx.event(Event {
                kind,
                job: None,
                task: None,
                node: Some(node),
                detail,
            });
        }
        match to {
            MemberState::Alive => {
                owner.node_alive(node, &mut ctx);
                host.owner_alive(node, &mut ctx);
            }
            MemberState::Dead | MemberState::Left => {
                owner.node_gone(node, &mut ctx);
                owner.owner_gone(node, &mut ctx);
                host.owner_gone(node, &mut ctx);
            }
            MemberState::Suspect => {}
        }
    }

    fn load_changed(&mut self, now: Time, fx: &mut Effects) {
        self.host.waiting = self.owner.waiting();
        let load = self.host.rough_load(&self.gossip.my_fixed().capacity);
        if load == self.gossip.my_load() {
            return;
        }
        self.gossiping(now, fx, |g, out| g.set_load(now, load, out));
    }

    fn split<'a>(
        &'a mut self,
        now: Time,
        fx: &'a mut Effects,
    ) -> (&'a mut Owner, &'a mut Host, Ctx<'a>) {
        self.touched = true;
        let ctx = Ctx {
            now,
            me: self.gossip.me(),
            config: &self.config,
            gossip: &self.gossip,
            rng: &mut self.rng,
            fx,
            local: &mut self.local,
            unlinked: &mut self.unlinked,
        };
        (&mut self.owner, &mut self.host, ctx)
    }
}
