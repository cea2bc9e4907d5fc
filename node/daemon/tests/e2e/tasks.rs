//! What a task meets: its environment, directory, limits and retries; what `run --wait` makes of
//! its end.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use starling_api::{JobState, TaskState};

use crate::world::{SOON, World, finish_within, skipped, until};

#[tokio::test]
async fn a_task_knows_who_it_is() {
    let world = World::of(2).await;
    let args = [
        "--count",
        "2",
        "--constraint",
        "name=node-1",
        "--env",
        "MINE=a b=c",
        "--",
        "sh",
        "-c",
        "echo $STARLING_JOB $STARLING_TASK $STARLING_INDEX $STARLING_EPOCH $STARLING_NODE; \
         echo \"$MINE\"; pwd; env",
    ];
    let job = world.submit(0, &args).await;
    world.over(0, &job).await;
    let mut dirs = Vec::new();
    for index in 0..2 {
        let said = world
            .cli(0, &["logs", &format!("{job}.{index}")])
            .await
            .ok();
        let lines: Vec<&str> = said.lines().collect();
        let task = &world.client(0).job(&job).await.unwrap().tasks[index];
        assert_eq!(
            lines[0],
            format!("{job} {job}.{index} {index} {} node-1", task.epoch)
        );
        assert_eq!(lines[1], "a b=c");
        // Its own directory, below the node's data.
        assert!(
            lines[2].starts_with(world.member(1).dir.to_str().unwrap()),
            "{}",
            lines[2]
        );
        dirs.push(lines[2].to_owned());
        for line in &lines[3..] {
            assert!(!line.starts_with("STARLING_DATA_DIR"), "{line}");
        }
    }
    assert_ne!(dirs[0], dirs[1]);
    let said = world
        .cli(0, &["run", "--wait", "--dir", "/usr", "--", "pwd"])
        .await
        .ok();
    assert_eq!(said, "/usr\n");
    let said = world
        .cli(0, &["run", "--wait", "--dir", "/nowhere", "--", "pwd"])
        .await;
    assert!(
        said.code == 127 && said.err.contains("/nowhere"),
        "{said:?}"
    );
    let said = world
        .cli(
            0,
            &["run", "--wait", "--user", "no-such-user", "--", "true"],
        )
        .await;
    assert!(
        said.code == 127 && said.err.contains("no-such-user"),
        "{said:?}"
    );
    world.end().await;
}

#[tokio::test]
async fn waiting_ends_with_the_tasks_code() {
    let world = World::of(1).await;
    for code in [0, 1, 7, 200] {
        let script = format!("echo said; echo meant >&2; exit {code}");
        let said = world
            .cli(0, &["run", "--wait", "--", "sh", "-c", &script])
            .await;
        assert_eq!((said.code, said.out.as_str()), (code, "said\n"), "{said:?}");
        assert!(said.err.contains("meant\n"), "{said:?}");
    }
    // By a signal: as a shell tells it.
    let said = world
        .cli(0, &["run", "--wait", "--", "sh", "-c", "kill -9 $$"])
        .await;
    assert!(
        said.code == 128 + 9 && said.err.contains("signal"),
        "{said:?}"
    );
    // Of several: one that failed is enough.
    let script = "exit $STARLING_INDEX";
    let said = world
        .cli(
            0,
            &["run", "--wait", "--count", "3", "--", "sh", "-c", script],
        )
        .await;
    assert!(said.code == 1 && said.err.contains("2 failed"), "{said:?}");
    let said = world
        .cli(0, &["run", "--wait", "--json", "--", "sh", "-c", "exit 5"])
        .await;
    assert_eq!(said.code, 5);
    let json: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(json["tasks"][0]["exit_code"], 5);
    world.end().await;
}

#[tokio::test]
async fn a_missing_program_fails_its_task_and_nothing_else() {
    let world = World::of(1).await;
    let said = world
        .cli(0, &["run", "--wait", "--", "no-such-program", "x"])
        .await;
    assert_eq!(said.code, 127, "{said:?}");
    assert!(said.err.contains("no-such-program"), "{said:?}");
    let file = world.root().join("not-a-program");
    std::fs::write(&file, "text").unwrap();
    let said = world
        .cli(0, &["run", "--wait", "--", file.to_str().unwrap()])
        .await;
    assert!(
        said.code == 127 && said.err.contains("not-a-program"),
        "{said:?}"
    );
    // With limits another process stands between.
    let said = world
        .cli(
            0,
            &[
                "run",
                "--wait",
                "--memory",
                "64MiB",
                "--",
                "no-such-program",
            ],
        )
        .await;
    assert!(
        said.code == 127 && said.err.contains("no-such-program"),
        "{said:?}"
    );
    assert_eq!(
        world
            .cli(0, &["run", "--wait", "--", "echo", "well"])
            .await
            .ok(),
        "well\n"
    );
    world.end().await;
}

#[tokio::test]
async fn a_task_that_failed_is_tried_again_as_often_as_it_may() {
    let world = World::of(2).await;
    let marks = world.root().display().to_string();
    let script = format!(
        "echo x >> {marks}/tries.$STARLING_INDEX; \
         [ $(wc -l < {marks}/tries.$STARLING_INDEX) -ge 3 ]"
    );
    let args = [
        "run",
        "--wait",
        "--count",
        "2",
        "--restart",
        "on-failure",
        "--",
        "sh",
        "-c",
        &script,
    ];
    world.cli(0, &args).await.ok();
    let jobs = world.client(0).jobs().await.unwrap().items;
    assert_eq!((jobs[0].succeeded, jobs[0].retries), (2, 4));
    let args = [
        "run",
        "--wait",
        "--restart",
        "on-failure",
        "--attempts",
        "2",
        "--",
        "sh",
        "-c",
        &format!("echo x >> {marks}/more; exit 9"),
    ];
    assert_eq!(world.cli(0, &args).await.code, 9);
    assert_eq!(
        std::fs::read_to_string(world.root().join("more")).unwrap(),
        "x\nx\n"
    );
    let id = world.client(0).jobs().await.unwrap().items[0].id.clone();
    let job = world.client(0).job(&id).await.unwrap();
    assert_eq!(
        (job.tasks[0].attempts, job.tasks[0].exit_code),
        (2, Some(9))
    );
    assert_eq!(job.summary.state, JobState::Finished);
    world.end().await;
}

#[tokio::test]
async fn too_much_memory_is_told_apart_from_a_crash() {
    let world = World::of(1).await;
    let hog = "head -c 200M /dev/zero | tail -c 200M > /dev/null";
    let said = world
        .cli(
            0,
            &["run", "--wait", "--memory", "16MiB", "--", "sh", "-c", hog],
        )
        .await;
    if world.member(0).log().contains("no limits") || said.code == 0 {
        // The reason is in the log, for the user as well.
        assert!(world.member(0).log().contains("WARN"), "{said:?}");
        skipped("this host allows no memory limits");
    } else {
        assert!(said.err.contains("memory"), "{said:?}");
        let id = world.client(0).jobs().await.unwrap().items[0].id.clone();
        let job = world.client(0).job(&id).await.unwrap();
        assert!(
            job.tasks[0].reason.as_ref().unwrap().contains("memory"),
            "{job:?}"
        );
        // The limit is the task's, not the node's.
        let crash = [
            "run",
            "--wait",
            "--memory",
            "16MiB",
            "--",
            "sh",
            "-c",
            "kill -9 $$",
        ];
        let said = world.cli(0, &crash).await;
        assert!(said.code == 137 && !said.err.contains("memory"), "{said:?}");
    }
    world.end().await;
}

#[tokio::test]
async fn ctrl_c_stops_the_job_that_is_waited_for() {
    let world = World::of(2).await;
    for count in ["1", "5"] {
        let waiting = world.spawn(
            0,
            &["run", "--wait", "--count", count, "--", "sleep", "600"],
        );
        let pid = Pid::from_raw(waiting.id().unwrap().cast_signed()).unwrap();
        let job = until("it runs", SOON, async || {
            let jobs = world
                .client(1)
                .jobs()
                .await
                .map_err(|error| error.to_string())?
                .items;
            let open = jobs
                .into_iter()
                .find(|job| !job.state.is_over())
                .ok_or("no job")?;
            if open.running == open.count {
                Ok(open.id)
            } else {
                Err(format!("{open:?}"))
            }
        })
        .await;
        kill_process(pid, Signal::INT).unwrap();
        let said = finish_within(waiting, SOON).await;
        assert_ne!(said.code, 0, "{said:?}");
        assert!(said.err.contains("stopping job"), "{said:?}");
        let over = world.over(1, &job).await;
        assert!(
            over.tasks
                .iter()
                .all(|task| task.state == TaskState::Stopped)
        );
    }
    world.end().await;
}

#[tokio::test]
async fn a_stubborn_task_is_killed_after_its_grace() {
    let world = World::of(1).await;
    let script = "trap '' TERM; echo ready; while :; do sleep 0.05; done";
    let job = world
        .submit(0, &["--grace", "300ms", "--", "sh", "-c", script])
        .await;
    until("it ignores signals", SOON, async || {
        let said = world.cli(0, &["logs", &job]).await;
        if said.out == "ready\n" {
            Ok(())
        } else {
            Err(said.err)
        }
    })
    .await;
    let asked = std::time::Instant::now();
    world.cli(0, &["stop", &job]).await.ok();
    let over = world.over(0, &job).await;
    assert_eq!(over.tasks[0].state, TaskState::Stopped);
    assert!(
        asked.elapsed() < Duration::from_secs(10),
        "{:?}",
        asked.elapsed()
    );
    world.end().await;
}

#[tokio::test]
async fn a_task_whose_time_is_up_is_stopped_and_says_so() {
    let world = World::of(1).await;
    let args = ["run", "--wait", "--timeout", "300ms", "--", "sleep", "600"];
    let said = world.cli(0, &args).await.fails(124);
    assert!(said.contains("its time was up"), "{said}");
    let wrong = ["run", "--timeout", "0s", "--", "true"];
    let said = world.cli(0, &wrong).await.fails(2);
    assert!(said.contains("--timeout"), "{said}");
    world.end().await;
}

#[tokio::test]
async fn a_service_runs_again_however_it_ends_until_it_is_stopped() {
    let world = World::of(1).await;
    let runs = world.root().join("runs");
    let script = format!("echo run >> '{}'", runs.display());
    let args = ["--restart", "always", "--", "sh", "-c", &script];
    let job = world.submit(0, &args).await;
    until("it has run twice", SOON, async || {
        let text = std::fs::read_to_string(&runs).unwrap_or_default();
        if text.lines().count() >= 2 {
            Ok(())
        } else {
            Err(text)
        }
    })
    .await;
    let page = world.cli(0, &["inspect", &job]).await.ok();
    assert!(page.contains("always"), "{page}");
    world.cli(0, &["stop", &job]).await.ok();
    assert_eq!(world.over(0, &job).await.summary.state, JobState::Stopped);
    world.end().await;
}
