use std::sync::Arc;

use outlast_types::{Clock as _, SystemClock, SystemRandom};
use outlast_wire::enrollment::{Asked, EnrollmentRequest, Token};
use outlast_wire::request::PendingIdentity;
use outlast_wire::{CertificateAuthority, Role, ca};

use super::*;
use crate::core::storage::memory::MemoryStorage;

struct World {
    _directory: tempfile::TempDir,
    authority: CertificateAuthority,
    storage: Storage,
}

impl World {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ca");
        let authority = CertificateAuthority::create(&path, &SystemClock, &SystemRandom).unwrap();
        let storage: Storage = Arc::new(MemoryStorage::default());
        Self { _directory: directory, authority, storage }
    }

    fn tokens(&self) -> Tokens {
        Tokens::open(&self.storage).unwrap()
    }

    /// Has a token made that is good for an hour.
    fn make(&self, tokens: &Tokens, is_reusable: bool) -> Token {
        let root = self.authority.root_fingerprint().unwrap();
        let token = Token::new(root, vec!["https://vault/".to_owned()], &SystemRandom);
        let now = SystemClock.now();
        let new = NewToken {
            peer: agent(),
            grants: Grants::all(),
            hosts: Vec::new(),
            until: now.saturating_add(HOUR),
            is_reusable,
        };
        tokens.make(token.id(), token.proof_key(), "operator up", now, new).unwrap();
        token
    }

    /// Redeems a token for these keys; whether a new certificate was given, or the one of before.
    fn redeem(
        &self,
        tokens: &Tokens,
        token: &Token,
        pending: &PendingIdentity,
        now: Timestamp,
    ) -> Result<bool, VaultError> {
        let request = EnrollmentRequest::new(token, pending).unwrap();
        let asked = request.asked().unwrap();
        let is_proved = |key: &ProofKey| request.is_proved_by(key);
        tokens.redeem(token.id(), now, is_proved, |record| {
            match record.judge(&asked.keys, now)? {
                Verdict::Again(_) => Ok((false, None)),
                Verdict::New => Ok((true, Some(self.answer(&asked)))),
            }
        })
    }

    fn answer(&self, asked: &Asked) -> Answered {
        let request = ca::Request::new(agent(), HOUR);
        let issued =
            self.authority.sign_request(&asked.request, &request, &SystemClock, &SystemRandom);
        let issued = issued.unwrap();
        Answered { keys: asked.keys, certified: issued.certified, chain: issued.chain_pem }
    }
}

const HOUR: Duration = Duration::from_secs(3600);

fn agent() -> Peer {
    Peer::new(Role::Agent, "eu-1").unwrap()
}

fn keys() -> PendingIdentity {
    PendingIdentity::generate(&SystemRandom).unwrap()
}

fn refusal(result: Result<bool, VaultError>) -> TokenRefusal {
    match result {
        Err(VaultError::Token(refusal)) => refusal,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_token_serves_once_and_answers_the_same_keys_again_also_after_a_restart() {
    let world = World::new();
    let tokens = world.tokens();
    let token = world.make(&tokens, false);
    let (mine, other, now) = (keys(), keys(), SystemClock.now());
    assert!(world.redeem(&tokens, &token, &mine, now).unwrap());
    let late = now.saturating_add(2 * HOUR);
    for tokens in [tokens, world.tokens()] {
        assert!(!world.redeem(&tokens, &token, &mine, now).unwrap(), "the answer was lost");
        assert!(!world.redeem(&tokens, &token, &mine, late).unwrap(), "however late");
        let refused = refusal(world.redeem(&tokens, &token, &other, now));
        assert!(matches!(refused, TokenRefusal::Used { .. }), "{refused}");
    }
}

#[test]
fn a_token_that_ended_or_is_revoked_serves_nobody_and_says_which() {
    let world = World::new();
    let tokens = world.tokens();
    let token = world.make(&tokens, true);
    let now = SystemClock.now();
    let late = now.saturating_add(2 * HOUR);
    let refused = refusal(world.redeem(&tokens, &token, &keys(), late));
    assert!(matches!(refused, TokenRefusal::Expired { .. }), "{refused}");
    let mine = keys();
    assert!(world.redeem(&tokens, &token, &mine, now).unwrap());
    assert!(tokens.revoke(token.id(), now).unwrap().is_some());
    assert!(tokens.revoke(TokenId::new(&SystemRandom), now).unwrap().is_none());
    for tokens in [tokens, world.tokens()] {
        for pending in [&mine, &keys()] {
            let refused = refusal(world.redeem(&tokens, &token, pending, now));
            assert!(matches!(refused, TokenRefusal::Revoked { .. }), "{refused}");
        }
    }
}

#[test]
fn a_reusable_token_serves_again_never_those_before_and_not_endlessly() {
    let world = World::new();
    let tokens = world.tokens();
    let token = world.make(&tokens, true);
    let now = SystemClock.now();
    let (first, second) = (keys(), keys());
    assert!(world.redeem(&tokens, &token, &first, now).unwrap());
    assert!(world.redeem(&tokens, &token, &second, now).unwrap());
    // A request of before that somebody kept brings nobody back.
    let refused = refusal(world.redeem(&tokens, &token, &first, now));
    assert!(matches!(refused, TokenRefusal::Superseded { .. }), "{refused}");
    for _ in 2..USES_A_DAY {
        assert!(world.redeem(&tokens, &token, &keys(), now).unwrap());
    }
    for tokens in [tokens, world.tokens()] {
        let refused = refusal(world.redeem(&tokens, &token, &keys(), now));
        assert!(matches!(refused, TokenRefusal::TooOften { .. }), "{refused}");
        assert!(refused.is_passing());
    }
}

#[test]
fn whoever_has_no_proof_learns_nothing_and_holds_up_nobody() {
    let world = World::new();
    let tokens = world.tokens();
    let (token, forged) = (world.make(&tokens, false), world.make(&World::new().tokens(), false));
    let now = SystemClock.now();
    let request = EnrollmentRequest::new(&forged, &keys()).unwrap();
    let guess = |id| {
        let is_proved = |key: &ProofKey| request.is_proved_by(key);
        refusal(tokens.redeem(id, now, is_proved, |_| Ok((true, None))))
    };
    // Whether there is such a token is not told.
    for id in [token.id(), TokenId::new(&SystemRandom)]
        .into_iter()
        .cycle()
        .take(FAILURES_A_MINUTE as usize)
    {
        assert_eq!(guess(id), TokenRefusal::NotProved);
    }
    assert_eq!(guess(token.id()), TokenRefusal::TooManyFailures);
    assert!(world.redeem(&tokens, &token, &keys(), now).unwrap(), "who has it is let in");
    let later = now.saturating_add(MINUTE);
    let is_proved = |key: &ProofKey| request.is_proved_by(key);
    let refused = tokens.redeem(token.id(), later, is_proved, |_| Ok((true, None)));
    assert_eq!(refusal(refused), TokenRefusal::NotProved);
}

#[test]
fn a_record_outlives_its_token_and_not_for_ever_and_one_that_is_damaged_stops_the_vault() {
    let world = World::new();
    let tokens = world.tokens();
    let token = world.make(&tokens, false);
    let key = key_of(token.id());
    let make_at = |now: Timestamp| {
        let new = NewToken {
            peer: agent(),
            grants: Grants::all(),
            hosts: Vec::new(),
            until: now.saturating_add(HOUR),
            is_reusable: false,
        };
        let another = world.make(&World::new().tokens(), false);
        tokens.make(another.id(), another.proof_key(), "operator up", now, new).unwrap();
    };
    let now = SystemClock.now();
    make_at(now.saturating_add(REMEMBERED));
    assert!(world.storage.length(&key).unwrap().is_some());
    make_at(now.saturating_add(REMEMBERED + 2 * HOUR));
    assert_eq!(world.storage.length(&key).unwrap(), None);
    assert_eq!(tokens.list().len(), 2);
    world.storage.replace(&key, b"{}", Durability::Durable).unwrap();
    let error = Tokens::open(&world.storage).err().unwrap().to_string();
    assert!(error.contains(&key), "{error}");
}
