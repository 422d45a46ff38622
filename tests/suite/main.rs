//! The program seen from outside: over sockets, files and processes.

mod conformance;
mod reference;
mod support;
