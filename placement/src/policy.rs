//! Which parts of the placement rule are in force. The daemon uses all of them; a comparison turns
//! one off to see what it is worth.

use std::fmt;
use std::str::FromStr;

/// The parts of the rule, each on by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Candidates are ranked by the learned fit of the task's class, not by measured load alone.
    pub classes: bool,
    /// How classes disturb each other counts.
    pub contention: bool,
    /// Many cached candidates are ranked; otherwise no more are drawn than are asked.
    pub cached: bool,
    /// The best candidates are asked live before one is chosen.
    pub live: bool,
    /// A node that refuses names a better one.
    pub bounce: bool,
    /// Candidates are drawn in proportion to what a node can do; otherwise evenly.
    pub capacity: bool,
    /// The order among candidates that are as good as equal is random.
    pub jitter: bool,
    /// A node with room that sees an owner with waiting tasks offers it.
    pub stealing: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            classes: true,
            contention: true,
            cached: true,
            live: true,
            bounce: true,
            capacity: true,
            jitter: true,
            stealing: true,
        }
    }
}

/// Why a text does not name a policy's parts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no part of the placement rule; write -PART with one of {names}", names = NAMES.join(", "))]
pub struct PolicyError(String);

/// The names of the parts.
pub const NAMES: [&str; 8] = [
    "classes",
    "contention",
    "cached",
    "live",
    "bounce",
    "capacity",
    "jitter",
    "stealing",
];

impl Policy {
    fn part(&mut self, name: &str) -> Option<&mut bool> {
        Some(match name {
            "classes" => &mut self.classes,
            "contention" => &mut self.contention,
            "cached" => &mut self.cached,
            "live" => &mut self.live,
            "bounce" => &mut self.bounce,
            "capacity" => &mut self.capacity,
            "jitter" => &mut self.jitter,
            "stealing" => &mut self.stealing,
            _ => return None,
        })
    }
}

impl FromStr for Policy {
    type Err = PolicyError;

    /// Reads parts to leave out: `-classes,-bounce`. Nothing leaves all in force.
    fn from_str(text: &str) -> Result<Self, PolicyError> {
        let mut policy = Self::default();
        for word in text.split(',').filter(|word| !word.is_empty()) {
            let part = word.strip_prefix('-').and_then(|name| policy.part(name));
            *part.ok_or_else(|| PolicyError(word.to_owned()))? = false;
        }
        Ok(policy)
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut copy = *self;
        let mut separator = "";
        for name in NAMES {
            if copy.part(name).is_some_and(|part| !*part) {
                write!(f, "{separator}-{name}")?;
                separator = ",";
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_left_out_by_name() {
        assert_eq!("".parse(), Ok(Policy::default()));
        for name in NAMES {
            let text = format!("-{name}");
            let policy: Result<Policy, _> = text.parse();
            assert!(policy.is_ok_and(|p| p != Policy::default() && p.to_string() == text));
        }
        for wrong in ["classes", "-speed", "-live,bounce"] {
            let error = wrong.parse::<Policy>().map_err(|e| e.to_string());
            assert!(error.is_err_and(|text| text.contains("-PART")), "{wrong}");
        }
    }
}
