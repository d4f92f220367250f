//! All that happens in a scenario, in the order in which the vault hears of it.

use std::collections::BTreeMap;

use outlast_types::{DropId, ShareId};

use super::happening::{Happening, Whom};
use super::infrastructure::Infrastructure;
use super::life::{Life, Mark, World};
use super::product::{Lying, Product, Told};
use super::scenario::Scenario;

/// A history.
pub(crate) struct History {
    pub(crate) infrastructure: Infrastructure,
    pub(crate) lives: Vec<Life>,
    pub(crate) happenings: u64,
    /// What each agent tells of the directory in which it hands drops over.
    pub(crate) handed: Vec<Vec<(u64, Told)>>,
}

impl History {
    pub(crate) fn of(scenario: &Scenario) -> Self {
        let happenings = scenario.all_happenings();
        let infrastructure = Infrastructure::of(scenario, &happenings);
        let mut by_workload: BTreeMap<u32, Vec<Happening>> = BTreeMap::new();
        for happening in &happenings {
            if let Whom::Workload(number) = happening.whom {
                by_workload.entry(number).or_default().push(*happening);
            }
        }
        let products = 0..infrastructure.agents.len();
        let products: Vec<Product> = products
            .map(|agent| Product::of(agent, scenario, &infrastructure, &happenings))
            .collect();
        let world = World { scenario, infrastructure: &infrastructure, products: &products };
        let life = |number: u32| {
            world.life(number, by_workload.get(&number).map_or(&[][..], Vec::as_slice))
        };
        let lives: Vec<Life> = scenario.played().into_iter().filter_map(life).collect();
        let told = |(agent, product): (usize, &Product)| {
            let its = lives.iter().filter(|life| life.agent == agent);
            let lying: Vec<Lying> = its.flat_map(|life| life.lying.iter().copied()).collect();
            product.told(&infrastructure, &lying)
        };
        let handed = products.iter().enumerate().map(told).collect();
        Self { infrastructure, lives, happenings: happenings.len() as u64, handed }
    }

    /// All that is heard of workloads: when, of which, what.
    pub(crate) fn marks(&self) -> Vec<(u64, usize, Mark)> {
        let of = |(index, life): (usize, &Life)| {
            life.marks.iter().map(move |(at, mark)| (*at, index, *mark)).collect::<Vec<_>>()
        };
        let mut marks: Vec<_> = self.lives.iter().enumerate().flat_map(of).collect();
        marks.sort_by_key(|(at, ..)| *at);
        marks
    }
}

/// The share of an agent.
pub(crate) fn share_of(agent: u32) -> Option<ShareId> {
    format!("7c6f0b6e-3c39-4f0e-9d53-{agent:012x}").parse().ok()
}

/// The id of the drop of a workload that has this number among its drops.
pub(crate) fn handed_of(workload: usize, drop: u32) -> Option<DropId> {
    drop_of((1 << 47) | ((workload as u64) << 24) | u64::from(drop))
}

/// A drop's id that nobody else has.
pub(crate) fn drop_of(number: u64) -> Option<DropId> {
    format!("01890a5d-ac96-774b-bcce-{number:012x}").parse().ok()
}
