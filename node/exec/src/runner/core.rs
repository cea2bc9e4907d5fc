//! The runner's state and its loop. One turn: wait, take in what the daemon says and what the
//! children did, start a few tasks, write the journal, then tell the daemon; what it is told is in
//! the journal before.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use rustix::process::Pid;

use super::Key;
use super::daemon::Daemon;
use super::janitor::Janitor;
use super::journal::{Journal, Known, Memory};
use super::oom::MachineKills;
use super::requests::OVERDUE;
use super::signals::Signals;
use super::spawn::Spawner;
use super::streams::CHUNK;
use super::tasks::{Entry, records};
use super::timers::{Timer, Timers};
use super::work::Workspace;
use crate::cgroup::Limiter;
use crate::clock;
use crate::protocol::{Event, Settings, clip};

const LISTENER: u64 = 0;
const DAEMON: u64 = 1;
const SIGNALS: u64 = 2;
/// The number of the first task in tokens; a token is twice that plus the stream.
const FIRST_TASK: u64 = 2;
/// Events taken in one turn.
const EVENTS: usize = 256;
/// The most different warnings that are told.
const MAX_WARNINGS: usize = 100;
/// The pause between two attempts to write a journal that cannot be written.
const REWRITE_PAUSE: Duration = Duration::from_secs(1);
/// How long a spare working directory waits for another task.
const TIDY_AFTER: Duration = Duration::from_secs(1);

/// The runner.
#[derive(Debug)]
pub(super) struct Runner {
    pub(super) epoll: OwnedFd,
    listener: UnixListener,
    signals: Signals,
    pub(super) daemon: Option<Daemon>,
    pub(super) settings: Settings,
    pub(super) mark: String,
    boot: String,
    pub(super) tag: String,
    pub(super) journal: Journal,
    rewrite_after: Option<Instant>,
    pub(super) janitor: Janitor,
    pub(super) spawner: Spawner,
    pub(super) work: Workspace,
    tidying: bool,
    pub(super) limiter: Option<Limiter>,
    pub(super) timers: Timers,
    pub(super) kills: MachineKills,
    pub(super) tasks: BTreeMap<Key, Entry>,
    /// What the daemon wants to be told of each task when it comes back.
    pub(super) notes: BTreeMap<Key, Vec<u8>>,
    /// Until when tasks may run that need a lease, in nanoseconds of the monotonic clock.
    pub(super) leases: BTreeMap<Key, u64>,
    pub(super) queue: VecDeque<Key>,
    /// Ends in the order they came, with some that have been acknowledged since.
    pub(super) ended: VecDeque<Key>,
    pub(super) ended_count: usize,
    pub(super) running: usize,
    pub(super) by_pid: HashMap<Pid, Key>,
    pub(super) by_number: HashMap<u64, Key>,
    pub(super) next_number: u64,
    /// Streams that may have more to read at once.
    pub(super) more: Vec<u64>,
    pub(super) buffer: Vec<u8>,
    warned: BTreeSet<String>,
    untold: Vec<String>,
    alone_since: Option<Instant>,
    /// When every task is to be over, once the runner has been asked to leave.
    pub(super) leave_by: Option<Instant>,
}

impl Runner {
    pub(super) fn new(
        memory: Memory,
        tag: String,
        listener: UnixListener,
        signals: Signals,
    ) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        watch(&epoll, &listener, LISTENER)?;
        watch(&epoll, signals.pipe(), SIGNALS)?;
        let now = clock::now();
        let mut tasks = BTreeMap::new();
        for (key, known) in memory.tasks {
            if let Known::Ended(outcome) = known {
                tasks.insert(key, Entry::Ended(outcome));
            }
        }
        let journal = Journal::create(records(&memory.mark, &memory.boot, &tasks))?;
        Ok(Self {
            epoll,
            listener,
            signals,
            daemon: None,
            settings: Settings::default(),
            mark: memory.mark,
            boot: memory.boot,
            tag,
            journal,
            rewrite_after: None,
            janitor: Janitor::start()?,
            spawner: Spawner::new()?,
            work: Workspace::new(rustix::process::geteuid().as_raw()),
            tidying: false,
            limiter: None,
            timers: Timers::default(),
            kills: MachineKills::new(now),
            queue: VecDeque::new(),
            ended: tasks.keys().copied().collect(),
            ended_count: tasks.len(),
            tasks,
            notes: BTreeMap::new(),
            leases: BTreeMap::new(),
            running: 0,
            by_pid: HashMap::new(),
            by_number: HashMap::new(),
            next_number: FIRST_TASK,
            more: Vec::new(),
            buffer: vec![0; CHUNK],
            warned: BTreeSet::new(),
            untold: Vec::new(),
            alone_since: Some(now),
            leave_by: None,
        })
    }

    /// Runs until there is nothing to hold, or the daemon has asked to leave and all is over.
    pub(super) fn run(mut self) -> io::Result<()> {
        let mut events = Vec::with_capacity(EVENTS);
        while !self.is_done(clock::now()) {
            let timeout = self.timeout(clock::now());
            events.clear();
            match epoll::wait(&self.epoll, spare_capacity(&mut events), timeout.as_ref()) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            let now = clock::now();
            self.kills.refresh(now);
            let mut streams = std::mem::take(&mut self.more);
            let mut signalled = false;
            for event in &events {
                match event.data.u64() {
                    LISTENER => self.accept(),
                    DAEMON => self.hear(now),
                    SIGNALS => signalled = true,
                    token => streams.push(token),
                }
            }
            if signalled {
                if self.signals.take() {
                    self.leave(now, None);
                }
                self.reap(now);
            }
            for token in streams {
                self.pump(token);
            }
            self.fire(now);
            self.start_some(now);
            if !self.tidying && self.work.has_spare() {
                self.tidying = true;
                self.timers.add(now, TIDY_AFTER, Timer::Tidy);
            }
            self.write_journal(now);
            self.tell();
        }
        self.tell();
        if let Some(limiter) = self.limiter.take() {
            self.janitor.finish();
            limiter.remove();
        }
        Ok(())
    }

    fn accept(&mut self) {
        // The last one counts: an older connection is of a daemon that is gone or about to be.
        while let Ok((socket, _)) = self.listener.accept() {
            self.hang_up();
            let Ok(daemon) = Daemon::new(socket) else {
                continue;
            };
            if watch(&self.epoll, daemon.socket(), DAEMON).is_ok() {
                self.daemon = Some(daemon);
                self.alone_since = None;
            }
        }
    }

    fn hear(&mut self, now: Instant) {
        match self.daemon.as_mut().map(Daemon::hear) {
            None => {}
            Some(None) => self.hang_up(),
            Some(Some(requests)) => {
                for request in requests {
                    self.carry_out(now, request);
                }
            }
        }
    }

    fn hang_up(&mut self) {
        self.daemon = None;
        self.alone_since = Some(clock::now());
    }

    /// Brings events to the daemon.
    fn tell(&mut self) {
        let Some(daemon) = &mut self.daemon else {
            return;
        };
        if daemon.greeted {
            for text in self.untold.drain(..) {
                daemon.push(Event::Warning(text));
            }
        }
        if !daemon.tell() {
            return self.hang_up();
        }
        let waiting = daemon.is_waiting();
        if waiting != daemon.watched_for_room {
            daemon.watched_for_room = waiting;
            let room = if waiting {
                epoll::EventFlags::OUT
            } else {
                epoll::EventFlags::empty()
            };
            let flags = epoll::EventFlags::IN | room;
            let data = epoll::EventData::new_u64(DAEMON);
            let _ = epoll::modify(&self.epoll, daemon.socket(), data, flags);
        }
    }

    /// Removes the spare working directories if none was of use lately.
    pub(super) fn tidy(&mut self) {
        self.tidying = false;
        for dir in self.work.tidy() {
            self.janitor.remove_tree(dir);
        }
    }

    /// Notes an event for the daemon, if there is one.
    pub(super) fn push(&mut self, event: Event) {
        if let Some(daemon) = &mut self.daemon {
            daemon.push(event);
        }
    }

    /// Tells a person something, once.
    pub(super) fn warn(&mut self, text: &str) {
        let text = clip(text);
        if self.warned.len() < MAX_WARNINGS && self.warned.insert(text.clone()) {
            eprintln!("{text}");
            self.untold.push(text);
        }
    }

    /// Writes what was noted in the journal, or all of it anew if it grew or broke.
    pub(super) fn write_journal(&mut self, now: Instant) {
        if let Err(error) = self.journal.flush() {
            self.warn(&format!(
                "the runner's journal cannot be written ({error}): if the runner died now, its \
                 tasks would not be found; make room on the data directory's disk"
            ));
        }
        if !self.journal.wants_rewrite() || self.rewrite_after.is_some_and(|after| now < after) {
            return;
        }
        match Journal::create(records(&self.mark, &self.boot, &self.tasks)) {
            Ok(journal) => (self.journal, self.rewrite_after) = (journal, None),
            Err(_) => self.rewrite_after = Some(now + REWRITE_PAUSE),
        }
    }

    fn timeout(&self, now: Instant) -> Option<Timespec> {
        if !self.more.is_empty() || !self.queue.is_empty() {
            return Some(Timespec {
                tv_sec: 0,
                tv_nsec: 0,
            });
        }
        let idle = self
            .alone_since
            .filter(|_| self.running == 0)
            .map(|since| since + self.idle());
        let kills = (self.running > 0).then(|| self.kills.next());
        let rewrite = self.journal.is_broken().then_some(now + REWRITE_PAUSE);
        let overdue = self.leave_by.map(|by| by + OVERDUE);
        let wakes = [self.timers.next(), idle, kills, rewrite, overdue];
        let next = wakes.into_iter().flatten().min()?;
        // A little late rather than a little early, and then once more for nothing.
        let wait = next.saturating_duration_since(now) + Duration::from_micros(100);
        Timespec::try_from(wait).ok()
    }

    fn idle(&self) -> Duration {
        Duration::from_millis(self.settings.idle_exit_ms)
    }

    fn is_done(&self, now: Instant) -> bool {
        let is_empty = self.tasks.len() == self.ended_count;
        if self.leave_by.is_some() {
            return is_empty || self.is_overdue(now);
        }
        is_empty
            && self
                .alone_since
                .is_some_and(|since| now >= since + self.idle())
    }
}

/// Has the loop wake up for a descriptor.
pub(super) fn watch(epoll: &OwnedFd, source: impl AsFd, token: u64) -> io::Result<()> {
    let data = epoll::EventData::new_u64(token);
    Ok(epoll::add(epoll, source, data, epoll::EventFlags::IN)?)
}
