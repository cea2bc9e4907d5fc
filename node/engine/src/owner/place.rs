//! Placing pending tasks: plan over the cached view, probe the best live, deal the tasks out by the
//! answers, claim.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use starling_placement::plan::{Known, MAX_PROBES};
use starling_placement::sample::size;
use starling_placement::{
    Answer, Decision, Need, NodeLoad, Plan, Rule, could_ever, feasible, plan, share,
};
use starling_wire::jobs::JobMessage;
use starling_wire::{Epoch, JobId, NodeId, Time};

use super::explain::{self, explain, room_in_words};
use super::outlook::{facts_of, look, need_of};
use super::{Owner, Placing, Timer};
use crate::engine::Ctx;

/// The most tasks that one round places.
pub(super) const ROUND_TASKS: u32 = 256;
/// The most rounds under way at a time; further jobs wait for their turn.
const MAX_ROUNDS: usize = 64;
/// How often the next best candidates are asked where nodes suit a task differently.
const ASK_AGAIN: u32 = 3;
/// In how many nodes' lines a task waits that found no room; a batch in twice as many as it has
/// tasks.
const LINES: usize = 2;
/// How long a job that found no room waits at least before it looks again.
const BLOCKED_MIN: Duration = Duration::from_millis(100);
/// How long it waits at most at first; it doubles twice with rounds in vain, since whoever gets room
/// offers it.
const BLOCKED: Duration = Duration::from_secs(4);

/// A round of probes for some tasks of one job.
pub(super) struct Round {
    pub(super) job: JobId,
    pub(super) plan: Plan<NodeId>,
    pub(super) asked: Vec<NodeId>,
    deadline: Time,
    answers: BTreeMap<NodeId, (NodeLoad, u32)>,
    /// How often candidates further down were asked instead of giving up.
    again: u32,
}

/// A claim that was not answered yet.
pub(super) struct InFlight {
    pub(super) job: JobId,
    pub(super) node: NodeId,
    pub(super) tasks: Vec<(u32, Epoch)>,
    pub(super) tries: u32,
    /// Whether it goes to a node that another named when it refused.
    pub(super) bounced: bool,
}

impl Owner {
    /// Starts a round for each job that has tasks to place and none under way.
    pub(crate) fn place_all(&mut self, ctx: &mut Ctx<'_>) {
        let keys: Vec<_> = self
            .placing
            .iter()
            .filter(|(_, p)| p.round.is_none() && p.blocked.is_none() && !p.ready.is_empty())
            .map(|(key, _)| *key)
            .take(MAX_ROUNDS.saturating_sub(self.rounds.len()))
            .collect();
        for key in keys {
            self.start_round(key, ctx);
        }
    }

    fn start_round(&mut self, key: (Time, JobId), ctx: &mut Ctx<'_>) {
        let request = self.request();
        let Some(job) = self.jobs.get(&key.1) else {
            self.placing.remove(&key);
            return;
        };
        if !self.could_lease(job, ctx) {
            return self.wait_for_owners(key, ctx);
        }
        let Some(placing) = self.placing.get_mut(&key) else {
            return;
        };
        let count = u32::try_from(placing.ready.len())
            .unwrap_or(u32::MAX)
            .min(ROUND_TASKS);
        let spec = Arc::clone(&job.spec);
        let need = need_of(&spec);
        let mut view = look(&need, count, &self.distrust, ctx);
        let able = |known: &Known<'_, NodeId>| could_ever(&need, &known.facts).is_ok();
        if view.iter().any(|k| able(k) && !job.shuns(&k.node)) {
            view.retain(|known| !job.shuns(&known.node));
        }
        let ages: Duration = view.iter().map(|known| known.age).sum();
        let age = ages / u32::try_from(view.len()).unwrap_or(u32::MAX).max(1);
        let policy = ctx.config.policy;
        let plan = self.knowledge.judge(&policy, |fit| {
            let rule = Rule {
                policy,
                fit,
                sample: size(
                    age,
                    self.mean_service,
                    fit.spreads(&need),
                    free(&need, &view),
                ),
            };
            plan(&need, count, &view, &rule, ctx.rng)
        });
        let asked: Vec<_> = plan
            .candidates
            .iter()
            .take(plan.probes)
            .map(|candidate| candidate.node)
            .collect();
        placing.round = Some(request);
        let resources = spec.need;
        let deadline = ctx.now + ctx.config.probe_timeout;
        let mut answers = BTreeMap::new();
        if !policy.live {
            // What the view says stands for an answer.
            for known in view.iter().filter(|known| asked.contains(&known.node)) {
                let room = known.load.free.room_for(&resources, count);
                answers.insert(known.node, (known.load, room));
            }
        }
        let round = Round {
            job: key.1,
            plan,
            asked: asked.clone(),
            deadline,
            answers,
            again: 0,
        };
        self.rounds.insert(request, round);
        self.timers.insert((deadline, Timer::Round(request)));
        if policy.live {
            self.counters.probes += asked.len() as u64;
            for node in &asked {
                let need = resources;
                ctx.send(*node, JobMessage::Probe { request, need });
            }
        }
        self.decide_if_complete(request, ctx);
    }

    /// A probe was answered.
    pub(super) fn answered(
        &mut self,
        from: NodeId,
        request: u64,
        room: u32,
        load: NodeLoad,
        ctx: &mut Ctx<'_>,
    ) {
        let Some(round) = self.rounds.get_mut(&request) else {
            return;
        };
        if round.asked.contains(&from) {
            round.answers.insert(from, (load, room));
            self.decide_if_complete(request, ctx);
        }
    }

    pub(super) fn decide_if_complete(&mut self, request: u64, ctx: &mut Ctx<'_>) {
        let over =
            |round: &Round| round.answers.len() == round.asked.len() || round.deadline <= ctx.now;
        if self.rounds.get(&request).is_some_and(over) {
            self.decide(request, ctx);
        }
    }

    /// Deals the tasks of a round out among those that answered, and claims.
    pub(super) fn decide(&mut self, request: u64, ctx: &mut Ctx<'_>) {
        let Some(round) = self.rounds.get(&request) else {
            return;
        };
        let Some(job) = self.jobs.get(&round.job) else {
            return;
        };
        if !job.durable {
            // Nothing runs for a job that a crash could make unheard of; `durable` comes back here.
            return;
        }
        let Some(round) = self.rounds.remove(&request) else {
            return;
        };
        let Some(job) = self.jobs.get(&round.job) else {
            return;
        };
        let key = (job.submitted, job.id);
        let Some(placing) = self.placing.get_mut(&key) else {
            return;
        };
        placing.round = None;
        if placing.ready.is_empty() {
            // They were stopped, or found running, meanwhile.
            self.placing.remove(&key);
            return;
        }
        let ready = u32::try_from(placing.ready.len())
            .unwrap_or(u32::MAX)
            .min(ROUND_TASKS);

        let spec = Arc::clone(&job.spec);
        let need = need_of(&spec);
        let answers: Vec<_> = round
            .asked
            .iter()
            .filter_map(|node| {
                let (load, room) = round.answers.get(node)?;
                Some(Answer {
                    node: *node,
                    facts: facts_of(ctx, node)?,
                    load: *load,
                    room: *room,
                })
            })
            .collect();
        self.counters.rounds += 1;
        let now = ctx.now;
        let (given, placed, decision) = self.knowledge.judge(&ctx.config.policy, |fit| {
            let given = share(&need, ready, &answers, fit);
            let placed: u32 = given.iter().sum();
            let decision = explain(&round, &need, &answers, &given, fit, placed, now);
            (given, placed, Arc::new(decision))
        });
        let wins: Vec<_> = answers
            .iter()
            .zip(&given)
            .filter(|(_, given)| **given > 0)
            .map(|(answer, given)| (answer.node, *given))
            .collect();
        for (node, given) in wins {
            self.claim(key, node, given, Some(&decision), false, ctx);
        }
        if placed < ready {
            // Others that were drawn may have the room that these had lost.
            let progress = placed > 0 && round.plan.candidates.len() > round.asked.len();
            if !progress && !self.ask_more(key, &round, &need, ctx) {
                self.block(key, &round, decision, ctx);
            }
        }
    }

    /// None of those asked had room. Where nodes are known to suit a task differently, the next best
    /// are worth asking before it goes to whoever is free first.
    fn ask_more(
        &mut self,
        key: (Time, JobId),
        round: &Round,
        need: &Need<'_>,
        ctx: &mut Ctx<'_>,
    ) -> bool {
        let policy = ctx.config.policy;
        let spreads = self.knowledge.judge(&policy, |fit| fit.spreads(need));
        let left = round.plan.candidates.get(round.asked.len()..);
        let left = left.unwrap_or_default();
        if !spreads || !policy.live || left.is_empty() || round.again >= ASK_AGAIN {
            return false;
        }
        let request = self.request();
        let Some(placing) = self.placing.get_mut(&key) else {
            return false;
        };
        let candidates = left.to_vec();
        let probes = round.plan.probes.min(candidates.len());
        let asked: Vec<NodeId> = candidates.iter().take(probes).map(|c| c.node).collect();
        let deadline = ctx.now + ctx.config.probe_timeout;
        placing.round = Some(request);
        self.timers.insert((deadline, Timer::Round(request)));
        self.counters.probes += asked.len() as u64;
        let resources = need.resources;
        for node in &asked {
            let need = resources;
            ctx.send(*node, JobMessage::Probe { request, need });
        }
        let next = Round {
            job: round.job,
            plan: Plan {
                candidates,
                probes,
                ruled_out: Vec::new(),
            },
            asked,
            deadline,
            answers: BTreeMap::new(),
            again: round.again + 1,
        };
        self.rounds.insert(request, next);
        true
    }

    /// Some tasks of a job found no room: they wait, and the nodes that could hold them know it.
    fn block(
        &mut self,
        key: (Time, JobId),
        round: &Round,
        decision: Arc<Decision<NodeId>>,
        ctx: &mut Ctx<'_>,
    ) {
        let Some(job) = self.jobs.get_mut(&key.1) else {
            return;
        };
        let need = job.spec.need;
        let text = if round.plan.candidates.is_empty() {
            explain::node_in_words(&job.spec).to_owned()
        } else {
            room_in_words(&need)
        };
        job.waits = Some((decision, text));
        let placing: &mut Placing = self.placing.entry(key).or_default();
        let pause = (self.mean_service * 2)
            .clamp(BLOCKED_MIN, BLOCKED)
            .saturating_mul(1 << placing.in_vain.min(2));
        placing.in_vain += 1;
        placing.blocked = Some(ctx.now + pause);
        self.timers.insert((ctx.now + pause, Timer::Blocked(key.1)));
        let waiting = placing.ready.len();
        let lines = (waiting * 2).clamp(LINES, MAX_PROBES);
        for candidate in round.plan.candidates.iter().take(lines) {
            self.counters.waits += 1;
            ctx.send(candidate.node, JobMessage::Wait { need });
        }
    }
}

/// The share of the nodes that could ever run a task which have room for it now.
#[allow(clippy::cast_precision_loss)]
fn free(need: &Need<'_>, view: &[Known<'_, NodeId>]) -> f64 {
    let able = view
        .iter()
        .filter(|known| could_ever(need, &known.facts).is_ok());
    let roomy = able
        .clone()
        .filter(|known| feasible(need, &known.facts, &known.load).is_ok());
    roomy.count() as f64 / able.count().max(1) as f64
}
