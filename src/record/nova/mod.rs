//! Asking the agents, and what they did: sessions, turns, steps, memory, events.

mod event;
mod memory;
mod replay;
mod request;
mod session;
mod step;
mod turn;

pub use event::StepPhase;
pub use event::{
    MemoryRecalled, NovaEvent, StepProgress, StepStarted, TokensArrived, TurnAwaitsUser,
    TurnCancelled, TurnFailed, TurnFinished, TurnIteration, TurnStage, TurnStarted, TurnStep,
};
pub use memory::{MemoryDocument, MemoryPage, MemoryScope, NewMemory, RecallReason};
pub use replay::{
    DifferenceKind, ReplayReport, ReplayedStep, StepDifference, StepHashes, TurnReplay,
    TurnReplayMode,
};
pub use request::{MOST_ITERATIONS, MemoryUse, NovaPipeline, NovaRequest, NovaRole, NovaStage};
pub use session::{
    NewSession, NovaCheckpoint, NovaFork, NovaSession, SessionPage, SessionPatch, SessionStatus,
    SessionSummary,
};
pub use step::{JsonOutcome, NovaStep};
pub use turn::{
    Contributed, NovaMetrics, NovaResponse, NovaSetting, NovaState, NovaStatus, NovaTurn,
    PausedWork, RoleModel, TurnAccounting,
};
