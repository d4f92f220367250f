//! What others are told, over real sockets.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use outlast_types::Timestamp;
use rustls::pki_types::PrivateKeyDer;
use zeroize::Zeroizing;

use super::*;
use crate::believed::Believed;
use crate::road::Roads;

fn now() -> Timestamp {
    Timestamp::from_unix(1_614_265_330, 0).unwrap()
}

/// An authority that nobody else knows, with a certificate for `localhost`.
struct Authority {
    dir: tempfile::TempDir,
    server: Arc<rustls::ServerConfig>,
}

impl Authority {
    fn new() -> Self {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let pem = made.cert.pem();
        outlast_fs::durable::replace(&dir.path().join("ca.pem"), pem.as_bytes(), 0o600).unwrap();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let server = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        Self { dir, server: Arc::new(server) }
    }

    fn believed(&self) -> Believed {
        Believed::read(Some(&self.dir.path().join("ca.pem"))).unwrap()
    }

    fn accept(&self, listener: &TcpListener) -> impl Read + Write + use<> {
        let (stream, _) = listener.accept().unwrap();
        self.over(stream)
    }

    fn over(&self, stream: TcpStream) -> rustls::StreamOwned<rustls::ServerConnection, TcpStream> {
        let connection = rustls::ServerConnection::new(Arc::clone(&self.server)).unwrap();
        rustls::StreamOwned::new(connection, stream)
    }
}

/// One request with its body, and the answer to it.
fn answer(stream: &mut (impl Read + Write), said: &str) -> String {
    let mut reader = BufReader::new(stream);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        if let Some(text) = line.to_lowercase().strip_prefix("content-length:") {
            length = text.trim().parse().unwrap();
        }
        head.push_str(&line);
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    reader.get_mut().write_all(said.as_bytes()).unwrap();
    head + &String::from_utf8(body).unwrap()
}

fn serve<T: Send + 'static>(
    serve: impl FnOnce(TcpListener) -> T + Send + 'static,
) -> (u16, JoinHandle<T>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    (port, std::thread::spawn(move || serve(listener)))
}

#[test]
fn a_web_hook_is_told_over_tls_with_its_path_its_query_and_a_signature() {
    let authority = Authority::new();
    let believed = authority.believed();
    let (port, receiver) = serve(move |listener| {
        let mut stream = authority.accept(&listener);
        answer(
            &mut stream,
            "HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
        )
    });
    let address = format!("https://localhost:{port}/hooks/T0/secret?sig=a%2Fb");
    let hook = Hook::new(&address, &believed, &Roads::default()).unwrap();
    assert!(!hook.location().contains("secret"), "{}", hook.location());
    let secret = WebhookSecret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
    let headers = secret.headers("msg_p5jXN8AQM9LWM0D4loKWxJek", now(), br#"{"test": 2432232314}"#);
    // The example of the specification.
    assert_eq!(headers[2].1, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    let said = hook.post(&headers, br#"{"test": 2432232314}"#, now()).unwrap();
    assert!(said.is_success(), "{said:?}");
    let request = receiver.join().unwrap();
    assert!(request.starts_with("POST /hooks/T0/secret?sig=a%2Fb HTTP/1.1\r\n"), "{request}");
    assert!(request.contains("webhook-id: msg_p5jXN8AQM9LWM0D4loKWxJek\r\n"), "{request}");
    assert!(request.ends_with(r#"{"test": 2432232314}"#), "{request}");
}

#[test]
fn one_that_nobody_certified_hears_nothing() {
    let authority = Authority::new();
    let other = Authority::new().believed();
    let (port, receiver) = serve(move |listener| {
        let (stream, _) = listener.accept().unwrap();
        let mut stream = authority.over(stream);
        let mut first = [0];
        stream.read(&mut first).is_err()
    });
    let hook = Hook::new(&format!("https://localhost:{port}/"), &other, &Roads::default()).unwrap();
    assert!(hook.post(&[], b"{}", now()).is_err());
    assert!(receiver.join().unwrap(), "not a byte");
}

#[test]
fn what_a_receiver_answers_tells_whether_and_when_to_try_again() {
    let authority = Authority::new();
    let believed = authority.believed();
    let (port, receiver) = serve(|listener| {
        for said in [
            "HTTP/1.1 429 Too Many Requests\r\nretry-after: 7\r\ncontent-length: 4\r\nconnection: close\r\n\r\nslow",
            "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
        ] {
            let (mut stream, _) = listener.accept().unwrap();
            answer(&mut stream, said);
        }
    });
    let address = format!("http://127.0.0.1:{port}/api");
    let hook = Hook::new(&address, &believed, &Roads::default()).unwrap();
    let said = hook.post_below("v2/alerts", b"[]", now()).unwrap();
    assert_eq!((said.status, said.retry_after.map(|it| it.as_secs())), (429, Some(7)));
    assert!(said.may_be_tried_again() && said.words.contains("slow"), "{said:?}");
    assert!(!hook.get(now()).unwrap().may_be_tried_again());
    receiver.join().unwrap();
    // One that is asked to end waits for nobody.
    let (port, silent) = serve(|listener| listener.accept().unwrap());
    let mut hook =
        Hook::new(&format!("http://127.0.0.1:{port}/"), &believed, &Roads::default()).unwrap();
    let stop = outlast_types::Interrupt::default();
    hook.heed(&stop);
    stop.request();
    assert_eq!(hook.get(now()).unwrap_err().kind(), std::io::ErrorKind::TimedOut);
    drop(silent.join());
    assert!(Hook::new("ftp://x/", &believed, &Roads::default()).is_err());
    let said = Hook::new("secret/path", &believed, &Roads::default()).err().unwrap().to_string();
    assert!(!said.contains("secret"), "{said}");
}

/// What a client says to a mail server, which secures the connection when asked.
fn take_mail(authority: &Authority, listener: &TcpListener) -> String {
    fn until(stream: &mut impl Read, end: &str) -> String {
        let (mut text, mut byte) = (String::new(), [0]);
        while !text.ends_with(end) {
            stream.read_exact(&mut byte).unwrap();
            text.push(char::from(byte[0]));
        }
        text
    }
    let (mut plain, _) = listener.accept().unwrap();
    plain.write_all(b"220 sink\r\n").unwrap();
    assert!(until(&mut plain, "\r\n").starts_with("EHLO"));
    plain.write_all(b"250-sink\r\n250 STARTTLS\r\n").unwrap();
    assert_eq!(until(&mut plain, "\r\n"), "STARTTLS\r\n", "and not a word more in plain");
    plain.write_all(b"220 go\r\n").unwrap();
    let mut stream = authority.over(plain);
    let mut said = String::new();
    loop {
        let line = until(&mut stream, "\r\n");
        said.push_str(&line);
        let answer: &[u8] = match line.split([' ', '\r']).next().unwrap() {
            "EHLO" => b"250-sink\r\n250 AUTH PLAIN\r\n",
            "AUTH" => b"235 yes\r\n",
            "DATA" => {
                stream.write_all(b"354 go\r\n").unwrap();
                said.push_str(&until(&mut stream, "\r\n.\r\n"));
                b"250 taken\r\n"
            }
            "QUIT" => {
                let _ = stream.write_all(b"221 bye\r\n");
                return said;
            }
            _ => b"250 ok\r\n",
        };
        stream.write_all(answer).unwrap();
    }
}

#[test]
fn mail_goes_over_tls_with_a_login_and_an_id_that_stays() {
    let authority = Authority::new();
    let believed = authority.believed();
    let (port, sink) = serve(move |listener| take_mail(&authority, &listener));
    let server = MailServer {
        host: "localhost".to_owned(),
        port,
        tls: MailTls::StartTls,
        login: Some(("vault".to_owned(), Zeroizing::new("s3cret".to_owned()))),
        believed,
    };
    let to = ["ops@example.com".to_owned(), "Boss <boss@example.com>".to_owned()];
    let letter = Letter {
        from: "Outlast <outlast@example.com>",
        to: &to,
        subject: "[critical] recovery-point/shop-db für team-shop",
        body: "shop-db missed its recovery point\n.\nend",
        at: now(),
        id: "outlast.hq.1.mail.0",
        thread: "outlast.hq.1",
    };
    server.send(&letter).unwrap();
    drop(server);
    let said = sink.join().unwrap();
    let login = STANDARD.encode("\0vault\0s3cret");
    for part in [
        &*format!("AUTH PLAIN {login}"),
        "RCPT TO:<ops@example.com>",
        "RCPT TO:<boss@example.com>",
        "Message-ID: <outlast.hq.1.mail.0@example.com>",
        "References: <outlast.hq.1@example.com>",
        "Auto-Submitted: auto-generated",
        "Thu, 25 Feb 2021 15:02:10 +0000",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(check_mailbox("ops").is_err() && check_mailbox("ops@example.com").is_ok());
}

#[test]
fn a_secret_that_signs_nothing_well_is_refused() {
    for bad in ["", "whsec_", "whsec_c2hvcnQ=", "no base64 at all"] {
        assert_eq!(WebhookSecret::parse(bad).err(), Some(InvalidSecret), "{bad}");
    }
    assert!(Believed::read(Some(Path::new("/nowhere/ca.pem"))).is_err());
}

#[test]
fn a_server_is_asked_with_a_key_that_only_it_sees_and_its_answer_has_a_bound() {
    let authority = Authority::new();
    let believed = authority.believed();
    let dir = tempfile::tempdir().unwrap();
    let key = dir.path().join("key");
    outlast_fs::durable::replace(&key, b"A1b2\n", 0o600).unwrap();
    let (port, receiver) = serve(move |listener| {
        let answers = [
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}",
            "HTTP/1.1 200 OK\r\ncontent-length: 9\r\nconnection: close\r\n\r\n123456789",
            "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
            "HTTP/1.1 401 Unauthorized\r\ncontent-length: 6\r\nconnection: close\r\n\r\nno\x1bkey",
        ];
        answers.map(|said| answer(&mut authority.accept(&listener), said))
    });
    let address = format!("https://localhost:{port}/netbackup/");
    let new = |address: &str| {
        Questions::new(address, &key, "application/json", &believed, &Roads::default())
    };
    let server = new(&address).unwrap();
    let ask = || server.ask("admin/jobs", &[("filter", "a eq 'b c'")], 8);
    assert_eq!(ask().unwrap().as_deref(), Some(b"{}".as_slice()));
    assert!(matches!(ask(), Err(QuestionError::Call { .. })), "longer than what is wanted");
    assert_eq!(ask().unwrap(), None);
    let refused = ask().unwrap_err().to_string();
    assert!(refused.contains("401") && refused.contains("nokey"), "{refused:?}");
    assert!(!refused.contains("A1b2"), "{refused}");
    let [request, ..] = receiver.join().unwrap();
    let line = "GET /netbackup/admin/jobs?filter=a%20eq%20%27b%20c%27 HTTP/1.1\r\n";
    assert!(request.starts_with(line), "{request}");
    assert!(request.contains("authorization: A1b2\r\n"), "{request}");
    for refused in ["http://localhost/", "https://user:secret@localhost/", "localhost"] {
        let error = new(refused).err().map(|error| error.to_string());
        assert!(error.is_some(), "{refused}");
    }
}
