//! The table `[sim]`: words that only a simulator understands. Real daemons under the same scenario
//! pass over it.

use std::time::Duration;

use super::error::ScenarioError;
use super::reader::Table;
use crate::case::SimSettings;

/// What `[sim]` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Settings {
    /// What goes into each case.
    pub(crate) sim: SimSettings,
    /// How long a run may go on after the last job came; by default long enough for the longest
    /// task on the slowest platform.
    pub(crate) drain: Option<Duration>,
}

impl Settings {
    pub(crate) fn read(root: &Table<'_>) -> Result<Self, ScenarioError> {
        let known = [
            "form",
            "drain",
            "sample",
            "view_limit",
            "byte_budget",
            "acquaintances",
            "spawn",
        ];
        let mut settings = Self::default();
        let Some(table) = root.table("sim", &known)? else {
            return Ok(settings);
        };
        let sim = &mut settings.sim;
        if let Some(value) = table.get("form") {
            sim.form = value.time()?;
        }
        if let Some(value) = table.get("sample") {
            value.seconds()?;
            sim.sample = Some(value.time()?);
        }
        if let Some(value) = table.get("view_limit") {
            sim.view_limit = usize::try_from(value.count(8, 1 << 20)?).unwrap_or(usize::MAX);
        }
        if let Some(value) = table.get("byte_budget") {
            sim.byte_budget = u32::try_from(value.count(256, 1 << 30)?).unwrap_or(u32::MAX);
        }
        if let Some(value) = table.get("acquaintances") {
            sim.acquaintances = usize::try_from(value.count(1, 1 << 10)?).unwrap_or(1);
        }
        if let Some(value) = table.get("spawn") {
            let spawn = value.time()?;
            sim.spawn = (spawn, spawn);
        }
        settings.drain = table.get("drain").map(|value| value.time()).transpose()?;
        Ok(settings)
    }
}
