//! A vault's start: from what is stored to a vault that can be asked.

use std::sync::{Arc, Mutex};

use outlast_alert::Route;
use outlast_catalog::Catalog;
use outlast_civil::Zone;
use outlast_promise::Settings;
use outlast_types::{Environment, Interrupt, Random, hex};
use outlast_wire::api::SignedReport;
use outlast_wire::names::Names;
use outlast_wire::{Identity, IdentityHandle, Trust};

use super::admission::Admission;
use super::agreements::Agreements;
use super::alerts::{Alerts, ToldChronicle};
use super::arrivals::Arrivals;
use super::audit::{AuditAction, AuditHead, AuditLog, Event, Source};
use super::certificates::Certificates;
use super::challenges::Challenges;
use super::counters::Counters;
use super::deliveries::Deliveries;
use super::drills::{Drills, Ground};
use super::error::VaultError;
use super::figures::Figures;
use super::former::FormerNames;
use super::incidents::{AuditChronicle, Chronicle};
use super::jobs::{Jobs, Progress};
use super::keepings::Keepings;
use super::kit::{self, OpenedByKits};
use super::limits::Limits;
use super::looks::Looks;
use super::month::noted::Months;
use super::occupied::Occupied;
use super::orders::{Order, Orders};
use super::promise_monitor::{Opening, PromiseMonitor};
use super::recovery::{Sources, rebuilt_from};
use super::renaming::move_places;
use super::repositories::Repositories;
use super::restorable::Restorable;
use super::saves::Saves;
use super::scrubs::{ScrubPolicy, Scrubs};
use super::sequence::Sequence;
use super::shipments::Shipments;
use super::sights::{Sights, Told};
use super::slow_time::SlowTime;
use super::spools::Spools;
use super::storage::Storage;
use super::tenures::Tenures;
use super::tokens::Tokens;
use super::vault::{NewPolicy, OpenIssuer, PolicyFile, Process, Vault, own_certificate};
use super::withheld::Withheld;

/// Random bytes in the name of a run.
const RUN_BYTES: usize = 8;

/// So many receipts were signed after the newest save at most, before a vault was brought back.
const LOST_RECEIPTS_MAX: u64 = 1_000_000;

/// What a vault works with. Nothing else may use storage and catalog meanwhile.
pub(crate) struct Parts {
    pub(crate) storage: Storage,
    pub(crate) catalog: Catalog,
    pub(crate) identity: IdentityHandle,
    /// Opens the issuer, if this vault has one.
    pub(crate) issuer: Option<OpenIssuer>,
    pub(crate) names: Names,
    pub(crate) policy: NewPolicy,
    pub(crate) policy_file: Arc<dyn PolicyFile>,
    pub(crate) scrub: ScrubPolicy,
    /// In which months begin.
    pub(crate) zone: Zone,
    /// Where drills are done, if anywhere.
    pub(crate) ground: Option<Arc<dyn Ground>>,
    pub(crate) process: Process,
    pub(crate) environment: Environment,
    /// By which people are told.
    pub(crate) routes: Vec<Route>,
}

impl Vault {
    /// Opens a vault and brings the catalog up to what the repositories hold.
    pub(crate) fn open(mut parts: Parts) -> Result<Self, VaultError> {
        let (orders, former) = by_present_names(&mut parts)?;
        let Parts { storage, catalog, identity, names, environment, routes, .. } = parts;
        let NewPolicy { settings, policy, limits, drills } = parts.policy;
        let repositories = Repositories::open(&storage, &environment);
        let arrivals = Arrivals::open(&storage, &former);
        let audit = Arc::new(AuditLog::open(&storage, Arc::clone(&environment.clock))?);
        fill_new_catalog((&repositories, &arrivals), &catalog, &environment, &audit)?;
        let (certificates, trust) = trusted(&storage, &audit, &identity, &environment, names)?;
        see_to_kit_secret(&storage, &audit, &environment)?;
        let withheld = Withheld::open(&storage)?;
        let given = noted_orders(&orders, &audit)?;
        let certified = identity.get();
        let alerts = Arc::new(Alerts::open(&storage, certified.peer().name(), routes)?);
        let told = told_chronicle(&alerts, &environment, &audit);
        let deliveries = Deliveries::open(&storage);
        let words = (&given[..], &former, &deliveries);
        let opening = opening(settings, words, &certified, Arc::new(told), &withheld);
        let promises = PromiseMonitor::open(catalog, opening, Arc::clone(&environment.clock))?;
        alerts.agree(&promises.open_pages(), environment.clock.now())?;
        let vault = Self {
            repositories,
            admission: Admission::open(&storage)?,
            arrivals,
            deliveries,
            orders,
            keepings: Keepings::open(&storage, &former),
            agreements: Agreements::open(&storage),
            former,
            slow_time: SlowTime::open(&storage, &environment)?,
            sights: Sights::default(),
            occupied: Occupied::default(),
            audit,
            promises,
            alerts,
            jobs: Jobs::open(&storage, &environment),
            limits: Limits::open(&storage, Arc::clone(&environment.clock), limits)?,
            counters: Counters::default(),
            certificates,
            tokens: Tokens::open(&storage)?,
            trust,
            issuer: parts.issuer,
            issuing: Mutex::default(),
            identity,
            certified: Mutex::new(certified),
            policy_file: parts.policy_file,
            policies: Mutex::new(Arc::new(policy)),
            challenges: Challenges::open(&storage, &environment)?,
            shipments: Shipments::open(&storage, environment.clock.now())?,
            spools: Spools::open(&storage, environment.clock.now())?,
            moved: Mutex::new(environment.clock.now()),
            looks: Looks::default(),
            months: Months::in_zone(parts.zone),
            drills: Drills::open(&storage, drills, parts.ground)?,
            scrubs: Scrubs::open(&storage, parts.scrub),
            run: name_of_run(&*environment.random),
            environment,
            storage,
            opened_by_kits: OpenedByKits::default(),
            figures: Figures::default(),
            tenures: Tenures::default(),
            saves: Saves::default(),
            withheld,
            process: parts.process,
            restorable: Restorable::default(),
            sequence: Sequence::default(),
        };
        vault.begin()?;
        Ok(vault)
    }

    /// Brings what is known up to what is there, and writes that the vault began.
    fn begin(&self) -> Result<(), VaultError> {
        let uninterrupted = Progress::new(&self.environment, &Interrupt::default());
        self.look_after_repositories(&uninterrupted)?;
        // Seldom: all of it, so that what was put back while nothing ran is seen at once.
        if self.audit.problem().is_some() || self.promises.has_audit_incident() {
            self.verify_audit_log()?;
        }
        self.fill_in()?;
        self.remember_sights()?;
        if self.withheld.is_in_force() {
            // Receipts that were given out after the newest save have numbers, too.
            self.sequence.saw(self.sequence.now().saturating_add(LOST_RECEIPTS_MAX));
        }
        let started = Event::by_vault(AuditAction::Started).detail("run", &self.run);
        self.note_past_authorities(&self.identity.get())?;
        self.audit.record(started.detail("version", env!("CARGO_PKG_VERSION")))?;
        // Before the first drop comes, so that it belongs to a month. A vault that cannot write reports
        // takes drops all the same.
        if let Err(error) = self.note_month() {
            tracing::error!(%error, "the month's report is not begun");
        }
        // Whoever keeps this line can tell later whether the log was written anew.
        let AuditHead { number, hash } = self.audit.head();
        tracing::info!(number, hash, "the newest entry of the audit log");
        Ok(())
    }
}

impl Vault {
    /// Goes on with what the last reports told of what waits.
    fn remember_sights(&self) -> Result<(), VaultError> {
        for record in self.promises.catalog().reports()? {
            let words = serde_json::from_str::<SignedReport>(&record.body).ok();
            let Some(report) = words.and_then(|words| words.report) else { continue };
            let workloads = report.workloads.into_iter();
            let workloads: Vec<_> = workloads.map(|it| (it.name, it.waiting > 0)).collect();
            self.sights.reported(&Told {
                share: report.share,
                received: record.received,
                ahead: 0,
                part: (report.part, report.parts),
                workloads: &workloads,
            });
        }
        Ok(())
    }
}

/// Before anything looks at a workload by its name: moves what lies under former names, and lets policy speak of
/// workloads as they are called now.
fn by_present_names(parts: &mut Parts) -> Result<(Orders, FormerNames), VaultError> {
    let orders = Orders::open(&parts.storage)?;
    let former = orders.former();
    move_places(&parts.storage, &parts.catalog, &former)?;
    parts.policy.carry_over(&former);
    Ok((orders, former))
}

/// The certificates that were issued, and whom to believe by those that were not revoked.
fn trusted(
    storage: &Storage,
    audit: &Arc<AuditLog>,
    identity: &IdentityHandle,
    environment: &Environment,
    names: Names,
) -> Result<(Certificates, Trust), VaultError> {
    let certificates = Certificates::open(storage, audit)?;
    let trust = Trust::by_names(identity, &environment.clock, names);
    trust.learn(certificates.revocations());
    Ok((certificates, trust))
}

/// A chronicle by which people are told, too.
fn told_chronicle(
    alerts: &Arc<Alerts>,
    environment: &Environment,
    audit: &Arc<AuditLog>,
) -> ToldChronicle<AuditChronicle> {
    let (alerts, clock) = (Arc::clone(alerts), Arc::clone(&environment.clock));
    ToldChronicle { alerts, clock, chronicle: AuditChronicle::new(audit) }
}

/// What the promises begin with.
fn opening<'a>(
    settings: Settings,
    (orders, former, deliveries): (&'a [Order], &'a FormerNames, &'a Deliveries),
    certified: &Identity,
    chronicle: Arc<dyn Chronicle>,
    withheld: &Withheld,
) -> Opening<'a> {
    Opening {
        settings,
        orders,
        former,
        certificate: own_certificate(certified),
        chronicle,
        withheld: withheld.event(),
        deliveries: Some(deliveries),
    }
}

/// Makes the secret for recovery kits, if there is none.
fn see_to_kit_secret(
    storage: &Storage,
    audit: &AuditLog,
    environment: &Environment,
) -> Result<(), VaultError> {
    let (now, random) = (environment.clock.now(), &*environment.random);
    if let (secret, true) = kit::current_or_make(&**storage, now, random)? {
        let made = Event::by_vault(AuditAction::KitSecretMade);
        audit.record(made.detail("generation", secret.generation))?;
        tracing::info!(
            "made the secret for recovery kits; kits of before, if there are any, do not open what \
             comes from now on"
        );
    }
    Ok(())
}

fn name_of_run(random: &dyn Random) -> String {
    let mut run = [0; RUN_BYTES];
    random.fill(&mut run);
    hex::encode(&run)
}

/// A catalog that is new, or was lost: promises must not be judged by an empty one.
fn fill_new_catalog(
    (repositories, arrivals): (&Repositories, &Arrivals),
    catalog: &Catalog,
    environment: &Environment,
    audit: &AuditLog,
) -> Result<(), VaultError> {
    let sources = Sources { repositories, arrivals, catalog, environment };
    if sources.catalog.has_ledger()? {
        return Ok(());
    }
    let (records, _) = sources.gather(None)?;
    if !records.is_empty() {
        audit.record(rebuilt_from(&records))?;
    }
    Ok(sources.catalog.replace_snapshots(&records)?)
}

/// Writes into the log the orders of before there was one, and one that a crash kept from it.
fn noted_orders(orders: &Orders, audit: &AuditLog) -> Result<Vec<Order>, VaultError> {
    let given = orders.list(None);
    for order in &given {
        audit.record_member(Source::Orders, order.number, order.entry())?;
    }
    Ok(given)
}
