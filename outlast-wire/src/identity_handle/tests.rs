use std::fs;
use std::io::Write as _;

use outlast_testing::ManualTime;
use outlast_types::{Clock, SystemClock};

use super::*;
use crate::ca::tests::{authority, issue};
use crate::peer::Role;
use crate::tls;

/// An identity in a directory, the time, and the handle.
struct World {
    directory: tempfile::TempDir,
    authority: crate::CertificateAuthority,
    time: ManualTime,
    handle: IdentityHandle,
}

impl World {
    fn new() -> Self {
        let (directory, authority) = authority();
        issue(&authority, Role::Vault, "hq").save(&directory.path().join("id")).unwrap();
        let time = ManualTime::new(SystemClock.now());
        let path = directory.path().join("id");
        let handle = IdentityHandle::open(&path, &time.environment()).unwrap();
        Self { directory, authority, time, handle }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("id")
    }

    fn replace(&self, role: Role, name: &str) -> String {
        let new = issue(&self.authority, role, name);
        new.save(&self.path()).unwrap();
        new.certificate_pem().to_owned()
    }

    fn shown(&self) -> String {
        self.handle.get().certificate_pem().to_owned()
    }

    fn complaint(&self) -> Option<String> {
        self.time.advance(LOOK_INTERVAL);
        self.handle.get();
        self.handle.0.followed.as_ref().unwrap().seen.lock().unwrap().complaint.clone()
    }
}

/// In place, as careless programs do.
fn write(path: &Path, content: &[u8]) {
    fs::File::create(path).unwrap().write_all(content).unwrap();
}

#[test]
fn a_replaced_identity_is_in_force_within_a_second_and_all_that_is_made_of_it() {
    let world = World::new();
    let old = world.shown();
    let configs = tls::server_configs(&world.handle).unwrap();
    let first = configs();
    let new = world.replace(Role::Vault, "hq");
    assert_eq!(world.shown(), old, "it was looked at this moment");
    assert!(Arc::ptr_eq(&first, &configs()));
    world.time.advance(LOOK_INTERVAL);
    assert_eq!(world.shown(), new);
    assert!(!Arc::ptr_eq(&first, &configs()), "the next connection shows the new certificate");
    assert!(Arc::ptr_eq(&configs(), &configs()), "and none is made for each connection");
}

#[test]
fn a_file_that_is_torn_or_gone_changes_nothing_until_it_is_whole() {
    let world = World::new();
    let old = world.shown();
    for name in [IDENTITY_FILE, CA_FILE, BOX_KEY_FILE] {
        let path = world.path().join(name);
        let whole = fs::read(&path).unwrap();
        write(&path, &whole[..whole.len() / 2]);
        let complaint = world.complaint().unwrap();
        assert!(complaint.contains(name), "{complaint}");
        assert_eq!(world.shown(), old);
        fs::remove_file(&path).unwrap();
        assert!(world.complaint().unwrap().contains("cannot read"));
        assert_eq!(world.shown(), old);
        write(&path, &whole);
        assert_eq!(world.complaint(), None);
    }
    let new = world.replace(Role::Vault, "hq");
    world.time.advance(LOOK_INTERVAL);
    assert_eq!(world.shown(), new);
}

#[test]
fn nobody_becomes_another_without_a_restart() {
    let world = World::new();
    let old = world.shown();
    for (role, name) in [(Role::Vault, "other"), (Role::Agent, "hq")] {
        world.replace(role, name);
        let complaint = world.complaint().unwrap();
        assert!(complaint.contains(&format!("they are of {role} {name}")), "{complaint}");
        assert!(complaint.contains("this process is vault hq; restart it"), "{complaint}");
        assert_eq!(world.shown(), old);
    }
}

#[test]
fn a_certificate_of_tomorrow_waits_for_its_time_and_one_that_ended_is_not_taken() {
    let world = World::new();
    let old = world.shown();
    let at = |wrong: ManualTime| {
        let peer = world.handle.get().peer().clone();
        let request = crate::ca::Request::new(peer, Duration::from_secs(30 * 60));
        let random = outlast_types::SystemRandom;
        let new = world.authority.issue(&request, &wrong, &random).unwrap();
        new.save(&world.path()).unwrap();
        new.certificate_pem().to_owned()
    };
    let now = world.time.now();
    at(ManualTime::new(now.saturating_sub(Duration::from_secs(86400))));
    let complaint = world.complaint().unwrap();
    assert!(complaint.starts_with("the new certificate was valid until"), "{complaint}");
    // Certificates are dated back a little.
    let ahead = Duration::from_secs(35 * 60);
    let new = at(ManualTime::new(now.saturating_add(ahead)));
    let complaint = world.complaint().unwrap();
    assert!(complaint.starts_with("the new certificate is valid from"), "{complaint}");
    assert_eq!(world.shown(), old);
    world.time.advance(Duration::from_secs(31 * 60));
    assert_eq!(world.shown(), new);
}
