use std::time::Duration;

use outlast_types::{SystemClock, SystemRandom};
use outlast_wire::{CertificateAuthority, Peer, Role, ca};

use super::*;

const PASSPHRASE: &[u8] = b"six words that nobody ever guesses";

/// A vault that was there, with its authority.
fn world() -> (tempfile::TempDir, VaultConfig) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let authority = path.join("ca");
    let authority = CertificateAuthority::create(&authority, &SystemClock, &SystemRandom).unwrap();
    let peer = Peer::new(Role::Vault, "hq").unwrap();
    let request = ca::Request::new(peer, Duration::from_secs(3600));
    let identity = authority.issue(&request, &SystemClock, &SystemRandom).unwrap();
    identity.save(&path.join("identity")).unwrap();
    let listen = "127.0.0.1:0".parse().unwrap();
    let mut config = VaultConfig::new(&path.join("vault"), listen, &path.join("identity"));
    config.save_too = vec![("ca".to_owned(), path.join("ca"))];
    super::super::start(config.clone(), Environment::system()).unwrap().shutdown();
    (directory, config)
}

fn make(config: &VaultConfig, place: &Path) -> Result<MadeKitOutcome, KitError> {
    let order = KitOrder {
        config,
        place,
        passphrase: PASSPHRASE,
        replace: false,
        by: "somebody",
        page: &|summary| format!("kit {}", summary.id),
    };
    make_kit(&order, &Environment::system())
}

#[test]
fn a_kit_has_all_that_the_vault_is_and_says_whose_it_is() {
    let (directory, config) = world();
    let place = directory.path().join("kit");
    let MadeKitOutcome { summary, not_yet } = make(&config, &place).unwrap();
    assert_eq!((summary.vault.as_str(), summary.generation), ("vault hq", 1));
    assert!(not_yet.is_empty() && summary.head.is_some());
    assert_eq!(summary.repositories, [".vault"]);
    let kit = Kit::open(&place, PASSPHRASE).unwrap();
    assert_eq!(kit.summary, summary);
    for name in ["identity/identity.pem", "identity/box.key", "passwords/.vault", "secret"] {
        assert!(kit.file(name).is_some(), "{name}");
    }
    assert_eq!(kit.file("README.txt").unwrap(), fs::read(place.join("README.txt")).unwrap());
    let target = directory.path().join("put");
    assert!(kit.put("ca", &target).unwrap() && !kit.put("nothing", &target).unwrap());
    let names = |path: &Path| {
        let mut names: Vec<_> =
            fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    assert_eq!(names(&target), names(&directory.path().join("ca")));
}

#[test]
fn what_is_no_kit_or_does_not_open_is_told_apart() {
    let (directory, config) = world();
    let place = directory.path().join("kit");
    assert!(matches!(Kit::open(&place, PASSPHRASE), Err(KitError::NotAKit { .. })));
    make(&config, &place).unwrap();
    assert!(matches!(make(&config, &place), Err(KitError::NotEmpty { .. })));
    assert!(matches!(Kit::open(&place, b"other"), Err(KitError::WrongPassphrase { .. })));
    let snapshots = place.join("snapshots");
    let snapshot = fs::read_dir(&snapshots).unwrap().next().unwrap().unwrap().path();
    let content = fs::read(&snapshot).unwrap();
    durable::replace(&snapshot, &content[..content.len() / 2], 0o600).unwrap();
    let error = Kit::open(&place, PASSPHRASE).unwrap_err();
    assert!(matches!(error, KitError::Damaged { .. }), "{error}");
    // Killed before its end.
    fs::remove_file(&snapshot).unwrap();
    let error = Kit::open(&place, PASSPHRASE).unwrap_err();
    assert!(matches!(error, KitError::Damaged { .. }), "{error}");
    fs::remove_dir_all(&place).unwrap();
    let elsewhere = VaultConfig { dir: directory.path().join("none"), ..config };
    let error = make(&elsewhere, &place).unwrap_err();
    assert!(matches!(error, KitError::Vault(StartError::NoVault { .. })), "{error}");
    assert!(!place.exists(), "nothing is made");
}
