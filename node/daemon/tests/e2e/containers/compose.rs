//! Compose files, applied to a cluster.

use starling_api::TaskState;

use super::engine::Engine;
use crate::world::{World, all_succeeded_once};

#[tokio::test]
async fn the_services_of_a_compose_file_run_as_containers() {
    let Some(engine) = Engine::get() else { return };
    let world = World::of(2).await;
    let folder = world.root().join("app");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("web.env"), "# secrets\nFROM_FILE=\"a b\"\n").unwrap();
    let file = folder.join("compose.yaml");
    let text = format!(
        "services:
  web:
    image: {0}
    pull_policy: never
    command: sh -c 'echo $$FROM_FILE $$HERE $$STARLING_INDEX'
    env_file: web.env
    environment:
      HERE: ${{NOT_SET_ANYWHERE:-default}}
    read_only: true
    deploy:
      replicas: 2
      resources:
        limits: {{memory: 32m, cpus: '0.1'}}
  job:
    image: {0}
    pull_policy: never
    entrypoint: [sh, -c, 'exit 3']
    restart: on-failure:1
    healthcheck:
      test: [CMD, 'true']
",
        engine.image
    );
    std::fs::write(&file, &text).unwrap();
    let args = ["apply", "-f", file.to_str().unwrap()];
    let said = world.cli(0, &args).await;
    assert!(
        said.err.contains("compose.yaml:19: `healthcheck`"),
        "{said:?}"
    );
    let lines: Vec<Vec<String>> = said
        .ok()
        .lines()
        .map(|line| line.split_whitespace().map(str::to_owned).collect())
        .collect();
    assert_eq!((lines.len(), lines[0][1].as_str()), (2, "web"), "{lines:?}");
    assert_eq!(lines[1][1], "job");
    let web = world.over(1, &lines[0][0]).await;
    all_succeeded_once(&web, 2);
    assert_eq!(web.summary.name, "web");
    for task in &web.tasks {
        let said = world.cli(1, &["logs", &task.id]).await.ok();
        assert_eq!(said, format!("a b default {}\n", task.index));
    }
    let job = world.over(1, &lines[1][0]).await;
    let task = &job.tasks[0];
    assert_eq!(
        (task.state, task.attempts),
        (TaskState::Failed, 2),
        "{task:?}"
    );

    // All of it or nothing: a slip is found before anything is submitted.
    let before = world.client(0).jobs().await.unwrap().items.len();
    std::fs::write(&file, format!("{text}    privileged: true\n")).unwrap();
    let error = world.cli(0, &args).await.fails(2);
    assert!(error.contains("compose.yaml:21: `privileged`"), "{error}");
    assert_eq!(world.client(0).jobs().await.unwrap().items.len(), before);
    // And what is refused by the cluster takes back what was taken.
    let huge = "    deploy: {resources: {limits: {memory: 999999g}}}\n";
    std::fs::write(&file, format!("{text}{huge}")).unwrap();
    let error = world.cli(0, &args).await.fails(1);
    assert!(error.contains("is stopped again"), "{error}");
    for job in world.client(0).jobs().await.unwrap().items {
        world.over(0, &job.id).await;
    }
    engine.end(world).await;
}
