//! Hosts get their first certificate by a token, and the next by the one before, over the real road.

use std::path::Path;
use std::time::Duration;

use outlast_types::{Clock, Environment, SystemClock, SystemRandom, Timestamp};
use outlast_vault::VaultHandle;
use outlast_wire::api::{ErrorCode, MadeToken, TokenOrder};
use outlast_wire::client::enroll::{self, EnrollError};
use outlast_wire::enrollment::{Anchor, EnrollmentRequest, Keys, RenewalRequest, Token};
use outlast_wire::grants::{Grants, WorkloadPattern};
use outlast_wire::renewal::Renewal;
use outlast_wire::request::PendingIdentity;
use outlast_wire::{ApiClient, CallError, Identity, IdentityHandle, Roads, Role, ca};

use crate::support::{World, shop, speaker};

/// A vault that issues certificates.
fn world() -> World {
    let mut world = World::new();
    world.config.issuer = Some(world.path().join("ca"));
    world
}

fn order(vault: &VaultHandle, is_reusable: bool) -> TokenOrder {
    TokenOrder {
        role: Role::Agent,
        name: "eu-1".to_owned(),
        grants: Grants::of([WorkloadPattern::new("shop-*").unwrap()]).unwrap(),
        hosts: Vec::new(),
        ttl_seconds: 3600,
        reusable: is_reusable,
        addresses: vec!["https://127.0.0.1:1/".to_owned(), vault.url()],
    }
}

fn token(world: &World, vault: &VaultHandle, is_reusable: bool) -> Token {
    let operator = world.client(vault, Role::Operator);
    let made: MadeToken = operator.make_token(&order(vault, is_reusable)).unwrap();
    Token::from_text(&made.token).unwrap()
}

fn keys() -> PendingIdentity {
    PendingIdentity::generate(&SystemRandom).unwrap()
}

fn enroll(token: &Token, pending: PendingIdentity) -> Result<Identity, EnrollError> {
    enroll_at(token, pending, &SystemClock)
}

fn enroll_at(
    token: &Token,
    pending: PendingIdentity,
    clock: &dyn Clock,
) -> Result<Identity, EnrollError> {
    enroll::enroll(token, pending, clock, &Roads::default())
}

/// The same keys once more.
fn again(pending: &PendingIdentity) -> PendingIdentity {
    PendingIdentity::from_text(&pending.to_text()).unwrap()
}

fn code(result: Result<Identity, EnrollError>) -> ErrorCode {
    match result {
        Err(EnrollError::Call(error)) => error.code().cloned().unwrap(),
        other => panic!("{other:?}"),
    }
}

fn refused<T>(result: Result<T, CallError>) -> ErrorCode {
    result.map(drop).unwrap_err().code().cloned().unwrap()
}

/// Whether any file below `directory` has `text` in it.
fn holds(directory: &Path, text: &str) -> bool {
    std::fs::read_dir(directory).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => holds(&path, text),
            false => String::from_utf8_lossy(&std::fs::read(&path).unwrap()).contains(text),
        }
    })
}

#[test]
fn a_host_enrols_by_a_token_once_and_becomes_what_the_operator_said() {
    let world = world();
    let vault = world.start();
    let token = token(&world, &vault, false);
    let mine = keys();
    let identity = enroll(&token, again(&mine)).unwrap();
    assert_eq!(identity.peer().to_string(), "agent eu-1");
    assert_eq!(identity.grants().to_string(), "shop-*");
    let life = identity.validity().until.since(SystemClock.now());
    assert!(life > Duration::from_secs(29 * 86_400) && life <= Duration::from_secs(30 * 86_400));
    let client = ApiClient::new(&vault.url(), &identity).unwrap();
    client.open_workload(&shop(), speaker(&identity)).unwrap();
    // The answer was lost: the same keys get the same certificate, also from the next run of the vault.
    let repeated = enroll(&token, again(&mine)).unwrap();
    assert_eq!(repeated.certificate_pem(), identity.certificate_pem());
    assert_eq!(code(enroll(&token, keys())), ErrorCode::TokenUsed);
    let (text, secret) = (token.to_text(), serde_json::to_value(token.proof_key()).unwrap());
    assert!(!holds(&world.config.dir, text.split('.').nth(1).unwrap()), "the token is not kept");
    assert!(holds(&world.config.dir.join("tokens"), secret.as_str().unwrap()));
    assert!(!holds(&world.config.dir.join("audit"), secret.as_str().unwrap()));
    for words in ["token_made", "token_used", &format!("token {}, keys", token.id())] {
        vault_told(&world, words);
    }
    let operator = world.client(&vault, Role::Operator);
    let tokens = operator.tokens().unwrap();
    assert_eq!((tokens.len(), tokens[0].state.as_str()), (1, "used"));
    vault.shutdown();

    // Of a record that was put back from an older copy, a used token is used all the same.
    let record = world.config.dir.join(format!("tokens/{}.json", token.id()));
    let mut json: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&record).unwrap()).unwrap();
    json["uses"] = serde_json::json!([]);
    json.as_object_mut().unwrap().remove("answer");
    outlast_fs::durable::replace(&record, json.to_string().as_bytes(), 0o600).unwrap();
    let listen = format!("https://{}/", world.config.listen);
    assert!(listen.ends_with(":0/"), "another port, which the token does not name");
    let vault = world.start();
    let moved = moved(&token, &vault);
    assert_eq!(code(enroll(&moved, keys())), ErrorCode::TokenUsed);
    // Those keys have proved to be of the host that it was for.
    enroll(&moved, again(&mine)).unwrap();
}

/// The token, with the address that the vault has now.
fn moved(token: &Token, vault: &VaultHandle) -> Token {
    token.at(vec![vault.url()])
}

fn vault_told(world: &World, words: &str) {
    assert!(holds(&world.config.dir.join("audit"), words), "{words}");
}

#[test]
fn a_wrong_token_or_authority_or_clock_has_its_own_word_and_uses_no_token() {
    let world = world();
    let vault = world.start();
    let token = token(&world, &vault, false);
    let forged = Token::new(token.authority(), vec![vault.url()], &SystemRandom);
    assert_eq!(code(enroll(&forged, keys())), ErrorCode::BadToken);
    vault_told(&world, "bad_token");

    let elsewhere = self::world();
    let other_vault = elsewhere.start();
    let astray = token.at(vec![other_vault.url()]);
    let error = enroll(&astray, keys()).unwrap_err();
    assert!(matches!(error, EnrollError::OtherAuthority { .. }), "{error}");

    for seconds in [600, 2 * 86_400] {
        let off = Duration::from_secs(seconds);
        let now = SystemClock.now();
        for clock in [now.saturating_add(off), now.saturating_sub(off)] {
            let error = enroll_at(&token, keys(), &Stopped(clock)).unwrap_err();
            assert!(matches!(error, EnrollError::Clock { .. }), "{error}");
            assert!(error.to_string().contains(&clock.to_string()), "{error}");
        }
    }
    let operator = world.client(&vault, Role::Operator);
    enroll(&token, keys()).unwrap();

    let another = self::token(&world, &vault, false);
    operator.revoke_token(another.id()).unwrap();
    assert_eq!(code(enroll(&another, keys())), ErrorCode::TokenRevoked);
    assert_eq!(refused(operator.revoke_token(forged.id())), ErrorCode::UnknownToken);
    let agent = world.client(&vault, Role::Agent);
    assert_eq!(refused(agent.make_token(&order(&vault, false))), ErrorCode::Refused);
    assert_eq!(refused(agent.tokens()), ErrorCode::Refused);
    for bad in [
        TokenOrder { ttl_seconds: 0, ..order(&vault, false) },
        TokenOrder { ttl_seconds: 31 * 86_400, ..order(&vault, false) },
        TokenOrder { addresses: Vec::new(), ..order(&vault, false) },
        TokenOrder { role: Role::Media, ..order(&vault, false) },
        TokenOrder { hosts: vec!["eu-1".to_owned()], ..order(&vault, false) },
    ] {
        assert_eq!(refused(operator.make_token(&bad)), ErrorCode::BadOrder);
    }
}

struct Stopped(Timestamp);

impl Clock for Stopped {
    fn now(&self) -> Timestamp {
        self.0
    }
}

#[test]
fn a_vault_without_an_issuer_says_so() {
    let world = World::new();
    let vault = world.start();
    let operator = world.client(&vault, Role::Operator);
    assert_eq!(refused(operator.make_token(&order(&vault, false))), ErrorCode::NoIssuer);
}

#[test]
fn a_reusable_token_serves_one_name_again_and_the_one_before_is_out_at_once() {
    let world = world();
    let vault = world.start();
    let token = token(&world, &vault, true);
    let first_keys = keys();
    let mut before: Option<(ApiClient, Identity)> = None;
    for pending in [again(&first_keys), keys(), keys()] {
        let identity = enroll(&token, pending).unwrap();
        let client = ApiClient::new(&vault.url(), &identity).unwrap();
        client.open_workload(&shop(), speaker(&identity)).unwrap();
        if let Some((client, identity)) = before.replace((client, identity)) {
            // On the connection that it had open, too.
            let error = client.open_workload(&shop(), speaker(&identity)).err().unwrap();
            assert!(error.to_string().contains("is revoked since"), "{error}");
        }
    }
    // Whoever kept the request of the first does not come back by it, nor shuts the last one out.
    assert_eq!(code(enroll(&token, first_keys)), ErrorCode::TokenUsed);
    let (client, identity) = before.unwrap();
    client.open_workload(&shop(), speaker(&identity)).unwrap();
    // Once its holder is revoked, the token is, too.
    let operator = world.client(&vault, Role::Operator);
    let holder = outlast_wire::api::Holder { role: Role::Agent, name: "eu-1".to_owned() };
    let (holder, certificate, reason) = (Some(holder), None, None);
    operator.revoke(&outlast_wire::api::RevokeOrder { holder, certificate, reason }).unwrap();
    assert_eq!(code(enroll(&token, keys())), ErrorCode::TokenRevoked);
    assert!(client.open_workload(&shop(), speaker(&identity)).is_err());
}

#[test]
fn a_middle_carries_an_enrolment_and_a_renewal_and_is_believed_in_nothing() {
    let world = world();
    let vault = world.start();
    let token = token(&world, &vault, false);
    let media = world.client(&vault, Role::Media);
    let pending = keys();
    let request = EnrollmentRequest::new(&token, &pending).unwrap();
    let answer = media.enroll(&request).unwrap();
    let wanted = Keys::of_pending(&pending).unwrap();
    let verified = answer.verify(&wanted, Anchor::Fingerprint(token.authority())).unwrap();
    let (granted, certified) = verified;
    assert_eq!(certified.peer.to_string(), "agent eu-1");
    let identity = pending.certified(&granted.certificate, granted.authorities).unwrap();

    let next = keys();
    let request = RenewalRequest::new(&identity, &next).unwrap();
    let answer = media.renew(&request).unwrap();
    let wanted = Keys::of_pending(&next).unwrap();
    answer.verify(&wanted, Anchor::Authorities(identity.ca_pem())).unwrap();
    // Nobody else carries it.
    let other = world.client(&vault, Role::Reader);
    assert_eq!(refused(other.renew(&request)), ErrorCode::Refused);
    // What is signed by a key that the chain does not name is signed by nobody.
    let stranger = self::world().identity(Role::Agent, "eu-1");
    let request = RenewalRequest::new(&stranger, &next).unwrap();
    assert_eq!(refused(media.renew(&request)), ErrorCode::CertificateUntrusted);
}

#[test]
fn a_certificate_renews_itself_and_one_that_ended_does_so_and_nothing_else() {
    let world = world();
    let vault = world.start();
    let directory = world.path().join("agent");
    let environment = Environment::system();
    let grants = Grants::of([WorkloadPattern::new("shop-*").unwrap()]).unwrap();
    let peer = outlast_wire::Peer::new(Role::Agent, "eu-1").unwrap();
    let request = ca::Request::new(peer, Duration::from_secs(60));
    // It began with the authority, a moment ago, and has ended.
    let old = world.issue(&ca::Request { grants, lifetime: Duration::ZERO, ..request });
    old.save(&directory).unwrap();
    let handle = IdentityHandle::open(&directory, &environment).unwrap();
    let client = ApiClient::following(&vault.url(), &handle).unwrap();
    crate::support::eventually("its end", || {
        let error = client.open_workload(&shop(), speaker(&handle.get())).err()?;
        error.to_string().contains("was valid until").then_some(())
    });
    Renewal::new(&handle, &environment).attend(&client);
    let new = handle.get();
    assert_ne!(new.certificate_pem(), old.certificate_pem());
    assert_eq!((new.peer(), new.grants()), (old.peer(), old.grants()));
    assert_ne!(new.box_key().public(), old.box_key().public(), "new keys each time");
    client.open_workload(&shop(), speaker(&new)).unwrap();
    // It is on disk, and nothing waits any more.
    let saved = Identity::load(&directory).unwrap();
    assert_eq!(saved.certificate_pem(), new.certificate_pem());
    assert!(!directory.join("waiting.key").exists());
    // One that is young is left alone.
    Renewal::new(&handle, &environment).attend(&client);
    assert_eq!(handle.get().certificate_pem(), new.certificate_pem());
}

#[test]
fn a_vault_renews_its_own_certificate_and_keeps_its_names() {
    let world = world();
    // Most of its life is over as soon as it is made.
    let old = world.identity_for(Role::Vault, "main", Duration::from_secs(60));
    old.save(&world.config.identity).unwrap();
    let vault = world.start();
    let new = crate::support::eventually("its renewal", || {
        let new = Identity::load(&world.config.identity).unwrap();
        (new.certificate_pem() != old.certificate_pem()).then_some(new)
    });
    assert!(new.validity().until.since(SystemClock.now()) > Duration::from_secs(29 * 86_400));
    assert_eq!(new.peer(), old.peer());
    // Whoever connects is shown the new one, which is good for the same hosts.
    world.client(&vault, Role::Operator).workloads().unwrap();
    vault_told(&world, "renewal of");
}

#[test]
fn what_others_issued_is_renewed_by_others() {
    let world = world();
    let elsewhere = World::new();
    let (mut own, other) =
        (world.identity(Role::Vault, "main"), elsewhere.identity(Role::Agent, "eu-1"));
    let mut authorities = own.authorities().clone();
    authorities.adopt(other.ca_pem()).unwrap();
    own.save(&world.config.identity).unwrap();
    authorities.save(&world.config.identity).unwrap();
    own = Identity::load(&world.config.identity).unwrap();
    assert_eq!(own.ca_pem().matches("BEGIN CERTIFICATE").count(), 2);
    let vault = world.start();
    // A holder that believes this vault, too, and whose certificate is another authority's.
    let directory = world.path().join("other");
    other.save(&directory).unwrap();
    authorities.save(&directory).unwrap();
    let other = Identity::load(&directory).unwrap();
    let client = ApiClient::new(&vault.url(), &other).unwrap();
    client.open_workload(&shop(), speaker(&other)).unwrap();
    let request = RenewalRequest::new(&other, &keys()).unwrap();
    assert_eq!(refused(client.renew(&request)), ErrorCode::NotRenewable);
}
