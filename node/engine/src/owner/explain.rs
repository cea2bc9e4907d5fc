//! The reasons of a placement, for `why`.

use starling_placement::{Answer, Candidate, Decision, Fit, FitScore, Need, Resources, Verdict};
use starling_wire::{JobSpec, NodeId, Time};

use super::place::Round;

/// What a task waits for that no node known could hold now.
pub(super) const fn node_in_words(spec: &JobSpec) -> &'static str {
    if spec.container.is_some() {
        "a node that can run containers, meets the constraints and takes tasks"
    } else {
        "a node that meets the constraints and takes tasks"
    }
}

/// What a task waits for on one node.
pub(super) fn room_in_words(need: &Resources) -> String {
    let mut words = vec![format!("{}m of CPU", need.cpu)];
    for (amount, what) in [(need.memory, "memory"), (need.disk, "disk")] {
        if amount > 0 {
            words.push(format!("{} MiB of {what}", amount.div_ceil(1 << 20)));
        }
    }
    format!("{} free on one node", words.join(" and "))
}

/// The reasons of a round, for `why`.
pub(super) fn explain(
    round: &Round,
    need: &Need<'_>,
    answers: &[Answer<'_, NodeId>],
    given: &[u32],
    fit: &dyn Fit,
    batch: u32,
    now: Time,
) -> Decision<NodeId> {
    let ranked = round.plan.candidates.iter().map(|ranked| {
        let answer = answers
            .iter()
            .zip(given)
            .find(|(answer, _)| answer.node == ranked.node);
        let verdict = match answer {
            Some((_, given)) if *given > 0 => Verdict::Chosen,
            Some((answer, _)) if answer.room == 0 && answer.load.draining => {
                Verdict::Refused("it is draining".to_owned())
            }
            Some((answer, _)) if answer.room == 0 => Verdict::Refused("no room".to_owned()),
            Some(_) => Verdict::Outranked,
            None if round.asked.contains(&ranked.node) => Verdict::Silent,
            None => Verdict::NotAsked,
        };
        Candidate {
            node: ranked.node,
            cached: ranked.score.clone(),
            age_ms: u64::try_from(ranked.age.as_millis()).unwrap_or(u64::MAX),
            live: answer.map(|(answer, _)| fit.fit(need, &answer.facts, &answer.load)),
            room: answer.map(|(answer, _)| answer.room),
            verdict,
        }
    });
    let asked = &round.plan.candidates;
    let ruled_out = round
        .plan
        .ruled_out
        .iter()
        .filter(|(node, _)| asked.iter().all(|candidate| candidate.node != *node))
        .map(|(node, miss)| Candidate {
            node: *node,
            cached: FitScore::default(),
            age_ms: 0,
            live: None,
            room: None,
            verdict: Verdict::RuledOut(miss.to_string()),
        });
    Decision {
        at_us: now.as_micros(),
        batch,
        candidates: ranked.chain(ruled_out).collect(),
    }
}
