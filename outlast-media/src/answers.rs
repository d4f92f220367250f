//! The vault's sealed answers to agents that opened repositories, kept for a day: an agent that restarts
//! while the vault is away goes on. Nobody but that agent can open them, with the box key that it had.
//!
//! An answer belongs to one question, with the challenge in it. So an agent that asks over another challenge is
//! told that it is stale, with the one of the kept answer, and asks again over that, as it does when a
//! vault says so.

use std::path::Path;
use std::time::Duration;

use outlast_types::{Environment, Timestamp, WorkloadName};
use outlast_wire::api::{OpenRepository, OpenedRepository};
use outlast_wire::challenge::Challenge;
use outlast_wire::statement::{Statement, Subject};
use outlast_wire::{Certified, Role, Trust};
use serde::{Deserialize, Serialize};

use crate::error::MediaError;
use crate::files::{Documents, age};
use crate::hearing::{hear, read};

/// How long an answer is kept, by our own clock.
const GOOD_FOR: Duration = Duration::from_secs(24 * 3600);
const BYTES_MAX: u64 = 256 << 10;
const VERSION: u32 = 1;

/// The answers that are kept.
pub(crate) struct Answers {
    documents: Documents,
    trust: Trust,
    environment: Environment,
}

#[derive(Serialize, Deserialize)]
struct Kept {
    version: u32,
    /// By our own clock.
    at: Timestamp,
    asked: OpenRepository,
    /// With which certificate it was asked.
    asker: Certified,
    answer: Statement,
}

/// What there is for an agent while the vault is away.
#[derive(Debug)]
pub(crate) enum Found {
    Answer(Box<Statement>),
    /// The same, if it is asked over this challenge.
    Over(Challenge),
}

impl Answers {
    pub(crate) fn open(
        directory: &Path,
        trust: &Trust,
        environment: &Environment,
    ) -> Result<Self, MediaError> {
        let documents = Documents::open(directory.join("answers"), BYTES_MAX)?;
        Ok(Self { documents, trust: trust.clone(), environment: environment.clone() })
    }

    /// Keeps what the vault answered to what an agent asked, if it is that. What cannot be kept is
    /// missing when the vault is away, and harms nobody before.
    pub(crate) fn keep(&self, carrier: &Certified, question: &Statement, answer: &[u8]) {
        let heard = hear::<OpenRepository>(&self.trust, carrier, Subject::Open, question);
        let Ok((asker, asked)) = heard else { return };
        let Ok(answer) = serde_json::from_slice::<Statement>(answer) else { return };
        let opened = read::<OpenedRepository>(&self.trust, Subject::Opened, &answer);
        // What lies here for a day is a vault's word, and of this question.
        let is_of_it = opened.is_ok_and(|(vault, opened)| {
            vault.peer.role() == Role::Vault
                && opened.asker == asker.peer
                && opened.challenge == asked.challenge
        });
        if !is_of_it {
            return;
        }
        let at = self.environment.clock.now();
        let name = Name::of(&asker, &asked);
        let kept = Kept { version: VERSION, at, asked, asker, answer };
        let text = serde_json::to_vec(&kept).unwrap_or_default();
        if let Err(error) = self.documents.write(&name.each(), &text) {
            tracing::warn!(%error, "an answer of the vault cannot be kept");
        }
    }

    /// What is kept for what an agent asks.
    pub(crate) fn find(
        &self,
        carrier: &Certified,
        workload: &WorkloadName,
        question: &Statement,
    ) -> Option<Found> {
        let heard = hear::<OpenRepository>(&self.trust, carrier, Subject::Open, question);
        let (asker, asked) = heard.ok()?;
        let text = self.documents.read(&Name::of(&asker, &asked).each());
        let text =
            text.inspect_err(|error| tracing::warn!(%error, "cannot read an answer")).ok()??;
        let kept: Kept = serde_json::from_slice(&text).ok()?;
        let age = self.environment.clock.now().since(kept.at);
        let is_the_same = kept.version == VERSION
            && age <= GOOD_FOR
            && asked.workload == *workload
            && kept.asker.fingerprint == asker.fingerprint
            && kept.asked.workload == asked.workload
            && kept.asked.share == asked.share
            && kept.asked.box_public_key == asked.box_public_key;
        if !is_the_same || !asker.grants.allows(workload) {
            return None;
        }
        match kept.asked.challenge == asked.challenge {
            true => Some(Found::Answer(Box::new(kept.answer))),
            false => Some(Found::Over(kept.asked.challenge)),
        }
    }

    /// Lets go of what is too old.
    pub(crate) fn tidy(&self) -> Result<(), MediaError> {
        for name in self.documents.names()? {
            let name: Vec<&str> = name.iter().map(String::as_str).collect();
            let now = self.environment.clock.now();
            if age(&self.documents.path(&name), now).is_some_and(|age| age > GOOD_FOR) {
                self.documents.remove(&name)?;
            }
        }
        Ok(())
    }
}

struct Name([String; 3]);

impl Name {
    fn of(asker: &Certified, asked: &OpenRepository) -> Self {
        let share = asked.share.map_or_else(|| "none".to_owned(), |share| share.to_string());
        Self([asked.workload.to_string(), asker.peer.name().to_owned(), share])
    }

    fn each(&self) -> [&str; 3] {
        [&self.0[0], &self.0[1], &self.0[2]]
    }
}
