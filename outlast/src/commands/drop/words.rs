//! What a program says beside its output: passed on as it comes, but for the last lines, which are
//! the reason if it fails.

use std::collections::VecDeque;
use std::io::{self, BufRead as _, BufReader, PipeReader, PipeWriter, Read as _};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::output::Output;

/// The last lines that are held back, and the most that one has.
const HELD_LINES: usize = 6;
const LINE_BYTES_MAX: u64 = 4096;

/// How long the last words of a program that has ended may take. Something that it left behind may
/// hold the way open for ever.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// The words of one program.
pub(super) struct Words {
    output: Output,
    held: Arc<Mutex<VecDeque<String>>>,
    ended: Receiver<()>,
}

impl Words {
    /// Listens to whoever writes to the other end.
    pub(super) fn listen(output: Output) -> io::Result<(Self, PipeWriter)> {
        let (reader, writer) = io::pipe()?;
        let held = Arc::new(Mutex::new(VecDeque::new()));
        let (at_end, ended) = mpsc::channel();
        let shared = Arc::clone(&held);
        std::thread::Builder::new().name("words".to_owned()).spawn(move || {
            pass_on(reader, &shared, &output);
            // Nobody need wait for it any more.
            let _ = at_end.send(());
        })?;
        Ok((Self { output, held, ended }, writer))
    }

    /// The last lines, of a program that has ended. They are passed on if it ended well.
    pub(super) fn last(self, well: bool) -> String {
        // Without an end, there are the words that came so far.
        let _ = self.ended.recv_timeout(LAST_WORDS);
        let held = std::mem::take(&mut *self.held.lock().unwrap_or_else(PoisonError::into_inner));
        if well {
            held.iter().for_each(|line| self.output.remark(line));
        }
        held.into_iter().collect::<Vec<_>>().join("\n")
    }
}

fn pass_on(reader: PipeReader, held: &Mutex<VecDeque<String>>, output: &Output) {
    let mut reader = BufReader::new(reader);
    loop {
        let mut line = Vec::new();
        match reader.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let line = String::from_utf8_lossy(&line).trim_end().to_owned();
        if line.is_empty() {
            continue;
        }
        let mut held = held.lock().unwrap_or_else(PoisonError::into_inner);
        held.push_back(line);
        let earlier = if held.len() > HELD_LINES { held.pop_front() } else { None };
        drop(held);
        if let Some(line) = earlier {
            output.remark(line);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn the_last_lines_are_kept_whatever_came_before() {
        let (words, mut writer) = Words::listen(Output::new(true, true)).unwrap();
        for number in 0..100 {
            writeln!(writer, "line {number}\n").unwrap();
        }
        writer.write_all(&[b'x'; 5000]).unwrap();
        drop(writer);
        let last = words.last(false);
        let lines: Vec<&str> = last.lines().collect();
        assert_eq!(lines.len(), HELD_LINES);
        assert_eq!(lines[..4], ["line 96", "line 97", "line 98", "line 99"]);
        assert_eq!((lines[4].len(), lines[5].len()), (4096, 904));
    }
}
