//! The program seen from outside: over sockets, files and processes.

mod api;
mod conformance;
mod reference;
mod support;
