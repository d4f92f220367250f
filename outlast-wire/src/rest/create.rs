//! Objects on their way in: whole in one step where they are short, piece by piece, or in parts.

use std::sync::Arc;

use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use outlast_store::{Kind, Object};
use outlast_types::WorkloadName;

use super::host::{HostError, Incoming, Sender};
use super::parts::{Claimed, Key, PART_BYTES_MAX, Part};
use super::told::{bad_part, goes_on, host_error, not_now, text_of};
use super::{PIECE_BYTES, QUEUE_TIMEOUT, Rest, body, told};
use crate::peer::Peer;
use crate::protocol::{SHIPMENT_HEADER, TICKET_HEADER};
use crate::server::ApiError;
use crate::server::budget::{Holder, Share};

/// An object that is no longer than this is taken in one step.
const SHORT_BYTES: usize = 256 << 10;

impl Rest {
    pub(super) async fn create(
        &self,
        peer: Peer,
        workload: WorkloadName,
        object: Object,
        request: Request,
    ) -> Result<Response, ApiError> {
        let bytes_max = body::longest(object.kind());
        let part = Part::parse(request.uri().query(), bytes_max).map_err(bad_part)?;
        if let Some(part) = part {
            return self.create_part(Key { peer, workload, object }, part, request).await;
        }
        let announced = body::announced(request.headers(), bytes_max)?;
        let bytes = match object.kind() {
            Kind::Data => 2 * PIECE_BYTES as u64,
            // Held as a whole, in a buffer that grew by doubling.
            _ => 2 * announced.unwrap_or(bytes_max),
        };
        let holder = Holder::from(&peer);
        let _room = self.room(&holder, bytes).await?;
        let receive = self.receiving(Key { peer, workload, object }, request.headers());
        let mut body = body::Arriving::new(request.into_body(), bytes_max);
        if announced.is_some_and(|length| length <= SHORT_BYTES as u64) {
            return self.create_short(&holder, object, receive, body).await;
        }
        let incoming = self.blocking(&holder, receive).await?;
        let incoming = match incoming.map_err(host_error) {
            Ok(incoming) => incoming,
            Err(refused) => {
                body.discard().await;
                return Err(refused);
            }
        };
        let mut incoming = Ok(incoming);
        while let Some(piece) = body.piece(PIECE_BYTES).await? {
            // After a failure the rest is taken all the same: who still sends does not hear.
            let Ok(mut into) = incoming else { continue };
            incoming = self.blocking(&holder, move || into.take(&piece).map(|()| into)).await?;
        }
        let incoming = incoming.map_err(host_error)?;
        told::fits(object, body.finish())?;
        let turn = self.turn(&holder, object).await?;
        self.blocking(&holder, move || store(incoming, turn)).await??;
        Ok(StatusCode::OK.into_response())
    }

    /// Takes an object of a few bytes, which comes whole before the host is asked: each call of the host
    /// costs a turn of two threads, and short objects little else.
    async fn create_short(
        &self,
        holder: &Holder,
        object: Object,
        receive: impl FnOnce() -> Result<Box<dyn Incoming>, HostError> + Send + 'static,
        mut body: body::Arriving,
    ) -> Result<Response, ApiError> {
        let content = body.piece(SHORT_BYTES).await?.unwrap_or_default();
        let hash = body.finish();
        let take = move || {
            let mut incoming = receive().map_err(host_error)?;
            if !content.is_empty() {
                incoming.take(&content).map_err(host_error)?;
            }
            told::fits(object, hash)?;
            Ok::<_, ApiError>(incoming)
        };
        if self.takes_turns(object) {
            let incoming = self.blocking(holder, take).await??;
            let turn = self.turn(holder, object).await?;
            self.blocking(holder, move || store(incoming, turn)).await??;
        } else {
            self.blocking(holder, move || take().and_then(|it| store(it, None))).await??;
        }
        Ok(StatusCode::OK.into_response())
    }

    /// Takes a part of an object, and stores the object if it is the last one.
    async fn create_part(
        &self,
        key: Key,
        part: Part,
        request: Request,
    ) -> Result<Response, ApiError> {
        let holder = Holder::from(&key.peer);
        let announced = body::announced(request.headers(), PART_BYTES_MAX)?;
        // Better before the bytes are read than after.
        if let Err(reason) = self.parts.expects(&key, part) {
            body::discard(request.into_body()).await;
            return Ok(not_now(reason));
        }
        let _room = self.room(&holder, 2 * announced.unwrap_or(PART_BYTES_MAX)).await?;
        let receive = self.receiving(key.clone(), request.headers());
        let bytes = body::whole(request.into_body(), PART_BYTES_MAX).await?;
        if bytes.len() as u64 > part.size - part.offset {
            return Err(bad_part("the part goes beyond the end of its object".to_owned()));
        }
        let mut claimed = match self.parts.claim(key.clone(), part, self.began.elapsed()) {
            Ok(claimed) => claimed,
            Err(reason) => return Ok(not_now(reason)),
        };
        if claimed.is_new() {
            // Who only asks begins nothing.
            if bytes.is_empty() {
                return Ok(goes_on(0, StatusCode::ACCEPTED));
            }
            claimed.begin(self.blocking(&holder, receive).await?.map_err(host_error)?);
            self.parts.watch(self.began);
        }
        // In one step, whatever becomes of the request meanwhile.
        let taken = self.blocking(&holder, move || claimed.take(&bytes)).await?;
        let claimed: Claimed = taken.map_err(host_error)?;
        if !claimed.is_whole() {
            return Ok(goes_on(claimed.at(), StatusCode::ACCEPTED));
        }
        // Without a turn it stays as it is, and the next attempt need not bring it again.
        let turn = self.turn(&holder, key.object).await?;
        let finish = move || {
            let Some((incoming, hash)) = claimed.finish() else { return Ok(()) };
            told::fits(key.object, hash)?;
            store(incoming, turn)
        };
        self.blocking(&holder, finish).await??;
        Ok(StatusCode::OK.into_response())
    }

    /// What lets the host begin to take in an object, as its sender says whose it is.
    fn receiving(
        &self,
        of: Key,
        headers: &HeaderMap,
    ) -> impl FnOnce() -> Result<Box<dyn Incoming>, HostError> + Send + 'static {
        let (host, ticket) = (Arc::clone(&self.host), text_of(headers, TICKET_HEADER));
        // Names of drops that are none are of no shipment.
        let shipment = text_of(headers, SHIPMENT_HEADER).and_then(|drop| drop.parse().ok());
        move || {
            let sender = Sender { peer: &of.peer, ticket: ticket.as_deref(), shipment };
            host.receive(sender, &of.workload, &of.object)
        }
    }

    /// What is to be held while an object is proved.
    async fn turn(&self, holder: &Holder, object: Object) -> Result<Option<Share>, ApiError> {
        if !self.takes_turns(object) {
            return Ok(None);
        }
        Ok(Some(self.judged.take(holder, 1, QUEUE_TIMEOUT).await?))
    }

    fn takes_turns(&self, object: Object) -> bool {
        object.kind() == Kind::Data && self.host.proves_packs()
    }
}

/// Proves what came in its turn, and stores it when others may have theirs: it waits for the disk with them.
fn store(mut incoming: Box<dyn Incoming>, turn: Option<Share>) -> Result<(), ApiError> {
    if turn.is_some() {
        incoming.prove().map_err(host_error)?;
    }
    drop(turn);
    incoming.store().map_err(host_error)
}
