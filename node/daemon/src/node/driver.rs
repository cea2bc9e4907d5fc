//! The loop that owns the engine: whatever happens becomes an input, whatever the engine wants is
//! carried out. No rule of the protocol lives here.
//!
//! Each turn takes in what has piled up (bounded, so that nothing starves), lets the engine tick
//! once, and carries the effects out in the order that the engine's contract asks for.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use starling_engine::{
    CommandError, Effect, Effects, Engine, HostSample, Input, Reply, RequestId, TaskEvent,
};
use starling_exec::{ExecEvent, ExecEvents, Executor as _, Executors, Launch};
use starling_net::{Net, NetEvent};
use starling_wire::{JobSpec, NodeId, NodeStatic, Time};
use tokio::sync::{mpsc, oneshot, watch};

use super::clock::Clock;
use super::handle::{EventLog, Request};
use super::journal::{Journal, Outcome, Stored};
use crate::cluster::views;

/// The most inputs taken in before the engine's effects are carried out.
const BATCH: usize = 256;

/// How long the executor may take to end what is left when the daemon leaves.
const EXEC_SHUTDOWN: Duration = Duration::from_secs(5);
/// How long a refusal is not logged again.
const TELL_AGAIN: Duration = Duration::from_secs(600);
/// The most refusals that are remembered for that.
const MAX_TOLD: usize = 256;

/// What the driver is made of.
pub(crate) struct Parts {
    pub(crate) clock: Clock,
    pub(crate) engine: Engine,
    /// What [`Engine::new`] wanted done.
    pub(crate) first: Effects,
    pub(crate) net: Net,
    pub(crate) net_events: mpsc::Receiver<NetEvent>,
    pub(crate) executor: Executors,
    pub(crate) exec_events: ExecEvents,
    pub(crate) samples: mpsc::Receiver<HostSample>,
    pub(crate) requests: mpsc::Receiver<Request>,
    pub(crate) journal: Journal,
    pub(crate) stored: mpsc::UnboundedReceiver<Stored>,
    pub(crate) events: EventLog,
    /// How joining goes, for whoever waits for it.
    pub(crate) join: watch::Sender<JoinState>,
}

/// How the first contact with the cluster goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct JoinState {
    /// Whether some member was reached.
    pub(crate) linked: bool,
    /// Why the last peer that turned us away did so.
    pub(crate) refused: Option<String>,
    /// Why the last dial failed.
    pub(crate) unreachable: Option<String>,
}

/// The loop's state.
pub(crate) struct Driver {
    parts: Parts,
    me: NodeId,
    name: String,
    fixed: NodeStatic,
    waiting: BTreeMap<RequestId, oneshot::Sender<Result<Reply, CommandError>>>,
    last_request: RequestId,
    /// Inputs that the driver itself made: frames to this node, and durability.
    own: VecDeque<Input>,
    launches: Vec<Launch>,
    /// Refusals that were logged lately.
    told: BTreeMap<String, Time>,
    left: bool,
}

impl Driver {
    pub(crate) fn new(mut parts: Parts) -> Self {
        let me = parts.engine.gossip().me();
        let fixed = parts.engine.gossip().my_fixed().clone();
        let first = std::mem::take(&mut parts.first);
        let mut driver = Self {
            me,
            name: fixed.name.clone(),
            fixed,
            waiting: BTreeMap::new(),
            last_request: 0,
            own: VecDeque::new(),
            launches: Vec::new(),
            told: BTreeMap::new(),
            left: false,
            parts,
        };
        driver.carry_out(first);
        driver
    }

    /// Runs until the engine has left; then everything is on disk and the network is down.
    pub(crate) async fn run(mut self) {
        while !self.left {
            let mut fx = Effects::default();
            self.wait(&mut fx).await;
            self.take_in(&mut fx);
            let now = self.parts.clock.now();
            self.parts.engine.tick(now, &mut fx);
            self.carry_out(fx);
            self.parts.journal.tick();
        }
        self.finish().await;
    }

    /// Waits until something is to be done, and takes one thing in.
    async fn wait(&mut self, fx: &mut Effects) {
        if !self.own.is_empty() {
            return;
        }
        let engine_due = self
            .parts
            .engine
            .next_deadline()
            .map(|time| self.parts.clock.instant(time));
        let due = [engine_due, self.parts.journal.deadline()]
            .into_iter()
            .flatten()
            .min();
        let sleep = async {
            match due {
                Some(due) => tokio::time::sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            Some(stored) = self.parts.stored.recv() => self.stored(stored),
            Some(request) = self.parts.requests.recv() => self.request(request, fx),
            Some(event) = self.parts.net_events.recv() => self.net_event(event, fx),
            Some(event) = self.parts.exec_events.recv() => self.exec_event(event, fx),
            Some(sample) = self.parts.samples.recv() => self.feed(Input::Sample(sample), fx),
            () = sleep => {}
        }
    }

    /// Takes in what else has piled up, without waiting.
    fn take_in(&mut self, fx: &mut Effects) {
        for _ in 0..BATCH {
            let mut any = false;
            if let Some(input) = self.own.pop_front() {
                self.feed(input, fx);
                any = true;
            }
            if let Ok(stored) = self.parts.stored.try_recv() {
                self.stored(stored);
                any = true;
            }
            if let Ok(event) = self.parts.net_events.try_recv() {
                self.net_event(event, fx);
                any = true;
            }
            if let Ok(event) = self.parts.exec_events.try_recv() {
                self.exec_event(event, fx);
                any = true;
            }
            if let Ok(request) = self.parts.requests.try_recv() {
                self.request(request, fx);
                any = true;
            }
            if !any {
                break;
            }
        }
    }

    fn feed(&mut self, input: Input, fx: &mut Effects) {
        let now = self.parts.clock.now();
        self.parts.engine.handle(now, input, fx);
    }

    fn request(&mut self, request: Request, fx: &mut Effects) {
        match request {
            Request::Read(look) => look(&self.parts.engine),
            Request::Command(command, answer) => {
                self.last_request += 1;
                let request = self.last_request;
                self.waiting.insert(request, answer);
                self.feed(Input::Command { request, command }, fx);
            }
        }
    }

    fn net_event(&mut self, event: NetEvent, fx: &mut Effects) {
        let input = match event {
            NetEvent::Frame { from, bytes } => Input::Frame { from, bytes },
            NetEvent::Up { peer } => {
                tracing::debug!(peer = %peer.short(), "linked");
                self.parts.join.send_modify(|join| join.linked = true);
                Input::LinkUp(peer)
            }
            NetEvent::Down { peer } => {
                tracing::debug!(peer = %peer.short(), "link lost");
                Input::LinkDown(peer)
            }
            NetEvent::DialFailed {
                peer,
                refused,
                reason,
            } => {
                tracing::debug!(peer = %peer.short(), refused, %reason, "dial failed");
                self.parts.join.send_if_modified(|join| {
                    join.unreachable = Some(reason);
                    !join.linked
                });
                Input::DialFailed { peer, refused }
            }
            NetEvent::Discovered { peer, addr } => Input::Discovered { peer, addr },
            NetEvent::Refused { addr, reason } => {
                if self.is_news(&addr, &reason) {
                    tracing::warn!(%addr, "{reason}");
                } else {
                    tracing::debug!(%addr, "{reason}");
                }
                self.parts.join.send_if_modified(|join| {
                    join.refused = Some(reason);
                    !join.linked
                });
                return;
            }
            NetEvent::Listening { addr } => {
                tracing::info!(%addr, "listening");
                let addrs = self.parts.net.listen_addrs();
                if addrs == self.fixed.addrs {
                    return;
                }
                self.fixed.addrs = addrs;
                Input::Fixed(self.fixed.clone())
            }
        };
        self.feed(input, fx);
    }

    /// Whether this refusal was not told lately: a stranger on the same LAN knocks for ever.
    fn is_news(&mut self, addr: &str, reason: &str) -> bool {
        let now = self.parts.clock.now();
        self.told.retain(|_, at| now.since(*at) < TELL_AGAIN);
        // The port of whoever knocks is another each time.
        let host = addr.split("/tcp/").next().unwrap_or(addr);
        let key = format!("{host} {reason}");
        self.told.len() < MAX_TOLD && self.told.insert(key, now).is_none()
    }

    fn exec_event(&mut self, event: ExecEvent, fx: &mut Effects) {
        let event = match event {
            ExecEvent::Started { task, epoch, .. } => TaskEvent::Started { task, epoch },
            ExecEvent::Containers(engine) => {
                self.fixed.set_containers(engine);
                return self.feed(Input::Fixed(self.fixed.clone()), fx);
            }
            ExecEvent::Ended {
                task,
                epoch,
                outcome,
            } => TaskEvent::Ended {
                task,
                epoch,
                outcome,
            },
            ExecEvent::Warning(warning) => {
                tracing::warn!("{warning}");
                return;
            }
            ExecEvent::RunnerLost => {
                tracing::warn!("the runner died; its tasks are lost, a new runner is started");
                return;
            }
        };
        self.feed(Input::Task(event), fx);
    }

    fn stored(&mut self, stored: Stored) {
        match self.parts.journal.stored(stored) {
            Outcome::Durable(after) => self.act(after),
            Outcome::Refused(effects, reason) => {
                tracing::error!(%reason, "the disk does not take what must be saved; trying again");
                for effect in effects {
                    match effect {
                        Effect::Confirm(job) => {
                            let reason = reason.clone();
                            self.own.push_back(Input::NotDurable { job, reason });
                        }
                        Effect::Reply { request, .. } => {
                            let error = CommandError::Storage(reason.clone());
                            self.reply(request, Err(error));
                        }
                        _ => {}
                    }
                }
            }
        }
    }

    fn carry_out(&mut self, fx: Effects) {
        if fx.is_empty() {
            return;
        }
        self.act(fx.now);
        let after = self.parts.journal.save(fx.saves, fx.after, fx.lazy);
        self.act(after);
    }

    fn act(&mut self, effects: Vec<Effect>) {
        let mut leases = Vec::new();
        for effect in effects {
            match effect {
                Effect::Send { to, bytes, .. } if to == self.me => {
                    self.own.push_back(Input::Frame { from: to, bytes });
                }
                Effect::Send { to, urgent, bytes } => self.parts.net.send(to, urgent, bytes),
                Effect::Dial { peer, addrs } => self.parts.net.dial(peer, addrs),
                Effect::HangUp(peer) => self.parts.net.hang_up(peer),
                Effect::Start {
                    task,
                    epoch,
                    spec,
                    note,
                    lease,
                } => {
                    let mut launch = launch(task, epoch, &spec, &self.name);
                    launch.note = note;
                    launch.lease = lease.map(|until| self.parts.clock.monotonic(until));
                    self.launches.push(launch);
                }
                Effect::StopTask {
                    task,
                    epoch,
                    outcome,
                } => {
                    self.launch();
                    self.parts.executor.stop(task, epoch, outcome);
                }
                Effect::Lease { task, epoch, until } => {
                    leases.push((task, epoch, self.parts.clock.monotonic(until)));
                }
                Effect::Forget(tasks) => self.parts.executor.acknowledge(tasks),
                Effect::Reply { request, reply } => self.reply(request, reply),
                Effect::Confirm(job) => self.own.push_back(Input::Durable(job)),
                Effect::Event(event) => {
                    let at = self.parts.clock.now().as_millis();
                    let event = views::event(&self.parts.engine, at, &event);
                    tracing::debug!(kind = %event.kind, "{}", event.message);
                    self.parts.events.push(event);
                }
                Effect::Left => self.left = true,
            }
        }
        self.launch();
        if !leases.is_empty() {
            self.parts.executor.lease(leases);
        }
    }

    /// Hands what is to be started to the executor, as one message.
    fn launch(&mut self) {
        if !self.launches.is_empty() {
            self.parts
                .executor
                .start(std::mem::take(&mut self.launches));
        }
    }

    fn reply(&mut self, request: RequestId, reply: Result<Reply, CommandError>) {
        if let Some(answer) = self.waiting.remove(&request) {
            // Whoever asked may have gone; the command has been carried out all the same.
            let _ = answer.send(reply);
        }
    }

    /// Lets the disk and the network finish.
    async fn finish(mut self) {
        let patience = tokio::time::Instant::now() + Duration::from_secs(2);
        while !self.parts.journal.is_idle() {
            self.parts.journal.tick();
            let due = self
                .parts
                .journal
                .deadline()
                .unwrap_or(patience)
                .min(patience);
            tokio::select! {
                Some(stored) = self.parts.stored.recv() => self.stored(stored),
                () = tokio::time::sleep_until(due) => {
                    if tokio::time::Instant::now() >= patience {
                        tracing::error!("the disk does not take the last changes; giving up");
                        break;
                    }
                }
            }
        }
        self.parts.net.shutdown().await;
        // The runner has nothing left to hold. Its last events are for nobody, but must be taken.
        let shutdown = self.parts.executor.shutdown(EXEC_SHUTDOWN);
        tokio::pin!(shutdown);
        loop {
            tokio::select! {
                () = &mut shutdown => break,
                Some(_) = self.parts.exec_events.recv() => {}
            }
        }
    }
}

fn launch(
    task: starling_wire::TaskId,
    epoch: starling_wire::Epoch,
    spec: &JobSpec,
    node: &str,
) -> Launch {
    let mut env = spec.env.clone();
    env.extend(
        [
            ("STARLING_JOB", task.job.to_string()),
            ("STARLING_TASK", task.to_string()),
            ("STARLING_INDEX", task.index.to_string()),
            ("STARLING_EPOCH", epoch.to_string()),
            ("STARLING_NODE", node.to_owned()),
        ]
        .map(|(key, value)| (key.to_owned(), value)),
    );
    Launch {
        task,
        epoch,
        command: spec.command.clone(),
        env,
        dir: spec.dir.clone(),
        user: spec.user.clone(),
        cpu_limit: spec.cpu_limit,
        memory_limit: spec.memory_limit,
        grace_ms: spec.grace_ms,
        lease: None,
        container: spec.container.clone(),
        note: Vec::new(),
    }
}
