//! Documents in and out: MongoDB's Extended JSON, plain JSON, CSV, and documents of the program that came
//! before this one.
//!
//! Bytes in, bytes out, without any I/O: `app::exchange` carries them between a stream and the database.
//! Out goes the text that is stored, changed where the format asks for it and not read into a record
//! first; in comes a record, with what it does not know kept beside it.

mod extended;
mod extra;
mod markdown;
mod names;
mod parts;
mod reading;
mod rows;
mod splitter;
mod writing;

pub use self::extra::Extra;
pub use self::markdown::session as session_text;
pub use self::parts::{Parts, ResultPart, Style};
pub use self::reading::{Incoming, read, read_value};
pub use self::rows::{Gatherer, header, write_rows};
pub use self::splitter::{Piece, Splitter};
pub use self::writing::write;

/// Fields of a record that hold a time, wherever they stand; what a person asked for and settings of a
/// server hold none, whatever they are called there.
const TIME_FIELDS: [&str; 4] = ["timestamp", "finished_at", "expires_at", "calibrated"];

/// What holds names of other people's making: none of them is one of ours.
const FOREIGN_NAMES: [&str; 2] = ["request", "server_settings"];

/// Whether a field holds a time.
fn is_time(name: &str) -> bool {
    TIME_FIELDS.contains(&name)
}

#[cfg(test)]
mod tests;
