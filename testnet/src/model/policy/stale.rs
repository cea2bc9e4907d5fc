//! Two choices on a gossiped table: no question is asked, the shorter queue of two random machines
//! is taken by what the scheduler has heard. An exchange happens in one moment: its latency is small
//! against the period.

use rand_chacha::ChaCha12Rng;
use std::ops::Range;

use super::Policy;
use crate::case::Case;
use crate::model::chance::{Purpose, below, stream, unit};
use crate::model::events::Note;
use crate::model::net::{CENTRE, nanos};
use crate::model::table::{Known, Tables};
use crate::model::world::{ENTRY, MESSAGE, World};

/// How far a period may be off: a tenth up or down.
pub(crate) const JITTER: f64 = 0.1;

/// The next pause between two exchanges that a machine opens.
pub(crate) fn pause(period: u64, rng: &mut ChaCha12Rng) -> u64 {
    (period as f64 * (1.0 - JITTER + 2.0 * JITTER * unit(rng))) as u64
}

/// Two choices on stale knowledge.
pub(super) struct Stale {
    tables: Tables,
    period: u64,
    rng: ChaCha12Rng,
}

impl Stale {
    pub(super) fn new(case: &Case) -> Self {
        let mut rng = stream(case.seed, Purpose::Gossip);
        Self {
            tables: Tables::new(case.machines.len(), &mut rng),
            period: nanos(case.gossip_period).max(1_000),
            rng,
        }
    }

    /// Someone in the table who is believed to be there.
    fn someone(&self, world: &mut World<'_>, me: u32, but: Option<u32>) -> Option<Known> {
        let table = self.tables.of(me);
        for _ in 0..16 {
            let known = table.get(below(&mut world.rng, table.len()))?;
            if world.fleet.is_member(known.machine) && Some(known.machine) != but {
                return Some(*known);
            }
        }
        None
    }
}

impl Policy for Stale {
    fn begin(&mut self, world: &mut World<'_>) {
        for machine in 0..world.case.machines.len() as u32 {
            let phase = (self.period as f64 * unit(&mut self.rng)) as u64;
            let note = Note {
                kind: 0,
                a: machine,
                b: 0,
            };
            world.timer(phase, note);
        }
    }

    fn note(&mut self, world: &mut World<'_>, note: Note) {
        let me = note.a;
        world.timer(pause(self.period, &mut self.rng), note);
        if !world.fleet.host(me).up {
            return;
        }
        let Some(partner) = self.someone(world, me, Some(me)) else {
            return;
        };
        let partner = partner.machine;
        if !world.fleet.host(partner).up {
            world.count_spread(1, MESSAGE);
            return;
        }
        for side in [me, partner] {
            self.tables.refresh(side, world.said(side), world.now);
        }
        let sent = self.tables.of(me).len() + self.tables.of(partner).len();
        world.count_spread(2, 2 * MESSAGE + ENTRY * sent as u64);
        self.tables.exchange(me, partner);
    }

    fn submit(&mut self, world: &mut World<'_>, tasks: Range<u32>) {
        for task in tasks {
            let me = world.tasks.scheduler(task);
            if me == CENTRE {
                world.retry(task);
                continue;
            }
            self.tables.refresh(me, world.said(me), world.now);
            let need = world.job(task).need;
            let mut able = |but| {
                let found = self.someone(world, me, but)?;
                (world.holds(found.machine, &need)).then_some(found)
            };
            let one = able(None);
            let other = able(one.map(|known| known.machine));
            let machine = match (one, other) {
                (Some(a), Some(b)) if b.load < a.load => Some(b.machine),
                (Some(a), Some(b)) if b.load == a.load && below(&mut world.rng, 2) == 0 => {
                    Some(b.machine)
                }
                (Some(a), _) => Some(a.machine),
                (None, Some(b)) => Some(b.machine),
                (None, None) => world.pick(&need),
            };
            match machine {
                Some(machine) => world.claim(task, machine),
                None => world.retry(task),
            }
        }
    }

    fn view_age(&self, world: &World<'_>) -> f64 {
        self.tables.age(&world.fleet.members, world.now) / 1e9
    }
}
