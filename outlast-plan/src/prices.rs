//! Prices by cloud and region, each with where it comes from.

use std::collections::{BTreeMap, BTreeSet};

use crate::flaw::Flaw;

/// A price list.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Prices {
    pub currency: String,
    /// As of when, `2026-06-13`.
    pub date: String,
    /// By cloud and region.
    pub regions: BTreeMap<(String, String), Region>,
    /// What is the same everywhere.
    pub common: BTreeMap<String, Price>,
}

/// What things cost in one region.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Region {
    pub items: BTreeMap<String, Price>,
    pub vms: Vec<Vm>,
}

/// One price.
#[derive(Debug, Clone, PartialEq)]
pub struct Price {
    pub is: f64,
    pub source: String,
    /// Nobody has looked it up.
    pub is_supposed: bool,
}

/// A virtual machine that one can have.
#[derive(Debug, Clone, PartialEq)]
pub struct Vm {
    pub name: String,
    pub cpus: f64,
    /// The part of each processor that it may use for ever.
    pub baseline: f64,
    /// How fast one processor is beside that of docs/benchmarks.md.
    pub speed: f64,
    pub memory: f64,
    pub month: Price,
}

/// The prices of one region, and what is the same everywhere.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Here<'a> {
    pub(crate) region: &'a Region,
    prices: &'a Prices,
    cloud: &'a str,
    name: &'a str,
}

impl Prices {
    /// What is no price, each with its key.
    pub fn flaws(&self) -> Vec<Flaw> {
        let mut flaws = Vec::new();
        let judge = |key: String, value: f64| {
            let is_one = value.is_finite() && value >= 0.0;
            let flaw = || Flaw::new(key, format!("is {value}"), "write a price of 0 or more");
            (!is_one).then(flaw)
        };
        for (key, price) in &self.common {
            flaws.extend(judge(format!("prices: [common] {key}"), price.is));
        }
        for ((cloud, region), here) in &self.regions {
            for (key, price) in &here.items {
                flaws.extend(judge(format!("prices: [{cloud}.{region}.prices] {key}"), price.is));
            }
            for vm in &here.vms {
                let key = format!("prices: [{cloud}.{region}] vm {:?}: month", vm.name);
                flaws.extend(judge(key, vm.month.is));
                let is_one = vm.cpus > 0.0 && vm.speed > 0.0 && (0.0..=1.0).contains(&vm.baseline);
                if !is_one || vm.memory <= 0.0 {
                    flaws.push(Flaw::new(
                        format!("prices: [{cloud}.{region}] vm {:?}", vm.name),
                        "has no processors, speed or memory",
                        "write cpus, speed and memory above 0, and a baseline from 0 to 1",
                    ));
                }
            }
        }
        flaws
    }

    pub(crate) fn here<'a>(&'a self, cloud: &'a str, name: &'a str) -> Result<Here<'a>, Flaw> {
        let found = self.regions.get(&(cloud.to_owned(), name.to_owned()));
        let region = found.ok_or_else(|| {
            let of_cloud = self.regions.keys().filter(|(of, _)| of == cloud);
            let known: Vec<&str> = of_cloud.map(|(_, name)| name.as_str()).collect();
            Flaw::new(
                "region",
                format!("{name:?} is not in the prices of {cloud}"),
                match known.as_slice() {
                    [] => format!(
                        "add [{cloud}.{name}.prices] and [[{cloud}.{name}.vm]] to the file of --prices"
                    ),
                    [first, ..] => format!(
                        "known are: {}. To add it, print the prices by --print-prices, copy what begins with \
                         [{cloud}.{first} as {cloud}.{name}, write that region's prices there, and give the file \
                         to --prices",
                        known.join(", ")
                    ),
                },
            )
        })?;
        Ok(Here { region, prices: self, cloud, name })
    }

    /// Prices that nobody has looked up, among those of these regions and machines, and those that are the same
    /// everywhere.
    pub(crate) fn supposed<'a>(
        &self,
        used: impl IntoIterator<Item = (&'a str, &'a str, &'a str)>,
    ) -> Vec<String> {
        let mut found = BTreeSet::new();
        let mut look = |key: String, price: &Price| {
            if price.is_supposed {
                found.insert(key);
            }
        };
        for (cloud, name, machine) in used {
            let Some(region) = self.regions.get(&(cloud.to_owned(), name.to_owned())) else {
                continue;
            };
            for (key, price) in &region.items {
                look(format!("{cloud}.{name}.{key}"), price);
            }
            for vm in region.vms.iter().filter(|vm| vm.name == machine) {
                look(format!("{cloud}.{name}.{}", vm.name), &vm.month);
            }
        }
        for (key, price) in &self.common {
            look(format!("common.{key}"), price);
        }
        found.into_iter().collect()
    }

    /// A price that is the same everywhere.
    pub(crate) fn common(&self, key: &str) -> Result<f64, Flaw> {
        self.common.get(key).map(|price| price.is).ok_or_else(|| {
            let todo = format!("add {key} to [common] in the file of --prices");
            Flaw::new(format!("prices: {key}"), "is missing", todo)
        })
    }
}

impl Here<'_> {
    pub(crate) fn price(&self, key: &str) -> Result<f64, Flaw> {
        let Self { region, prices, cloud, name } = self;
        let found = region.items.get(key).or_else(|| prices.common.get(key));
        found.map(|price| price.is).ok_or_else(|| {
            let todo = format!("add {key} to [{cloud}.{name}.prices] in the file of --prices");
            Flaw::new(format!("prices: {key}"), format!("is missing for {cloud} {name}"), todo)
        })
    }
}
