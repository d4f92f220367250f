//! A stand-in for the jobs API of NetBackup's primary server: over TLS, with a key.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use outlast_fs::durable;
use outlast_testing::netbackup::Server;
use rustls::pki_types::PrivateKeyDer;

/// The key that it wants.
pub(crate) const KEY: &str = "AnApiKeyOfOutlast";
const BELOW: &str = "/netbackup/admin/jobs";
/// More than any request has.
const LINES_MAX: usize = 100;

/// The API, until it is dropped.
pub(crate) struct JobsApi {
    pub(crate) port: u16,
    directory: PathBuf,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl JobsApi {
    pub(crate) fn start(server: Arc<Mutex<Server>>, directory: &Path) -> Self {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let put = |name: &str, text: &str| {
            durable::replace(&directory.join(name), text.as_bytes(), 0o600).unwrap();
        };
        put("primary.pem", &made.cert.pem());
        put("primary.key", KEY);
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        let tls = Arc::new(tls);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let is_over = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&is_over);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if asked.load(Ordering::SeqCst) {
                    break;
                }
                // One that breaks off is its own trouble.
                let _ = stream.and_then(|stream| answer(stream, &tls, &server));
            }
        });
        Self { port, directory: directory.to_owned(), is_over, thread: Some(thread) }
    }

    /// The lines of `[handover.confirm]` that lead here.
    pub(crate) fn settings(&self) -> String {
        let file = |name: &str| self.directory.join(name).display().to_string();
        format!(
            "with = \"netbackup-api\"\naddress = \"https://localhost:{}/netbackup\"\nkey = {:?}\nca = {:?}\ndeadline = \"30s\"",
            self.port,
            file("primary.key"),
            file("primary.pem")
        )
    }
}

impl Drop for JobsApi {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn answer(
    stream: TcpStream,
    tls: &Arc<rustls::ServerConfig>,
    server: &Mutex<Server>,
) -> std::io::Result<()> {
    let connection =
        rustls::ServerConnection::new(Arc::clone(tls)).map_err(std::io::Error::other)?;
    let mut stream = BufReader::new(rustls::StreamOwned::new(connection, stream));
    let mut lines = Vec::new();
    while lines.len() < LINES_MAX {
        let mut line = String::new();
        stream.read_line(&mut line)?;
        if line.trim().is_empty() {
            break;
        }
        lines.push(line.trim().to_owned());
    }
    let path = lines.first().and_then(|line| line.split(' ').nth(1)).unwrap_or_default();
    let path = path.split('?').next().unwrap_or_default();
    let wanted = format!("authorization: {KEY}");
    let said = match path.strip_prefix(BELOW) {
        _ if !lines.contains(&wanted) => Err("401 Unauthorized"),
        Some("") => server.lock().unwrap().answer(None).ok_or("500 Oops"),
        Some(id) => {
            let id = id.trim_start_matches('/').parse().ok();
            id.and_then(|id| server.lock().unwrap().answer(Some(id))).ok_or("404 Not Found")
        }
        None => Err("404 Not Found"),
    };
    let (status, body) = match said {
        Ok(body) => ("200 OK", body),
        Err(status) => (status, "{\"errorMessage\":\"no\"}".to_owned()),
    };
    let length = body.len();
    let head =
        format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
    let stream = stream.get_mut();
    stream.write_all((head + &body).as_bytes())?;
    stream.flush()
}
