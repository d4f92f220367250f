//! Whoever looks at a stream, and at what a reader passes on.

use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};

use outlast_types::Sanity;

use super::found::{Inspector, Probe};
use super::{pack, plain};

/// Looks at one stream.
pub struct Examiner(Probe);

impl Default for Examiner {
    fn default() -> Self {
        Self(Probe::new(inspector_of))
    }
}

impl Examiner {
    /// Looks at the next piece of the content.
    pub fn feed(&mut self, piece: &[u8]) {
        self.0.feed(piece);
    }

    /// What is to be thought of the content, now that it has ended.
    pub fn finish(self) -> Sanity {
        self.0.found().into()
    }
}

/// Who looks at content that begins so.
fn inspector_of(head: &[u8]) -> Box<dyn Inspector> {
    pack::of(head).unwrap_or_else(|| plain::of(head))
}

/// Tells what was found, after what found it has been given away; nothing before the content ended.
#[derive(Debug, Clone, Default)]
pub struct SanityWatch(Arc<Mutex<Option<Sanity>>>);

impl SanityWatch {
    /// What is thought of the content; `None` if it was not read to its end.
    pub fn verdict(&self) -> Option<Sanity> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn note(&self, sanity: Sanity) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(sanity);
    }
}

/// A reader that looks at what it passes on.
pub struct Examined<R> {
    inner: R,
    examiner: Option<Examiner>,
    watch: SanityWatch,
}

impl<R: Read> Examined<R> {
    pub fn new(inner: R) -> Self {
        Self { inner, examiner: Some(Examiner::default()), watch: SanityWatch::default() }
    }

    pub fn watch(&self) -> SanityWatch {
        self.watch.clone()
    }
}

impl<R: Read> Read for Examined<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        if count > 0 {
            if let Some(examiner) = &mut self.examiner {
                examiner.feed(&buffer[..count]);
            }
        } else if !buffer.is_empty()
            && let Some(examiner) = self.examiner.take()
        {
            self.watch.note(examiner.finish());
        }
        Ok(count)
    }
}
