//! A stream that several programs write, one after the other.

use std::collections::VecDeque;
use std::io::{self, Cursor, Read};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;

use super::super::words::Words;
use super::advice::{Product, refused};
use super::program::{Call, one_line};
use crate::commands::inputs::{self, InputArgs, Stream};
use crate::dump::{Dump, DumpError};
use crate::output::Output;
use crate::signals::Signals;

/// A part of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    Text(String),
    /// What a program prints.
    Output(Call),
}

/// Reads all parts to their end, which comes only if every program ended well.
pub(super) struct Feed {
    product: Product,
    parts: VecDeque<Part>,
    now: Option<Now>,
    input: InputArgs,
    signals: Arc<Signals>,
    output: Output,
    trouble: Trouble,
}

/// The part that is read.
enum Now {
    Text(Cursor<Vec<u8>>),
    Program(Dump, Words),
}

/// Why a feed did not come to its end. For whoever has given it away.
#[derive(Debug, Clone, Default)]
pub(super) struct Trouble(Arc<Mutex<Option<anyhow::Error>>>);

impl Trouble {
    fn tell(&self, error: anyhow::Error) -> io::Error {
        let told = io::Error::other(error.to_string());
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        told
    }

    /// What was told, or else `error`.
    pub(super) fn or(self, error: anyhow::Error) -> anyhow::Error {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or(error)
    }
}

impl Feed {
    /// A program that prints nothing at all is no error here: there may be others.
    pub(super) fn of(
        product: Product,
        parts: Vec<Part>,
        input: &InputArgs,
        signals: &Arc<Signals>,
        output: &Output,
    ) -> Self {
        let mut input = input.clone();
        input.allow_empty = true;
        Self {
            product,
            parts: parts.into(),
            now: None,
            input,
            signals: Arc::clone(signals),
            output: *output,
            trouble: Trouble::default(),
        }
    }

    pub(super) fn trouble(&self) -> Trouble {
        self.trouble.clone()
    }

    /// The feed as the content of a drop, under a name for messages.
    pub(super) fn into_stream(self, name: &str) -> Stream {
        Stream::Reader(name.to_owned(), Box::new(self))
    }

    /// Lets all programs do their work, which is not to print something.
    pub(super) fn drain(mut self) -> Result<()> {
        match io::copy(&mut self, &mut io::sink()) {
            Ok(_) => Ok(()),
            Err(error) => Err(self.trouble().or(error.into())),
        }
    }

    fn begin(&self, part: Part) -> Result<Now> {
        let call = match part {
            Part::Text(text) => return Ok(Now::Text(Cursor::new(text.into_bytes()))),
            Part::Output(call) => call,
        };
        let (words, way) = Words::listen(self.output)?;
        let mut command = call.command();
        command.stderr(way);
        let dump = self.input.start(Stream::Command(command), &self.signals, &self.output);
        Ok(Now::Program(dump?, words))
    }

    /// The program has ended, and well.
    fn end(&mut self) {
        if let Some(Now::Program(_, words)) = self.now.take() {
            words.last(true);
        }
    }

    /// The program has failed, or was ended; so is the feed.
    fn fail(&mut self, error: io::Error) -> io::Error {
        self.parts.clear();
        let Some(Now::Program(mut dump, words)) = self.now.take() else { return error };
        self.trouble.tell(match dump.take_failure() {
            Some(DumpError::Failed { command, status }) => {
                let said = words.last(false);
                let advice = self.product.advice(&said);
                refused(format_args!("{command} failed with {status}: {}", one_line(&said)), advice)
            }
            Some(failure) => inputs::explained(failure, "nothing was sealed"),
            None => error.into(),
        })
    }
}

impl Read for Feed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // Nothing read would look like an end.
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            match &mut self.now {
                None => {}
                Some(Now::Text(text)) => match text.read(buffer)? {
                    0 => self.now = None,
                    length => return Ok(length),
                },
                Some(Now::Program(dump, _)) => match dump.read(buffer) {
                    Ok(0) => self.end(),
                    Ok(length) => return Ok(length),
                    Err(error) => return Err(self.fail(error)),
                },
            }
            if self.now.is_none() {
                let Some(part) = self.parts.pop_front() else { return Ok(0) };
                self.now = Some(self.begin(part).map_err(|error| self.trouble.tell(error))?);
            }
        }
    }
}

impl Drop for Feed {
    /// Nobody reads on: what runs must not wait for a reader.
    fn drop(&mut self) {
        if let Some(Now::Program(dump, _)) = &mut self.now {
            dump.stop();
        }
    }
}
