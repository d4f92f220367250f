//! How large the agent's host must be, and the disks beside it.

use crate::churn::CHUNK;
use crate::description::Site;
use crate::flaw::{Flaw, Impossible};
use crate::prices::{Here, Vm};
use crate::share::GIB;

/// Seconds of one core for a GiB that is read, and for one that is new besides: docs/benchmarks.md, with
/// what the kernel needs.
pub(crate) const READ_SECONDS: f64 = 0.65;
pub(crate) const NEW_SECONDS: f64 = 4.4;
/// Bytes of memory: the system, the agent, and each of the drops that are read at a time.
pub(crate) const MEMORY_SYSTEM: f64 = 384.0 * 1_048_576.0;
pub(crate) const MEMORY_AGENT: f64 = 96.0 * 1_048_576.0;
pub(crate) const MEMORY_LOAD: f64 = 128.0 * 1_048_576.0;
/// Drops that are read at a time.
pub(crate) const LOADS: f64 = 2.0;
/// Bytes of the agent's own disk for each chunk that the vault holds, and the least that one rents.
pub(crate) const STATE_CHUNK: f64 = 140.0;
pub(crate) const DISK_LEAST: f64 = 8.0 * GIB;

/// Seconds of one core for a drop.
pub(crate) fn seconds(content: f64, new: f64) -> f64 {
    content / GIB * READ_SECONDS + new / GIB * NEW_SECONDS
}

/// Bytes of memory.
pub(crate) fn memory() -> f64 {
    MEMORY_SYSTEM + MEMORY_AGENT + MEMORY_LOAD * LOADS
}

/// Bytes of disk for what the agent remembers of so much content.
pub(crate) fn disk(unique: f64) -> f64 {
    (unique / CHUNK * STATE_CHUNK * 2.0).max(DISK_LEAST)
}

/// The cheapest machine that is large enough for a day that needs so many seconds of one core.
pub(crate) fn choose<'a>(
    site: &Site,
    prices: Here<'a>,
    day: f64,
) -> Result<Result<&'a Vm, Impossible>, Flaw> {
    let vms = &prices.region.vms;
    if vms.is_empty() {
        return Err(Flaw::new(
            "prices: vm",
            format!("is missing for {} {}", site.cloud.as_str(), site.region),
            format!("add [[{}.{}.vm]] to the file of --prices", site.cloud.as_str(), site.region),
        ));
    }
    if let Some(name) = &site.vm {
        let known: Vec<&str> = vms.iter().map(|vm| vm.name.as_str()).collect();
        let vm = vms.iter().find(|vm| vm.name == *name).ok_or_else(|| {
            let is = format!("is {name:?}, and there is no price for one");
            let todo = format!("name one of {}, or add it to the prices", known.join(", "));
            Flaw::new(format!("site {:?}: agent.vm", site.name), is, todo)
        })?;
        return Ok(fits(vm, site, day).map(|()| vm));
    }
    let large = vms.iter().filter(|vm| fits(vm, site, day).is_ok());
    let cheapest = large.min_by(|a, b| a.month.is.total_cmp(&b.month.is));
    Ok(cheapest.ok_or_else(|| Impossible {
        site: site.name.clone(),
        why: format!(
            "no machine in the prices reads a day's drops, {:.1} core hours, within {} h",
            day / 3600.0,
            site.reading_hours
        ),
        helps: "add a larger vm to the prices, or raise agent.reading".to_owned(),
    }))
}

/// Whether it is large enough, or why not.
fn fits(vm: &Vm, site: &Site, day: f64) -> Result<(), Impossible> {
    let no = |why: String, helps: &str| {
        Err(Impossible { site: site.name.clone(), why, helps: helps.to_owned() })
    };
    let helps = "name a larger agent.vm, or leave it out for the cheapest that is large enough";
    let speed = vm.cpus * vm.speed;
    let hours = day / speed / 3600.0;
    if vm.memory < memory() {
        let why = format!(
            "{} has {:.2} GiB, and {:.2} GiB are needed",
            vm.name,
            vm.memory / GIB,
            memory() / GIB
        );
        no(why, helps)
    } else if hours > site.reading_hours {
        let why = format!(
            "{} reads a day's drops in {hours:.1} h, not in {}",
            vm.name, site.reading_hours
        );
        no(why, helps)
    } else if day > 86_400.0 * speed * vm.baseline {
        let part = day / (86_400.0 * speed);
        let why = format!(
            "{} may be busy {:.0} % of the time, and {:.0} % are needed",
            vm.name,
            vm.baseline * 100.0,
            part * 100.0
        );
        no(why, helps)
    } else {
        Ok(())
    }
}
