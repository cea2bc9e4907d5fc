//! The tables `[truth]` and `[beliefs]`: how fast what runs where and beside whom, and what
//! policies may know of it.

use std::path::Path;

use super::amount;
use super::error::ScenarioError;
use super::generator::{self, Generator};
use super::measured;
use super::reader::{Table, Value};
use crate::case::Beliefs;
use crate::truth::{Contention, RESOURCES, Truth};

/// The most platforms and classes: their indices are 16 bits wide.
const MOST_NAMES: usize = 10_000;

/// Where the truth comes from.
#[derive(Clone, Debug)]
pub(crate) enum TruthSpec {
    /// Nothing was said: every machine is as fast as any. Platforms are named by the cluster.
    Plain,
    /// The scenario or a file says it.
    Known(Truth),
    /// Drawn per seed.
    Generated { generator: Generator, noise: f64 },
}

impl TruthSpec {
    pub(crate) fn read(root: &Table<'_>, base: &Path) -> Result<Self, ScenarioError> {
        let known = [
            "platforms",
            "classes",
            "noise",
            "generator",
            "gavel",
            "campaign",
            "functionbench",
        ];
        let Some(table) = root.table("truth", &known)? else {
            return Ok(Self::Plain);
        };
        let noise = table
            .get("noise")
            .map_or(Ok(0.0), |value| value.at_least_zero("0.05"))?;
        if let Some(campaign) = table.get("campaign")
            && !table.has("gavel")
        {
            return Err(campaign.wrong("belongs to `gavel`", "leave it out"));
        }
        let sources = ["generator", "gavel", "functionbench", "classes"];
        let source = table.one_of(&sources)?;
        if let (Some(platforms), Some((source, _))) = (table.get("platforms"), &source)
            && *source != "classes"
        {
            return Err(platforms.at.error(
                format!("`{source}` names the platforms"),
                "leave one of them out",
            ));
        }
        match source {
            Some(("generator", value)) => Ok(Self::Generated {
                generator: Generator::read(&value.table(&generator::KEYS)?)?,
                noise,
            }),
            Some(("gavel", value)) => {
                let campaign = table.get("campaign");
                let campaign = campaign.map_or(Ok("A"), |value| value.text("\"A\" or \"B\""))?;
                let truth = measured::gavel(&value.at, &value.path(base)?, campaign)?;
                Ok(Self::Known(Truth { noise, ..truth }))
            }
            Some(("functionbench", value)) => {
                let truth = measured::functionbench(&value.at, &value.path(base)?)?;
                Ok(Self::Known(Truth { noise, ..truth }))
            }
            _ => written(&table, noise).map(Self::Known),
        }
    }

    /// The platforms' names; none if the cluster names them.
    pub(crate) fn platforms(&self) -> Option<Vec<String>> {
        match self {
            Self::Plain => None,
            Self::Known(truth) => Some(truth.platforms.clone()),
            Self::Generated { generator, .. } => Some(generator.platform_names()),
        }
    }

    /// The classes' names.
    pub(crate) fn classes(&self) -> Vec<String> {
        match self {
            Self::Plain => vec!["any".to_owned()],
            Self::Known(truth) => truth.classes.clone(),
            Self::Generated { generator, .. } => generator.class_names(),
        }
    }

    /// The truth of a run; `platforms` are the cluster's, if it named them.
    pub(crate) fn draw(&self, seed: u64, platforms: &[String]) -> Truth {
        match self {
            Self::Plain => Truth {
                platforms: platforms.to_vec(),
                speed: vec![vec![1.0; platforms.len()]],
                ..Truth::uniform()
            },
            Self::Known(truth) => truth.clone(),
            Self::Generated { generator, noise } => generator.draw(seed, *noise),
        }
    }
}

/// Platforms and classes as the scenario writes them.
fn written(table: &Table<'_>, noise: f64) -> Result<Truth, ScenarioError> {
    let mut platforms: Vec<String> = Vec::new();
    let mut general = Vec::new();
    for platform in table.tables("platforms", &["name", "speed"])? {
        let name = new_name(&platform, &platforms)?;
        let speed = platform.get("speed");
        general.push(speed.map_or(Ok(1.0), |value| value.above_zero("1.5"))?);
        platforms.push(name);
    }
    if platforms.is_empty() {
        platforms.push("any".to_owned());
        general.push(1.0);
    }
    let mut truth = Truth {
        platforms,
        classes: Vec::new(),
        speed: Vec::new(),
        contention: Contention::None,
        noise,
    };
    let (mut feel, mut press) = (Vec::new(), Vec::new());
    for class in table.tables("classes", &["name", "speed", "sensitivity", "pressure"])? {
        truth.classes.push(new_name(&class, &truth.classes)?);
        truth
            .speed
            .push(speeds(&class, &truth.platforms, &general)?);
        feel.push(vector(&class, "sensitivity")?);
        press.push(vector(&class, "pressure")?);
    }
    if truth.classes.is_empty() {
        truth.classes.push("any".to_owned());
        truth.speed.push(general);
    }
    if feel.iter().flatten().any(|x| *x > 0.0) {
        truth.contention = Contention::Vectors {
            sensitivity: feel,
            pressure: press,
        };
    }
    Ok(truth)
}

/// A class's speed per platform: a number for all, a table with some, or the platforms' own.
fn speeds(
    class: &Table<'_>,
    platforms: &[String],
    general: &[f64],
) -> Result<Vec<f64>, ScenarioError> {
    let Some(value) = class.get("speed") else {
        return Ok(general.to_vec());
    };
    if !value.is_table() {
        let factor = value.above_zero("a speed such as 1.5, or { platform = 1.5 }")?;
        return Ok(general.iter().map(|speed| speed * factor).collect());
    }
    let mut speeds = general.to_vec();
    for (name, value) in value.any_table()?.entries() {
        let index = find(&value, &name, platforms, "platform")?;
        speeds[index] = value.at_least_zero("0 if it cannot run there, or a speed such as 1.5")?;
    }
    if speeds.iter().all(|speed| *speed <= 0.0) {
        return Err(value.at.error(
            "the class runs nowhere",
            "write a speed above 0 for at least one platform",
        ));
    }
    Ok(speeds)
}

fn vector(class: &Table<'_>, key: &str) -> Result<[f64; RESOURCES], ScenarioError> {
    const RIGHT: &str = "write four numbers of at least 0 for CPU, memory, I/O and network, \
                         for example [0.5, 0.2, 0, 0]";
    let Some(value) = class.get(key) else {
        return Ok([0.0; RESOURCES]);
    };
    let list = value.list()?;
    let numbers = list
        .iter()
        .map(|value| value.at_least_zero("a number such as 0.5"))
        .collect::<Result<Vec<f64>, _>>()?;
    <[f64; RESOURCES]>::try_from(numbers).map_err(|_| value.wrong("has not four numbers", RIGHT))
}

fn new_name(table: &Table<'_>, others: &[String]) -> Result<String, ScenarioError> {
    let value = table.need("name", "a name")?;
    let name = value.text("a name")?;
    if name.is_empty() {
        return Err(value.wrong("is empty", "write a name"));
    }
    if others.iter().any(|other| other == name) {
        return Err(value.wrong("is there already", "give each its own name"));
    }
    if others.len() >= MOST_NAMES {
        let remedy = format!("keep to {MOST_NAMES}");
        return Err(value.wrong("is one too many", &remedy));
    }
    Ok(name.to_owned())
}

/// The index of a name that must be known.
pub(crate) fn find(
    value: &Value<'_>,
    name: &str,
    known: &[String],
    what: &str,
) -> Result<usize, ScenarioError> {
    known.iter().position(|other| other == name).ok_or_else(|| {
        value.at.error(
            format!("there is no {what} `{name}`"),
            amount::instead(name, known.iter().map(String::as_str)),
        )
    })
}

/// The table `[beliefs]`.
pub(crate) fn beliefs(root: &Table<'_>) -> Result<Beliefs, ScenarioError> {
    let Some(table) = root.table("beliefs", &["kind", "error"])? else {
        return Ok(Beliefs::default());
    };
    const KINDS: [&str; 3] = ["nothing", "given", "learned"];
    let kind = table.need("kind", "kind = \"given\"")?;
    let text = kind.text("\"nothing\", \"given\" or \"learned\"")?;
    let error = table.get("error");
    if let Some(error) = &error
        && text != "given"
    {
        return Err(error.wrong("belongs to the kind `given`", "leave it out"));
    }
    match text {
        "nothing" => Ok(Beliefs::Nothing),
        "learned" => Ok(Beliefs::Learned),
        "given" => Ok(Beliefs::Given {
            error: error.map_or(Ok(0.0), |value| value.at_least_zero("0.1"))?,
        }),
        _ => Err(kind.wrong("is no kind of belief", &amount::instead(text, KINDS))),
    }
}
