//! Placing pending tasks: plan over the cached view, probe the best live, deal the tasks out by the
//! answers, claim.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use starling_gossip::{Member, MemberState};
use starling_placement::plan::{Known, MAX_PROBES, sample_size};
use starling_placement::{
    Answer, Candidate, Decision, Fit, Need, NodeFacts, NodeLoad, Plan, Resources, Verdict,
    could_ever, plan, share,
};
use starling_wire::jobs::{JobMessage, MAX_TASKS};
use starling_wire::{Epoch, JobId, NodeId, TaskId, Time};

use super::{Owner, Placing, Timer, tie};
use crate::effect::{Event, EventKind};
use crate::engine::Ctx;
use crate::job::{Job, TaskState};

/// The most tasks that one round places.
const ROUND_TASKS: u32 = 256;
/// The most rounds under way at a time; further jobs wait for their turn.
const MAX_ROUNDS: usize = 64;
/// How long a job that found no room waits before it looks again by itself; it doubles with each
/// round in vain, since whoever gets room offers it.
const BLOCKED: Duration = Duration::from_secs(1);
/// The longest such wait.
const BLOCKED_MAX: Duration = Duration::from_secs(16);

/// A round of probes for some tasks of one job.
pub(super) struct Round {
    pub(super) job: JobId,
    plan: Plan<NodeId>,
    asked: Vec<NodeId>,
    deadline: Time,
    answers: BTreeMap<NodeId, (NodeLoad, u32)>,
}

/// A claim that was not answered yet.
pub(super) struct InFlight {
    pub(super) job: JobId,
    pub(super) node: NodeId,
    pub(super) tasks: Vec<(u32, Epoch)>,
    pub(super) tries: u32,
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
        let Some(placing) = self.placing.get_mut(&key) else {
            return;
        };
        let count = u32::try_from(placing.ready.len())
            .unwrap_or(u32::MAX)
            .min(ROUND_TASKS);
        let need = Need {
            resources: job.spec.need,
            constraints: &job.spec.constraints,
        };
        let view: Vec<_> = ctx.gossip.members().filter_map(known).collect();
        let ages: Duration = view.iter().map(|known| known.age).sum();
        let age = ages / u32::try_from(view.len()).unwrap_or(u32::MAX).max(1);
        let sample = sample_size(age, self.mean_service);
        let plan = plan(&need, count, &view, sample, &self.fit, ctx.rng);
        let asked: Vec<_> = plan
            .candidates
            .iter()
            .take(plan.probes)
            .map(|candidate| candidate.node)
            .collect();
        placing.round = Some(request);
        let resources = job.spec.need;
        let deadline = ctx.now + ctx.config.probe_timeout;
        let answers = BTreeMap::new();
        let round = Round {
            job: key.1,
            plan,
            asked: asked.clone(),
            deadline,
            answers,
        };
        self.rounds.insert(request, round);
        self.timers.insert((deadline, Timer::Round(request)));
        for node in &asked {
            ctx.send(
                *node,
                JobMessage::Probe {
                    request,
                    need: resources,
                },
            );
        }
        if asked.is_empty() {
            self.decide(request, ctx);
        }
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

        let need = Need {
            resources: job.spec.need,
            constraints: &job.spec.constraints,
        };
        let answers: Vec<_> = round
            .asked
            .iter()
            .filter_map(|node| {
                let (load, room) = round.answers.get(node)?;
                let fixed = ctx.alive(node)?.fixed?;
                let facts = NodeFacts {
                    capacity: fixed.capacity,
                    labels: &fixed.labels,
                };
                Some(Answer {
                    node: *node,
                    facts,
                    load: *load,
                    room: *room,
                })
            })
            .collect();
        let given = share(&need, ready, &answers, &self.fit);
        let placed: u32 = given.iter().sum();
        let decision = Arc::new(explain(
            &round, &need, &answers, &given, &self.fit, placed, ctx.now,
        ));
        let wins: Vec<_> = answers
            .iter()
            .zip(&given)
            .filter(|(_, given)| **given > 0)
            .map(|(answer, given)| (answer.node, *given))
            .collect();
        for (node, given) in wins {
            self.claim(key, node, given, Some(&decision), ctx);
        }
        if placed < ready {
            self.block(key, &round, decision, ctx);
        }
    }

    /// Claims room on `node` for the next `count` ready tasks of a job.
    pub(super) fn claim(
        &mut self,
        key: (Time, JobId),
        node: NodeId,
        count: u32,
        decision: Option<&Arc<Decision<NodeId>>>,
        ctx: &mut Ctx<'_>,
    ) {
        let Some(placing) = self.placing.get_mut(&key) else {
            return;
        };
        let Some(job) = self.jobs.get_mut(&key.1) else {
            return;
        };
        placing.in_vain = 0;
        let mut tasks = Vec::new();
        while tasks.len() < count as usize
            && let Some(index) = placing.ready.pop_first()
        {
            let Some(last) = job.task(index).map(|task| task.epoch) else {
                continue;
            };
            let epoch = job.next_epoch(last);
            job.set_state(index, TaskState::Starting);
            if let Some(task) = job.task_mut(index) {
                task.epoch = epoch;
                task.node = Some(node);
                task.outcome = None;
                task.started = None;
                task.decision = decision.map(Arc::clone).or_else(|| task.decision.take());
            }
            let id = job.task_id(index);
            tie(&mut self.at, &mut self.ties_changed, node, id);
            tasks.push((index, epoch));
        }
        if placing.ready.is_empty() && placing.round.is_none() {
            self.placing.remove(&key);
            job.waits = None;
        }
        for chunk in tasks.chunks(MAX_TASKS) {
            let claim = InFlight {
                job: key.1,
                node,
                tasks: chunk.to_vec(),
                tries: 1,
            };
            let request = self.request();
            self.send_claim(request, &claim, ctx);
            self.claims.insert(request, claim);
        }
    }

    pub(super) fn send_claim(&mut self, request: u64, claim: &InFlight, ctx: &mut Ctx<'_>) {
        let Some(job) = self.jobs.get(&claim.job) else {
            return;
        };
        self.timers
            .insert((ctx.now + ctx.config.resend, Timer::Claim(request)));
        let (spec, tasks) = (Arc::clone(&job.spec), claim.tasks.clone());
        ctx.send(
            claim.node,
            JobMessage::Claim {
                request,
                job: claim.job,
                spec,
                tasks,
            },
        );
    }

    /// A node offers room, or tells its load by the way: tasks that wait bind to it now.
    pub(super) fn pull(&mut self, node: NodeId, load: &NodeLoad, ctx: &mut Ctx<'_>) {
        if self.placing.is_empty() || load.draining {
            return;
        }
        let Some(fixed) = ctx.alive(&node).and_then(|member| member.fixed) else {
            return;
        };
        let facts = NodeFacts {
            capacity: fixed.capacity,
            labels: &fixed.labels,
        };
        let mut free = load.free;
        for claim in self.claims.values().filter(|claim| claim.node == node) {
            if let Some(job) = self.jobs.get(&claim.job) {
                for _ in &claim.tasks {
                    free = free.minus(&job.spec.need);
                }
            }
        }
        let mut deals = Vec::new();
        for (key, placing) in &self.placing {
            if free.cpu == 0 {
                break;
            }
            let Some(job) = self.jobs.get(&key.1) else {
                continue;
            };
            // Only those that were left without room: the others are about to ask two nodes.
            if placing.round.is_some() || placing.blocked.is_none() || !job.durable {
                continue;
            }
            let need = Need {
                resources: job.spec.need,
                constraints: &job.spec.constraints,
            };
            if could_ever(&need, &facts).is_err() {
                continue;
            }
            let ready = u32::try_from(placing.ready.len()).unwrap_or(u32::MAX);
            let room = free.room_for(&job.spec.need, ready.min(ROUND_TASKS));
            for _ in 0..room {
                free = free.minus(&job.spec.need);
            }
            if room > 0 {
                deals.push((*key, room));
            }
        }
        for (key, room) in deals {
            let decision = self.jobs.get(&key.1).map(|job| {
                Arc::new(Decision {
                    at_us: ctx.now.as_micros(),
                    batch: room,
                    candidates: vec![Candidate {
                        node,
                        cached: self.fit.fit(
                            &Need {
                                resources: job.spec.need,
                                constraints: &job.spec.constraints,
                            },
                            &facts_of(ctx, &node, load),
                            load,
                        ),
                        age_ms: 0,
                        live: None,
                        room: Some(room),
                        verdict: Verdict::Chosen,
                    }],
                })
            });
            self.claim(key, node, room, decision.as_ref(), ctx);
        }
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
            "a node that meets the constraints and takes tasks".to_owned()
        } else {
            room_in_words(&need)
        };
        job.waits = Some((decision, text));
        let placing: &mut Placing = self.placing.entry(key).or_default();
        let pause = BLOCKED
            .saturating_mul(1 << placing.in_vain.min(8))
            .min(BLOCKED_MAX);
        placing.in_vain += 1;
        placing.blocked = Some(ctx.now + pause);
        self.timers.insert((ctx.now + pause, Timer::Blocked(key.1)));
        for candidate in round.plan.candidates.iter().take(MAX_PROBES) {
            ctx.send(candidate.node, JobMessage::Wait { need });
        }
    }

    /// Tells of a placement that was accepted.
    pub(super) fn tell_placed(job: &Job, index: u32, node: NodeId, ctx: &mut Ctx<'_>) {
        ctx.event(Event {
            kind: EventKind::TaskPlaced,
            job: Some(job.id),
            task: Some(TaskId { job: job.id, index }),
            node: Some(node),
            detail: String::new(),
        });
    }
}

fn facts_of<'a>(ctx: &'a Ctx<'_>, node: &NodeId, load: &NodeLoad) -> NodeFacts<'a> {
    static NO_LABELS: BTreeMap<String, String> = BTreeMap::new();
    ctx.gossip
        .member(node)
        .and_then(|member| member.fixed)
        .map_or(
            NodeFacts {
                capacity: load.free,
                labels: &NO_LABELS,
            },
            |fixed| NodeFacts {
                capacity: fixed.capacity,
                labels: &fixed.labels,
            },
        )
}

/// What a task waits for on one node.
fn room_in_words(need: &Resources) -> String {
    let mut words = vec![format!("{}m of CPU", need.cpu)];
    for (amount, what) in [(need.memory, "memory"), (need.disk, "disk")] {
        if amount > 0 {
            words.push(format!("{} MiB of {what}", amount.div_ceil(1 << 20)));
        }
    }
    format!("{} free on one node", words.join(" and "))
}

/// A member that may be planned with.
fn known(member: Member<'_>) -> Option<Known<'_, NodeId>> {
    let fixed = member
        .fixed
        .filter(|_| member.state == MemberState::Alive)?;
    Some(Known {
        node: member.node,
        facts: NodeFacts {
            capacity: fixed.capacity,
            labels: &fixed.labels,
        },
        load: member.load,
        age: member.age,
    })
}

/// The reasons of a round, for `why`.
fn explain(
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
            cached: starling_placement::FitScore::default(),
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
