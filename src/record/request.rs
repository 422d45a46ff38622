//! What a benchmark is asked to do, and the rules it must keep.

use std::collections::BTreeSet;
use std::marker::PhantomData;
use std::time::Duration;

use poem_openapi::Object;
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::manner::{Execution, KeepAlive, Think, is_go_duration};
use super::{Cooldown, Load, ModelName, Parameters, SessionReplay, Synthetic};

/// Fewest repetitions by which models can be told apart at all.
const FEWEST_TO_DECIDE: u32 = 5;

/// Every result holds its prompt: so many bytes of prompts are in one run at most.
const MOST_PROMPT_BYTES_IN_ALL: u64 = 1 << 30;

/// A benchmark to run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Object)]
#[serde(deny_unknown_fields, expecting = "an object that asks for a benchmark")]
pub struct BenchmarkRequest {
    /// The text that is sent to every model. Give this or `prompts`; of both it is
    /// the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[oai(validator(pattern = r"\S"))]
    pub prompt: Option<String>,
    /// Several prompts; every model gets each of them, `repetitions` times.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[oai(default, validator(pattern = r"\S"))]
    pub prompts: Vec<String>,
    /// Prompts that are made up, in place of given ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub synthetic: Option<Synthetic>,
    /// The session of the agents that the prompts are of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replay: Option<SessionReplay>,
    /// Models to measure, `NAME` or `NAME@BACKEND`; each at most once.
    #[oai(validator(
        min_items = 1,
        unique_items = true,
        max_length = 256,
        pattern = r"^[^\s@\x00-\x1f\x7f-\x9f]([^\x00-\x1f\x7f-\x9f]*[^\s@\x00-\x1f\x7f-\x9f])?$"
    ))]
    pub models: Vec<String>,
    /// Generation parameters; they are really sent to the model.
    #[serde(default, deserialize_with = "only_object")]
    #[oai(default)]
    pub parameters: Parameters,
    /// System prompt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// Whether, or how hard, a thinking model thinks. Absent leaves it to the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub think: Option<Think>,
    /// `"json"`, or a JSON schema that the output must follow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<serde_json::Value>,
    /// How long the model stays loaded afterwards: seconds, or a duration such as `5m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_alive: Option<KeepAlive>,
    /// Measured requests a model and prompt, 1 to 1000.
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
    /// Unload the model before each measured request, so that loading is measured.
    #[serde(default)]
    #[oai(default)]
    pub cold_start: bool,
    /// In which order requests go out.
    #[serde(default)]
    #[oai(default)]
    pub execution: Execution,
    /// Ends as soon as it is sure which model is fastest; `repetitions` is then the most that each may
    /// have, 5 at least. Needs two models or more, and `interleaved`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[oai(default)]
    pub until_decided: bool,
    /// A pause before each measured request but the first, so that heat of the one before does not slow
    /// it down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cooldown: Option<Cooldown>,
    /// Works each model with many requests instead of `repetitions` single ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load: Option<Load>,
    /// Puts something different before every prompt (before the system prompt, where there is one), so
    /// that the server cannot take what it read for an earlier request from its cache. True with a
    /// `load` and false without, where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unique_prefix: Option<bool>,
    /// What figures must keep, such as `time_to_first_chunk.p95<0.5`: a figure, what of its distribution
    /// (`min`, `max`, `mean`, `median`, `p90`, `p95`, `p99`; every request where there is none), and a
    /// bound in the figure's unit. At most 20.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[oai(default, validator(max_items = 20))]
    pub objectives: Vec<String>,
    /// Longest time for one request, s; the configured default where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[oai(validator(minimum(value = "0.001")))]
    pub timeout: Option<f64>,
    /// Longest time for the whole run, s; the configured default where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[oai(validator(minimum(value = "0.001")))]
    pub run_timeout: Option<f64>,
    /// A name to find the run by, at most 120 characters.
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

pub(super) fn one() -> u32 {
    1
}

/// What is wrong with one field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Object)]
pub struct FieldError {
    /// JSON pointer (RFC 6901) to the field, such as `/models/0`.
    pub pointer: String,
    /// What is wrong, and what would be right.
    pub message: String,
}

/// The bounds that a request must keep; they come from the configuration.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Longest prompt, bytes of UTF-8.
    pub max_prompt_bytes: usize,
    /// Most models in a run.
    pub max_models: usize,
    /// Most requests in a run, warm-up included.
    pub max_requests: u64,
    /// Longest allowed timeout, for a request or a run.
    pub max_timeout: Duration,
}

impl BenchmarkRequest {
    /// A request for `models` with `prompt` and every other field at its default.
    pub fn new(prompt: impl Into<String>, models: Vec<String>) -> Self {
        Self {
            prompt: Some(prompt.into()),
            prompts: Vec::new(),
            synthetic: None,
            replay: None,
            models,
            parameters: Parameters::default(),
            system: None,
            think: None,
            format: None,
            keep_alive: None,
            repetitions: 1,
            warmup: 0,
            cold_start: false,
            execution: Execution::default(),
            until_decided: false,
            cooldown: None,
            load: None,
            unique_prefix: None,
            objectives: Vec::new(),
            timeout: None,
            run_timeout: None,
            name: None,
            tags: Vec::new(),
        }
    }

    /// Whether every prompt shall begin differently.
    pub fn defeats_cache(&self) -> bool {
        self.unique_prefix.unwrap_or(self.load.is_some())
    }

    /// The prompts that were given, in the order they are sent.
    pub fn all_prompts(&self) -> Vec<&str> {
        self.prompt
            .iter()
            .chain(&self.prompts)
            .map(String::as_str)
            .collect()
    }

    /// Everything that is wrong with the request; empty where it is fine.
    /// Whether the models exist is not asked here: only their backends know.
    pub fn problems(&self, limits: &Limits, default_backend: &str) -> Vec<FieldError> {
        let mut check = Check::default();
        self.check_prompts(limits, &mut check);
        self.check_synthetic(limits.max_prompt_bytes, &mut check);
        self.check_replay(&mut check);
        self.check_models(limits, default_backend, &mut check);
        self.parameters.check(&mut check);
        check.range("/repetitions", Some(self.repetitions), 1, 1000);
        check.range("/warmup", Some(self.warmup), 0, 100);
        let most = limits.max_timeout.as_secs_f64();
        check.range("/timeout", self.timeout, 0.001, most);
        check.range("/run_timeout", self.run_timeout, 0.001, most);
        if let Some(name) = &self.name {
            check.line("/name", name, 120);
        }
        if self.tags.len() > 20 {
            check.push("/tags", "at most 20 tags");
        }
        for (index, tag) in self.tags.iter().enumerate() {
            check.line(&format!("/tags/{index}"), tag, 64);
        }
        self.check_format(&mut check);
        self.check_objectives(&mut check);
        self.check_decision(&mut check);
        self.check_cooldown(&mut check);
        check.errors.extend(self.load_problems());
        if let Some(KeepAlive::Duration(text)) = &self.keep_alive
            && !is_go_duration(text)
        {
            check.push(
                "/keep_alive",
                "must be seconds or a duration with a unit, such as \"5m\"",
            );
        }
        check.errors
    }

    fn check_prompts(&self, limits: &Limits, check: &mut Check) {
        if self.prompt.is_none() && self.prompts.is_empty() && self.synthetic.is_none() {
            check.push("/prompt", "give a prompt");
        }
        let numbered = self
            .prompts
            .iter()
            .enumerate()
            .map(|(i, text)| (format!("/prompts/{i}"), text));
        let all = self
            .prompt
            .iter()
            .map(|text| ("/prompt".to_owned(), text))
            .chain(numbered);
        for (pointer, text) in all {
            if text.trim().is_empty() {
                check.push(&pointer, "must not be empty");
            } else if text.len() > limits.max_prompt_bytes {
                let most = limits.max_prompt_bytes;
                check.push(
                    &pointer,
                    &format!("has {} bytes; at most {most} are allowed", text.len()),
                );
            }
        }
        if let Some(system) = &self.system
            && system.len() > limits.max_prompt_bytes
        {
            check.push(
                "/system",
                &format!("at most {} bytes", limits.max_prompt_bytes),
            );
        }
        let per_model = self.requests_per_model() + u64::from(self.warmup);
        let requests = per_model.saturating_mul(self.models.len() as u64);
        let bytes = requests.saturating_mul(self.longest_prompt());
        let pointer = if self.load.is_some() {
            "/load"
        } else {
            "/repetitions"
        };
        if bytes > MOST_PROMPT_BYTES_IN_ALL {
            check.push(
                pointer,
                &format!(
                    "{requests} requests with a prompt of this length are {bytes} bytes to store; at \
                     most {MOST_PROMPT_BYTES_IN_ALL} are allowed"
                ),
            );
        }
        if requests > limits.max_requests {
            let most = limits.max_requests;
            check.push(
                pointer,
                &format!("makes {requests} requests; a run has at most {most}"),
            );
        }
    }

    fn check_models(&self, limits: &Limits, default_backend: &str, check: &mut Check) {
        if self.models.is_empty() {
            check.push("/models", "name at least one model");
        } else if self.models.len() > limits.max_models {
            check.push("/models", &format!("at most {} models", limits.max_models));
        }
        let mut seen = BTreeSet::new();
        for (index, text) in self.models.iter().enumerate() {
            let pointer = format!("/models/{index}");
            match ModelName::parse(text, default_backend) {
                Ok(name) if !seen.insert(name.clone()) => {
                    check.push(&pointer, &format!("`{name}` is named twice"));
                }
                Ok(_) => {}
                Err(error) => check.push(&pointer, &error.to_string()),
            }
        }
    }

    fn check_decision(&self, check: &mut Check) {
        if !self.until_decided {
            return;
        }
        if self.load.is_none() && self.repetitions < FEWEST_TO_DECIDE {
            check.push(
                "/repetitions",
                &format!("until it is decided, at least {FEWEST_TO_DECIDE} are needed, better 100"),
            );
        }
        if self.models.len() < 2 {
            check.push(
                "/until_decided",
                "needs two models or more to decide between",
            );
        }
        if self.load.is_some() {
            check.push("/until_decided", "a load has no repetitions to decide by");
        } else if self.execution != Execution::Interleaved {
            check.push(
                "/execution",
                "until it is decided, models take turns: `interleaved`",
            );
        }
    }

    fn check_cooldown(&self, check: &mut Check) {
        let Some(cooldown) = &self.cooldown else {
            return;
        };
        cooldown.check(check);
        if self.load.is_some() {
            check.push("/cooldown", "a load has no pauses");
        } else if self.execution == Execution::Concurrent {
            check.push(
                "/cooldown",
                "models that work at once have no pauses in common",
            );
        }
    }

    fn check_format(&self, check: &mut Check) {
        match &self.format {
            None | Some(serde_json::Value::Object(_)) => {}
            Some(serde_json::Value::String(text)) if text == "json" => {}
            Some(_) => check.push("/format", "must be \"json\" or a JSON schema (an object)"),
        }
    }
}

/// Collects what is wrong.
#[derive(Default)]
pub(super) struct Check {
    errors: Vec<FieldError>,
}

impl Check {
    pub(super) fn push(&mut self, pointer: &str, message: &str) {
        self.errors.push(FieldError {
            pointer: pointer.to_owned(),
            message: message.to_owned(),
        });
    }

    /// Checks a part, whose pointers stand behind `at`.
    pub(super) fn nested(&mut self, at: &str, check: impl FnOnce(&mut Self)) {
        let mut own = Self::default();
        check(&mut own);
        let errors = own.errors.into_iter().map(|it| FieldError {
            pointer: format!("{at}{}", it.pointer),
            ..it
        });
        self.errors.extend(errors);
    }

    pub(super) fn into_errors(self) -> Vec<FieldError> {
        self.errors
    }

    #[cfg(test)]
    pub(super) fn into_pointers(self) -> Vec<String> {
        self.errors.into_iter().map(|it| it.pointer).collect()
    }

    /// NaN is in no range, so it is refused too.
    pub(super) fn range<T: Copy + PartialOrd + std::fmt::Display>(
        &mut self,
        pointer: &str,
        value: Option<T>,
        low: T,
        high: T,
    ) {
        if let Some(value) = value
            && !(value >= low && value <= high)
        {
            self.push(
                pointer,
                &format!("is {value}; must be from {low} to {high}"),
            );
        }
    }

    /// A text that is shown in one line.
    pub(super) fn line(&mut self, pointer: &str, text: &str, most: usize) {
        if text.contains(char::is_control) {
            self.push(pointer, "must not hold control characters");
        } else {
            self.length(pointer, text, most);
        }
    }

    pub(super) fn length(&mut self, pointer: &str, text: &str, most: usize) {
        if text.trim().is_empty() {
            self.push(pointer, "must not be empty");
        } else if text.chars().count() > most {
            self.push(pointer, &format!("at most {most} characters"));
        }
    }
}

/// Reads an object from a JSON object only. By itself `serde` takes an array as well, and its items
/// for the fields in their order.
pub fn only_object<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    struct Objects<T>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Visitor<'de> for Objects<T> {
        type Value = T;

        fn expecting(&self, formatter: &mut std::fmt::Formatter) -> std::fmt::Result {
            formatter.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
            T::deserialize(MapAccessDeserializer::new(map))
        }
    }

    deserializer.deserialize_map(Objects(PhantomData))
}

/// The same for a value that may be null.
pub fn only_object_or_null<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    #[derive(Deserialize)]
    #[serde(bound = "T: Deserialize<'de>")]
    struct Object<T>(#[serde(deserialize_with = "only_object")] T);

    let object = Option::<Object<T>>::deserialize(deserializer)?;
    Ok(object.map(|it| it.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        max_prompt_bytes: 100,
        max_models: 3,
        max_requests: 50,
        max_timeout: Duration::from_hours(1),
    };

    #[track_caller]
    fn check(change: impl FnOnce(&mut BenchmarkRequest), pointers: &[&str]) {
        let mut request = BenchmarkRequest::new("hello", vec!["steady@reference".into()]);
        change(&mut request);
        let found: Vec<String> = request
            .problems(&LIMITS, "ollama")
            .into_iter()
            .map(|error| error.pointer)
            .collect();
        assert_eq!(found, pointers);
    }

    #[test]
    fn a_plain_request_is_fine() {
        check(|_| {}, &[]);
    }

    #[test]
    fn each_bad_field_is_named() {
        check(|r| r.prompt = Some("  ".into()), &["/prompt"]);
        check(|r| r.prompt = None, &["/prompt"]);
        check(|r| r.prompt = Some("x".repeat(101)), &["/prompt"]);
        check(|r| r.models.clear(), &["/models"]);
        check(|r| r.models.push("steady@reference".into()), &["/models/1"]);
        check(
            |r| r.models = vec!["a".into(), "a@ollama".into()],
            &["/models/1"],
        );
        check(|r| r.repetitions = 0, &["/repetitions"]);
        check(|r| r.repetitions = 51, &["/repetitions"]);
        check(
            |r| r.parameters.temperature = Some(f64::NAN),
            &["/parameters/temperature"],
        );
        check(|r| r.parameters.top_p = Some(1.5), &["/parameters/top_p"]);
        check(
            |r| r.parameters.num_predict = Some(0),
            &["/parameters/num_predict"],
        );
        check(|r| r.timeout = Some(-1.0), &["/timeout"]);
        check(
            |r| r.keep_alive = Some(KeepAlive::Duration("5".into())),
            &["/keep_alive"],
        );
        check(
            |r| r.keep_alive = Some(KeepAlive::Duration("1h30m".into())),
            &[],
        );
        check(|r| r.format = Some(serde_json::json!("xml")), &["/format"]);
        check(|r| r.tags = vec![String::new()], &["/tags/0"]);
    }

    #[test]
    fn unknown_fields_are_refused() {
        let text = r#"{"prompt":"x","models":["a"],"parameters":{"temprature":1}}"#;
        let error = serde_json::from_str::<BenchmarkRequest>(text)
            .err()
            .map(|e| e.to_string());
        assert!(error.is_some_and(|e| e.contains("temprature")));
    }
}
