//! Descriptions and prices as files: TOML, of which each mistake is named with its line and key.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use outlast_civil::{Calendar, Rate, Zone};
use outlast_fs::durable;
use outlast_plan::{
    Alternatives, Cloud, Description, Line, Mode, Price, Prices, Region, Site, Vm, Workload,
};
use outlast_promise::Keep;
use serde::Deserialize;

use super::said::{Clock, Month, Part, Size, Span, Word};
use crate::exit::Usage;

/// A file that is longer is a mistake.
const BYTES_MAX: u64 = 4 << 20;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    #[serde(default)]
    title: Option<String>,
    start: Month,
    #[serde(default = "three_years")]
    months: u32,
    #[serde(default)]
    zone: Option<Word<Zone>>,
    #[serde(default)]
    vault: VaultForm,
    #[serde(default, rename = "site")]
    sites: Vec<SiteForm>,
    #[serde(default, rename = "workload")]
    workloads: Vec<WorkloadForm>,
    #[serde(default)]
    alternatives: AlternativesForm,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct VaultForm {
    #[serde(default)]
    copies: Option<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SiteForm {
    name: String,
    cloud: CloudForm,
    region: String,
    #[serde(default)]
    share: ShareForm,
    #[serde(default)]
    agent: AgentForm,
    #[serde(default)]
    media: MediaForm,
    line: LineForm,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum CloudForm {
    Aws,
    Azure,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ShareForm {
    #[serde(default)]
    mode: Option<ModeForm>,
    #[serde(default)]
    one_zone: bool,
    #[serde(default)]
    keep: Option<u32>,
    #[serde(default)]
    poll: Option<Span>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum ModeForm {
    Auto,
    EfsBursting,
    EfsProvisioned,
    EfsElastic,
    AzureSmbStandard,
    AzureSmbPremium,
    AzureNfs,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct AgentForm {
    #[serde(default)]
    vm: Option<String>,
    #[serde(default)]
    reading: Option<Span>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct MediaForm {
    #[serde(default)]
    servers: Option<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LineForm {
    rate: Word<Rate>,
    #[serde(default)]
    calendar: Vec<String>,
    #[serde(default)]
    zone: Option<Word<Zone>>,
    #[serde(default)]
    outage: Option<Span>,
    #[serde(default)]
    month: Option<f64>,
    #[serde(default)]
    seed: SeedForm,
}

#[derive(Debug, Default, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum SeedForm {
    #[default]
    Line,
    Disk,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WorkloadForm {
    name: String,
    #[serde(default)]
    site: Option<String>,
    #[serde(default = "one")]
    count: u32,
    size: Size,
    #[serde(default)]
    growth: Option<Part>,
    change: Part,
    #[serde(default)]
    edit: Option<Size>,
    #[serde(default)]
    compresses_to: Option<Part>,
    #[serde(default = "yes")]
    compress: bool,
    #[serde(default = "one")]
    drops_a_day: u32,
    #[serde(default)]
    at: Option<Clock>,
    #[serde(default)]
    keep: Option<Word<Keep>>,
    #[serde(default)]
    within: Option<Span>,
    #[serde(default = "one")]
    servers: u32,
    #[serde(default)]
    releases: f64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct AlternativesForm {
    #[serde(default)]
    licence_month: Option<f64>,
    #[serde(default)]
    server_month: Option<f64>,
    #[serde(default)]
    person_hour: Option<f64>,
    #[serde(default)]
    minutes_per_server: Option<f64>,
    #[serde(default)]
    kept: Option<Span>,
    #[serde(default)]
    full_every: Option<Span>,
}

fn yes() -> bool {
    true
}

fn one() -> u32 {
    1
}

fn three_years() -> u32 {
    36
}

/// Reads a description from a file.
pub(super) fn read(file: &Path) -> Result<Description> {
    understand(&text_of(file)?, &file.display().to_string())
}

/// Reads a price list from a file.
pub(super) fn read_prices(file: &Path) -> Result<Prices> {
    understand_prices(&text_of(file)?, &file.display().to_string())
}

fn text_of(file: &Path) -> Result<String> {
    let content = durable::read_bounded(file, BYTES_MAX)
        .with_context(|| format!("cannot read {}", file.display()))?;
    let text = String::from_utf8(content);
    text.map_err(|_| Usage(format!("{} is no text: write TOML in UTF-8", file.display())).into())
}

/// Understands a description; `name` is where it is from.
pub(super) fn understand(text: &str, name: &str) -> Result<Description> {
    let form: Form = parse(text, name)?;
    let sites: Vec<Site> =
        form.sites.into_iter().map(|site| site_of(site, name)).collect::<Result<_>>()?;
    let only = match sites.as_slice() {
        [site] => Some(site.name.clone()),
        _ => None,
    };
    let workloads = form.workloads.into_iter().map(|it| workload_of(it, only.as_deref(), name));
    let alternatives = form.alternatives;
    Ok(Description {
        title: form.title.unwrap_or_else(|| "Plan".to_owned()),
        start: form.start.0,
        months: form.months,
        zone: form.zone.map_or_else(Zone::utc, |zone| zone.0),
        workloads: workloads.collect::<Result<_>>()?,
        sites,
        copies: form.vault.copies.unwrap_or(1),
        alternatives: Alternatives {
            licence_month: alternatives.licence_month,
            server_month: alternatives.server_month,
            person_hour: alternatives.person_hour,
            minutes_per_server: alternatives.minutes_per_server.unwrap_or(10.0),
            kept_hours: alternatives.kept.map_or(24.0, |span| span.hours()),
            full_every: alternatives.full_every.map_or(7.0, |span| span.hours() / 24.0),
        },
    })
}

fn site_of(form: SiteForm, name: &str) -> Result<Site> {
    let SiteForm { share, line, .. } = form;
    let zone = line.zone.as_ref().map_or("UTC", |zone| zone.0.name());
    let rules = line.calendar.iter().map(String::as_str);
    let calendar = Calendar::new(line.rate.0, rules, zone).map_err(|error| {
        Usage(format!("cannot understand {name}: site {:?}: line.calendar: {error}", form.name))
    })?;
    let mut said = vec![line.rate.0.to_string()];
    said.extend(line.calendar.iter().cloned());
    let mode = share.mode.and_then(|mode| match mode {
        ModeForm::Auto => None,
        ModeForm::EfsBursting => Some(Mode::Bursting),
        ModeForm::EfsProvisioned => Some(Mode::Provisioned),
        ModeForm::EfsElastic => Some(Mode::Elastic),
        ModeForm::AzureSmbStandard => Some(Mode::SmbStandard),
        ModeForm::AzureSmbPremium => Some(Mode::SmbPremium),
        ModeForm::AzureNfs => Some(Mode::NfsPremium),
    });
    Ok(Site {
        name: form.name,
        cloud: match form.cloud {
            CloudForm::Aws => Cloud::Aws,
            CloudForm::Azure => Cloud::Azure,
        },
        region: form.region,
        mode,
        one_zone: share.one_zone,
        keep: share.keep.unwrap_or(2),
        poll: share.poll.map_or(30.0, |span| span.hours() * 3600.0),
        reading_hours: form.agent.reading.map_or(8.0, |span| span.hours()),
        vm: form.agent.vm,
        media_servers: form.media.servers.unwrap_or(1),
        line: Line {
            calendar,
            said: said.join("; "),
            outage: line.outage.map_or(48.0, |span| span.hours()),
            month: line.month,
            seeded_by_disk: matches!(line.seed, SeedForm::Disk),
        },
    })
}

fn workload_of(form: WorkloadForm, only: Option<&str>, name: &str) -> Result<Workload> {
    let site = form.site.or_else(|| only.map(str::to_owned)).ok_or_else(|| {
        let which = format!("workload {:?}: site is missing", form.name);
        Usage(format!("cannot understand {name}: {which}; name one of the sites"))
    })?;
    Ok(Workload {
        name: form.name,
        site,
        count: form.count,
        size: form.size.0,
        growth: form.growth.map_or(0.0, |part| part.0),
        change: form.change.0,
        edit: form.edit.map(|size| size.0),
        compresses_to: form.compresses_to.map_or(1.0, |part| part.0),
        is_compressed_on_share: form.compress,
        drops_a_day: form.drops_a_day,
        at: form.at.map_or(120, |at| at.0),
        keep: form.keep.map(|keep| keep.0),
        within: form.within.map_or(24.0, |span| span.hours()),
        servers: form.servers,
        releases: form.releases,
    })
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PricesForm {
    date: String,
    currency: String,
    #[serde(default)]
    aws: BTreeMap<String, RegionForm>,
    #[serde(default)]
    azure: BTreeMap<String, RegionForm>,
    #[serde(default)]
    common: BTreeMap<String, PriceForm>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RegionForm {
    #[serde(default)]
    vm: Vec<VmForm>,
    #[serde(default)]
    prices: BTreeMap<String, PriceForm>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PriceForm {
    is: f64,
    #[serde(default)]
    source: String,
    #[serde(default)]
    supposed: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct VmForm {
    name: String,
    cpus: f64,
    baseline: f64,
    speed: f64,
    memory: Size,
    month: PriceForm,
}

/// Understands a price list; `name` is where it is from.
pub(super) fn understand_prices(text: &str, name: &str) -> Result<Prices> {
    let form: PricesForm = parse(text, name)?;
    let price =
        |form: PriceForm| Price { is: form.is, source: form.source, is_supposed: form.supposed };
    let items = |items: BTreeMap<String, PriceForm>| {
        items.into_iter().map(|(key, form)| (key, price(form))).collect()
    };
    let mut regions = BTreeMap::new();
    for (cloud, of_cloud) in [(Cloud::Aws, form.aws), (Cloud::Azure, form.azure)] {
        for (name, region) in of_cloud {
            let vms = region.vm.into_iter().map(|vm| Vm {
                name: vm.name,
                cpus: vm.cpus,
                baseline: vm.baseline,
                speed: vm.speed,
                memory: vm.memory.0,
                month: price(vm.month),
            });
            let region = Region { vms: vms.collect(), items: items(region.prices) };
            regions.insert((cloud.as_str().to_owned(), name), region);
        }
    }
    Ok(Prices { currency: form.currency, date: form.date, regions, common: items(form.common) })
}

/// Parses a file; a mistake is told with its line, and the key that is on it.
fn parse<T: for<'a> Deserialize<'a>>(text: &str, name: &str) -> Result<T> {
    toml::from_str(text).map_err(|error| {
        let place = error.span().map_or(0, |span| span.start);
        let before = &text[..text.floor_char_boundary(place)];
        let number = 1 + before.matches('\n').count();
        let line = text.lines().nth(number - 1).unwrap_or_default();
        let key = line.split_once('=').map_or(line, |(key, _)| key).trim();
        let key = if key.is_empty() { String::new() } else { format!(": {key}") };
        Usage(format!("cannot understand {name}, line {number}{key}: {}", error.message())).into()
    })
}
