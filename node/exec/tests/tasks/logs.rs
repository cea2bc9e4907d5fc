//! What tasks write, and how it is read.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::time::{Duration, Instant};

use starling_exec::logs::{LogReader, Select, Stream};
use starling_wire::Outcome;

use crate::world::{SOON, World, key, until};

async fn read(world: &World, index: u32, select: Select, tail: Option<u64>) -> String {
    let (task, epoch) = key(index);
    let mut reader = LogReader::open(world.dir(), task, Some(epoch), select, tail)
        .await
        .unwrap();
    let mut text = Vec::new();
    while let Some((_, bytes)) = reader.next_chunk(false).await.unwrap() {
        text.extend(bytes);
    }
    String::from_utf8(text).unwrap()
}

pub(crate) async fn both_streams_are_kept() {
    let mut world = World::new().await;
    world.start(world.sh(0, "echo one; echo two >&2; printf three"));
    assert_eq!(world.ended(0).await, Outcome::Exited(0));
    assert_eq!(read(&world, 0, Select::Out, None).await, "one\nthree");
    assert_eq!(read(&world, 0, Select::Err, None).await, "two\n");
    assert_eq!(read(&world, 0, Select::Out, Some(1)).await, "three");
    assert_eq!(read(&world, 0, Select::Both, None).await.len(), 13);
    // What writes nothing has no file.
    assert_eq!(world.run(world.sh(1, "exit 0")).await, Outcome::Exited(0));
    assert!(!world.log(1, "out").exists());
    assert_eq!(read(&world, 1, Select::Both, None).await, "");
    world.finish().await;
}

pub(crate) async fn a_lot_of_output_is_all_there() {
    let mut world = World::with(|config| config.log_limit = 32 << 20).await;
    // More than a pipe holds, written by one that ends at once, and by a whole pipeline.
    let script = "head -c 3000000 /dev/zero | tr '\\0' x; echo; seq 1 50000 >&2";
    assert_eq!(world.run(world.sh(0, script)).await, Outcome::Exited(0));
    let out = read(&world, 0, Select::Out, None).await;
    assert!(out.len() == 3_000_001 && out.trim_end().bytes().all(|byte| byte == b'x'));
    let numbers: String = (1..=50_000).map(|number| format!("{number}\n")).collect();
    assert!(read(&world, 0, Select::Err, None).await == numbers);
    assert_eq!(
        read(&world, 0, Select::Err, Some(2)).await,
        "49999\n50000\n"
    );
    world.finish().await;
}

pub(crate) async fn logs_are_rotated_and_bounded() {
    const LIMIT: u64 = 64 << 10;
    let mut world = World::with(|config| config.log_limit = LIMIT).await;
    assert_eq!(
        world.run(world.sh(0, "seq 1 100000")).await,
        Outcome::Exited(0)
    );
    let size = |suffix: &str| fs::metadata(world.log(0, suffix)).unwrap().len();
    let kept = size("out") + size("out.1");
    assert!(kept <= LIMIT && kept > LIMIT / 2, "{kept}");
    let text = read(&world, 0, Select::Out, None).await;
    let all: String = (1..=100_000).map(|number| format!("{number}\n")).collect();
    assert!(all.ends_with(&text) && text.len() as u64 == kept);
    let tail: String = (92_001..=100_000)
        .map(|number| format!("{number}\n"))
        .collect();
    assert!(read(&world, 0, Select::Out, Some(8_000)).await == tail);
    world.finish().await;
}

pub(crate) async fn a_follower_sees_lines_as_they_come() {
    let mut world = World::with(|config| config.log_limit = 4096).await;
    let script = "i=0; until [ -e go ]; do echo line $i; i=$((i+1)); sleep 0.01; done; echo last";
    world.start(world.sh(0, script));
    world.started(0).await;
    let (task, epoch) = key(0);
    let mut reader = LogReader::open(world.dir(), task, Some(epoch), Select::Both, None)
        .await
        .unwrap();
    let mut text = String::new();
    let begin = Instant::now();
    // Through several rotations: 4 KiB hold fewer than 400 such lines.
    while text.lines().count() < 450 {
        assert!(begin.elapsed() < SOON * 2);
        let (stream, bytes) = reader.next_chunk(true).await.unwrap().unwrap();
        assert_eq!(stream, Stream::Out);
        text.push_str(std::str::from_utf8(&bytes).unwrap());
    }
    fs::write(world.work(0).join("go"), "").unwrap();
    // As a daemon does it: follow until the end is known, then read what is left.
    loop {
        tokio::select! {
            chunk = reader.next_chunk(true) => {
                text.push_str(std::str::from_utf8(&chunk.unwrap().unwrap().1).unwrap());
            }
            outcome = world.ended(0) => {
                assert_eq!(outcome, Outcome::Exited(0));
                break;
            }
        }
    }
    while let Some((_, bytes)) = reader.next_chunk(false).await.unwrap() {
        text.push_str(std::str::from_utf8(&bytes).unwrap());
    }
    let lines: Vec<&str> = text.lines().collect();
    let (last, lines) = lines.split_last().unwrap();
    assert_eq!(*last, "last");
    assert!(
        lines
            .iter()
            .enumerate()
            .all(|(at, line)| *line == format!("line {at}"))
    );
    world.finish().await;
}

pub(crate) async fn the_oldest_logs_go() {
    let mut world = World::with(|config| config.logs_tasks = 3).await;
    for index in 0..6 {
        assert_eq!(
            world.run(world.sh(index, "echo kept")).await,
            Outcome::Exited(0)
        );
    }
    until(|| !world.log(2, "out").exists()).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    let kept = (0..6).filter(|index| world.log(*index, "out").exists());
    assert_eq!(kept.collect::<Vec<u32>>(), [3, 4, 5]);
    world.finish().await;
}
