use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use outlast_types::{Clock, SystemClock, SystemRandom};

use super::*;
use crate::Role;
use crate::ca::Request;
use crate::ca::tests::{authority, issue};
use crate::peer::Peer;

fn token(authority: &CertificateAuthority) -> Token {
    let addresses = vec!["https://vault.example:8443/".to_owned()];
    Token::new(authority.root_fingerprint().unwrap(), addresses, &SystemRandom)
}

/// What the authority answers to these keys.
fn answer(authority: &CertificateAuthority, asked: &Asked) -> SignedGrant {
    let peer = Peer::new(Role::Agent, "eu-1").unwrap();
    let request = Request::new(peer, LIFETIME);
    let issued =
        authority.sign_request(&asked.request, &request, &SystemClock, &SystemRandom).unwrap();
    let now = SystemClock.now();
    let granted = Granted::new(asked.keys, now, &issued.chain_pem, issued.authorities);
    SignedGrant::sign(&granted, authority).unwrap()
}

#[test]
fn a_token_survives_its_line_and_a_mistyped_one_is_told_so() {
    let (_directory, authority) = authority();
    let token = token(&authority);
    let text = token.to_text();
    assert!(!text.contains(char::is_whitespace), "one word of one line");
    let again = Token::from_text(&format!("  {}\r\n", *text)).unwrap();
    assert_eq!(again.id(), token.id());
    assert_eq!(again.authority(), token.authority());
    assert_eq!(again.addresses(), token.addresses());
    let message = b"message";
    assert!(token.proof_key().has_proved(message, &again.proof_key().prove(message)));
    // Every letter that is wrong, and every letter that is missing.
    for at in 0..text.len() {
        let mut wrong = text.as_bytes().to_vec();
        wrong[at] = if wrong[at] == b'x' { b'y' } else { b'x' };
        let wrong = String::from_utf8(wrong).unwrap();
        assert!(Token::from_text(&wrong).is_err(), "{at}");
        assert!(Token::from_text(&text[..at]).is_err(), "{at}");
    }
    let newer = text.replacen("token-1.", "token-2.", 1);
    assert_eq!(Token::from_text(&newer).unwrap_err(), InvalidToken::Newer);
    for no_token in ["", "outlast", "hunter2", "outlast-token-", "outlast-token-1"] {
        let error = Token::from_text(no_token).unwrap_err();
        assert!(matches!(error, InvalidToken::NoToken | InvalidToken::Mistyped), "{error}");
    }
}

#[test]
fn nothing_shows_the_secret_of_a_token() {
    let (_directory, authority) = authority();
    let token = token(&authority);
    let text = token.to_text();
    let payload = text.split('.').nth(1).unwrap();
    let json: serde_json::Value =
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap();
    let secret = json["secret"].as_str().unwrap();
    let key = serde_json::to_string(&token.proof_key()).unwrap();
    for shown in [format!("{token:?}"), format!("{:?}", token.proof_key()), key] {
        assert!(!shown.contains(secret), "{shown}");
    }
    let pending = PendingIdentity::generate(&SystemRandom).unwrap();
    let request = EnrollmentRequest::new(&token, &pending).unwrap();
    let sent = serde_json::to_string(&request).unwrap();
    assert!(!sent.contains(secret), "it does not travel");
    let key = serde_json::to_value(token.proof_key()).unwrap();
    assert!(!sent.contains(key.as_str().unwrap()), "nor what is made of it");
}

/// Swaps members of a document, as somebody in the middle can.
fn changed<T: Serialize + serde::de::DeserializeOwned>(
    document: &T,
    member: &str,
    value: serde_json::Value,
) -> T {
    let mut json = serde_json::to_value(document).unwrap();
    assert!(json.get(member).is_some(), "{member}");
    json[member] = value;
    serde_json::from_value(json).unwrap()
}

#[test]
fn a_middle_can_change_nothing_of_a_request() {
    let (_directory, authority) = authority();
    let token = token(&authority);
    let pending = PendingIdentity::generate(&SystemRandom).unwrap();
    let request = EnrollmentRequest::new(&token, &pending).unwrap();
    assert!(request.is_proved_by(&token.proof_key()));
    let other_token = self::token(&authority);
    assert!(!request.is_proved_by(&other_token.proof_key()));
    let mine = PendingIdentity::generate(&SystemRandom).unwrap();
    let swapped = [
        ("request", serde_json::to_value(mine.request_pem().unwrap()).unwrap()),
        ("box_public_key", serde_json::to_value(mine.box_public_key()).unwrap()),
        ("token", serde_json::to_value(other_token.id()).unwrap()),
        ("authority", serde_json::to_value("00".repeat(32)).unwrap()),
        ("version", serde_json::to_value(0).unwrap()),
        ("proof", serde_json::to_value(Base64(vec![0; 32])).unwrap()),
        ("proof", serde_json::to_value(Base64(Vec::new())).unwrap()),
    ];
    for (member, value) in swapped {
        let changed = changed(&request, member, value);
        assert!(!changed.is_proved_by(&token.proof_key()), "{member}");
    }
}

#[test]
fn only_the_authority_answers_and_only_for_the_keys_that_asked() {
    let (_directory, authority) = authority();
    let (_other_directory, other) = crate::ca::tests::authority();
    let pending = PendingIdentity::generate(&SystemRandom).unwrap();
    let asked = Asked::of_pending(&pending).unwrap();
    let fingerprint = authority.root_fingerprint().unwrap();
    let good = answer(&authority, &asked);
    let verify = |answer: &SignedGrant| {
        let by_fingerprint = answer.verify(&asked.keys, Anchor::Fingerprint(fingerprint));
        let by_pem = answer.verify(&asked.keys, Anchor::Authorities(authority.ca_pem()));
        assert_eq!(by_fingerprint.is_ok(), by_pem.is_ok());
        by_fingerprint.map(|(_, certified)| certified.peer.to_string())
    };
    assert_eq!(verify(&good).unwrap(), "agent eu-1");

    assert_eq!(verify(&answer(&other, &asked)), Err(GrantError::OtherAuthority));
    let theirs = Asked::of_pending(&PendingIdentity::generate(&SystemRandom).unwrap()).unwrap();
    assert_eq!(verify(&answer(&authority, &theirs)), Err(GrantError::OtherKeys));
    // A middle that puts its own authority beside ours, or says another time.
    for (ours, swapped) in [
        (authority.ca_pem().to_owned(), format!("{}{}", authority.ca_pem(), other.ca_pem())),
        ("\"at\":\"2".to_owned(), "\"at\":\"3".to_owned()),
    ] {
        let quoted = |text: &str| text.replace('\n', "\\n");
        let text = good.text.replace(&quoted(&ours), &quoted(&swapped));
        assert_ne!(text, good.text);
        let changed = SignedGrant { text, signature: good.signature.clone() };
        assert_eq!(verify(&changed), Err(GrantError::Changed));
    }
    // Nor does the signature of a vault make an answer.
    let vault = issue(&authority, Role::Vault, "hq");
    let signed = vault.sign(&message(ANSWER, VERSION, &[good.text.as_bytes()]));
    let forged = SignedGrant { text: good.text.clone(), signature: Base64(signed) };
    assert_eq!(verify(&forged), Err(GrantError::Changed));
}

#[test]
fn a_renewal_is_signed_by_what_is_renewed() {
    let (_directory, authority) = authority();
    let agent = issue(&authority, Role::Agent, "eu-1");
    let pending = PendingIdentity::generate(&SystemRandom).unwrap();
    let request = RenewalRequest::new(&agent, &pending).unwrap();
    let signer = |request: &RenewalRequest| {
        let (chain, message) = (request.certificate_pem(), request.message());
        crate::signature::verify(chain, authority.ca_pem(), &message, request.signature())
    };
    assert_eq!(signer(&request).unwrap(), *agent.peer());
    let mine = PendingIdentity::generate(&SystemRandom).unwrap();
    let other = issue(&authority, Role::Agent, "eu-2");
    for (member, value) in [
        ("request", serde_json::to_value(mine.request_pem().unwrap()).unwrap()),
        ("box_public_key", serde_json::to_value(mine.box_public_key()).unwrap()),
        ("certificate", serde_json::to_value(other.certificate_pem()).unwrap()),
    ] {
        assert!(signer(&changed(&request, member, value)).is_err(), "{member}");
    }
    assert_eq!(request.asked().unwrap().keys, Keys::of_pending(&pending).unwrap());
}

#[test]
fn what_is_newer_than_this_program_is_told_so() {
    let (_directory, authority) = authority();
    let token = token(&authority);
    let pending = PendingIdentity::generate(&SystemRandom).unwrap();
    let request = EnrollmentRequest::new(&token, &pending).unwrap();
    let newer = changed(&request, "version", serde_json::to_value(2).unwrap());
    assert_eq!(newer.asked().unwrap_err(), RequestError::Newer { version: 2 });
}

#[test]
fn an_authority_knows_what_it_issued_and_for_which_hosts() {
    let (_directory, authority) = authority();
    let (_other_directory, other) = crate::ca::tests::authority();
    let vault = issue(&authority, Role::Vault, "hq");
    assert!(authority.has_issued(vault.certificate_pem()));
    assert!(!other.has_issued(vault.certificate_pem()));
    assert!(!authority.has_issued(authority.ca_pem()) && !authority.has_issued(""));
    assert_eq!(hosts(vault.certificate_pem()).unwrap(), ["localhost", "127.0.0.1"]);
    assert!(authority.is_believed_as(authority.root_fingerprint().unwrap()));
    assert!(!authority.is_believed_as(other.root_fingerprint().unwrap()));
}
