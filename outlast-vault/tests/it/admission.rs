//! What the vault takes from whom, and that it looks at all of it first.

use outlast_wire::api::ErrorCode;
use std::fs;
use std::path::PathBuf;

use bytes::Bytes;
use outlast_format::crypto::Key;
use outlast_format::index::{Condemned, IndexFile, Notes};
use outlast_format::pack::{self, PackEntry};
use outlast_format::snapshot::Snapshot;
use outlast_format::{IndexId, PackId, Sha256Id};
use outlast_fs::durable;
use outlast_repo::Repository;
use outlast_repo::proving::{Stored, header};
use outlast_store::{DirectoryStore, Kind, Object, Store, StoreError};
use outlast_types::{Clock, DropId, SystemClock, SystemRandom, Timestamp};
use outlast_vault::VaultHandle;
use outlast_wire::{RestStore, Role, ticket};

use crate::support::{Agent, World, shop};

/// A vault with one drop, the agent that brought it, and the repository's key, which every agent of
/// the workload has.
struct Scene {
    world: World,
    vault: VaultHandle,
    agent: Agent,
    repository: Repository,
    disk: DirectoryStore,
}

impl Scene {
    fn new() -> Self {
        let world = World::new();
        let vault = world.start();
        let agent = world.agent(&vault);
        agent.ship(&shop(), &noise(300_000));
        let repository = agent.open(&shop());
        let disk = DirectoryStore::open(&world.repository_directory(&shop())).unwrap();
        Self { world, vault, agent, repository, disk }
    }

    fn key(&self) -> &Key {
        self.repository.key()
    }

    fn wire(&self, role: Role) -> RestStore {
        let address = format!("rest:{}repo/shop-db/", self.vault.url());
        let mut store =
            RestStore::open(&address, Some(&self.world.identity(role, "road-1"))).unwrap();
        // A media server sends for an agent.
        if role == Role::Media {
            let opened = self.agent.client.open_workload(&shop(), self.agent.speaker()).unwrap();
            store.show_ticket(&ticket::header_text(&opened.ticket.unwrap()).unwrap());
        }
        store
    }

    fn packs(&self) -> Vec<(PackId, Vec<PackEntry>)> {
        let packs = self.disk.list(Kind::Data).unwrap().into_iter();
        let ids = packs.map(|(object, _)| object.pack().unwrap());
        ids.map(|id| (id, header(&Stored::open(&self.disk, id).unwrap(), self.key()).unwrap()))
            .collect()
    }

    fn index(&self, file: &IndexFile) -> (Object, Bytes) {
        let document = file.serialize().unwrap();
        let sealed = self.repository.seal_unpacked("index", &document, &SystemRandom).unwrap();
        (Object::Index(sealed.0), sealed.1)
    }

    /// Checks that `sent` is refused for `reason`, whoever sends it, and is not there afterwards.
    fn refuses(&self, (object, content): (Object, Bytes), reason: &str) {
        for role in [Role::Agent, Role::Media, Role::Operator] {
            let error = self.wire(role).create(&object, content.clone()).unwrap_err();
            assert!(error.to_string().contains(reason), "{role}: {error}");
            assert!(!error.is_passing(), "{role}: {error}");
        }
        assert!(matches!(self.disk.size(&object), Err(StoreError::NotFound { .. })));
    }
}

/// Bytes that do not compress.
fn noise(length: usize) -> Vec<u8> {
    let mut content = vec![0; length];
    outlast_types::Random::fill(&SystemRandom, &mut content);
    content
}

fn named<I: Sha256Id>(content: Vec<u8>) -> (I, Bytes) {
    (I::of(&content), content.into())
}

/// A pack that says of junk that it is these blobs. `sealed`: each piece of junk is sealed with the
/// right key, as only somebody who has it can.
fn junk(key: &Key, entries: &[PackEntry], sealed: bool) -> (PackId, Bytes) {
    let mut pack = Vec::new();
    let mut listed = Vec::new();
    for entry in entries {
        let offset = u32::try_from(pack.len()).unwrap();
        let length = entry.length as usize;
        if sealed {
            key.seal_onto(&noise(length - 32), &SystemRandom, &mut pack);
        } else {
            pack.extend_from_slice(&noise(length));
        }
        listed.push(PackEntry { offset, ..*entry });
    }
    pack::finish(&mut pack, &listed, key, &SystemRandom);
    named(pack)
}

#[test]
fn a_pack_of_junk_that_calls_itself_the_true_one_gets_no_name() {
    let scene = Scene::new();
    let before = scene.disk.list(Kind::Data).unwrap().len();
    for (_, entries) in scene.packs() {
        for sealed in [false, true] {
            let (name, content) = junk(scene.key(), &entries, sealed);
            scene.refuses((Object::Data(name), content), "data/");
        }
    }
    let (name, content) = named(b"no pack at all".to_vec());
    scene.refuses((Object::Data(name), content), "pack");
    assert_eq!(scene.disk.list(Kind::Data).unwrap().len(), before);
    let data = scene.world.repository_directory(&shop()).join("data");
    let files = fs::read_dir(data).unwrap().flat_map(|shard| fs::read_dir(shard.unwrap().path()));
    assert_eq!(files.flatten().count(), before, "nothing is left of what was refused");
}

#[test]
fn an_index_that_says_anything_but_what_lies_in_its_packs_gets_no_name() {
    let scene = Scene::new();
    let packs = scene.packs();
    let honest = IndexFile { packs: packs.clone(), ..IndexFile::default() };
    let (object, content) = scene.index(&honest);
    scene.wire(Role::Agent).create(&object, content).unwrap();

    let refused = |change: &dyn Fn(&mut IndexFile), reason: &str| {
        let mut file = honest.clone();
        change(&mut file);
        scene.refuses(scene.index(&file), reason);
    };
    let differs = "is not what lies there";
    refused(&|file| file.packs[0].1[0].id.0[0] ^= 1, differs);
    refused(&|file| file.packs[0].1[0].length -= 1, differs);
    refused(&|file| file.packs[0].1[0].uncompressed_length = Some(77), differs);
    refused(&|file| file.packs[0].1.truncate(0), differs);
    refused(&|file| file.packs[1].1.truncate(0), differs);
    refused(&|file| file.packs[0].1 = file.packs[1].1.clone(), differs);
    refused(
        &|file| {
            let again = file.packs[0].1[0];
            file.packs[0].1.push(again);
        },
        differs,
    );
    refused(&|file| file.packs[0].0 = PackId([7; 32]), "is not here");
    // What commands removal comes from no peer.
    let condemned = Condemned {
        since: Timestamp::EPOCH,
        sweeping: false,
        packs: packs.iter().map(|(pack, _)| *pack).collect(),
        indexes: Vec::new(),
    };
    let notes = Notes { condemned: Some(condemned), ..Notes::default() };
    refused(&|file| (file.packs, file.notes) = (Vec::new(), notes.clone()), "condemns packs");
    refused(&|file| file.notes = notes.clone(), "condemns packs");
    refused(&|file| file.supersedes = vec![IndexId([1; 32])], "takes the place of others");
    let foreign = Key::from_bytes(&[4; 64]).seal(&honest.serialize().unwrap(), &SystemRandom);
    let (name, content) = named(foreign);
    scene.refuses((Object::Index(name), content), "authentication code");
}

#[test]
fn an_index_that_unfolds_to_more_than_any_is_refused_before_it_takes_memory() {
    let scene = Scene::new();
    let mut document = br#"{"packs":["#.to_vec();
    document.resize(33 << 20, b' ');
    document.extend_from_slice(b"]}");
    let sealed = scene.repository.seal_unpacked("index", &document, &SystemRandom).unwrap();
    assert!(sealed.1.len() < 64 << 10);
    scene.refuses((Object::Index(sealed.0), sealed.1), "larger than the limit");
}

/// Puts a pack into the repository as an older vault did: unseen.
fn put_unseen(scene: &Scene, name: PackId, content: Bytes) -> PackId {
    scene.disk.create(&Object::Data(name), content).unwrap();
    name
}

#[test]
fn a_pack_that_nobody_looked_at_is_looked_at_when_an_index_lists_it() {
    let scene = Scene::new();
    let packs = scene.packs();
    let (_, entries) = &packs[0];
    let (name, content) = junk(scene.key(), entries, true);
    let pack = put_unseen(&scene, name, content);
    let listed = header(&Stored::open(&scene.disk, pack).unwrap(), scene.key()).unwrap();
    let lie = IndexFile { packs: vec![(pack, listed)], ..IndexFile::default() };
    scene.refuses(scene.index(&lie), "is not whole");

    // What was proved and is not noted any more is proved again.
    let proofs = scene.world.config.dir.join("proofs/shop-db");
    let before = fs::read(&proofs).unwrap();
    fs::remove_file(&proofs).unwrap();
    let honest = IndexFile { packs, ..IndexFile::default() };
    let (object, content) = scene.index(&honest);
    scene.wire(Role::Agent).create(&object, content).unwrap();
    assert_eq!(fs::read(&proofs).unwrap().len(), before.len(), "each is noted again");
}

#[test]
fn a_snapshot_over_an_index_that_lied_to_an_older_vault_is_not_vaulted() {
    let scene = Scene::new();
    let outcome = scene.agent.upload(&shop(), b"honest");
    // The only pack with the tree is replaced by one of junk that an index calls the tree's.
    let tree = outcome.snapshot.tree;
    let (pack, entries) = scene
        .packs()
        .into_iter()
        .find(|(_, entries)| entries.iter().any(|entry| entry.id == tree))
        .unwrap();
    let (name, content) = junk(scene.key(), &entries, true);
    let lie = put_unseen(&scene, name, content);
    scene.disk.remove(&Object::Data(pack)).unwrap();
    for (object, _) in scene.disk.list(Kind::Index).unwrap() {
        scene.disk.remove(&object).unwrap();
    }
    let listed = header(&Stored::open(&scene.disk, lie).unwrap(), scene.key()).unwrap();
    let file = IndexFile { packs: vec![(lie, listed)], ..IndexFile::default() };
    let (object, content) = scene.index(&file);
    scene.disk.create(&object, content).unwrap();
    let mut bill = scene.agent.bill(&shop(), &outcome);
    bill.objects.clear();
    let error = scene.agent.hand_in(&bill).unwrap_err();
    assert_eq!(error.code(), Some(&ErrorCode::BadBill), "{error}");
    assert!(error.to_string().contains("is not whole"), "{error}");
    assert_eq!(scene.world.snapshot_files(&shop()).len(), 1);
}

#[test]
fn a_pack_that_was_cut_off_on_the_vaults_disk_is_made_whole_when_it_comes_again() {
    let scene = Scene::new();
    let (pack, _) = scene.packs().remove(0);
    let object = Object::Data(pack);
    let content = scene.disk.read(&object).unwrap();
    let file: PathBuf = scene.disk.file_of(&object);
    for length in [0, content.len() / 2] {
        durable::replace(&file, &content[..length], 0o600).unwrap();
        scene.wire(Role::Agent).create(&object, content.clone()).unwrap();
        assert_eq!(scene.disk.read(&object).unwrap(), content);
    }
    let again = scene.wire(Role::Agent).create(&object, content);
    assert!(matches!(again, Err(StoreError::AlreadyExists { .. })), "{again:?}");
}

#[test]
fn a_drop_whose_snapshot_claims_another_host_user_tag_or_time_is_not_vaulted() {
    let scene = Scene::new();
    let outcome = scene.agent.upload(&shop(), b"content");
    let drop = DropId::new(&SystemClock, &SystemRandom);
    let honest = Snapshot {
        hostname: "shop-db".to_owned(),
        username: "road-1".to_owned(),
        tags: vec![format!("drop:{drop}")],
        time: SystemClock.now(),
        ..outcome.snapshot.clone()
    };
    let ship = |snapshot: &Snapshot| {
        scene.agent.hand_in(&scene.agent.bill_with(&shop(), &outcome, drop, snapshot))
    };
    let refused = |snapshot: Snapshot, reason: &str| {
        let error = ship(&snapshot).unwrap_err();
        assert_eq!(error.code(), Some(&ErrorCode::BadBill), "{error}");
        assert!(error.to_string().contains(reason), "{error}");
    };
    refused(Snapshot { hostname: "strange".to_owned(), ..honest.clone() }, "host");
    refused(Snapshot { username: "somebody".to_owned(), ..honest.clone() }, "user");
    refused(Snapshot { tags: Vec::new(), ..honest.clone() }, "tag");
    let far: Timestamp = "2099-01-01T00:00:00Z".parse().unwrap();
    refused(Snapshot { time: far, ..honest.clone() }, "clock");
    assert_eq!(scene.world.snapshot_files(&shop()).len(), 1);
    ship(&honest).unwrap();
}

#[test]
fn an_operators_snapshot_is_taken_only_when_its_tree_is_there() {
    let scene = Scene::new();
    let wire = scene.wire(Role::Operator);
    let seal = |snapshot: &Snapshot| {
        let document = snapshot.serialize().unwrap();
        let sealed = scene.repository.seal_unpacked("snapshot", &document, &SystemRandom).unwrap();
        (Object::Snapshot(sealed.0), sealed.1)
    };
    let known = scene.agent.upload(&shop(), b"content").snapshot;
    let unknown = Snapshot { tree: outlast_format::BlobId([7; 32]), ..known.clone() };
    let (object, content) = seal(&unknown);
    let error = wire.create(&object, content).unwrap_err();
    assert!(error.to_string().contains("no index knows its tree"), "{error}");
    let (name, content) = named(b"no snapshot".to_vec());
    assert!(wire.create(&Object::Snapshot(name), content).is_err());
    let (object, content) = seal(&known);
    wire.create(&object, content).unwrap();
    assert_eq!(scene.world.snapshot_files(&shop()).len(), 2);
}
