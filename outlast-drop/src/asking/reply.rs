//! The reply to one request.

use outlast_types::RequestId;
use serde::{Deserialize, Serialize};

use super::{Desk, Head, file_of, is_answer, parse};
use crate::share::ShareError;

/// What the agent replies to one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub request: RequestId,
    /// The decision, signed; whoever knows the authority can read it.
    pub decision: serde_json::Value,
    /// Where the content is to come, if it was granted: the name of the answer, and its key sealed to the key
    /// of the request.
    pub answer: Option<(String, String)>,
}

#[derive(Serialize, Deserialize)]
struct ReplyJson {
    #[serde(flatten)]
    head: Head,
    request: RequestId,
    decision: serde_json::Value,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    answer: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    wrapped: Option<String>,
}

impl Desk {
    /// Writes a reply in place of the one that is there, whoever wrote that.
    pub fn reply(&self, reply: &Reply) -> Result<(), ShareError> {
        let (answer, wrapped) = reply.answer.clone().unzip();
        let json = ReplyJson {
            head: self.head(),
            request: reply.request,
            decision: reply.decision.clone(),
            answer,
            wrapped,
        };
        self.write(&file_of(reply.request), &json)
    }

    /// The reply to a request; `None` if there is none yet, or it is torn.
    pub fn replied(&self, request: RequestId) -> Result<Option<Reply>, ShareError> {
        let Some(bytes) = self.read(&file_of(request))? else { return Ok(None) };
        let Some(json) = parse::<ReplyJson>(&bytes) else { return Ok(None) };
        if json.head != self.head() || json.request != request {
            return Ok(None);
        }
        let answer = json.answer.filter(|answer| is_answer(answer)).zip(json.wrapped);
        Ok(Some(Reply { request, decision: json.decision, answer }))
    }
}
