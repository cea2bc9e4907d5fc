//! Each kind of mistake names file, line and key, and says what would be right.

use std::path::{Path, PathBuf};

use super::super::*;
use super::small;

const WORK: &str = "[workload]\nrate = 1\nduration = \"1s\"\njobs = 5\n";

/// What `small` complains of; its own five lines come first.
fn complaint(rest: &str) -> String {
    match small(rest).and_then(|scenario| scenario.case(1)) {
        Ok(_) => format!("nothing is wrong with\n{rest}"),
        Err(error) => error.to_string(),
    }
}

fn expect(rest: &str, wanted: &str) {
    let found = complaint(rest);
    assert_eq!(found, format!("scenarios/x.toml:{wanted}"));
}

#[test]
fn unknown_keys_are_refused_with_the_nearest() {
    expect(
        "[workload]\nrte = 1\n",
        "7: workload.rte: there is no key `rte` here; did you mean `rate`?",
    );
    expect(
        &format!("{WORK}[[fault]]\nat = \"1s\"\nkind = \"heal\"\nmachines = [0]\n"),
        "13: fault[0].machines: there is no key `machines` here; known are at, kind",
    );
}

#[test]
fn numbers_out_of_range_are_refused() {
    expect(
        "[workload]\nrate = -3\n",
        "7: workload.rate: -3 is negative; write a rate above 0, for example 4.5",
    );
    expect(
        "[network]\nloss = 1.5\n",
        "7: network.loss: 1.5 is outside 0 to 1; write a share between 0 and 1, for example 0.2",
    );
    expect(
        &format!("{WORK}[churn]\nrate = \"-5%/min\"\n"),
        "11: churn.rate: `-5%/min` is negative; write failures per machine and time, \
         for example \"20%/min\" or \"0.5/h\"",
    );
    expect(
        "[workload]\nduration = \"5\"\n",
        "7: workload.duration: `5` has no unit; write a time with its unit, \
         for example \"90.6s\", \"0.5ms\" or \"10m\"",
    );
    expect(
        "memory = \"8XB\"\n",
        "6: cluster.machines[0].memory: `8XB` has the unknown unit `XB`; \
         write bytes or a number with its unit (`64MiB`, `1G`)",
    );
    expect(
        "[workload]\narrivals = { cov = 0.5 }\nduration = \"1s\"\n",
        "7: workload.arrivals.cov: 0.5 is outside 1 to 100; \
         write a coefficient of variation of the gaps, for example 5",
    );
}

#[test]
fn names_that_do_not_exist_are_refused() {
    let truth = "platform = \"b\"\n[[truth.platforms]]\nname = \"a\"\n";
    expect(
        truth,
        "6: cluster.machines[0].platform: there is no platform `b`; known are a",
    );
    expect(
        &format!("{WORK}class = \"web\"\n"),
        "10: workload.class: there is no class `web`; known are any",
    );
    expect(
        "[workload]\nshape = \"yahooo\"\nload = 1\n",
        "7: workload.shape: there is no shape `yahooo`; did you mean `yahoo`?",
    );
    expect(
        &format!("{WORK}[expect]\nresponse_p98_below = \"1s\"\n"),
        "11: expect.response_p98_below: there is no metric `response_p98`; \
         did you mean `response_p90`?",
    );
    expect(
        &format!("{WORK}home = \"n99\"\n"),
        "10: workload.home: there is no machine `n99`; did you mean `n9`?",
    );
}

#[test]
fn faults_on_machines_that_are_not_there_are_refused() {
    let crash = |who: &str| format!("{WORK}[[fault]]\nat = \"1s\"\nkind = \"crash\"\n{who}\n");
    expect(
        &crash("machines = [\"n3\", \"n12\"]"),
        "13: fault[0].machines[1]: there is no machine `n12`; did you mean `n1`?",
    );
    expect(
        &crash("machines = [10]"),
        "13: fault[0].machines[0]: there is no machine 10; write a number from 0 to 9",
    );
    expect(
        &crash("zone = \"mars\""),
        "13: fault[0].zone: there is no machine in a zone `mars`; known are zone0",
    );
    expect(
        &crash("count = 11"),
        "13: fault[0].count: there are only 10 machines, not 11; name fewer, or a share",
    );
    // With fewer machines than the scenario has, a name may be gone.
    let scenario = small(&crash("machines = [\"n9\"]")).unwrap();
    let error = scenario.with_nodes(5).unwrap_err().to_string();
    assert_eq!(
        error,
        "scenarios/x.toml:13: fault[0].machines[0]: there is no machine `n9`; did you mean `n0`?"
    );
}

#[test]
fn policies_are_checked_by_those_who_know_them() {
    let text = "name = \"x\"\npolicies = [\n  \"starling\",\n  \"p3c\",\n]\n[cluster]\n\
                [[cluster.machines]]\n[workload]\nrate = 1\nduration = \"1s\"\njobs = 1\n";
    let scenario = parse(text, "x.toml", Path::new("")).unwrap();
    let known = |name: &str| match name {
        "starling" => Ok(()),
        _ => Err(format!(
            "there is no policy `{name}`; known are starling, p2c"
        )),
    };
    assert_eq!(
        scenario.check_policies(known).unwrap_err().to_string(),
        "x.toml:4: policies[1]: there is no policy `p3c`; known are starling, p2c"
    );
}

#[test]
fn a_load_that_cannot_be_computed_is_refused() {
    expect(
        "[workload]\nload = 0.9\nlength = \"10s\"\n[[workload.services]]\n",
        "7: workload.load: there is no way to compute it: no job has a length; \
         write `duration`, or a `shape` or `trace`",
    );
    expect(
        "[workload]\nload = 0.9\nlength = \"10s\"\nduration = \"1s\"\nneed = {}\n",
        "7: workload.load: there is no way to compute it: tasks need nothing; \
         write need = { cpu = 1 }, or a `rate` instead",
    );
    expect(
        "[workload]\nload = 0.9\nlength = \"10s\"\nduration = { pareto = \"1s\", alpha = 0.9 }\n",
        "9: workload.duration.alpha: 0.9 has no mean; \
         write a power above 1, or a largest amount as `most`",
    );
    expect(
        "[workload]\nload = 0.9\nlength = \"10s\"\nduration = \"1s\"\nneed = { cpu = 2 }\n",
        "10: workload.need: no machine can hold such a task; write a smaller need, or larger machines",
    );
}

#[test]
fn empty_and_oversized_scenarios_are_refused() {
    let parsed = |text: &str| {
        parse(text, "x.toml", Path::new(""))
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        parsed("name = \"x\"\n\n[cluster]\n"),
        "x.toml:3: cluster: the cluster is empty; write at least one [[cluster.machines]] with its count"
    );
    assert_eq!(
        parsed("name = \"x\"\n[cluster]\n[[cluster.machines]]\ncount = 100001\n"),
        "x.toml:4: cluster.machines[0].count: 100001 is above the limit; \
         write a whole number from 0 to 100000"
    );
    expect(
        "[workload]\nrate = 1\nlength = \"60s\"\nduration = \"1s\"\ntasks = 6000000\n",
        "6: workload: more than 5000000 tasks are above the limit; \
         write a lower load, a shorter `length`, or a `limit` on tasks",
    );
    let broken = parsed("name = \"x\"\n[cluster\n");
    assert!(
        broken.starts_with("x.toml:2: this is not TOML: "),
        "{broken}"
    );
}

/// A directory with one file in it.
fn file(name: &str, bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    (dir, path)
}

fn traced(name: &str, bytes: &[u8]) -> String {
    let (dir, path) = file(name, bytes);
    let rest = format!("[workload]\ntrace = {{ file = \"{name}\" }}\n");
    let text = format!("name = \"x\"\n[cluster]\n[[cluster.machines]]\ncount = 2\n{rest}");
    let error = parse(&text, "x.toml", dir.path()).unwrap_err().to_string();
    error.replace(path.to_str().unwrap(), name)
}

#[test]
fn traces_that_are_not_whole_are_refused_with_their_line() {
    const HEADING: &str = "job,submit_s,n_tasks,est_task_s,task_durations_s\n";
    assert_eq!(
        traced(
            "t.csv",
            format!("{HEADING}0,0,2,1.5,1 2\n1,5,1\n").as_bytes()
        ),
        "x.toml:6: workload.trace.file: t.csv:3: 3 columns where the heading has 5; \
         the file is cut short or damaged: fetch it again"
    );
    assert_eq!(
        traced(
            "t.csv",
            format!("{HEADING}0,0,2,1.5,1 2\n1,5,3,1,1 2\n").as_bytes()
        ),
        "x.toml:6: workload.trace.file: t.csv:3: task_durations_s: 2 durations of 3 tasks; \
         the file is cut short or damaged: fetch it again"
    );
    assert_eq!(
        traced("t.csv", b"submit_s,duration_s\n0,1\n7,1\n3,1\n"),
        "x.toml:6: workload.trace.file: t.csv:4: the time goes back from 7 s to 3 s; \
         sort the rows by time, or choose some by `filter`"
    );
    assert_eq!(
        traced("t.csv", b"submit_s,duration_s\n0,1\n7,-1\n"),
        "x.toml:6: workload.trace.file: t.csv:3: duration_s: -1 is negative; \
         write a number of at least 0"
    );
    assert_eq!(
        traced("t.csv", b"submit_s,duraton_s\n0,1\n"),
        "x.toml:6: workload.trace.file: t.csv:1: it has no column `duration_s`; \
         did you mean `duraton_s`?"
    );
    assert_eq!(
        traced("t.csv", b""),
        "x.toml:6: workload.trace.file: t.csv: it is empty; its first line must name its columns"
    );
}

#[test]
fn a_compressed_trace_that_ends_early_is_refused() {
    use std::io::Write;
    let mut text = b"submit_s,duration_s\n".to_vec();
    for i in 0..5_000 {
        text.extend(format!("{i},{}\n", i * 7_919 % 1_000).bytes());
    }
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gz.write_all(&text).unwrap();
    let whole = gz.finish().unwrap();
    let error = traced("t.csv.gz", &whole[..whole.len() / 2]);
    assert!(
        error.starts_with("x.toml:6: workload.trace.file: t.csv.gz:"),
        "{error}"
    );
    assert!(
        error.contains("it ends in the middle of its compressed data"),
        "{error}"
    );
}

#[test]
fn a_trace_that_is_not_there_is_refused() {
    expect(
        "[workload]\ntrace = { file = \"no/such.csv\" }\n",
        "7: workload.trace.file: no/such.csv: there is no such file; \
         write the path of a file, relative to the scenario",
    );
}

#[test]
fn contradictions_are_refused() {
    expect(
        "[workload]\nload = 0.5\nrate = 2\n",
        "8: workload.rate: `rate` contradicts `load`; write one of them",
    );
    expect(
        "[workload]\nrate = 2\nduration = \"1s\"\n",
        "6: workload: nothing says when the jobs end; \
         write `length`, for example length = \"10m\", or a number of `jobs`",
    );
    expect(
        "[workload]\nshape = \"google\"\ntasks = 4\nrate = 1\n",
        "8: workload.tasks: `tasks` contradicts `shape`, which says it already; leave it out",
    );
    expect(
        &format!("{WORK}[[fault]]\nat = \"1s\"\nkind = \"cut\"\n"),
        "10: fault[0]: it does not say who is cut off; \
         write one of machines, share, count, zone, group",
    );
    expect(
        &format!("{WORK}[[fault]]\nat = \"1s\"\nkind = \"crsh\"\n"),
        "12: fault[0].kind: there is no kind of fault `crsh`; did you mean `crash`?",
    );
}

#[test]
fn ranges_of_seeds_leave_the_last_out() {
    assert_eq!(seed_range("1..6"), Some(1..=5));
    assert_eq!(seed_range("6..1"), None);
    assert_eq!(seed_range("1"), None);
}
