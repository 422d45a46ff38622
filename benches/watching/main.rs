//! What a thousand clients cost that watch one run, and whether they move what is measured.
//!
//! ```text
//! cargo bench --bench watching                     1,000 clients, 4 pairs of runs of 8 requests
//! cargo bench --bench watching -- 200 2 4          200 clients, 2 pairs of runs of 4 requests
//! ```
//!
//! The program is started as it is shipped, with its own reference server as the model. Of each pair one run is
//! watched and one is not, in turns which of them is first. All clients are in this process, on one thread: they
//! read what comes and compare it with what the first of them got. It is no test: nothing fails here.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a measurement that cannot go on has nothing to say"
)]

#[cfg(target_os = "linux")]
#[path = "../shipped/mod.rs"]
mod shipped;
#[cfg(target_os = "linux")]
mod watching;

fn main() {
    #[cfg(target_os = "linux")]
    watching::main();
    #[cfg(not(target_os = "linux"))]
    println!("what a process uses is read from Linux's files only");
}
