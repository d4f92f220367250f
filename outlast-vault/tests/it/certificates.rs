//! Certificates as the vault judges them at each request, and as operators see and revoke them.

use std::time::Duration;

use outlast_types::{Clock, SystemClock};
use outlast_wire::api::{CertificateView, ErrorCode, Holder, RevokeOrder};
use outlast_wire::ca::Request;
use outlast_wire::client::OpenError;
use outlast_wire::{ApiClient, CallError, Identity, Peer, Role};

use crate::support::{World, eventually, shop, speaker};

fn holder(role: Role, name: &str) -> RevokeOrder {
    let holder = Some(Holder { role, name: name.to_owned() });
    RevokeOrder { holder, certificate: None, reason: Some("its host was stolen".to_owned()) }
}

fn certificate(identity: &Identity) -> RevokeOrder {
    let certificate = Some(identity.certified().serial.clone());
    RevokeOrder { holder: None, certificate, reason: None }
}

#[track_caller]
fn refused<T>(result: Result<T, CallError>, code: &ErrorCode) {
    let error = result.err().unwrap();
    assert_eq!(error.code(), Some(code), "{error}");
    assert!(!error.is_passing(), "{error}");
}

fn state<'a>(list: &'a [CertificateView], identity: &Identity) -> &'a str {
    let serial = &identity.certified().serial;
    let found = list.iter().find(|view| view.certified.serial == *serial);
    found.map_or("unknown", |view| &view.state)
}

#[test]
fn what_is_revoked_is_shut_out_at_once_on_open_connections_too_and_for_ever() {
    let world = World::new();
    let vault = world.start();
    let operator = world.client(&vault, Role::Operator);
    let [one, two] = ["eu-1", "eu-2"].map(|name| world.identity(Role::Agent, name));
    let client = |url: &str, of: &Identity| ApiClient::new(url, of).unwrap();
    let connected = client(&vault.url(), &one);
    open(&connected, &one).unwrap();
    assert_eq!(state(&operator.certificates().unwrap(), &one), "good", "it was met");

    let revoked = operator.revoke(&holder(Role::Agent, "eu-1")).unwrap();
    assert_eq!(state(&revoked, &one), "revoked");
    refused(open(&connected, &one), &ErrorCode::CertificateRevoked);
    let fresh = client(&vault.url(), &one);
    refused(open(&fresh, &one), &ErrorCode::CertificateRevoked);
    open(&client(&vault.url(), &two), &two).unwrap();

    // One certificate of several; the others of its holder go on.
    let again = world.identity(Role::Agent, "eu-2");
    client(&vault.url(), &again).trust_news().unwrap();
    operator.revoke(&certificate(&two)).unwrap();
    refused(client(&vault.url(), &two).trust_news(), &ErrorCode::CertificateRevoked);
    client(&vault.url(), &again).trust_news().unwrap();

    // A restart changes nothing of it, and the name can be given anew.
    drop(vault);
    let vault = world.start();
    refused(client(&vault.url(), &one).trust_news(), &ErrorCode::CertificateRevoked);
    let list = world.client(&vault, Role::Operator).certificates().unwrap();
    assert_eq!((state(&list, &one), state(&list, &two)), ("revoked", "revoked"));
    assert_eq!(state(&list, &again), "good");
    let reason = list.iter().find(|view| view.certified.serial == one.certified().serial);
    assert_eq!(reason.unwrap().reason.as_deref(), Some("its host was stolen"));
    let peer = Peer::new(Role::Agent, "eu-1").unwrap();
    let later = Request {
        begins: Some(SystemClock.now().saturating_add(Duration::from_secs(1))),
        ..Request::new(peer, Duration::from_secs(60))
    };
    let new = world.issue(&later);
    eventually("the new certificate begins", || client(&vault.url(), &new).trust_news().ok());
}

/// Asks for a workload's repository.
fn open(client: &ApiClient, of: &Identity) -> Result<(), CallError> {
    match client.open_workload(&shop(), speaker(of)) {
        Ok(_) => Ok(()),
        Err(OpenError::Call(error)) => Err(error),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn only_operators_revoke_and_nobody_takes_the_vault_its_voice() {
    let world = World::new();
    let vault = world.start();
    for role in [Role::Agent, Role::Media, Role::Reader] {
        let client = world.client(&vault, role);
        refused(client.certificates(), &ErrorCode::Refused);
        refused(client.revoke(&holder(Role::Agent, "eu-1")), &ErrorCode::Refused);
    }
    let operator = world.client(&vault, Role::Operator);
    refused(operator.revoke(&holder(Role::Vault, "main")), &ErrorCode::BadOrder);
    refused(operator.revoke(&holder(Role::Agent, "EU 1")), &ErrorCode::BadName);
    let unknown = RevokeOrder { certificate: Some("00".repeat(16)), ..holder(Role::Agent, "x") };
    refused(operator.revoke(&unknown), &ErrorCode::BadOrder);
    let unknown = RevokeOrder { holder: None, ..unknown };
    refused(operator.revoke(&unknown), &ErrorCode::UnknownCertificate);
}

#[test]
fn every_tier_hears_the_newest_list_signed_by_the_vault() {
    let world = World::new();
    let vault = world.start();
    let agent = world.agent(&vault);
    let first = agent.client.trust_news().unwrap().verify(agent.identity.ca_pem(), 0).unwrap();
    let stolen = world.identity(Role::Media, "dmz-1");
    world.client(&vault, Role::Operator).revoke(&holder(Role::Media, "dmz-1")).unwrap();
    let signed = agent.client.trust_news().unwrap();
    let second = signed.verify(agent.identity.ca_pem(), first.number).unwrap();
    assert!(second.number > first.number);
    assert!(second.list().of(stolen.certified()).is_some());
    assert!(first.list().of(stolen.certified()).is_none());
    assert_eq!(second.authorities, *agent.identity.authorities());
    // Nobody learns of agents but who must judge what they say.
    world.client(&vault, Role::Operator).revoke(&holder(Role::Agent, "eu-9")).unwrap();
    let told = |role| {
        let news = world.client(&vault, role).trust_news().unwrap();
        let news = news.verify(agent.identity.ca_pem(), second.number + 1).unwrap();
        let revoked = news.revocations.iter().map(|it| it.revoked.peer().role());
        (news.number, revoked.collect::<Vec<_>>())
    };
    let (number, all) = told(Role::Media);
    assert_eq!(all, [Role::Media, Role::Agent]);
    assert_eq!(told(Role::Agent), (number, vec![Role::Media]));
    assert_eq!(told(Role::Reader), (number, vec![Role::Media]));
    // Nobody but a vault tells it, and not of an authority that is not believed.
    let other = World::new();
    let stranger = other.identity(Role::Agent, "eu-1");
    assert!(signed.verify(stranger.ca_pem(), 0).is_err());
    assert!(signed.verify(agent.identity.ca_pem(), second.number + 1).is_err(), "it went back");
}

#[test]
fn a_certificate_that_ended_while_its_connection_was_open_does_nothing_more() {
    let world = World::new();
    let vault = world.start();
    let peer = Peer::new(Role::Reader, "anna").unwrap();
    // Dated back by five minutes, so its life is that and this.
    let short = world.issue(&Request::new(peer, Duration::from_secs(2)));
    let client = ApiClient::new(&vault.url(), &short).unwrap();
    let ended = eventually("the certificate ends", || client.workloads().err());
    assert_eq!(ended.code(), Some(&ErrorCode::CertificateEnded), "{ended}");
    assert!(ended.to_string().contains("renewed"), "{ended}");
}
