use outlast_testing::ManualTime;
use outlast_types::{Clock, SystemClock, SystemRandom, Timestamp};
use outlast_wire::api::OpenRepository;
use outlast_wire::challenge::ChallengeKey;
use outlast_wire::client::Answered;
use outlast_wire::opening::{self, Opening};
use outlast_wire::{CertificateAuthority, Credentials, Identity, Peer, Roads, ca};

use super::*;

const KEY: &[u8; opening::REPOSITORY_KEY_BYTES] = &[7; opening::REPOSITORY_KEY_BYTES];

/// An agent that reaches nobody.
struct Alone {
    directory: tempfile::TempDir,
    ca: CertificateAuthority,
    time: ManualTime,
    agent: IdentityHandle,
}

fn identity(ca: &CertificateAuthority, role: Role) -> Identity {
    let request = ca::Request::new(Peer::new(role, "it").unwrap(), Duration::from_secs(9 * 86_400));
    ca.issue(&request, &SystemClock, &SystemRandom).unwrap()
}

fn shop() -> WorkloadName {
    WorkloadName::new("shop").unwrap()
}

impl Alone {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (clock, random) = (&SystemClock, &SystemRandom);
        let ca = CertificateAuthority::create(&directory.path().join("ca"), clock, random).unwrap();
        let agent = IdentityHandle::from(identity(&ca, Role::Agent));
        Self { directory, ca, time: ManualTime::new(clock.now()), agent }
    }

    fn answers(&self) -> KeptAnswers {
        KeptAnswers::below(&self.directory.path().join("keys"))
    }

    fn errand(&self, agent: &IdentityHandle) -> Errand {
        // Nobody listens there.
        let address = "https://127.0.0.1:1/";
        let roads = Roads::default();
        let client = ApiClient::over(address, Credentials::Handle(agent), &roads).unwrap();
        let (identity, environment) = (agent.clone(), self.time.environment());
        let common = Common { identity, environment, answers: self.answers() };
        Errand::new(client, &shop(), &Arc::new(common))
    }

    /// The answer of a vault, or whoever `signer` is, to the agent.
    fn answered(&self, signer: &Identity) -> Answered {
        let agent = self.agent.get();
        let asked = OpenRepository {
            challenge: ChallengeKey::new(&[1; 32]).issue(self.time.now()),
            at: self.time.now(),
            share: None,
            workload: shop(),
            box_public_key: agent.box_key().public(),
            why: None,
            purpose: None,
        };
        let repository_path = "/repo/shop/".to_owned();
        let opening = Opening { repository_path, version: 2, key: KEY, ticket: None };
        let now = self.time.now();
        let answer =
            opening::answer(&asked, agent.certified(), opening, signer, now, &SystemRandom);
        Answered { asked, answer: answer.unwrap() }
    }

    fn keep(&self, at: Timestamp) {
        let answered = self.answered(&identity(&self.ca, Role::Vault));
        self.answers().keep(&answered, at, self.time.now());
    }
}

#[test]
fn an_agent_that_reaches_nobody_goes_on_by_what_it_was_given_for_a_day() {
    let alone = Alone::new();
    assert!(alone.errand(&alone.agent).open().is_err(), "it was given nothing");
    alone.keep(alone.time.now());
    alone.time.advance(Duration::from_secs(24 * 3600));
    let opened = alone.errand(&alone.agent).open().unwrap();
    assert_eq!(&*opened.key, KEY);
    alone.time.advance(Duration::from_secs(1));
    assert!(alone.errand(&alone.agent).open().is_err(), "it is a day old");
    // Told by a media server that kept it, it is no younger for that.
    alone.keep(alone.time.now());
    let before = Timestamp::from_unix(alone.time.now().unix_seconds() - 86_401, 0).unwrap();
    alone.keep(before);
    assert!(alone.errand(&alone.agent).open().is_err());
}

#[test]
fn what_was_given_is_ciphertext_for_its_asker_alone_and_counts_only_from_a_vault() {
    let alone = Alone::new();
    alone.keep(alone.time.now());
    let path = alone.directory.path().join("keys").join("shop.json");
    let file = std::fs::read(&path).unwrap();
    assert!(!String::from_utf8_lossy(&file).contains(&"BwcH".repeat(4)), "the key is in clear");
    // Of the same name, with another certificate.
    let other = IdentityHandle::from(identity(&alone.ca, Role::Agent));
    assert!(alone.errand(&other).open().is_err());
    assert!(!path.exists(), "it is of no use to anybody any more");
    let forged = alone.answered(&identity(&alone.ca, Role::Media));
    alone.answers().keep(&forged, alone.time.now(), alone.time.now());
    assert!(alone.errand(&alone.agent).open().is_err());
    alone.keep(alone.time.now());
    outlast_fs::durable::replace(&path, b"{\"version\":2}", 0o600).unwrap();
    assert!(alone.errand(&alone.agent).open().is_err());
}

#[test]
fn a_refusal_is_no_absence() {
    let body = || {
        Box::new(outlast_wire::api::ErrorBody {
            code: outlast_wire::api::ErrorCode::NotGranted,
            message: String::new(),
            hint: String::new(),
            request_id: String::new(),
            missing: Vec::new(),
        })
    };
    let location = || "somewhere".to_owned();
    for (status, expected) in [(500, false), (502, true), (503, true), (507, false)] {
        let error = CallError::Unable { location: location(), status, body: body() };
        assert_eq!(is_away(&error), expected, "{status}");
    }
    let refused = CallError::Refused { location: location(), status: 403, body: body() };
    assert!(!is_away(&refused));
}
