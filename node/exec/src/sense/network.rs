//! How much of the machine's links is used: of the busiest physical interface whose speed is
//! known. One file tells the bytes of all interfaces; the speeds are looked up now and then.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

/// After how many samples the speeds are looked up again.
const LOOKUP_EVERY: u32 = 60;

/// Follows the bytes on the machine's links.
#[derive(Debug)]
pub(super) struct Network {
    /// Bytes per second of each physical interface whose speed is known.
    speeds: BTreeMap<String, u64>,
    before: BTreeMap<String, (u64, u64)>,
    samples: u32,
}

impl Network {
    pub(super) fn new() -> Self {
        let speeds = speeds();
        Self {
            before: read(&speeds),
            speeds,
            samples: 0,
        }
    }

    /// The used share since the call before, in 1/255; 0 where no speed is known.
    pub(super) fn pressure(&mut self, elapsed: Duration) -> u8 {
        self.samples += 1;
        if self.samples.is_multiple_of(LOOKUP_EVERY) {
            self.speeds = speeds();
        }
        if self.speeds.is_empty() {
            return 0;
        }
        let now = read(&self.speeds);
        let used = |(name, (received, sent)): (&String, &(u64, u64))| {
            let (received_before, sent_before) = self.before.get(name)?;
            let more = received
                .saturating_sub(*received_before)
                .max(sent.saturating_sub(*sent_before));
            let most = u128::from(*self.speeds.get(name)?) * elapsed.as_millis() / 1000;
            Some(super::share(more, u64::try_from(most).unwrap_or(u64::MAX)))
        };
        let most = now.iter().filter_map(used).max();
        self.before = now;
        most.unwrap_or(0)
    }
}

/// The physical interfaces whose driver knows their speed.
fn speeds() -> BTreeMap<String, u64> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir("/sys/class/net")
        .into_iter()
        .flatten()
        .flatten()
    {
        let path = entry.path();
        if !path.join("device").exists() {
            continue;
        }
        let megabits = fs::read_to_string(path.join("speed")).ok();
        let megabits = megabits.and_then(|text| text.trim().parse::<i64>().ok());
        if let (Some(megabits @ 1..), Ok(name)) = (megabits, entry.file_name().into_string()) {
            found.insert(name, megabits.unsigned_abs().saturating_mul(125_000));
        }
    }
    found
}

fn read(wanted: &BTreeMap<String, u64>) -> BTreeMap<String, (u64, u64)> {
    if wanted.is_empty() {
        return BTreeMap::new();
    }
    let mut counted = parse(&fs::read_to_string("/proc/net/dev").unwrap_or_default());
    counted.retain(|name, _| wanted.contains_key(name));
    counted
}

/// Bytes received and sent per interface.
fn parse(text: &str) -> BTreeMap<String, (u64, u64)> {
    let line = |line: &str| {
        let (name, numbers) = line.split_once(':')?;
        let numbers: Vec<&str> = numbers.split_whitespace().collect();
        let received = numbers.first()?.parse().ok()?;
        Some((
            name.trim().to_owned(),
            (received, numbers.get(8)?.parse().ok()?),
        ))
    };
    text.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counters_are_read() {
        let text = "Inter-|   Receive  |  Transmit\n face |bytes packets\n  \
                    eth0: 189 7 0 0 0 0 0 0 586 4 0 0 0 0 0 0\nbad: 1\n";
        assert_eq!(
            parse(text),
            BTreeMap::from([("eth0".to_owned(), (189, 586))])
        );
    }
}
