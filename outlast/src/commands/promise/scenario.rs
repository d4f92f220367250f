//! Scenarios as files: TOML, of which each mistake is named with its line and key.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result};
use outlast_fs::durable;
use outlast_promise::simulate::{Chances, Happening, Kind, Scenario, What, Whom};
use outlast_types::{Timestamp, human};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::exit::Usage;
use crate::settings::key::nearest;

/// A scenario that is longer is a mistake.
const BYTES_MAX: u64 = 16 << 20;
/// So long may something last: a bit more than the longest scenario.
const LENGTH_MAX: Duration = Duration::from_secs(4_000 * 86_400);

const KEYS: [&str; 9] = [
    "seed",
    "workloads",
    "days",
    "agents",
    "start",
    "agent_deadline",
    "only",
    "chances",
    "happens",
];
const HAPPENS_KEYS: [&str; 5] = ["what", "at", "lasts", "agent", "workload"];

type Field<'a> = (&'a Spanned<std::borrow::Cow<'a, str>>, &'a Spanned<DeValue<'a>>);

/// Reads a scenario.
pub(super) fn read(file: &Path) -> Result<Scenario> {
    let content = durable::read_bounded(file, BYTES_MAX)
        .with_context(|| format!("cannot read the scenario {}", file.display()))?;
    let text = String::from_utf8_lossy(&content);
    parse(&text).map_err(|(line, words)| {
        Usage(format!("cannot understand {}, line {line}: {words}", file.display())).into()
    })
}

/// The line of a mistake, and what it is.
type Mistake = (usize, String);

fn parse(text: &str) -> Result<Scenario, Mistake> {
    let line = |place: usize| 1 + text[..text.floor_char_boundary(place)].matches('\n').count();
    let root = DeTable::parse(text).map_err(|error| {
        (error.span().map_or(1, |span| line(span.start)), error.message().to_owned())
    })?;
    let mut reader = Reader { line: &line, scenario: Scenario::of_everything(100, 365, 1) };
    // What others are measured by comes first.
    for first in [true, false] {
        for field in root.get_ref() {
            if (field.0.get_ref() != "happens") == first {
                reader.field(field)?;
            }
        }
    }
    let scenario = reader.scenario;
    scenario.judge().map_err(|error| (1, error.to_string()))?;
    Ok(scenario)
}

struct Reader<'a> {
    line: &'a dyn Fn(usize) -> usize,
    scenario: Scenario,
}

impl Reader<'_> {
    fn field(&mut self, field: Field<'_>) -> Result<(), Mistake> {
        let scenario = &mut self.scenario;
        match field.0.get_ref().as_ref() {
            "seed" => scenario.seed = number(self.line, field, "a number")?,
            "workloads" => {
                scenario.workloads = within(self.line, field, Scenario::WORKLOADS_MAX)?;
            }
            "days" => scenario.days = within(self.line, field, Scenario::DAYS_MAX)?,
            "agents" => scenario.agents = within(self.line, field, Scenario::AGENTS_MAX)?,
            "start" => scenario.start = start(self.line, field)?,
            "agent_deadline" => scenario.agent_deadline = length(self.line, field)?,
            "only" => {
                let wanted = "a list of numbers of workloads, such as [3, 17]";
                let list = field.1.get_ref().as_array();
                let list = list.ok_or_else(|| mistake(self.line, field, wanted))?;
                let number = |it: &Spanned<DeValue<'_>>| whole(it.get_ref());
                let only: Option<BTreeSet<u32>> = list.iter().map(number).collect();
                scenario.only = Some(only.ok_or_else(|| mistake(self.line, field, wanted))?);
            }
            "chances" => scenario.chances = chances(self.line, field)?,
            "happens" => {
                let wanted = "sections: write [[happens]] on a line of its own";
                let list = field.1.get_ref().as_array();
                let list = list.ok_or_else(|| mistake(self.line, field, wanted))?;
                for item in list.iter() {
                    let table = item.get_ref().as_table();
                    let table = table.ok_or_else(|| mistake(self.line, field, wanted))?;
                    let place = (self.line)(item.span().start);
                    let happening = happening(self.line, place, table, &self.scenario)?;
                    let judged = self.scenario.judge_one(&happening);
                    judged.map_err(|error| (place, format!("[[happens]]: {error}")))?;
                    self.scenario.happenings.push(happening);
                }
                self.scenario.happenings.sort_unstable();
            }
            other => return Err(unknown(self.line, field, other, &KEYS)),
        }
        Ok(())
    }
}

type Line<'a> = &'a dyn Fn(usize) -> usize;

fn mistake(line: Line<'_>, (key, _): Field<'_>, wanted: &str) -> Mistake {
    (line(key.span().start), format!("{} is {wanted}", key.get_ref()))
}

fn unknown(line: Line<'_>, (key, _): Field<'_>, name: &str, known: &[&str]) -> Mistake {
    let words = match nearest(name, known.iter().copied()) {
        Some(near) => format!("there is no key {name}; is {near} meant?"),
        None => format!("there is no key {name}; there are {}", known.join(", ")),
    };
    (line(key.span().start), words)
}

fn whole<T: TryFrom<u64>>(value: &DeValue<'_>) -> Option<T> {
    let DeValue::Integer(number) = value else { return None };
    T::try_from(u64::from_str_radix(number.as_str(), number.radix()).ok()?).ok()
}

fn number<T: TryFrom<u64>>(line: Line<'_>, field: Field<'_>, wanted: &str) -> Result<T, Mistake> {
    whole(field.1.get_ref()).ok_or_else(|| mistake(line, field, wanted))
}

fn within(line: Line<'_>, field: Field<'_>, most: u32) -> Result<u32, Mistake> {
    let wanted = format!("a number from 1 to {most}");
    let number = number(line, field, &wanted)?;
    (1..=most).contains(&number).then_some(number).ok_or_else(|| mistake(line, field, &wanted))
}

fn text<'a>(value: &'a Spanned<DeValue<'_>>) -> Option<&'a str> {
    value.get_ref().as_str()
}

fn read_as<T: FromStr>(value: &Spanned<DeValue<'_>>) -> Option<T> {
    text(value)?.parse().ok()
}

fn length(line: Line<'_>, field: Field<'_>) -> Result<Duration, Mistake> {
    let length = text(field.1).and_then(|text| human::parse_duration(text).ok());
    let length = length.filter(|length| *length <= LENGTH_MAX);
    length.ok_or_else(|| {
        mistake(line, field, "a duration such as \"30s\", \"15m\", \"26h\" or \"7d\"")
    })
}

fn start(line: Line<'_>, field: Field<'_>) -> Result<Timestamp, Mistake> {
    let wanted = "a time such as \"2028-01-01T00:00:00Z\"";
    read_as(field.1).ok_or_else(|| mistake(line, field, wanted))
}

fn chances(line: Line<'_>, field: Field<'_>) -> Result<Chances, Mistake> {
    match (text(field.1), field.1.get_ref().as_table()) {
        (Some("usual"), _) => return Ok(Chances::usual()),
        (Some("none"), _) => return Ok(Chances::none()),
        (None, Some(table)) => {
            let mut chances = Chances::usual();
            for field in table {
                let name = field.0.get_ref();
                let Some(what) = What::from_code(name) else {
                    let known: Vec<&str> = What::ALL.iter().map(|what| what.as_str()).collect();
                    return Err(unknown(line, field, name, &known));
                };
                let never = text(field.1) == Some("never");
                chances.set(what, if never { None } else { Some(length(line, field)?) });
            }
            return Ok(chances);
        }
        _ => {}
    }
    Err(mistake(line, field, "\"usual\", \"none\", or a section [chances]"))
}

/// One section `[[happens]]`, which begins in `place`.
fn happening(
    line: Line<'_>,
    place: usize,
    table: &DeTable<'_>,
    scenario: &Scenario,
) -> Result<Happening, Mistake> {
    let (mut what, mut at, mut lasts, mut whom) = (None, None, None, None);
    for field in table {
        match field.0.get_ref().as_ref() {
            "what" => {
                let name = text(field.1).unwrap_or_default();
                let known: Vec<&str> = What::ALL.iter().map(|what| what.as_str()).collect();
                let wanted = format!("one of {}", known.join(", "));
                what = Some(What::from_code(name).ok_or_else(|| mistake(line, field, &wanted))?);
            }
            "at" => at = Some(moment(line, field, scenario)?),
            "lasts" => lasts = Some(length(line, field)?.as_secs()),
            "agent" => whom = Some(Whom::Agent(number(line, field, "the number of an agent")?)),
            "workload" => {
                whom = Some(Whom::Workload(number(line, field, "the number of a workload")?));
            }
            other => return Err(unknown(line, field, other, &HAPPENS_KEYS)),
        }
    }
    let missing = |key: &str| (place, format!("[[happens]] needs {key}"));
    let what = what.ok_or_else(|| missing("what"))?;
    let at = at.ok_or_else(|| missing("at"))?;
    if whom.is_none() && what.kind() != Kind::Vault {
        let key = if what.kind() == Kind::Agent { "agent" } else { "workload" };
        return Err(missing(&format!("{key}, since {} befalls one", what.as_str())));
    }
    let lasts = match lasts {
        Some(lasts) => lasts,
        None if what.is_momentary() => 1,
        None => return Err(missing("lasts")),
    };
    Ok(Happening { at, what, whom: whom.unwrap_or(Whom::Vault), lasts })
}

/// Seconds after the beginning: `"90h"`, or the time of then.
fn moment(line: Line<'_>, field: Field<'_>, scenario: &Scenario) -> Result<u64, Mistake> {
    let end = Duration::from_secs(u64::from(scenario.days) * 86_400);
    let after = text(field.1).and_then(|text| human::parse_duration(text).ok());
    let at = || read_as(field.1).filter(|at: &Timestamp| *at >= scenario.start);
    let after = after.or_else(|| Some(at()?.since(scenario.start)));
    let wanted = format!(
        "a time after the beginning, such as \"90h\", or a moment, from {} to {} later",
        scenario.start,
        human::duration(end)
    );
    let after = after.filter(|after| *after < end);
    Ok(after.ok_or_else(|| mistake(line, field, &wanted))?.as_secs())
}

/// A scenario as a file.
pub(super) fn write(scenario: &Scenario) -> String {
    let Scenario { seed, workloads, days, agents, start, agent_deadline, .. } = scenario;
    let mut text = format!(
        "seed = {seed}\nworkloads = {workloads}\ndays = {days}\nagents = {agents}\n\
         start = \"{start}\"\nagent_deadline = \"{}s\"\nchances = \"none\"\n",
        agent_deadline.as_secs()
    );
    if let Some(only) = &scenario.only {
        let only: Vec<String> = only.iter().map(ToString::to_string).collect();
        let _ = writeln!(text, "only = [{}]", only.join(", "));
    }
    for Happening { at, what, whom, lasts } in scenario.spelled_out().happenings {
        let _ = writeln!(text, "\n[[happens]]\nwhat = \"{}\"\nat = \"{at}s\"", what.as_str());
        let _ = match whom {
            Whom::Vault => Ok(()),
            Whom::Agent(number) => writeln!(text, "agent = {number}"),
            Whom::Workload(number) => writeln!(text, "workload = {number}"),
        };
        if !what.is_momentary() {
            let _ = writeln!(text, "lasts = \"{lasts}s\"");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE_DOWN: &str = "workloads = 50\ndays = 14\nagents = 1\nchances = \"none\"\n\
        [[happens]]\nwhat = \"link-down\"\nagent = 0\nat = \"90h\"\nlasts = \"3d\"\n";

    #[test]
    fn a_scenario_survives_its_text() {
        let scenario = parse(LINE_DOWN).unwrap();
        assert_eq!(parse(&write(&scenario)).unwrap(), scenario);
        let random = Scenario::of_everything(3, 30, 5).spelled_out();
        assert_eq!(parse(&write(&random)).unwrap(), random);
    }

    #[test]
    fn every_mistake_is_named_with_its_line_and_key() {
        let mistake = |text: &str| parse(text).unwrap_err();
        let begins = |text: &str, line: usize, words: &str| {
            let (at, said) = mistake(text);
            assert!(at == line && said.starts_with(words), "{text}: {at}: {said}");
        };
        begins("seed = 1\nworklods = 3\n", 2, "there is no key worklods; is workloads meant?");
        begins("days = 0\n", 1, "days is a number from 1 to 3660");
        begins("\nworkloads = \"many\"\n", 2, "workloads is a number from 1 to 100000");
        begins("start = \"2028\"\n", 1, "start is a time such as");
        begins("agent_deadline = \"soon\"\n", 1, "agent_deadline is a duration");
        begins("chances = \"some\"\n", 1, "chances is \"usual\", \"none\", or a section");
        begins(
            "[chances]\ncrash = \"20d\"\ncrush = \"1d\"\n",
            3,
            "there is no key crush; is crash",
        );
        begins("[chances]\ncrash = 7\n", 2, "crash is a duration");
        begins("only = [-1]\n", 1, "only is a list of numbers");
        begins("happens = 3\n", 1, "happens is sections");
        begins("[[happens]]\nat = \"1h\"\n", 1, "[[happens]] needs what");
        begins("[[happens]]\nwhat = \"flood\"\n", 2, "what is one of vault-restart, ");
        begins("[[happens]]\nwhat = \"crash\"\nat = \"1h\"\n", 1, "[[happens]] needs workload");
        begins("[[happens]]\nwhat = \"vault-down\"\nat = \"1h\"\n", 1, "[[happens]] needs lasts");
        begins("days = 1\n[[happens]]\nwhat = \"crash\"\nat = \"2d\"\n", 4, "at is a time after");
        begins(
            "workloads = 5\n[[happens]]\nwhat = \"crash\"\nat = \"1h\"\nworkload = 5\n",
            2,
            "[[happens]]: there is no workload 5",
        );
        begins("seed = = 1\n", 1, "");
    }
}
