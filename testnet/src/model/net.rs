//! How long messages take. Bandwidth, loss, duplication and reordering are not modelled.

use rand_chacha::ChaCha12Rng;
use std::time::Duration;

use super::chance::{Purpose, normal, stream, unit};
use crate::case::{Case, Latency};

/// The index of the central part, which is no machine; it counts as the first one's neighbour.
pub(super) const CENTRE: u32 = u32::MAX;

/// The network of a run.
#[derive(Debug)]
pub(super) struct Net<'a> {
    latency: &'a Latency,
    case: &'a Case,
    rng: ChaCha12Rng,
    /// Every message arrives at once.
    pub(super) instant: bool,
}

impl<'a> Net<'a> {
    pub(super) fn new(case: &'a Case) -> Self {
        let latency = &case.network.latency;
        Self {
            latency,
            case,
            rng: stream(case.seed, Purpose::Latency),
            instant: *latency == Latency::Fixed(Duration::ZERO),
        }
    }

    /// A message's time under way, in nanoseconds; none to oneself.
    pub(super) fn delay(&mut self, from: u32, to: u32) -> u64 {
        if self.instant || from == to {
            return 0;
        }
        draw(self.latency, self.case, &mut self.rng, from, to)
    }
}

fn draw(latency: &Latency, case: &Case, rng: &mut ChaCha12Rng, from: u32, to: u32) -> u64 {
    let index = |machine: u32| {
        if machine == CENTRE {
            0
        } else {
            machine as usize
        }
    };
    match latency {
        Latency::Fixed(time) => nanos(*time),
        Latency::Uniform(least, most) => {
            let (least, most) = (nanos(*least), nanos(*most));
            least + (most.saturating_sub(least) as f64 * unit(rng)) as u64
        }
        Latency::LogNormal { median, sigma } => jittered(nanos(*median) as f64, *sigma, rng),
        Latency::Zones(zones) => {
            let zone = |machine| {
                let machine = case.machines.get(index(machine));
                machine.map_or(0, |machine| usize::from(machine.zone))
            };
            let between = zones.get(zone(from)).and_then(|row| row.get(zone(to)));
            between.map_or(0, |latency| draw(latency, case, rng, from, to))
        }
        Latency::Matrix { rtt, sigma } => {
            if rtt.is_empty() {
                return 0;
            }
            let row = &rtt[index(from) % rtt.len()];
            let trip = row.get(index(to) % row.len().max(1));
            jittered(
                trip.map_or(0.0, |trip| nanos(*trip) as f64 / 2.0),
                *sigma,
                rng,
            )
        }
    }
}

fn jittered(median: f64, sigma: f64, rng: &mut ChaCha12Rng) -> u64 {
    (median * libm::exp(sigma * normal(rng))) as u64
}

/// A duration in nanoseconds, held at the largest value (584 years).
pub(super) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::{Beliefs, Machine, Network, SimSettings};
    use crate::truth::Truth;
    use starling_placement::Resources;
    use std::sync::Arc;

    fn case(latency: Latency) -> Case {
        let mut machines: Vec<Machine> = (0..3)
            .map(|i| Machine::new(format!("n{i}"), 0, Resources::default()))
            .collect();
        machines[2].zone = 1;
        Case {
            name: String::new(),
            seed: 1,
            machines,
            truth: Arc::new(Truth::uniform()),
            beliefs: Beliefs::Nothing,
            jobs: Vec::new(),
            network: Network {
                latency,
                ..Network::default()
            },
            gossip_period: Duration::from_secs(1),
            faults: Vec::new(),
            warmup: Duration::ZERO,
            measured_until: Duration::MAX,
            end: Duration::from_secs(1),
            sim: SimSettings::default(),
        }
    }

    #[test]
    fn zones_and_matrices_tell_pairs_apart() {
        let ms = Duration::from_millis;
        let near = || Latency::Fixed(ms(1));
        let far = || Latency::Uniform(ms(20), ms(30));
        let zones = case(Latency::Zones(vec![
            vec![near(), far()],
            vec![far(), near()],
        ]));
        let mut net = Net::new(&zones);
        assert_eq!(net.delay(0, 1), 1_000_000);
        assert_eq!(net.delay(2, 2), 0);
        assert!((20_000_000..=30_000_000).contains(&net.delay(1, 2)));
        assert_eq!(net.delay(CENTRE, 1), 1_000_000);

        let rtt = Arc::new(vec![vec![ms(0), ms(8)], vec![ms(6), ms(0)]]);
        let matrix = case(Latency::Matrix { rtt, sigma: 0.0 });
        let mut net = Net::new(&matrix);
        assert_eq!((net.delay(0, 1), net.delay(1, 2)), (4_000_000, 3_000_000));
    }

    #[test]
    fn a_log_normal_latency_has_its_median() {
        let median = Duration::from_millis(2);
        let one = case(Latency::LogNormal { median, sigma: 0.5 });
        let mut net = Net::new(&one);
        let mut delays: Vec<u64> = (0..4_001).map(|_| net.delay(0, 1)).collect();
        delays.sort_unstable();
        let middle = delays[2_000] as f64 / 2e6;
        assert!((middle - 1.0).abs() < 0.05, "{middle}");
    }
}
