//! Objects that a media server hands on to a vault, in parts, as fast as the line may be used.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use hyper::{Method, StatusCode};
use outlast_store::Object;
use outlast_types::{DropId, WorkloadName};
use tokio::time::{Sleep, sleep};

use super::calls::ApiClient;
use super::error::CallError;
use super::http::Failure;
use super::store::RestStore;
use crate::api::ErrorCode;
use crate::protocol::OFFSET_HEADER;

/// A body goes out in pieces of at most so many bytes, each in its turn.
const PIECE_BYTES: usize = 64 << 10;

/// Says when bytes may go.
pub trait Pace: Send + Sync {
    /// So many may go now; or how long to wait before this is asked again.
    fn turn(&self, bytes: u64) -> Result<(), Duration>;
}

/// A part of an object.
#[derive(Debug, Clone)]
pub struct Part {
    pub object: Object,
    /// Where it begins, and how long the object is.
    pub offset: u64,
    pub total: u64,
    pub content: Bytes,
}

/// What became of a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// The object is whole, and stored.
    Stored,
    /// It was there already.
    Exists,
    /// It goes on there.
    Partly { offset: u64 },
}

impl ApiClient {
    /// The objects of a workload, over this client's connections, with a ticket of an agent.
    pub fn repository(&self, workload: &WorkloadName, ticket: Option<&str>) -> RestStore {
        let mut store = RestStore::of(self.http.below(&format!("repo/{workload}")));
        ticket.iter().for_each(|ticket| store.show_ticket(ticket));
        store
    }

    /// Hands on a part of an object that came for a drop, at a pace; a media server with an agent's ticket.
    pub fn forward(
        &self,
        workload: &WorkloadName,
        ticket: Option<&str>,
        shipment: Option<DropId>,
        part: Part,
        pace: &Arc<dyn Pace>,
        deadline: Duration,
    ) -> Result<Sent, CallError> {
        // On an errand of its own: others go over the same connections.
        let mut http = self.http.beside().below(&format!("repo/{workload}"));
        ticket.iter().for_each(|ticket| http.show_ticket(ticket));
        http.bring(shipment);
        http.carry(shipment.map(|drop| drop.to_string()).as_deref());
        let Part { object, offset, total, content } = part;
        let is_whole = offset == 0 && content.len() as u64 == total;
        let path = match is_whole {
            true => object.to_string(),
            false => format!("{object}?offset={offset}&size={total}"),
        };
        let request = http.request(Method::POST, &path, 0).within(deadline);
        let paced = PacedOut { content, pace: Arc::clone(pace), pause: None };
        let answer = request.stream(Body::new(paced)).send(|_| false, 0);
        let location = || http.location().to_owned();
        let answer =
            answer.map_err(|source| CallError::Unreachable { location: location(), source })?;
        let goes_on = answer.headers.get(OFFSET_HEADER);
        let goes_on = goes_on.and_then(|text| text.to_str().ok()?.parse().ok());
        match (answer.status, goes_on) {
            (StatusCode::OK | StatusCode::CREATED, _) => return Ok(Sent::Stored),
            (StatusCode::ACCEPTED, Some(offset)) => return Ok(Sent::Partly { offset }),
            _ => {}
        }
        let Failure { status, body } = Failure::of(answer);
        match (status, &body.code, goes_on) {
            (StatusCode::CONFLICT, ErrorCode::WrongOffset, Some(offset)) => {
                Ok(Sent::Partly { offset })
            }
            (StatusCode::CONFLICT, ErrorCode::AlreadyExists, _) => Ok(Sent::Exists),
            _ => Err(CallError::of(location(), status, body)),
        }
    }
}

/// A body that goes out as its pace allows.
struct PacedOut {
    content: Bytes,
    pace: Arc<dyn Pace>,
    /// Runs while it waits for its turn.
    pause: Option<Pin<Box<Sleep>>>,
}

impl HttpBody for PacedOut {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if self.content.is_empty() {
            return Poll::Ready(None);
        }
        let length = self.content.len().min(PIECE_BYTES);
        loop {
            if let Some(pause) = &mut self.pause {
                ready!(pause.as_mut().poll(context));
                self.pause = None;
            }
            match self.pace.turn(length as u64) {
                Ok(()) => return Poll::Ready(Some(Ok(Frame::data(self.content.split_to(length))))),
                Err(pause) => self.pause = Some(Box::pin(sleep(pause))),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.content.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.content.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::Mutex;

    use super::*;

    /// Lets what it is asked for go, each time at the second asking.
    #[derive(Default)]
    struct AtTheSecondAsking(Mutex<(bool, Vec<u64>)>);

    impl Pace for AtTheSecondAsking {
        fn turn(&self, bytes: u64) -> Result<(), Duration> {
            let mut state = self.0.lock().unwrap();
            state.0 = !state.0;
            if state.0 {
                return Err(Duration::from_millis(1));
            }
            state.1.push(bytes);
            Ok(())
        }
    }

    #[tokio::test]
    async fn no_piece_goes_out_before_its_turn_and_all_of_them_do() {
        let content: Vec<u8> = (0..=255_u8).cycle().take(200_000).collect();
        let turns = Arc::new(AtTheSecondAsking::default());
        let pace = Arc::clone(&turns) as Arc<dyn Pace>;
        let mut body = PacedOut { content: content.clone().into(), pace, pause: None };
        assert_eq!(body.size_hint().exact(), Some(200_000));
        let mut sent = Vec::new();
        while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
            sent.extend_from_slice(&frame.unwrap().into_data().unwrap());
            let allowed: u64 = turns.0.lock().unwrap().1.iter().sum();
            assert!(sent.len() as u64 <= allowed);
        }
        assert!(body.is_end_stream());
        assert_eq!(sent, content);
        assert_eq!(turns.0.lock().unwrap().1, [65_536, 65_536, 65_536, 3392]);
    }
}
