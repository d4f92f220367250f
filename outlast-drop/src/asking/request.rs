//! What an instance wants.

use outlast_types::{ContentHash, DropId, RequestId, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Desk, Head, file_of, parse, to_bytes};
use crate::fetch::Wanted;
use crate::share::ShareError;

/// A longer text is no public key.
const KEY_CHARS_MAX: usize = 256;
/// The longest name of an instance that is kept.
const INSTANCE_CHARS_MAX: usize = 255;

/// A request for one backup of a workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    pub id: RequestId,
    pub wanted: Wanted,
    /// The public key to which the answer's key is to be sealed, as text.
    pub key: String,
    /// Who asks, as it says itself.
    pub instance: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct RequestJson {
    #[serde(flatten)]
    head: Head,
    request: RequestId,
    wanted: WantedJson,
    key: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    instance: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum WantedJson {
    /// The newest one.
    Latest,
    Drop(DropId),
    At(Timestamp),
}

impl From<Wanted> for WantedJson {
    fn from(wanted: Wanted) -> Self {
        match wanted {
            Wanted::Newest => Self::Latest,
            Wanted::Drop(drop) => Self::Drop(drop),
            Wanted::At(at) => Self::At(at),
        }
    }
}

impl From<WantedJson> for Wanted {
    fn from(wanted: WantedJson) -> Self {
        match wanted {
            WantedJson::Latest => Self::Newest,
            WantedJson::Drop(drop) => Self::Drop(drop),
            WantedJson::At(at) => Self::At(at),
        }
    }
}

impl Desk {
    /// Puts a request there; the digest of its file, which names it for good.
    pub fn ask(&self, request: &Request) -> Result<ContentHash, ShareError> {
        let json = RequestJson {
            head: self.head(),
            request: request.id,
            wanted: request.wanted.into(),
            key: request.key.clone(),
            instance: request.instance.clone(),
        };
        let name = file_of(request.id);
        let path = self.directory.path_of(name.as_bytes());
        let written = to_bytes(&json).and_then(|bytes| {
            // An id is used once: what has its name is somebody else's.
            self.directory.create_own(&name, &bytes, self.directory.access()?)?;
            Ok(digest_of(&bytes))
        });
        written.map_err(ShareError::io("write", &path))
    }

    /// A request and the digest of its file; `None` if it is gone, torn, or not what its place says.
    pub fn request(&self, id: RequestId) -> Result<Option<(Request, ContentHash)>, ShareError> {
        let Some(bytes) = self.read(&file_of(id))? else { return Ok(None) };
        let Some(json) = parse::<RequestJson>(&bytes) else { return Ok(None) };
        if json.head != self.head() || json.request != id || json.key.len() > KEY_CHARS_MAX {
            return Ok(None);
        }
        let instance = json.instance.map(|name| name.chars().take(INSTANCE_CHARS_MAX).collect());
        let request = Request { id, wanted: json.wanted.into(), key: json.key, instance };
        Ok(Some((request, digest_of(&bytes))))
    }
}

fn digest_of(bytes: &[u8]) -> ContentHash {
    ContentHash(*blake3::hash(bytes).as_bytes())
}
