//! Each call of the table, made by somebody about some workload.

use outlast_types::{DropId, SystemClock, SystemRandom, WorkloadName};
use outlast_vault::VaultHandle;
use outlast_wire::access::Call;
use outlast_wire::api::{
    AcceptOrder, AckIncident, ApplyPolicy, AskLacking, AskedRequest, DrillOrder, Holder,
    KeepingOrder, MediaReport, MediaState, PauseOrder, ReasonedOrder, RecreateOrder, RenameOrder,
    ResumeReleases, RevokeOrder, TokenOrder, WantedBackup,
};
use outlast_wire::client::{FetchCallError, OpenError};
use outlast_wire::enrollment::{RenewalRequest, TokenId};
use outlast_wire::holdings::{HeldDrop, Nonce, Question};
use outlast_wire::request::PendingIdentity;
use outlast_wire::{ApiClient, CallError, Identity, Role};

use crate::support::speaker;

/// Whether the vault holds what `bill` says, of `workload`.
fn question(workload: &WorkloadName, bill: &outlast_wire::api::Shipment) -> Question {
    let drop = HeldDrop {
        drop: outlast_types::DropIdentity { workload: workload.clone(), ..bill.identity() },
        size: 1,
        tree: bill.tree,
        snapshot: bill.snapshot_id,
    };
    let nonce = Nonce::new(&SystemRandom);
    Question {
        nonce,
        drops: vec![drop],
        receipts: Vec::new(),
        handed: Vec::new(),
        heeds_withheld: true,
        signed: None,
    }
}

fn spool_report() -> MediaReport {
    MediaReport {
        spool: outlast_types::SpoolId::new(&SystemRandom),
        run: "1".to_owned(),
        version: "0".to_owned(),
        at: outlast_types::Timestamp::EPOCH,
        state: MediaState::Taking,
        rows: Vec::new(),
        objects: 0,
        bytes: 0,
        room: 0,
        room_left: 0,
        line_allowed: None,
        line_rate: 0,
        empty_in_seconds: None,
        problems: Vec::new(),
        shipments: Vec::new(),
    }
}

fn token_order(address: &str) -> TokenOrder {
    TokenOrder {
        role: Role::Reader,
        name: "bi".to_owned(),
        grants: outlast_wire::Grants::all(),
        hosts: Vec::new(),
        ttl_seconds: 60,
        reusable: false,
        addresses: vec![address.to_owned()],
    }
}

/// Asks for a backup for an instance.
fn ask_backup(client: &ApiClient, of: &WorkloadName, identity: &Identity) -> Result<(), CallError> {
    let request = outlast_types::RequestId::new(&SystemRandom);
    let asked = [AskedRequest { request, digest: outlast_types::ContentHash([1; 32]) }];
    let (share, who) = (outlast_types::ShareId::new(&SystemRandom), speaker(identity));
    match client.ask_backup(share, of, WantedBackup::Latest, &asked, "owner", who).err() {
        Some(FetchCallError::Call(error)) => Err(error),
        other => {
            assert!(other.is_none());
            Ok(())
        }
    }
}

/// To the name that it has, which changes nothing.
fn rename(workload: &WorkloadName) -> RenameOrder {
    RenameOrder { to: workload.clone(), until: None, reason: None }
}

/// One with a flaw, which changes nothing.
fn policy() -> ApplyPolicy {
    let (name, text) = ("x.toml".to_owned(), "[promise]\nrpo = 1\n".to_owned());
    ApplyPolicy { name, text, reason: None }
}

fn acknowledgement(workload: &WorkloadName) -> AckIncident {
    let key = format!("recovery-point/{workload}");
    AckIncident { key, for_seconds: None, comment: None }
}

fn hold() -> KeepingOrder {
    KeepingOrder::Hold {
        person: None,
        for_seconds: None,
        until: None,
        snapshots: Vec::new(),
        reason: "a test".to_owned(),
    }
}

fn revoke_nobody() -> RevokeOrder {
    let nobody = Holder { role: Role::Agent, name: "nobody".to_owned() };
    RevokeOrder { holder: Some(nobody), certificate: None, reason: None }
}

fn accept_none() -> AcceptOrder {
    AcceptOrder { drop: DropId::new(&SystemClock, &SystemRandom), reason: None }
}

/// Makes the call about `workload`, as `identity`.
pub(super) fn make(
    call: Call,
    vault: &VaultHandle,
    identity: &Identity,
    workload: &WorkloadName,
    bill: &outlast_wire::api::Shipment,
) -> Result<(), CallError> {
    let client = ApiClient::new(&vault.url(), identity).unwrap();
    let reason = || "a test".to_owned();
    let pause = PauseOrder { for_seconds: Some(60), until: None, reason: reason() };
    let order = ReasonedOrder { reason: Some(reason()) };
    match call {
        Call::OpenRepository | Call::MakeRepository => {
            match client.open_workload(workload, speaker(identity)) {
                Ok(_) => Ok(()),
                Err(OpenError::Call(error)) => Err(error),
                Err(other) => panic!("{other}"),
            }
        }
        Call::Ship => {
            let bill = outlast_wire::api::Shipment { workload: workload.clone(), ..bill.clone() };
            client.ship(&bill, identity).map(drop)
        }
        Call::AskLacking => client.lacking(workload, &AskLacking::default()).map(drop),
        Call::ReportSpool => client.report_spool(&spool_report()).map(drop),
        Call::AskHoldings => client.holdings(&question(workload, bill)).map(|_| ()),
        Call::Report => client.live(speaker(identity)).map(drop),
        Call::ListWorkloads => client.workloads().map(drop),
        Call::ViewWorkload => client.workload(workload).map(drop),
        Call::ListSnapshots => client.snapshots(Some(workload)).map(drop),
        Call::ListIncidents => client.incidents().map(drop),
        Call::ListOrders => client.orders(Some(workload)).map(drop),
        Call::ListJobs => client.jobs().map(drop),
        Call::AskTrust => client.trust_news().map(drop),
        Call::FetchBackup => ask_backup(&client, workload, identity),
        Call::ListCertificates => client.certificates().map(drop),
        Call::RevokeCertificate => client.revoke(&revoke_nobody()).map(drop),
        Call::Renew => {
            let pending = PendingIdentity::generate(&SystemRandom).unwrap();
            client.renew(&RenewalRequest::new(identity, &pending).unwrap()).map(drop)
        }
        Call::MakeToken => client.make_token(&token_order(&vault.url())).map(drop),
        Call::ListTokens => client.tokens().map(drop),
        Call::RevokeToken => client.revoke_token(TokenId::new(&SystemRandom)).map(drop),
        Call::Greet => client.greet().map(drop),
        Call::MeasureRoad => client.measure(100).map(drop),
        Call::ViewMetrics => client.metrics().map(drop),
        Call::RecreateRepository => {
            client.recreate(workload, &RecreateOrder { reason: reason() }).map(drop)
        }
        Call::PauseWorkload => client.pause(workload, &pause).map(drop),
        Call::RetireWorkload => client.retire(workload, &order).map(drop),
        Call::ResumeWorkload => client.resume(workload, &order).map(drop),
        Call::RenameWorkload => client.rename(workload, &rename(workload)).map(drop),
        Call::AnnounceDeploy => client.announce_deploy(workload, &Default::default()).map(drop),
        Call::AcceptDrop => client.accept(workload, &accept_none()).map(drop),
        Call::ApplyPolicy => client.apply_policy(&policy()).map(drop),
        Call::AnswerIncident => client.acknowledge(&acknowledgement(workload)).map(drop),
        Call::ViewKeeping => client.keeping(workload, None).map(drop),
        Call::OrderKeeping => client.order_keeping(workload, &hold()).map(drop),
        Call::ViewScrubs => client.scrubs().map(drop),
        Call::ViewDrills => client.drills(Some(workload)).map(drop),
        Call::ViewReports => client.report_of("2026-11", "json").map(drop),
        Call::RunDrill => client.run_drill(workload, &DrillOrder::default()).map(drop),
        Call::ResumeReleases => {
            client.resume_releases(&ResumeReleases { reason: reason() }).map(drop)
        }
    }
}
