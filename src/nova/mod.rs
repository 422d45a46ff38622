//! Agents in front of a model: what each is there for, what it is told, what is read from its
//! answer, what of a session fits into its context, and where the time of a turn went.
//!
//! What is here asks no model itself and knows no database and no page; only [`prompts`] reads files, once.

pub mod accounting;
pub mod budget;
pub mod prompts;
pub mod role;
pub mod shape;
