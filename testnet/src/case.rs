//! A case: one run, as every policy gets it. Machines, jobs, the truth about performance, the
//! network and the faults are drawn once from a seed; each policy then meets the same ones (common
//! random numbers), whether it is the production engine in virtual time ([`crate::sim`]) or a rival
//! in the queueing model ([`crate::model`]).

use std::sync::Arc;
use std::time::Duration;

use starling_placement::Resources;

use crate::truth::Truth;

/// Everything about one run except who schedules it. Times count from the start of the workload.
#[derive(Clone, Debug)]
pub struct Case {
    /// For people and reports.
    pub name: String,
    /// What it was drawn from; a policy derives its own random numbers from it.
    pub seed: u64,
    /// The fleet; machines are named by their index.
    pub machines: Vec<Machine>,
    /// How fast what runs where, and beside whom.
    pub truth: Arc<Truth>,
    /// What policies may believe about the truth.
    pub beliefs: Beliefs,
    /// The workload, ordered by time.
    pub jobs: Vec<Job>,
    /// What lies between the machines.
    pub network: Network,
    /// Between two gossip exchanges that a machine opens.
    pub gossip_period: Duration,
    /// What goes wrong, ordered by time.
    pub faults: Vec<Fault>,
    /// Jobs submitted before this are not measured: the system fills up meanwhile.
    pub warmup: Duration,
    /// Jobs submitted after this are not measured: they keep the system full.
    pub measured_until: Duration,
    /// The run ends here at the latest, finished or not.
    pub end: Duration,
    /// What only the simulator understands.
    pub sim: SimSettings,
}

/// Settings of the simulated engines and their world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SimSettings {
    /// How long the cluster has to form before the workload begins.
    pub form: Duration,
    /// Between two moments of [`crate::outcome::Outcome::course`]; by default two hundred are noted.
    pub sample: Option<Duration>,
    /// The most members a view holds.
    pub view_limit: usize,
    /// Bytes per second that a node spends on gossip, both directions together.
    pub byte_budget: u32,
    /// How many others each machine knows at its first start; with 1 all know the same one.
    pub acquaintances: usize,
    /// How long a process takes to start, at least and at most.
    pub spawn: (Duration, Duration),
}

impl Default for SimSettings {
    fn default() -> Self {
        Self {
            form: Duration::from_secs(30),
            sample: None,
            view_limit: 512,
            byte_budget: 4096,
            acquaintances: 8,
            spawn: (Duration::from_micros(300), Duration::from_micros(1_500)),
        }
    }
}

/// A machine of the fleet.
#[derive(Clone, Debug, PartialEq)]
pub struct Machine {
    /// Its name, `n0` and so on unless the scenario says otherwise.
    pub name: String,
    /// Index into [`Truth::platforms`].
    pub platform: u16,
    /// What it can give to tasks.
    pub capacity: Resources,
    /// Index of its zone; zones share a latency.
    pub zone: u16,
    /// Labels, besides `name` and `zone`.
    pub labels: Vec<(String, String)>,
    /// Nobody can dial it; it can dial others.
    pub nat: bool,
    /// It advertises an empty node whatever it runs.
    pub liar: bool,
    /// CPU in millicores that programs use which the cluster did not start.
    pub foreign_cpu: u32,
    /// How fast its clock runs, against true time: 1.0001 gains 100 microseconds per second.
    pub clock_rate: f64,
    /// How far its clock is ahead at the start.
    pub clock_ahead: Duration,
    /// How long its disk takes to sync, at least and at most.
    pub sync: (Duration, Duration),
    /// It is up from the start; otherwise a [`FaultKind::Boot`] brings it in.
    pub up: bool,
}

/// A job of the workload.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// When it is submitted.
    pub at: Duration,
    /// At which machine.
    pub home: u32,
    /// Index into [`Truth::classes`].
    pub class: u16,
    /// Index into the report's groups of jobs: `short` and `long`, for example.
    pub group: u16,
    /// What each of its tasks reserves.
    pub need: Resources,
    /// The work of each task: how long it runs alone where its class has speed 1. A service, which
    /// never ends by itself, has [`SERVICE`].
    pub tasks: Vec<Duration>,
}

/// The work of a service: it runs until the end.
pub const SERVICE: Duration = Duration::MAX;

/// What policies that know classes believe about their speeds and contention.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Beliefs {
    /// Nothing: every class does as well everywhere.
    #[default]
    Nothing,
    /// The truth, each cell times a log-normal error with this standard deviation of its logarithm.
    Given {
        /// 0 gives the truth itself.
        error: f64,
    },
    /// Running means per class and platform of what the run has shown so far.
    Learned,
}

/// Latency, loss and bandwidth between machines.
#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    /// One-way latency.
    pub latency: Latency,
    /// The share of frames lost, 0 to 1.
    pub loss: f64,
    /// The share of frames delivered twice, 0 to 1.
    pub duplication: f64,
    /// The share of frames that overtake earlier ones, 0 to 1.
    pub reordering: f64,
    /// What a machine can send, in bytes per second; none is without limit.
    pub bandwidth: Option<u64>,
}

/// A one-way latency.
#[derive(Clone, Debug, PartialEq)]
pub enum Latency {
    /// Always the same.
    Fixed(Duration),
    /// Evenly between two bounds.
    Uniform(Duration, Duration),
    /// Log-normal: its median, and the standard deviation of its logarithm.
    LogNormal {
        /// The median.
        median: Duration,
        /// The standard deviation of the logarithm.
        sigma: f64,
    },
    /// By pair of zones, `zones[from][to]`.
    Zones(Vec<Vec<Self>>),
    /// Half of a measured round trip by pair of machines, `rtt[from % n][to % n]`, with log-normal
    /// jitter.
    Matrix {
        /// Round-trip times.
        rtt: Arc<Vec<Vec<Duration>>>,
        /// The standard deviation of the logarithm of the jitter.
        sigma: f64,
    },
}

/// Something that goes wrong, or is put right.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    /// When.
    pub at: Duration,
    /// What.
    pub what: FaultKind,
}

/// What goes wrong. Machines are indices into [`Case::machines`].
#[derive(Clone, Debug, PartialEq)]
pub enum FaultKind {
    /// The daemon dies, with the tasks if the machine does; what was not synced is lost.
    Crash {
        /// Whose.
        machines: Vec<u32>,
        /// Whether the tasks die too.
        tasks: bool,
    },
    /// The daemon starts, on a machine that is down or new.
    Boot {
        /// Whose.
        machines: Vec<u32>,
    },
    /// The daemon leaves in order.
    Leave {
        /// Whose.
        machines: Vec<u32>,
    },
    /// The daemon stands still, as after SIGSTOP.
    Pause {
        /// Whose.
        machines: Vec<u32>,
        /// For how long.
        length: Duration,
    },
    /// Nothing passes from one group to the other, nor back unless `one_way`.
    Cut {
        /// The one group.
        from: Vec<u32>,
        /// The other.
        to: Vec<u32>,
        /// Whether the way back stays open.
        one_way: bool,
    },
    /// Every cut is healed.
    Heal,
    /// The share of frames lost changes, 0 to 1.
    Loss(f64),
    /// Disks take this much longer to sync, as a factor.
    SlowDisk {
        /// Whose.
        machines: Vec<u32>,
        /// 1 is as usual.
        factor: f64,
    },
    /// Machines begin or cease to advertise that they are empty.
    Lie {
        /// Who.
        machines: Vec<u32>,
        /// Begin or cease.
        on: bool,
    },
    /// Programs that the cluster did not start use this much CPU from now on.
    Foreign {
        /// Where.
        machines: Vec<u32>,
        /// In millicores.
        cpu: u32,
    },
    /// The central part dies, for policies that have one: a master, or Dodoor's store.
    CentreDies,
    /// The central part is back.
    CentreReturns,
}

impl Case {
    /// A case without machines, jobs or faults, to be filled.
    pub fn empty(truth: Truth) -> Self {
        Self {
            name: String::new(),
            seed: 1,
            machines: Vec::new(),
            truth: Arc::new(truth),
            beliefs: Beliefs::Nothing,
            jobs: Vec::new(),
            network: Network::default(),
            gossip_period: Duration::from_secs(1),
            faults: Vec::new(),
            warmup: Duration::ZERO,
            measured_until: Duration::MAX,
            end: Duration::ZERO,
            sim: SimSettings::default(),
        }
    }

    /// The work per second that the fleet can do at speed 1, in cores, if one task takes one core.
    #[allow(clippy::cast_precision_loss)]
    pub fn cores(&self) -> f64 {
        let milli: u64 = self
            .machines
            .iter()
            .map(|m| u64::from(m.capacity.cpu))
            .sum();
        milli as f64 / 1_000.0
    }

    /// How many tasks all jobs have together.
    pub fn task_count(&self) -> usize {
        self.jobs.iter().map(|job| job.tasks.len()).sum()
    }

    /// Whether a job's tasks are measured: it came after the warm-up and before the cool-down.
    pub fn is_measured(&self, job: &Job) -> bool {
        job.at >= self.warmup && job.at < self.measured_until
    }
}

impl Machine {
    /// A machine without peculiarities.
    pub fn new(name: String, platform: u16, capacity: Resources) -> Self {
        Self {
            name,
            platform,
            capacity,
            zone: 0,
            labels: Vec::new(),
            nat: false,
            liar: false,
            foreign_cpu: 0,
            clock_rate: 1.0,
            clock_ahead: Duration::ZERO,
            sync: (Duration::from_micros(300), Duration::from_millis(3)),
            up: true,
        }
    }
}

impl Default for Network {
    fn default() -> Self {
        Self {
            latency: Latency::Uniform(Duration::from_micros(100), Duration::from_micros(600)),
            loss: 0.0,
            duplication: 0.0,
            reordering: 0.0,
            bandwidth: None,
        }
    }
}
