//! What runs this machine's tasks, as the flags and the data directory say.

use std::path::{Path, PathBuf};

use starling_engine::HeldTask;
use starling_exec::{
    ContainersConfig, ExecConfig, ExecError, ExecEvents, Executors, Held, Sockets,
};

use crate::cli::UpArgs;

/// Opens the executors; with them, what they hold from before.
pub(super) async fn open(
    args: &UpArgs,
    data_dir: &Path,
    node: String,
) -> Result<(Executors, Vec<HeldTask>, ExecEvents), ExecError> {
    let sockets = match &args.docker_host {
        _ if args.no_containers => Sockets::Off,
        Some(path) => Sockets::Only(path.clone()),
        None => Sockets::from_environment(),
    };
    let containers = ContainersConfig { node, sockets };
    let (executors, held, events) = Executors::open(processes(data_dir), containers).await?;
    Ok((executors, held.into_iter().map(held_task).collect(), events))
}

fn processes(data_dir: &Path) -> ExecConfig {
    // The file that was started, whatever an upgrade has put in its place since.
    let exe = PathBuf::from("/proc/self/exe");
    let exe = std::fs::read_link(&exe)
        .ok()
        .filter(|path| path.exists())
        .unwrap_or(exe);
    let dir = data_dir.join("tasks");
    let mut config = ExecConfig::new(&dir, exe);
    config.runner_args = vec!["runner".into(), dir.into()];
    config.enter_args = vec!["enter".into()];
    config
}

fn held_task(held: Held) -> HeldTask {
    HeldTask {
        task: held.task,
        epoch: held.epoch,
        ended: held.ended,
        note: held.note,
    }
}
