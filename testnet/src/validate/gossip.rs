//! Gossip: how many synchronous rounds it takes until all know one rumour, and how old what machines
//! know of one another is under push-pull exchanges, on the very tables of the policy `p2c-stale`.

use rand_chacha::ChaCha12Rng;

use super::stats::Sample;
use super::{Check, Job, Size};
use crate::model::chance::{Purpose, below, stream, unit};
use crate::model::pause;
use crate::model::table::Tables;

const ROUNDS: &str = "gossip rounds";
const AGE: &str = "gossip age";
const TOLERANCE: f64 = 0.05;

/// Which way a contact carries the rumour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Push,
    Pull,
    PushPull,
}

impl Way {
    const fn name(self) -> &'static str {
        match self {
            Self::Push => "push",
            Self::Pull => "pull",
            Self::PushPull => "push-pull",
        }
    }
}

/// Rounds until all of `n` know what one knew, if each contacts `f` others in each round. All
/// contacts of a round see what was known at its beginning.
fn rounds(n: usize, f: usize, way: Way, rng: &mut ChaCha12Rng) -> u32 {
    let mut knows = vec![false; n];
    knows[0] = true;
    let mut count = 1;
    let mut round = 0;
    let mut chosen: Vec<usize> = Vec::new();
    while count < n {
        round += 1;
        let before = knows.clone();
        let mut tell = |who: usize| {
            count += usize::from(!knows[who]);
            knows[who] = true;
        };
        for me in 0..n {
            chosen.clear();
            while chosen.len() < f.min(n - 1) {
                let other = below(rng, n);
                if other != me && !chosen.contains(&other) {
                    chosen.push(other);
                }
            }
            for other in chosen.iter().copied() {
                if way != Way::Pull && before[me] {
                    tell(other);
                }
                if way != Way::Push && before[other] {
                    tell(me);
                }
            }
        }
    }
    round
}

/// The mean of [`rounds`] with one contact, exactly. How many know is a Markov chain: in a round `k`
/// that know reach `m` others by pushing, one push after the other, and each of the rest pulls from
/// one of the `k` with probability `k/(n-1)`.
fn exactly(n: usize, way: Way) -> f64 {
    let others = (n - 1) as f64;
    let mut expected = vec![0.0; n + 1];
    for k in (1..n).rev() {
        let rest = n - k;
        // The distribution of how many are reached by pushing.
        let mut reached = vec![0.0; rest + 1];
        reached[0] = 1.0;
        if way != Way::Pull {
            for _ in 0..k {
                for m in (0..=rest).rev() {
                    let fresh = |m: usize| (rest - m) as f64 / others;
                    let came = if m > 0 {
                        reached[m - 1] * fresh(m - 1)
                    } else {
                        0.0
                    };
                    reached[m] = reached[m] * (1.0 - fresh(m)) + came;
                }
            }
        }
        let pulls = if way == Way::Push {
            0.0
        } else {
            k as f64 / others
        };
        let (mut stays, mut later) = (0.0, 0.0);
        for (m, pushed) in reached.iter().enumerate() {
            let left = rest - m;
            // The binomial distribution of the pulls, term by term.
            let mut pulled = libm::pow(1.0 - pulls, left as f64);
            for j in 0..=left {
                let probability = pushed * pulled;
                if m + j == 0 {
                    stays += probability;
                } else {
                    later += probability * expected[k + m + j];
                }
                if pulls < 1.0 {
                    pulled *= (left - j) as f64 / (j + 1) as f64 * pulls / (1.0 - pulls);
                } else {
                    pulled = f64::from(u8::from(j + 1 == left));
                }
            }
        }
        expected[k] = (1.0 + later) / (1.0 - stays);
    }
    expected[1]
}

/// What was measured elsewhere: machines, and mean rounds of push, pull, and push-pull with one, two
/// and three contacts.
const KNOWN: [(usize, [Option<f64>; 5]); 4] = [
    (32, [Some(9.2), Some(7.2), Some(4.8), Some(3.5), Some(3.0)]),
    (
        100,
        [Some(12.1), Some(9.8), Some(6.6), Some(4.4), Some(4.0)],
    ),
    (
        1_000,
        [Some(18.0), Some(13.3), Some(9.1), Some(6.1), Some(5.0)],
    ),
    (5_000, [Some(22.0), Some(16.0), Some(10.7), None, Some(6.0)]),
];

const WAYS: [(Way, usize); 5] = [
    (Way::Push, 1),
    (Way::Pull, 1),
    (Way::PushPull, 1),
    (Way::PushPull, 2),
    (Way::PushPull, 3),
];

/// The mean age of what `n` machines know of one another, in periods, where each opens one exchange
/// in each period; over so many periods after as many again as it takes to forget the beginning.
fn age(n: usize, periods: u64, seed: u64) -> f64 {
    const PERIOD: u64 = 1_000_000;
    let mut rng = stream(seed, Purpose::Gossip);
    let mut tables = Tables::new(n, &mut rng);
    let all: Vec<u32> = (0..n as u32).collect();
    let mut next: Vec<u64> = all
        .iter()
        .map(|_| (PERIOD as f64 * unit(&mut rng)) as u64)
        .collect();
    let warm = 20;
    let (mut sum, mut count) = (0.0, 0.0);
    for period in 0..warm + periods {
        // Exchanges of a period in the order of their moments.
        let until = (period + 1) * PERIOD;
        let mut due: Vec<(u64, u32)> = Vec::new();
        for (machine, at) in next.iter_mut().enumerate() {
            while *at < until {
                due.push((*at, machine as u32));
                *at += pause(PERIOD, &mut rng);
            }
        }
        due.sort_unstable();
        for (at, me) in due {
            let other = (me as usize + 1 + below(&mut rng, n - 1)) % n;
            tables.refresh(me, 0.0, at);
            tables.refresh(other as u32, 0.0, at);
            tables.exchange(me, other as u32);
        }
        if period >= warm {
            sum += tables.age(&all, until) / PERIOD as f64;
            count += 1.0;
        }
    }
    sum / count
}

/// The comparisons.
pub(super) fn jobs(size: Size) -> Vec<Job> {
    let mut jobs = Vec::new();
    for (n, known) in KNOWN {
        for ((way, f), known) in WAYS.into_iter().zip(known) {
            let Some(known) = known else { continue };
            let small = n > 100 || way == Way::Pull;
            if size == Size::Small && small {
                continue;
            }
            let name = format!("{}, {f} at a time, n = {n}", way.name());
            // A handful of runs stand behind each number of the table; where the mean is known
            // exactly, that is better.
            let (known, source) = if f == 1 && n <= 100 {
                (exactly(n, way), format!("exact chain (table: {known})"))
            } else {
                (known, "measured table".to_owned())
            };
            let runs = match size {
                Size::Small => 200,
                Size::Full if n <= 100 => 4_000,
                Size::Full => 400,
            };
            jobs.push(Job {
                name: format!("{ROUNDS}: {name}"),
                cost: (runs * n * 4) as f64,
                run: Box::new(move || {
                    let sample: Sample = (0..runs as u64)
                        .map(|seed| {
                            let mut rng = stream(seed, Purpose::Gossip);
                            f64::from(rounds(n, f, way, &mut rng))
                        })
                        .collect();
                    let what = name.clone();
                    vec![Check::near(
                        ROUNDS, what, known, &sample, TOLERANCE, &source,
                    )]
                }),
            });
        }
    }
    let sizes: &[(usize, f64, bool)] = match size {
        Size::Small => &[(30, 1.92, false)],
        // The formula is for many machines; of ten, the table itself is 6% below it.
        Size::Full => &[
            (10, 1.25, false),
            (30, 1.92, false),
            (100, 2.66, false),
            (300, 3.30, false),
            (30, 0.0, true),
            (100, 0.0, true),
            (300, 0.0, true),
            (500, 0.0, true),
        ],
    };
    for (n, known, formula) in sizes.iter().copied() {
        let (seeds, periods) = match size {
            Size::Small => (3, 30),
            Size::Full => (5, 100),
        };
        let (known, source) = if formula {
            (0.58 * libm::log(n as f64), "0.58 ln(n)")
        } else {
            (known, "measured table")
        };
        let what = format!("mean age in periods, n = {n}, {source}");
        jobs.push(Job {
            name: format!("{AGE}: {what}"),
            cost: (n * n) as f64 * seeds as f64 * periods as f64 / 10.0,
            run: Box::new(move || {
                let sample: Sample = (1..=seeds).map(|seed| age(n, periods, seed)).collect();
                vec![Check::near(
                    AGE,
                    what.clone(),
                    known,
                    &sample,
                    TOLERANCE,
                    source,
                )]
            }),
        });
    }
    jobs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chain_is_right_where_it_can_be_done_by_hand() {
        for way in [Way::Push, Way::Pull, Way::PushPull] {
            assert_eq!(exactly(1, way), 0.0);
            assert!((exactly(2, way) - 1.0).abs() < 1e-12, "{way:?}");
        }
        // Of three, one push reaches one; then each round one of two pushes of two reaches the last
        // with probability 3/4: 1 + 4/3.
        assert!((exactly(3, Way::Push) - 7.0 / 3.0).abs() < 1e-12);
        // Both pull from the one with probability 1/2; the last from two of two at once.
        let pull = (1.0 + 0.5 * 1.0) / (1.0 - 0.25);
        assert!((exactly(3, Way::Pull) - pull).abs() < 1e-12);
    }

    #[test]
    fn rumours_spread_faster_both_ways() {
        let mean = |way| {
            let runs = 50u64;
            let rounds =
                (0..runs).map(|seed| rounds(64, 1, way, &mut stream(seed, Purpose::Gossip)));
            f64::from(rounds.sum::<u32>()) / runs as f64
        };
        let (push, pull, both) = (mean(Way::Push), mean(Way::Pull), mean(Way::PushPull));
        assert!(both < pull && pull < push, "{push} {pull} {both}");
        // In a round the number that know at most doubles by pushing to one.
        assert!(push >= 6.0);
        assert_eq!(rounds(1, 1, Way::Push, &mut stream(1, Purpose::Gossip)), 0);
    }
}
