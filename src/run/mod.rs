//! Running a benchmark: which requests to send and when ([`plan`]), sending them ([`engine`]),
//! waiting for one's turn ([`queue`]) and telling what happens ([`events`]); and finding out how well
//! all that measures ([`calibration`]).
//! It knows backends and the machine, but no database and no page.

pub mod calibration;
pub mod engine;
pub mod events;
pub mod plan;
pub mod queue;
mod sweep;
mod synthetic;
