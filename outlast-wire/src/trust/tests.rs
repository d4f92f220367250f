use outlast_testing::ManualTime;
use outlast_types::SystemClock;

use super::*;
use crate::authorities::Authorities;
use crate::ca::tests::{authority, issue};
use crate::grants::{Grants, WorkloadPattern};
use crate::names::Named;
use crate::peer::Role;
use crate::revocation::{Revocation, Revoked};
use crate::signature::SignatureError;

/// A vault that follows its identity, and an agent who is connected to it.
struct World {
    directory: tempfile::TempDir,
    authority: crate::CertificateAuthority,
    time: ManualTime,
    trust: Trust,
}

const DAY: Duration = Duration::from_secs(86_400);

impl World {
    fn new() -> Self {
        let (directory, authority) = authority();
        let path = directory.path().join("id");
        issue(&authority, Role::Vault, "hq").save(&path).unwrap();
        let time = ManualTime::new(SystemClock.now());
        let environment = time.environment();
        let identity = IdentityHandle::open(&path, &environment).unwrap();
        let trust = Trust::new(&identity, &environment.clock);
        Self { directory, authority, time, trust }
    }

    fn connect(&self, identity: &Identity) -> Presented {
        let chain = certificate::chain(identity.certificate_pem()).unwrap();
        self.trust.presented(Some(&chain))
    }

    /// The vault believes others from now on.
    fn believe(&self, authorities: &Authorities) {
        authorities.save(&self.directory.path().join("id")).unwrap();
        self.time.advance(Duration::from_secs(1));
    }
}

fn revoke(number: u64, identity: &Identity) -> Revocations {
    let revoked = Revoked::Certificate {
        fingerprint: identity.certified().fingerprint,
        serial: identity.certified().serial.clone(),
        peer: identity.peer().clone(),
    };
    Revocations::new(number, vec![Revocation { revoked, at: Timestamp::EPOCH, reason: None }])
}

fn code(caller: &Caller) -> Option<&ErrorCode> {
    match caller {
        Caller::Refused(refusal) => Some(&refusal.code),
        _ => None,
    }
}

#[test]
fn a_connection_is_worth_what_its_certificate_is_worth_at_each_request() {
    let world = World::new();
    let agent = issue(&world.authority, Role::Agent, "eu-1");
    let open = world.connect(&agent);
    assert_eq!(open.caller().peer(), Some(agent.peer()));
    // It ends, may be renewed for ninety days, and is over.
    world.time.advance(Duration::from_secs(3601));
    assert_eq!(open.caller(), Caller::Lapsed(Arc::new(agent.certified().clone())));
    assert_eq!(open.caller().peer(), None);
    world.time.advance(DAY * 89);
    assert!(matches!(open.caller(), Caller::Lapsed(_)));
    world.time.advance(DAY);
    assert_eq!(code(&open.caller()), Some(&ErrorCode::CertificateEnded));
    assert_eq!(world.trust.presented(None).caller(), Caller::Anonymous);
}

#[test]
fn a_revocation_is_in_force_at_the_next_request_and_no_older_list_undoes_it() {
    let world = World::new();
    let agent = issue(&world.authority, Role::Agent, "eu-1");
    let open = world.connect(&agent);
    assert!(matches!(open.caller(), Caller::Known(_)));
    assert_eq!(world.trust.learn(revoke(3, &agent)), 3);
    assert_eq!(code(&open.caller()), Some(&ErrorCode::CertificateRevoked));
    assert_eq!(world.trust.learn(Revocations::new(2, Vec::new())), 3);
    assert_eq!(code(&open.caller()), Some(&ErrorCode::CertificateRevoked));
    // Nor does it renew what ended meanwhile.
    world.time.advance(DAY);
    assert_eq!(code(&open.caller()), Some(&ErrorCode::CertificateRevoked));
    let again = issue(&world.authority, Role::Agent, "eu-1");
    assert!(code(&world.connect(&again).caller()).is_none(), "the name is not lost");
}

#[test]
fn an_authority_that_is_dropped_ends_connections_that_are_open() {
    let world = World::new();
    let (_directory, new) = authority();
    let old = issue(&world.authority, Role::Agent, "eu-1");
    let open = world.connect(&old);
    assert!(matches!(open.caller(), Caller::Known(_)));
    let mut both = new.authorities().clone();
    both.adopt(world.authority.ca_pem()).unwrap();
    world.believe(&both);
    let other = world.connect(&issue(&new, Role::Agent, "eu-2"));
    assert!(matches!(open.caller(), Caller::Known(_)), "both are believed");
    assert!(matches!(other.caller(), Caller::Known(_)));
    both.retire_all_but(new.ca_pem()).unwrap();
    world.believe(&both);
    assert_eq!(code(&open.caller()), Some(&ErrorCode::CertificateUntrusted));
    assert!(matches!(other.caller(), Caller::Known(_)));
    // What it signed is past: it can be read, and is no word of now.
    let signed = old.sign(b"bill");
    let judged = world.trust.judge_signer(old.certificate_pem(), b"bill", &signed);
    assert!(matches!(judged, Err(SignerRefused::Signature(_))), "{judged:?}");
    let vault = world.trust.0.identity.get();
    let believed = vault.believed_pem();
    let read = crate::signature::verify(old.certificate_pem(), believed, b"bill", &signed);
    assert_eq!(read.as_ref(), Ok(old.peer()));
}

#[test]
fn a_signer_counts_until_revoked_and_somewhat_beyond_the_end() {
    let world = World::new();
    let agent = issue(&world.authority, Role::Agent, "eu-1");
    let signed = agent.sign(b"bill");
    let judge =
        |message: &[u8]| world.trust.judge_signer(agent.certificate_pem(), message, &signed);
    assert_eq!(judge(b"bill").as_ref(), Ok(agent.certified()));
    assert!(matches!(judge(b"Bill"), Err(SignerRefused::Signature(SignatureError::Mismatch))));
    let (_directory, theirs) = authority();
    let stranger = issue(&theirs, Role::Agent, "eu-1");
    let forged = stranger.sign(b"bill");
    let forged = world.trust.judge_signer(stranger.certificate_pem(), b"bill", &forged);
    assert!(matches!(forged, Err(SignerRefused::Signature(_))));
    world.time.advance(DAY * 80);
    assert!(judge(b"bill").is_ok(), "it waited");
    world.time.advance(DAY * 11);
    assert!(matches!(judge(b"bill"), Err(SignerRefused::Ended { .. })));
    world.trust.learn(revoke(1, &agent));
    assert!(matches!(judge(b"bill"), Err(SignerRefused::Revoked { .. })));
}

/// A certificate as a bank issues them, by its own root: names of its own, and a key of this kind.
fn banks_own(
    key: &impl rcgen::PublicKeyData,
    names: &[&str],
    change: impl FnOnce(&mut rcgen::CertificateParams),
) -> (String, String) {
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
    let mut bank = CertificateParams::default();
    bank.distinguished_name.push(DnType::CommonName, "Bank root");
    bank.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let bank_key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    let root = bank.self_signed(&bank_key).unwrap().pem();
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "Bank");
    params.distinguished_name.push(DnType::CommonName, "backup-eu");
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    change(&mut params);
    let pem = params.signed_by(key, &Issuer::new(bank, bank_key)).unwrap().pem();
    (pem, root)
}

/// The world, where the vault believes the bank too, and knows whom two of its names mean.
fn with_bank(world: &World, root: &str) -> Trust {
    let mut authorities = world.authority.authorities().clone();
    authorities.adopt(root).unwrap();
    world.believe(&authorities);
    let named = |name: &str, grants| {
        (name.parse().unwrap(), Named { peer: Peer::new(Role::Agent, "eu-1").unwrap(), grants })
    };
    let only_shop = Grants::of([WorkloadPattern::new("shop-*").unwrap()]).unwrap();
    let names = Names::new([
        named("CN=backup-eu,O=Bank", only_shop.clone()),
        named("DNS:eu-1.bank.example", only_shop),
    ]);
    Trust::by_names(&world.trust.0.identity, &world.trust.0.clock, names)
}

#[test]
fn certificates_issued_elsewhere_mean_whom_policy_says_and_have_a_key_of_three_kinds() {
    use rcgen::KeyPair;
    let algorithms =
        [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ED25519];
    for algorithm in algorithms {
        let world = World::new();
        let key = KeyPair::generate_for(algorithm).unwrap();
        let (pem, root) = banks_own(&key, &[], |_| ());
        let trust = with_bank(&world, &root);
        let chain = certificate::chain(&pem).unwrap();
        let caller = trust.presented(Some(&chain)).caller();
        assert_eq!(caller.peer().map(Peer::name), Some("eu-1"), "{caller:?}");
        let Caller::Known(certified) = caller else { panic!("not known") };
        assert_eq!(certified.grants.to_string(), "shop-*");
        // Without that policy, it is nobody's; and what it signs counts where it is known.
        let nobody = world.trust.presented(Some(&chain)).caller();
        assert_eq!(code(&nobody), Some(&ErrorCode::NoIdentity), "{nobody:?}");
        let Caller::Refused(Refusal { reason, .. }) = nobody else { panic!("not refused") };
        assert!(reason.contains("CN=backup-eu,O=Bank"), "{reason}");
        let signed = rcgen::SigningKey::sign(&key, b"bill").unwrap();
        assert_eq!(trust.judge_signer(&pem, b"bill", &signed).unwrap().peer.name(), "eu-1");
        assert!(trust.judge_signer(&pem, b"Bill", &signed).is_err());
        assert!(world.trust.judge_signer(&pem, b"bill", &signed).is_err());
    }
}

#[test]
fn our_own_uri_needs_no_policy_and_other_kinds_of_keys_are_refused_by_name() {
    use rcgen::{KeyPair, SanType};
    struct Rsa;
    impl rcgen::PublicKeyData for Rsa {
        fn der_bytes(&self) -> &[u8] {
            &[0x30, 6, 2, 1, 0x7f, 2, 1, 3]
        }
        fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
            &rcgen::PKCS_RSA_SHA256
        }
    }
    let ours = |uris: &'static [&'static str]| {
        move |params: &mut rcgen::CertificateParams| {
            for uri in uris {
                params.subject_alt_names.push(SanType::URI((*uri).try_into().unwrap()));
            }
        }
    };
    let judged = |pem: &str, root: &str| {
        let world = World::new();
        let trust = with_bank(&world, root);
        trust.presented(Some(&certificate::chain(pem).unwrap())).caller()
    };
    let key = KeyPair::generate().unwrap();
    let uris = &["spiffe://bank/eu-7", "outlast://reader/eu-7"];
    let (pem, root) = banks_own(&key, &[], ours(uris));
    assert_eq!(judged(&pem, &root).peer(), Some(&Peer::new(Role::Reader, "eu-7").unwrap()));
    let (pem, root) = banks_own(&key, &["EU-1.bank.example"], |_| ());
    assert_eq!(judged(&pem, &root).peer().map(Peer::name), Some("eu-1"), "by either name");
    let (pem, root) = banks_own(&key, &[], ours(&["outlast://agent/a", "outlast://operator/b"]));
    assert_eq!(code(&judged(&pem, &root)), Some(&ErrorCode::NoIdentity));
    let (pem, root) = banks_own(&Rsa, &[], |_| ());
    let Caller::Refused(Refusal { reason, .. }) = judged(&pem, &root) else { panic!("known") };
    assert!(reason.contains("RSA") && reason.contains("P-384"), "{reason}");
}

#[test]
fn a_certificate_that_names_nobody_is_refused_with_the_reason() {
    use rcgen::{CertificateParams, KeyPair};
    let world = World::new();
    let params = CertificateParams::new(vec!["eu-1.example".to_owned()]).unwrap();
    let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
    let open = world.trust.presented(Some(&[certificate.der().clone()]));
    assert_eq!(code(&open.caller()), Some(&ErrorCode::NoIdentity));
}
