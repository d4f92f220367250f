//! The instance metadata service of EC2, version 2: a session first, then questions.

use hyper::Method;
use outlast_types::Timestamp;
use serde::Deserialize;

use super::door::{Door, MetadataError};
use super::notice::{Notice, Whereabouts};

const TOKEN: &str = "latest/api/token";
const TOKEN_HEADER: &str = "x-aws-ec2-metadata-token";
/// How long a session lasts, in seconds: the longest that there is. One that has ended is begun anew.
const TOKEN_TTL: (&str, &str) = ("x-aws-ec2-metadata-token-ttl-seconds", "21600");
const LIFECYCLE: &str = "latest/meta-data/autoscaling/target-lifecycle-state";
const SPOT: &str = "latest/meta-data/spot/instance-action";
const INSTANCE: &str = "latest/meta-data/instance-id";
const REGION: &str = "latest/meta-data/placement/region";

/// A session with the service.
#[derive(Default)]
pub(super) struct Aws {
    token: Option<String>,
}

/// What is said of a spot instance that is taken back.
#[derive(Deserialize)]
struct Action {
    action: String,
    #[serde(default)]
    time: String,
}

impl Aws {
    /// The end that is announced, if one is. That the group waits is the stronger word.
    pub(super) fn look(&mut self, door: &Door) -> Result<Option<Notice>, MetadataError> {
        let state = self.get(door, LIFECYCLE)?.unwrap_or_default();
        // Of a warm pool, too: `Warmed:Terminated`.
        if state.trim().rsplit(':').next() == Some("Terminated") {
            let what = "its Auto Scaling group terminates it".to_owned();
            return Ok(Some(Notice { id: "lifecycle".to_owned(), what, due: None, waits: true }));
        }
        let Some(text) = self.get(door, SPOT)? else { return Ok(None) };
        let action: Action = serde_json::from_str(&text).map_err(|_| door.strange(SPOT, &text))?;
        let what = match action.action.as_str() {
            "stop" => "EC2 takes the spot instance back and stops it",
            "hibernate" => "EC2 takes the spot instance back and hibernates it",
            _ => "EC2 takes the spot instance back and terminates it",
        };
        let due = action.time.parse::<Timestamp>().ok();
        Ok(Some(Notice { id: "spot".to_owned(), what: what.to_owned(), due, waits: false }))
    }

    pub(super) fn whereabouts(&mut self, door: &Door) -> Result<Whereabouts, MetadataError> {
        let mut plain = |path| {
            let text = self.get(door, path)?.unwrap_or_default().trim().to_owned();
            // They become words of a command's environment.
            let is_plain = text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
            if is_plain { Ok(text) } else { Err(door.strange(path, &text)) }
        };
        Ok(Whereabouts { instance: plain(INSTANCE)?, region: plain(REGION)? })
    }

    /// What lies at a path; nothing where there is nothing.
    fn get(&mut self, door: &Door, path: &str) -> Result<Option<String>, MetadataError> {
        let mut is_new = false;
        loop {
            let token = match &self.token {
                Some(token) => token.clone(),
                None => {
                    is_new = true;
                    self.begin(door)?
                }
            };
            let answered = door.ask(Method::GET, path, (TOKEN_HEADER, &token), &[])?;
            match answered.status {
                200 => return Ok(Some(answered.body)),
                404 => return Ok(None),
                // The session has ended, or belongs to a host that this was before it was copied.
                401 if !is_new => self.token = None,
                _ => return Err(door.refused(path, &answered)),
            }
        }
    }

    fn begin(&mut self, door: &Door) -> Result<String, MetadataError> {
        let answered = door.ask(Method::PUT, TOKEN, TOKEN_TTL, &[])?;
        let token = answered.body.trim().to_owned();
        if answered.status != 200 || token.is_empty() {
            return Err(door.refused(TOKEN, &answered));
        }
        self.token = Some(token.clone());
        Ok(token)
    }
}
