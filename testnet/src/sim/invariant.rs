//! What must always hold, whatever happens: looked at after each event where that is cheap, else at
//! each moment that is noted.

use super::world::World;

impl World {
    /// After each event: no node has promised more than it has.
    pub(super) fn check(&mut self, at: u32) {
        let machine = self.machines.at(at);
        let Some(engine) = &machine.engine else {
            return;
        };
        let (reserved, capacity) = (engine.reserved(), machine.fixed.capacity);
        if !reserved.fits(&capacity) {
            let text = format!("it has promised {reserved:?} of {capacity:?}");
            self.violated(at, text);
        }
    }

    /// Now and then: views within their bound, nothing acknowledged forgotten.
    pub(super) fn look_over(&mut self) {
        let limit = self.view_limit();
        let mut found = Vec::new();
        for at in 0..u32::try_from(self.machines.len()).unwrap_or(0) {
            let Some(engine) = &self.machines.at(at).engine else {
                continue;
            };
            let members = engine.gossip().members().count();
            if members > limit {
                found.push((
                    at,
                    format!("its view holds {members}, at most {limit} may be"),
                ));
            }
        }
        for (job, owner) in self.forgotten() {
            found.push((owner, format!("it has forgotten job {job}")));
        }
        for (at, text) in found {
            self.violated(at, text);
        }
    }

    /// Whether views agree with the truth by now: nobody who is gone is held to live, and as long
    /// as a view holds everybody, nobody who lives is missing.
    pub fn has_converged(&self) -> bool {
        let up: Vec<bool> = self.machines.iter().map(|m| m.engine.is_some()).collect();
        let count = up.iter().filter(|up| **up).count();
        let whole = count <= self.view_limit();
        self.machines.iter().all(|machine| {
            let Some(engine) = &machine.engine else {
                return true;
            };
            let mut alive = 0;
            for member in engine.gossip().members() {
                if !member.state.is_live() {
                    continue;
                }
                let is_up = self.machines.get(&member.node);
                if is_up.is_none_or(|m| m.engine.is_none()) {
                    return false;
                }
                // Suspect will do: two machines that nobody can dial never hear one another.
                alive += 1;
            }
            !whole || alive == count
        })
    }

    pub(super) fn violated(&mut self, at: u32, text: String) {
        let node = self.machines.at(at).node;
        let name = &self.machines.at(at).fixed.name;
        let last = self.trace.last_of(at);
        let text = format!(
            "at {} node {name} ({node:?}): {text}; its last events:{last}",
            self.now
        );
        if self.violations.len() < 16 {
            self.violations.push(text);
        }
    }

    /// What did not hold so far, and should have.
    pub fn violations(&self) -> &[String] {
        &self.violations
    }
}
