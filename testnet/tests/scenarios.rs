//! The program as a person uses it: the examples run, the same seed is the same run in every build,
//! and what is wrong with a scenario is said in one line that names the place.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios")
}

fn testnet(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_starling-testnet"))
        .args(words)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn an_example_runs_writes_its_report_and_is_the_same_run_in_every_build() {
    let dir = tempfile::tempdir().unwrap();
    let (out, trace) = (dir.path().join("out"), dir.path().join("trace.log"));
    let scenario = examples().join("three-pis.toml");
    let ran = testnet(&[
        "sim",
        scenario.to_str().unwrap(),
        "--policy",
        "starling,starling:-live,-bounce,p2c",
        "--out",
        out.to_str().unwrap(),
        "--trace",
        trace.to_str().unwrap(),
    ]);
    assert!(ran.status.success(), "{}", text(&ran.stderr));
    let shown = text(&ran.stdout);
    // Whoever changes the engine, the scenario or the simulator changes this line on purpose.
    assert!(
        shown.contains("starling, seed 1: 11065 events, digest b1f725403d73686c"),
        "{shown}"
    );
    assert!(shown.contains("starling:-live,-bounce"));
    for file in ["report.html", "report.json", "report.csv", "scenario.toml"] {
        assert!(out.join(file).is_file(), "{file}");
    }
    let page = std::fs::read_to_string(out.join("report.html")).unwrap();
    assert!(page.contains("<svg") && page.contains("starling:-live,-bounce"));
    let trace = std::fs::read_to_string(trace).unwrap();
    assert!(trace.lines().count() > 1_000 && trace.contains("Submit"));
}

#[test]
fn two_nodes_meet_what_their_scenario_expects() {
    let scenario = examples().join("two-nodes.toml");
    let ran = testnet(&["sim", scenario.to_str().unwrap(), "--json"]);
    assert!(ran.status.success(), "{}", text(&ran.stderr));
    let json: serde_json::Value = serde_json::from_slice(&ran.stdout).unwrap();
    assert!(json["policies"][0]["runs"].as_array().unwrap().len() >= 3);
}

#[test]
fn what_is_expected_and_missed_fails_with_the_command_that_shows_it_again() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("missed.toml");
    let good = std::fs::read_to_string(examples().join("two-nodes.toml")).unwrap();
    let bad = good.replace("[expect]", "[expect]\nresponse_mean_below = \"1ms\"");
    std::fs::write(&file, bad).unwrap();
    let ran = testnet(&["sim", file.to_str().unwrap(), "--seed", "1"]);
    assert_eq!(ran.status.code(), Some(1));
    let said = text(&ran.stderr);
    assert!(
        said.contains("response_mean is") && said.contains("replay: "),
        "{said}"
    );
}

#[test]
fn wrong_input_names_file_line_and_key_and_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let good = std::fs::read_to_string(examples().join("two-nodes.toml")).unwrap();
    let out = dir.path().join("out");
    for (name, from, to, place) in [
        ("key", "[cluster]", "[cluster]\nnods = 3", "nods"),
        (
            "policy",
            "[cluster]",
            "policies = [\"p2d\"]\n[cluster]",
            "p2d",
        ),
        ("rate", "[workload]", "[workload]\nlimit = -3", "limit"),
    ] {
        let file = dir.path().join(format!("{name}.toml"));
        let mut text_of = good.replacen(from, to, 1);
        if name == "policy" {
            text_of = good.replacen("policies = [\"starling\"", "policies = [\"p2d\"", 1);
        }
        std::fs::write(&file, text_of).unwrap();
        let ran = testnet(&[
            "sim",
            file.to_str().unwrap(),
            "--out",
            out.to_str().unwrap(),
        ]);
        let said = text(&ran.stderr);
        assert_eq!(ran.status.code(), Some(2), "{name}: {said}");
        assert!(
            said.contains(&format!("{name}.toml:")) && said.contains(place),
            "{said}"
        );
        assert!(!out.exists());
    }
    let ran = testnet(&["sim", "no-such.toml"]);
    assert_eq!(ran.status.code(), Some(2));
    assert!(text(&ran.stderr).contains("no-such.toml"));
    let scenario = examples().join("two-nodes.toml");
    let ran = testnet(&[
        "sim",
        scenario.to_str().unwrap(),
        "--policy",
        "starling:-speed",
    ]);
    assert_eq!(ran.status.code(), Some(2));
    assert!(text(&ran.stderr).contains("-PART"));
}
