//! What a running server tells those who watch it: [`Metrics`] to be scraped, and [`Traces`] for a collector.
//!
//! Nothing here is asked while a request is timed. What ends (a request, a run, a turn) is told to it by
//! `app`, from the record and beside the announcement; what stands (queue, pools, the process) is looked at
//! when somebody scrapes. Names are those of OpenTelemetry's semantic conventions where there is one.

mod labels;
mod metrics;
mod scrape;
mod traces;

pub use self::labels::{ServedBy, Servers};
pub use self::metrics::{Metrics, Open, Watched};
pub use self::scrape::{Format, Pool, Process, Snapshot, Work};
pub use self::traces::{Traces, TracingError};
