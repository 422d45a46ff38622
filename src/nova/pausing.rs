//! Work that pauses for the user's word, and goes on with it in the next turn of the session at the stage
//! behind the pause.

use super::orchestrator::{Context, Found, Written};
use super::shape::Summary;
use crate::record::{Contributed, NovaPipeline, NovaStage, NovaStatus, NovaTurn, PausedWork};

/// Paused work to go on with.
#[derive(Clone, Debug, PartialEq)]
pub struct Resumed {
    /// The turn that paused.
    pub turn: u32,
    /// After which stage.
    pub stage: NovaStage,
    /// What there was until then.
    pub work: PausedWork,
}

impl Resumed {
    /// The work of a turn, where that paused; another pipeline has no use for it.
    pub fn of(turn: &NovaTurn, pipeline: NovaPipeline) -> Option<Self> {
        let response = &turn.response;
        let pauses = response.status == NovaStatus::AwaitingUser && turn.pipeline == pipeline;
        let state = Some(&response.state).filter(|_| pauses)?;
        Some(Self {
            turn: turn.number,
            stage: state.paused_after?,
            work: state.paused.clone()?,
        })
    }

    /// The work got past this stage.
    pub fn is_past(&self, stage: NovaStage) -> bool {
        place(self.stage) >= place(stage)
    }

    /// What the discussion had come to.
    pub fn state(&self) -> Summary {
        let work = &self.work;
        Summary {
            summary: work.summary.clone(),
            goals: work.goals.clone(),
            // The user has answered them.
            questions: Vec::new(),
        }
    }

    /// What the experts had said.
    pub fn found(&self) -> Vec<Found> {
        let said = self.work.contributions.iter();
        said.map(|it| (it.name.clone(), it.text.clone())).collect()
    }
}

/// Where a stage stands among those of its pipeline.
fn place(stage: NovaStage) -> u8 {
    match stage {
        NovaStage::Recall => 0,
        NovaStage::Planning | NovaStage::ProblemUnpacking => 1,
        NovaStage::Execution | NovaStage::ExpertiseAssembly => 2,
        NovaStage::CollaborativeIdeation => 3,
        NovaStage::Synthesis => 4,
        NovaStage::Memorising => 5,
    }
}

/// Work before anything has come of it.
pub fn begun(context: &Context) -> PausedWork {
    PausedWork {
        prompt: context.prompt.clone(),
        documents: context.documents.clone(),
        ..PausedWork::default()
    }
}

/// What experts said, as it is kept.
pub fn contributed(found: Vec<Found>) -> Vec<Contributed> {
    let all = found.into_iter();
    all.map(|(name, text)| Contributed { name, text }).collect()
}

impl Written {
    /// The end of a turn that waits for the user's word.
    pub fn paused(text: String, stage: NovaStage, work: PausedWork) -> Self {
        Self {
            text,
            questions: work.questions.clone(),
            paused: Some((stage, work)),
        }
    }
}
