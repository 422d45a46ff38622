//! What the agents cost beside their models, and whether many sessions at once need ever more memory.
//!
//! ```text
//! cargo bench --bench nova                20 turns of each pipeline, then 100 sessions at once, 10 turns each
//! cargo bench --bench nova -- 5 50 4      5 turns, 50 sessions, 4 turns each
//! ```
//!
//! The program is started as it is shipped, with its own reference server as the model, and asked over HTTP.
//! What a turn cost is its own accounting. It is no test: nothing fails here.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a measurement that cannot go on has nothing to say"
)]

#[cfg(target_os = "linux")]
mod nova;
#[cfg(target_os = "linux")]
#[path = "../shipped/mod.rs"]
mod shipped;

fn main() {
    #[cfg(target_os = "linux")]
    nova::main();
    #[cfg(not(target_os = "linux"))]
    println!("what a process uses is read from Linux's files only");
}
