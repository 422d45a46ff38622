//! A session of the agents as the work of a benchmark: what its requests stand for, and the rules that
//! such a request must keep.

use std::fmt;

use poem_openapi::{Enum, Object};
use serde::{Deserialize, Serialize};

use super::request::{Check, one};
use super::{
    BenchmarkRequest, MemoryDocument, MemoryUse, NovaPipeline, NovaRole, NovaStage, NovaStep,
    Parameters, RunId, only_object,
};

/// A recorded session on other models.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Object)]
#[serde(deny_unknown_fields, expecting = "an object that names a session")]
pub struct SessionReplay {
    /// The session. It need not be there any more: what is asked of the models is in the request.
    pub session_id: RunId,
    /// Whether every model is told the same.
    #[serde(default)]
    #[oai(default)]
    pub mode: ReplayMode,
    /// `pinned`: the call that each prompt was, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[oai(default)]
    pub calls: Vec<PinnedCall>,
    /// `live`: how the turn of each prompt is carried out, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[oai(default)]
    pub turns: Vec<LiveTurn>,
}

/// Whether every model is told the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Enum)]
#[serde(rename_all = "snake_case")]
#[oai(rename_all = "snake_case")]
pub enum ReplayMode {
    /// Every model is told what was told in the record, whatever it makes of it: fair timing.
    #[default]
    Pinned,
    /// The agents really work with each model, and go on with what that one wrote: behaviour.
    Live,
}

/// A recorded call of a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Object)]
#[serde(deny_unknown_fields)]
pub struct PinnedCall {
    /// The step that it was.
    pub step: SessionStep,
    /// Generation parameters that it had; they are sent in place of those of the request.
    #[serde(default, deserialize_with = "only_object")]
    #[oai(default)]
    pub parameters: Parameters,
    /// JSON schema that its output was asked to follow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<serde_json::Value>,
}

/// How a turn is carried out once more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Object)]
#[serde(deny_unknown_fields)]
pub struct LiveTurn {
    /// Which turn of the session, from 1.
    pub turn: u32,
    /// The agents that work.
    pub pipeline: NovaPipeline,
    /// Generation parameters.
    #[serde(default, deserialize_with = "only_object")]
    #[oai(default)]
    pub parameters: Parameters,
    /// Fields of the experts; chosen by the model where there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[oai(default)]
    pub domains: Vec<String>,
    /// Most rounds of experts; the configured number where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_iterations: Option<u32>,
    /// What of the memory it used.
    #[serde(default, deserialize_with = "only_object")]
    #[oai(default)]
    pub memory: MemoryUse,
    /// The stage that it paused after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pause_after: Option<NovaStage>,
    /// Documents that were recalled from what every session remembers; they are told again. What the
    /// session itself remembered is not: it was said by another model.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[oai(default)]
    pub documents: Vec<MemoryDocument>,
}

/// A step of a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Object)]
#[serde(deny_unknown_fields)]
pub struct SessionStep {
    /// Which turn of the session, from 1.
    pub turn: u32,
    /// Which step of the turn, from 0.
    pub step: u32,
    /// What the agent is called, such as `planner` or `expert: statistics`.
    pub agent_name: String,
    /// What it is there for.
    pub role: NovaRole,
    /// The part of the turn.
    pub stage: NovaStage,
    /// The round of experts, or the step of the plan, from 1; null elsewhere.
    #[serde(default)]
    pub iteration: Option<u32>,
}

impl fmt::Display for SessionStep {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            turn, agent_name, ..
        } = self;
        write!(formatter, "turn {turn}, {agent_name}")?;
        match self.iteration {
            Some(iteration) => write!(formatter, " {iteration}"),
            None => Ok(()),
        }
    }
}

impl SessionStep {
    /// A step of a turn with this number.
    pub fn of(turn: u32, step: &NovaStep) -> Self {
        Self {
            turn,
            step: step.number,
            agent_name: step.agent_name.clone(),
            role: step.role,
            stage: step.stage,
            iteration: step.iteration,
        }
    }
}

impl BenchmarkRequest {
    /// The recorded call that a prompt was, by its place among the prompts.
    pub fn pinned_call(&self, prompt: usize) -> Option<&PinnedCall> {
        self.replay.as_ref()?.calls.get(prompt)
    }

    /// How the turns of a session are carried out; `None` where the agents do not work.
    pub fn live_turns(&self) -> Option<&[LiveTurn]> {
        let replay = self.replay.as_ref()?;
        (replay.mode == ReplayMode::Live).then_some(&replay.turns)
    }

    /// The request of a recorded call: that of all, with what the call had.
    #[must_use]
    pub fn of_call(&self, call: &PinnedCall) -> Self {
        Self {
            prompt: None,
            parameters: call.parameters.clone(),
            format: call.format.clone(),
            think: self.think,
            keep_alive: self.keep_alive.clone(),
            timeout: self.timeout,
            ..Self::new("", self.models.clone())
        }
    }

    pub(super) fn check_replay(&self, check: &mut Check) {
        let Some(replay) = &self.replay else {
            return;
        };
        let is_live = replay.mode == ReplayMode::Live;
        let (given, unused, list, rest) = if is_live {
            (
                replay.turns.len(),
                replay.calls.is_empty(),
                "turns",
                "calls",
            )
        } else {
            (
                replay.calls.len(),
                replay.turns.is_empty(),
                "calls",
                "turns",
            )
        };
        let prompts = self.all_prompts().len();
        if given != prompts {
            let message = format!("has {given}; one is needed for each of the {prompts} prompts");
            check.push(&format!("/replay/{list}"), &message);
        }
        if !unused {
            check.push(&format!("/replay/{rest}"), "belongs to the other mode");
        }
        for (index, call) in replay.calls.iter().enumerate() {
            check.nested(&format!("/replay/calls/{index}"), |own| {
                call.parameters.check(own);
            });
        }
        for (index, turn) in replay.turns.iter().enumerate() {
            check.nested(&format!("/replay/turns/{index}"), |own| {
                turn.parameters.check(own);
            });
        }
        for (pointer, is_set) in self.beside_replay(is_live) {
            if is_set {
                check.push(pointer, "does not go together with a replayed session");
            }
        }
    }

    /// What else of a request would change what a session was, and whether it is set.
    fn beside_replay(&self, is_live: bool) -> Vec<(&'static str, bool)> {
        let mut fields = vec![
            ("/synthetic", self.synthetic.is_some()),
            ("/system", self.system.is_some()),
            ("/format", self.format.is_some()),
            ("/parameters", self.parameters != Parameters::default()),
        ];
        if is_live {
            // What is sent next follows from what was written before.
            fields.extend([
                ("/load", self.load.is_some()),
                ("/until_decided", self.until_decided),
                ("/cold_start", self.cold_start),
                ("/cooldown", self.cooldown.is_some()),
                ("/unique_prefix", self.unique_prefix == Some(true)),
            ]);
        }
        fields
    }
}

/// A session to measure models with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Object)]
#[serde(deny_unknown_fields, expecting = "an object that names models")]
pub struct SessionBenchmark {
    /// Models to measure, `NAME` or `NAME@BACKEND`; each at most once.
    #[oai(validator(
        min_items = 1,
        unique_items = true,
        max_length = 256,
        pattern = r"^[^\s@\x00-\x1f\x7f-\x9f]([^\x00-\x1f\x7f-\x9f]*[^\s@\x00-\x1f\x7f-\x9f])?$"
    ))]
    pub models: Vec<String>,
    /// Whether every model is told the same.
    #[serde(default)]
    #[oai(default)]
    pub mode: ReplayMode,
    /// How often each call (`live`: the whole session) is made with each model, 1 to 1000.
    #[serde(default = "one")]
    #[oai(
        default = "one",
        validator(minimum(value = "1"), maximum(value = "1000"))
    )]
    pub repetitions: u32,
    /// Requests a model before the measured ones, kept but not averaged, 0 to 100.
    #[serde(default)]
    #[oai(default, validator(minimum(value = "0"), maximum(value = "100")))]
    pub warmup: u32,
    /// In which order requests go out.
    #[serde(default)]
    #[oai(default)]
    pub execution: super::Execution,
    /// Longest time for one request, s; the configured default where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[oai(validator(minimum(value = "0.001")))]
    pub timeout: Option<f64>,
    /// A name to find the run by, at most 120 characters; the session's title where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[oai(validator(
        max_length = 120,
        pattern = r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$"
    ))]
    pub name: Option<String>,
    /// Words to group runs by, at most 20 of 64 characters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[oai(
        default,
        validator(
            max_items = 20,
            max_length = 64,
            pattern = r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$"
        )
    )]
    pub tags: Vec<String>,
}

impl SessionBenchmark {
    /// The benchmark that it asks for, with these prompts and what they stand for.
    pub fn request(
        self,
        prompts: Vec<String>,
        replay: SessionReplay,
        title: &str,
    ) -> BenchmarkRequest {
        let title = Some(title).filter(|it| !it.is_empty());
        BenchmarkRequest {
            prompt: None,
            prompts,
            replay: Some(replay),
            repetitions: self.repetitions,
            warmup: self.warmup,
            execution: self.execution,
            timeout: self.timeout,
            name: self.name.or(title.map(str::to_owned)),
            tags: self.tags,
            ..BenchmarkRequest::new("", self.models)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::record::Limits;

    const LIMITS: Limits = Limits {
        max_prompt_bytes: 100,
        max_models: 3,
        max_requests: 50,
        max_timeout: Duration::from_secs(1),
    };

    fn request(mode: &str, list: &str, one: &str) -> BenchmarkRequest {
        let text = format!(
            r#"{{"prompts":["a","b"],"models":["m"],"replay":{{"session_id":"6742f0a1c3d2e1f0a9b8c7d6",
                "mode":"{mode}","{list}":[{one},{one}]}}}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    fn pinned() -> BenchmarkRequest {
        let call = r#"{"step":{"turn":1,"step":1,"agent_name":"planner","role":"planner",
            "stage":"planning"},"parameters":{"seed":7},"format":{"type":"object"}}"#;
        request("pinned", "calls", call)
    }

    fn live() -> BenchmarkRequest {
        request("live", "turns", r#"{"turn":1,"pipeline":"turn"}"#)
    }

    #[track_caller]
    fn check(
        mut request: BenchmarkRequest,
        change: impl FnOnce(&mut BenchmarkRequest),
        pointers: &[&str],
    ) {
        change(&mut request);
        let problems = request.problems(&LIMITS, "ollama");
        let found: Vec<&str> = problems.iter().map(|it| it.pointer.as_str()).collect();
        assert_eq!(found, pointers);
    }

    #[test]
    fn a_replay_stands_for_each_prompt() {
        check(pinned(), |_| {}, &[]);
        check(live(), |_| {}, &[]);
        check(
            pinned(),
            |it| it.prompts.push("c".into()),
            &["/replay/calls"],
        );
        check(
            live(),
            |it| it.replay.as_mut().unwrap().mode = ReplayMode::Pinned,
            &["/replay/calls", "/replay/turns"],
        );
    }

    #[test]
    fn what_would_change_the_session_is_refused() {
        check(pinned(), |it| it.system = Some("x".into()), &["/system"]);
        check(
            pinned(),
            |it| it.parameters.seed = Some(1),
            &["/parameters"],
        );
        check(live(), |it| it.cold_start = true, &["/cold_start"]);
        check(pinned(), |it| it.cold_start = true, &[]);
        let bad = |it: &mut BenchmarkRequest| {
            it.replay.as_mut().unwrap().calls[1].parameters.top_p = Some(2.0);
        };
        check(pinned(), bad, &["/replay/calls/1/parameters/top_p"]);
    }

    #[test]
    fn each_prompt_has_what_its_call_had() {
        let mut all = pinned();
        all.timeout = Some(1.0);
        let one = all.of_call(all.pinned_call(1).unwrap());
        assert_eq!((one.parameters.seed, one.timeout), (Some(7), Some(1.0)));
        assert!(one.format.is_some() && all.pinned_call(2).is_none());
    }
}
