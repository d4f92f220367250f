//! How the rehearsal is told: acts, facts and promises kept, in colours where a terminal shows them.

use std::io::Write;
use std::time::Instant;

use anstyle::{AnsiColor, Style};

const TITLE: Style = AnsiColor::Cyan.on_default().bold();
const KEPT: Style = AnsiColor::Green.on_default().bold();
const BROKEN: Style = AnsiColor::Red.on_default().bold();
const BLUE: Style = AnsiColor::BrightBlue.on_default().bold();
const GREEN: Style = AnsiColor::Green.on_default();
const FAINT: Style = Style::new().dimmed();

/// Tells the story to standard output, line by line as it happens.
pub(super) struct Story {
    began: Instant,
    acts: u32,
    promises_kept: u32,
}

impl Story {
    pub(super) fn begin(title: &str) -> Self {
        line(format_args!("{TITLE}{title}{TITLE:#}"));
        Self { began: Instant::now(), acts: 0, promises_kept: 0 }
    }

    /// A new act begins.
    pub(super) fn act(&mut self, title: &str) {
        self.acts += 1;
        let seconds = self.began.elapsed().as_secs_f32();
        line(format_args!(
            "\n{TITLE}{}. {title}{TITLE:#}  {FAINT}({seconds:.1} s){FAINT:#}",
            self.acts
        ));
    }

    /// Something happens.
    pub(super) fn tell(&self, text: &str) {
        line(format_args!("   {}", coloured(text)));
    }

    /// A promise was tested and held.
    pub(super) fn kept(&mut self, text: &str) {
        self.promises_kept += 1;
        line(format_args!("   {KEPT}✓{KEPT:#} {}", coloured(text)));
    }

    /// A promise broke; the rehearsal ends.
    pub(super) fn broken(&self, text: &str) {
        line(format_args!("   {BROKEN}✗ {text}{BROKEN:#}"));
    }

    /// The closing line.
    pub(super) fn end(&self) {
        let seconds = self.began.elapsed().as_secs_f32();
        line(format_args!(
            "\n{KEPT}All {} promises held{KEPT:#}, in {seconds:.0} s.",
            self.promises_kept
        ));
    }
}

/// The two colours of a release, in their colours.
fn coloured(text: &str) -> String {
    let paint = |text: String, word: &str, style: Style| {
        text.replace(word, &format!("{style}{word}{style:#}"))
    };
    paint(paint(text.to_owned(), "blue", BLUE), "green", GREEN)
}

/// Prints one line at once. A reader who went away (`demo | head`) is no reason to stop half-way
/// and leave processes behind, so a failed write is let go.
fn line(text: std::fmt::Arguments<'_>) {
    let mut out = anstream::stdout();
    let _ = writeln!(out, "{text}");
    let _ = out.flush();
}
