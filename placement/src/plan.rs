//! Whom to ask, and how to deal tasks out by the answers.
//!
//! Candidates are drawn from the cached view in proportion to capacity (uniform two-choices is
//! unstable on unequal machines), ranked by fit with a random tie zone against the herd, and the
//! best are probed live; the answers, not the cache, decide. Never the minimum over the whole view:
//! it is worse than random once the view is older than about 1.5 service times.

use std::time::Duration;

use rand::{Rng, RngExt};

use crate::feasible::{Miss, Need, NodeFacts, NodeLoad, could_ever, feasible};
use crate::fit::{Fit, FitScore};

/// The most nodes that one round of probes asks.
pub const MAX_PROBES: usize = 16;

/// Scores closer than this are as good as equal: the order among them is random.
const TIE_ZONE: f64 = 0.05;

/// A node as the cached view shows it.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a, K> {
    /// Whose.
    pub node: K,
    /// Its static part.
    pub facts: NodeFacts<'a>,
    /// Its last known load.
    pub load: NodeLoad,
    /// How old that is.
    pub age: Duration,
}

/// A candidate that was looked at.
#[derive(Clone, Debug)]
pub struct Ranked<K> {
    /// Which node.
    pub node: K,
    /// Its cached fit.
    pub score: FitScore,
    /// How old the view of it was.
    pub age: Duration,
}

/// Whom to ask, the best first, and who was ruled out and why.
#[derive(Clone, Debug)]
pub struct Plan<K> {
    /// Nodes drawn, ranked; the first [`Plan::probes`] of them are to be asked.
    pub candidates: Vec<Ranked<K>>,
    /// How many of the candidates to ask.
    pub probes: usize,
    /// Nodes that cannot take the task now, as far as the view knows; at most [`MAX_PROBES`].
    pub ruled_out: Vec<(K, Miss)>,
}

/// How many cached candidates to draw for one task, by the view's age in mean service times: the
/// crossing points measured for two live probes over a gossiped view.
pub fn sample_size(age: Duration, mean_service: Duration) -> usize {
    let ratio = age.as_secs_f64() / mean_service.as_secs_f64().max(1e-6);
    match ratio {
        ratio if ratio < 1.0 => 8,
        ratio if ratio < 1.5 => 4,
        ratio if ratio < 4.0 => 3,
        _ => 2,
    }
}

/// Plans the placement of `count` like tasks over the cached `view`, drawing at least `sample`
/// candidates.
///
/// Nodes whose cached room is too small are asked only when too few others are left: their record
/// may be old.
pub fn plan<K: Copy + Ord>(
    need: &Need<'_>,
    count: u32,
    view: &[Known<'_, K>],
    sample: usize,
    fit: &dyn Fit,
    rng: &mut impl Rng,
) -> Plan<K> {
    let mut roomy = Vec::new();
    let mut tight = Vec::new();
    let mut ruled_out = Vec::new();
    for known in view {
        match feasible(need, &known.facts, &known.load) {
            Ok(()) => roomy.push(known),
            Err(miss) => {
                if could_ever(need, &known.facts).is_ok() && !known.load.draining {
                    tight.push(known);
                }
                if ruled_out.len() < MAX_PROBES {
                    ruled_out.push((known.node, miss));
                }
            }
        }
    }
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let probes = count.clamp(2, MAX_PROBES);
    // A lone task is worth a few candidates per probe; a batch needs room above all.
    let wanted = sample.max(probes);
    let mut candidates = draw(&roomy, wanted, rng);
    rank(&mut candidates, need, fit, rng);
    if candidates.len() < probes {
        let mut more = draw(&tight, probes - candidates.len(), rng);
        rank(&mut more, need, fit, rng);
        candidates.append(&mut more);
    }
    let ranked: Vec<_> = candidates
        .into_iter()
        .map(|known| Ranked {
            node: known.node,
            score: fit.fit(need, &known.facts, &known.load),
            age: known.age,
        })
        .collect();
    let probes = probes.min(ranked.len());
    Plan {
        candidates: ranked,
        probes,
        ruled_out,
    }
}

/// Draws up to `wanted` nodes without replacement, in proportion to their CPU capacity.
fn draw<'a, K: Copy>(
    from: &[&'a Known<'a, K>],
    wanted: usize,
    rng: &mut impl Rng,
) -> Vec<&'a Known<'a, K>> {
    let mut left: Vec<_> = from.to_vec();
    let mut drawn = Vec::with_capacity(wanted.min(left.len()));
    let weight = |known: &Known<'_, K>| u64::from(known.facts.capacity.cpu.max(1));
    let mut total: u64 = left.iter().map(|known| weight(known)).sum();
    while drawn.len() < wanted && !left.is_empty() {
        let mut at = rng.random_range(0..total);
        let chosen = left
            .iter()
            .position(|known| {
                let weight = weight(known);
                let here = at < weight;
                at = at.saturating_sub(weight);
                here
            })
            .unwrap_or(left.len() - 1);
        let known = left.remove(chosen);
        total -= weight(known);
        drawn.push(known);
    }
    drawn
}

/// Orders by fit, best first, with a random order within the tie zone.
fn rank<K>(known: &mut [&Known<'_, K>], need: &Need<'_>, fit: &dyn Fit, rng: &mut impl Rng) {
    let mut keyed: Vec<_> = known
        .iter()
        .map(|&known| {
            let score = fit.fit(need, &known.facts, &known.load).total();
            (score + rng.random_range(0.0..TIE_ZONE), known)
        })
        .collect();
    keyed.sort_by(|a, b| b.0.total_cmp(&a.0));
    for (slot, (_, node)) in known.iter_mut().zip(keyed) {
        *slot = node;
    }
}

/// A probed node's live answer.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a, K> {
    /// Who answered.
    pub node: K,
    /// Its static part.
    pub facts: NodeFacts<'a>,
    /// Its fresh load.
    pub load: NodeLoad,
    /// How many such tasks it would take now.
    pub room: u32,
}

/// Deals up to `count` tasks out, one after the other to whoever fits best by then. Says for each
/// answer, in its order, how many tasks it gets; the sum may be less than `count`.
pub fn share<K>(need: &Need<'_>, count: u32, answers: &[Answer<'_, K>], fit: &dyn Fit) -> Vec<u32> {
    let mut loads: Vec<_> = answers.iter().map(|answer| answer.load).collect();
    let mut scores: Vec<_> = answers
        .iter()
        .map(|answer| fit.fit(need, &answer.facts, &answer.load).total())
        .collect();
    let mut given = vec![0; answers.len()];
    for _ in 0..count {
        let best = (0..answers.len())
            .filter(|&i| given[i] < answers[i].room)
            .max_by(|&a, &b| scores[a].total_cmp(&scores[b]).then(b.cmp(&a)));
        let Some(best) = best else { break };
        given[best] += 1;
        let load = &mut loads[best];
        load.free = load.free.minus(&need.resources);
        load.idle_cpu = load.idle_cpu.saturating_sub(need.resources.cpu);
        scores[best] = fit.fit(need, &answers[best].facts, load).total();
    }
    given
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::fit::MeasuredFit;
    use crate::resources::Resources;
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha12Rng;

    fn rng(seed: u64) -> ChaCha12Rng {
        ChaCha12Rng::seed_from_u64(seed)
    }

    fn need() -> Need<'static> {
        Need {
            resources: Resources {
                cpu: 100,
                ..Resources::default()
            },
            constraints: &[],
        }
    }

    fn known(labels: &BTreeMap<String, String>, node: u32, cpu: u32, free: u32) -> Known<'_, u32> {
        let capacity = Resources {
            cpu,
            memory: 1 << 30,
            disk: 1 << 30,
        };
        Known {
            node,
            facts: NodeFacts { capacity, labels },
            load: NodeLoad {
                free: Resources {
                    cpu: free,
                    ..capacity
                },
                idle_cpu: free,
                ..NodeLoad::default()
            },
            age: Duration::from_millis(100),
        }
    }

    #[test]
    fn draws_in_proportion_to_capacity() {
        let labels = BTreeMap::new();
        let view = [
            known(&labels, 0, 1_000, 1_000),
            known(&labels, 1, 9_000, 9_000),
        ];
        let view: Vec<_> = view.iter().collect();
        let mut rng = rng(1);
        let large = (0..2_000)
            .filter(|_| draw(&view, 1, &mut rng)[0].node == 1)
            .count();
        assert!(
            (1_740..1_860).contains(&large),
            "{large} of 2000 draws, 1800 expected"
        );
    }

    #[test]
    fn a_hogged_node_ranks_last_and_gets_least() {
        let labels = BTreeMap::new();
        let mut view: Vec<_> = (0..4).map(|i| known(&labels, i, 4_000, 4_000)).collect();
        view[2].load.idle_cpu = 0;
        for seed in 0..50 {
            let plan = plan(&need(), 1, &view, 4, &MeasuredFit, &mut rng(seed));
            assert_eq!(plan.candidates.last().map(|c| c.node), Some(2));
        }
        let answers: Vec<_> = view
            .iter()
            .map(|k| Answer {
                node: k.node,
                facts: k.facts,
                load: k.load,
                room: 40,
            })
            .collect();
        let given = share(&need(), 60, &answers, &MeasuredFit);
        assert_eq!(given, [20, 20, 0, 20]);
    }

    #[test]
    fn full_nodes_are_asked_only_for_want_of_others() {
        let labels = BTreeMap::new();
        let view = [known(&labels, 0, 1_000, 0), known(&labels, 1, 1_000, 500)];
        let plan = plan(&need(), 1, &view, 8, &MeasuredFit, &mut rng(3));
        let order: Vec<_> = plan.candidates.iter().map(|c| c.node).collect();
        assert_eq!((order, plan.probes), (vec![1, 0], 2));
        assert_eq!(plan.ruled_out.len(), 1);
    }

    proptest! {
        #[test]
        fn nobody_gets_more_than_its_room(
            rooms in prop::collection::vec(0u32..30, 0..10),
            count in 0u32..200,
        ) {
            let labels = BTreeMap::new();
            let answers: Vec<_> = rooms
                .iter()
                .map(|&room| {
                    let known = known(&labels, 0, 4_000, room * 100);
                    Answer { node: 0, facts: known.facts, load: known.load, room }
                })
                .collect();
            let given = share(&need(), count, &answers, &MeasuredFit);
            for (given, room) in given.iter().zip(&rooms) {
                prop_assert!(given <= room);
            }
            prop_assert_eq!(given.iter().sum::<u32>(), count.min(rooms.iter().sum()));
        }

        #[test]
        fn candidates_are_distinct_and_able(
            cpus in prop::collection::vec((50u32..5_000, 0u32..5_000), 0..40),
            count in 1u32..50,
            seed: u64,
        ) {
            let labels = BTreeMap::new();
            let view: Vec<_> = (0u32..)
                .zip(&cpus)
                .map(|(i, &(cpu, free))| known(&labels, i, cpu, free.min(cpu)))
                .collect();
            let plan = plan(&need(), count, &view, 8, &MeasuredFit, &mut rng(seed));
            let mut nodes: Vec<_> = plan.candidates.iter().map(|c| c.node).collect();
            nodes.sort_unstable();
            nodes.dedup();
            prop_assert_eq!(nodes.len(), plan.candidates.len());
            prop_assert!(plan.probes <= plan.candidates.len() && plan.probes <= MAX_PROBES);
            for candidate in &plan.candidates {
                prop_assert!(view[candidate.node as usize].facts.capacity.cpu >= 100);
            }
            let able = view.iter().filter(|k| k.facts.capacity.cpu >= 100).count();
            prop_assert!(plan.candidates.len() >= able.min(2));
        }
    }
}
