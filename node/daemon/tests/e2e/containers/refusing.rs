//! Containers that cannot run, and nodes that run none.

use starling_api::{JobRequest, PullPolicy, RestartPolicy, TaskState, VerdictView};

use super::engine::{ARCH, Engine, none_left, taken_port};
use super::running::in_container;
use crate::world::World;

/// Submits what cannot run, and returns why it did not.
async fn why_not(world: &World, job: &JobRequest) -> String {
    let job = world.client(0).submit(job).await.unwrap().job;
    let over = world.over(0, &job).await;
    let task = &over.tasks[0];
    assert_eq!(task.state, TaskState::Failed, "{task:?}");
    assert_eq!(task.exit_code, Some(127), "{task:?}");
    let page = world.cli(0, &["inspect", &task.id]).await.ok();
    assert!(page.contains("could not start"), "{page}");
    task.reason.clone().unwrap()
}

#[tokio::test]
async fn what_cannot_start_says_why_and_leaves_nothing() {
    let Some(mut engine) = Engine::get() else {
        return;
    };
    let world = World::of(1).await;
    let node = engine.node(&world, 0).await;
    let (held, port) = taken_port();
    let unknown = |pull| JobRequest {
        image: Some("localhost:1/no/such-image:1".into()),
        pull: Some(pull),
        ..in_container(&engine, "true")
    };
    let cases = [
        (unknown(PullPolicy::Never), "is not on this node"),
        (unknown(PullPolicy::Missing), "cannot be fetched"),
        (unknown(PullPolicy::Always), "cannot be fetched"),
        (
            JobRequest {
                command: vec!["/no/such/program".into()],
                ..in_container(&engine, "")
            },
            "no such file",
        ),
        (
            JobRequest {
                ports: vec![format!("127.0.0.1:{port}:80")],
                ..in_container(&engine, "true")
            },
            "address already in use",
        ),
        (
            JobRequest {
                volumes: vec!["/no/such/folder:/x".into()],
                ..in_container(&engine, "true")
            },
            "/no/such/folder",
        ),
        (
            JobRequest {
                user: Some("nosuchuser".into()),
                ..in_container(&engine, "true")
            },
            "nosuchuser",
        ),
    ];
    for (job, part) in cases {
        let reason = why_not(&world, &job).await;
        assert!(reason.contains(part), "{part}: {reason}");
        none_left(&node).await;
    }
    drop(held);
    // As often as the job says, and no more.
    let again = JobRequest {
        restart: Some(RestartPolicy::OnFailure),
        attempts: Some(2),
        ..unknown(PullPolicy::Never)
    };
    let job = world.client(0).submit(&again).await.unwrap().job;
    let over = world.over(0, &job).await;
    assert_eq!(over.tasks[0].attempts, 2, "{over:?}");
    engine.end(world).await;
}

#[tokio::test]
async fn an_image_for_another_processor_is_not_started() {
    let other = if ARCH == "amd64" { "arm64" } else { "amd64" };
    let Some(engine) = Engine::of_arch(other) else {
        return;
    };
    let world = World::of(1).await;
    let reason = why_not(&world, &in_container(&engine, "true")).await;
    assert!(reason.contains("the constraint arch="), "{reason}");
    engine.end(world).await;
}

#[tokio::test]
async fn a_node_without_an_engine_gets_no_containers() {
    let Some(engine) = Engine::get() else { return };
    let mut world = World::with(1, &["--no-containers"]).await;
    let run = [
        "run",
        "--image",
        &engine.image,
        "--pull",
        "never",
        "--",
        "true",
    ];
    let refused = world.cli(0, &run).await.fails(1);
    assert!(refused.contains("cannot run containers"), "{refused}");
    // A process may still run there.
    world.cli(0, &["run", "--wait", "--", "true"]).await.ok();

    // The flags of the fleet go to each daemon; those of one come after them.
    world.fleet.set_flags(&[]);
    let able = world.fleet.add().await.unwrap();
    world.formed(2).await;
    let node = world
        .node_when(0, "node-1", crate::world::SOON, |node| {
            node.containers.is_some()
        })
        .await;
    assert_eq!(node.labels.get("containers"), Some(&"docker".to_owned()));
    let table = world.cli(0, &["nodes"]).await.ok();
    assert!(
        table.contains("CONTAINERS") && table.contains("docker "),
        "{table}"
    );
    let page = world.cli(0, &["inspect", "node-1"]).await.ok();
    assert!(page.contains("docker ") && page.contains(ARCH), "{page}");
    let page = world.cli(1, &["inspect", "node-0"]).await.ok();
    assert!(page.contains("processes only"), "{page}");
    let job = JobRequest {
        count: 6,
        ..in_container(&engine, "exit 0")
    };
    let job = world.client(0).submit(&job).await.unwrap().job;
    let over = world.over(0, &job).await;
    crate::world::all_succeeded_once(&over, 6);
    for task in &over.tasks {
        assert_eq!(task.node.as_ref().unwrap().name, "node-1", "{task:?}");
    }
    let why = world.client(0).why(&format!("{job}.0")).await.unwrap();
    let unable = why.candidates.iter().find(|c| c.node.name == "node-0");
    let unable = unable.unwrap();
    assert_eq!(unable.verdict, VerdictView::RuledOut, "{why:?}");
    let reason = unable.reason.as_deref().unwrap();
    assert!(reason.contains("cannot run containers"), "{reason}");

    // While nobody can, a job that was taken waits, and says for what.
    world.cli(0, &["drain", "node-1"]).await.ok();
    let job = world
        .client(0)
        .submit(&in_container(&engine, "exit 0"))
        .await
        .unwrap()
        .job;
    let waits = world
        .job_when(0, &job, |job| {
            let waits = job.tasks[0].waits_for.as_deref().unwrap_or_default();
            waits.contains("can run containers")
        })
        .await;
    assert_eq!(waits.summary.pending, 1);
    world.cli(0, &["undrain", "node-1"]).await.ok();
    world.over(0, &job).await;
    assert_eq!(able, 1);
    engine.end(world).await;
}

#[tokio::test]
async fn slips_are_refused_by_name() {
    // Nothing here reaches an engine.
    let world = World::with(1, &["--no-containers"]).await;
    for (args, part) in [
        (&["--image", "Not An Image", "--", "x"][..], "--image"),
        (&["--image", "a", "--volume", "x:y"], "--volume"),
        (&["--image", "a", "--port", "80"], "--port"),
    ] {
        let args = [&["run"], args].concat();
        let error = world.cli(0, &args).await.fails(2);
        assert!(error.contains(part), "{part}: {error}");
    }
    let run = ["run", "--image", "a", "--memory", "1MiB"];
    let error = world.cli(0, &run).await.fails(1);
    assert!(
        error.contains("memory") && error.contains("6MiB"),
        "{error}"
    );
    for args in [
        &["run", "--pull", "never", "--", "x"][..],
        &["run", "--read-only", "--", "x"],
        &["run", "--image", "a", "--pull", "often"],
        &["up", "--docker-host", "tcp://10.0.0.1:2375"],
        &["up", "--docker-host", "/x.sock", "--no-containers"],
    ] {
        let error = world.cli(0, args).await.fails(2);
        assert!(error.contains("--"), "{args:?}: {error}");
    }
    let file = world.root().join("job.toml");
    std::fs::write(&file, "command = ['x']\n\nvolumes = ['/a:/b']\n").unwrap();
    let error = world.cli(0, &["apply", "-f", file.to_str().unwrap()]).await;
    let error = error.fails(2);
    assert!(
        error.contains("job.toml:3") && error.contains("image"),
        "{error}"
    );
    world.end().await;
}
