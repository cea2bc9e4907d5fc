//! What is learned of classes, as users meet it.

use crate::world::{SOON, World, until};

/// Waits until a member knows a class from so many measurements; its `classes --json` entry.
async fn known(world: &World, at: usize, class: &str, count: f64) -> serde_json::Value {
    until("the class is known", SOON, async || {
        let classes = world.cli(at, &["classes", class, "--json"]).await.json();
        let found = classes["items"][0].clone();
        let counts = found["cells"].as_array().into_iter().flatten();
        let counted: f64 = counts.filter_map(|cell| cell["count"].as_f64()).sum();
        if counted > count - 0.1 {
            Ok(found)
        } else {
            Err(format!("{counted} of {count}: {classes}"))
        }
    })
    .await
}

#[tokio::test]
async fn every_node_knows_what_any_of_them_ran_and_after_a_restart_too() {
    let mut world = World::of(3).await;
    let nodes = world.client(0).nodes().await.unwrap().items;
    assert!(nodes.iter().all(|node| node.platform == nodes[0].platform));
    let only = nodes.iter().find(|node| node.name.ends_with('1')).unwrap();
    let on = format!("name={}", only.name);
    let given = ["--class", "nap", "--constraint", &on, "--", "sleep", "0.3"];
    let derived = ["--name", "short", "--constraint", &on, "--", "true"];
    for args in [&given[..], &derived[..]] {
        let job = world.submit(0, args).await;
        world.over(2, &job).await;
    }
    // What fails says nothing of how long such tasks run.
    let broken = ["--class", "broken", "--", "false"];
    let job = world.submit(0, &broken).await;
    world.over(0, &job).await;
    for at in 0..3 {
        let class = known(&world, at, "nap", 1.0).await;
        assert_eq!(
            (&class["name"], &class["observers"]),
            (&"nap".into(), &1.into())
        );
        let cell = &class["cells"][0];
        assert_eq!(cell["column"], format!("platform:{}", nodes[0].platform));
        let seconds = cell["value"].as_f64().unwrap();
        // As its node saw it start and end, on a machine that may be busy.
        assert!((0.1..60.0).contains(&seconds), "{seconds}");
        assert_eq!(cell["observers"][0]["node"]["name"], only.name.as_str());
        known(&world, at, "process:true/short", 1.0).await;
        let table = world.cli(at, &["classes"]).await.ok();
        for part in ["nap", "process:true/short", "platform:", &only.name] {
            assert!(table.contains(part), "no {part} in:\n{table}");
        }
        assert!(!table.contains("broken"), "{table}");
        let page = world.cli(at, &["classes", "nothing-like-it"]).await;
        assert!(page.ok().is_empty());
    }
    let job = world.submit(0, &given).await;
    let page = world.cli(0, &["inspect", &job]).await.ok();
    assert!(page.contains("nap"), "{page}");
    // Saved within its period, and then there before anybody else could tell it.
    until("it is saved", SOON, async || {
        let metrics = world.client(2).metrics().await.map_err(|e| e.to_string())?;
        if metrics.contains("starling_observations_unsaved 0") {
            Ok(())
        } else {
            Err(metrics)
        }
    })
    .await;
    world.noted(2).await;
    for at in 0..3 {
        world.keep_address(at).await;
    }
    for at in 0..3 {
        world.fleet.kill(at, true);
    }
    world.boot(2).await;
    known(&world, 2, "nap", 1.0).await;
    for at in 0..2 {
        world.boot(at).await;
    }
    world.formed(3).await;
    world.end().await;
}
