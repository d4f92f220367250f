//! Something between agents and a vault that ends the agents' connections with a media server's
//! certificate, and does with their words what a test says.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use bytes::Bytes;
use outlast_store::{Object, Store, Verb};
use outlast_types::{Clock, SystemClock, WorkloadName};
use outlast_vault::VaultHandle;
use outlast_wire::access::{Action, Refused};
use outlast_wire::api::{CHALLENGE_HEADER, ErrorCode};
use outlast_wire::rest::{self, Asker, HostError, Incoming, RepositoryHost, Sender, Whole};
use outlast_wire::server::{ApiError, Gate, Limits, serve};
use outlast_wire::statement::Statement;
use outlast_wire::{
    ApiClient, CallError, Identity, IdentityHandle, Peer, RestStore, Role, Trust, tls,
};
use tokio::sync::oneshot;

use crate::support::World;

/// What becomes of words on their way to the vault.
pub(crate) enum Way {
    Pass,
    Instead(Box<Statement>),
    /// They are kept, and whoever said them hears that the vault is away.
    Withhold,
    /// The vault is not asked; this is said to be its answer.
    Answer(Box<Statement>),
}

/// What becomes of objects on their way to the vault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Pass,
    /// Whoever sent it hears that it is stored.
    Swallow,
    /// The vault gets other bytes under its name.
    Spoil,
}

pub(crate) type ObjectRule = Box<dyn Fn(&Object) -> Fate + Send>;

pub(crate) type Rule = Box<dyn FnMut(&str, &Statement) -> Way + Send>;

/// A middle between agents and a vault.
pub(crate) struct Middle {
    pub(crate) url: String,
    pub(crate) shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

pub(crate) struct Shared {
    vault: String,
    identity: Arc<Identity>,
    client: ApiClient,
    rule: Mutex<Rule>,
    objects: Mutex<ObjectRule>,
    /// All words that came, with what they were about.
    pub(crate) words: Mutex<Vec<(String, Statement)>>,
    pub(crate) answers: Mutex<Vec<Statement>>,
    /// The tickets that agents showed.
    tickets: Mutex<HashMap<WorkloadName, String>>,
}

impl Middle {
    pub(crate) fn before(world: &World, vault: &VaultHandle) -> Self {
        // Longer than any test lets the vault's clock go.
        let month = Duration::from_secs(30 * 86_400);
        let handle = IdentityHandle::from(world.identity_for(Role::Media, "middle", month));
        let identity = handle.get();
        let tls = tls::server_config(&identity).unwrap();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let gate = Gate::new(Trust::new(&handle, &clock), |_| ());
        let client = ApiClient::new(&vault.url(), &identity).unwrap();
        let shared = Arc::new(Shared {
            vault: vault.url(),
            identity,
            client,
            rule: Mutex::new(Box::new(|_, _| Way::Pass)),
            objects: Mutex::new(Box::new(|_| Fate::Pass)),
            words: Mutex::default(),
            answers: Mutex::default(),
            tickets: Mutex::default(),
        });
        let router = Router::new()
            .route("/api/v1/workloads/{workload}/open", post(open))
            .route("/api/v1/shipments", post(ship))
            .route("/api/v1/agent/report", post(report))
            .with_state(Arc::clone(&shared))
            .merge(rest::router(Arc::new(Objects(Arc::clone(&shared)))));
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let url = format!("https://{}/", listener.local_addr().unwrap());
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::spawn(move || {
            let serving =
                serve(listener, move || Arc::clone(&tls), gate, router, Limits::default(), async {
                    stopped.await.ok();
                });
            runtime.block_on(serving);
        });
        Self { url, shared, stop: Some(stop), thread: Some(thread) }
    }

    pub(crate) fn rule(&self, rule: impl FnMut(&str, &Statement) -> Way + Send + 'static) {
        *self.shared.rule.lock().unwrap() = Box::new(rule);
    }

    pub(crate) fn object_rule(&self, rule: impl Fn(&Object) -> Fate + Send + 'static) {
        *self.shared.objects.lock().unwrap() = Box::new(rule);
    }

    /// What came last about a subject.
    pub(crate) fn last(&self, about: &str) -> Statement {
        let words = self.shared.words.lock().unwrap();
        words.iter().rev().find(|(what, _)| what == about).unwrap().1.clone()
    }

    pub(crate) fn client(&self) -> &ApiClient {
        &self.shared.client
    }

    pub(crate) fn identity(&self) -> &Identity {
        &self.shared.identity
    }

    /// The workload's objects at the vault, with a ticket.
    pub(crate) fn objects(&self, workload: &WorkloadName, ticket: Option<&str>) -> RestStore {
        self.shared.objects(workload, ticket)
    }

    pub(crate) fn ticket(&self, workload: &WorkloadName) -> String {
        self.shared.tickets.lock().unwrap()[workload].clone()
    }
}

impl Drop for Middle {
    fn drop(&mut self) {
        drop(self.stop.take());
        let ended = self.thread.take().unwrap().join();
        assert!(ended.is_ok() || std::thread::panicking());
    }
}

impl Shared {
    fn objects(&self, workload: &WorkloadName, ticket: Option<&str>) -> RestStore {
        let address = format!("rest:{}repo/{workload}/", self.vault);
        let mut store = RestStore::open(&address, Some(&self.identity)).unwrap();
        if let Some(ticket) = ticket {
            store.show_ticket(ticket);
        }
        store
    }

    /// Lets words go the way that the rule says.
    fn pass<T: serde::Serialize>(
        &self,
        about: &str,
        words: Statement,
        carry: impl FnOnce(&Statement) -> Result<T, CallError>,
    ) -> Response {
        self.words.lock().unwrap().push((about.to_owned(), words.clone()));
        let way = (self.rule.lock().unwrap())(about, &words);
        let answer = match way {
            Way::Pass => carry(&words).map(|answer| Json(answer).into_response()),
            Way::Instead(other) => carry(&other).map(|answer| Json(answer).into_response()),
            Way::Answer(answer) => Ok(Json(answer).into_response()),
            Way::Withhold => {
                return ApiError::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    ErrorCode::Busy,
                    "the vault is away",
                )
                .into_response();
            }
        };
        let answer = answer.unwrap_or_else(|error| {
            let (CallError::Refused { status, body, .. } | CallError::Unable { status, body, .. }) =
                error
            else {
                panic!("{error}")
            };
            let status = StatusCode::from_u16(status).unwrap();
            ApiError { status, body }.into_response()
        });
        let challenge = self.client.challenge().as_str().to_owned();
        ([(CHALLENGE_HEADER, challenge)], answer).into_response()
    }
}

async fn blocking(work: impl FnOnce() -> Response + Send + 'static) -> Response {
    tokio::task::spawn_blocking(work).await.unwrap()
}

async fn open(
    State(middle): State<Arc<Shared>>,
    Path(workload): Path<String>,
    Json(words): Json<Statement>,
) -> Response {
    blocking(move || {
        let workload = workload.parse().unwrap();
        middle.pass("open", words, |words| {
            let answer = middle.client.carry_request(&workload, words)?;
            middle.answers.lock().unwrap().push(answer.clone());
            Ok(answer)
        })
    })
    .await
}

async fn ship(State(middle): State<Arc<Shared>>, Json(words): Json<Statement>) -> Response {
    blocking(move || middle.pass("bill", words, |words| middle.client.carry_bill(words))).await
}

async fn report(State(middle): State<Arc<Shared>>, Json(words): Json<Statement>) -> Response {
    blocking(move || middle.pass("report", words, |words| middle.client.carry_report(words))).await
}

/// The vault's objects, as far as tickets lead.
struct Objects(Arc<Shared>);

impl RepositoryHost for Objects {
    fn permit(
        &self,
        asker: Asker<'_>,
        _action: Action,
        workload: &WorkloadName,
    ) -> Result<(), Refused> {
        if let Some(ticket) = asker.ticket {
            self.0.tickets.lock().unwrap().insert(workload.clone(), ticket.to_owned());
        }
        Ok(())
    }

    fn store(
        &self,
        _peer: &Peer,
        workload: &WorkloadName,
        _verb: Verb,
    ) -> Result<Arc<dyn Store>, HostError> {
        let ticket = self.0.tickets.lock().unwrap().get(workload).cloned();
        Ok(Arc::new(self.0.objects(workload, ticket.as_deref())))
    }

    fn create(&self, _peer: &Peer, workload: &WorkloadName) -> Result<(), HostError> {
        Err(HostError::Unknown { workload: workload.clone() })
    }

    fn receive(
        &self,
        sender: Sender<'_>,
        workload: &WorkloadName,
        object: &Object,
    ) -> Result<Box<dyn Incoming>, HostError> {
        let (store, object) = (self.store(sender.peer, workload, Verb::Create)?, *object);
        let fate = (self.0.objects.lock().unwrap())(&object);
        Ok(Box::new(Whole::new(move |content: Bytes| match fate {
            Fate::Pass => Ok(store.create(&object, content)?),
            Fate::Swallow => Ok(()),
            Fate::Spoil => Ok(store.create(&object, content.slice(1..))?),
        })))
    }

    fn remove(
        &self,
        peer: &Peer,
        workload: &WorkloadName,
        object: &Object,
    ) -> Result<(), HostError> {
        Ok(self.store(peer, workload, Verb::Remove)?.remove(object)?)
    }
}
