//! The program seen from outside: over sockets, files and processes.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod api;
mod cli;
mod conformance;
mod documentation;
mod machine;
mod nova;
mod real_model;
mod reference;
mod support;
mod telemetry;
mod web;
