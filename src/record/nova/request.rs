//! What the agents are asked, and the rules it must keep.

use std::collections::BTreeMap;
use std::str::FromStr;

use poem_openapi::{Enum, Object};
use serde::{Deserialize, Serialize};

use crate::record::request::Check;
use crate::record::{FieldError, Limits, ModelName, Parameters, RunId, only_object};

/// Most rounds of experts in a turn.
pub const MOST_ITERATIONS: u32 = 10;
/// Most experts that work on a question.
const MOST_DOMAINS: usize = 8;
/// Most documents that a turn recalls.
const MOST_DOCUMENTS: u32 = 50;

/// A prompt for the agents.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Object)]
#[serde(deny_unknown_fields, expecting = "an object that asks the agents")]
pub struct NovaRequest {
    /// What is asked.
    #[oai(validator(pattern = r"\S"))]
    pub prompt: String,
    /// The session that it belongs to; a new one where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<RunId>,
    /// Generation parameters; they are really sent to every model, over those of the session.
    #[serde(default, deserialize_with = "only_object")]
    #[oai(default)]
    pub parameters: Parameters,
    /// The model of every role that has none of its own, `NAME` or `NAME@BACKEND`; that of the session
    /// where absent, else the configured one, else the first that can be found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[oai(validator(
        max_length = 256,
        pattern = r"^[^\s@\x00-\x1f\x7f-\x9f]([^\x00-\x1f\x7f-\x9f]*[^\s@\x00-\x1f\x7f-\x9f])?$"
    ))]
    pub model: Option<String>,
    /// Which agents work, in which order; that of the session where absent, else `turn`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipeline: Option<NovaPipeline>,
    /// Models of single roles: `memory`, `planner`, `executor`, `dce`, `cae`, `expert`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[oai(default)]
    pub models: BTreeMap<String, String>,
    /// Fields of the experts of `nova_process`, two to eight; they are chosen by a model where there are
    /// none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[oai(
        default,
        validator(
            max_items = 8,
            unique_items = true,
            max_length = 80,
            pattern = r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$"
        )
    )]
    pub domains: Vec<String>,
    /// Most rounds of experts, 1 to 10; the configured number where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[oai(validator(minimum(value = "1"), maximum(value = "10")))]
    pub max_iterations: Option<u32>,
    /// Whether the answer holds the texts of all steps.
    #[serde(default = "yes")]
    #[oai(default = "yes")]
    pub include_chain_of_thought: bool,
    /// Answer with server-sent events.
    #[serde(default)]
    #[oai(default)]
    pub stream: bool,
    /// Longest time for one call of a model, s; the configured default where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[oai(validator(minimum(value = "0.001")))]
    pub timeout: Option<f64>,
    /// What of the memory is used.
    #[serde(default, deserialize_with = "only_object")]
    #[oai(default)]
    pub memory: MemoryUse,
    /// End the turn after this stage, with what there is until then, and wait for the user's word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pause_after: Option<NovaStage>,
}

fn yes() -> bool {
    true
}

/// What of the memory a turn uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Object)]
#[serde(default, deny_unknown_fields)]
#[oai(default)]
pub struct MemoryUse {
    /// Look for documents that help with the prompt.
    pub read: bool,
    /// Keep the prompt and its answer, for later turns of the session.
    pub write: bool,
    /// Most documents that are recalled, 0 to 50.
    #[oai(validator(minimum(value = "0"), maximum(value = "50")))]
    pub limit: u32,
}

impl Default for MemoryUse {
    fn default() -> Self {
        Self {
            read: true,
            write: true,
            limit: 5,
        }
    }
}

/// Which agents work, in which order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Enum)]
#[serde(rename_all = "snake_case")]
#[oai(rename_all = "snake_case")]
pub enum NovaPipeline {
    /// Memory, then a planner, then an executor.
    #[default]
    Turn,
    /// Experts and a critic, in rounds, led by one who keeps the thread.
    NovaProcess,
}

impl NovaPipeline {
    /// The name as it is stored and served.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Turn => "turn",
            Self::NovaProcess => "nova_process",
        }
    }
}

impl FromStr for NovaPipeline {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "turn" => Ok(Self::Turn),
            "nova_process" => Ok(Self::NovaProcess),
            _ => Err(format!(
                "`{text}` is no pipeline; there are `turn` and `nova_process`"
            )),
        }
    }
}

/// What an agent is there for.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Enum,
)]
#[serde(rename_all = "snake_case")]
#[oai(rename_all = "snake_case")]
pub enum NovaRole {
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
    Expert,
}

impl NovaRole {
    /// Every role.
    pub const ALL: [Self; 6] = [
        Self::Memory,
        Self::Planner,
        Self::Executor,
        Self::Dce,
        Self::Cae,
        Self::Expert,
    ];

    /// The name as it is stored and served.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Planner => "planner",
            Self::Executor => "executor",
            Self::Dce => "dce",
            Self::Cae => "cae",
            Self::Expert => "expert",
        }
    }
}

/// A part of a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, Enum)]
#[serde(rename_all = "snake_case")]
#[oai(rename_all = "snake_case")]
pub enum NovaStage {
    /// Memory is looked through.
    Recall,
    /// The prompt is broken into steps.
    Planning,
    /// The steps are carried out.
    Execution,
    /// The problem is taken apart.
    ProblemUnpacking,
    /// The experts are chosen.
    ExpertiseAssembly,
    /// Experts and critic work, in rounds.
    CollaborativeIdeation,
    /// The answer is written.
    Synthesis,
    /// What is new is kept.
    Memorising,
}

impl NovaStage {
    /// The name as it is stored and served.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Recall => "recall",
            Self::Planning => "planning",
            Self::Execution => "execution",
            Self::ProblemUnpacking => "problem_unpacking",
            Self::ExpertiseAssembly => "expertise_assembly",
            Self::CollaborativeIdeation => "collaborative_ideation",
            Self::Synthesis => "synthesis",
            Self::Memorising => "memorising",
        }
    }

    /// Stages after which the turn of a pipeline can pause.
    fn pauses(pipeline: NovaPipeline) -> &'static [Self] {
        match pipeline {
            NovaPipeline::Turn => &[Self::Recall, Self::Planning],
            NovaPipeline::NovaProcess => &[
                Self::Recall,
                Self::ProblemUnpacking,
                Self::ExpertiseAssembly,
                Self::CollaborativeIdeation,
            ],
        }
    }
}

impl NovaRequest {
    /// A request with `prompt` and every other field at its default.
    pub fn new(prompt: impl Into<String>) -> Self {
        Self {
            prompt: prompt.into(),
            session_id: None,
            parameters: Parameters::default(),
            model: None,
            pipeline: None,
            models: BTreeMap::new(),
            domains: Vec::new(),
            max_iterations: None,
            include_chain_of_thought: true,
            stream: false,
            timeout: None,
            memory: MemoryUse::default(),
            pause_after: None,
        }
    }

    /// Everything that is wrong with the request for a turn of this pipeline; empty where it is fine.
    /// Whether session and models exist is not asked here.
    pub fn problems(
        &self,
        limits: &Limits,
        default_backend: &str,
        pipeline: NovaPipeline,
    ) -> Vec<FieldError> {
        let mut check = Check::default();
        check_text("/prompt", &self.prompt, limits, &mut check);
        self.parameters.check(&mut check);
        if let Some(model) = &self.model {
            check_model("/model", model, default_backend, &mut check);
        }
        for (role, model) in &self.models {
            let pointer = format!("/models/{}", role.replace('~', "~0").replace('/', "~1"));
            if NovaRole::ALL.iter().any(|it| it.as_str() == role) {
                check_model(&pointer, model, default_backend, &mut check);
            } else {
                let known = NovaRole::ALL.map(NovaRole::as_str).join(", ");
                let message = format!("there is no such role; there are {known}");
                check.push(&pointer, &message);
            }
        }
        self.check_domains(&mut check);
        check.range("/max_iterations", self.max_iterations, 1, MOST_ITERATIONS);
        check.range(
            "/timeout",
            self.timeout,
            0.001,
            limits.max_timeout.as_secs_f64(),
        );
        check.range("/memory/limit", Some(self.memory.limit), 0, MOST_DOCUMENTS);
        let pauses = NovaStage::pauses(pipeline);
        if let Some(stage) = self.pause_after
            && !pauses.contains(&stage)
        {
            let names: Vec<&str> = pauses.iter().map(|it| it.as_str()).collect();
            let message = format!("this pipeline can pause after {}", names.join(", "));
            check.push("/pause_after", &message);
        }
        check.into_errors()
    }

    fn check_domains(&self, check: &mut Check) {
        if self.domains.len() == 1 || self.domains.len() > MOST_DOMAINS {
            check.push(
                "/domains",
                &format!("two to {MOST_DOMAINS} fields, or none"),
            );
        }
        for (index, domain) in self.domains.iter().enumerate() {
            let pointer = format!("/domains/{index}");
            check.line(&pointer, domain, 80);
            if self.domains[..index].contains(domain) {
                check.push(&pointer, "is named twice");
            }
        }
    }
}

/// A text for a model.
pub(super) fn check_text(pointer: &str, text: &str, limits: &Limits, check: &mut Check) {
    let most = limits.max_prompt_bytes;
    if text.trim().is_empty() {
        check.push(pointer, "must not be empty");
    } else if text.len() > most {
        let message = format!("has {} bytes; at most {most} are allowed", text.len());
        check.push(pointer, &message);
    }
}

/// A model's name.
pub(super) fn check_model(pointer: &str, text: &str, default_backend: &str, check: &mut Check) {
    if let Err(error) = ModelName::parse(text, default_backend) {
        check.push(pointer, &error.to_string());
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const LIMITS: Limits = Limits {
        max_prompt_bytes: 100,
        max_models: 3,
        max_requests: 50,
        max_timeout: Duration::from_hours(1),
    };

    #[track_caller]
    fn check(change: impl FnOnce(&mut NovaRequest), pointers: &[&str]) {
        let mut request = NovaRequest::new("hello");
        change(&mut request);
        let pipeline = request.pipeline.unwrap_or_default();
        let found = request.problems(&LIMITS, "ollama", pipeline);
        let found: Vec<String> = found.into_iter().map(|error| error.pointer).collect();
        assert_eq!(found, pointers);
    }

    #[test]
    fn a_prompt_is_enough() {
        check(|_| {}, &[]);
        let request: NovaRequest = serde_json::from_str(r#"{"prompt":"hello"}"#).unwrap();
        assert_eq!(request, NovaRequest::new("hello"));
    }

    #[test]
    fn each_bad_field_is_named() {
        check(|r| r.prompt = " ".into(), &["/prompt"]);
        check(|r| r.prompt = "x".repeat(101), &["/prompt"]);
        check(|r| r.model = Some("@x".into()), &["/model"]);
        check(
            |r| {
                r.models.insert("oracle".into(), "m".into());
                r.models.insert("planner".into(), String::new());
            },
            &["/models/oracle", "/models/planner"],
        );
        check(|r| r.domains = vec!["a".into()], &["/domains"]);
        check(
            |r| r.domains = vec!["a".into(), "a".into()],
            &["/domains/1"],
        );
        check(|r| r.max_iterations = Some(0), &["/max_iterations"]);
        check(|r| r.timeout = Some(f64::NAN), &["/timeout"]);
        check(|r| r.memory.limit = 51, &["/memory/limit"]);
        check(|r| r.parameters.top_p = Some(2.0), &["/parameters/top_p"]);
    }

    #[test]
    fn a_turn_pauses_only_after_stages_that_it_has() {
        check(|r| r.pause_after = Some(NovaStage::Planning), &[]);
        check(
            |r| r.pause_after = Some(NovaStage::ProblemUnpacking),
            &["/pause_after"],
        );
        check(
            |r| {
                r.pipeline = Some(NovaPipeline::NovaProcess);
                r.pause_after = Some(NovaStage::ProblemUnpacking);
            },
            &[],
        );
    }

    #[test]
    fn unknown_fields_are_refused() {
        for text in [
            r#"{"prompt":"x","promt":"y"}"#,
            r#"{"prompt":"x","memory":{"reed":true}}"#,
            r#"{"prompt":"x","parameters":{"temprature":1}}"#,
        ] {
            assert!(serde_json::from_str::<NovaRequest>(text).is_err(), "{text}");
        }
    }
}
