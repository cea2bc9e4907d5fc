//! Who may enter, and what those are told who may not.

use std::fs;
use std::path::Path;
use std::time::Duration;

use starling_api::NodeState;
use tokio::process::Child;

use crate::world::{
    SOON, World, finish_within, folder, nothing_runs_in, starling, start, until, until_true,
};

/// How long a daemon that is not admitted may take to say so.
const REFUSED: Duration = Duration::from_secs(20);

/// Starts a daemon that joins by a token.
fn join(dir: &Path, token: &str, more: &[&str]) -> Child {
    let mut command = starling(&["up", "--name", "newcomer", "--no-mdns"]);
    command
        .args(["--listen", "/ip4/127.0.0.1/tcp/0", "--join", token])
        .args(more);
    start(command.arg("--data-dir").arg(dir))
}

/// Makes sure that a folder which saw a failed join can be used to join properly.
async fn joins_in_the_end(world: &mut World, dir: &Path) {
    let token = world.member(0).token().await.unwrap();
    let mut child = join(dir, &token, &[]);
    world
        .node_when(0, "newcomer", SOON, |node| node.state == NodeState::Alive)
        .await;
    let pid = child.id().unwrap();
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(pid.cast_signed()).unwrap(),
        rustix::process::Signal::TERM,
    )
    .unwrap();
    assert!(child.wait().await.unwrap().success());
}

/// The address a member listens at.
async fn address(world: &World) -> String {
    let nodes = world.client(0).nodes().await.unwrap().items;
    nodes[0]
        .addresses
        .iter()
        .find(|addr| addr.contains("/127.0.0.1/"))
        .unwrap()
        .clone()
}

#[tokio::test]
async fn a_token_of_another_cluster_is_refused_on_both_sides() {
    // The same machine, key and address, but a cluster founded anew: the old token finds it.
    let mut world = World::of(1).await;
    let old = world.member(0).token().await.unwrap();
    let address = address(&world).await;
    world.fleet.kill(0, false);
    for file in ["cluster.key", "state.redb"] {
        fs::remove_file(world.member(0).dir.join(file)).unwrap();
    }
    world.fleet.members[0].flags = vec!["--listen".to_owned(), address];
    world.boot(0).await;

    let dir = world.root().join("newcomer");
    let error = finish_within(join(&dir, &old, &[]), REFUSED).await.fails(1);
    assert!(
        error.contains("--join") && error.contains("cluster"),
        "{error}"
    );
    assert!(
        error.contains("starling token"),
        "it does not say what to do: {error}"
    );
    until_true("the other side says so too", SOON, || {
        let log = world.member(0).log();
        log.lines()
            .any(|line| line.contains("WARN") && line.contains("cluster"))
    })
    .await;
    assert_eq!(world.client(0).nodes().await.unwrap().items.len(), 1);
    assert!(
        !dir.join("cluster.key").exists(),
        "half a membership was left"
    );
    joins_in_the_end(&mut world, &dir).await;
    world.end().await;
}

#[tokio::test]
async fn a_token_whose_address_now_is_another_clusters_is_refused() {
    let mut ours = World::of(1).await;
    let theirs = World::of(1).await;
    let (token, address) = (
        theirs.member(0).token().await.unwrap(),
        address(&theirs).await,
    );
    let cluster = theirs.client(0).health().await.unwrap().cluster;
    theirs.end().await;
    ours.fleet.kill(0, false);
    ours.fleet.members[0].flags = vec!["--listen".to_owned(), address];
    ours.boot(0).await;
    assert_ne!(ours.client(0).health().await.unwrap().cluster, cluster);

    let dir = ours.root().join("newcomer");
    let error = finish_within(join(&dir, &token, &[]), REFUSED)
        .await
        .fails(1);
    assert!(error.contains("--join"), "{error}");
    assert_eq!(ours.client(0).nodes().await.unwrap().items.len(), 1);
    joins_in_the_end(&mut ours, &dir).await;
    ours.end().await;
}

#[tokio::test]
async fn a_member_of_one_cluster_does_not_join_another() {
    let ours = World::of(1).await;
    let mut theirs = World::of(1).await;
    let token = ours.member(0).token().await.unwrap();
    theirs.fleet.kill(0, false);
    let dir = theirs.member(0).dir.clone();
    let error = finish_within(join(&dir, &token, &[]), REFUSED)
        .await
        .fails(1);
    assert!(
        error.contains("belongs to cluster") && error.contains("--data-dir"),
        "{error}"
    );
    // It still is what it was.
    theirs.boot(0).await;
    assert_eq!(ours.client(0).nodes().await.unwrap().items.len(), 1);
    ours.end().await;
    theirs.end().await;
}

#[tokio::test]
async fn tokens_cut_short_or_garbled_are_told_apart_from_good_ones() {
    let mut world = World::of(1).await;
    let token = world.member(0).token().await.unwrap();
    let dir = world.root().join("newcomer");
    let mut garbled = token.clone().into_bytes();
    let middle = garbled.len() / 2;
    garbled[middle] = if garbled[middle] == b'a' { b'b' } else { b'a' };
    let garbled = String::from_utf8(garbled).unwrap();
    for bad in [
        "",
        "x",
        "starling1",
        &token[..token.len() - 3],
        &token[1..],
        &garbled,
    ] {
        let error = finish_within(join(&dir, bad, &[]), REFUSED).await.fails(1);
        assert!(
            error.contains("--join") && error.contains("token"),
            "{bad}: {error}"
        );
        assert!(
            !dir.join("cluster.key").exists(),
            "half a membership was left"
        );
    }
    assert_eq!(world.client(0).nodes().await.unwrap().items.len(), 1);
    joins_in_the_end(&mut world, &dir).await;
    world.end().await;
}

#[tokio::test]
async fn a_token_whose_cluster_sleeps_is_waited_for() {
    let mut world = World::of(1).await;
    let (token, address) = (
        world.member(0).token().await.unwrap(),
        address(&world).await,
    );
    world.fleet.kill(0, false);
    let dir = world.root().join("newcomer");
    let child = join(&dir, &token, &[]);
    until_true("it lives", SOON, || dir.join("api.sock").exists()).await;
    world.fleet.members[0].flags = vec!["--listen".to_owned(), address];
    world.boot(0).await;
    world
        .node_when(0, "newcomer", SOON, |node| node.state == NodeState::Alive)
        .await;
    drop(child);
    world
        .node_when(0, "newcomer", SOON, |node| node.state == NodeState::Dead)
        .await;
    world.end().await;
}

#[tokio::test]
async fn two_clusters_do_not_mix() {
    let folders = (folder(), folder());
    let (one, other) = (World::of(2).await, World::of(2).await);
    for world in [&one, &other] {
        let seen = world.client(0).nodes().await.unwrap().items;
        assert_eq!(seen.len(), 2);
    }
    let health = async |world: &World| world.client(1).health().await.unwrap().cluster;
    assert_ne!(health(&one).await, health(&other).await);
    one.end().await;
    other.end().await;
    nothing_runs_in(folders.0.path()).await;
}

#[tokio::test]
async fn secrets_are_for_the_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let world = World::with(1, &["--api", "127.0.0.1:0"]).await;
    let dir = world.member(0).dir.clone();
    for name in ["node.key", "cluster.key", "api.sock", "api.token"] {
        let mode = fs::metadata(dir.join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{name}");
    }
    // The secret itself is not in the log.
    let token = world.member(0).token().await.unwrap();
    let log = world.member(0).log();
    assert!(!log.contains(&token));
    until("the line is one line", SOON, async || {
        let said = world.cli(0, &["token"]).await.ok();
        if said.lines().count() == 1 && said.starts_with("starling1") {
            Ok(())
        } else {
            Err(said)
        }
    })
    .await;
    world.end().await;
}
