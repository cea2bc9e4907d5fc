//! The simulated network: links between machines, delay, loss, and cuts.
//!
//! A link behaves as TCP does: frames arrive in order unless reordering is asked for; a machine that
//! dies resets its links at once; a cut is silence.

use std::time::Duration;

use rand::RngExt;
use rand_chacha::ChaCha12Rng;
use starling_wire::Time;

use crate::case::Latency;
use crate::truth::log_normal;

/// A link as one of its ends keeps it.
#[derive(Clone, Copy, Debug)]
struct Link {
    peer: u32,
    /// When the last frame to the peer arrives: the next one is not earlier.
    arrives: Time,
}

/// Groups of machines from one of which nothing passes to the other.
#[derive(Clone, Debug)]
struct Cut {
    from: Vec<bool>,
    to: Vec<bool>,
}

/// Delays, losses and cuts between machines, which are named by their index.
#[derive(Clone, Debug)]
pub struct Network {
    /// One-way latency.
    pub latency: Latency,
    /// The share of frames lost, 0 to 1.
    pub loss: f64,
    /// The share of frames delivered twice, 0 to 1.
    pub duplication: f64,
    /// The share of frames that may overtake others, 0 to 1.
    pub reordering: f64,
    /// What a machine can send, in bytes per second.
    pub bandwidth: Option<u64>,
    cuts: Vec<Cut>,
    /// By machine, ordered by peer.
    links: Vec<Vec<Link>>,
    zones: Vec<u16>,
    nat: Vec<bool>,
    /// When each machine has sent what it was given so far.
    sent: Vec<Time>,
}

impl Network {
    pub(crate) fn new(machines: usize) -> Self {
        let default = crate::case::Network::default();
        Self {
            latency: default.latency,
            loss: 0.0,
            duplication: 0.0,
            reordering: 0.0,
            bandwidth: None,
            cuts: Vec::new(),
            links: vec![Vec::new(); machines],
            zones: vec![0; machines],
            nat: vec![false; machines],
            sent: vec![Time::ZERO; machines],
        }
    }

    /// Takes on the properties of a case.
    pub(crate) fn shape(&mut self, like: &crate::case::Network) {
        self.latency = like.latency.clone();
        self.loss = like.loss;
        self.duplication = like.duplication;
        self.reordering = like.reordering;
        self.bandwidth = like.bandwidth;
    }

    /// Says where a machine stands.
    pub(crate) fn place(&mut self, machine: u32, zone: u16, nat: bool) {
        self.zones[machine as usize] = zone;
        self.nat[machine as usize] = nat;
    }

    /// Whether nobody can dial a machine.
    pub(crate) fn is_hidden(&self, machine: u32) -> bool {
        self.nat[machine as usize]
    }

    /// Lets nothing pass from one group to the other any more.
    pub(crate) fn cut_one_way(&mut self, from: &[u32], to: &[u32]) {
        let set = |group: &[u32]| {
            let mut set = vec![false; self.links.len()];
            for machine in group {
                if let Some(slot) = set.get_mut(*machine as usize) {
                    *slot = true;
                }
            }
            set
        };
        let cut = Cut {
            from: set(from),
            to: set(to),
        };
        self.cuts.push(cut);
    }

    /// Lets everything pass again.
    pub fn heal(&mut self) {
        self.cuts.clear();
    }

    /// Whether frames pass from one machine to another.
    pub(crate) fn passes(&self, from: u32, to: u32) -> bool {
        let cut = |cut: &Cut| cut.from[from as usize] && cut.to[to as usize];
        self.cuts.is_empty() || !self.cuts.iter().any(cut)
    }

    pub(crate) fn is_linked(&self, a: u32, b: u32) -> bool {
        self.find(a, b).is_ok()
    }

    /// Links two machines; false if they were linked.
    pub(crate) fn link(&mut self, a: u32, b: u32) -> bool {
        for (one, other) in [(a, b), (b, a)] {
            let Err(at) = self.find(one, other) else {
                return false;
            };
            let link = Link {
                peer: other,
                arrives: Time::ZERO,
            };
            self.links[one as usize].insert(at, link);
        }
        true
    }

    /// Unlinks two machines; false if they were not linked.
    pub(crate) fn unlink(&mut self, a: u32, b: u32) -> bool {
        for (one, other) in [(a, b), (b, a)] {
            let Ok(at) = self.find(one, other) else {
                return false;
            };
            self.links[one as usize].remove(at);
        }
        true
    }

    /// All machines that one is linked to.
    pub(crate) fn peers(&self, machine: u32) -> Vec<u32> {
        let links = &self.links[machine as usize];
        links.iter().map(|link| link.peer).collect()
    }

    fn find(&self, from: u32, to: u32) -> Result<usize, usize> {
        self.links[from as usize].binary_search_by_key(&to, |link| link.peer)
    }

    /// A one-way delay from one machine to another.
    pub(crate) fn one_way(&self, from: u32, to: u32, rng: &mut ChaCha12Rng) -> Duration {
        let zone = |machine: u32| usize::from(self.zones[machine as usize]);
        draw(&self.latency, (from, to), (zone(from), zone(to)), rng)
    }

    /// When a frame sent now arrives: never, once, or twice.
    pub(crate) fn carry(
        &mut self,
        now: Time,
        (from, to): (u32, u32),
        bytes: usize,
        rng: &mut ChaCha12Rng,
    ) -> [Option<Time>; 2] {
        let Ok(at) = self.find(from, to) else {
            return [None, None];
        };
        if !self.passes(from, to) || (self.loss > 0.0 && rng.random_bool(self.loss)) {
            return [None, None];
        }
        let delay = self.one_way(from, to, rng);
        let mut leaves = now;
        if let Some(rate) = self.bandwidth {
            let busy = &mut self.sent[from as usize];
            let micros = bytes as u64 * 1_000_000 / rate.max(1);
            leaves = now.max(*busy) + Duration::from_micros(micros);
            *busy = leaves;
        }
        let overtakes = self.reordering > 0.0 && rng.random_bool(self.reordering);
        let link = &mut self.links[from as usize][at];
        let mut arrives = leaves + delay;
        if overtakes {
            arrives = arrives + delay;
        } else {
            arrives = arrives.max(link.arrives + Duration::from_micros(1));
            link.arrives = arrives;
        }
        if self.duplication > 0.0 && rng.random_bool(self.duplication) {
            let again = arrives + self.one_way(from, to, rng);
            return [Some(arrives), Some(again)];
        }
        [Some(arrives), None]
    }
}

/// Draws a one-way latency.
pub(crate) fn draw(
    latency: &Latency,
    (from, to): (u32, u32),
    zones: (usize, usize),
    rng: &mut ChaCha12Rng,
) -> Duration {
    match latency {
        Latency::Fixed(delay) => *delay,
        Latency::Uniform(least, most) => {
            let (least, most) = (micros(*least), micros(*most));
            if least >= most {
                return Duration::from_micros(least);
            }
            Duration::from_micros(rng.random_range(least..most))
        }
        Latency::LogNormal { median, sigma } => median.mul_f64(log_normal(*sigma, rng)),
        Latency::Zones(pairs) => {
            let row = pairs.get(zones.0).and_then(|row| row.get(zones.1));
            row.map_or(Duration::ZERO, |latency| {
                draw(latency, (from, to), zones, rng)
            })
        }
        Latency::Matrix { rtt, sigma } => {
            let size = rtt.len().max(1);
            let cell = |from: u32, to: u32| {
                let row = rtt.get(from as usize % size);
                row.and_then(|row| row.get(to as usize % size)).copied()
            };
            let half = cell(from, to).unwrap_or_default() / 2;
            half.mul_f64(log_normal(*sigma, rng))
        }
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn frames_keep_their_order_and_cuts_are_silent() {
        let mut rng = ChaCha12Rng::seed_from_u64(1);
        let mut network = Network::new(3);
        assert!(network.link(0, 2) && !network.link(2, 0));
        let mut last = Time::ZERO;
        for at in 0..200 {
            let [arrives, again] = network.carry(Time(at), (0, 2), 10, &mut rng);
            assert!(arrives.is_some_and(|arrives| arrives > last) && again.is_none());
            last = arrives.unwrap_or_default();
        }
        network.cut_one_way(&[0], &[1, 2]);
        assert_eq!(network.carry(last, (0, 2), 10, &mut rng), [None, None]);
        assert!(network.carry(last, (2, 0), 10, &mut rng)[0].is_some());
        network.heal();
        assert!(network.carry(last, (0, 2), 10, &mut rng)[0].is_some());
        assert!(network.unlink(0, 2) && network.peers(2).is_empty());
    }

    #[test]
    fn a_log_normal_latency_has_its_median() {
        let mut rng = ChaCha12Rng::seed_from_u64(2);
        let latency = Latency::LogNormal {
            median: Duration::from_millis(10),
            sigma: 0.5,
        };
        let below = (0..4_000)
            .filter(|_| draw(&latency, (0, 1), (0, 0), &mut rng) < Duration::from_millis(10))
            .count();
        assert!((1_900..2_100).contains(&below), "{below} of 4000");
    }
}
