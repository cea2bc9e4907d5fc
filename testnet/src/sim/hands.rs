//! What tests do to a world by hand: commands, crashes, cuts, and waiting for what should come.

use std::time::Duration;

use starling_engine::{Command, CommandError, Engine, Input, Job, Reply, RequestId};
use starling_gossip::MemberState;
use starling_wire::{JobId, JobSpec, Message, NodeId, encode_frame};

use super::queue::What;
use super::world::World;

impl World {
    /// Kills a machine's daemon, with its tasks or without; its links break at once.
    pub fn kill(&mut self, node: NodeId, tasks_too: bool) {
        if let Some(at) = self.machines.find(&node) {
            self.stop_daemon(at, tasks_too);
        }
    }

    /// A machine is gone for good, with its tasks and its disk.
    pub fn lose(&mut self, node: NodeId) {
        self.kill(node, true);
        if let Some(machine) = self.machines.get_mut(&node) {
            machine.disk.clear();
        }
    }

    /// Stops a machine's daemon for a while, as SIGSTOP does.
    pub fn pause(&mut self, node: NodeId, length: Duration) {
        let until = self.now + length;
        if let Some(machine) = self.machines.get_mut(&node) {
            machine.paused = until;
        }
    }

    /// Lets nothing pass between the two groups any more, in either direction.
    pub fn cut(&mut self, some: &[NodeId], others: &[NodeId]) {
        self.cut_one_way(some, others);
        self.cut_one_way(others, some);
    }

    /// Lets nothing pass from one group to the other any more.
    pub fn cut_one_way(&mut self, from: &[NodeId], to: &[NodeId]) {
        let find = |nodes: &[NodeId]| -> Vec<u32> {
            let found = nodes.iter().filter_map(|node| self.machines.find(node));
            found.collect()
        };
        let (from, to) = (find(from), find(to));
        self.network.cut_one_way(&from, &to);
    }

    /// Gives a command to a node's engine; the answer will be among [`World::replies`].
    pub fn command(&mut self, node: NodeId, command: Command) -> RequestId {
        self.requests += 1;
        let request = self.requests;
        if let Some(at) = self.machines.find(&node) {
            let input = Input::Command { request, command };
            self.push(self.now, at, What::Input(input));
        }
        request
    }

    /// Lets a frame arrive that the sender's engine did not send.
    pub fn inject(&mut self, from: NodeId, to: NodeId, message: &Message) {
        let bytes = encode_frame(message);
        if let Some(to) = self.machines.find(&to) {
            self.push(self.now, to, What::Input(Input::Frame { from, bytes }));
        }
    }

    /// Submits a job and runs until it is acknowledged.
    pub fn submit(&mut self, node: NodeId, spec: JobSpec) -> Result<JobId, CommandError> {
        let request = self.command(node, Command::Submit(Box::new(spec)));
        self.run_until(Duration::from_secs(1), |world| {
            world.replies.contains_key(&request)
        });
        match self.replies.get(&request) {
            Some(Ok(Reply::Submitted { job, .. })) => Ok(*job),
            Some(Err(error)) => Err(error.clone()),
            other => panic!("no acknowledgement within a second: {other:?}"),
        }
    }

    /// Runs for a while.
    ///
    /// # Panics
    /// If something did not hold that always must.
    pub fn run_for(&mut self, length: Duration) {
        let end = self.now + length;
        while self.step(end) {
            self.assert_sound();
        }
        self.now = end;
    }

    fn assert_sound(&self) {
        assert!(self.violations.is_empty(), "{}", self.violations.join("\n"));
    }

    pub(super) const fn view_limit(&self) -> usize {
        self.config.gossip.view_limit
    }

    /// Runs until something holds, for at most `limit`; says whether it held.
    ///
    /// # Panics
    /// If something did not hold that always must.
    pub fn run_until(&mut self, limit: Duration, mut holds: impl FnMut(&Self) -> bool) -> bool {
        let end = self.now + limit;
        loop {
            if holds(self) {
                return true;
            }
            if !self.step(end) {
                self.now = end.max(self.now);
                return holds(self);
            }
            self.assert_sound();
        }
    }

    /// The engine of a node whose daemon runs.
    pub fn engine(&self, node: NodeId) -> Option<&Engine> {
        self.machines.get(&node)?.engine.as_ref()
    }

    /// A job as its owner sees it.
    pub fn job(&self, owner: NodeId, id: JobId) -> Option<&Job> {
        self.engine(owner)?.job(id)
    }

    /// Whether each running daemon sees all others that run, and nobody else, alive.
    pub fn is_formed(&self) -> bool {
        let engines = self.machines.iter().filter_map(|m| m.engine.as_ref());
        let up = engines.clone().count();
        engines.into_iter().all(|engine| {
            let alive = engine
                .gossip()
                .members()
                .filter(|member| member.state == MemberState::Alive && member.fixed.is_some());
            alive.count() == up
        })
    }

    /// Who sees whom how, for the message of a test that failed.
    pub fn views(&self) -> String {
        let mut text = String::new();
        for machine in &self.machines {
            let node = machine.node;
            let Some(engine) = &machine.engine else {
                text += &format!("\n{node:?} is down");
                continue;
            };
            text += &format!("\n{node:?} sees");
            for member in engine.gossip().members() {
                let known = if member.fixed.is_some() {
                    ""
                } else {
                    ", nameless"
                };
                let linked = if member.linked { ", linked" } else { "" };
                text += &format!(" {:?} {:?}{known}{linked};", member.node, member.state);
            }
        }
        text
    }
}
