//! What bad input gets: a clear error that names the field and what would be right, a code that is
//! not 0, and nothing half done.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::world::{
    Said, World, finish_within, folder, is_root, nothing_runs_in, skipped, starling, start,
};

const QUICK: Duration = Duration::from_secs(30);

/// A `starling up` that cannot work out.
async fn up(dir: &Path, flags: &[&str]) -> Said {
    let mut command = starling(&["up", "--no-mdns"]);
    if !flags.contains(&"--listen") {
        command.args(["--listen", "/ip4/127.0.0.1/tcp/0"]);
    }
    finish_within(start(command.args(flags).arg("--data-dir").arg(dir)), QUICK).await
}

#[tokio::test]
async fn slips_of_the_command_line_name_the_flag() {
    let world = World::of(1).await;
    for (args, part) in [
        (&["run", "--colour", "red", "--", "true"][..], "--colour"),
        (&["run", "--count", "0", "--", "true"], "--count"),
        (&["run", "--count", "100001", "--", "true"], "--count"),
        (&["run", "--count", "-1", "--", "true"], "--count"),
        (&["run", "--cpu", "0", "--", "true"], "--cpu"),
        (&["run", "--cpu", "-2", "--", "true"], "--cpu"),
        (&["run", "--cpu", "many", "--", "true"], "--cpu"),
        (&["run", "--memory", "0", "--", "true"], "--memory"),
        (&["run", "--memory", "12 parsecs", "--", "true"], "--memory"),
        (&["run", "--disk", "-1", "--", "true"], "--disk"),
        (
            &["run", "--constraint", "arch", "--", "true"],
            "--constraint",
        ),
        (&["run", "--constraint", "=x", "--", "true"], "--constraint"),
        (
            &["run", "--constraint", "arch ~ x", "--", "true"],
            "--constraint",
        ),
        (&["run", "--env", "=x", "--", "true"], "--env"),
        (&["run", "--restart", "often", "--", "true"], "--restart"),
        (&["run", "--grace", "soon", "--", "true"], "--grace"),
        (&["run"], "CMD"),
        (&["fly"], "fly"),
        (&[], "Usage"),
        (&["drain", "node-0", "--deadline", "soon"], "--deadline"),
        (&["demo", "--nodes", "1"], "--nodes"),
        (&["ps", "--api", "nonsense"], "--api"),
    ] {
        let error = world.cli(0, args).await.fails(2);
        assert!(error.contains(part), "{args:?}: {error}");
    }
    assert!(world.client(0).jobs().await.unwrap().items.is_empty());
    world.end().await;
}

#[tokio::test]
async fn a_job_that_fits_nowhere_is_told_the_nearest_miss_of_each_node() {
    let world = World::of(2).await;
    for (flags, part) in [
        (["--cpu", "9000"], "cpu"),
        (["--memory", "900TiB"], "memory"),
        (["--disk", "9000TiB"], "disk"),
        (["--constraint", "arch=pdp11"], "arch"),
        (["--constraint", "zone in (attic, cellar)"], "zone"),
    ] {
        let args: Vec<&str> = ["run"]
            .iter()
            .chain(&flags)
            .chain(&["--", "true"])
            .copied()
            .collect();
        let said = world.cli(1, &args).await;
        assert!(said.code == 1 || said.code == 2, "{said:?}");
        assert!(said.err.contains(part), "{flags:?}: {said:?}");
        if said.code == 1 {
            assert!(
                said.err.contains("node-0") && said.err.contains("node-1"),
                "{said:?}"
            );
        }
    }
    assert!(world.client(0).jobs().await.unwrap().items.is_empty());
    world.end().await;
}

#[tokio::test]
async fn no_daemon_no_directory() {
    let folder = folder();
    let dir = folder.path().to_str().unwrap();
    for words in [
        &["ps"][..],
        &["nodes"],
        &["run", "--", "true"],
        &["token"],
        &["logs", "x"],
    ] {
        let said = finish_within(
            start(starling(words).env("STARLING_DATA_DIR", folder.path())),
            QUICK,
        )
        .await;
        let error = said.fails(3);
        assert!(
            error.contains(dir) && error.contains("starling up"),
            "{error}"
        );
    }
    let error = finish_within(start(&mut starling(&["ps", "--api", "127.0.0.1:1"])), QUICK).await;
    assert!(error.fails(3).contains("127.0.0.1:1"));
}

#[tokio::test]
async fn what_is_in_use_is_named() {
    let world = World::with(1, &["--api", "127.0.0.1:0"]).await;
    let dir = world.member(0).dir.clone();
    // The data directory.
    let error = up(&dir, &[]).await.fails(1);
    assert!(
        error.contains(dir.to_str().unwrap()) && error.contains("--data-dir"),
        "{error}"
    );
    // The node's port.
    let nodes = world.client(0).nodes().await.unwrap().items;
    let address = nodes[0].addresses[0].clone();
    let other = world.root().join("other");
    let error = up(&other, &["--listen", &address]).await.fails(1);
    assert!(
        error.contains("--listen") && error.contains(&address),
        "{error}"
    );
    assert!(
        !other.join("cluster.key").exists(),
        "half a cluster was left"
    );
    // The API's port.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let error = up(&other, &["--api", &address]).await.fails(1);
    assert!(
        error.contains("--api") && error.contains(&address),
        "{error}"
    );
    // Addresses that are none.
    for (flag, value) in [
        ("--listen", "here"),
        ("--listen", "/ip4/127.0.0.1"),
        ("--api", "here"),
        ("--api", "::"),
    ] {
        let said = up(&other, &[flag, value]).await;
        assert!(said.code == 1 || said.code == 2, "{said:?}");
        assert!(
            said.err.contains(flag) && !said.err.contains("panicked"),
            "{said:?}"
        );
    }
    for (flag, value) in [
        ("--name", "a b"),
        ("--label", "zone"),
        ("--label", "arch=pdp11"),
    ] {
        let error = up(&other, &[flag, value]).await.fails(2);
        assert!(error.contains(flag), "{error}");
    }
    // The one in whose way they all were is well.
    world.cli(0, &["run", "--wait", "--", "true"]).await.ok();
    assert!(!fs::exists(other.join("cluster.key")).unwrap());
    world.end().await;
}

#[tokio::test]
async fn a_directory_that_cannot_be_used_is_named() {
    let folder = folder();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    for dir in [file.clone(), file.join("below")] {
        let error = up(&dir, &[]).await.fails(1);
        assert!(error.contains(dir.to_str().unwrap()), "{error}");
    }
    if is_root() {
        skipped("root may write everywhere: no data directory without permission");
    } else {
        use std::os::unix::fs::PermissionsExt;
        let dir = folder.path().join("closed");
        fs::create_dir(&dir).unwrap();
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o500)).unwrap();
        let error = up(&dir, &[]).await.fails(1);
        assert!(error.contains(dir.to_str().unwrap()), "{error}");
    }
    nothing_runs_in(folder.path()).await;
}

#[tokio::test]
async fn damaged_and_newer_files_are_refused_and_left_alone() {
    let mut world = World::of(1).await;
    let job = world.submit(0, &["--", "true"]).await;
    world.over(0, &job).await;
    world.fleet.leave(0).await.unwrap();
    let dir = world.member(0).dir.clone();
    // A store by a newer version.
    let file = dir.join("state.redb");
    let good = fs::read(&file).unwrap();
    newer(&file);
    let changed = fs::read(&file).unwrap();
    let error = up(&dir, &[]).await.fails(1);
    assert!(
        error.contains("state.redb") && error.contains("newer"),
        "{error}"
    );
    assert!(
        fs::read(&file).unwrap() == changed,
        "the file was overwritten"
    );
    // A store that is none.
    fs::write(&file, b"not a database, but longer than nothing").unwrap();
    let error = up(&dir, &[]).await.fails(1);
    assert!(error.contains("state.redb"), "{error}");
    fs::write(&file, &good).unwrap();
    // Keys.
    for name in ["node.key", "cluster.key"] {
        let good = fs::read(dir.join(name)).unwrap();
        fs::write(dir.join(name), b"short").unwrap();
        let error = up(&dir, &[]).await.fails(1);
        assert!(error.contains(name), "{error}");
        fs::write(dir.join(name), good).unwrap();
    }
    world.boot(0).await;
    world.over(0, &job).await;
    world.end().await;
}

/// Makes a store look as if a newer version had written it.
fn newer(file: &Path) {
    let table = redb::TableDefinition::<&str, u64>::new("meta");
    let store = redb::Database::open(file).unwrap();
    let write = store.begin_write().unwrap();
    write
        .open_table(table)
        .unwrap()
        .insert("format", 4_000_000)
        .unwrap();
    write.commit().unwrap();
}

#[tokio::test]
async fn what_the_api_cannot_read_is_named() {
    let world = World::of(1).await;
    let socket = world.member(0).dir.join("api.sock");
    for (body, field) in [
        ("{\"command\":[\"true\"],\"cpus\":1}", "cpus"),
        ("{\"command\":[\"true\"],\"count\":0}", "count"),
        ("{\"command\":[]}", "command"),
        ("{\"command\":[\"a\\u0000b\"]}", "command"),
        ("{\"command\":\"true\"}", "command"),
        ("{\"command\":[\"true\"],\"env\":{\"A=B\":\"c\"}}", "env"),
        ("{\"command\":[\"true\"],\"count\":1e9}", "count"),
        ("{", ""),
        ("", ""),
        ("null", ""),
    ] {
        let request = format!(
            "POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             Connection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let answer = crate::api::unix(&socket, request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 4"), "{body}: {answer}");
        assert!(answer.contains(field), "{body}: {answer}");
    }
    assert!(world.client(0).jobs().await.unwrap().items.is_empty());
    world.end().await;
}
