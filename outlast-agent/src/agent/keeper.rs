//! What attends to the agent's identity while it runs.

use std::thread::{self, JoinHandle};

use outlast_wire::ApiClient;
use outlast_wire::news_watch::NewsWatch;
use outlast_wire::renewal::Renewal;

use crate::Shutdown;

/// What attends to an identity: renews its certificate, and hears whom it is to believe.
pub(super) struct Keeper {
    pub(super) renewal: Renewal,
    pub(super) news: NewsWatch,
    /// Whom they ask.
    pub(super) client: ApiClient,
}

impl Keeper {
    /// Attends to the identity on threads of their own, so that a share that hangs keeps it from nothing.
    pub(super) fn start(self, shutdown: &Shutdown) -> Vec<(&'static str, JoinHandle<()>)> {
        let Self { mut renewal, mut news, mut client } = self;
        client.heed(shutdown);
        let (asking, stop) = (client.beside(), shutdown.clone());
        let renewing = start("renewal", move || renewal.keep_doing(&client, &stop));
        let stop = shutdown.clone();
        let hearing = start("trust", move || news.keep_watching(&asking, &stop));
        renewing.into_iter().chain(hearing).collect()
    }
}

fn start(
    name: &'static str,
    work: impl FnOnce() + Send + 'static,
) -> Option<(&'static str, JoinHandle<()>)> {
    match thread::Builder::new().name(name.to_owned()).spawn(work) {
        Ok(thread) => Some((name, thread)),
        Err(error) => {
            tracing::error!(%error, "the thread \"{name}\" cannot be started; restart the agent");
            None
        }
    }
}
