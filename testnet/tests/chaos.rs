//! Many seeds of bad weather: nothing acknowledged is lost though nodes are lost for good, nothing is
//! promised twice, what may run once never runs twice, and when the weather clears every job comes to
//! its one end at every owner.

#[path = "common/seeds.rs"]
mod seeds;

use seeds::seeds;
use starling_testnet::fuzz::{Weather, play};

fn run(seed: u64, weather: Weather) {
    if let Err(problem) = play(seed, weather) {
        panic!("{problem}");
    }
}

#[test]
fn every_job_ends_whatever_the_weather_was() {
    seeds(60).for_each(|seed| run(seed, Weather::Stormy));
}

#[test]
fn every_job_ends_though_a_machine_burns_down() {
    seeds(60).for_each(|seed| run(seed, Weather::Lethal));
}

#[test]
fn every_end_is_told_once_though_a_machine_burns_down() {
    seeds(60).for_each(|seed| run(seed, Weather::Clear));
}

#[test]
fn what_may_run_once_never_runs_twice() {
    seeds(60).for_each(|seed| run(seed, Weather::Leased));
}

#[test]
fn every_job_ends_in_any_mixture() {
    seeds(40).for_each(|seed| run(seed, Weather::Wild));
}

/// Seeds that found a bug once, by what it was.
#[test]
fn what_was_once_wrong_stays_right() {
    // A node that was second in order and acted was told to answer to one that came after it.
    run(2, Weather::Lethal);
    // The first owner in order had every end, so nobody told the last what it lacked.
    run(5, Weather::Lethal);
    // A result was on two disks and the word of that lost; no owner that was left would say it again.
    run(147, Weather::Lethal);
    // A host told an end again and again to an owner that had no record of the job.
    run(1418, Weather::Lethal);
    run(1813, Weather::Lethal);
    // A task that had been run again meanwhile ended a second time, when its old host came back.
    run(8, Weather::Clear);
    // A node that no longer acted told a job's end when the one that did had told it and died.
    run(55, Weather::Clear);
    // A node that acted no more placed a task whose pause before the next try was over.
    run(277, Weather::Leased);
    // An owner that knew a task to be over refused it a lease, and did not say so to whoever acted.
    run(9496, Weather::Leased);
    run(12756, Weather::Leased);
    // A node whose disk had forgotten that it acted heard so, and acted without placing anything.
    run(14299, Weather::Leased);
}
