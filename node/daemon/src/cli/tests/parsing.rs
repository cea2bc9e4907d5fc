//! What the command line understands.

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};

use crate::cli::{Cli, Command};

pub(super) fn parse(line: &str) -> Result<Command, clap::Error> {
    Cli::try_parse_from(line.split_whitespace()).map(|cli| cli.command)
}

#[test]
fn the_definition_is_sound_and_every_command_has_help() {
    Cli::command().debug_assert();
    let mut command = Cli::command();
    let help = command.render_long_help().to_string();
    assert!(help.contains("Exit codes"), "{help}");
    for name in [
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
        "classes",
        "interference",
        "drain",
        "undrain",
        "why",
        "demo",
        "completions",
    ] {
        assert!(help.contains(&format!("\n  {name} ")), "{name}: {help}");
        let error = parse(&format!("starling {name} --help")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::DisplayHelp, "{name}");
    }
    for name in ["runner", "enter", "digest"] {
        assert!(!help.contains(&format!("\n  {name} ")), "{name}");
    }
}

#[test]
fn command_lines_of_the_table() {
    for line in [
        "starling up --data-dir D --name N --listen /ip4/0.0.0.0/tcp/1 --listen /ip6/::/tcp/1 --join T \
         --api 127.0.0.1:7700 --label zone=roof --label a=b --no-mdns --placement load --log-format json \
         --advertise-loopback",
        "starling token",
        "starling run --name N --count 3 --cpu 500m --memory 64MiB --disk 1G --constraint arch=x86_64 \
         --constraint zone!=roof --env A=b --restart on-failure --attempts 3 --grace 5s --dir /tmp \
         --user nobody --wait --json -- sh -c true",
        "starling run sleep 5",
        "starling run --count 2 ls -l --color",
        "starling apply -f job.toml --wait",
        "starling apply -f -",
        "starling ps",
        "starling ps 7k2m --json --data-dir D",
        "starling inspect 7k2m.0 --api 127.0.0.1:1",
        "starling logs -f --tail 10 7k2m",
        "starling stop 7k2m.1",
        "starling events -f",
        "starling nodes --json",
        "starling drain attic --deadline 30s",
        "starling undrain attic",
        "starling why 7k2m.0",
        "starling demo --nodes 5 --exit --dir /tmp --tasks 100",
        "starling completions bash",
        "starling runner /a/b",
        "starling enter --x -- -y --help",
        "starling digest LIST RESULTS",
    ] {
        parse(line).unwrap_or_else(|error| panic!("{line}: {error}"));
    }
    match parse("starling enter --x -- -y --help").unwrap() {
        Command::Enter(hidden) => assert_eq!(hidden.args, ["--x", "--", "-y", "--help"]),
        other => panic!("{other:?}"),
    }
}

#[test]
fn slips_are_usage_errors_that_name_the_flag() {
    for (line, part) in [
        ("starling", "Usage"),
        ("starling rnu -- true", "run"),
        ("starling run", "CMD"),
        ("starling run --cpus 2 -- true", "--cpu"),
        ("starling run --count 0 -- true", "--count"),
        ("starling run --count -1 -- true", "count"),
        ("starling run --cpu 0 -- true", "1m"),
        ("starling run --cpu -2 -- true", "negative"),
        ("starling run --cpu 5MiB -- true", "500m"),
        ("starling run --memory 64 -- true", "1MiB"),
        ("starling run --memory lots -- true", "64MiB"),
        ("starling run --constraint arch -- true", "KEY=VALUE"),
        ("starling run --restart often -- true", "on-failure"),
        ("starling run --attempts 3 -- true", "--restart"),
        ("starling run --env =x -- true", "KEY"),
        ("starling up --label zone", "KEY=VALUE"),
        ("starling up --api here", "--api"),
        ("starling demo --nodes 1", "--nodes"),
        ("starling drain attic --deadline soon", "30s"),
        ("starling apply", "--file"),
    ] {
        let error = parse(line).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{line}");
        assert!(error.to_string().contains(part), "{line}: {error}");
    }
}
