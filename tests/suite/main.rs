//! The program seen from outside: over sockets, files and processes.

mod reference;
