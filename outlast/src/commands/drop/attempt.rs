//! One drop that is begun, and sealed or given up.

use std::io::{self, Read as _, Write};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail};
use outlast_drop::sealing::{self, ContentKey, SealedTo, Sealing};
use outlast_drop::tar::{self, TreeSummary};
use outlast_drop::{Claims, Content, DropWriter, Gaps, Share, Source, WriteError, WriterOptions};
use outlast_fs::EntrySource;
use outlast_fs::walk::Walk;
use outlast_types::{Clock, DropId, Monitor, SystemClock, SystemRandom, SystemTimer, Timer};
use outlast_wire::sealed_key::seal_text;

use super::options::DropOptions;
use super::pace::Pace;
use crate::commands::inputs::{self, ExcludeArgs, Stream};
use crate::dump::Dump;
use crate::exit::Advised;
use crate::output::{Output, Progress};
use crate::signals::{Ended, Signals};

/// What became of a drop that is broken off.
const NOT_SEALED: &str = "nothing was sealed";

/// The entries of a tree, and what is known of its source in the end.
pub(super) type MadeTree = (Box<dyn EntrySource>, Option<Source>);

/// A drop that is to be made, once.
pub(super) struct Attempt<'a> {
    pub(super) options: &'a DropOptions,
    pub(super) share: &'a Share,
    pub(super) signals: &'a Arc<Signals>,
    pub(super) output: &'a Output,
    /// The drop's id where other instances know it already.
    pub(super) id: Option<DropId>,
}

/// A drop that was sealed.
pub(super) struct Sealed {
    pub(super) drop: DropId,
    /// Bytes of content, and bytes on the share.
    pub(super) bytes: u64,
    pub(super) stored_bytes: u64,
    pub(super) segments: usize,
    /// What is missing in it, in whole sentences: the first thousand, and how many there are.
    pub(super) problems: Vec<String>,
    pub(super) problem_count: u64,
    /// What is worth a word and no gap.
    pub(super) remarks: Vec<String>,
    /// What it was taken from, where that is known.
    pub(super) source: Option<Source>,
}

impl Attempt<'_> {
    /// The words of this instance about itself.
    pub(super) fn claims(&self) -> Claims {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        Claims {
            instance: Some(self.options.instance.clone().unwrap_or_else(|| host.clone())),
            release: self.options.release.clone(),
            color: self.options.color.clone(),
            host: Some(host),
            is_final: self.options.is_final,
            started: Some(SystemClock.now()),
            ..Claims::default()
        }
    }

    /// Drops what `stream` gives as a file called `name`. Its failure is the drop's failure,
    /// because half a dump is no backup.
    pub(super) fn stream(&self, name: &str, stream: Stream, claims: Claims) -> Result<Sealed> {
        self.stream_from(name, stream, claims, &|source| source)
    }

    /// The same, with what is known of its source only when all has been read.
    pub(super) fn stream_from(
        &self,
        name: &str,
        stream: Stream,
        claims: Claims,
        learned: &dyn Fn(Option<Source>) -> Option<Source>,
    ) -> Result<Sealed> {
        let source = claims.source.clone();
        // What cannot be named or read is refused before there is a drop.
        let content = Content::stream(name)?;
        let progress = self.progress()?;
        let mut dump = self.options.input.start(stream, self.signals, self.output)?;
        let mut writer = self.open(content, claims).inspect_err(|_| dump.stop())?;
        match self.copy(&mut dump, &mut writer, &progress) {
            Ok(()) => {
                writer.note_source(learned(source));
                self.seal(writer, TreeSummary::default())
            }
            Err(Copy::Write(error)) => {
                // Nobody takes what the command prints any more; it may not notice by itself.
                dump.stop();
                Err(self.given_up(writer, error))
            }
            Err(Copy::Read(error)) => {
                // A courtesy: a drop without a seal is none in any case.
                let _ = writer.fail(dump.exit_code());
                Err(inputs::failed(&mut dump, error, NOT_SEALED))
            }
        }
    }

    /// Drops files and directories but for what `excludes` says; what cannot be read of them is left
    /// out, and named.
    pub(super) fn tree(
        &self,
        paths: &[PathBuf],
        excludes: &ExcludeArgs,
        claims: Claims,
    ) -> Result<Sealed> {
        self.refuse_the_share_itself(paths)?;
        if let (Some(path), false) = (inputs::nothing_in(paths), self.options.input.allow_empty) {
            return Err(Advised {
                message: format!(
                    "{} has nothing in it (is it mounted?); nothing was sealed",
                    path.display()
                ),
                hint: "If nothing is what there is to back up, add --allow-empty.".to_owned(),
            }
            .into());
        }
        let progress = self.progress()?;
        let mut walk = excludes.apply(Walk::new(paths)?)?;
        let watch = walk.watch();
        walk.exclude(self.share.path()).context("cannot look at the share")?;
        let (writer, summary) =
            self.put(self.open(Content::Tree, claims)?, &mut walk, &progress)?;
        if summary.files + watch.others() == 0 {
            if let Some(problem) = summary.problems.first() {
                writer.fail(None)?;
                bail!(
                    "nothing of what was asked for could be read, so nothing was sealed: {problem}"
                );
            }
            if !self.options.input.allow_empty {
                writer.fail(None)?;
                return Err(Advised {
                    message: "all that was asked for is left out; nothing was sealed".to_owned(),
                    hint: "Look at the patterns of --exclude, and where the share is.".to_owned(),
                }
                .into());
            }
        }
        self.seal(writer, summary)
    }

    /// Drops a tree that `make` makes while the drop is open: whether it may be dropped at all is
    /// known before the work begins. It says, too, what is known of its source in the end. All of
    /// it must be readable, because it is our own copy.
    pub(super) fn made_tree(
        &self,
        claims: Claims,
        make: &mut dyn FnMut(Option<Source>) -> Result<MadeTree>,
    ) -> Result<Sealed> {
        let progress = self.progress()?;
        let source = claims.source.clone();
        let mut writer = self.open(Content::Tree, claims)?;
        let (mut tree, source) = match make(source) {
            Ok(made) => made,
            Err(error) => {
                // A courtesy: a drop without a seal is none in any case.
                let _ = writer.fail(None);
                return Err(error);
            }
        };
        writer.note_source(source);
        let (writer, summary) = self.put(writer, &mut *tree, &progress)?;
        if let Some(problem) = summary.problems.first() {
            let error = anyhow!("the copy cannot be read: {problem}; {NOT_SEALED}");
            let _ = writer.fail(None);
            return Err(error);
        }
        self.seal(writer, summary)
    }

    /// Writes `tree` as the drop's content.
    fn put(
        &self,
        mut writer: DropWriter,
        tree: &mut dyn EntrySource,
        progress: &Progress,
    ) -> Result<(DropWriter, TreeSummary)> {
        let mut guarded = Guarded { writer: &mut writer, brake: self.brake() };
        match tar::write_tree(tree, &mut guarded, progress) {
            Ok(summary) => Ok((writer, summary)),
            // The writer has said all: what failed, where, and what to do.
            Err(tar::TarError::Write(error)) => Err(self.given_up(writer, error.into())),
            Err(error) => {
                let error = anyhow::Error::new(error).context(NOT_SEALED);
                Err(self.given_up(writer, error))
            }
        }
    }

    fn progress(&self) -> Result<Progress> {
        let progress = self.output.progress();
        progress.begin(&format!("drop {}", self.options.workload()?), None);
        Ok(progress)
    }

    fn open(&self, content: Content, claims: Claims) -> Result<DropWriter> {
        let workload = self.options.workload()?;
        let (clock, random) = (&SystemClock, &SystemRandom);
        let mut options = WriterOptions { id: self.id, ..self.options.writer() };
        if let Some(reader) = &self.options.seal_to {
            let id = self.id.unwrap_or_else(|| DropId::new(clock, random));
            let purpose = sealing::purpose(self.share.id(), workload, id);
            let key = ContentKey::generate(random);
            let wrapped = seal_text(reader, purpose.as_bytes(), key.bytes(), random)?;
            let sealed_to = SealedTo { key: reader.to_string(), wrapped };
            (options.id, options.sealing) = (Some(id), Some(Sealing { key, sealed_to }));
        }
        Ok(DropWriter::create(self.share, workload, content, claims, options, clock, random)?)
    }

    fn brake(&self) -> Brake<'_> {
        let pace = self.options.limit_rate.map(Pace::new);
        Brake { pace, timer: SystemTimer::new(), signals: self.signals }
    }

    /// Copies all of `dump` into the drop.
    fn copy(
        &self,
        dump: &mut Dump,
        writer: &mut DropWriter,
        progress: &Progress,
    ) -> Result<(), Copy> {
        let mut brake = self.brake();
        let written = |error: WriteError| Copy::Write(error.into());
        loop {
            let length = match dump.read(writer.room()) {
                Ok(0) => break,
                Ok(length) => length,
                Err(error) => return Err(Copy::Read(error.into())),
            };
            writer.fill(length).map_err(written)?;
            brake.rest(writer.stored_bytes());
            progress.advance(length as u64);
        }
        // Only if all is written, the end of the dump is taken for the end of the content.
        writer.flush().map_err(|error| Copy::Write(error.into()))
    }

    fn seal(&self, mut writer: DropWriter, tree: TreeSummary) -> Result<Sealed> {
        writer.note_gaps(Gaps::of(tree.problem_count, &tree.problems));
        let (drop, bytes) = (writer.drop_id(), writer.raw_bytes());
        let seal = writer.seal(&SystemClock)?;
        Ok(Sealed {
            drop,
            bytes,
            stored_bytes: seal.stored_bytes(),
            segments: seal.segments.len(),
            problems: tree.problems,
            problem_count: tree.problem_count,
            remarks: tree.remarks,
            source: seal.claims.source,
        })
    }

    /// Gives up a drop that could not be written, or that a signal ended.
    fn given_up(&self, writer: DropWriter, error: anyhow::Error) -> anyhow::Error {
        match self.signals.look() {
            Some(caught) => {
                let _ = writer.fail(None);
                Ended { caught, told: NOT_SEALED.to_owned() }.into()
            }
            // What is there may help to find out why; the agent tidies it up.
            None => error,
        }
    }

    /// The share is left out of every drop, so that drops do not contain drops. Whoever names it, or
    /// what lies on it, would get an empty backup and never know.
    fn refuse_the_share_itself(&self, paths: &[PathBuf]) -> Result<()> {
        let root = self.share.path().canonicalize().context("cannot look at the share")?;
        for path in paths {
            // A path that does not exist is named by the walk.
            if path.canonicalize().is_ok_and(|path| path.starts_with(&root)) {
                return Err(Advised {
                    message: format!(
                        "{} is on the share itself; nothing was sealed",
                        path.display()
                    ),
                    hint: "Back up where the data comes from; drops do not contain drops."
                        .to_owned(),
                }
                .into());
            }
        }
        Ok(())
    }
}

/// Which side of a copy failed.
enum Copy {
    Read(anyhow::Error),
    Write(anyhow::Error),
}

/// What holds the writing back to a rate. Once the end was asked for, haste counts for more.
struct Brake<'a> {
    pace: Option<Pace>,
    timer: SystemTimer,
    signals: &'a Signals,
}

impl Brake<'_> {
    fn rest(&mut self, stored_bytes: u64) {
        if let Some(pace) = &mut self.pace {
            let rest = pace.rest(self.timer.elapsed(), stored_bytes);
            self.timer.pause(rest, self.signals.asked());
        }
    }
}

/// A writer that takes nothing more when it is time to end.
struct Guarded<'a> {
    writer: &'a mut DropWriter,
    brake: Brake<'a>,
}

impl Guarded<'_> {
    fn may_go_on(&self) -> io::Result<()> {
        match self.brake.signals.look() {
            Some(caught) => Err(io::Error::other(format!("{caught} came"))),
            None => Ok(()),
        }
    }
}

impl Write for Guarded<'_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.may_go_on()?;
        let length = self.writer.write(buffer)?;
        self.brake.rest(self.writer.stored_bytes());
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.may_go_on()?;
        self.writer.flush()?;
        // What was held in memory is stored now, and counts like the rest.
        self.brake.rest(self.writer.stored_bytes());
        self.may_go_on()
    }
}
