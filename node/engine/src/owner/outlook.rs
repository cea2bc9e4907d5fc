//! What an owner looks out upon when it places: the members it may plan with, what is known of
//! classes, and whom not to believe.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rand::RngExt;
use starling_gossip::{Member, MemberState};
use starling_placement::plan::Known;
use starling_placement::{
    ClassId, Classes, Fit, Learned, LearnedFit, MeasuredFit, Need, NodeFacts, Policy, feasible,
};
use starling_wire::{JobSpec, NodeId, Time};

use crate::engine::Ctx;

/// Up to so many members all are looked at; of more, a random part.
const WHOLE: usize = 64;
/// The random part, for a lone task.
const PART: usize = 48;
/// For so long a node is not believed that offered room and refused it.
const DISTRUST: Duration = Duration::from_secs(1);
/// It doubles with each such refusal, up to this.
const DISTRUST_MAX: Duration = Duration::from_secs(64);
/// The most nodes that are not believed at a time.
const MAX_DISTRUSTED: usize = 1_024;

/// What a job's tasks need, for placement.
pub(super) fn need_of(spec: &JobSpec) -> Need<'_> {
    Need {
        resources: spec.need,
        constraints: &spec.constraints,
        class: class_of(spec),
    }
}

/// The class of a job's tasks.
pub(crate) fn class_of(spec: &JobSpec) -> ClassId {
    ClassId::of(&spec.class_name())
}

/// What is known of classes: given, or learned from what the cluster's nodes observed.
#[derive(Debug, Default)]
pub(crate) struct Knowledge {
    given: Option<Arc<dyn Classes>>,
    pub(crate) learned: Learned,
}

impl Knowledge {
    /// Takes what the configuration gives.
    pub(crate) fn give(&mut self, given: Option<Arc<dyn Classes>>) {
        self.given = given;
    }

    /// What is known of classes.
    pub(crate) fn classes(&self) -> &dyn Classes {
        self.given.as_deref().unwrap_or(&self.learned)
    }

    /// Lets `work` judge by the fit that the policy asks for.
    pub(super) fn judge<T>(&self, policy: &Policy, work: impl FnOnce(&dyn Fit) -> T) -> T {
        if !policy.classes {
            return work(&MeasuredFit);
        }
        work(&LearnedFit {
            classes: self.classes(),
            contention: policy.contention,
        })
    }
}

/// Nodes whose word is not taken for now: they offered room and refused it, and still say that they
/// have it.
#[derive(Debug, Default)]
pub(super) struct Distrust {
    nodes: BTreeMap<NodeId, (Time, Duration)>,
}

impl Distrust {
    /// A node went back on its word.
    pub(super) fn add(&mut self, node: NodeId, now: Time) {
        if self.nodes.len() >= MAX_DISTRUSTED {
            self.nodes.retain(|_, (until, _)| *until > now);
        }
        if self.nodes.len() >= MAX_DISTRUSTED && !self.nodes.contains_key(&node) {
            return;
        }
        let last = self.nodes.get(&node).map(|(_, last)| *last);
        let pause = last.map_or(DISTRUST, |last| (last * 2).min(DISTRUST_MAX));
        self.nodes.insert(node, (now + pause, pause));
    }

    /// A node kept its word.
    pub(super) fn clear(&mut self, node: &NodeId) {
        self.nodes.remove(node);
    }

    /// Whether a node may be planned with.
    pub(super) fn trusts(&self, node: &NodeId, now: Time) -> bool {
        self.nodes.get(node).is_none_or(|(until, _)| *until <= now)
    }
}

/// The members that a round is planned over. Of a large view a random part will do, unless too few
/// of it have room.
pub(super) fn look<'a>(
    need: &Need<'_>,
    count: u32,
    distrust: &Distrust,
    ctx: &mut Ctx<'a>,
) -> Vec<Known<'a, NodeId>> {
    let gossip = ctx.gossip;
    let now = ctx.now;
    let usable = |member: Member<'a>| known(member).filter(|k| distrust.trusts(&k.node, now));
    if gossip.member_count() > WHOLE {
        let start = NodeId(ctx.rng.random());
        let part = PART.max(count as usize * 2);
        let members = gossip.members_from(&start).filter_map(usable);
        let view: Vec<_> = members.take(part).collect();
        let roomy = |known: &&Known<'_, NodeId>| feasible(need, &known.facts, &known.load).is_ok();
        if view.iter().filter(roomy).count() >= PART / 8 + count as usize {
            return view;
        }
    }
    gossip.members().filter_map(usable).collect()
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
            platform: &fixed.platform,
        },
        load: member.load,
        age: member.age,
    })
}

/// The static part of a member that can be talked to.
pub(super) fn facts_of<'a>(ctx: &Ctx<'a>, node: &NodeId) -> Option<NodeFacts<'a>> {
    let gossip = ctx.gossip;
    let member = gossip.member(node).filter(|m| m.state.is_live())?;
    let fixed = member.fixed?;
    Some(NodeFacts {
        capacity: fixed.capacity,
        labels: &fixed.labels,
        platform: &fixed.platform,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distrust_grows_and_ends() {
        let (mut distrust, node) = (Distrust::default(), NodeId([1; 32]));
        let second = Duration::from_secs(1);
        distrust.add(node, Time::ZERO);
        assert!(!distrust.trusts(&node, Time::ZERO));
        assert!(distrust.trusts(&node, Time::ZERO + second));
        distrust.add(node, Time::ZERO + second);
        assert!(!distrust.trusts(&node, Time::ZERO + 2 * second));
        distrust.clear(&node);
        assert!(distrust.trusts(&node, Time::ZERO + 2 * second));
    }
}
