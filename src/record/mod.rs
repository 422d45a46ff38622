//! What is asked and what was found.
//!
//! One set of types: the record that a run produces is the one that is stored, served and rendered.
//! `serde` reads and writes it everywhere; the `poem_openapi` derives give only its schema.
//! There is no behaviour here but validation.

mod calibration;
mod comparison;
mod event;
mod history;
mod id;
mod load;
mod model;
mod objective;
mod parameters;
mod prompt;
mod request;
mod response;
mod result;
mod synthetic;
mod system;
mod trend;

pub use calibration::{Calibration, CalibrationLevel, ClockError, ClockErrors};
pub use comparison::{Comparison, ComparisonRow, OutputComparison, TextDifference, Verdict};
pub use event::{
    EventId, Queued, RequestFinished, RequestStarted, RunEvent, RunFinished, RunStarted,
    SampleTaken, StageStarted, TextArrived,
};
pub use history::{HistoryDetail, HistoryPage, HistoryQuery, HistorySort, Order};
pub use id::{InvalidId, RunId};
pub use load::{HIGHEST_RATE, Load, LoadPattern, MOST_STAGES, MOST_STREAMS};
pub use model::{InvalidModelName, ModelDetails, ModelName, ModelSummary};
pub use objective::{Goodput, Objective, ObjectiveOutcome, Relation, Statistic};
pub use parameters::Parameters;
pub use prompt::{NewPrompt, SavedPrompt};
pub use request::{
    BenchmarkRequest, Execution, FieldError, KeepAlive, Limits, Think, ThinkLevel, only_object,
};
pub use response::{
    BenchmarkResponse, Distribution, Environment, Grade, LoadStage, LoadSummary, ModelEnvironment,
    ModelSummaryStatistics, Status, Validity,
};
pub use result::{
    BenchmarkResult, Chunks, Clock, ErrorCode, ErrorInfo, Placement, ServerTiming, Stage,
    SystemImpact, Throughput, Timing, WaterfallPart,
};
pub use synthetic::Synthetic;
pub use system::{BackendState, Cpu, Gpu, Memory, Sample, Samples, SystemInfo, SystemNow};
pub use trend::{Trend, TrendChange, TrendPoint};
