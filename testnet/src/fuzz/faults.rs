//! What goes wrong, one thing at a time.

use std::time::Duration;

use rand::RngExt;

use super::Weather;
use super::run::Run;

impl Run {
    /// One thing that goes wrong.
    pub(super) fn fault(&mut self) {
        self.seen.faults += 1;
        let node = self.some_node();
        let most = match self.weather {
            Weather::Clear => 2,
            Weather::Stormy | Weather::Lethal => 6,
            Weather::Leased => 8,
            Weather::Wild => 11,
        };
        let (world, rng) = (&mut self.world, &mut self.rng);
        match rng.random_range(0..most) {
            0 => world.kill(node, false),
            1 => world.kill(node, true),
            2 => world.pause(node, Duration::from_millis(rng.random_range(10..2_500))),
            3 => {
                let at = rng.random_range(0..self.nodes.len());
                world.cut(&self.nodes[..at], &self.nodes[at..]);
            }
            4 => world.network.heal(),
            6 => world.pause(node, Duration::from_millis(rng.random_range(2_500..20_000))),
            7 => {
                let mut at = [(); 2].map(|()| rng.random_range(0..=self.nodes.len()));
                at.sort_unstable();
                let (one, rest) = self.nodes.split_at(at[0]);
                let (two, three) = rest.split_at(at[1] - at[0]);
                for (a, b) in [(one, two), (two, three), (one, three)] {
                    world.cut(a, b);
                }
            }
            8 => {
                let at = rng.random_range(0..self.nodes.len());
                world.cut_one_way(&self.nodes[..at], &self.nodes[at..]);
            }
            9 => self.flap(),
            10 => {
                let slow = rng.random_range(1.0..20.0);
                if let Some(machine) = world.machines.get_mut(&node) {
                    machine.slow_disk = slow;
                }
            }
            _ => world.network.loss = rng.random_range(0.0..0.2),
        }
    }

    /// A cut that comes and goes some times.
    fn flap(&mut self) {
        let at = self.rng.random_range(0..self.nodes.len());
        for _ in 0..self.rng.random_range(2..6) {
            self.world.cut(&self.nodes[..at], &self.nodes[at..]);
            let down = self.rng.random_range(50..1_500);
            self.world.run_for(Duration::from_millis(down));
            self.world.network.heal();
            let up = self.rng.random_range(50..1_500);
            self.world.run_for(Duration::from_millis(up));
        }
    }
}
