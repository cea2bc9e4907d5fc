//! What is started, with what, and why not.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::{Command, Stdio};

use starling_exec::{ExecEvent, Launch, Processes};
use starling_wire::Outcome;

use crate::world::{RUNNER, World, is_alive, key};

pub(crate) async fn exit_codes_and_signals_are_told_apart() {
    let mut world = World::new().await;
    let cases = [
        ("exit 0", Outcome::Exited(0)),
        ("exit 7", Outcome::Exited(7)),
        ("exit 255", Outcome::Exited(255)),
        ("kill -TERM $$", Outcome::Signalled(15)),
        ("kill -KILL $$", Outcome::Signalled(9)),
        ("kill -SEGV $$", Outcome::Signalled(11)),
    ];
    for (index, (script, outcome)) in (0..).zip(cases) {
        world.start(world.sh(index, script));
        let pid = world.started(index).await;
        assert_eq!(world.ended(index).await, outcome, "{script}");
        assert!(!is_alive(pid));
    }
    world.finish().await;
}

pub(crate) async fn what_cannot_start_says_why() {
    let mut world = World::new().await;
    let at = |name: &str| world.dir().join(name);
    fs::write(at("plain"), "no program").unwrap();
    fs::write(at("script"), "#!/no/such/interpreter\n").unwrap();
    fs::write(at("noise"), [0x7f, b'E', b'L', b'F', 0, 0]).unwrap();
    for name in ["script", "noise"] {
        fs::set_permissions(at(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let path = |name: &str| at(name).to_str().unwrap().to_owned();
    let (plain, script, noise) = (path("plain"), path("script"), path("noise"));
    let base = world.task(0, &["true"]);
    let command = |words: &[&str]| Launch {
        command: words.iter().map(|&word| word.to_owned()).collect(),
        ..base.clone()
    };
    let cases = [
        (
            command(&["no-such-program-anywhere"]),
            "no such program on this node",
        ),
        (
            command(&["/no/such/program"]),
            "no such program on this node",
        ),
        (command(&[&plain]), "permission denied"),
        (command(&["/tmp"]), "permission denied"),
        (command(&[&script]), "interpreter"),
        (command(&[&noise]), "not a program for this machine"),
        (command(&[]), "command is empty"),
        (command(&[""]), "no such program"),
        (
            Launch {
                dir: Some("/no/such/dir".into()),
                ..base.clone()
            },
            "no such directory",
        ),
        (
            Launch {
                dir: Some(plain.clone()),
                ..base.clone()
            },
            "not a directory",
        ),
        (
            Launch {
                dir: Some("relative".into()),
                ..base.clone()
            },
            "absolute",
        ),
        (
            Launch {
                user: Some("no-such-user".into()),
                ..base.clone()
            },
            "no such user",
        ),
        (command(&["true", &"x".repeat(200_000)]), "too long"),
        (command(&["true", "a\0b"]), "nul"),
    ];
    for (index, (launch, expected)) in (0..).zip(cases) {
        let launch = Launch {
            task: key(index).0,
            ..launch
        };
        match world.run(launch).await {
            Outcome::NotStarted(reason) => assert!(reason.contains(expected), "{reason}"),
            other => panic!("{expected}: {other:?}"),
        }
    }
    assert_eq!(world.run(world.sh(99, "exit 3")).await, Outcome::Exited(3));
    world.finish().await;
}

pub(crate) async fn a_task_gets_its_environment_and_a_directory_of_its_own() {
    let mut world = World::new().await;
    let script = "pwd; echo \"$STARLING_TASK|$EMPTY|${STARLING_OTHER-unset}|$0\"; ulimit -n; \
                  umask; readlink /proc/self/fd/0; ls /proc/self/fd | tr '\\n' ' '; echo; touch file";
    let mut launch = world.sh(0, script);
    launch.env.insert("STARLING_TASK".into(), "mine".into());
    launch.env.insert("EMPTY".into(), String::new());
    launch.env.insert("PATH".into(), "/usr/bin:/bin".into());
    world.start(launch);
    assert_eq!(world.ended(0).await, Outcome::Exited(0));
    let output = world.output(0);
    let lines: Vec<&str> = output.lines().collect();
    let dir = world.work(0).canonicalize().unwrap();
    let plain = Command::new("sh")
        .args([
            "-c",
            "ulimit -n; umask; ls /proc/self/fd | tr '\\n' ' '; echo",
        ])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let plain = String::from_utf8(plain.stdout).unwrap();
    let plain: Vec<&str> = plain.lines().collect();
    assert_eq!(lines[0], dir.to_str().unwrap());
    assert_eq!(lines[1], "mine||unset|sh");
    // The limits of this process, and no descriptor that it would not pass on itself.
    assert_eq!(lines[2..4], plain[..2]);
    assert_eq!((lines[4], lines[5]), ("/dev/null", plain[2]));
    assert!(dir.join("file").exists());
    world.executor().acknowledge(vec![key(0)]);
    crate::world::until(|| !dir.exists()).await;
    assert!(world.log(0, "out").exists());

    let elsewhere = Launch {
        dir: Some("/".into()),
        ..world.task(1, &["pwd"])
    };
    assert_eq!(world.run(elsewhere).await, Outcome::Exited(0));
    assert_eq!(world.output(1), "/\n");
    assert!(!world.work(1).exists());
    world.finish().await;
}

pub(crate) async fn a_task_is_started_once() {
    let mut world = World::new().await;
    let launch = world.sh(0, "echo ran; exec sleep 60");
    world.executor().start(vec![launch.clone(), launch.clone()]);
    let pid = world.started(0).await;
    world.start(launch.clone());
    world.output_of(0).await;
    // A daemon that lost its memory asks again.
    world.disconnect();
    world.connect().await;
    assert_eq!(world.held.len(), 1);
    assert_eq!((world.held[0].pid, &world.held[0].ended), (pid, &None));
    world.start(launch.clone());
    // Another placement of the same task is another thing.
    let (task, _) = key(0);
    world.start(Launch {
        epoch: 2,
        command: vec!["true".into()],
        ..launch.clone()
    });
    let again = |event: &ExecEvent| match event {
        ExecEvent::Ended {
            task: t,
            epoch: 2,
            outcome,
        } if *t == task => Some(outcome.clone()),
        _ => None,
    };
    assert_eq!(world.find(again).await, Outcome::Exited(0));
    world.executor().stop(task, 1, Outcome::Stopped);
    assert_eq!(world.ended(0).await, Outcome::Stopped);
    assert_eq!(world.output(0), "ran\n");
    world.finish().await;
}

pub(crate) async fn two_thousand_tasks_end_exactly_once() {
    const COUNT: u32 = 2000;
    let mut world = World::new().await;
    let launches: Vec<Launch> = (0..COUNT)
        .map(|index| world.task(index, &["true"]))
        .collect();
    for some in launches.chunks(100) {
        world.executor().start(some.to_vec());
    }
    let mut seen: BTreeMap<u32, (u32, u32)> = BTreeMap::new();
    while seen.len() < COUNT as usize || seen.values().any(|(_, ended)| *ended == 0) {
        match world.event().await {
            ExecEvent::Started { task, .. } => seen.entry(task.index).or_default().0 += 1,
            ExecEvent::Ended { task, outcome, .. } => {
                assert_eq!(outcome, Outcome::Exited(0));
                seen.entry(task.index).or_default().1 += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(seen.values().all(|counts| *counts == (1, 1)));
    world.executor().acknowledge((0..COUNT).map(key).collect());
    world.disconnect();
    world.connect().await;
    assert_eq!(world.held, []);
    // Some are kept for a moment, in case that more tasks come.
    crate::world::until(|| fs::read_dir(world.dir().join("work")).unwrap().count() == 0).await;
    world.finish().await;
}

pub(crate) async fn hundreds_run_at_once() {
    // Each takes two descriptors of the runner, which together are more than the limit it began
    // with.
    const COUNT: u32 = 400;
    let mut world = World::new().await;
    let launches = (0..COUNT)
        .map(|index| world.task(index, &["sleep", "60"]))
        .collect();
    world.executor().start(launches);
    for index in 0..COUNT {
        world.started(index).await;
    }
    let open = fs::read_dir(format!("/proc/{}/fd", world.runner()))
        .unwrap()
        .count();
    assert!(open > 800, "{open}");
    assert_eq!(
        world.run(world.sh(COUNT, "ulimit -Sn")).await,
        Outcome::Exited(0)
    );
    assert_eq!(world.output(COUNT), "512\n");
    (0..COUNT).for_each(|index| world.executor().stop(key(index).0, 1, Outcome::Stopped));
    for index in 0..COUNT {
        assert_eq!(world.ended(index).await, Outcome::Stopped);
    }
    world.finish().await;
}

pub(crate) async fn a_task_can_run_as_another_user() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root can run tasks as other users");
        return;
    }
    let mut world = World::new().await;
    let script = "id -un; echo $HOME; pwd >/dev/null && touch made && echo done; nonsense";
    let launch = Launch {
        user: Some("nobody".into()),
        ..world.sh(0, script)
    };
    assert_eq!(world.run(launch.clone()).await, Outcome::Exited(127));
    let output = world.output(0);
    assert!(
        output.starts_with("nobody\n/") && output.ends_with("done\n"),
        "{output}"
    );
    let nobody = fs::metadata(world.work(0)).unwrap().uid();
    assert!(nobody != 0 && fs::metadata(world.work(0).join("made")).unwrap().uid() == nobody);

    let secret = world.dir().join("secret");
    fs::write(&secret, "#!/bin/sh\n").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o700)).unwrap();
    let command = vec![secret.to_str().unwrap().to_owned()];
    let denied = Launch {
        task: key(1).0,
        command,
        ..launch
    };
    match world.run(denied).await {
        Outcome::NotStarted(reason) => assert!(reason.contains("permission denied"), "{reason}"),
        other => panic!("{other:?}"),
    }
    world.finish().await;
}

pub(crate) async fn a_long_data_directory_works() {
    let mut world = World::with(|config| {
        let long = "d".repeat(75);
        config.dir = config.dir.join(&long).join(&long).join("tasks");
    })
    .await;
    assert!(world.dir().as_os_str().len() > 150);
    assert_eq!(
        world.run(world.sh(0, "echo here")).await,
        Outcome::Exited(0)
    );
    assert_eq!(world.output(0), "here\n");
    world.disconnect();
    world.connect().await;
    assert_eq!(world.held.len(), 1);
    world.finish().await;
}

pub(crate) async fn a_second_runner_does_not_start() {
    let mut world = World::new().await;
    let second = Command::new("/proc/self/exe")
        .arg(RUNNER)
        .arg(world.dir())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let word = String::from_utf8(second.stderr).unwrap();
    assert!(
        !second.status.success() && word.contains("another runner"),
        "{word}"
    );
    // Two daemons at once, which no data directory allows, both get through to the one runner.
    let mut fresh = World::new().await;
    let runner = fresh.runner();
    fresh.disconnect();
    let (a, b) = tokio::join!(
        Processes::open(fresh.config.clone()),
        Processes::open(fresh.config.clone())
    );
    assert!(a.is_ok() && b.is_ok() && is_alive(runner));
    drop((a, b));
    assert_eq!(world.run(world.sh(0, "exit 4")).await, Outcome::Exited(4));
    fresh.finish().await;
    world.finish().await;
}
