//! What is asked and what was found.
//!
//! One set of types: the record that a run produces is the one that is stored, served and rendered.
//! `serde` reads and writes it everywhere; the `poem_openapi` derives give only its schema.
//! There is no behaviour here but validation.

mod calibration;
mod care;
mod comparison;
mod cooldown;
mod energy;
mod event;
mod exchange;
mod history;
mod id;
mod load;
mod manner;
mod model;
mod nova;
mod objective;
mod parameters;
mod prompt;
mod replay;
mod request;
mod response;
mod result;
mod sample;
mod statistics;
mod synthetic;
mod system;
mod trend;
mod view;

pub use calibration::{Calibration, CalibrationLevel, ClockError, ClockErrors};
pub use care::{CheckFinding, CheckReport, DeleteReport, Keep, PruneReport};
pub use comparison::{
    Comparison, ComparisonRow, OutputComparison, Spread, TextDifference, Verdict,
};
pub use cooldown::{Cooldown, CooledDown};
pub use energy::{Energy, EnergySummary, RateChange};
pub use event::{
    CoolingDown, EventId, Queued, RequestFinished, RequestStarted, RunEvent, RunFinished,
    RunStarted, SampleTaken, StageStarted, TextArrived,
};
pub use exchange::{ExportFormat, ExportQuery, ImportError, ImportReport};
pub use history::{HistoryDetail, HistoryPage, HistoryQuery, HistorySort, Order};
pub use id::{InvalidId, RunId};
pub use load::{HIGHEST_RATE, Load, LoadPattern, MOST_STAGES, MOST_STREAMS};
pub use manner::{Execution, KeepAlive, Think, ThinkLevel};
pub use model::{
    InvalidModelName, ModelDetails, ModelName, ModelSummary, REFERENCE, synthetic_mark,
};
pub use nova::{
    Contributed, DifferenceKind, JsonOutcome, MOST_ITERATIONS, MemoryDocument, MemoryPage,
    MemoryRecalled, MemoryScope, MemoryUse, NewMemory, NewSession, NovaCheckpoint, NovaEvent,
    NovaFork, NovaMetrics, NovaPipeline, NovaRequest, NovaResponse, NovaRole, NovaSession,
    NovaSetting, NovaStage, NovaState, NovaStatus, NovaStep, NovaTurn, PausedWork, RecallReason,
    ReplayReport, ReplayedStep, RoleModel, SessionPage, SessionPatch, SessionStatus,
    SessionSummary, StepDifference, StepHashes, StepPhase, StepProgress, StepStarted,
    TokensArrived, TurnAccounting, TurnAwaitsUser, TurnCancelled, TurnFailed, TurnFinished,
    TurnIteration, TurnReplay, TurnReplayMode, TurnStage, TurnStarted, TurnStep,
};
pub use objective::{Goodput, Objective, ObjectiveOutcome, Relation, Statistic};
pub use parameters::Parameters;
pub use prompt::{NewPrompt, SavedPrompt};
pub use replay::{LiveTurn, PinnedCall, ReplayMode, SessionBenchmark, SessionReplay, SessionStep};
pub use request::{BenchmarkRequest, FieldError, Limits, only_object, only_object_or_null};
pub use response::{
    BenchmarkResponse, Distribution, Environment, Grade, LoadStage, LoadSummary, Location,
    ModelEnvironment, ModelSummaryStatistics, Status, Validity,
};
pub use result::{
    BenchmarkResult, Chunks, Clock, ErrorCode, ErrorInfo, Placement, ServerTiming, Stage,
    SystemImpact, Throughput, Timing, WaterfallPart,
};
pub use sample::{
    GpuSample, Pressure, RemoteSamples, Sample, SampleRemark, SamplerCost, Samples, ServerSample,
    ServerState,
};
pub use statistics::{Bucket, FigureStatistics, ModelStatistics, StoredFigures};
pub use synthetic::Synthetic;
pub use system::{
    BackendState, Container, Cpu, DatabaseState, Gpu, GpuProcess, Memory, SystemInfo, SystemNow,
    UnknownFigure,
};
pub use trend::{Trend, TrendChange, TrendPoint};
pub use view::{NewView, SavedView};
