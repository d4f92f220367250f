//! Somebody who is paged: a web hook of the rehearsal's own, that the vault's policy names.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Deserialize;

/// The longest message that is taken, in bytes.
const BODY_BYTES_MAX: u64 = 64 << 10;
/// Lines of a request before its body.
const LINES_MAX: usize = 100;
/// How long a sender may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a page says, as far as the story needs it.
#[derive(Debug, Deserialize)]
pub(super) struct Page {
    #[serde(rename = "type")]
    pub(super) what: String,
    pub(super) data: Data,
}

#[derive(Debug, Deserialize)]
pub(super) struct Data {
    pub(super) title: String,
    pub(super) team: String,
}

/// Takes pages as long as this process lives.
pub(super) struct Pager {
    address: SocketAddr,
    pages: Receiver<Page>,
}

impl Pager {
    pub(super) fn listen() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("listen for pages")?;
        let address = listener.local_addr().context("listen for pages")?;
        let (told, pages) = mpsc::channel();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // One that says nothing of use is answered by nobody, and sends again.
                let _ = take(&stream, &told);
            }
        });
        Ok(Self { address, pages })
    }

    /// The part of the vault's policy that tells it.
    pub(super) fn route(&self) -> String {
        let address = self.address;
        format!("[[route]]\nname = \"pager\"\nkind = \"webhook\"\nurl = \"http://{address}/\"\n\n")
    }

    /// The next page, if one came.
    pub(super) fn next(&self) -> Option<Page> {
        self.pages.try_recv().ok()
    }
}

/// Takes one message, and says so.
fn take(mut stream: &TcpStream, told: &Sender<Page>) -> Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut reader = BufReader::new(stream.take(BODY_BYTES_MAX));
    let mut length = 0;
    for _ in 0..LINES_MAX {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().context("understand a length")?;
        }
    }
    let mut body = Vec::new();
    reader.take(length).read_to_end(&mut body)?;
    let page = serde_json::from_slice(&body).context("understand a page")?;
    stream.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")?;
    told.send(page).context("tell the story of a page")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_taken_and_answered_and_what_is_none_is_not() {
        let pager = Pager::listen().unwrap();
        let send = |body: &str| {
            let mut stream = TcpStream::connect(pager.address).unwrap();
            write!(stream, "POST / HTTP/1.1\r\nContent-Length: {}\r\n\r\n{body}", body.len())
                .unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            answer
        };
        assert_eq!(send("no page"), "");
        assert!(pager.next().is_none());
        let page = r#"{"type": "incident.opened", "data": {"title": "t", "team": "a", "more": 1}}"#;
        assert!(send(page).starts_with("HTTP/1.1 204"));
        assert_eq!(pager.next().unwrap().data.team, "a");
    }
}
