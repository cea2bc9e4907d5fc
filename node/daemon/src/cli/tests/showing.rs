//! What is shown for given answers, and the exit codes.

use std::process::ExitCode;

use starling_api::{ApiError, ClientError, EventKind, JobState, NodeState, codes};

use crate::cli::output::Style;
use crate::cli::{CliError, classes, error, events, inspect, interference, nodes, ps, wait, why};
use crate::http::samples;

const PLAIN: Style = Style { colours: false };
const NOW: u64 = 1_700_000_010_000;

#[test]
fn exit_codes() {
    let refused = ClientError::Refused(ApiError::not_found("job", "x"));
    let no_daemon = ClientError::NoDaemon {
        at: "x".into(),
        remedy: "y".into(),
        source: std::io::ErrorKind::NotFound.into(),
    };
    let broken_pipe = std::io::Error::from(std::io::ErrorKind::BrokenPipe);
    assert_eq!(CliError::Client(refused).code(), 1);
    assert_eq!(CliError::Client(no_daemon).code(), 3);
    assert_eq!(CliError::Usage("x".into()).code(), 2);
    assert_eq!(CliError::Io(broken_pipe).code(), 0);
    assert_eq!(CliError::Other("x".into()).report(), ExitCode::from(1));

    let mut job = samples::detail();
    assert_eq!(wait::code(&job), 1);
    job.summary.succeeded = 4;
    assert_eq!(wait::code(&job), 0);
    let tasks = job.tasks.clone();
    for (index, code) in [(0, 0), (1, 1), (2, 7)] {
        job.tasks = vec![tasks[index].clone()];
        assert_eq!(wait::code(&job), code, "{index}");
    }
    job.tasks[0].exit_code = Some(512);
    assert_eq!(wait::code(&job), 1);
}

#[test]
fn errors_list_the_nearest_misses() {
    let error = ApiError::new(codes::IMPOSSIBLE, "no node could hold it")
        .with_field("memory")
        .with_detail(Some(samples::node_ref()), "has 16 GiB\x1b[2J");
    let text = error::describe(&error);
    assert_eq!(
        text,
        "memory: no node could hold it\n  attic: has 16 GiB\u{fffd}[2J"
    );
}

#[test]
fn jobs_as_a_table() {
    let mut stopped = samples::summary();
    stopped.name = String::new();
    stopped.state = JobState::Stopped;
    let expected = "\
JOB            NAME    STATE    TASKS  WAIT  RUN  OK  FAILED  STOPPED  RETRIES  AGE  OWNER
28t5cy4tqkff0  digest  active       4     1    1   1       1        0        2  10s  attic
28t5cy4tqkff0  -       stopped      4     1    1   1       1        0        2  10s  attic
";
    let table = ps::jobs_table(&[samples::summary(), stopped], NOW, PLAIN);
    assert_eq!(table, expected, "\n{table}");
    assert_eq!(ps::jobs_table(&[], NOW, PLAIN), "no jobs\n");
}

#[test]
fn tasks_as_a_table() {
    let expected = "\
TASK             STATE      NODE   TRIES  MOVES  EXIT   RAN  REASON
28t5cy4tqkff0.0  succeeded  attic      1      0     0  2.5s  exit code 0
28t5cy4tqkff0.1  running    attic      1      1     -  9.0s
28t5cy4tqkff0.2  failed     attic      1      0     7  2.5s  exit code 7
28t5cy4tqkff0.3  pending    -          1      0     -     -  waits for 2 cores on one node
";
    let table = ps::tasks_table(&samples::tasks(), NOW, PLAIN);
    assert_eq!(table, expected, "\n{table}");
    let colours = ps::tasks_table(&samples::tasks(), NOW, Style { colours: true });
    assert!(colours.contains("\x1b[31m28t5cy4tqkff0.2"), "{colours}");
}

#[test]
fn nodes_as_a_table() {
    let mut dead = samples::node();
    dead.name = "cellar\x1b[31m".into();
    dead.state = NodeState::Dead;
    dead.is_self = false;
    let mut draining = samples::node();
    draining.draining = true;
    draining.containers = None;
    let table = nodes::nodes_table(&[samples::node(), dead, draining], PLAIN);
    let expected = "\
NODE         ID        STATE     PLATFORM      CONTAINERS       TASKS  CPU FREE  CPU IDLE    MEMORY FREE  DISK FREE  PRESSURE   SEEN
attic *      77777777  alive     linux x86_64  docker 20.10.24      3  6.5 of 8       6.4  8GiB of 16GiB      50GiB   cpu 25%  300ms
cellar\u{fffd}[31m  77777777  dead      linux x86_64  docker 20.10.24      3  6.5 of 8       6.4  8GiB of 16GiB      50GiB   cpu 25%  300ms
attic *      77777777  draining  linux x86_64  -                    3  6.5 of 8       6.4  8GiB of 16GiB      50GiB   cpu 25%  300ms
";
    assert_eq!(table, expected, "\n{table}");
}

#[test]
fn reasons_as_a_page() {
    let page = why::why_page(&samples::why(), NOW, PLAIN);
    let expected = "\
task        28t5cy4tqkff0.1
state       running
chosen      attic
decided     2023-11-14 22:13:20 UTC, 9.9s ago, for 4 tasks
expected    12s (9.2s .. 15s)

CANDIDATE  VERDICT    SCORE  BY THE RECORD             AGE  ASKED  ROOM  EXPECTED                                              WHY
attic      chosen      1.75  speed 1.00 + calm 0.75  250ms   1.50     4  speed 0.80 (neighbours), 1.25x (measured), harm 0.05
cellar     refused     1.70  speed 1.00 + calm 0.70  250ms      -     -                                                        full
shed       ruled out      -                          250ms      -     -                                                        arch is aarch64
";
    assert_eq!(page, expected, "\n{page}");
    let mut waiting = samples::why();
    waiting.candidates.clear();
    waiting.waits_for = Some("2 cores on one node".into());
    let page = why::why_page(&waiting, NOW, PLAIN);
    assert!(page.contains("waits for   2 cores on one node"), "{page}");
    assert!(page.contains("nobody yet"), "{page}");
}

#[test]
fn pages_about_jobs_and_tasks() {
    let job = samples::detail();
    let page = inspect::job_page(&job, NOW, PLAIN);
    for part in [
        "job         28t5cy4tqkff0\n",
        "tasks       4 (1 waiting, 1 running, 1 succeeded, 1 failed)\n",
        "submitted   2023-11-14 22:13:20 UTC, 10s ago\n",
        "owners      attic (77777777) acts\n",
        "copies      1 of 1 on disk\n",
        "command     sh -c 'exit 0'\n",
        "memory      64MiB\n",
        "28t5cy4tqkff0.2  failed",
    ] {
        assert!(page.contains(part), "{part}\n{page}");
    }
    let page = inspect::task_page(&job, &job.tasks[2], NOW, PLAIN);
    for part in [
        "exit code   7\n",
        "ran         2.5s\n",
        "starling why 28t5cy4tqkff0.2",
    ] {
        assert!(page.contains(part), "{part}\n{page}");
    }
}

#[test]
fn events_as_lines() {
    let line = events::event_line(&samples::event(7, EventKind::JobFinished), PLAIN);
    assert_eq!(
        line,
        "2023-11-14 22:13:20.007  attic       job-finished    event 7"
    );
}

#[test]
fn pairs_are_shown_with_what_was_measured() {
    let table = interference::interference_table(&[samples::interference()], PLAIN);
    let expected = "\
CLASS                BESIDE                 TAKES  8 OF 10 WITHIN  MOST BY  MEASURED  RUNS  RELIED ON
process:redis/cache  process:ffmpeg/encode  1.42x  1.20x .. 1.68x  memory      1.50x    12        80%
";
    assert_eq!(table.trim_end(), expected.trim_end(), "\n{table}");
}

#[test]
fn what_was_expected_stands_beside_what_came() {
    let mut told = samples::why();
    told.ran_ms = Some(15_000);
    let page = why::why_page(&told, NOW, PLAIN);
    for part in [
        "expected    12s (9.2s .. 15s)\n",
        "ran         15s, 1.25 times what was expected\n",
        "speed 0.80 (neighbours), 1.25x (measured), harm 0.05",
    ] {
        assert!(page.contains(part), "{part}\n{page}");
    }
}

#[test]
fn classes_are_shown_by_column() {
    let table = classes::classes_table(&[samples::class()], PLAIN);
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 3, "{table}");
    assert!(lines[0].starts_with("CLASS"), "{table}");
    for part in [
        "process:ffmpeg/encode",
        "platform:AMD EPYC x8 16G",
        "12.50s",
        "30",
        "94%",
    ] {
        assert!(lines[1].contains(part), "no {part} in:\n{table}");
    }
    assert!(
        lines[2].starts_with(' ') && lines[2].contains("250s"),
        "{table}"
    );
}
