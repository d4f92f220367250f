//! Dates as HTTP writes them.

use outlast_types::Timestamp;
use time::PrimitiveDateTime;
use time::macros::format_description;

/// A date such as `Mon, 21 Sep 2026 14:14:20 GMT`.
pub(super) fn http_date(text: &str) -> Option<Timestamp> {
    let form = format_description!(
        "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
    );
    let date = PrimitiveDateTime::parse(text.trim(), form).ok()?.assume_utc();
    Timestamp::from_unix(date.unix_timestamp(), 0)
}
