//! The program seen from outside: over sockets, files and processes.

mod api;
mod conformance;
mod real_model;
mod reference;
mod support;
