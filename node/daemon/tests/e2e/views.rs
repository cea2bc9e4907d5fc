//! What users see: inspect, why, events, nodes, ps, stop, apply, completions.

use starling_api::TaskState;

use crate::world::{SOON, World, finish, starling, start, until};

#[tokio::test]
async fn a_job_and_its_tasks_are_shown_from_any_node() {
    let world = World::of(2).await;
    let args = [
        "--name", "greeting", "--count", "2", "--env", "A=b", "--", "sh", "-c", "exit 3",
    ];
    let job = world.submit(0, &args).await;
    world.over(0, &job).await;
    for at in 0..2 {
        let page = world.cli(at, &["inspect", &job]).await.ok();
        for part in ["greeting", "finished", "2", "sh -c", "exit 3", "A=b"] {
            assert!(page.contains(part), "no {part} in:\n{page}");
        }
        let page = world.cli(at, &["inspect", &format!("{job}.1")]).await.ok();
        for part in ["failed", "node-", "3", "greeting"] {
            assert!(page.contains(part), "no {part} in:\n{page}");
        }
        let json = world
            .cli(at, &["inspect", &format!("{job}.1"), "--json"])
            .await
            .json();
        assert_eq!(
            (&json["state"], &json["exit_code"]),
            (&"failed".into(), &3.into())
        );
        // A unique beginning of the id will do.
        let json = world
            .cli(at, &["inspect", &job[..6], "--json"])
            .await
            .json();
        assert_eq!(json["id"], job.as_str());
        let table = world.cli(at, &["ps"]).await.ok();
        assert!(
            table.contains(&job) && table.contains("greeting"),
            "{table}"
        );
        let table = world.cli(at, &["ps", &job]).await.ok();
        assert!(
            table.contains(&format!("{job}.0")) && table.contains("failed"),
            "{table}"
        );
        assert!(!table.contains('\x1b'), "colours without a terminal");
    }
    for words in [
        ["inspect", "zzzz"],
        ["ps", "zzzz"],
        ["why", "zzzz.0"],
        ["stop", "zzzz"],
    ] {
        let error = world.cli(1, &words).await.fails(1);
        assert!(error.contains("zzzz"), "{error}");
    }
    let error = world
        .cli(1, &["inspect", &format!("{job}.9")])
        .await
        .fails(1);
    assert!(error.contains("0 to 1"), "{error}");
    world.end().await;
}

#[tokio::test]
async fn why_tells_of_a_placed_and_of_a_waiting_task() {
    let world = World::of(2).await;
    let placed = world.submit(0, &["--", "sleep", "600"]).await;
    let job = world
        .job_when(0, &placed, |job| job.tasks[0].state == TaskState::Running)
        .await;
    let place = job.tasks[0].node.as_ref().unwrap().name.clone();
    for at in 0..2 {
        let page = world.cli(at, &["why", &format!("{placed}.0")]).await.ok();
        assert!(page.contains("chosen") && page.contains(&place), "{page}");
        let json = world.cli(at, &["why", &placed, "--json"]).await.json();
        let candidates = json["candidates"].as_array().unwrap();
        assert!(candidates.iter().any(|candidate| {
            candidate["verdict"] == "chosen" && candidate["node"]["name"] == place.as_str()
        }));
    }
    // A task that asks for a whole machine where something is running already waits for it.
    let nodes = world.client(0).nodes().await.unwrap().items;
    let cpu = format!(
        "{}m",
        nodes
            .iter()
            .map(|node| node.capacity.cpu_millis)
            .max()
            .unwrap()
    );
    let on = format!("name={place}");
    let waiting = world
        .submit(0, &["--cpu", &cpu, "--constraint", &on, "--", "true"])
        .await;
    until("why tells what it waits for", SOON, async || {
        let page = world.cli(1, &["why", &waiting]).await.ok();
        let told = page.contains("pending") && page.contains("waits for") && page.contains(&place);
        if told && page.contains("CPU") {
            Ok(())
        } else {
            Err(page)
        }
    })
    .await;
    let table = world.cli(1, &["ps", &waiting]).await.ok();
    assert!(table.contains("waits for"), "{table}");
    // It runs as soon as there is room.
    world.cli(1, &["stop", &placed]).await.ok();
    world.over(1, &placed).await;
    let over = world.over(1, &waiting).await;
    assert_eq!(over.summary.succeeded, 1);
    world.end().await;
}

#[tokio::test]
async fn events_tell_what_happened_and_what_happens() {
    let world = World::of(2).await;
    let go = world.root().join("go");
    let script = format!("until [ -e {} ]; do sleep 0.05; done", go.display());
    let first = world
        .submit(0, &["--name", "early", "--", "sh", "-c", &script])
        .await;
    world
        .job_when(0, &first, |job| job.summary.running == 1)
        .await;
    std::fs::write(&go, "").unwrap();
    world.over(0, &first).await;
    for at in 0..2 {
        // The last may be told a moment after it is known, when it is on disk.
        let said = until("the end is told", SOON, async || {
            let said = world.cli(at, &["events", "--json"]).await.ok();
            let told = said.contains("job-finished");
            if told { Ok(said) } else { Err(said) }
        })
        .await;
        let events: Vec<serde_json::Value> = said
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        for kind in [
            "job-submitted",
            "task-placed",
            "task-started",
            "task-ended",
            "job-finished",
        ] {
            let of_job = |event: &&serde_json::Value| {
                event["kind"] == kind && event["job"] == first.as_str()
            };
            assert_eq!(events.iter().filter(of_job).count(), 1, "{kind} in\n{said}");
        }
        let said = world.cli(at, &["events", "--job", &first]).await.ok();
        assert!(
            said.contains("job-finished") && !said.contains("node-alive"),
            "{said}"
        );
        assert!(said.contains("(early) was taken: 1 task\n"), "{said}");
    }
    // Followed at the other node: what is submitted now is told there.
    let mut following = world.spawn(1, &["events", "-f", "--json"]);
    let second = world.submit(0, &["--", "true"]).await;
    let mut lines = {
        use tokio::io::{AsyncBufReadExt, BufReader};
        BufReader::new(following.stdout.take().unwrap()).lines()
    };
    loop {
        let line = tokio::time::timeout(SOON, lines.next_line())
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        let event: serde_json::Value = serde_json::from_str(&line).unwrap();
        if event["kind"] == "job-finished" && event["job"] == second.as_str() {
            break;
        }
    }
    following.kill().await.unwrap();
    world.end().await;
}

#[tokio::test]
async fn nodes_tell_what_they_are_and_have() {
    let world = World::with(2, &["--label", "zone=attic"]).await;
    for at in 0..2 {
        let json = world.cli(at, &["nodes", "--json"]).await.json();
        let nodes = json["items"].as_array().unwrap();
        assert_eq!(nodes.len(), 2);
        for node in nodes {
            assert_eq!(node["state"], "alive");
            assert_eq!(node["self"], node["name"] == format!("node-{at}").as_str());
            assert_eq!(node["labels"]["zone"], "attic");
            assert_eq!(node["labels"]["name"], node["name"]);
            assert_eq!(node["arch"], std::env::consts::ARCH);
            assert_eq!(node["os"], std::env::consts::OS);
            assert!(node["capacity"]["cpu_millis"].as_u64().unwrap() >= 100);
            assert!(node["capacity"]["memory"].as_u64().unwrap() > 1 << 20);
            assert!(node["record_age_ms"].as_u64().is_some());
        }
        let table = world.cli(at, &["nodes"]).await.ok();
        for part in ["node-0", "node-1", "alive", &format!("node-{at} *")] {
            assert!(table.contains(part), "no {part} in\n{table}");
        }
    }
    world.end().await;
}

#[tokio::test]
async fn a_job_or_a_task_is_stopped_once() {
    let world = World::of(2).await;
    let job = world
        .submit(0, &["--count", "4", "--", "sleep", "600"])
        .await;
    world
        .job_when(0, &job, |job| {
            job.tasks
                .iter()
                .all(|task| task.state == TaskState::Running)
        })
        .await;
    let one = format!("{job}.2");
    let said = world.cli(1, &["stop", &one]).await.ok();
    assert!(said.contains(&one), "{said}");
    world
        .job_when(1, &job, |job| job.tasks[2].state == TaskState::Stopped)
        .await;
    let error = world.cli(1, &["stop", &one]).await.fails(1);
    assert!(error.contains("already"), "{error}");
    let others = world.client(1).job(&job).await.unwrap();
    assert_eq!(others.summary.running, 3);
    let said = world.cli(1, &["stop", &job]).await.ok();
    assert!(said.contains("3 tasks"), "{said}");
    let over = world.over(1, &job).await;
    assert_eq!(over.summary.stopped, 4);
    let error = world.cli(1, &["stop", &job]).await.fails(1);
    assert!(error.contains("already"), "{error}");
    world.end().await;
}

#[tokio::test]
async fn a_job_file_says_the_same_as_flags() {
    let world = World::of(1).await;
    let file = world.root().join("job.toml");
    std::fs::write(
        &file,
        "name = 'from-file'\ncount = 3\ncommand = ['sh', '-c', 'echo $A']\n[env]\nA = 'b'\n",
    )
    .unwrap();
    let path = file.to_str().unwrap();
    world.cli(0, &["apply", "-f", path, "--wait"]).await.ok();
    let jobs = world.client(0).jobs().await.unwrap().items;
    assert_eq!((jobs[0].name.as_str(), jobs[0].succeeded), ("from-file", 3));
    for (text, part) in [
        ("command = ['true']\ncolour = 'red'\n", "colour"),
        ("count = 0\ncommand = ['true']\n", "count"),
        ("command = []\n", "command"),
        ("command = ['true'\n", "job.toml"),
        ("command = ['true']\ncpu = '-1'\n", "cpu"),
        ("command = ['true']\nconstraints = ['arch']\n", "KEY=VALUE"),
    ] {
        std::fs::write(&file, text).unwrap();
        let error = world.cli(0, &["apply", "-f", path]).await.fails(2);
        assert!(
            error.contains(part) && error.contains("job.toml"),
            "{text}: {error}"
        );
    }
    let error = world
        .cli(0, &["apply", "-f", "/nowhere/job.toml"])
        .await
        .fails(2);
    assert!(error.contains("/nowhere/job.toml"), "{error}");
    assert_eq!(world.client(0).jobs().await.unwrap().items.len(), 1);
    world.end().await;
}

#[tokio::test]
async fn the_program_explains_itself() {
    for shell in ["bash", "zsh", "fish"] {
        let script = finish(start(&mut starling(&["completions", shell])))
            .await
            .ok();
        assert!(script.contains("drain"), "{shell}");
    }
    let help = finish(start(&mut starling(&["--help"]))).await.ok();
    for word in [
        "up",
        "token",
        "run",
        "apply",
        "ps",
        "inspect",
        "logs",
        "stop",
        "events",
        "nodes",
        "drain",
        "undrain",
        "why",
        "demo",
        "completions",
        "Exit codes",
    ] {
        assert!(help.contains(word), "{word}");
    }
    assert!(
        finish(start(&mut starling(&["--version"])))
            .await
            .ok()
            .starts_with("starling ")
    );
}
