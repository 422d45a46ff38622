//! Conversations with agents, and what these remember.

mod check;
mod checkpoint;
mod memory;
mod sessions;
mod turns;

pub use self::memory::{Embedding, Remembered};
pub use self::turns::TurnDetail;
