//! The HTTP API over real sockets, with the reference server behind it.

mod clients;
mod decided;
mod events;
mod exchange;
mod guard;
mod history;
mod invalid;
mod load;
mod runs;
mod schema;
mod specification;
mod statistics;

use serde_json::{Value, json};

/// A model that is done in a moment.
pub const QUICK: &str = "script:tokens=8,ttft=5,gap=1@reference";
/// A model that writes for about half a minute unless it is stopped.
pub const LONG: &str = "script:tokens=3000,ttft=5,gap=10@reference";

pub fn request(models: &[&str]) -> Value {
    json!({"prompt": "Why is the sky blue?", "models": models, "repetitions": 2, "warmup": 1})
}
