//! Tables of what machines know of one another, spread by push-pull exchanges: each entry carries
//! the moment it was true at, and the newer one wins. A machine keeps at most [`BOUND`] entries, the
//! newest; up to that many machines every table is whole.

use rand_chacha::ChaCha12Rng;

use super::chance::below;

/// The entries a machine keeps.
pub(crate) const BOUND: usize = 512;

/// What is known of a machine.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Known {
    /// Its index.
    pub(crate) machine: u32,
    /// Its load.
    pub(crate) load: f32,
    /// When that was true, in nanoseconds.
    pub(crate) at: u64,
}

/// The tables of all machines.
#[derive(Clone, Debug)]
pub(crate) struct Tables {
    /// One for each machine, ordered by machine.
    tables: Vec<Vec<Known>>,
    merged: Vec<Known>,
    times: Vec<u64>,
}

impl Tables {
    /// Everybody knows everybody to be empty at time 0, or as many at random as a table holds.
    pub(crate) fn new(n: usize, rng: &mut ChaCha12Rng) -> Self {
        let known = |machine| Known {
            machine,
            load: 0.0,
            at: 0,
        };
        let mut tables = Vec::with_capacity(n);
        let mut all: Vec<u32> = (0..n as u32).collect();
        for machine in 0..n as u32 {
            if n <= BOUND {
                tables.push((0..n as u32).map(known).collect());
                continue;
            }
            for at in 0..BOUND {
                let other = at + below(rng, n - at);
                all.swap(at, other);
            }
            let mut some = all[..BOUND].to_vec();
            if !some.contains(&machine) {
                some[0] = machine;
            }
            some.sort_unstable();
            tables.push(some.into_iter().map(known).collect());
        }
        Self {
            tables,
            merged: Vec::new(),
            times: Vec::new(),
        }
    }

    /// A machine's table.
    pub(crate) fn of(&self, machine: u32) -> &[Known] {
        &self.tables[machine as usize]
    }

    /// A machine knows itself.
    pub(crate) fn refresh(&mut self, machine: u32, load: f32, at: u64) {
        let known = Known { machine, load, at };
        let table = &mut self.tables[machine as usize];
        match table.binary_search_by_key(&machine, |known| known.machine) {
            Ok(place) => table[place] = known,
            Err(place) => table.insert(place, known),
        }
    }

    /// Two machines exchange their tables: both have the newer of each entry afterwards.
    pub(crate) fn exchange(&mut self, one: u32, other: u32) {
        let (one, other) = (one as usize, other as usize);
        if one == other {
            return;
        }
        self.merged.clear();
        let (a, b) = (&self.tables[one], &self.tables[other]);
        let (mut i, mut j) = (0, 0);
        while let (Some(x), Some(y)) = (a.get(i), b.get(j)) {
            let newest = match x.machine.cmp(&y.machine) {
                std::cmp::Ordering::Less => *x,
                std::cmp::Ordering::Greater => *y,
                std::cmp::Ordering::Equal if x.at >= y.at => *x,
                std::cmp::Ordering::Equal => *y,
            };
            i += usize::from(x.machine <= y.machine);
            j += usize::from(y.machine <= x.machine);
            self.merged.push(newest);
        }
        self.merged.extend_from_slice(&a[i..]);
        self.merged.extend_from_slice(&b[j..]);
        self.shrink();
        let merged = &self.merged;
        for table in [one, other] {
            self.tables[table].clear();
            self.tables[table].extend_from_slice(merged);
        }
    }

    /// Forgets the oldest entries beyond the bound.
    fn shrink(&mut self) {
        let Some(over) = self
            .merged
            .len()
            .checked_sub(BOUND)
            .filter(|over| *over > 0)
        else {
            return;
        };
        self.times.clear();
        self.times.extend(self.merged.iter().map(|known| known.at));
        let (older, oldest_kept, _) = self.times.select_nth_unstable(over);
        let oldest_kept = *oldest_kept;
        // Of several that are exactly as old as the oldest kept, some go too.
        let mut ties = over - older.iter().filter(|at| **at < oldest_kept).count();
        self.merged.retain(|known| {
            let tie = known.at == oldest_kept && ties > 0;
            ties -= usize::from(tie);
            known.at >= oldest_kept && !tie
        });
    }

    /// The mean age in nanoseconds of what the given machines know of others.
    pub(crate) fn age(&self, machines: &[u32], now: u64) -> f64 {
        let (mut sum, mut count) = (0.0, 0u64);
        for machine in machines {
            for known in self.of(*machine) {
                if known.machine != *machine {
                    sum += now.saturating_sub(known.at) as f64;
                    count += 1;
                }
            }
        }
        sum / count as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::chance::{Purpose, stream};

    #[test]
    fn an_exchange_keeps_the_newer_of_each() {
        let mut tables = Tables::new(3, &mut stream(1, Purpose::Gossip));
        tables.refresh(0, 1.0, 10);
        tables.refresh(1, 2.0, 20);
        tables.exchange(0, 1);
        tables.refresh(0, 5.0, 30);
        tables.exchange(1, 2);
        let loads = |m| tables.of(m).iter().map(|k| k.load).collect::<Vec<_>>();
        assert_eq!(loads(0), [5.0, 2.0, 0.0]);
        assert_eq!(loads(1), [1.0, 2.0, 0.0]);
        assert_eq!(loads(2), [1.0, 2.0, 0.0]);
        assert_eq!(tables.age(&[2], 30), f64::from((30 - 10) + (30 - 20)) / 2.0);
    }

    #[test]
    fn a_table_is_bounded_and_keeps_the_newest() {
        let n = BOUND as u32 + 100;
        let mut rng = stream(1, Purpose::Gossip);
        let mut tables = Tables::new(n as usize, &mut rng);
        for time in 1..5u64 {
            for machine in 0..n {
                tables.refresh(machine, 1.0, time);
                tables.exchange(machine, below(&mut rng, n as usize) as u32);
            }
        }
        for machine in 0..n {
            let table = tables.of(machine);
            assert!(table.len() <= BOUND + 1);
            assert!(table.is_sorted_by(|a, b| a.machine < b.machine));
            assert!(table.iter().filter(|known| known.at > 0).count() > 50);
        }
    }
}
