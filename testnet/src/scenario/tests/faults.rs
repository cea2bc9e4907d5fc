//! Faults come in order, end when they should, and do not get in one another's way.

use std::time::Duration;

use super::super::*;
use super::small;
use crate::case::{Fault, FaultKind};

fn faults(rest: &str) -> Vec<Fault> {
    let text = format!("[workload]\nrate = 1\nduration = \"1s\"\nlength = \"100s\"\n{rest}");
    small(&text).unwrap().case(1).unwrap().faults
}

fn at(seconds: u64, what: FaultKind) -> Fault {
    Fault {
        at: Duration::from_secs(seconds),
        what,
    }
}

#[test]
fn a_crash_ends_with_a_boot_and_nobody_dies_twice() {
    let crash = |from: u64, length: u64| {
        format!(
            "[[fault]]\nat = \"{from}s\"\nkind = \"crash\"\nmachines = [4]\nfor = \"{length}s\"\n"
        )
    };
    let found = faults(&format!("{}{}", crash(20, 5), crash(10, 30)));
    let machines = vec![4];
    assert_eq!(
        found,
        [
            at(
                10,
                FaultKind::Crash {
                    machines: machines.clone(),
                    tasks: true
                }
            ),
            at(40, FaultKind::Boot { machines }),
        ]
    );
}

#[test]
fn healing_one_cut_leaves_the_other() {
    let cut = |from: u64, length: u64, machine: u32| {
        format!(
            "[[fault]]\nat = \"{from}s\"\nkind = \"cut\"\nmachines = [{machine}]\nfor = \"{length}s\"\n"
        )
    };
    let found = faults(&format!("{}{}", cut(10, 20, 0), cut(20, 30, 1)));
    let alone = |machine: u32| FaultKind::Cut {
        from: vec![machine],
        to: (0..10).filter(|other| *other != machine).collect(),
        one_way: false,
    };
    assert_eq!(
        found,
        [
            at(10, alone(0)),
            at(20, alone(1)),
            at(30, FaultKind::Heal),
            at(30, alone(1)),
            at(50, FaultKind::Heal),
        ]
    );
}

#[test]
fn what_was_as_usual_is_so_again() {
    let found = faults(
        "[[fault]]\nat = \"10s\"\nkind = \"loss\"\nloss = 0.2\nfor = \"5s\"\n\
         [[fault]]\nat = \"20s\"\nkind = \"foreign\"\ncount = 10\ncpu = 1\nfor = \"5s\"\n\
         [network]\nloss = 0.01\n",
    );
    let machines: Vec<u32> = (0..10).collect();
    let foreign = |cpu| FaultKind::Foreign {
        machines: machines.clone(),
        cpu,
    };
    assert_eq!(
        found,
        [
            at(10, FaultKind::Loss(0.2)),
            at(15, FaultKind::Loss(0.01)),
            at(20, foreign(1_000)),
            at(25, foreign(0)),
        ]
    );
}

#[test]
fn churn_meets_its_rate_and_brings_everybody_back() {
    let text = "name = \"x\"\n[cluster]\n[[cluster.machines]]\ncount = 200\n\
        [workload]\nrate = 1\nduration = \"1s\"\nlength = \"10m\"\n\
        [churn]\nrate = \"20%/min\"\ndowntime = \"6s\"\n";
    let case = parse(text, "x.toml", Path::new(""))
        .unwrap()
        .case(1)
        .unwrap();
    let (mut crashes, mut boots) = (0_u32, 0_u32);
    for fault in &case.faults {
        match &fault.what {
            FaultKind::Crash { machines, .. } => crashes += u32::try_from(machines.len()).unwrap(),
            FaultKind::Boot { machines } => boots += u32::try_from(machines.len()).unwrap(),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(crashes, boots);
    // 200 machines x 10 min x 0.2, less the tenth of a minute in five that they are down.
    let expected = 400.0 / 1.02;
    assert!(
        (f64::from(crashes) / expected - 1.0).abs() < 0.15,
        "{crashes}"
    );
}

#[test]
fn links_flap_as_often_as_they_should() {
    let found = faults("[churn]\nflap = { machines = [3], every = \"20s\", down = \"2s\" }\n");
    let heals: Vec<Duration> = found
        .iter()
        .filter(|fault| fault.what == FaultKind::Heal)
        .map(|fault| fault.at)
        .collect();
    assert_eq!(heals, [22, 42, 62, 82].map(Duration::from_secs));
    assert_eq!(found.len(), 8);
}

#[test]
fn new_machines_come_later_and_take_no_jobs_before() {
    let text = "name = \"x\"\n[cluster]\n[[cluster.machines]]\ncount = 3\n\
        [[cluster.machines]]\ncount = 2\nname = \"new\"\nup = false\n\
        [workload]\nrate = 10\nduration = \"1s\"\njobs = 100\n\
        [[fault]]\nat = \"5s\"\nkind = \"boot\"\ngroup = \"new\"\n\
        [[fault]]\nat = \"8s\"\nkind = \"boot\"\ngroup = \"new\"\n";
    let case = parse(text, "x.toml", Path::new(""))
        .unwrap()
        .case(1)
        .unwrap();
    assert_eq!(
        case.faults,
        [at(
            5,
            FaultKind::Boot {
                machines: vec![3, 4]
            }
        )]
    );
    assert!(case.jobs.iter().all(|job| job.home < 3));
}
