//! What agents are there for, and what they are called.

/// What an agent is there for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Recalls what matters, keeps what is new.
    Memory,
    /// Breaks the prompt into steps.
    Planner,
    /// Carries the steps out and writes the answer.
    Executor,
    /// Discussion continuity expert: keeps the thread, sets goals, summarises, asks the user.
    Dce,
    /// Critical analysis expert: flaws, risks, missing evidence.
    Cae,
    /// Knows one field.
    Expert {
        /// The field, such as `statistics`.
        domain: String,
    },
}

impl Role {
    /// The names of all roles; experts of every field share one.
    pub const NAMES: [&'static str; 6] = ["memory", "planner", "executor", "dce", "cae", "expert"];

    /// The role's name, by which a model of its own is chosen for it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Planner => "planner",
            Self::Executor => "executor",
            Self::Dce => "dce",
            Self::Cae => "cae",
            Self::Expert { .. } => "expert",
        }
    }

    /// What the agent is called: the role's name, and the field of an expert, such as
    /// `expert: statistics`.
    pub fn agent_name(&self) -> String {
        match self {
            Self::Expert { domain } => format!("{}: {domain}", self.name()),
            _ => self.name().to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn experts_are_told_apart_by_their_field_and_chosen_by_one_name() {
        let domain = "statistics".to_owned();
        let expert = Role::Expert { domain };
        assert_eq!(expert.name(), "expert");
        assert_eq!(expert.agent_name(), "expert: statistics");
        assert_eq!(Role::Dce.agent_name(), "dce");
        let roles = [
            Role::Memory,
            Role::Planner,
            Role::Executor,
            Role::Dce,
            Role::Cae,
            expert,
        ];
        assert_eq!(roles.each_ref().map(Role::name), Role::NAMES);
    }
}
