//! What stands between an agent and its vault can delay, and nothing else: it reads, changes,
//! exchanges, repeats, reorders and withholds.

use std::time::Duration;

use bytes::Bytes;
use outlast_format::{PackId, Sha256Id};
use outlast_repo::RepoError;
use outlast_store::{Kind, Object, Store, StoreError};
use outlast_testing::ManualTime;
use outlast_types::{Clock, SystemClock, WorkloadName};
use outlast_vault::{AuditSelection, VaultHandle};
use outlast_wire::api::{Holder, OpenRepository, RevokeOrder, SignedReport};
use outlast_wire::statement::{Statement, Subject};
use outlast_wire::{ApiClient, CallError, RestStore, Role};

use crate::middle::{Fate, Middle, Way};
use crate::support::{Agent, World, shop};

/// An agent, a middle before a vault, and the vault's clock.
struct Scene {
    world: World,
    time: ManualTime,
    vault: VaultHandle,
    middle: Middle,
    agent: Agent,
}

impl Scene {
    fn new() -> Self {
        let world = World::new();
        let time = ManualTime::new(SystemClock.now());
        let vault = world.start_at(&time);
        let middle = Middle::before(&world, &vault);
        let agent = world.agent_at(&middle.url);
        Self { world, time, vault, middle, agent }
    }

    fn incidents(&self) -> Vec<(String, bool)> {
        let incidents = self.world.client(&self.vault, Role::Operator).incidents().unwrap();
        incidents.into_iter().map(|it| (it.key, it.resolved.is_some())).collect()
    }
}

/// The same words with `change` made to their JSON.
fn changed(words: &Statement, change: impl FnOnce(&mut serde_json::Value)) -> Statement {
    let mut json = serde_json::to_value(words).unwrap();
    change(&mut json);
    serde_json::from_value(json).unwrap()
}

fn text(words: &Statement) -> String {
    serde_json::to_value(words).unwrap()["text"].as_str().unwrap().to_owned()
}

fn code<T: std::fmt::Debug>(result: Result<T, CallError>) -> String {
    result.unwrap_err().code().unwrap().to_string()
}

fn is_refused<T: std::fmt::Debug>(result: Result<T, StoreError>) -> bool {
    match result {
        Err(StoreError::Refused { .. }) => true,
        Err(StoreError::List { source, .. }) => {
            source.kind() == std::io::ErrorKind::PermissionDenied
        }
        Err(StoreError::NotFound { .. }) | Ok(_) => false,
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn through_a_middle_that_carries_all_a_drop_is_vaulted_and_the_middle_has_read_nothing() {
    let scene = Scene::new();
    let Scene { middle, agent, .. } = &scene;
    let bill = agent.ship(&shop(), b"insert into shop values (1);");
    agent.report(Vec::new(), Vec::new());
    let operator = scene.world.client(&scene.vault, Role::Operator);
    assert_eq!(operator.snapshots(Some(&shop())).unwrap()[0].snapshot, bill.snapshot_id);

    // The key stands in nothing that it saw, and nothing that it saw opens without the box key.
    let key = scene.world.agent(&scene.vault).open(&shop()).key().to_bytes();
    let key_text = String::from(outlast_wire::api::Base64(key.to_vec()));
    let key_hex = outlast_types::hex::encode(&key);
    let words = middle.shared.words.lock().unwrap();
    let answers = middle.shared.answers.lock().unwrap();
    assert!(!answers.is_empty() && words.len() > 2);
    for seen in words.iter().map(|(_, words)| words).chain(answers.iter()) {
        let seen = text(seen);
        assert!(!seen.contains(&key_text) && !seen.contains(&key_hex), "{seen}");
    }
    drop(words);
    let asked: OpenRepository = serde_json::from_str(&text(&middle.last("open"))).unwrap();
    let opened = outlast_wire::opening::open(&answers[0], &asked, middle.identity());
    assert!(opened.is_err());
    drop(answers);

    // What it may do with the agent's ticket ends where the agent's own rights end, or before.
    let ticket = middle.ticket(&shop());
    let store = middle.objects(&shop(), Some(&ticket));
    assert!(!is_refused(store.read(&Object::Config)) && !is_refused(store.list(Kind::Index)));
    let (pack, _) = operator_pack(&scene);
    assert!(is_refused(store.read(&pack)), "no data");
    // The agent refers to no pack that is not there, so it sees which there are.
    assert!(!is_refused(store.list(Kind::Data)) && is_refused(store.list(Kind::Snapshot)));
    assert!(is_refused(store.read(&Object::Snapshot(bill.snapshot_id))));
    assert!(is_refused(store.list(Kind::Key)) && is_refused(store.remove(&pack)));
    let other = WorkloadName::new("crm-db").unwrap();
    let foreign = middle.objects(&other, Some(&ticket));
    assert!(is_refused(foreign.read(&Object::Config)), "whether there is one or not");
    let without = middle.objects(&shop(), None);
    assert!(is_refused(without.read(&Object::Config)) && is_refused(without.list(Kind::Index)));
}

/// A pack of the shop, as an operator finds it.
fn operator_pack(scene: &Scene) -> (Object, u64) {
    let operator = scene.world.identity(Role::Operator, "ops");
    let address = format!("rest:{}repo/{}/", scene.vault.url(), shop());
    let store = RestStore::open(&address, Some(&operator)).unwrap();
    store.list(Kind::Data).unwrap().remove(0)
}

#[test]
fn a_ticket_is_worth_nothing_in_other_hands_and_none_can_be_made() {
    let scene = Scene::new();
    scene.agent.ship(&shop(), b"one");
    let ticket = scene.middle.ticket(&shop());
    // Another agent that shows it has its own rights, and no more.
    let stranger = scene.world.identity_of(Role::Agent, "crm", "crm-*");
    let address = format!("rest:{}repo/{}/", scene.vault.url(), shop());
    let mut store = RestStore::open(&address, Some(&stranger)).unwrap();
    store.show_ticket(&ticket);
    assert!(is_refused(store.read(&Object::Config)));
    let own = outlast_wire::ticket::Ticket::new(
        scene.agent.identity.certified(),
        &shop(),
        scene.time.now(),
    );
    let forged = own.sign(scene.middle.identity()).unwrap();
    let forged = outlast_wire::ticket::header_text(&forged).unwrap();
    let store = scene.middle.objects(&shop(), Some(&forged));
    assert!(is_refused(store.read(&Object::Config)));
}

#[test]
fn an_expired_ticket_strands_no_spooled_bytes() {
    let scene = Scene::new();
    let Scene { middle, agent, .. } = &scene;
    agent.ship(&shop(), b"one");
    let ticket = middle.ticket(&shop());
    // A pack that the middle took while the ticket was good, and that has not arrived yet: of a
    // second repository's worth of content, put together with the agent's key.
    let bill = agent.bill(&shop(), &agent.upload(&shop(), b"spooled while the line was down"));
    let pack = bill.objects.iter().find_map(|it| it.object().pack()).unwrap();
    let content = take_away(&scene, pack);
    scene.time.advance(Duration::from_secs(50 * 3600));
    let store = middle.objects(&shop(), Some(&ticket));
    assert!(is_refused(store.read(&Object::Config)) && is_refused(store.list(Kind::Index)));
    assert!(is_refused(store.list(Kind::Data)), "which packs there are now");
    assert!(matches!(store.size(&Object::Data(pack)), Err(StoreError::NotFound { .. })));
    store.create(&Object::Data(pack), content).unwrap();
    assert!(store.size(&Object::Data(pack)).is_ok(), "it sees that it arrived");
    // And the bill that waited with it.
    agent.hand_in(&bill).unwrap();
}

/// Takes a pack out of the vault's repository, as if it had not come yet.
fn take_away(scene: &Scene, pack: PackId) -> Bytes {
    let name = pack.to_string();
    let data = scene.world.repository_directory(&shop()).join("data");
    let file = data.join(&name[..2]).join(&name);
    let content = std::fs::read(&file).unwrap();
    std::fs::remove_file(file).unwrap();
    assert_eq!(PackId::of(&content), pack);
    content.into()
}

#[test]
fn what_is_changed_or_signed_by_another_is_not_believed() {
    let scene = Scene::new();
    let Scene { middle, agent, .. } = &scene;
    let bill = agent.bill(&shop(), &agent.upload(&shop(), b"one"));
    middle.rule(|_, _| Way::Withhold);
    agent.hand_in(&bill).unwrap_err();
    agent.client.report(&agent.report_of(vec![], vec![]), agent.speaker()).unwrap_err();
    let (signed, reported) = (middle.last("bill"), middle.last("report"));
    let client = middle.client();

    let forged = changed(&signed, |json| {
        let text = json["text"].as_str().unwrap().replace("\"size\":7", "\"size\":8");
        json["text"] = text.into();
    });
    assert_eq!(code(client.carry_bill(&forged)), "bad_statement");
    // Signed as its own: its role says nothing of drops.
    let own = Statement::sign(Subject::Bill, &bill, middle.identity()).unwrap();
    assert_eq!(code(client.carry_bill(&own)), "no_ticket");
    // Another agent's word for it, by its own connection or through the middle.
    let other = scene.world.identity(Role::Agent, "road-2");
    let direct = ApiClient::new(&scene.vault.url(), &other).unwrap();
    assert_eq!(code(direct.carry_bill(&signed)), "bad_statement");
    assert_eq!(code(direct.carry_report(&reported)), "bad_statement");
    let borrowed = Statement::sign(Subject::Bill, &bill, &other).unwrap();
    assert_eq!(code(client.carry_bill(&borrowed)), "bad_bill", "its snapshot is of road-1");
    // A report is no bill, and a bill no report.
    assert_eq!(code(client.carry_report(&signed)), "bad_statement");
    assert_eq!(code(client.carry_bill(&reported)), "bad_statement");
    assert_eq!(code(client.carry_bill(&Statement::default())), "unsigned");
    assert!(scene.world.snapshot_files(&shop()).is_empty());
    client.carry_bill(&signed).unwrap();
}

#[test]
fn an_answer_that_is_exchanged_or_made_up_gives_no_key() {
    let scene = Scene::new();
    let Scene { middle, agent, .. } = &scene;
    let refused = |what: &str| {
        let error = agent.client.open_workload(&shop(), agent.speaker()).err();
        let text = error.unwrap_or_else(|| panic!("{what}: it was taken")).to_string();
        assert!(text.contains("cannot be had") || text.contains("not believed"), "{what}: {text}");
    };
    agent.open(&shop());
    // From now on it asks over a newer challenge.
    scene.time.advance(Duration::from_secs(1));
    agent.open(&shop());
    let old = middle.shared.answers.lock().unwrap().first().unwrap().clone();
    let answer = old.clone();
    middle.rule(move |_, _| Way::Answer(Box::new(answer.clone())));
    refused("an answer to an earlier question");

    // The answer to its own question, and one that it signs itself with a key that it knows.
    let vault = scene.world.identity(Role::Media, "middle");
    middle.rule(move |_, words| {
        let asked: OpenRepository = serde_json::from_str(&text(words)).unwrap();
        let (asker, _): (_, OpenRepository) = words.read(Subject::Open, vault.ca_pem()).unwrap();
        let opening = outlast_wire::opening::Opening {
            repository_path: "/repo/shop-db/".to_owned(),
            version: 2,
            key: &[1; 64],
            ticket: None,
        };
        let (now, random) = (SystemClock.now(), outlast_types::SystemRandom);
        let made = outlast_wire::opening::answer(&asked, &asker, opening, &vault, now, &random);
        Way::Answer(Box::new(made.unwrap()))
    });
    refused("a key that the middle made up");

    // Its own box key in the agent's question.
    let box_key = String::from(middle.identity().box_key().public());
    middle.rule(move |_, words| {
        Way::Instead(Box::new(changed(words, |json| {
            let mut asked: serde_json::Value =
                serde_json::from_str(json["text"].as_str().unwrap()).unwrap();
            asked["box_public_key"] = box_key.clone().into();
            json["text"] = asked.to_string().into();
        })))
    });
    let error = agent.client.open_workload(&shop(), agent.speaker()).err().unwrap();
    assert!(error.to_string().contains("the signature does not fit what is signed"), "{error}");
    middle.rule(|_, _| Way::Pass);
    agent.open(&shop());
}

#[test]
fn what_is_repeated_or_reordered_has_no_effect() {
    let scene = Scene::new();
    let Scene { middle, agent, .. } = &scene;
    let client = middle.client();
    let bill = agent.ship(&shop(), b"one");
    let (opened, signed) = (middle.last("open"), middle.last("bill"));
    // A bill gets the receipt of then, however often and whenever it comes.
    let receipt = agent.hand_in(&bill).unwrap();
    for _ in 0..3 {
        assert_eq!(client.carry_bill(&signed).unwrap(), receipt);
    }
    assert_eq!(scene.world.snapshot_files(&shop()).len(), 1);
    // The answer to a question that is repeated is for the box key of who asked it.
    let again = client.carry_request(&shop(), &opened).unwrap();
    let asked: OpenRepository = serde_json::from_str(&text(&opened)).unwrap();
    assert!(outlast_wire::opening::open(&again, &asked, middle.identity()).is_err());

    // A report of trouble, then a good one: the first one again changes nothing.
    agent.report(Vec::new(), vec!["/mnt/share is not mounted".to_owned()]);
    let trouble = middle.last("report");
    let open = scene.incidents();
    assert!(open.iter().any(|(key, resolved)| key.starts_with("share/") && !resolved), "{open:?}");
    agent.report(Vec::new(), Vec::new());
    let good = middle.last("report");
    let well = scene.incidents();
    assert!(well.iter().all(|(_, resolved)| *resolved), "{well:?}");
    for old in [&trouble, &good, &trouble] {
        assert_eq!(code(client.carry_report(old)), "stale_challenge");
    }
    assert_eq!(scene.incidents(), well);

    // Two that were kept back, handed in the wrong way round.
    middle.rule(|_, _| Way::Withhold);
    let report = |problems| {
        drop(agent.client.report(&agent.report_of(Vec::new(), problems), agent.speaker()));
        middle.last("report")
    };
    let first = report(vec!["/mnt/share is not mounted".to_owned()]);
    let second = report(Vec::new());
    client.carry_report(&second).unwrap();
    assert_eq!(code(client.carry_report(&first)), "stale_challenge");
    assert_eq!(scene.incidents(), well);
    middle.rule(|_, _| Way::Pass);
    agent.report(Vec::new(), Vec::new());
}

#[test]
fn what_is_withheld_for_long_is_no_word_of_now_but_a_bill_waits_for_days() {
    let scene = Scene::new();
    let Scene { middle, agent, time, .. } = &scene;
    let client = middle.client();
    let bill = agent.bill(&shop(), &agent.upload(&shop(), b"one"));
    agent.report(Vec::new(), Vec::new());
    middle.rule(|_, _| Way::Withhold);
    agent.hand_in(&bill).unwrap_err();
    agent.client.report(&agent.report_of(vec![], vec![]), agent.speaker()).unwrap_err();
    agent.client.open_workload(&shop(), agent.speaker()).err().unwrap();
    let [opened, signed, reported] = ["open", "bill", "report"].map(|about| middle.last(about));
    time.advance(Duration::from_secs(601));
    assert_eq!(code(client.carry_report(&reported)), "stale_challenge");
    assert_eq!(code(client.carry_request(&shop(), &opened)), "stale_challenge");
    // The agent hears the fresh challenge with the refusal, and says it again by itself.
    middle.rule(|_, _| Way::Pass);
    agent.report(Vec::new(), Vec::new());
    agent.open(&shop());
    // Its certificate was good for an hour.
    time.advance(Duration::from_secs(5 * 86_400));
    client.carry_bill(&signed).unwrap();
    assert_eq!(scene.world.snapshot_files(&shop()).len(), 1);
    let words: SignedReport = serde_json::from_str(&text(&reported)).unwrap();
    let fresh = SignedReport { challenge: client.challenge(), counter: 1 << 40, ..words };
    let ended = Statement::sign(Subject::Report, &fresh, &agent.identity).unwrap();
    assert_eq!(code(client.carry_report(&ended)), "bad_statement", "its certificate has ended");
}

#[test]
fn a_revoked_agents_words_and_tickets_count_for_nothing_whoever_brings_them() {
    let scene = Scene::new();
    let Scene { world, vault, middle, agent, .. } = &scene;
    let client = middle.client();
    let bill = agent.bill(&shop(), &agent.upload(&shop(), b"one"));
    middle.rule(|_, _| Way::Withhold);
    agent.hand_in(&bill).unwrap_err();
    agent.client.report(&agent.report_of(vec![], vec![]), agent.speaker()).unwrap_err();
    let (signed, reported) = (middle.last("bill"), middle.last("report"));
    let ticket = middle.ticket(&shop());
    let stolen = Holder { role: Role::Agent, name: "road-1".to_owned() };
    let order = RevokeOrder { holder: Some(stolen), certificate: None, reason: None };
    world.client(vault, Role::Operator).revoke(&order).unwrap();
    assert_eq!(code(client.carry_bill(&signed)), "certificate_revoked");
    assert_eq!(code(client.carry_report(&reported)), "certificate_revoked");
    let store = middle.objects(&shop(), Some(&ticket));
    assert!(is_refused(store.read(&Object::Config)));
    let content = Bytes::from_static(b"spooled");
    let pack = Object::Data(PackId::of(&content));
    assert!(is_refused(store.create(&pack, content)));
}

#[test]
fn the_vault_records_what_the_agents_clock_says_and_decides_nothing_by_it() {
    let scene = Scene::new();
    let agent = scene.world.agent(&scene.vault);
    // Two days behind, and two days ahead.
    for seconds in [-172_800_i64, 172_800] {
        let began =
            outlast_types::Timestamp::from_unix(SystemClock.now().unix_seconds() + seconds, 0);
        let clock = ManualTime::new(began.unwrap());
        let speaker = outlast_wire::Speaker { identity: &agent.identity, clock: &clock };
        agent.client.open_workload(&shop(), speaker).unwrap();
        agent.client.live(speaker).unwrap();
    }
    let Scene { world, vault, middle, .. } = scene;
    drop(middle);
    vault.shutdown();
    let mut claims = Vec::new();
    let mut take = |line: &[u8]| {
        // The end of the line comes by itself.
        let entry: serde_json::Value = serde_json::from_slice(line).unwrap_or_default();
        claims.extend(entry["details"]["asker_clock"].as_str().map(str::to_owned));
        Ok(())
    };
    let all = AuditSelection::default();
    outlast_vault::export_audit(&world.config.dir, &all, &mut take).unwrap();
    assert_eq!(claims.len(), 2, "{claims:?}");
    assert!(claims[0] < claims[1], "{claims:?}");
}

#[test]
fn a_middle_that_swallows_spoils_or_reorders_objects_delays_and_nothing_is_published_before_it_is_whole()
 {
    let scene = Scene::new();
    let Scene { middle, agent, world, .. } = &scene;
    agent.ship(&shop(), b"of monday");
    let data = |object: &Object| object.pack().is_some();

    // Other bytes under a pack's name are no pack, whoever brings them.
    middle.object_rule(move |object| if data(object) { Fate::Spoil } else { Fate::Pass });
    let repository = agent.open(&shop());
    let content = Bytes::from_static(b"encrypted by nobody");
    let junk = Object::Data(PackId::of(&content));
    assert!(repository.store().create(&junk, content.clone()).is_err());
    let operator = scene.world.identity(Role::Operator, "ops");
    let address = format!("rest:{}repo/{}/", scene.vault.url(), shop());
    let at_vault = RestStore::open(&address, Some(&operator)).unwrap();
    assert!(matches!(at_vault.size(&junk), Err(StoreError::NotFound { .. })));

    // It says that it holds them all, and none arrives: whoever sent them looks, and is not taken in.
    middle.object_rule(|_| Fate::Swallow);
    let content = b"of tuesday, which the middle keeps to itself";
    let swallowed = agent.try_upload_to(&agent.open(&shop()), content).unwrap_err();
    assert!(matches!(swallowed, RepoError::Outdated { .. }), "{swallowed}");
    assert_eq!(world.snapshot_files(&shop()).len(), 1);
    // An index that comes before its packs has to wait for them.
    middle.object_rule(move |object| if data(object) { Fate::Swallow } else { Fate::Pass });
    let refused = agent.try_upload_to(&agent.open(&shop()), b"of wednesday, out of order");
    assert!(refused.is_err());
    assert_eq!(world.snapshot_files(&shop()).len(), 1);

    // Brought again by a middle that carries them, the drop is whole.
    middle.object_rule(|_| Fate::Pass);
    agent.ship(&shop(), content);
    assert_eq!(world.snapshot_files(&shop()).len(), 2);
}
