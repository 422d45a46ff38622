//! Pure: timeline → metrics → statistics → comparison → verdict. No clock, no I/O.
//!
//! Everything here takes values and returns values, so the same record always gives the same
//! figures: even the bootstrap draws its resamples from a generator with a fixed seed. Figures that
//! cannot be known are `None`; none is ever NaN or infinite.

mod baseline;
mod clock_error;
mod cold;
mod comparison;
mod decision;
mod difference;
mod energy;
mod headline;
mod impact;
mod instrument;
mod load;
mod metrics;
mod objective;
mod outputs;
mod participant;
mod pool;
mod random;
mod rank_test;
mod selection;
mod spread;
mod stalls;
mod statistics;
mod step;
mod summary;
mod surroundings;
mod sustained;
mod sweep;
mod tally;
mod text_difference;
mod throughput;
pub mod timeline;
mod trend;
mod validity;
mod waterfall;
mod wording;

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod vectors;

pub use baseline::{AgainstBaseline, against_baseline, is_same_machine, is_same_work, work_of};
pub use clock_error::{CalibratedStream, clock_error, clock_error_at};
pub use comparison::compare;
pub use decision::is_decided;
pub use difference::{compare_models, compare_runs};
pub use energy::{Price, energy, energy_sentences};
pub use headline::headline;
pub use impact::impact;
pub use instrument::instrument;
pub use load::{load_sentences, load_summary};
pub use metrics::{Measured, measure};
pub use objective::{goodput, missed_objectives, objective_outcomes, objective_sentences};
pub use selection::cold_places;
pub use spread::{spreads, value_at};
pub use stalls::{Movement, Stall, stall_sentence, stalls};
pub use statistics::FEWEST_FOR_INTERVAL;
pub use statistics::distribution;
pub use step::{Direction, Step, step};
pub use summary::{GapPool, summarize};
pub use surroundings::{is_elsewhere, placement_sentences, samples_of, surround};
pub use sustained::{RateCourse, rate_change_sentences};
pub use sweep::{load_stage, most_in_flight};
pub use tally::{MOST_EXACT, Tallies, Tally};
pub use text_difference::first_difference;
pub use trend::trend;
pub use validity::validity;
pub use wording::significant;
