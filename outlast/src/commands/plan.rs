//! `outlast plan`: what a setup will need, hold and cost, before it is there.

mod export;
mod form;
mod html;
mod plot;
mod said;
mod vault;
mod words;

use std::path::PathBuf;

use anyhow::{Context, Result};
use outlast_fs::durable;
use outlast_plan::{Description, Flaw, Impossible, Outcome, Plan, Prices};

use outlast_types::{Clock, SystemClock};

use super::vault_access::MaybeVault;
use crate::exit::{Code, Usage};
use crate::output::Output;

const EXAMPLE: &str = include_str!("plan/example.toml");
const PRICES: &str = include_str!("plan/prices.toml");

/// Plan share, agent, line, vault and cost, and whether promises can be kept
///
/// Drops are made by the clocks of a zone and go over share, agent and line hour by hour; the vault forgets
/// by the very rules that it runs. Every number has its formula.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  outlast plan --example
  outlast plan --print-example > plan.toml
  outlast plan plan.toml --explain
  outlast plan plan.toml --prices prices.toml --html plan.html
  outlast plan plan.toml --json
  outlast plan --from-vault --dir ./outlast-data
  outlast plan plan.toml --against-vault --dir ./outlast-data

Exit codes: 0 it can be; 1 it is impossible, with the reason; 2 the description or a price is not right.")]
#[command(group = clap::ArgGroup::new("what to plan").required(true).multiple(true))]
pub(crate) struct Args {
    /// What is to be protected, and how: TOML
    #[arg(value_name = "FILE", group = "what to plan")]
    description: Option<PathBuf>,
    /// Plan the example that comes with the program
    #[arg(long, group = "what to plan", conflicts_with_all = ["description", "from_vault"])]
    example: bool,
    /// Print the example, to make it yours
    #[arg(long, group = "what to plan")]
    print_example: bool,
    /// Print the price list that comes with the program, to make it yours
    #[arg(long, group = "what to plan")]
    print_prices: bool,
    /// Plan the workloads that a running vault has, as it measured them; sites and lines are from FILE
    #[arg(long, group = "what to plan")]
    from_vault: bool,
    /// Print what the vault measured as sections of a description
    #[arg(long, requires = "from_vault")]
    print_measured: bool,
    /// Tell the plan in FILE beside what a running vault has
    #[arg(long, requires = "description", conflicts_with = "from_vault")]
    against_vault: bool,
    #[command(flatten)]
    vault: MaybeVault,
    /// A price list instead of the one that comes with the program
    #[arg(long, value_name = "FILE")]
    prices: Option<PathBuf>,
    /// Show the formula of every number, and where each price is from
    #[arg(long)]
    explain: bool,
    /// Write the plan as a page into this file
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Print a table with a line for each month
    #[arg(long)]
    csv: bool,
}

pub(crate) fn run(arguments: &Args, output: &Output) -> Result<Code> {
    let printed = [(arguments.print_example, EXAMPLE), (arguments.print_prices, PRICES)];
    if let Some((_, text)) = printed.into_iter().find(|(is_wanted, _)| *is_wanted) {
        text.lines().try_for_each(|line| output.line(line))?;
        return Ok(Code::Done);
    }
    let mut description = match &arguments.description {
        Some(file) => form::read(file)?,
        None if arguments.from_vault => form::understand(&skeleton(), "the site that is supposed")?,
        None => form::understand(EXAMPLE, "the example")?,
    };
    if arguments.from_vault || arguments.against_vault {
        let told = ask(arguments, output)?;
        if arguments.against_vault {
            vault::compare(&description, &told, SystemClock.now(), output)?;
            return Ok(Code::Done);
        }
        vault::merge(&mut description, told, output);
        if arguments.print_measured {
            let text = vault::as_toml(&description.workloads);
            text.lines().try_for_each(|line| output.line(line))?;
            return Ok(Code::Done);
        }
    }
    let prices = match &arguments.prices {
        Some(file) => form::read_prices(file)?,
        None => form::understand_prices(PRICES, "the built-in prices")?,
    };
    match make(&description, &prices)? {
        Ok(plan) => show(arguments, &description, &prices, &plan, output),
        Err(impossible) => {
            words::impossible(&impossible, output)?;
            Ok(Code::Failed)
        }
    }
}

/// Where workloads of a vault are supposed to be if nobody says it.
fn skeleton() -> String {
    let now = SystemClock.now().to_string();
    let month = now.get(..7).unwrap_or("2027-01");
    format!(
        "title = \"What the vault measured\"\nstart = \"{month}\"\n[[site]]\nname = \"site\"\ncloud = \"aws\"\n\
         region = \"us-east-1\"\n[site.line]\nrate = \"100Mbit/s\"\n"
    )
}

fn ask(arguments: &Args, output: &Output) -> Result<Vec<vault::Told>> {
    let access = arguments.vault.access().ok_or_else(|| {
        Usage("name the vault by --vault URL --identity DIR, or by --dir DIR".to_owned())
    })?;
    let client = access.client()?;
    output.patiently(client.location(), || vault::ask(&client))
}

/// Makes the plan, or says why there can be none.
fn make(
    description: &Description,
    prices: &Prices,
) -> Result<std::result::Result<Box<Plan>, Vec<Impossible>>> {
    match outlast_plan::plan(description, prices) {
        Ok(Outcome::Possible(plan)) => Ok(Ok(plan)),
        Ok(Outcome::Impossible(impossible)) => Ok(Err(impossible)),
        Err(flaws) => {
            let lines: Vec<String> = flaws.iter().map(Flaw::to_string).collect();
            Err(Usage(format!("no plan can be made of this: {}", lines.join(". Also: "))).into())
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
    if let Some(file) = &arguments.html {
        durable::replace(file, html::of(plan).as_bytes(), 0o644)
            .with_context(|| format!("cannot write {}", file.display()))?;
        output.remark(format_args!("the plan is in {}: look at it in a browser", file.display()));
    }
    if output.is_json() {
        output.json(&export::document(plan))?;
        return Ok(Code::Done);
    }
    if arguments.csv {
        export::csv(plan).iter().try_for_each(|line| output.line(line))?;
        return Ok(Code::Done);
    }
    words::show(plan, output)?;
    if arguments.explain {
        output.gap()?;
        words::explain(description, plan, prices, output)?;
    } else {
        output.remark("--explain shows the formula of every number; they are estimates by list prices, so check those");
    }
    Ok(Code::Done)
}
