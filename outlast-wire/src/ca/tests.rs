//! Authorities are made, renewed and kept, and what they issue is judged.

use std::path::Path;
use std::time::Duration;

use outlast_fs::durable;
use outlast_types::{SystemClock, SystemRandom, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use zeroize::Zeroizing;

use super::making::{Life, parameters};
use super::*;
use crate::authorities::Authorities;
use crate::certificate::{self, InvalidCertificate};
use crate::grants::Grants;
use crate::identity::Identity;
use crate::peer::{Peer, Role};
use crate::request::CertificateRequest;
use crate::sealed_key::BoxKey;

pub(crate) fn authority() -> (tempfile::TempDir, CertificateAuthority) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ca");
    // So that there is a past in which it has issued.
    let long_ago = SystemClock.now().saturating_sub(Duration::from_secs(365 * 86_400));
    let authority = CertificateAuthority::create(&path, &Stopped(long_ago), &SystemRandom).unwrap();
    (directory, authority)
}

pub(crate) fn issue(authority: &CertificateAuthority, role: Role, name: &str) -> Identity {
    let peer = Peer::new(role, name).unwrap();
    let hosts = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let request = Request { hosts, ..Request::new(peer, Duration::from_secs(3600)) };
    authority.issue(&request, &SystemClock, &SystemRandom).unwrap()
}

#[test]
fn an_identity_survives_its_directory() {
    let (directory, authority) = authority();
    let vault = issue(&authority, Role::Vault, "hq");
    let path = directory.path().join("id");
    vault.save(&path).unwrap();
    let again = Identity::load(&path).unwrap();
    assert_eq!(again.peer(), vault.peer());
    assert_eq!(again.certificate_pem(), vault.certificate_pem());
    assert_eq!(again.box_key().public(), vault.box_key().public());
    vault.save(&path).unwrap();
}

#[test]
fn a_key_of_another_certificate_is_refused() {
    let (directory, authority) = authority();
    let [one, two] = ["one", "two"].map(|name| {
        let path = directory.path().join(name);
        issue(&authority, Role::Agent, name).save(&path).unwrap();
        std::fs::read_to_string(path.join("identity.pem")).unwrap()
    });
    let (certificate, _) = certificate::split(&one);
    let (_, key) = certificate::split(&two);
    let path = directory.path().join("one");
    let mixed = certificate + &key;
    durable::replace(&path.join("identity.pem"), mixed.as_bytes(), 0o600).unwrap();
    let message = Identity::load(&path).unwrap_err().to_string();
    assert!(message.contains("another certificate"), "{message}");
    assert!(message.contains("identity.pem"), "{message}");
}

#[test]
fn an_authority_is_never_overwritten() {
    let (directory, authority) = authority();
    let path = directory.path().join("ca");
    let again = CertificateAuthority::create(&path, &SystemClock, &SystemRandom);
    assert!(matches!(again, Err(CaError::AlreadyExists { .. })));
    let opened = CertificateAuthority::open_or_create(&path, &SystemClock, &SystemRandom).unwrap();
    assert_eq!(opened.ca_pem(), authority.ca_pem());
    assert!(matches!(CertificateAuthority::open(directory.path()), Err(CaError::Missing { .. })));
}

/// A clock that stands still.
struct Stopped(Timestamp);

impl Clock for Stopped {
    fn now(&self) -> Timestamp {
        self.0
    }
}

#[test]
fn a_renewed_authority_goes_on_with_whatever_it_signed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ca");
    let now = SystemClock.now();
    let ahead = Stopped(now.saturating_add(Duration::from_secs(400 * 86400)));
    let early = CertificateAuthority::create(&path, &ahead, &SystemRandom).unwrap();
    assert!(early.validity().trouble(now).unwrap().contains("valid from"));
    let peer = Peer::new(Role::Agent, "eu-1").unwrap();
    let request = Request::new(peer, Duration::from_secs(3600));
    let agent = early.issue(&request, &ahead, &SystemRandom).unwrap();
    let refused = early.issue(&request, &SystemClock, &SystemRandom);
    assert!(matches!(refused, Err(CaError::Unusable { .. })), "its time has not begun");
    let root = RootAuthority::renew(&path.join("root"), &SystemClock, &SystemRandom).unwrap();
    let renewed = root
        .make_issuer(
            &path.join("issuer"),
            Some(early.authorities()),
            None,
            &SystemClock,
            &SystemRandom,
        )
        .unwrap();
    assert_eq!(renewed.validity().trouble(now), None);
    assert_ne!(root.certificate_pem(), early.ca_pem());
    let verify = |signer: &Identity, ca: &str| {
        crate::signature::verify(signer.certificate_pem(), ca, b"m", &signer.sign(b"m"))
    };
    // Old signatures by the new certificate, and new ones by the old certificate.
    assert_eq!(verify(&agent, root.certificate_pem()).unwrap(), *agent.peer());
    let vault = issue(&renewed, Role::Vault, "hq");
    assert_eq!(verify(&vault, early.ca_pem()).unwrap(), *vault.peer());
}

#[test]
fn what_an_earlier_authority_signed_counts_on_where_its_certificate_is_kept() {
    let (_earlier, earlier) = authority();
    let (directory, _) = authority();
    let path = directory.path().join("ca");
    let vault = issue(&earlier, Role::Vault, "hq");
    let root = RootAuthority::open(&path.join("root")).unwrap();
    let issuer = |others: &Authorities| {
        root.make_issuer(&path.join("issuer"), Some(others), None, &SystemClock, &SystemRandom)
            .unwrap()
    };
    let both = issuer(earlier.authorities());
    let both = issuer(both.authorities());
    assert_eq!(both.ca_pem().matches("BEGIN CERTIFICATE").count(), 2);
    let signed = vault.sign(b"receipt");
    let verify =
        |ca: &str| crate::signature::verify(vault.certificate_pem(), ca, b"receipt", &signed);
    let agent = issue(&both, Role::Agent, "eu-1");
    assert!(verify(agent.ca_pem()).is_ok(), "whoever is issued now believes it, too");
    let mut authorities = both.authorities().clone();
    authorities.retire_all_but(root.certificate_pem()).unwrap();
    let agent = issue(&issuer(&authorities), Role::Agent, "eu-1");
    assert!(verify(agent.ca_pem()).is_err(), "no connection of it");
    assert!(verify(agent.believed_pem()).is_ok(), "its signatures stay checkable");
}

/// An authority as earlier releases made them: one certificate, which allows no other below it.
pub(crate) fn authority_of_before(directory: &Path) -> CertificateAuthority {
    let key = KeyPair::generate().unwrap();
    let life = Life::new(Duration::from_secs(86_400), SystemClock.now());
    let mut params = parameters(life, &SystemRandom);
    params.distinguished_name.push(DnType::CommonName, "Outlast authority 00000000");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    std::fs::create_dir_all(directory).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let write = |name, text: String| {
        durable::replace(&directory.join(name), text.as_bytes(), 0o600).unwrap();
    };
    write("ca.pem", certificate.pem());
    write("ca.key", key.serialize_pem());
    CertificateAuthority::open(directory).unwrap()
}

#[test]
fn an_authority_of_before_issues_on_and_gives_way_to_a_root_without_a_gap() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ca");
    let before = authority_of_before(&path);
    assert!(CertificateAuthority::is_of_before(&path));
    let old = issue(&before, Role::Agent, "eu-1");
    assert_eq!(old.certificate_pem().matches("BEGIN CERTIFICATE").count(), 1);
    let root =
        RootAuthority::open_or_create(&path.join("root"), &SystemClock, &SystemRandom).unwrap();
    let others = Some(before.authorities());
    let make = |voucher: Option<&Voucher>| {
        root.make_issuer(&path.join("issuer"), others, voucher, &SystemClock, &SystemRandom)
            .unwrap();
        issue(&CertificateAuthority::open(&path).unwrap(), Role::Vault, "hq")
    };
    let new = make(None);
    assert_eq!(new.certificate_pem().matches("BEGIN CERTIFICATE").count(), 2);
    let verify = |signer: &Identity, believer: &Identity| {
        let ca = believer.ca_pem();
        crate::signature::verify(signer.certificate_pem(), ca, b"m", &signer.sign(b"m"))
    };
    assert!(verify(&old, &new).is_ok(), "both are believed");
    assert!(verify(&new, &new).is_ok());
    assert!(verify(&new, &old).is_err(), "who has not heard of the root");
    let old_root = RootAuthority::open(&path).unwrap();
    let voucher = root.vouched_by(&old_root, &SystemClock, &SystemRandom).unwrap();
    let vouched = make(Some(&voucher));
    assert!(verify(&vouched, &old).is_ok(), "the one that it knows vouches for it");
    assert!(verify(&vouched, &new).is_ok());
    // Nobody else's word will do.
    let other = RootAuthority::create(&path.join("other"), &SystemClock, &SystemRandom).unwrap();
    let voucher = root.vouched_by(&other, &SystemClock, &SystemRandom).unwrap();
    let vouched = make(Some(&voucher));
    assert!(verify(&vouched, &old).is_err());
    assert!(verify(&vouched, &new).is_ok());
}

#[test]
fn nothing_lives_longer_than_its_issuer() {
    let (_directory, authority) = authority();
    let peer = Peer::new(Role::Agent, "eu-1").unwrap();
    let request = Request::new(peer, Duration::from_secs(50 * 365 * 86_400));
    let agent = authority.issue(&request, &SystemClock, &SystemRandom).unwrap();
    assert_eq!(agent.validity().until, authority.validity().until);
}

/// A certificate below `issuer`, and the issuer that it makes.
fn below(
    issuer: &CertificateAuthority,
    change: impl Fn(&mut CertificateParams),
) -> (Issuer<'static, KeyPair>, String) {
    let key = KeyPair::generate().unwrap();
    let life = Life::new(Duration::from_secs(3600), SystemClock.now());
    let mut params = parameters(life, &SystemRandom);
    params.distinguished_name.push(DnType::CommonName, "between");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    change(&mut params);
    let pem = params.signed_by(&key, &issuer.issuer).unwrap().pem();
    (Issuer::new(params, key), pem)
}

/// The verdict about an agent below `issuer`, whose chain goes on with `chain`.
fn judged(
    issuer: &Issuer<'static, KeyPair>,
    chain: &str,
    ca_pem: &str,
) -> Result<(), InvalidCertificate> {
    let life = Life::new(Duration::from_secs(3600), SystemClock.now());
    let mut params = parameters(life, &SystemRandom);
    params.subject_alt_names.push(SanType::URI("outlast://agent/eu-1".try_into().unwrap()));
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let pem = params.signed_by(&KeyPair::generate().unwrap(), issuer).unwrap().pem() + chain;
    certificate::check_chain(&certificate::chain(&pem).unwrap(), ca_pem, SystemClock.now())
}

#[test]
fn an_authority_between_must_have_the_right_and_chains_end() {
    let (directory, ours) = authority();
    let ca = ours.ca_pem();
    // Below our issuer, whose path ends there.
    let (lower, pem) = below(&ours, |_| ());
    let verdict = judged(&lower, &(pem + &ours.chain_pem), ca);
    assert!(matches!(verdict, Err(InvalidCertificate::Unfit(_))), "{verdict:?}");
    // Below the root, who certifies others, and some who may not do what they do.
    let path = directory.path().join("ca/root");
    let root = CertificateAuthority::open(&path).unwrap();
    let (good, pem) = below(&root, |_| ());
    assert_eq!(judged(&good, &pem, ca), Ok(()));
    let (silent, pem) =
        below(&root, |params| params.key_usages = vec![KeyUsagePurpose::DigitalSignature]);
    assert!(matches!(judged(&silent, &pem, ca), Err(InvalidCertificate::Unfit(_))));
    let (agent, pem) = below(&root, |params| params.is_ca = IsCa::NoCa);
    assert!(matches!(judged(&agent, &pem, ca), Err(InvalidCertificate::Unfit(_))));
    // More certificates than any honest chain has, whatever they are.
    let (good, pem) = below(&root, |_| ());
    let verdict = judged(&good, &pem.repeat(6), ca);
    assert_eq!(verdict, Err(InvalidCertificate::LongChain(7)));
    assert_eq!(judged(&good, "", ca), Err(InvalidCertificate::Stranger), "a link is missing");
}

#[test]
fn grants_are_read_back_from_a_certificate_and_only_our_decision_counts() {
    let (_directory, authority) = authority();
    let pattern = |text: &str| crate::grants::WorkloadPattern::new(text).unwrap();
    let lists = [Some(vec!["crm-db", "shop-*"]), Some(vec![]), None];
    for kind in
        [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ED25519]
    {
        for list in &lists {
            let grants = list.as_ref().map_or_else(Grants::all, |list| {
                Grants::of(list.iter().map(|text| pattern(text))).unwrap()
            });
            let peer = Peer::new(Role::Reader, "eu-1").unwrap();
            let decision = Request {
                grants: grants.clone(),
                ..Request::new(peer.clone(), Duration::from_secs(60))
            };
            // What the request asks for beside its key is not listened to.
            let mut asked = CertificateParams::new(vec!["vault.example".to_owned()]).unwrap();
            asked.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            asked.distinguished_name.push(DnType::CommonName, "operator root");
            let key = KeyPair::generate_for(kind).unwrap();
            let asked = asked.serialize_request(&key).unwrap();
            let request = CertificateRequest::from_der(asked.der()).unwrap();
            let issued =
                authority.sign_request(&request, &decision, &SystemClock, &SystemRandom).unwrap();
            assert_eq!((&issued.certified.peer, &issued.certified.grants), (&peer, &grants));
            let read = certificate::facts_of_pem(&issued.chain_pem).unwrap().certified;
            assert_eq!(read, issued.certified);
            assert!(certificate::check_authority(&issued.chain_pem).is_err());
            let identity = Identity::from_parts(
                issued.chain_pem,
                Zeroizing::new(key.serialize_pem()),
                issued.authorities,
                BoxKey::generate(&SystemRandom),
            )
            .unwrap();
            let signed = identity.sign(b"bill");
            let verify = |message: &[u8]| {
                let ca = identity.ca_pem();
                crate::signature::verify(identity.certificate_pem(), ca, message, &signed)
            };
            assert_eq!(verify(b"bill").unwrap(), peer);
            assert!(verify(b"Bill").is_err());
        }
    }
}

#[test]
fn a_wrong_host_is_named() {
    let (_directory, authority) = authority();
    let peer = Peer::new(Role::Vault, "hq").unwrap();
    let hosts = vec!["not a host".to_owned()];
    let request = Request { hosts, ..Request::new(peer, Duration::from_secs(60)) };
    let error = authority.issue(&request, &SystemClock, &SystemRandom).unwrap_err();
    assert!(error.to_string().contains("\"not a host\""), "{error}");
}
