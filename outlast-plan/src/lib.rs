//! What a setup will need, hold and cost: pure.
//!
//! A [`Description`] and [`Prices`] go in, a [`Plan`] comes out, or why there can be none ([`Outcome`]). Nothing
//! is measured, asked or guessed here: drops are made by the clocks of a zone (`moments`), each with what
//! is new in it (`churn`); they go over share, agent and line hour by hour (`flow`), on each kind of share
//! that could be had (`share`, `site`); the vault forgets by the very rules that it runs ([`outlast_promise::plan`],
//! `history`). Every number has the formula that it comes from ([`Figure`]).

mod agent;
mod alternatives;
mod buying;
mod churn;
mod cost;
mod description;
mod figure;
mod figures;
mod flaw;
mod flow;
mod history;
mod measured;
mod moments;
mod month;
mod outage;
mod plan;
mod prices;
mod share;
mod site;

pub use alternatives::Alternative;
pub use cost::{Costs, Part};
pub use description::{Alternatives, Cloud, Description, Line, Mode, Site, Workload};
pub use figure::{Figure, Unit, grouped, show, size};
pub use flaw::{Flaw, Impossible};
pub use flow::{Hour, Slowest};
pub use measured::{Expected, Made, Said, expected, measured};
pub use month::Month;
pub use plan::{Outcome, Plan, SitePlan, WeekHour, Weekday, plan};
pub use prices::{Price, Prices, Region, Vm};
pub use site::ModePlan;

#[cfg(test)]
mod tests;
