//! How Go's standard library writes what trees are made of: quoted strings, JSON strings, times
//! and file modes. Trees are named by the hash of their text, so it must be the same text.

mod mode;
mod text;
mod time;

pub use mode::FileMode;
pub use text::{quote, unquote, write_json_string};
pub use time::GoTime;
