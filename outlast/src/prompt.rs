//! Asking whoever sits at the terminal for a secret, without showing it.
//!
//! The question goes to the terminal itself and not to standard error, which may be a file. While the
//! answer is typed the terminal shows nothing and sends no signals: Ctrl-C is a byte that ends the
//! question here, so that no signal leaves a terminal behind that shows nothing.

use std::fs::File;
use std::io::{self, Read, Write as _};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

/// A longer answer is none.
const ANSWER_BYTES_MAX: usize = 4096;

const INTERRUPT: u8 = 0x03;
const END: u8 = 0x04;
const BACKSPACES: [u8; 2] = [0x08, 0x7f];
const ERASE_LINE: u8 = 0x15;

/// A terminal that shows nothing of what is typed, until this is dropped.
struct Silent {
    terminal: File,
    before: Termios,
}

impl Silent {
    fn new(terminal: File) -> io::Result<Self> {
        let before = tcgetattr(&terminal)?;
        let mut modes = before.clone();
        modes.local_modes -= LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG;
        // What was typed before the question is no answer to it.
        tcsetattr(&terminal, OptionalActions::Flush, &modes)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        // There is nobody else to tell.
        let _ = tcsetattr(&self.terminal, OptionalActions::Flush, &self.before);
    }
}

/// The answer to `question`; `None` if this process has no terminal.
pub(crate) fn ask(question: &str) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
    let Ok(terminal) = File::options().read(true).write(true).open("/dev/tty") else {
        return Ok(None);
    };
    let mut silent = Silent::new(terminal)?;
    silent.terminal.write_all(question.as_bytes())?;
    let answer = line(&mut silent.terminal);
    silent.terminal.write_all(b"\n")?;
    answer.map(Some)
}

/// A line as it is typed, with the keys that take something back.
fn line(input: &mut impl Read) -> io::Result<Zeroizing<Vec<u8>>> {
    // Of its full size from the beginning: what grows leaves copies behind.
    let mut answer = Zeroizing::new(Vec::with_capacity(ANSWER_BYTES_MAX));
    let mut byte = Zeroizing::new([0; 1]);
    loop {
        if input.read(&mut *byte)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match byte[0] {
            b'\n' | b'\r' => return Ok(answer),
            INTERRUPT => return Err(io::Error::other("it was interrupted")),
            END if answer.is_empty() => return Err(io::ErrorKind::UnexpectedEof.into()),
            END => return Ok(answer),
            ERASE_LINE => answer.clear(),
            other if BACKSPACES.contains(&other) => {
                // A whole character.
                while answer.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {}
            }
            other if answer.len() < ANSWER_BYTES_MAX => answer.push(other),
            _ => return Err(io::Error::other("it is too long")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_what_is_left_when_it_ends_and_ctrl_c_ends_the_question() {
        let typed = |text: &str| line(&mut text.as_bytes()).map(|it| it.to_vec());
        for (text, answer) in [
            ("six words\n", "six words"),
            ("six words\rmore", "six words"),
            ("sixx\u{7f} wo\u{8}\u{8}\u{8}, words\n", "six, words"),
            ("hütte\u{7f}\u{7f}\u{7f}\u{7f}\u{7f}\u{7f}ü\n", "ü"),
            ("wrong\u{15}right\n", "right"),
            ("ended\u{4}", "ended"),
            ("\n", ""),
        ] {
            assert_eq!(typed(text).unwrap(), answer.as_bytes(), "{text:?}");
        }
        for text in ["abc\u{3}\n", "\u{4}", "no end", ""] {
            assert!(typed(text).is_err(), "{text:?}");
        }
        assert!(typed(&("x".repeat(ANSWER_BYTES_MAX + 1) + "\n")).is_err());
    }
}
