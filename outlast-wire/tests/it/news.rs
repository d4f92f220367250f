//! News of trust, as a holder of an identity hears them from a server.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::routing::get;
use axum::{Json, Router};
use outlast_testing::ManualTime;
use outlast_types::{Clock, SystemClock, SystemRandom, Timestamp};
use outlast_wire::news::{NewsError, SignedTrustNews, TrustNews};
use outlast_wire::news_watch::{HearError, NewsWatch};
use outlast_wire::revocation::{Revocation, Revocations, Revoked};
use outlast_wire::server::Limits;
use outlast_wire::signature::SignerRefused;
use outlast_wire::{
    ApiClient, Authorities, CertificateAuthority, Ended, Identity, IdentityHandle, PastAuthority,
    Peer, Role, ca,
};

use crate::support::{Server, World};

/// A server that tells news, and an agent in a directory who hears them.
struct Site {
    world: World,
    told: Arc<Mutex<Option<SignedTrustNews>>>,
    _server: Server,
    client: ApiClient,
    handle: IdentityHandle,
    watch: NewsWatch,
}

impl Site {
    /// The agent believes `others`, too.
    fn believing(others: &[&str]) -> Self {
        let world = World::new();
        let directory = world.path().join("agent");
        world.identity(Role::Agent).save(&directory).unwrap();
        let mut authorities = Authorities::load(&directory).unwrap();
        others.iter().for_each(|other| authorities.adopt(other).unwrap());
        authorities.save(&directory).unwrap();
        let told = Arc::new(Mutex::new(None::<SignedTrustNews>));
        let telling = Arc::clone(&told);
        let answer = move || {
            let news = telling.lock().unwrap().clone();
            async move { Json(news) }
        };
        let router = Router::new().route("/api/v1/trust", get(answer));
        let server = world.serve_router(router, Limits::default());
        let time = ManualTime::new(SystemClock.now());
        let handle = IdentityHandle::open(&directory, &time.environment()).unwrap();
        let client = ApiClient::following(&server.url(), &handle).unwrap();
        let watch = NewsWatch::new(&handle, &time.environment());
        Self { world, told, _server: server, client, handle, watch }
    }

    fn directory(&self) -> PathBuf {
        self.world.path().join("agent")
    }

    fn vault(&self, name: &str) -> Identity {
        self.world.named(Role::Vault, name)
    }

    /// Hears news with this number, list and these authorities of the past, by `signer`'s word.
    fn hear(
        &mut self,
        signer: &Identity,
        number: u64,
        revoked: &[&Identity],
        past: &[PastAuthority],
    ) -> Result<(), HearError> {
        let entries = revoked.iter().map(|identity| {
            let certified = identity.certified().clone();
            let (fingerprint, serial) = (certified.fingerprint, certified.serial);
            let revoked = Revoked::Certificate { fingerprint, serial, peer: certified.peer };
            Revocation { revoked, at: Timestamp::EPOCH, reason: None }
        });
        let list = Revocations::new(number, entries.collect());
        let mut authorities = signer.authorities().clone();
        authorities.past = past.to_vec();
        let news = TrustNews::new(&list, authorities, Timestamp::EPOCH);
        *self.told.lock().unwrap() = Some(SignedTrustNews::sign(&news, signer).unwrap());
        self.watch.hear(&self.client)
    }

    fn judge(&self, signer: &Identity) -> Result<Peer, SignerRefused> {
        let proof = signer.sign(b"held");
        self.handle.judge(signer.certificate_pem(), b"held", &proof).map(|it| it.peer)
    }
}

#[test]
fn what_was_revoked_is_believed_nowhere_is_kept_and_never_unlearnt() {
    let mut site = Site::believing(&[]);
    let (good, stolen) = (site.vault("hq"), site.vault("old"));
    assert!(site.judge(&stolen).is_ok());
    site.hear(&good, 3, &[&stolen], &[]).unwrap();
    let is_shut_out = |site: &Site| {
        assert!(matches!(site.judge(&stolen), Err(SignerRefused::Revoked { .. })));
        assert!(site.judge(&good).is_ok());
        let time = ManualTime::new(SystemClock.now());
        let again = IdentityHandle::open(&site.directory(), &time.environment()).unwrap();
        assert!(again.revocations().of(stolen.certified()).is_some(), "after a start, too");
    };
    is_shut_out(&site);
    // An older list, a vault that lost its list and counts anew, and the word of who is revoked.
    let back = site.hear(&good, 2, &[], &[]);
    assert!(matches!(back, Err(HearError::News(NewsError::WentBack { number: 2, known: 3 }))));
    is_shut_out(&site);
    site.hear(&good, 4, &[], &[]).unwrap();
    is_shut_out(&site);
    let by_thief = site.hear(&stolen, 9, &[&good], &[]);
    assert!(matches!(by_thief, Err(HearError::News(NewsError::Signature(_)))), "{by_thief:?}");
    // No news are no news.
    *site.told.lock().unwrap() = None;
    assert!(matches!(site.watch.hear(&site.client), Err(HearError::Call(_))));
    is_shut_out(&site);
    assert_eq!(site.handle.revocations().number(), 4);
}

#[test]
fn a_server_that_is_revoked_is_not_spoken_to_any_more() {
    let mut site = Site::believing(&[]);
    let (good, at) = (site.vault("hq"), SystemClock.now());
    site.hear(&good, 1, &[], &[]).unwrap();
    // It is the server of the tests itself, whichever of its certificates it shows.
    let peer = Peer::new(Role::Vault, "test").unwrap();
    let entry = Revocation { revoked: Revoked::Holder { peer, begun_by: at }, at, reason: None };
    site.handle.learn(Revocations::new(2, vec![entry]));
    let refused = site.watch.hear(&site.client).unwrap_err();
    let HearError::Call(error) = &refused else { panic!("{refused}") };
    assert!(error.certificate_trouble().is_some(), "{error}");
    assert!(error.to_string().contains("is revoked, by the vault's own word"), "{error}");
    assert!(!error.is_passing());
}

/// An authority of two years ago, and a vault below it.
fn older(world: &World) -> (Identity, PastAuthority) {
    let ago = |days: u64| SystemClock.now().saturating_sub(Duration::from_secs(days * 86_400));
    let time = ManualTime::new(ago(730));
    let authority =
        CertificateAuthority::create(&world.path().join("older"), &time, &SystemRandom).unwrap();
    let request =
        ca::Request::new(Peer::new(Role::Vault, "hq").unwrap(), Duration::from_secs(3600));
    let vault = authority.issue(&request, &SystemClock, &SystemRandom).unwrap();
    let certificate = authority.ca_pem().to_owned();
    let ended = Some(Ended { at: ago(0), entry: 7 });
    (vault, PastAuthority { certificate, ended })
}

#[test]
fn an_authority_of_the_past_frees_nothing_from_the_news_on_and_none_is_added() {
    let outside = World::new();
    let (old_vault, old) = older(&outside);
    let mut site = Site::believing(&[&old.certificate]);
    let good = site.vault("hq");
    assert!(site.judge(&old_vault).is_ok(), "both are believed during a rotation");
    // Whoever has a key below the old one cannot make it the only one.
    let ours = PastAuthority { certificate: good.authorities().ca_pem.clone(), ended: None };
    let forged = site.hear(&old_vault, 0, &[], &[ours]);
    assert!(matches!(forged, Err(HearError::NoneLeft { count: 1 })), "{forged:?}");
    assert!(site.judge(&good).is_ok() && site.judge(&old_vault).is_ok());

    site.hear(&good, 0, &[], std::slice::from_ref(&old)).unwrap();
    assert!(site.judge(&old_vault).is_err() && site.judge(&good).is_ok());
    let kept = Authorities::load(&site.directory()).unwrap();
    assert_eq!(
        (kept.ca_pem.trim(), kept.past.as_slice()),
        (good.ca_pem().trim(), [old].as_slice())
    );
    let proof = old_vault.sign(b"receipt");
    let believed = site.handle.get().believed_pem().to_owned();
    let chain = old_vault.certificate_pem();
    outlast_wire::signature::verify(chain, &believed, b"receipt", &proof).expect("a record stays");

    // An authority that the vault believes and this host does not stays unknown here.
    let (stranger, _) = older(&site.world);
    let mut both = good.authorities().clone();
    both.adopt(stranger.ca_pem()).unwrap();
    let news = TrustNews::new(&Revocations::new(1, Vec::new()), both, Timestamp::EPOCH);
    *site.told.lock().unwrap() = Some(SignedTrustNews::sign(&news, &good).unwrap());
    site.watch.hear(&site.client).unwrap();
    assert!(site.judge(&stranger).is_err());
    assert_eq!(Authorities::load(&site.directory()).unwrap().ca_pem.trim(), good.ca_pem().trim());
}
