//! Names and limits on which both sides of the road agree.

/// The media types of the two forms of a listing in the REST protocol.
pub(crate) const LIST_V1: &str = "application/vnd.x.restic.rest.v1";
pub(crate) const LIST_V2: &str = "application/vnd.x.restic.rest.v2";

/// The largest object that is taken, in bytes. Stock restic makes packs of up to 128 MiB and may
/// overshoot by a blob.
pub(crate) const OBJECT_BYTES_MAX: u64 = 160 << 20;

/// The header that names what a request belongs to, such as a shipment; the answer has it, too.
pub(crate) const REQUEST_ID_HEADER: &str = "x-request-id";

/// The header in which each answer of a vault carries its newest challenge.
pub const CHALLENGE_HEADER: &str = "x-outlast-challenge";

/// The header in which a media server shows for which agent it acts.
pub(crate) const TICKET_HEADER: &str = "x-outlast-ticket";

/// The header in which each upload names the drop for which it is.
pub const SHIPMENT_HEADER: &str = "x-outlast-shipment";

/// The header that tells where an object goes on that comes in parts.
pub(crate) const OFFSET_HEADER: &str = "x-outlast-offset";
