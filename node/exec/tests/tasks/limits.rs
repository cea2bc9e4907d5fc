//! Limits by control groups, where this host allows them, and what tasks use.
#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use starling_exec::sense::Sensor;
use starling_exec::{ExecEvent, Launch};
use starling_wire::Outcome;

use crate::world::{World, key, until};

/// The warning that this host allows no such limits, if it does not.
async fn warning(world: &mut World) -> Option<String> {
    // Warnings come before the end of the task that they concern.
    assert_eq!(
        world.run(world.task(90, &["true"])).await,
        Outcome::Exited(0)
    );
    let found = |event: &ExecEvent| match event {
        ExecEvent::Warning(text) => Some(Some(text.clone())),
        ExecEvent::Started { task, .. } if *task == key(90).0 => Some(None),
        _ => None,
    };
    world.find(found).await
}

fn groups(index: u32) -> usize {
    let name = format!("{}-1", key(index).0);
    let mut find = std::process::Command::new("find");
    let found = find
        .args(["/sys/fs/cgroup", "-name", &format!("{name}*")])
        .output()
        .unwrap();
    found
        .stdout
        .into_iter()
        .filter(|byte| *byte == b'\n')
        .count()
}

pub(crate) async fn memory_is_limited_and_told_apart() {
    let mut world = World::new().await;
    let hog = "echo ready; x=$(head -c 200000000 /dev/zero | tr '\\0' x); echo survived";
    let limited = |launch| Launch {
        memory_limit: Some(32 << 20),
        ..launch
    };
    world.start(limited(world.sh(0, hog)));
    let outcome = world.ended(0).await;
    if let Some(text) = warning(&mut world).await {
        println!("skipped: {text}");
        assert!(text.contains("no memory limits") && text.contains("Delegate=yes"));
        return world.finish().await;
    }
    assert_eq!(outcome, Outcome::OutOfMemory);
    assert_eq!(world.output(0), "ready\n");
    // Told apart from other ends of a limited task.
    let cases = [
        ("kill -KILL $$", Outcome::Signalled(9)),
        ("exit 137", Outcome::Exited(137)),
        ("exit 0", Outcome::Exited(0)),
    ];
    for (index, (script, expected)) in (1..).zip(cases) {
        assert_eq!(world.run(limited(world.sh(index, script))).await, expected);
    }
    world.start(limited(world.sh(8, "echo ready; exec sleep 60")));
    world.output_of(8).await;
    assert!(groups(8) > 0);
    world.executor().stop(key(8).0, 1, Outcome::Stopped);
    assert_eq!(world.ended(8).await, Outcome::Stopped);
    until(|| groups(8) == 0 && groups(0) == 0).await;
    world.finish().await;
}

pub(crate) async fn cpu_is_limited() {
    let mut world = World::new().await;
    let busy = "end=$(($(date +%s)+2)); while [ $(date +%s) -lt $end ]; do :; done; times";
    world.start(Launch {
        cpu_limit: Some(100),
        ..world.sh(0, busy)
    });
    assert_eq!(world.ended(0).await, Outcome::Exited(0));
    if let Some(text) = warning(&mut world).await {
        println!("skipped: {text}");
        assert!(text.contains("no CPU limits") && text.contains("Delegate=yes"));
        return world.finish().await;
    }
    let seconds = |field: &str| {
        let (minutes, seconds) = field.trim_end_matches('s').split_once('m').unwrap();
        minutes.parse::<f64>().unwrap() * 60.0 + seconds.parse::<f64>().unwrap()
    };
    let used: f64 = world.output(0).split_whitespace().map(seconds).sum();
    assert!(
        used < 0.7,
        "a tenth of a core for two seconds became {used} s of CPU"
    );
    world.finish().await;
}

pub(crate) async fn a_limited_task_that_cannot_start_says_why() {
    let mut world = World::new().await;
    let program = world.dir().join("script");
    std::fs::write(&program, "#!/no/such/interpreter\n").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&program, mode).unwrap();
    let launch = world.task(0, &[program.to_str().unwrap()]);
    match world
        .run(Launch {
            cpu_limit: Some(500),
            ..launch
        })
        .await
    {
        Outcome::NotStarted(reason) => assert!(reason.contains("interpreter"), "{reason}"),
        other => panic!("{other:?}"),
    }
    let launch = Launch {
        cpu_limit: Some(500),
        ..world.sh(1, "exit 127")
    };
    assert_eq!(world.run(launch).await, Outcome::Exited(127));
    until(|| groups(0) == 0 && groups(1) == 0).await;
    world.finish().await;
}

pub(crate) async fn own_cpu_is_measured() {
    let mut world = World::new().await;
    let mut sensor = Sensor::new(world.dir(), world.processes().runner_pid());
    sensor.sense();
    world.start(world.sh(0, "(while :; do :; done) & wait"));
    world.started(0).await;
    let begin = Instant::now();
    let mut most = 0;
    while most < 200 && begin.elapsed() < Duration::from_secs(20) {
        tokio::time::sleep(Duration::from_millis(250)).await;
        let sample = sensor.sense();
        assert!(sample.own_cpu_used_millis <= sample.cpu_used_millis);
        most = most.max(sample.own_cpu_used_millis);
    }
    assert!(
        most >= 200,
        "a busy loop showed as {most} millicores at most"
    );
    world.executor().stop(key(0).0, 1, Outcome::Stopped);
    assert_eq!(world.ended(0).await, Outcome::Stopped);
    world.finish().await;
}
