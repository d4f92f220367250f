//! What the long-running roles tell: a log on standard error that never gets in their way.
//!
//! Lines go through a bounded queue to a thread of their own. Whoever should read them may be gone,
//! or be there and not read: then lines are lost, and counted, and the work goes on.

use std::io::{self, IsTerminal as _, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::time::Duration;

use rustix::io::Errno;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::MakeExt as _;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::debug_fn;

use crate::output::plain;

/// Lines that wait to be read; further ones are lost.
const LINES_MAX: usize = 1024;
/// More of one line is cut off: a megabyte of it helps nobody.
const LINE_BYTES_MAX: usize = 16 << 10;
/// How long the last lines may take to be read.
const FLUSH_PATIENCE: Duration = Duration::from_secs(1);

enum Message {
    Line(Vec<u8>),
    /// Answered when all lines before it are written.
    Flush(SyncSender<()>),
}

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// Lines for people.
    Text,
    /// A JSON document on each line.
    Json,
}

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct LogArgs {
    /// How to write the log
    #[arg(long, value_name = "FORMAT", default_value = "text", env = "OUTLAST_LOG_FORMAT")]
    log_format: Format,
}

impl LogArgs {
    /// The word by which another process of this program logs as this one does.
    pub(crate) fn word(&self) -> String {
        let format = match self.log_format {
            Format::Text => "text",
            Format::Json => "json",
        };
        format!("--log-format={format}")
    }
}

/// Takes the log of this process for as long as it lives.
pub(crate) struct Log {
    sender: SyncSender<Message>,
}

impl Log {
    /// Begins to send what the roles have to say to standard error; `RUST_LOG` chooses what.
    pub(crate) fn start(arguments: &LogArgs) -> Self {
        let (sender, receiver) = mpsc::sync_channel(LINES_MAX);
        let lost = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&lost);
        // Without the thread nothing is logged; that is no reason not to work.
        let _ = std::thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || write_all(&receiver, &counted));
        let queue = Queue { sender: sender.clone(), lost };
        let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
        let builder = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(queue)
            .log_internal_errors(false);
        // Fails only if a log was set up already, which then goes on.
        let _ = if arguments.log_format == Format::Json {
            builder.json().try_init()
        } else {
            let colour = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            let fields = debug_fn(|writer, field, value| match field.name() {
                "message" => write!(writer, "{}", plain(&format!("{value:?}"))),
                name => write!(writer, "{name}={}", plain(&format!("{value:?}"))),
            });
            let builder = builder.fmt_fields(fields.delimited(" "));
            builder.with_ansi(colour).with_target(false).try_init()
        };
        std::panic::set_hook(Box::new(|panic| {
            tracing::error!(thread = std::thread::current().name(), "{panic}");
        }));
        Self { sender }
    }
}

impl Drop for Log {
    /// Lets the last lines be read, if anybody reads them.
    fn drop(&mut self) {
        let (done, written) = mpsc::sync_channel(1);
        if self.sender.try_send(Message::Flush(done)).is_ok() {
            let _ = written.recv_timeout(FLUSH_PATIENCE);
        }
    }
}

fn write_all(lines: &Receiver<Message>, lost: &AtomicU64) {
    for message in lines {
        match message {
            Message::Line(line) => write(&line),
            // Who asked may have stopped waiting.
            Message::Flush(done) => drop(done.send(())),
        }
        match lost.swap(0, Ordering::Relaxed) {
            0 => {}
            count => {
                write(format!("{count} lines of this log were lost: nobody read\n").as_bytes())
            }
        }
    }
}

/// Writes past the library's lock, which would keep everybody waiting who has a word to say at the
/// end. What nobody takes is lost.
fn write(mut line: &[u8]) {
    while !line.is_empty() {
        match rustix::io::write(io::stderr(), line) {
            Ok(written) => line = &line[written..],
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => std::thread::sleep(Duration::from_millis(10)),
            Err(_) => return,
        }
    }
}

/// Where the formatter writes each line.
struct Queue {
    sender: SyncSender<Message>,
    lost: Arc<AtomicU64>,
}

impl<'a> MakeWriter<'a> for Queue {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}

impl Write for &Queue {
    /// Takes a whole line, as the formatter hands it over.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let is_inside_a_character = |&end: &usize| line[end] & 0xc0 == 0x80;
        let mut end = line.len().min(LINE_BYTES_MAX);
        while end < line.len() && is_inside_a_character(&end) {
            end -= 1;
        }
        let mut taken = line[..end].to_vec();
        if taken.len() < line.len() {
            taken.extend_from_slice("…\n".as_bytes());
        }
        if self.sender.try_send(Message::Line(taken)).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
