//! What the ways would cost that were not taken: a product's agent on every server, and old servers that
//! run on until they are backed up.

use crate::churn::Churn;
use crate::cost::{PRICED_HOURS, WIRE};
use crate::description::{Description, Workload};
use crate::flaw::Flaw;
use crate::moments::MONTH_SECONDS;
use crate::prices::Prices;
use crate::share::GIB;

/// A way that was not taken, in a mean month of the first year.
#[derive(Debug, Clone, PartialEq)]
pub struct Alternative {
    pub key: &'static str,
    pub says: &'static str,
    pub month: f64,
    pub formula: &'static str,
    pub filled: String,
}

pub(crate) fn of(description: &Description, prices: &Prices) -> Result<Vec<Alternative>, Flaw> {
    let wish = &description.alternatives;
    let price = |wished: Option<f64>, key: &str| wished.map_or_else(|| prices.common(key), Ok);
    let licence = price(wish.licence_month, "licence_server_month")?;
    let server = price(wish.server_month, "server_month")?;
    let hour = price(wish.person_hour, "person_hour")?;
    let workloads = &description.workloads;
    let servers: f64 = workloads.iter().map(servers_of).sum();
    let replaced: f64 = workloads.iter().map(|it| servers_of(it) * it.releases).sum();
    let mut line = 0.0;
    for workload in workloads {
        line += line_of(workload, wish.full_every) * line_price(description, workload, prices)?;
    }
    let licences = servers * licence;
    let labour = replaced * wish.minutes_per_server / 60.0 * hour;
    let kept = replaced * wish.kept_hours / PRICED_HOURS * server;
    Ok(vec![
        Alternative {
            key: "agent_on_every_server",
            says: "a product's agent on every server, let in and taken out by hand",
            month: licences + labour + line,
            formula: "servers × licence + servers replaced × minutes × an hour's cost + bytes on the line",
            filled: format!(
                "{servers:.0} × {licence:.2} + {replaced:.0} × {:.0} min × {hour:.2}/h + {line:.2}",
                wish.minutes_per_server
            ),
        },
        Alternative {
            key: "old_servers_run_on",
            says: "a product's agents, and old servers run on until they are backed up",
            month: licences + kept + line,
            formula: "servers × licence + servers replaced × hours kept ÷ 730 × a server's month + bytes on the line",
            filled: format!(
                "{servers:.0} × {licence:.2} + {replaced:.0} × {:.0} h ÷ 730 × {server:.2} + {line:.2}",
                wish.kept_hours
            ),
        },
    ])
}

fn servers_of(workload: &Workload) -> f64 {
    f64::from(workload.count) * f64::from(workload.servers)
}

/// GiB that a product without our chunks sends in a month: a full backup now and then, and what changed on
/// the other days, both compressed.
fn line_of(workload: &Workload, full_every: f64) -> f64 {
    let churn = Churn::of(workload);
    let days = MONTH_SECONDS / 86_400.0;
    let fulls = days / full_every;
    let content = fulls * workload.size + (days - fulls) * churn.new_since(0.0, 86_400.0);
    f64::from(workload.count) * content * workload.compresses_to / GIB
}

fn line_price(
    description: &Description,
    workload: &Workload,
    prices: &Prices,
) -> Result<f64, Flaw> {
    let site = description.sites.iter().find(|site| site.name == workload.site);
    let Some(site) = site else { return Ok(0.0) };
    Ok(prices.here(site.cloud.as_str(), &site.region)?.price("line_gib")? * WIRE)
}
