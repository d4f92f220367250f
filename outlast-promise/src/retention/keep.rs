//! The rules of one policy as text: `last=5,daily=7,within=30d`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::span::{InvalidSpan, Span};

/// A kind of rule; by its name in policy and in results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    Last,
    Hourly,
    Daily,
    Weekly,
    Monthly,
    Yearly,
    Within,
    WithinHourly,
    WithinDaily,
    WithinWeekly,
    WithinMonthly,
    WithinYearly,
}

/// What is one kind of period, of which each has one keeper.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Period {
    /// Each point is one of its own.
    Point,
    Hour,
    Day,
    Week,
    Month,
    Year,
}

impl Rule {
    /// In the order in which they are said.
    pub const ALL: [Self; 12] = [
        Self::Last,
        Self::Hourly,
        Self::Daily,
        Self::Weekly,
        Self::Monthly,
        Self::Yearly,
        Self::Within,
        Self::WithinHourly,
        Self::WithinDaily,
        Self::WithinWeekly,
        Self::WithinMonthly,
        Self::WithinYearly,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Last => "last",
            Self::Hourly => "hourly",
            Self::Daily => "daily",
            Self::Weekly => "weekly",
            Self::Monthly => "monthly",
            Self::Yearly => "yearly",
            Self::Within => "within",
            Self::WithinHourly => "within-hourly",
            Self::WithinDaily => "within-daily",
            Self::WithinWeekly => "within-weekly",
            Self::WithinMonthly => "within-monthly",
            Self::WithinYearly => "within-yearly",
        }
    }

    pub(super) fn period(self) -> Period {
        match self {
            Self::Last | Self::Within => Period::Point,
            Self::Hourly | Self::WithinHourly => Period::Hour,
            Self::Daily | Self::WithinDaily => Period::Day,
            Self::Weekly | Self::WithinWeekly => Period::Week,
            Self::Monthly | Self::WithinMonthly => Period::Month,
            Self::Yearly | Self::WithinYearly => Period::Year,
        }
    }

    fn is_a_span(self) -> bool {
        self >= Self::Within
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Period {
    /// So many of them on end.
    pub(super) fn times(self, count: u32) -> Option<Span> {
        match self {
            Self::Point => None,
            Self::Hour => Some(Span::of(0, 0, count)),
            Self::Day => Some(Span::of(0, count, 0)),
            Self::Week => Some(Span::of(0, count.saturating_mul(7), 0)),
            Self::Month => Some(Span::of(count, 0, 0)),
            Self::Year => Some(Span::of(count.saturating_mul(12), 0, 0)),
        }
    }
}

/// How far a rule reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// So many periods that have a point.
    Count(u32),
    All,
    Span(Span),
}

/// What a policy keeps: at least one rule, at most one of each kind. As text, `last=5,daily=7,within=30d`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Keep {
    /// By rule.
    rules: Vec<(Rule, Reach)>,
}

/// Why nothing can be kept by a text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKeep {
    #[error("nothing would be kept: write at least one rule, such as daily=7")]
    Nothing,
    #[error(
        "{text:?} is no rule: write one of last, hourly, daily, weekly, monthly, yearly, within, \
         within-hourly, within-daily, within-weekly, within-monthly and within-yearly, then = and how \
         many or for how long, such as daily=7 or within=30d"
    )]
    Rule { text: String },
    #[error("{rule}={text:?} keeps no number of recovery points: write 1 or more, or unlimited")]
    Count { rule: Rule, text: String },
    #[error(transparent)]
    Span(#[from] InvalidSpan),
    #[error("{rule} is said twice")]
    Twice { rule: Rule },
}

impl Keep {
    const UNLIMITED: &str = "unlimited";

    pub(super) fn rules(&self) -> &[(Rule, Reach)] {
        &self.rules
    }
}

impl FromStr for Keep {
    type Err = InvalidKeep;

    fn from_str(text: &str) -> Result<Self, InvalidKeep> {
        let mut rules: Vec<(Rule, Reach)> = Vec::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let no_rule = || InvalidKeep::Rule { text: part.chars().take(80).collect() };
            let (name, amount) = part.split_once('=').ok_or_else(no_rule)?;
            let (name, amount) = (name.trim(), amount.trim());
            let known = Rule::ALL.into_iter().find(|rule| rule.as_str() == name);
            let rule = known.ok_or_else(no_rule)?;
            if rules.iter().any(|(other, _)| *other == rule) {
                return Err(InvalidKeep::Twice { rule });
            }
            rules.push((rule, reach(rule, amount)?));
        }
        if rules.is_empty() {
            return Err(InvalidKeep::Nothing);
        }
        rules.sort_unstable_by_key(|(rule, _)| *rule);
        Ok(Self { rules })
    }
}

fn reach(rule: Rule, text: &str) -> Result<Reach, InvalidKeep> {
    if rule.is_a_span() {
        return Ok(Reach::Span(text.parse()?));
    }
    if text == Keep::UNLIMITED {
        return Ok(Reach::All);
    }
    let invalid = || InvalidKeep::Count { rule, text: text.chars().take(80).collect() };
    let is_a_number = text.bytes().all(|byte| byte.is_ascii_digit());
    let count = text.parse().ok().filter(|count: &u32| is_a_number && *count > 0);
    count.map(Reach::Count).ok_or_else(invalid)
}

impl fmt::Display for Keep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (rule, reach)) in self.rules.iter().enumerate() {
            let comma = if place == 0 { "" } else { "," };
            write!(f, "{comma}{rule}=")?;
            match reach {
                Reach::Count(count) => write!(f, "{count}")?,
                Reach::All => f.write_str(Self::UNLIMITED)?,
                Reach::Span(span) => write!(f, "{span}")?,
            }
        }
        Ok(())
    }
}

impl TryFrom<String> for Keep {
    type Error = InvalidKeep;

    fn try_from(text: String) -> Result<Self, InvalidKeep> {
        text.parse()
    }
}

impl From<Keep> for String {
    fn from(keep: Keep) -> Self {
        keep.to_string()
    }
}
