//! Tasks as real processes under a real runner. This test has its own `main`, because its
//! executable is the binary that the executor re-executes as runner and as first step; run with
//! names (or parts of them) to choose tests.
// Real processes take real time.
#![allow(clippy::disallowed_methods)]

mod endings;
mod limits;
mod logs;
mod starting;
mod survival;
mod world;

use std::ffi::OsString;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::pin::Pin;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// No test may take longer.
const DEADLINE: Duration = Duration::from_secs(90);

type Test = fn() -> Pin<Box<dyn Future<Output = ()>>>;

macro_rules! tests {
    ($($module:ident: $($name:ident),+;)+) => {
        &[$($((
            concat!(stringify!($module), "::", stringify!($name)),
            (|| Box::pin($module::$name())) as Test,
        )),+),+]
    };
}

const TESTS: &[(&str, Test)] = tests! {
    starting: exit_codes_and_signals_are_told_apart, what_cannot_start_says_why,
        a_task_gets_its_environment_and_a_directory_of_its_own, a_task_is_started_once,
        two_thousand_tasks_end_exactly_once, hundreds_run_at_once, a_task_can_run_as_another_user,
        a_long_data_directory_works, a_second_runner_does_not_start;
    endings: a_stopped_task_ends_in_its_grace_or_is_killed, the_stronger_word_wins,
        stopping_the_unknown_is_final, leftovers_of_the_group_die_with_the_task,
        what_left_the_group_does_not_hold_up_the_end, shutdown_evicts_and_ends_the_runner,
        sigterm_makes_the_runner_leave_in_order;
    logs: both_streams_are_kept, a_lot_of_output_is_all_there, logs_are_rotated_and_bounded,
        a_follower_sees_lines_as_they_come, the_oldest_logs_go;
    survival: tasks_outlive_the_daemon, a_dead_runner_is_replaced_and_its_tasks_lost,
        orphans_are_found_by_the_next_daemon, garbage_on_the_socket_harms_nobody,
        an_idle_runner_leaves, a_spoilt_journal_is_survived;
    limits: memory_is_limited_and_told_apart, cpu_is_limited,
        a_limited_task_that_cannot_start_says_why, own_cpu_is_measured;
};

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    match args.first().and_then(|arg| arg.to_str()) {
        Some(world::RUNNER) => {
            let Some(dir) = args.get(1) else {
                return ExitCode::FAILURE;
            };
            return match starling_exec::runner_main(Path::new(dir)) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => {
                    eprintln!("{error}");
                    ExitCode::FAILURE
                }
            };
        }
        Some(world::ENTER) => starling_exec::enter_main(args.into_iter().skip(1)),
        _ => {}
    }
    let words: Vec<&str> = args.iter().filter_map(|arg| arg.to_str()).collect();
    if words.contains(&"--list") {
        let tests = TESTS.iter().filter(|_| !words.contains(&"--ignored"));
        tests.for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    let wanted: Vec<&str> = words
        .into_iter()
        .filter(|word| !word.starts_with('-'))
        .collect();
    let chosen = |name: &str| wanted.is_empty() || wanted.iter().any(|word| name.contains(word));
    // As a login shell's: the runner must raise its own limit, and give tasks this one.
    let files = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let low = rustix::process::Rlimit {
        current: Some(512),
        maximum: files.maximum,
    };
    if let Err(error) = rustix::process::setrlimit(rustix::process::Resource::Nofile, low) {
        println!("the limit of open files stays: {error}");
    }
    let mut failed = Vec::new();
    for (name, test) in TESTS.iter().filter(|(name, _)| chosen(name)) {
        let begin = Instant::now();
        let passed = run(*test);
        let verdict = if passed { "ok" } else { "FAILED" };
        println!(
            "test {name} ... {verdict} ({} ms)",
            begin.elapsed().as_millis()
        );
        if !passed {
            failed.push(*name);
        }
    }
    println!(
        "\n{} failed{}",
        failed.len(),
        failed
            .iter()
            .map(|n| format!("\n    {n}"))
            .collect::<String>()
    );
    if failed.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn run(test: Test) -> bool {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let Ok(runtime) = runtime else { return false };
    let timed = || runtime.block_on(async { tokio::time::timeout(DEADLINE, test()).await });
    match catch_unwind(AssertUnwindSafe(timed)) {
        Ok(Ok(())) => true,
        Ok(Err(_)) => {
            println!("not over within {} s", DEADLINE.as_secs());
            false
        }
        Err(_) => false,
    }
}
