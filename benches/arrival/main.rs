//! How well arrivals are stamped and how much that costs, beside a bare epoll reader as the limit.
//!
//! `cargo bench --bench arrival` prints the figures that the README quotes. Both readers work in a
//! process of their own on the first core, one after the other; the reference server works on the
//! last one. The bare reader does nothing but wait, read, and look for line ends; it takes both the
//! kernel's stamp and its own time after the read. It is no test: nothing fails here.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a measurement that cannot go on has nothing to say"
)]

#[cfg(target_os = "linux")]
mod readers;

fn main() {
    #[cfg(target_os = "linux")]
    readers::main();
    #[cfg(not(target_os = "linux"))]
    println!("the bare reader is written for Linux only");
}
