//! How a repository's key comes from the vault to who asked for it, through anybody's hands.
//!
//! The question is signed over a challenge and names the box key to which the answer is to be
//! sealed. The answer is signed by the vault, so that nobody makes a key up, and what is secret in it
//! is sealed, so that nobody else reads it. Both are bound to the same seven things: vault, asker, the
//! asker's certificate, share, workload, challenge, and (by the sealing itself) the box key. An
//! answer to any other question does not open, whoever exchanges it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use outlast_types::{Random, ShareId, Timestamp, WorkloadName};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::api::{Base64, OpenRepository, OpenedRepository};
use crate::certificate::{Certified, Fingerprint};
use crate::identity::Identity;
use crate::names::Names;
use crate::peer::{Peer, Role};
use crate::sealed_key::{self, CannotOpen, InvalidBoxKey};
use crate::signature::{self, SignerRefused};
use crate::statement::{Statement, StatementError, Subject};

/// The bytes of a repository's key.
pub const REPOSITORY_KEY_BYTES: usize = 64;

const CONTEXT: &[u8] = b"outlast opened repository v1\0";

/// What the vault gives to who may open a repository.
pub struct Opening<'a> {
    /// The path below the vault's address, with a slash at both ends.
    pub repository_path: String,
    /// Of the repository's format.
    pub version: u32,
    pub key: &'a [u8; REPOSITORY_KEY_BYTES],
    /// What the asker may show to a media server.
    pub ticket: Option<Statement>,
}

/// What the asker has of it.
pub struct Opened {
    /// When the vault answered, by its own clock.
    pub at: Timestamp,
    pub repository_path: String,
    pub version: u32,
    pub key: Zeroizing<[u8; REPOSITORY_KEY_BYTES]>,
    pub ticket: Option<Statement>,
}

/// What is sealed, as JSON.
#[derive(Serialize, Deserialize)]
struct Secret<'a> {
    /// In base64. Borrowed, so that what holds it is wiped.
    key: &'a str,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ticket: Option<Statement>,
}

/// Why no answer can be made.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    #[error(transparent)]
    BoxKey(#[from] InvalidBoxKey),
    #[error("the answer cannot be written: {0}")]
    Form(#[from] serde_json::Error),
}

/// Why an answer is not believed.
#[derive(Debug, thiserror::Error)]
pub enum OpeningError {
    #[error("the answer cannot be believed: {0}")]
    Statement(#[from] StatementError),
    #[error("the answer cannot be believed: {0}")]
    Signer(SignerRefused),
    #[error("the answer is not to what was asked: {0} is another")]
    Other(&'static str),
    #[error(transparent)]
    Sealed(#[from] CannotOpen),
    #[error("the answer holds no key of {REPOSITORY_KEY_BYTES} bytes")]
    NoKey,
    #[error("this program cannot write its own words: {0}")]
    Form(#[from] serde_json::Error),
}

/// To what question an answer belongs, as both sides know it by themselves.
#[derive(Serialize)]
struct Binding<'a> {
    vault: &'a Peer,
    asker: &'a Peer,
    certificate: Fingerprint,
    share: Option<ShareId>,
    workload: &'a WorkloadName,
    challenge: &'a str,
}

impl<'a> Binding<'a> {
    fn new(vault: &'a Peer, asker: &'a Certified, asked: &'a OpenRepository) -> Self {
        let OpenRepository { share, workload, challenge, .. } = asked;
        let (certificate, challenge) = (asker.fingerprint, challenge.as_str());
        Self { vault, asker: &asker.peer, certificate, share: *share, workload, challenge }
    }

    /// The `info` of the sealing.
    fn info(&self) -> serde_json::Result<Vec<u8>> {
        Ok([CONTEXT, &serde_json::to_vec(self)?].concat())
    }
}

/// The answer of `vault` to what `asker` asked, at `now` by the vault's clock.
pub fn answer(
    asked: &OpenRepository,
    asker: &Certified,
    opening: Opening<'_>,
    vault: &Identity,
    now: Timestamp,
    random: &dyn Random,
) -> Result<Statement, AnswerError> {
    let Opening { repository_path, version, key, ticket } = opening;
    let info = Binding::new(vault.peer(), asker, asked).info()?;
    let key = Zeroizing::new(STANDARD.encode(key));
    let secret = Secret { key: &key, ticket };
    let secret = Zeroizing::new(serde_json::to_vec(&secret)?);
    let sealed = sealed_key::seal(&asked.box_public_key, &info, &secret, random)?;
    let content = OpenedRepository {
        vault: vault.peer().clone(),
        asker: asker.peer.clone(),
        certificate: asker.fingerprint,
        share: asked.share,
        workload: asked.workload.clone(),
        challenge: asked.challenge.clone(),
        at: now,
        repository_path,
        version,
        sealed: Base64(sealed),
    };
    Ok(Statement::sign(Subject::Opened, &content, vault)?)
}

/// What `answer` gives to who asked `asked` as `asker`, if a vault of the authority that the asker
/// trusts gave it to this very question.
pub fn open(
    answer: &Statement,
    asked: &OpenRepository,
    asker: &Identity,
) -> Result<Opened, OpeningError> {
    open_by(answer, asked, asker, |chain_pem, message, proof| {
        let (ca_pem, names) = (asker.ca_pem(), Names::default());
        Ok(signature::signer(chain_pem, ca_pem, &names, message, proof)?)
    })
}

/// The same, where `judge` finds out who signed a message, given the signer's certificates and the
/// signature.
pub fn open_by(
    answer: &Statement,
    asked: &OpenRepository,
    asker: &Identity,
    judge: impl FnOnce(&str, &[u8], &[u8]) -> Result<Certified, SignerRefused>,
) -> Result<Opened, OpeningError> {
    let judge = |chain: &str, message: &[u8], proof: &[u8]| {
        judge(chain, message, proof).map_err(OpeningError::Signer)
    };
    let (signer, content): (Certified, OpenedRepository) =
        answer.read_by(Subject::Opened, judge)?;
    if signer.peer.role() != Role::Vault {
        let wanted = Role::Vault;
        return Err(StatementError::WrongRole { signer: signer.peer, wanted }.into());
    }
    let own = asker.certified();
    // The sealing is bound to all of this, too; here it gets its words.
    for (what, is_same) in [
        ("its vault", content.vault == signer.peer),
        ("the asker", content.asker == own.peer),
        ("the asker's certificate", content.certificate == own.fingerprint),
        ("the share", content.share == asked.share),
        ("the workload", content.workload == asked.workload),
        ("the challenge", content.challenge == asked.challenge),
    ] {
        if !is_same {
            return Err(OpeningError::Other(what));
        }
    }
    let info = Binding::new(&signer.peer, own, asked).info()?;
    let secret = asker.box_key().open(&info, &content.sealed.0)?;
    let secret: Secret<'_> = serde_json::from_slice(&secret).map_err(|_| OpeningError::NoKey)?;
    let bytes = STANDARD.decode(secret.key.as_bytes()).map(Zeroizing::new);
    let bytes = bytes.map_err(|_| OpeningError::NoKey)?;
    let key = bytes.as_slice().try_into().map(Zeroizing::new).map_err(|_| OpeningError::NoKey)?;
    let OpenedRepository { at, repository_path, version, .. } = content;
    Ok(Opened { at, repository_path, version, key, ticket: secret.ticket })
}

#[cfg(test)]
mod tests {
    use outlast_types::SystemRandom;

    use super::*;
    use crate::ca::tests::{authority, issue};
    use crate::challenge::ChallengeKey;

    const KEY: &[u8; REPOSITORY_KEY_BYTES] = &[7; REPOSITORY_KEY_BYTES];

    fn asked(asker: &Identity) -> OpenRepository {
        OpenRepository {
            challenge: ChallengeKey::new(&[1; 32]).issue(Timestamp::EPOCH),
            at: Timestamp::EPOCH,
            share: Some(ShareId::new(&SystemRandom)),
            workload: WorkloadName::new("shop-db").unwrap(),
            box_public_key: asker.box_key().public(),
            why: None,
            purpose: None,
        }
    }

    fn answered(asked: &OpenRepository, asker: &Certified, vault: &Identity) -> Statement {
        let repository_path = "/repo/shop-db/".to_owned();
        let opening = Opening { repository_path, version: 2, key: KEY, ticket: None };
        answer(asked, asker, opening, vault, Timestamp::EPOCH, &SystemRandom).unwrap()
    }

    #[test]
    fn an_answer_opens_for_its_asker_and_for_this_very_question() {
        let (_directory, authority) = authority();
        let vault = issue(&authority, Role::Vault, "hq");
        let agent = issue(&authority, Role::Agent, "eu-1");
        let other = issue(&authority, Role::Agent, "eu-2");
        let asked = asked(&agent);
        let answer = answered(&asked, agent.certified(), &vault);
        let opened = open(&answer, &asked, &agent).unwrap();
        assert_eq!((&*opened.key, opened.version), (KEY, 2));
        let refused = |question: &OpenRepository, who: &Identity| {
            open(&answer, question, who).err().map(|error| error.to_string())
        };
        assert!(refused(&asked, &other).unwrap().contains("the asker"));
        // Of the same name, with a certificate and a box key of its own.
        let renewed = issue(&authority, Role::Agent, "eu-1");
        assert!(refused(&asked, &renewed).unwrap().contains("certificate"));
        let share = Some(ShareId::new(&SystemRandom));
        let workload = WorkloadName::new("other").unwrap();
        let challenge = ChallengeKey::new(&[2; 32]).issue(Timestamp::EPOCH);
        for (what, question) in [
            ("share", OpenRepository { share, ..asked.clone() }),
            ("workload", OpenRepository { workload, ..asked.clone() }),
            ("challenge", OpenRepository { challenge, ..asked.clone() }),
        ] {
            assert!(refused(&question, &agent).unwrap().contains(what), "{what}");
        }
    }

    /// What is bound stands in the clear, too: an attacker who is himself believed may write there
    /// what he likes, and still cannot make another answer's sealed part open.
    #[test]
    fn a_sealed_part_put_under_another_answers_words_does_not_open() {
        let (_directory, authority) = authority();
        let [vault, second] = ["hq", "hq-2"].map(|name| issue(&authority, Role::Vault, name));
        let agent = issue(&authority, Role::Agent, "eu-1");
        let asked = asked(&agent);
        let true_answer = answered(&asked, agent.certified(), &vault);
        let (_, content): (_, OpenedRepository) =
            true_answer.read(Subject::Opened, agent.ca_pem()).unwrap();
        let moved = OpenedRepository { vault: second.peer().clone(), ..content.clone() };
        let moved = Statement::sign(Subject::Opened, &moved, &second).unwrap();
        assert!(matches!(open(&moved, &asked, &agent), Err(OpeningError::Sealed(_))));
        // And a key that no vault gave is none.
        let media = issue(&authority, Role::Media, "eu");
        let made_up = answered(&asked, agent.certified(), &media);
        let refused = open(&made_up, &asked, &agent);
        assert!(matches!(refused, Err(OpeningError::Statement(StatementError::WrongRole { .. }))));
        let (_elsewhere, theirs) = crate::ca::tests::authority();
        let stranger = issue(&theirs, Role::Vault, "hq");
        let forged = answered(&asked, agent.certified(), &stranger);
        assert!(open(&forged, &asked, &agent).is_err());
    }
}
