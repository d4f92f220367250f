//! Backups that instances want back over their share: whether they get them, and which one that is.
//!
//! Policy says of which workloads, and how old ones; nobody else does. What was decided is signed for the
//! instances, since they know the authority and nothing else. The agent gets leave to read the packs that this
//! snapshot needs, for an hour (`restorable`). It has the repository's key anyway, and packs hold what many
//! snapshots share: so what this leave lets it see is a little more than the snapshot, which is why it is short,
//! audited, and given only while somebody asks.

use outlast_catalog::SnapshotRecord;
use outlast_drop::SignedReceipt;
use outlast_types::{BlobId, Timestamp, human};
use outlast_wire::Certified;
use outlast_wire::api::{AskBackup, ErrorCode, WantedBackup};
use outlast_wire::fetching::{BackupAnswer, Decided, Decision, GrantedBackup};
use outlast_wire::ticket::Ticket;

use super::audit::{AuditAction, Event, Outcome};
use super::error::VaultError;
use super::published::{is_published, tree_of};
use super::vault::Vault;

/// The requests that an entry of the audit log names.
const NAMED_MAX: usize = 8;

impl Vault {
    /// Decides what `agent` asked for instances, and may ask.
    pub(crate) fn decide_backup(
        &self,
        agent: &Certified,
        asked: &AskBackup,
    ) -> Result<BackupAnswer, VaultError> {
        let now = self.environment.clock.now();
        let decision = self.decide(asked, now);
        let decision =
            decision.inspect_err(|error| self.note_failure(entry(agent, asked), error))?;
        // First the entry, then the answer.
        self.note_decision(agent, asked, &decision)?;
        let identity = self.identity.get();
        let unsigned = |error: serde_json::Error| VaultError::SignAnswer { source: error.into() };
        let ticket = match &decision {
            Decision::Granted(backup) => {
                let ticket = Ticket::to_read(agent, &asked.workload, backup.tree, now);
                let ticket = ticket.sign(&identity);
                Some(ticket.map_err(unsigned)?)
            }
            Decision::None { .. } | Decision::Refused { .. } => None,
        };
        let decided = Decided {
            share: asked.share,
            workload: asked.workload.clone(),
            wanted: asked.wanted,
            requests: asked.requests.clone(),
            at: now,
            decision,
        };
        Ok(BackupAnswer { decision: decided.sign(&identity).map_err(unsigned)?, ticket })
    }

    fn decide(&self, asked: &AskBackup, now: Timestamp) -> Result<Decision, VaultError> {
        let workload = &self.called(&asked.workload)?;
        let Some(oldest) = self.policy().fetch(workload) else {
            let reason = format!(
                "the vault's policy lets no instance of {workload} have its backups back over a share"
            );
            return Ok(Decision::Refused { code: ErrorCode::FetchOff, reason });
        };
        let mut records = self.promises.catalog().snapshots(Some(workload))?;
        let forgotten = self.forgotten(workload);
        records.retain(|record| !forgotten.contains(&record.snapshot));
        let Some((record, drop)) = self.pick(&records, asked.wanted) else {
            return Ok(Decision::None { reason: none_such(asked) });
        };
        let age = now.since(record.received);
        if age > oldest {
            let reason = format!(
                "the backup that is wanted, of {}, is {} old, and the vault's policy lets instances of \
                 {workload} have none back that is older than {}",
                record.received,
                human::duration(age),
                human::duration(oldest)
            );
            return Ok(Decision::Refused { code: ErrorCode::TooOld, reason });
        }
        let tree = self.tree_of_record(record)?;
        Ok(Decision::Granted(GrantedBackup {
            drop,
            snapshot: record.snapshot,
            tree,
            size: record.content_bytes,
            received: record.received,
            counts: self.counts(record),
        }))
    }

    /// The record that is wanted, and its drop. What is no recovery point is taken by its id alone.
    fn pick<'a>(
        &self,
        records: &'a [SnapshotRecord],
        wanted: WantedBackup,
    ) -> Option<(&'a SnapshotRecord, outlast_types::DropId)> {
        let fits = |record: &&SnapshotRecord| match wanted {
            WantedBackup::Drop(drop) => record.drop == Some(drop),
            WantedBackup::Latest => self.counts(record),
            WantedBackup::At(at) => self.counts(record) && record.received <= at,
        };
        let drops = records.iter().filter(|record| record.drop.is_some()).filter(fits);
        let newest = drops.max_by_key(|record| (record.received, record.drop))?;
        Some((newest, newest.drop?))
    }

    /// The root tree of a snapshot that is here now.
    fn tree_of_record(&self, record: &SnapshotRecord) -> Result<BlobId, VaultError> {
        let repository = self.repositories.get(&record.workload)?;
        if !is_published(&*repository.store, record.snapshot)? {
            let reason = "it is not in its repository".to_owned();
            return Err(VaultError::BadSnapshot { snapshot: record.snapshot.to_string(), reason });
        }
        let text = record.receipt.as_deref().unwrap_or_default();
        let receipt = SignedReceipt::parse(text.as_bytes()).ok();
        match receipt.and_then(|signed| signed.receipt().tree) {
            Some(tree) => Ok(tree),
            None => tree_of(&repository, record.snapshot),
        }
    }

    fn note_decision(
        &self,
        agent: &Certified,
        asked: &AskBackup,
        decision: &Decision,
    ) -> Result<(), VaultError> {
        let event = entry(agent, asked);
        let event = match decision {
            Decision::Granted(backup) => {
                event.object(backup.drop).detail("snapshot", backup.snapshot)
            }
            Decision::None { reason } => {
                event.not_done(Outcome::Refused, ErrorCode::UnknownDrop).detail("reason", reason)
            }
            Decision::Refused { code, reason } => {
                event.not_done(Outcome::Refused, code.clone()).detail("reason", reason)
            }
        };
        // Of what is refused again and again, the log has one line.
        if !matches!(decision, Decision::Granted(_)) && self.audit.counts(&event) {
            return Ok(());
        }
        self.audit.record(event)
    }
}

fn entry(agent: &Certified, asked: &AskBackup) -> Event {
    let named: Vec<String> =
        asked.requests.iter().take(NAMED_MAX).map(|asked| asked.request.to_string()).collect();
    Event::by(&agent.peer, AuditAction::BackupAsked)
        .workload(&asked.workload)
        .detail("share", asked.share)
        .detail("wanted", wanted_in_words(asked.wanted))
        .detail("requests", asked.requests.len())
        .detail("first", named.join(" "))
        .detail("proof", &asked.proof)
}

fn wanted_in_words(wanted: WantedBackup) -> String {
    match wanted {
        WantedBackup::Latest => "the newest".to_owned(),
        WantedBackup::Drop(drop) => format!("drop {drop}"),
        WantedBackup::At(at) => format!("the newest at {at}"),
    }
}

fn none_such(asked: &AskBackup) -> String {
    let workload = &asked.workload;
    match asked.wanted {
        WantedBackup::Latest => {
            format!("the vault holds no backup of {workload} that counts as a recovery point")
        }
        WantedBackup::At(at) => format!(
            "the vault holds no backup of {workload} that counts as a recovery point and had come by {at}"
        ),
        WantedBackup::Drop(drop) => {
            format!("the vault holds no backup of {workload} with the drop id {drop}")
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use outlast_store::{Kind, Object, Verb};
    use outlast_types::{
        Clock as _, ContentHash, DropId, RequestId, ShareId, SystemClock, SystemRandom,
    };
    use outlast_wire::Role;
    use outlast_wire::access::Why;
    use outlast_wire::api::AskedRequest;
    use outlast_wire::challenge::Challenge;
    use outlast_wire::rest::Asker;
    use outlast_wire::ticket::header_text;

    use super::*;
    use crate::core::testing::{AGENT, World, bill, identity, shop, upload};

    fn asked(wanted: WantedBackup) -> AskBackup {
        let request = RequestId::new(&SystemRandom);
        AskBackup {
            challenge: Challenge::default(),
            at: Timestamp::EPOCH,
            share: ShareId::new(&SystemRandom),
            workload: shop(),
            wanted,
            requests: vec![AskedRequest { request, digest: ContentHash([1; 32]) }],
            proof: "owner".to_owned(),
        }
    }

    /// A world whose policy lets the shop's instances have backups back.
    fn world(oldest: Option<Duration>) -> World {
        let mut world = World::new();
        world.fetch = oldest.map(|oldest| (shop(), oldest)).into_iter().collect::<BTreeMap<_, _>>();
        world
    }

    fn decision(vault: &Vault, agent: &Certified, wanted: WantedBackup) -> Decision {
        let asked = asked(wanted);
        let answer = vault.decide_backup(agent, &asked).unwrap();
        let own = vault.identity.get();
        let decided = Decided::read(&answer.decision, |chain, message, proof| {
            vault.identity.judge(chain, message, proof)
        })
        .unwrap();
        decided.check(asked.share, &shop(), wanted, asked.requests[0]).unwrap();
        let is_granted = matches!(decided.decision, Decision::Granted(_));
        assert_eq!(answer.ticket.is_some(), is_granted);
        if let Some(ticket) = answer.ticket {
            let ticket = Ticket::read(&ticket, own.ca_pem()).unwrap();
            assert_eq!(ticket.agent, *agent);
        }
        decided.decision
    }

    #[test]
    fn policy_says_which_workload_gets_back_what_and_how_old() {
        let (month, hour) = (Duration::from_secs(30 * 86_400), Duration::from_secs(3600));
        let world = world(Some(month));
        let identity = identity(world.directory.path(), Role::Agent, AGENT);
        let agent = identity.certified();
        let vault = world.open();
        let latest = |vault: &Vault| decision(vault, agent, WantedBackup::Latest);
        assert!(matches!(latest(&vault), Decision::None { .. }));
        let mut drops = Vec::new();
        for content in [&b"one"[..], b"two"] {
            let shipment = bill(&vault, &shop(), &upload(&vault, &shop(), content));
            vault.publish(&shipment, &identity.certified().peer).unwrap();
            drops.push((shipment.drop, shipment.tree, shipment.snapshot_id));
        }
        let Decision::Granted(backup) = latest(&vault) else { panic!("granted") };
        assert_eq!((backup.drop, backup.tree, backup.snapshot), drops[1]);
        assert!(backup.counts);
        let first = WantedBackup::Drop(drops[0].0);
        let Decision::Granted(backup) = decision(&vault, agent, first) else { panic!("granted") };
        assert_eq!((backup.drop, backup.tree, backup.snapshot), drops[0]);
        let first_came = backup.received;
        let at = |at| decision(&vault, agent, WantedBackup::At(at));
        assert!(matches!(at(Timestamp::EPOCH), Decision::None { .. }));
        assert!(matches!(at(first_came), Decision::Granted(_)));
        let unknown = WantedBackup::Drop(DropId::new(&SystemClock, &SystemRandom));
        assert!(matches!(decision(&vault, agent, unknown), Decision::None { .. }));
        // Where policy says nothing, nothing is given; and where it says little, nothing older. It counts
        // anew with each start.
        drop(vault);
        let mut world = world;
        for (oldest, expected) in
            [(None, ErrorCode::FetchOff), (Some(Duration::ZERO), ErrorCode::TooOld)]
        {
            world.fetch = oldest.map(|oldest| (shop(), oldest)).into_iter().collect();
            let Decision::Refused { code, reason } = latest(&world.open()) else {
                panic!("refused")
            };
            assert_eq!(code, expected, "{reason}");
        }
        world.fetch = [(shop(), hour)].into();
        assert!(matches!(latest(&world.open()), Decision::Granted(_)));
    }

    #[test]
    fn a_grant_lets_its_agent_read_packs_of_its_workload_and_nobody_else_anything() {
        let world = world(Some(Duration::from_secs(3600)));
        let path = world.directory.path();
        let [mine, other] = [AGENT, "road-2"].map(|name| identity(path, Role::Agent, name));
        let vault = world.open();
        let shipment = bill(&vault, &shop(), &upload(&vault, &shop(), b"one"));
        vault.publish(&shipment, &mine.certified().peer).unwrap();
        let answer = vault.decide_backup(mine.certified(), &asked(WantedBackup::Latest)).unwrap();
        let text = header_text(&answer.ticket.unwrap()).unwrap();
        let may =
            |who: &outlast_wire::Identity, ticket: Option<&str>, verb, kind, workload: &str| {
                let asker = Asker { certified: who.certified(), ticket };
                let workload = outlast_types::WorkloadName::new(workload).unwrap();
                vault.permit_object(asker, verb, kind, &workload)
            };
        may(&mine, Some(&text), Verb::Read, Kind::Data, "shop-db").unwrap();
        for (who, ticket, kind, workload) in [
            (&mine, None, Kind::Data, "shop-db"),
            (&mine, Some("AAAA"), Kind::Data, "shop-db"),
            (&mine, Some(text.as_str()), Kind::Data, "crm-db"),
            (&other, Some(text.as_str()), Kind::Data, "shop-db"),
            (&mine, Some(text.as_str()), Kind::Snapshot, "shop-db"),
        ] {
            let refused = may(who, ticket, Verb::Read, kind, workload).unwrap_err();
            let is_of_grant = matches!(refused.why, Why::NoGrant(_));
            assert_eq!(is_of_grant, kind == Kind::Data, "{refused}");
        }
        // Through a media server it is as good, and no better: it is for what this backup needs.
        let middle = identity(path, Role::Media, "eu-1");
        may(&middle, Some(&text), Verb::Read, Kind::Data, "shop-db").unwrap();
        assert!(may(&middle, None, Verb::Read, Kind::Data, "shop-db").is_err());
        assert!(may(&middle, Some(&text), Verb::Read, Kind::Snapshot, "shop-db").is_err());
        let other = upload(&vault, &shop(), b"another one");
        for who in [&mine, &middle] {
            let asker = Asker { certified: who.certified(), ticket: Some(&text) };
            let permit = |pack| vault.permit_pack(asker, &shop(), &Object::Data(pack));
            for billed in &shipment.objects {
                if let Object::Data(pack) = billed.object() {
                    permit(pack).unwrap();
                }
            }
            for (pack, _) in &other.packs {
                let refused = permit(*pack).unwrap_err();
                assert!(matches!(refused, VaultError::Denied { .. }), "{refused}");
            }
        }
        // A ticket for media servers is no such grant.
        let passed_on = Ticket::new(mine.certified(), &shop(), SystemClock.now());
        let passed_on = header_text(&passed_on.sign(&vault.identity.get()).unwrap()).unwrap();
        assert!(may(&mine, Some(&passed_on), Verb::Read, Kind::Data, "shop-db").is_err());
        assert_eq!(world.entries(&AuditAction::BackupAsked), 1);
    }
}
