//! Containers that run, say something, are limited, and end.

use std::time::Duration;

use starling_api::{JobRequest, PullPolicy, TaskState};
use tokio::io::AsyncReadExt;

use super::engine::Engine;
use crate::world::{SOON, World, all_succeeded_once, starling, start, until_true};

/// A shell script in a container of the test's image.
pub(super) fn in_container(engine: &Engine, script: &str) -> JobRequest {
    JobRequest {
        image: Some(engine.image.clone()),
        pull: Some(PullPolicy::Never),
        ..JobRequest::new(["sh", "-c", script])
    }
}

#[tokio::test]
async fn a_container_runs_and_ends_with_its_code() {
    let Some(engine) = Engine::get() else { return };
    let world = World::of(1).await;
    let script = "echo to out; echo to err >&2; echo $STARLING_TASK $STARLING_EPOCH $MINE; \
                  pwd; id -u; touch /x 2>/dev/null || echo read-only; exit 7";
    let args = [
        "run",
        "--wait",
        "--image",
        &engine.image,
        "--pull",
        "never",
        "--env",
        "MINE=yes",
        "--dir",
        "/tmp",
        "--user",
        "1234:1234",
        "--read-only",
        "--",
        "sh",
        "-c",
        script,
    ];
    let said = world.cli(0, &args).await;
    assert_eq!(said.code, 7, "{said:?}");
    assert!(said.err.starts_with("to err\n"), "{said:?}");
    let jobs = world.client(0).jobs().await.unwrap().items;
    let job = world.client(0).job(&jobs[0].id).await.unwrap();
    let task = &job.tasks[0];
    let expected = format!(
        "to out\n{} {} yes\n/tmp\n1234\nread-only\n",
        task.id, task.epoch
    );
    assert_eq!(said.out, expected);
    assert_eq!((task.state, task.exit_code), (TaskState::Failed, Some(7)));
    // The output stays when the container is gone.
    let logs = world.cli(0, &["logs", &task.id]).await;
    assert_eq!((logs.out, logs.err.as_str()), (expected, "to err\n"));
    let page = world.cli(0, &["inspect", &task.id]).await.ok();
    for part in [&engine.image, "never", "1234:1234", "/tmp"] {
        assert!(page.contains(part), "{part}: {page}");
    }
    // Where it runs is for the engine to say, not for the user to have asked for.
    assert!(!page.contains("constraints"), "{page}");
    engine.end(world).await;
}

#[tokio::test]
async fn many_containers_on_many_nodes_each_run_once() {
    let Some(mut engine) = Engine::get() else {
        return;
    };
    let world = World::of(3).await;
    let job = JobRequest {
        count: 12,
        ..in_container(&engine, "echo $STARLING_INDEX")
    };
    let job = world.client(1).submit(&job).await.unwrap().job;
    let detail = world.over(0, &job).await;
    all_succeeded_once(&detail, 12);
    for task in &detail.tasks {
        let said = world.cli(2, &["logs", &task.id]).await;
        assert_eq!(said.out, format!("{}\n", task.index));
    }
    let used = (0..3).map(|at| format!("node-{at}"));
    let used = used.filter(|name| {
        let here = |node: &starling_api::NodeRef| node.name == *name;
        detail
            .tasks
            .iter()
            .any(|t| t.node.as_ref().is_some_and(here))
    });
    assert!(used.count() > 1, "{detail:?}");
    for at in 0..3 {
        let node = engine.node(&world, at).await;
        super::engine::none_left(&node).await;
    }
    engine.end(world).await;
}

#[tokio::test]
async fn output_is_followed_while_the_container_runs() {
    let Some(engine) = Engine::get() else { return };
    let world = World::of(2).await;
    let shared = world.root().join("shared");
    std::fs::create_dir(&shared).unwrap();
    let script = "echo first; until [ -e /shared/go ]; do sleep 0.05; done; echo last";
    let job = JobRequest {
        volumes: vec![format!("{}:/shared:ro", shared.display())],
        constraints: vec!["name=node-0".into()],
        ..in_container(&engine, script)
    };
    let job = world.client(0).submit(&job).await.unwrap().job;
    // Read from the node that does not run it.
    let args = ["logs", "-f", &format!("{job}.0")];
    world
        .job_when(1, &job, |job| job.summary.running == 1)
        .await;
    let mut command = starling(&args);
    let mut reader = start(command.env("STARLING_DATA_DIR", &world.member(1).dir));
    let mut out = reader.stdout.take().unwrap();
    let mut first = [0; 6];
    let read = tokio::time::timeout(SOON, out.read_exact(&mut first)).await;
    read.unwrap().unwrap();
    assert_eq!(&first, b"first\n");
    std::fs::write(shared.join("go"), "").unwrap();
    let mut rest = String::new();
    let read = tokio::time::timeout(SOON, out.read_to_string(&mut rest)).await;
    read.unwrap().unwrap();
    assert_eq!(rest, "last\n");
    assert!(reader.wait().await.unwrap().success());
    engine.end(world).await;
}

#[tokio::test]
async fn too_much_memory_is_told_from_any_other_end() {
    let Some(engine) = Engine::get() else { return };
    let world = World::of(1).await;
    let job = JobRequest {
        memory: Some("16MiB".into()),
        pids: Some(32),
        cpu: Some("0.5".into()),
        ..in_container(&engine, "exec dd if=/dev/zero of=/dev/null bs=256M count=1")
    };
    let job = world.client(0).submit(&job).await.unwrap().job;
    let over = world.over(0, &job).await;
    let task = &over.tasks[0];
    assert_eq!(task.reason.as_deref(), Some("out of memory"), "{task:?}");
    assert_eq!((task.state, task.exit_code), (TaskState::Failed, Some(137)));
    engine.end(world).await;
}

#[tokio::test]
async fn limits_are_those_of_the_container() {
    let Some(mut engine) = Engine::get() else {
        return;
    };
    let world = World::of(1).await;
    let node = engine.node(&world, 0).await;
    let job = JobRequest {
        memory: Some("32MiB".into()),
        pids: Some(17),
        cpu: Some("0.25".into()),
        ..in_container(&engine, "exec sleep 600")
    };
    let job = world.client(0).submit(&job).await.unwrap().job;
    world
        .job_when(0, &job, |job| job.summary.running == 1)
        .await;
    let names = Engine::containers(&node);
    let format = "{{.HostConfig.Memory}} {{.HostConfig.NanoCpus}} {{.HostConfig.PidsLimit}}";
    let limits = super::engine::docker(&["inspect", "--format", format, &names[0]]).unwrap();
    assert_eq!(limits.trim(), format!("{} 250000000 17", 32 << 20));
    engine.end(world).await;
}

#[tokio::test]
async fn a_stop_gives_time_and_then_kills() {
    let Some(mut engine) = Engine::get() else {
        return;
    };
    let world = World::of(1).await;
    let node = engine.node(&world, 0).await;
    let client = world.client(0);
    let obedient = "trap 'echo bye; exit 3' TERM; echo up; while :; do sleep 0.05; done";
    let obedient = JobRequest {
        grace: Some("60s".into()),
        ..in_container(&engine, obedient)
    };
    let stubborn = JobRequest {
        grace: Some("200ms".into()),
        ..in_container(
            &engine,
            "trap '' TERM; echo up; while :; do sleep 0.05; done",
        )
    };
    for (job, last_words) in [(obedient, "up\nbye\n"), (stubborn, "up\n")] {
        let job = client.submit(&job).await.unwrap().job;
        let id = format!("{job}.0");
        // It has set its trap when it says so.
        crate::world::until("it is up", SOON, async || {
            let said = world.cli(0, &["logs", &id]).await.ok();
            if said == "up\n" { Ok(()) } else { Err(said) }
        })
        .await;
        world.cli(0, &["stop", &job]).await.ok();
        let over = world.over(0, &job).await;
        assert_eq!(over.tasks[0].state, TaskState::Stopped, "{over:?}");
        assert_eq!(world.cli(0, &["logs", &id]).await.ok(), last_words);
        super::engine::none_left(&node).await;
    }
    engine.end(world).await;
}

#[tokio::test]
async fn a_leaving_node_leaves_no_container() {
    let Some(mut engine) = Engine::get() else {
        return;
    };
    let mut world = World::of(2).await;
    let leaver = engine.node(&world, 1).await;
    let job = JobRequest {
        grace: Some("100ms".into()),
        constraints: vec!["name=node-1".into()],
        ..in_container(&engine, "exec sleep 600")
    };
    let job = world.client(0).submit(&job).await.unwrap().job;
    world
        .job_when(0, &job, |job| job.summary.running == 1)
        .await;
    assert_eq!(Engine::containers(&leaver).len(), 1);
    assert!(world.fleet.leave(1).await.unwrap().success());
    assert_eq!(Engine::containers(&leaver), Vec::<String>::new());
    world
        .job_when(0, &job, |job| job.summary.pending == 1)
        .await;
    world.cli(0, &["stop", &job]).await.ok();
    world.over(0, &job).await;
    until_true("no container is left", Duration::from_secs(5), || {
        Engine::containers(&leaver).is_empty()
    })
    .await;
    engine.end(world).await;
}
