//! `outlast plan`: what a setup will need, hold and cost, before it is there.

mod form;
mod said;
mod words;

use std::path::PathBuf;

use anyhow::Result;
use outlast_plan::{Description, Flaw, Impossible, Outcome, Plan, Prices};

use crate::exit::{Code, Usage};
use crate::output::Output;

const EXAMPLE: &str = include_str!("plan/example.toml");
const PRICES: &str = include_str!("plan/prices.toml");

/// Plan a setup: share, agent, line, vault and cost, month by month, and whether promises can be kept
///
/// Drops are made by the clocks of a zone and go over share, agent and line hour by hour; the vault forgets
/// by the very rules that it runs. Every number has its formula.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  outlast plan --example
  outlast plan --print-example > plan.toml
  outlast plan plan.toml --explain
  outlast plan plan.toml --prices prices.toml --json

Exit codes: 0 it can be; 1 it is impossible, with the reason; 2 the description or a price is not right.")]
#[command(group = clap::ArgGroup::new("what to plan").required(true))]
pub(crate) struct Args {
    /// What is to be protected, and how: TOML
    #[arg(value_name = "FILE", group = "what to plan")]
    description: Option<PathBuf>,
    /// Plan the example that comes with the program
    #[arg(long, group = "what to plan")]
    example: bool,
    /// Print the example, to make it yours
    #[arg(long, group = "what to plan")]
    print_example: bool,
    /// Print the price list that comes with the program, to make it yours
    #[arg(long, group = "what to plan")]
    print_prices: bool,
    /// A price list instead of the one that comes with the program
    #[arg(long, value_name = "FILE")]
    prices: Option<PathBuf>,
    /// Show the formula of every number, and where each price is from
    #[arg(long)]
    explain: bool,
}

pub(crate) fn run(arguments: &Args, output: &Output) -> Result<Code> {
    let printed = [(arguments.print_example, EXAMPLE), (arguments.print_prices, PRICES)];
    if let Some((_, text)) = printed.into_iter().find(|(is_wanted, _)| *is_wanted) {
        text.lines().try_for_each(|line| output.line(line))?;
        return Ok(Code::Done);
    }
    let description = match &arguments.description {
        Some(file) => form::read(file)?,
        None => form::understand(EXAMPLE, "the example")?,
    };
    let prices = match &arguments.prices {
        Some(file) => form::read_prices(file)?,
        None => form::understand_prices(PRICES, "the built-in prices")?,
    };
    match make(&description, &prices, output)? {
        Ok(plan) => show(arguments, &description, &prices, &plan, output),
        Err(impossible) => {
            words::impossible(&impossible, output)?;
            Ok(Code::Failed)
        }
    }
}

/// Makes the plan, or says why there can be none.
fn make(
    description: &Description,
    prices: &Prices,
    output: &Output,
) -> Result<std::result::Result<Box<Plan>, Vec<Impossible>>> {
    let planned =
        output.patiently("the months to pass", || outlast_plan::plan(description, prices));
    match planned {
        Ok(Outcome::Possible(plan)) => Ok(Ok(plan)),
        Ok(Outcome::Impossible(impossible)) => Ok(Err(impossible)),
        Err(flaws) => {
            let lines: Vec<String> = flaws.iter().map(Flaw::to_string).collect();
            Err(Usage(format!("no plan can be made of this:\n  {}", lines.join("\n  "))).into())
        }
    }
}

fn show(
    arguments: &Args,
    description: &Description,
    prices: &Prices,
    plan: &Plan,
    output: &Output,
) -> Result<Code> {
    words::show(plan, output)?;
    if arguments.explain {
        output.gap()?;
        words::explain(description, plan, prices, output)?;
    } else {
        output.remark("--explain shows the formula of every number; they are estimates by list prices, so check those");
    }
    Ok(Code::Done)
}
