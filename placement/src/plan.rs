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
use crate::policy::Policy;

/// The most nodes that one round of probes asks.
pub const MAX_PROBES: usize = 64;

/// The most candidates that are drawn for a batch.
const MAX_DRAWN: usize = 128;

/// The most nodes that a plan names as ruled out.
const MAX_RULED_OUT: usize = 16;

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

/// How candidates are drawn, ranked and asked.
#[derive(Clone, Copy)]
pub struct Rule<'a> {
    /// Which parts of the rule are in force.
    pub policy: Policy,
    /// How well a task fits a node.
    pub fit: &'a dyn Fit,
    /// How many candidates to draw for a lone task; see [`crate::sample`].
    pub sample: usize,
}

/// Plans the placement of `count` like tasks over the cached `view`.
///
/// Nodes whose cached room is too small are asked only when too few others are left: their record
/// may be old.
pub fn plan<K: Copy + Ord>(
    need: &Need<'_>,
    count: u32,
    view: &[Known<'_, K>],
    rule: &Rule<'_>,
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
                if ruled_out.len() < MAX_RULED_OUT {
                    ruled_out.push((known.node, miss));
                }
            }
        }
    }
    let least = if rule.policy.live { 2 } else { 1 };
    let sample = if rule.policy.cached { rule.sample } else { 0 };
    // A lone task is worth a few candidates per probe; a batch needs room above all.
    let batch = (count as usize).saturating_mul(2).min(MAX_DRAWN);
    let wanted = sample.max(least).max(if count > 1 { batch } else { 0 });
    let drawn = draw(&roomy, wanted, rule, rng);
    let mut ranked = rank(drawn, need, rule, rng);
    let mut probes = enough(need, count, &ranked).max(least);
    if ranked.len() < probes {
        let more = draw(&tight, probes - ranked.len(), rule, rng);
        ranked.extend(rank(more, need, rule, rng));
    }
    probes = probes.min(ranked.len());
    let candidates = ranked
        .into_iter()
        .map(|(known, score)| Ranked {
            node: known.node,
            score,
            age: known.age,
        })
        .collect();
    Plan {
        candidates,
        probes,
        ruled_out,
    }
}

/// How many of the ranked must be asked so that a batch finds twice the room it needs, as far as the
/// view knows: half of it may be gone by now.
fn enough<K>(need: &Need<'_>, count: u32, ranked: &[(&Known<'_, K>, FitScore)]) -> usize {
    if count <= 1 {
        return 0;
    }
    let wanted = u64::from(count) * 2;
    let mut room = 0;
    for (asked, (known, _)) in (1..).zip(ranked.iter().take(MAX_PROBES)) {
        room += u64::from(known.load.free.room_for(&need.resources, count));
        if room >= wanted {
            return asked;
        }
    }
    MAX_PROBES.min(count as usize * 2)
}

/// Draws up to `wanted` nodes without replacement, in proportion to what they can do.
fn draw<'a, K: Copy>(
    from: &[&'a Known<'a, K>],
    wanted: usize,
    rule: &Rule<'_>,
    rng: &mut impl Rng,
) -> Vec<&'a Known<'a, K>> {
    let mut left: Vec<_> = from
        .iter()
        .map(|known| (weight(known, rule), *known))
        .collect();
    let mut total: u64 = left.iter().map(|(weight, _)| weight).sum();
    let mut drawn = Vec::with_capacity(wanted.min(left.len()));
    while drawn.len() < wanted && !left.is_empty() {
        let mut at = rng.random_range(0..total);
        let chosen = left
            .iter()
            .position(|(weight, _)| {
                let here = at < *weight;
                at = at.saturating_sub(*weight);
                here
            })
            .unwrap_or(left.len() - 1);
        let (weight, known) = left.swap_remove(chosen);
        total -= weight;
        drawn.push(known);
    }
    drawn
}

/// What a node can do: its cores, as fast as they are known to be.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn weight<K>(known: &Known<'_, K>, rule: &Rule<'_>) -> u64 {
    if !rule.policy.capacity {
        return 1;
    }
    let cpu = f64::from(known.facts.capacity.cpu.max(1));
    let speed = rule.fit.weight(&known.facts).clamp(1e-3, 1e3);
    (cpu * speed * 1e3).clamp(1.0, 1e15) as u64
}

/// Orders by fit, best first, with a random order within the tie zone.
fn rank<'a, K>(
    known: Vec<&'a Known<'a, K>>,
    need: &Need<'_>,
    rule: &Rule<'_>,
    rng: &mut impl Rng,
) -> Vec<(&'a Known<'a, K>, FitScore)> {
    let mut keyed: Vec<_> = known
        .into_iter()
        .map(|known| {
            let score = rule.fit.fit(need, &known.facts, &known.load);
            let jitter = if rule.policy.jitter {
                rng.random_range(0.0..TIE_ZONE)
            } else {
                0.0
            };
            (score.total() + jitter, known, score)
        })
        .collect();
    keyed.sort_by(|a, b| b.0.total_cmp(&a.0));
    let ranked = keyed.into_iter();
    ranked.map(|(_, known, score)| (known, score)).collect()
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
        load.running = load.running.saturating_add(1);
        load.mix.add(need.class);
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
            class: crate::classes::ClassId::default(),
        }
    }

    fn rule(sample: usize) -> Rule<'static> {
        Rule {
            policy: Policy::default(),
            fit: &MeasuredFit,
            sample,
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
            facts: NodeFacts {
                capacity,
                labels,
                platform: "",
            },
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
            .filter(|_| draw(&view, 1, &rule(1), &mut rng)[0].node == 1)
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
            let plan = plan(&need(), 1, &view, &rule(4), &mut rng(seed));
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
        let plan = plan(&need(), 1, &view, &rule(8), &mut rng(3));
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
            let plan = plan(&need(), count, &view, &rule(8), &mut rng(seed));
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
