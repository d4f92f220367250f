//! What may go wrong on the road: full spools, lines that break, objects that nobody wants, and several media
//! servers of which each has a part.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use outlast_civil::Rate;
use outlast_format::crypto::Key;
use outlast_format::sha256;
use outlast_media::{Ask, ControlError, MediaConfig, MediaHandle, Mode, Room, ask};
use outlast_repo::{Credential, Repository};
use outlast_store::{Kind, Object, Store, StoreError};
use outlast_testing::faulty_line::{FaultyLine, Weather};
use outlast_types::{
    Clock as _, ContentHash, DropId, IndexId, PackId, Random as _, SystemClock, SystemRandom,
    WorkloadName,
};
use outlast_wire::api::{BeginShipment, CancelShipment, MediaState};
use outlast_wire::{ApiClient, Identity, RestStore, Role, ticket};

use crate::scene::{Scene, emptied, hand_in, limits, vaulted};
use crate::support::{Agent, eventually, shop};

const MIB: usize = 1 << 20;

fn noise(bytes: usize) -> Vec<u8> {
    let mut content = vec![0; bytes];
    SystemRandom.fill(&mut content);
    content
}

fn pack(content: &[u8]) -> Object {
    Object::Data(PackId(sha256(content)))
}

fn index(content: &[u8]) -> Object {
    Object::Index(IndexId(sha256(content)))
}

/// The workload's objects as an agent has them at a media server, with its key.
fn opened(agent: &Agent, media: &MediaHandle, workload: &WorkloadName) -> (RestStore, Key) {
    let client = ApiClient::new(&media.url(), &agent.identity).unwrap();
    opened_by(&client, agent, workload)
}

fn opened_by(client: &ApiClient, agent: &Agent, workload: &WorkloadName) -> (RestStore, Key) {
    let mut opened = client.open_workload(workload, agent.speaker()).unwrap();
    opened.store.show_ticket(&ticket::header_text(opened.ticket.as_ref().unwrap()).unwrap());
    (opened.store, Key::from_bytes(&opened.key))
}

/// An agent begins to ship a drop of the shop.
fn begin(agent: &Agent, drop: DropId) {
    let begin = BeginShipment {
        share: agent.share,
        workload: shop(),
        day: drop.claimed_time().day(),
        drop,
        seal: ContentHash([7; 32]),
        size: 9,
        at: SystemClock.now(),
    };
    agent.client.begin_shipment(&begin, &agent.identity).unwrap();
}

/// It brings a pack to one media server, for a drop or for none.
fn bring(agent: &Agent, media: &MediaHandle, content: &[u8], drop: Option<DropId>) {
    let client = ApiClient::new(&media.url(), &agent.identity).unwrap();
    client.bring(drop);
    let (store, _) = opened_by(&client, agent, &shop());
    store.create(&pack(content), content.to_vec().into()).unwrap();
}

/// It gives the drop up.
fn cancel(agent: &Agent, drop: DropId) {
    let (workload, reason) = (shop(), "the drop was rejected".to_owned());
    let cancel =
        CancelShipment { share: agent.share, workload, drop, reason, at: SystemClock.now() };
    agent.client.cancel_shipment(&cancel, &agent.identity).unwrap();
}

/// Several media servers behind one name: each next object goes through the next one.
struct InTurn {
    stores: Vec<RestStore>,
    next: AtomicUsize,
}

impl Store for InTurn {
    fn location(&self) -> String {
        self.stores[0].location()
    }

    fn create(&self, object: &Object, content: Bytes) -> Result<(), StoreError> {
        let turn = self.next.fetch_add(1, Ordering::SeqCst);
        self.stores[turn % self.stores.len()].create(object, content)
    }

    fn read(&self, object: &Object) -> Result<Bytes, StoreError> {
        self.stores[0].read(object)
    }

    fn read_range(&self, object: &Object, offset: u64, length: usize) -> Result<Bytes, StoreError> {
        self.stores[0].read_range(object, offset, length)
    }

    fn size(&self, object: &Object) -> Result<u64, StoreError> {
        self.stores[0].size(object).or_else(|_| self.stores[1].size(object))
    }

    fn list(&self, kind: Kind) -> Result<Vec<(Object, u64)>, StoreError> {
        let [one, two] = [0, 1].map(|number: usize| self.stores[number].list(kind));
        let all: BTreeMap<Object, u64> = one?.into_iter().chain(two?).collect();
        Ok(all.into_iter().collect())
    }

    fn remove(&self, object: &Object) -> Result<(), StoreError> {
        self.stores[0].remove(object)
    }
}

#[test]
fn objects_of_one_drop_go_through_two_media_servers_and_an_index_waits_for_packs_at_the_other() {
    let scene = Scene::new();
    let (one, two) = (scene.closed("eu-1"), scene.closed("eu-2"));
    let agent = scene.world.agent_at(&one.url());
    let (first, key) = opened(&agent, &one, &shop());
    let (second, _) = opened(&agent, &two, &shop());
    let store = InTurn { stores: vec![first, second], next: AtomicUsize::new(0) };
    let repository = Repository::open(Arc::new(store), Credential::Key(key)).unwrap();
    let outcome = agent.upload_to(&repository, &noise(3 * MIB));
    let (of_one, of_two) = (one.status().report.objects, two.status().report.objects);
    assert!(of_one > 0 && of_two > 0, "{of_one} and {of_two}");
    let bill = agent.bill(&shop(), &outcome);
    // One of the two has the index, and some of the packs are at the other.
    let with_index = |media: &MediaHandle| {
        let items = outlast_spool_names(&scene, media);
        items.iter().any(|name| name.contains("~index~"))
    };
    let (early, late) = if with_index(&one) { (&one, &two) } else { (&two, &one) };
    early.set_limits(limits(Rate::Unlimited));
    eventually("all but the index has gone", || (early.status().report.objects == 1).then_some(()));
    assert!(hand_in(&agent, &bill).map_or(true, |answer| answer.receipt.is_none()));
    late.set_limits(limits(Rate::Unlimited));
    vaulted(&agent, &bill);
    emptied(&one);
    emptied(&two);
    assert_eq!((one.status().refused, two.status().refused), (0, 0));
}

fn outlast_spool_names(scene: &Scene, media: &MediaHandle) -> Vec<String> {
    let items = scene.directory(&media.status().name).join("spool/items");
    let entries = std::fs::read_dir(items).unwrap().map(|entry| entry.unwrap().file_name());
    entries.map(|name| name.into_string().unwrap()).collect()
}

#[test]
fn a_full_spool_tells_agents_to_come_later_and_has_room_for_what_lets_it_empty() {
    let scene = Scene::new();
    let mut small = limits(Rate::PerSecond(0));
    small.room = Room { total: 2 * MIB as u64, each: 700 << 10 };
    let media = scene.start(MediaConfig { limits: small, ..scene.config("eu-1") });
    let agent = scene.world.agent_at(&media.url());
    let (store, _) = opened(&agent, &media, &shop());
    let (large, more, document) = (noise(600 << 10), noise(200 << 10), noise(300 << 10));
    store.create(&pack(&large), large.clone().into()).unwrap();
    let quota = store.create(&pack(&more), more.into()).unwrap_err();
    assert!(quota.to_string().contains("700") || quota.to_string().contains("716800"), "{quota}");
    let crm: WorkloadName = "crm-db".parse().unwrap();
    let (others, _) = opened(&agent, &media, &crm);
    let beyond = noise(650 << 10);
    let full = others.create(&pack(&beyond), beyond.into()).unwrap_err();
    assert!(matches!(full, StoreError::Full { .. }), "{full}");
    store.create(&index(&document), document.into()).unwrap();
    assert!(matches!(
        store.create(&pack(&large), large.into()),
        Err(StoreError::AlreadyExists { .. })
    ));
    let status = media.status();
    assert_eq!((status.report.objects, status.turned_away), (2, 2));
}

#[test]
fn what_the_vault_will_never_take_is_dropped_counted_and_told() {
    let scene = Scene::new();
    let media = scene.media("eu-1");
    let agent = scene.world.agent_at(&media.url());
    let (store, _) = opened(&agent, &media, &shop());
    let garbage = noise(100_000);
    store.create(&pack(&garbage), garbage.into()).unwrap();
    emptied(&media);
    let status = media.status();
    assert_eq!((status.refused, status.forwarded.objects), (1, 0));
    let told = status.report.problems.join("; ");
    assert!(told.contains("shop-db is dropped, the vault will never take it"), "{told}");
}

#[test]
fn what_vanishes_from_the_spool_or_is_damaged_there_is_told_and_sent_again_and_holds_up_nothing() {
    let scene = Scene::new();
    let media = scene.closed("eu-1");
    let agent = scene.world.agent_at(&media.url());
    let (content, drop) = (noise(3 * MIB), DropId::new(&SystemClock, &SystemRandom));
    agent.client.bring(Some(drop));
    agent.upload(&shop(), &content);
    let items = scene.directory("eu-1").join("spool/items");
    let names = outlast_spool_names(&scene, &media);
    let packs: Vec<_> = names.iter().filter(|name| !name.contains("~index~")).collect();
    let [cut, gone, ..] = &packs[..] else { panic!("{names:?}") };
    std::fs::File::options().write(true).open(items.join(cut)).unwrap().set_len(10).unwrap();
    std::fs::remove_file(items.join(gone)).unwrap();
    media.set_limits(limits(Rate::Unlimited));
    eventually("they are told", || (media.status().spoiled == 2).then_some(()));
    let told = media.status().report.problems.join("; ");
    assert!(
        told.contains("of shop-db has vanished from the spool, so its agent sends it"),
        "{told}"
    );
    assert!(told.contains("of shop-db is cut off in the spool"), "{told}");
    let bill = agent.bill_of(&shop(), &agent.upload(&shop(), &content), drop);
    vaulted(&agent, &bill);
    // Also the index that waits for what is gone.
    emptied(&media);
    assert_eq!(media.fault(), None);
}

#[test]
fn a_media_server_whose_spool_is_taken_away_at_work_ends_and_the_next_one_takes_all_again() {
    let scene = Scene::new();
    let media = scene.closed("eu-1");
    let (address, spool) = (media.address(), media.status().report.spool);
    let agent = scene.world.agent_at(&media.url());
    agent.upload(&shop(), b"insert into shop values (1);");
    let (store, _) = opened(&agent, &media, &shop());
    std::fs::remove_dir_all(scene.directory("eu-1").join("spool/items")).unwrap();
    let late = noise(1000);
    assert!(store.create(&pack(&late), late.clone().into()).is_err());
    let told = media.status().report.problems.join("; ");
    assert!(told.contains("the spool's disk takes nothing, and agents are told to come"), "{told}");
    eventually("it says that it cannot go on", || media.fault());
    media.shutdown();
    let media = scene.start(MediaConfig { listen: address, ..scene.config("eu-1") });
    assert_ne!(media.status().report.spool, spool);
    let bill = agent.bill(&shop(), &agent.upload(&shop(), b"insert into shop values (1);"));
    vaulted(&agent, &bill);
    emptied(&media);
}

#[test]
fn what_a_cancelled_shipment_brought_is_dropped_and_counted_and_is_nobodys_problem() {
    let scene = Scene::new();
    let media = scene.closed("eu-1");
    let agent = scene.world.agent_at(&media.url());
    let drop = DropId::new(&SystemClock, &SystemRandom);
    agent.client.bring(Some(drop));
    let (ours, others) = (noise(1000), noise(2000));
    let opened = || agent.open(&shop());
    opened().store().create(&pack(&ours), ours.clone().into()).unwrap();
    agent.client.bring(None);
    opened().store().create(&pack(&others), others.into()).unwrap();
    assert_eq!(media.status().report.objects, 2);
    cancel(&agent, drop);
    let status = media.status();
    assert_eq!((status.report.objects, status.dropped), (1, 1));
    assert_eq!(status.report.problems, Vec::<String>::new());
}

#[test]
fn a_cancelled_shipment_is_dropped_at_each_media_server_that_has_a_part_of_it_and_another_attempt_is_not()
 {
    let scene = Scene::new();
    let (one, two) = (scene.closed("eu-1"), scene.closed("eu-2"));
    let agent = scene.world.agent_at(&one.url());
    let drop = DropId::new(&SystemClock, &SystemRandom);
    begin(&agent, drop);
    // It tells the vault how it is when its state is another, and now and then.
    let directory = scene.directory("eu-2");
    let set = |mode| ask(&directory, &Ask::Set { mode }).unwrap();
    bring(&agent, &one, &noise(1000), Some(drop));
    bring(&agent, &two, &noise(1001), Some(drop));
    bring(&agent, &two, &noise(1002), None);
    cancel(&agent, drop);
    assert_eq!((one.status().report.objects, one.status().dropped), (0, 1));
    set(Mode::Draining);
    eventually("the other one has heard of it", || (two.status().dropped == 1).then_some(()));
    assert_eq!(two.status().report.objects, 1, "what came for no drop stays");
    assert_eq!(two.status().report.problems, Vec::<String>::new());

    begin(&agent, drop);
    set(Mode::Taking);
    bring(&agent, &two, &noise(1003), Some(drop));
    two.set_limits(limits(Rate::Unlimited));
    emptied(&two);
    // Both came to the vault, which takes no noise.
    assert_eq!((two.status().refused, two.status().dropped), (2, 1));
}

#[test]
fn a_shipment_that_was_cancelled_before_the_vault_began_anew_is_dropped_at_media_servers_that_hear_of_it_later()
 {
    let mut scene = Scene::new();
    let (one, two) = (scene.closed("eu-1"), scene.closed("eu-2"));
    let agent = scene.world.agent_at(&one.url());
    let drop = DropId::new(&SystemClock, &SystemRandom);
    begin(&agent, drop);
    bring(&agent, &two, &noise(1000), Some(drop));
    cancel(&agent, drop);
    assert_eq!(two.status().report.objects, 1, "nobody has told it");
    scene.vault_leaves();
    scene.vault_is_back();
    ask(&scene.directory("eu-2"), &Ask::Set { mode: Mode::Draining }).unwrap();
    eventually("the other one has heard of it", || (two.status().dropped == 1).then_some(()));
    assert_eq!(two.status().report.objects, 0);
}

#[test]
fn whoever_is_drained_takes_nothing_forwards_all_and_says_when_it_may_go() {
    let scene = Scene::new();
    let media = scene.closed("eu-1");
    let agent = scene.world.agent_at(&media.url());
    let bill = agent.bill(&shop(), &agent.upload(&shop(), b"insert into shop values (1);"));
    let (store, _) = opened(&agent, &media, &shop());
    let directory = scene.directory("eu-1");
    let set = |mode| ask(&directory, &Ask::Set { mode }).unwrap().report.state;
    assert_eq!(set(Mode::Draining), MediaState::Draining);
    let late = noise(1000);
    let refused = store.create(&pack(&late), late.clone().into()).unwrap_err();
    assert!(refused.to_string().contains("being drained"), "{refused}");
    media.set_limits(limits(Rate::Unlimited));
    vaulted(&agent, &bill);
    emptied(&media);
    let state = || ask(&directory, &Ask::Status).unwrap().report.state;
    eventually("it may go", || (state() == MediaState::Drained).then_some(()));
    assert_eq!(set(Mode::Taking), MediaState::Taking);
    store.create(&pack(&late), late.into()).unwrap();
}

#[test]
fn a_media_server_can_be_asked_however_long_the_path_of_its_directory_is() {
    let scene = Scene::new();
    let dir = scene.directory(&["l", "o", "n", "g"].map(|name| name.repeat(60)).join("/"));
    let media = scene.start(MediaConfig { dir: dir.clone(), ..scene.config("eu-1") });
    assert_eq!(ask(&dir, &Ask::Status).unwrap().name, "eu-1");
    media.shutdown();
    assert!(matches!(ask(&dir, &Ask::Status), Err(ControlError::Nobody { .. })));
}

#[test]
fn a_line_that_breaks_inside_objects_costs_little_more_than_what_was_on_it() {
    let scene = Scene::new();
    let line = FaultyLine::to(scene.vault.as_ref().unwrap().address(), 11).unwrap();
    let config =
        MediaConfig { upstream: format!("https://{}/", line.address()), ..scene.config("eu-1") };
    let media = scene.start(MediaConfig { limits: limits(Rate::PerSecond(0)), ..config });
    let agent = scene.world.agent_at(&media.url());
    let size = 12 * MIB;
    let bill = agent.bill(&shop(), &agent.upload(&shop(), &noise(size)));
    let before = line.carried().there;
    line.set(Weather { rate: Some(8 << 20), ..Weather::default() });
    media.set_limits(limits(Rate::Unlimited));
    for third in 1..3 {
        let enough = before + (third * size / 3) as u64;
        eventually("a part has gone", || (line.carried().there > enough).then_some(()));
        line.set(Weather::down());
        line.set(Weather { rate: Some(8 << 20), ..Weather::default() });
    }
    vaulted(&agent, &bill);
    emptied(&media);
    let went = line.carried().there - before;
    // Two breaks, and four slices at most on the line at each.
    let most = (size + size / 10 + 2 * 4 * MIB) as u64;
    assert!(went <= most, "{went} bytes went for {size}, of {most} at most");
}

#[test]
fn nobody_adds_or_reads_here_without_an_agents_own_ticket() {
    let scene = Scene::new();
    let media = scene.media("eu-1");
    let agent = scene.world.agent_at(&media.url());
    let (own, _) = opened(&agent, &media, &shop());
    assert!(own.read(&Object::Config).is_ok());
    let content = noise(100);
    let refused = |store: &RestStore| {
        let added = store.create(&pack(&content), content.clone().into());
        assert!(matches!(added, Err(StoreError::Refused { .. })), "{added:?}");
        assert!(store.read(&Object::Config).is_err());
    };
    let at = |identity: &Identity| {
        RestStore::open(&format!("rest:{}repo/{}/", media.url(), shop()), Some(identity)).unwrap()
    };
    refused(&at(&agent.identity));
    let text = {
        let client = ApiClient::new(&media.url(), &agent.identity).unwrap();
        let opened = client.open_workload(&shop(), agent.speaker()).unwrap();
        ticket::header_text(&opened.ticket.unwrap()).unwrap()
    };
    for (role, name) in [(Role::Agent, "road-2"), (Role::Operator, "ops"), (Role::Media, "eu-2")] {
        let stranger = scene.world.identity(role, name);
        let mut store = at(&stranger);
        store.show_ticket(&text);
        refused(&store);
    }
    assert_eq!(media.status().taken.objects, 0);
}

#[test]
fn what_waits_can_travel_by_disk_and_is_not_sent_again() {
    let scene = Scene::new();
    let media = scene.closed("eu-1");
    let agent = scene.world.agent_at(&media.url());
    let bill = agent.bill(&shop(), &agent.upload(&shop(), &noise(2 * MIB)));
    let disk = scene.directory("disk");
    let spool = outlast_media::spool_of(&scene.directory("eu-1"));
    let exported = outlast_media::export(&spool, &disk).unwrap();
    assert_eq!((exported.copied, exported.damaged), (media.status().report.objects, 0));
    let again = outlast_media::export(&spool, &disk).unwrap();
    assert_eq!((again.copied, again.there), (0, exported.copied));

    let operator = scene.world.identity(Role::Operator, "ops");
    let vault = scene.vault.as_ref().unwrap();
    let store = RestStore::open(&format!("rest:{}repo/{}/", vault.url(), shop()), Some(&operator));
    let store = store.unwrap();
    // Others may use the disk, too.
    outlast_fs::durable::publish_new(&disk.join("read-me"), b"of a person", 0o600).unwrap();
    let seeds = outlast_media::seeds(&disk).unwrap();
    assert_eq!(seeds.len() as u64, exported.copied);
    for seed in seeds {
        store.create(&seed.object, std::fs::read(&seed.path).unwrap().into()).unwrap();
    }
    vaulted(&agent, &bill);
    media.set_limits(limits(Rate::Unlimited));
    emptied(&media);
    let status = media.status();
    assert_eq!((status.forwarded.objects, status.known), (0, exported.copied));
}
