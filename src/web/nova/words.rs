//! What agents, the parts of a turn and its ends are called on the page.

use serde_json::{Map, Value};

use crate::record::{JsonOutcome, NovaRole, NovaStage, NovaStatus};

/// Every part of a turn.
const STAGES: [NovaStage; 8] = [
    NovaStage::Recall,
    NovaStage::Planning,
    NovaStage::Execution,
    NovaStage::ProblemUnpacking,
    NovaStage::ExpertiseAssembly,
    NovaStage::CollaborativeIdeation,
    NovaStage::Synthesis,
    NovaStage::Memorising,
];

/// What a role is called.
pub fn role(role: NovaRole) -> &'static str {
    match role {
        NovaRole::Memory => "Memory",
        NovaRole::Planner => "Planner",
        NovaRole::Executor => "Executor",
        NovaRole::Dce => "Discussion lead (DCE)",
        NovaRole::Cae => "Critic (CAE)",
        NovaRole::Expert => "Expert",
    }
}

/// What an agent is called; an expert by its field as well.
pub fn agent(of: NovaRole, agent_name: &str) -> String {
    let field = agent_name.split_once(": ").map(|(_, field)| field);
    match field {
        Some(field) => format!("{}: {field}", role(of)),
        None => role(of).to_owned(),
    }
}

/// What a part of a turn is called.
pub fn stage(stage: NovaStage) -> &'static str {
    match stage {
        NovaStage::Recall => "Looking into the memory",
        NovaStage::Planning => "Planning",
        NovaStage::Execution => "Carrying out",
        NovaStage::ProblemUnpacking => "Taking the problem apart",
        NovaStage::ExpertiseAssembly => "Choosing the experts",
        NovaStage::CollaborativeIdeation => "Discussion",
        NovaStage::Synthesis => "Writing the answer",
        NovaStage::Memorising => "Keeping it in mind",
    }
}

/// Where in a turn something is: the part, and its round or step.
pub fn place(of: NovaStage, iteration: Option<u32>) -> String {
    let what = stage(of);
    match (of, iteration) {
        (_, None) => what.to_owned(),
        (NovaStage::Execution, Some(number)) => format!("{what}, step {number} of the plan"),
        (_, Some(number)) => format!("{what}, round {number}"),
    }
}

/// How a structured output was got, where that needs a word.
pub fn json(outcome: JsonOutcome) -> Option<&'static str> {
    match outcome {
        JsonOutcome::Asked => None,
        JsonOutcome::Repaired => Some("repaired"),
        JsonOutcome::Unreadable => Some("unreadable, asked again"),
        JsonOutcome::FellBack => Some("fell back"),
    }
}

/// How a turn stands.
pub fn status(status: NovaStatus) -> &'static str {
    match status {
        NovaStatus::Running => "going on",
        NovaStatus::Completed => "completed",
        NovaStatus::Cancelled => "stopped",
        NovaStatus::Failed => "failed",
        NovaStatus::Interrupted => "interrupted",
        NovaStatus::AwaitingUser => "waits for you",
    }
}

/// The same names for the page's script, by what events say.
pub fn for_script() -> (String, String) {
    let roles = NovaRole::ALL.map(|it| (it.as_str().to_owned(), role(it).into()));
    let stages = STAGES.map(|it| (it.as_str().to_owned(), stage(it).into()));
    let text = |pairs: Map<String, Value>| Value::Object(pairs).to_string();
    (
        text(roles.into_iter().collect()),
        text(stages.into_iter().collect()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agents_and_places_have_names() {
        assert_eq!(
            agent(NovaRole::Expert, "expert: law: tax"),
            "Expert: law: tax"
        );
        assert_eq!(agent(NovaRole::Planner, "planner"), "Planner");
        let round = place(NovaStage::CollaborativeIdeation, Some(2));
        assert_eq!(round, "Discussion, round 2");
        let step = place(NovaStage::Execution, Some(1));
        assert_eq!(step, "Carrying out, step 1 of the plan");
        assert_eq!(place(NovaStage::Synthesis, None), "Writing the answer");
    }
}
