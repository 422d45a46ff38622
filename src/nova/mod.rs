//! Agents that work on a prompt: each asks a model through the same client as a benchmark, and each call is
//! a step with the figures of a benchmark result.
//!
//! Pure are [`accounting`], [`budget`] and [`shape`]; [`prompts`] reads files, once. Nothing is stored here and
//! no page is made: what happens goes out as events, and what is to be kept or found as errands.

pub mod accounting;
mod agent;
pub mod budget;
mod contributions;
pub mod core;
mod fitting;
pub mod instruments;
pub mod live;
mod orchestrator;
pub mod pausing;
pub mod prompts;
mod recall;
pub mod shape;
pub mod tape;
pub mod turn;
