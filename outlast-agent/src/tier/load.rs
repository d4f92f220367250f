//! Reading a drop into a repository: once, every hash verified on the way.

use std::collections::HashSet;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use outlast_drop::sanity::{Examined, ExaminedTree, SanityWatch};
use outlast_drop::tar::{TarLimits, TarSource, TarWatch};
use outlast_drop::{Content as Kind, ReadOptions, ReadWatch, Rejection, Seal, SealedDrop};
use outlast_fs::FileTime;
use outlast_repo::backup::{self, Engine, Input, Options, Outcome, StreamInput};
use outlast_repo::{RepoError, Repository};
use outlast_types::{Doubt, DoubtCode, Environment, Sanity, Silent, Verdict};
use outlast_wire::receipts::Authority;

use super::transit::Blob;
use crate::destination::{Cargo, Content, Failure};
use crate::pace::{Pace, Reading};
use crate::receipts::Reader;

/// Permissions of a stream's file in the snapshot.
const STREAM_MODE: u32 = 0o644;

/// The tools to read drops into a repository.
pub(super) struct Loading<'a> {
    pub(super) repository: &'a Arc<Repository>,
    pub(super) journal: &'a Path,
    /// The agent's name.
    pub(super) agent: &'a str,
    pub(super) environment: &'a Environment,
    /// What all loads share.
    pub(super) engine: &'a Engine,
    pub(super) pace: &'a Pace,
    pub(super) cargo: &'a Cargo<'a>,
    /// Whose words on the share count.
    pub(super) authority: &'a Authority,
    /// Blobs that the vault does not have, whatever is known of them.
    pub(super) doubted: HashSet<Blob>,
}

impl Loading<'_> {
    /// Reads the drop once: verifies every hash and stores its content.
    pub(super) fn read(
        &self,
        sealed: &SealedDrop,
        accepted: &mut dyn FnMut(Content),
    ) -> Result<(Outcome, Sanity), Failure> {
        let seal = sealed.seal();
        let content = Content { seal: sealed.seal_digest(), bytes: seal.raw_bytes() };
        let reader = sealed.content(ReadOptions::SIDE_BY_SIDE);
        let watch = reader.watch();
        let is_read = Arc::new(AtomicBool::new(false));
        let is_stopped = || self.cargo.is_stopped();
        let reading = self.pace.reading(&sealed.address().workload);
        let reader = Paced { inner: reader, reading };
        let reader = Attentive { inner: reader, is_stopped, is_read: Arc::clone(&is_read) };
        let (input, tar, sanity) = match &seal.content {
            Kind::Stream { name } => {
                let reader = Examined::new(reader);
                let sanity = reader.watch();
                (stream(name, seal, reader), None, sanity)
            }
            Kind::Tree => {
                let source = TarSource::new(reader, TarLimits::default());
                let tar = source.watch();
                let source = ExaminedTree::new(source);
                let sanity = source.watch();
                (Input::Tree(Box::new(source)), Some(tar), sanity)
            }
        };
        let options = self.options(sealed, seal);
        let (clock, random) = (&*self.environment.clock, &*self.environment.random);
        match backup::backup(self.repository, input, &options, clock, random, &Silent) {
            Ok(outcome) => {
                self.check(&outcome, &watch)?;
                let sanity = self.judge(sealed, &sanity)?;
                accepted(content);
                Ok((outcome, sanity))
            }
            Err(error) => {
                // The end of a stream is the end of the verdict about it; the tree in an archive
                // is judged with the archive's entries.
                if tar.is_none() && is_read.load(Ordering::Relaxed) && watch.failure().is_none() {
                    self.judge(sealed, &sanity)?;
                    accepted(content);
                }
                Err(self.cause(&watch, tar.as_ref(), &error))
            }
        }
    }

    fn options(&self, sealed: &SealedDrop, seal: &Seal) -> Options {
        let address = sealed.address();
        Options {
            // Not an instance's name: the workload outlives them all, and so do its snapshots.
            hostname: address.workload.to_string(),
            username: self.agent.to_owned(),
            paths: vec!["/".to_owned()],
            tags: vec![format!("drop:{}", address.drop)],
            program_version: concat!("outlast ", env!("CARGO_PKG_VERSION")).to_owned(),
            expected_bytes: Some(seal.raw_bytes()),
            journal: Some(self.journal.to_owned()),
            doubted: self.doubted.clone(),
            // The vault looks over the tree before it publishes, and says what it lacks. Who takes the objects
            // may be one media server of several, and know nothing of what another has.
            is_looked_over: true,
            engine: Some(self.engine.clone()),
            ..Options::new(self.environment.clock.now())
        }
    }

    /// What is thought of the content. One that is no whole backup is refused, unless an operator has
    /// accepted that very content.
    fn judge(&self, sealed: &SealedDrop, watch: &SanityWatch) -> Result<Sanity, Failure> {
        let mut sanity = watch.verdict().unwrap_or_default();
        if let Some(was) = &sealed.seal().claims.brought_back {
            // It came today, and is of some day before: it must renew nothing.
            let text =
                format!("it is drop {} of before, brought back from {}", was.drop, was.handover);
            sanity.doubted(Doubt::new(DoubtCode::BroughtBack, text));
        }
        if sanity.verdict != Verdict::Broken {
            return Ok(sanity);
        }
        let (share, seal) = (self.cargo.share, sealed.seal_digest());
        let reader = Reader { share, authority: self.authority };
        match reader.is_cleared(self.cargo.address, seal) {
            Ok(true) => Ok(sanity),
            Ok(false) => {
                let what = sanity.to_string();
                Err(Failure::Refused(Rejection::BrokenContent { seal, what }))
            }
            Err(error) => Err(Failure::Share(error.to_string())),
        }
    }

    /// Refuses a drop of which not all could be taken: a snapshot that lacks something would pass
    /// for the drop.
    fn check(&self, outcome: &Outcome, watch: &ReadWatch) -> Result<(), Failure> {
        let Some(problem) = outcome.problems.first() else { return Ok(()) };
        // The engine goes on with the next entry when one breaks off, whatever the cause. A share
        // that answered badly, or our own end, is none to condemn the drop for.
        if self.cargo.is_stopped() {
            return Err(Failure::Stopped);
        }
        if let Some(failure) = watch.failure() {
            return Err(failure.into());
        }
        let reason = format!("{problem} ({} such problems)", outcome.problem_count);
        Err(Failure::Refused(Rejection::BadTree { reason }))
    }

    /// Why the engine failed: it sees only that its input or its store broke.
    fn cause(&self, watch: &ReadWatch, tar: Option<&TarWatch>, error: &RepoError) -> Failure {
        if self.cargo.is_stopped() {
            Failure::Stopped
        } else if let Some(failure) = watch.failure() {
            failure.into()
        } else if let Some(rejection) = tar.and_then(TarWatch::failure) {
            Failure::Refused(rejection)
        } else {
            Failure::Workload(error.to_string())
        }
    }
}

fn stream<'a>(name: &str, seal: &Seal, reader: impl Read + Send + 'a) -> Input<'a> {
    // The time of the file in the snapshot is content, as a file's time in a tar is: a claim. Never
    // our own clock: a drop that is read again must give the same tree, which its receipt names.
    let modified = seal.sealed.unwrap_or_else(|| seal.drop.claimed_time());
    Input::Stream(StreamInput {
        name: name.as_bytes().to_vec(),
        mode: STREAM_MODE,
        modified: FileTime { seconds: modified.unix_seconds(), nanos: modified.nanos() },
        reader: Box::new(reader),
    })
}

/// The claims of the writer, for the record.
pub(super) fn claims(seal: &Seal) -> serde_json::Value {
    let mut claims = serde_json::to_value(&seal.claims).unwrap_or_default();
    if let (Some(members), Some(sealed)) = (claims.as_object_mut(), seal.sealed) {
        members.insert("sealed".to_owned(), sealed.to_string().into());
    }
    claims
}

/// A reader of which the time is taken.
struct Paced<'a, R> {
    inner: R,
    reading: Reading<'a>,
}

impl<R: Read> Read for Paced<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Self { inner, reading } = self;
        reading.wait(|| inner.read(buffer))
    }
}

/// A reader that fails when it is asked to stop, because a large drop takes hours.
struct Attentive<R, F> {
    inner: R,
    is_stopped: F,
    /// Set at the end of the content.
    is_read: Arc<AtomicBool>,
}

impl<R: Read, F: Fn() -> bool> Read for Attentive<R, F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if (self.is_stopped)() {
            return Err(io::Error::other("the reading is to stop"));
        }
        let count = self.inner.read(buffer)?;
        if count == 0 && !buffer.is_empty() {
            self.is_read.store(true, Ordering::Relaxed);
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reading_can_be_stopped_and_says_when_it_is_at_its_end() {
        let is_read = Arc::new(AtomicBool::new(false));
        let is_stopped = AtomicBool::new(false);
        let mut reader = Attentive {
            inner: io::repeat(7).take(2 * 16),
            is_stopped: || is_stopped.load(Ordering::Relaxed),
            is_read: Arc::clone(&is_read),
        };
        let mut buffer = [0; 16];
        reader.read_exact(&mut buffer).unwrap();
        assert_eq!(reader.read(&mut buffer[..0]).unwrap(), 0);
        assert!(!is_read.load(Ordering::Relaxed), "there is more");
        assert_eq!(reader.read(&mut buffer).unwrap(), 16);
        assert_eq!(reader.read(&mut buffer).unwrap(), 0);
        assert!(is_read.load(Ordering::Relaxed));
        is_stopped.store(true, Ordering::Relaxed);
        assert!(reader.read(&mut buffer).is_err());
    }
}
