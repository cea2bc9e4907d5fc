//! `starling up`: puts one machine's daemon together and runs it in the foreground until it is told
//! to leave.

mod executors;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use rand::SeedableRng;
use rand_chacha::ChaCha12Rng;
use starling_api::NodeRef;
use starling_engine::{Command, Config, Effects, Engine, HostSample, Saved};
use starling_exec::Executor as _;
use starling_exec::sense::{HostFacts, Sensor};
use starling_net::{ClusterSecret, NetConfig};
use starling_placement::{Policy, Resources};
use starling_store::Store;
use starling_wire::{Ed25519, NodeStatic, Signer as _};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::cli::{CliError, LogFormat, Placement, UpArgs};
use crate::cluster::{Cluster, Local, serve};
use crate::http::{HttpConfig, Listeners};
use crate::node::clock::Clock;
use crate::node::driver::{Driver, JoinState, Parts};
use crate::node::handle::{EventLog, Handle};
use crate::node::identity::DataDir;
use crate::node::token::Token;
use crate::node::{Journal, report};

/// Where a daemon listens unless told otherwise.
const LISTEN: [&str; 1] = ["/ip4/0.0.0.0/tcp/4310"];
/// How often the sensors are read.
const SAMPLE: Duration = Duration::from_secs(1);
/// How long a first join that was refused may still succeed at another member.
const JOIN_PATIENCE: Duration = Duration::from_secs(2);

/// Runs the daemon until it has left.
pub(crate) fn up(args: UpArgs) -> Result<ExitCode, CliError> {
    start_log(args.log_format);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| CliError::Other(format!("cannot start the runtime: {error}")))?;
    let result = runtime.block_on(run(args));
    // Nothing that is still blocked (a slow disk) may keep the process.
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}

fn start_log(format: LogFormat) {
    let filter = tracing_subscriber::EnvFilter::try_from_env("STARLING_LOG").unwrap_or_else(|_| {
        tracing_subscriber::EnvFilter::new("info,libp2p_swarm=warn,libp2p_mdns=error")
    });
    let colours = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(colours)
        .with_writer(std::io::stderr);
    // A second start in one process (a test) keeps the first log.
    let _ = match format {
        LogFormat::Text => log.with_target(false).try_init(),
        LogFormat::Json => log.json().try_init(),
    };
}

fn failed(error: impl std::error::Error) -> CliError {
    CliError::Other(report(&error))
}

/// Which cluster this node is in, and how it got there.
struct Admission {
    secret: ClusterSecret,
    token: Option<Token>,
    /// This start joins for the first time.
    fresh_join: bool,
    founded: bool,
}

fn admission(data: &DataDir, join: Option<&str>) -> Result<Admission, CliError> {
    let token = join.map(Token::parse).transpose().map_err(failed)?;
    let known = data.cluster().map_err(failed)?;
    let (secret, fresh_join, founded) = match (known, &token) {
        (Some(secret), Some(token)) if secret.as_bytes() != token.secret.as_bytes() => {
            return Err(CliError::Other(format!(
                "--join: the token is of cluster {}, but {} belongs to cluster {}; use another \
                 --data-dir, or leave --join out",
                token.secret.cluster_id(),
                data.path().display(),
                secret.cluster_id()
            )));
        }
        (Some(secret), _) => (secret, false, false),
        (None, Some(token)) => (
            ClusterSecret::from_bytes(*token.secret.as_bytes()),
            true,
            false,
        ),
        (None, None) => (ClusterSecret::generate(), false, true),
    };
    if fresh_join || founded {
        data.set_cluster(&secret).map_err(failed)?;
    }
    Ok(Admission {
        secret,
        token,
        fresh_join,
        founded,
    })
}

async fn run(args: UpArgs) -> Result<ExitCode, CliError> {
    let dir = args
        .data_dir
        .clone()
        .map_or_else(crate::cli::default_data_dir, Ok)?;
    let data = DataDir::open(&dir).map_err(failed)?;
    let key = data.node_key().map_err(failed)?;
    let listeners = Listeners::open(&HttpConfig {
        data_dir: data.path().to_owned(),
        tcp: args.api,
    })
    .await
    .map_err(failed)?;
    let (store, rows) = Store::open(&data.path().join("state.redb")).map_err(failed)?;
    let admission = admission(&data, args.join.as_deref())?;
    let joined = start(&args, &data, key, &admission, listeners, store, rows).await;
    if joined.is_err() && (admission.fresh_join || admission.founded) {
        // Nothing half done: the next try begins anew.
        data.unset_cluster().map_err(failed)?;
    }
    joined
}

#[allow(clippy::too_many_arguments)]
async fn start(
    args: &UpArgs,
    data: &DataDir,
    key: [u8; 32],
    admission: &Admission,
    listeners: Listeners,
    store: Store,
    rows: Vec<(Vec<u8>, Vec<u8>)>,
) -> Result<ExitCode, CliError> {
    let secret = || ClusterSecret::from_bytes(*admission.secret.as_bytes());
    let listen: Vec<String> = if args.listen.is_empty() {
        LISTEN.iter().map(ToString::to_string).collect()
    } else {
        args.listen.clone()
    };
    let loopback_only = listen
        .iter()
        .all(|a| a.contains("/127.0.0.1/") || a.contains("/::1/"));
    let (net, net_events, calls) = starling_net::start(NetConfig {
        key_seed: key,
        secret: secret(),
        listen,
        mdns: !args.no_mdns && !loopback_only,
        advertise_loopback: args.advertise_loopback || loopback_only,
        agent: format!("starling/{}", env!("CARGO_PKG_VERSION")),
    })
    .await
    .map_err(|error| CliError::Other(format!("--listen: {}", report(&error))))?;
    let signer = Box::new(Ed25519::from_seed(&key));
    let node = signer.node().to_string();
    let (executor, held, exec_events) = executors::open(args, data.path(), node)
        .await
        .map_err(failed)?;

    let mut sensor = Sensor::new(data.path(), executor.runner_pid());
    let facts = sensor.facts();
    let mut fixed = node_static(
        args,
        &facts,
        sensor.sense().cpu_total_millis,
        net.listen_addrs(),
    );
    fixed.set_containers(executor.container_engine());
    let (sample_sender, samples) = mpsc::channel(1);
    let sampler = std::thread::spawn(move || sample(&mut sensor, &sample_sender));

    let clock = Clock::start();
    let me = NodeRef {
        id: signer.node().to_string(),
        name: fixed.name.clone(),
    };
    let seeds = admission
        .token
        .as_ref()
        .map(|token| token.seeds.clone())
        .unwrap_or_default();
    let config = Config {
        fixed,
        seeds,
        policy: Policy {
            classes: args.placement == Placement::Fit,
            ..Policy::default()
        },
        ..Config::default()
    };
    let mut first = Effects::default();
    let mut seed = [0; 32];
    rand::TryRng::try_fill_bytes(&mut rand::rngs::SysRng, &mut seed)
        .map_err(|_| CliError::Other("the operating system gives no random numbers".into()))?;
    let rng = ChaCha12Rng::from_seed(seed);
    let saved = Saved { rows, held };
    let engine =
        Engine::new(config, signer, &saved, rng, clock.now(), &mut first).map_err(failed)?;
    // The node's new incarnation is on disk before anybody hears of it.
    let saves = std::mem::take(&mut first.saves);
    store
        .commit(
            saves
                .into_iter()
                .map(|save| (save.key, save.value))
                .collect(),
        )
        .await
        .map_err(failed)?;

    let events = EventLog::new();
    let (handle, requests) = Handle::new(events.clone());
    let (journal, stored) = Journal::new(store);
    let (join, joining) = watch::channel(JoinState::default());
    let tasks_dir = Arc::new(executor.dir().to_owned());
    let local = Local {
        handle: handle.clone(),
        tasks_dir,
    };
    let cluster = Cluster {
        local: local.clone(),
        net: net.clone(),
        secret: Arc::new(secret()),
        me: me.clone(),
    };
    let driver = Driver::new(Parts {
        clock,
        engine,
        first,
        net,
        net_events,
        executor: executor.clone(),
        exec_events,
        samples,
        requests,
        journal,
        stored,
        events,
        join,
    });
    let driver = tokio::spawn(driver.run());
    let stop = CancellationToken::new();
    announce(&me, admission, &listeners);
    let http = tokio::spawn(listeners.serve(Arc::new(cluster), stop.clone()));
    let serving = tokio::spawn(serve(local, calls));

    let outcome = tokio::select! {
        outcome = until_left(driver, handle) => outcome,
        refusal = refused(joining, admission.fresh_join) => Err(refusal),
    };
    stop.cancel();
    if outcome.is_err() {
        // The driver did not get to its own end; a runner that was just started must not stay.
        executor.shutdown(Duration::from_secs(1)).await;
    }
    let _ = tokio::time::timeout(Duration::from_secs(2), http).await;
    serving.abort();
    // It ends at its next reading, since nobody takes it.
    drop(sampler);
    outcome
}

fn announce(me: &NodeRef, admission: &Admission, listeners: &Listeners) {
    let cluster = admission.secret.cluster_id();
    let how = match admission {
        Admission { founded: true, .. } => "founded",
        Admission {
            fresh_join: true, ..
        } => "joining",
        _ => "back in",
    };
    tracing::info!(
        node = %me.label(),
        id = %me.id,
        api = %listeners.socket().display(),
        "{how} cluster {cluster}; `starling token` prints the line that admits another machine"
    );
    if let Some(addr) = listeners.tcp_addr() {
        tracing::info!(%addr, "the API also answers here, to whoever has the token in api.token");
    }
}

fn node_static(
    args: &UpArgs,
    facts: &HostFacts,
    cpu_millis: u32,
    addrs: Vec<String>,
) -> NodeStatic {
    let name = args
        .name
        .clone()
        .or_else(|| Some(facts.host_name.clone()).filter(|name| !name.is_empty()))
        .unwrap_or_else(|| "node".to_owned());
    let mut labels: std::collections::BTreeMap<_, _> = args.labels.iter().cloned().collect();
    for (key, value) in [("arch", &facts.arch), ("os", &facts.os), ("name", &name)] {
        labels.insert(key.to_owned(), value.clone());
    }
    NodeStatic {
        name,
        platform: platform(facts),
        capacity: Resources {
            cpu: cpu_millis,
            memory: facts.memory,
            disk: facts.disk,
        },
        labels,
        addrs,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        // Filled in when the executors have looked.
        containers: None,
    }
}

/// The hardware class that a machine belongs to: processor, cores and memory. Memory is rounded to
/// the nearest of 1, 1.4, 2, 2.8, 4, .. GiB, since equal machines report a little less than they
/// have, each a little less than the next.
fn platform(facts: &HostFacts) -> String {
    #[allow(clippy::cast_precision_loss)]
    let gib = facts.memory as f64 / f64::from(1 << 30);
    let gib = ((gib.max(0.125).log2() * 2.0).round() / 2.0).exp2();
    let model = if facts.cpu_model.is_empty() {
        &facts.arch
    } else {
        &facts.cpu_model
    };
    let model = model.chars().filter(|c| !c.is_control()).take(64);
    format!("{} x{} {gib:.1}G", model.collect::<String>(), facts.cores)
}

/// Reads the sensors until nobody wants to know any more.
fn sample(sensor: &mut Sensor, samples: &mpsc::Sender<HostSample>) {
    loop {
        let sample = sensor.sense();
        let sample = HostSample {
            cpu_used: sample.cpu_used_millis,
            own_cpu_used: sample.own_cpu_used_millis,
            memory_available: sample.memory_available,
            disk_free: sample.disk_free,
            pressure: sample.pressure,
        };
        if samples.blocking_send(sample).is_err() {
            return;
        }
        std::thread::sleep(SAMPLE);
    }
}

/// Waits for a signal, leaves in order, and waits until that is done; a second signal ends at once.
async fn until_left(
    mut driver: tokio::task::JoinHandle<()>,
    handle: Handle,
) -> Result<ExitCode, CliError> {
    let cannot = |error| CliError::Other(format!("cannot wait for signals: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(cannot)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(cannot)?;
    let mut asked = false;
    loop {
        tokio::select! {
            ended = &mut driver => {
                return match ended {
                    Ok(()) => Ok(ExitCode::SUCCESS),
                    Err(error) => Err(CliError::Other(format!("the daemon failed: {error}"))),
                };
            }
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        if asked {
            tracing::warn!(
                "told twice: ending at once; tasks go on and are found at the next start"
            );
            std::process::exit(130);
        }
        asked = true;
        tracing::info!("leaving: this node's tasks are handed back; once more to end at once");
        let leave = handle.clone();
        tokio::spawn(async move { leave.command(Command::Leave).await });
    }
}

/// Ends with an error when the first join of a new node was refused and no member admitted it.
async fn refused(mut joining: watch::Receiver<JoinState>, fresh_join: bool) -> CliError {
    if !fresh_join {
        std::future::pending::<()>().await;
    }
    loop {
        let state = joining.borrow_and_update().clone();
        if state.linked {
            tracing::info!("admitted to the cluster");
            std::future::pending::<()>().await;
        }
        if let Some(reason) = state.refused {
            tokio::time::sleep(JOIN_PATIENCE).await;
            if !joining.borrow().linked {
                return CliError::Other(format!(
                    "--join: the cluster did not admit this node: {reason}; take a new token from \
                     a member with `starling token`"
                ));
            }
        } else if joining.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
