//! Workloads as they are shown: each by itself, and those that consist of others.

use std::collections::BTreeMap;

use outlast_promise::{ServiceStatus, State as PromiseState, WorkloadStatus};
use outlast_types::{Timestamp, WorkloadName};
use outlast_wire::Certified;
use outlast_wire::api::{
    DeclaredView, DoubtfulDrop, MemberView, PagesWait, ToldView, WorkloadView,
};

use crate::core::error::VaultError;
use crate::core::vault::Vault;

/// All workloads that are granted to `asker`, by name.
pub(super) fn granted(vault: &Vault, asker: &Certified) -> Result<Vec<WorkloadView>, VaultError> {
    let is_granted = |name: &WorkloadName| vault.is_granted(asker, name);
    let mut views = views(vault)?;
    views.retain(|view| is_granted(&view.name));
    for view in &mut views {
        view.members.retain(|member| is_granted(&member.name));
        view.unlisted.retain(is_granted);
        view.member_of.take_if(|service| !is_granted(service));
    }
    Ok(views)
}

fn views(vault: &Vault) -> Result<Vec<WorkloadView>, VaultError> {
    let totals = vault.promises.catalog().totals()?;
    let incidents = vault.promises.open_incidents();
    let orders = vault.orders.newest();
    let now = vault.environment.clock.now();
    let view = |status: WorkloadStatus| WorkloadView {
        told: Some(told(vault, &status, now)),
        until: status.until,
        retired: status.retired,
        reason: match status.state {
            PromiseState::Paused | PromiseState::Retiring | PromiseState::Retired => {
                orders.get(&status.workload).and_then(|order| order.reason.clone())
            }
            _ => None,
        },
        state: status.state.as_str().to_owned(),
        owner: Some(status.promise.owner().to_owned()),
        owner_from: Some(status.owner_from.to_string()),
        rpo_seconds: status.promise.rpo().map(|rpo| rpo.as_secs()),
        rpo_from: Some(status.rpo_from.to_string()),
        last_vaulted: status.last_vaulted,
        last_confirmed: status.last_confirmed,
        last_safe: status.last_safe,
        safe: Some(status.promise.class().safe.to_string()),
        snapshots: totals.get(&status.workload).map_or(0, |totals| totals.snapshots),
        open_incidents: incidents.get(&status.workload).copied().unwrap_or(0),
        suspect: status.suspect.map(|(drop, received, reason)| DoubtfulDrop {
            drop,
            received: Some(received),
            reason,
        }),
        quarantine: status
            .quarantine
            .into_iter()
            .map(|it| DoubtfulDrop { drop: it.drop, received: None, reason: it.reason })
            .collect(),
        failing: status.failing,
        members: Vec::new(),
        unlisted: Vec::new(),
        member_of: None,
        name: status.workload,
    };
    let views = vault.promises.workloads().into_iter().map(view);
    let mut views: BTreeMap<WorkloadName, WorkloadView> =
        views.map(|view| (view.name.clone(), view)).collect();
    for service in vault.promises.services() {
        add(&service, &mut views);
    }
    Ok(views.into_values().collect())
}

/// What holds of a workload and how it stands, for people.
fn told(vault: &Vault, status: &WorkloadStatus, now: Timestamp) -> ToldView {
    let class = status.promise.class();
    let declared = status.shares.iter().map(|(share, said)| DeclaredView {
        share: *share,
        rpo_seconds: said.rpo().map(|rpo| rpo.as_secs()),
        owner: said.owner().map(str::to_owned),
    });
    ToldView {
        sentence: status.sentence(now),
        next: status.next_step(),
        promise: status.promise.to_string(),
        class: class.name.as_ref().map(ToString::to_string),
        zone: class.zone.to_string(),
        terms: Some(vault.promised_terms(status)),
        also: status.promise.also().to_vec(),
        due: status.due,
        pages_wait: status
            .quiet
            .as_ref()
            .map(|quiet| PagesWait { until: quiet.until, reason: quiet.why.clone() }),
        declared: declared.collect(),
    }
}

/// Adds a workload that consists of others, which are among the `views`.
fn add(service: &ServiceStatus, views: &mut BTreeMap<WorkloadName, WorkloadView>) {
    let (mut snapshots, mut open_incidents) = (0, 0);
    for member in &service.members {
        let Some(view) = views.get_mut(&member.workload) else { continue };
        snapshots += view.snapshots;
        open_incidents += view.open_incidents;
        view.member_of = (member.workload != service.service).then(|| service.service.clone());
    }
    let member = |status: &WorkloadStatus| MemberView {
        name: status.workload.clone(),
        state: status.state.as_str().to_owned(),
        last_vaulted: status.last_vaulted,
    };
    // What is dropped under its own name has a view already, which is a part of it now.
    let own = views.remove(&service.service);
    let view = WorkloadView {
        name: service.service.clone(),
        state: service.state().as_str().to_owned(),
        until: None,
        retired: None,
        reason: None,
        owner: Some(service.promise.owner().to_owned()),
        owner_from: Some("policy".to_owned()),
        rpo_seconds: service.promise.rpo().map(|rpo| rpo.as_secs()),
        rpo_from: Some("policy".to_owned()),
        last_vaulted: service.last_vaulted(),
        last_confirmed: None,
        last_safe: None,
        safe: Some(service.promise.class().safe.to_string()),
        snapshots,
        open_incidents,
        suspect: own.as_ref().and_then(|own| own.suspect.clone()),
        quarantine: own.as_ref().map(|own| own.quarantine.clone()).unwrap_or_default(),
        failing: own.as_ref().and_then(|own| own.failing.clone()),
        told: None,
        members: service.members.iter().map(member).collect(),
        unlisted: service.unlisted.clone(),
        member_of: None,
    };
    views.insert(view.name.clone(), view);
}
