//! Nodes that the view lacks. In a cluster larger than the view that does not mean that they are gone:
//! they are looked for first.

use starling_wire::NodeId;

use super::{Owner, Timer};
use crate::engine::Ctx;

impl Owner {
    /// Whether a node is known to be gone, or was looked for in vain since this node works with it.
    pub(super) fn is_gone(&mut self, node: NodeId, ctx: &Ctx<'_>) -> bool {
        if let Some(member) = ctx.gossip.member(&node) {
            return !member.state.is_live();
        }
        if !self.looked_around || ctx.gossip.is_linked(&node) {
            return false;
        }
        let until = *self.strangers.entry(node).or_insert_with(|| {
            let until = ctx.now + ctx.patience();
            self.timers.insert((until, Timer::Stranger(node)));
            until
        });
        until <= ctx.now
    }

    /// A node was looked for long enough: if it was not found it counts as gone.
    pub(super) fn not_found(&mut self, node: NodeId, ctx: &mut Ctx<'_>) {
        let due = self.strangers.get(&node).is_some_and(|at| *at <= ctx.now);
        if due && ctx.gossip.member(&node).is_none() {
            self.node_gone(node, ctx);
            self.owner_gone(node, ctx);
        }
    }
}
