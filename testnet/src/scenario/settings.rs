//! The table `[sim]`: words that only a simulator understands. Real daemons under the same scenario
//! pass over it.

use std::time::Duration;

use super::amount;
use super::error::ScenarioError;
use super::reader::Table;

/// What a simulator is told besides the scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SimSettings {
    /// Between two moments of [`crate::outcome::Outcome::course`].
    pub sample: Duration,
    /// How long a run may go on after the last job came; by default long enough for the longest
    /// task on the slowest platform.
    pub settle: Option<Duration>,
    /// The most records that an engine's view holds; the engine's own limit without it.
    pub view_limit: Option<usize>,
    /// How the queueing model spreads load.
    pub gossip_table: GossipTable,
    /// Events between two checks of what must always hold that cost more than a glance; 1 checks
    /// after each.
    pub check_every: u64,
}

/// How the queueing model spreads load.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GossipTable {
    /// Each machine exchanges its whole table with a random other, as in the literature.
    #[default]
    Full,
    /// Views of a bounded size, as the engine has them.
    View,
}

impl Default for SimSettings {
    fn default() -> Self {
        Self {
            sample: Duration::from_secs(1),
            settle: None,
            view_limit: None,
            gossip_table: GossipTable::Full,
            check_every: 1_000,
        }
    }
}

impl SimSettings {
    pub(crate) fn read(root: &Table<'_>) -> Result<Self, ScenarioError> {
        let known = [
            "sample",
            "settle",
            "view_limit",
            "gossip_table",
            "check_every",
        ];
        let mut settings = Self::default();
        let Some(table) = root.table("sim", &known)? else {
            return Ok(settings);
        };
        if let Some(value) = table.get("sample") {
            value.seconds()?;
            settings.sample = value.time()?;
        }
        settings.settle = table.get("settle").map(|value| value.time()).transpose()?;
        if let Some(value) = table.get("view_limit") {
            settings.view_limit = usize::try_from(value.count(8, 1 << 20)?).ok();
        }
        if let Some(value) = table.get("check_every") {
            settings.check_every = value.count(1, 1 << 40)?;
        }
        if let Some(value) = table.get("gossip_table") {
            settings.gossip_table = match value.text("\"full\" or \"view\"")? {
                "full" => GossipTable::Full,
                "view" => GossipTable::View,
                other => {
                    let remedy = amount::instead(other, ["full", "view"]);
                    return Err(value.wrong("is no way to spread load", &remedy));
                }
            };
        }
        Ok(settings)
    }
}
