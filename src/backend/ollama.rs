//! Ollama's own protocol. The built-in reference server speaks it too, so `reference` is this
//! backend under another name.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use super::embedding::{self, OllamaAnswer, Question};
use super::framing::Framing;
use super::http::Http;
use super::stream::{Call, DecodeError, Decoder, Finish, Step};
use super::{Backend, BackendError, Words};
use crate::clock::to_milliseconds;
use crate::config::{BackendConfig, Endpoint};
use crate::measure::timeline::ServerReport;
use crate::record::{BenchmarkRequest, ModelDetails, ModelSummary, Placement};

/// The variable sets the address of the backend that is called so, and of no other.
const OLLAMA: &str = "ollama";
const ADVICE: &str = "start it with `ollama serve`, or set OLLAMA_HOST to where it listens; \
                      `steady@reference` works without any server";
const ADVICE_ON_OTHERS: &str = "start it with `ollama serve`, or correct the backend's `url`; `steady@reference` works without any server";

/// `/api/ps` can hang for seconds while a model unloads; no run waits for it longer.
const PLACEMENT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long unloading may take before the run goes on and says so.
const UNLOAD_TIMEOUT: Duration = Duration::from_secs(30);

/// A server that speaks Ollama's protocol.
pub struct Ollama {
    http: Http,
    kind: &'static str,
    chat: bool,
}

impl Ollama {
    /// A backend as configured.
    pub fn new(name: &str, config: &BackendConfig) -> Result<Self, BackendError> {
        let advice = if name == OLLAMA {
            ADVICE
        } else {
            ADVICE_ON_OTHERS
        };
        let http = Http::new(name, &config.url, config.api_key.clone(), advice)?;
        Ok(Self {
            http,
            kind: OLLAMA,
            chat: config.endpoint == Endpoint::Chat,
        })
    }

    /// The built-in reference server at `url`.
    pub fn reference(url: &str) -> Result<Self, BackendError> {
        let http = Http::new(
            "reference",
            url,
            crate::config::Secret::default(),
            "restart",
        )?;
        Ok(Self {
            http,
            kind: "reference",
            chat: false,
        })
    }

    fn summary(&self, model: Model, loaded: Option<&[Loaded]>) -> ModelSummary {
        let details = model.details.unwrap_or_default();
        ModelSummary {
            backend: self.http.backend().to_owned(),
            synthetic: self.kind == "reference",
            size_bytes: model.size,
            parameter_size: details.parameter_size.filter(|text| !text.is_empty()),
            quantization: details.quantization_level.filter(|text| !text.is_empty()),
            context_length: details.context_length,
            family: details.family.filter(|text| !text.is_empty()),
            loaded: loaded.map(|loaded| loaded.iter().any(|one| one.name == model.name)),
            digest: model.digest,
            capabilities: model.capabilities.unwrap_or_default(),
            name: model.name,
        }
    }

    async fn loaded(&self) -> Option<Vec<Loaded>> {
        let answer = self.http.get::<Running>("/api/ps");
        match tokio::time::timeout(PLACEMENT_TIMEOUT, answer).await {
            Ok(Ok(running)) => Some(running.models.unwrap_or_default()),
            _ => None,
        }
    }
}

/// The name as Ollama lists it: without a tag it means `latest`.
fn tagged(model: &str) -> String {
    let last = model.rsplit('/').next().unwrap_or(model);
    if last.contains(':') {
        model.to_owned()
    } else {
        format!("{model}:latest")
    }
}

fn same(listed: &str, asked: &str) -> bool {
    listed == asked || listed == tagged(asked)
}

#[async_trait]
impl Backend for Ollama {
    fn name(&self) -> &str {
        self.http.backend()
    }

    fn kind(&self) -> &'static str {
        self.kind
    }

    fn url(&self) -> String {
        self.http.public_base()
    }

    async fn version(&self) -> Result<Option<String>, BackendError> {
        Ok(self.http.get::<Version>("/api/version").await?.version)
    }

    async fn models(&self) -> Result<Vec<ModelSummary>, BackendError> {
        let (tags, loaded) = tokio::join!(self.http.get::<Tags>("/api/tags"), self.loaded());
        let models = tags?.models.unwrap_or_default();
        Ok(models
            .into_iter()
            .map(|model| self.summary(model, loaded.as_deref()))
            .collect())
    }

    async fn details(&self, model: &str) -> Result<ModelDetails, BackendError> {
        let body = json!({ "model": model });
        let (shown, listed) =
            tokio::join!(self.http.post::<Shown>("/api/show", &body), self.models());
        let shown = shown?;
        let mut summary = listed
            .unwrap_or_default()
            .into_iter()
            .find(|summary| same(&summary.name, model))
            .unwrap_or_else(|| {
                self.summary(
                    Model {
                        name: model.to_owned(),
                        ..Model::default()
                    },
                    None,
                )
            });
        if summary.capabilities.is_empty() {
            summary.capabilities = shown.capabilities.unwrap_or_default();
        }
        if summary.context_length.is_none() {
            summary.context_length = shown.model_info.as_object().and_then(|info| {
                info.iter()
                    .find(|(key, _)| key.ends_with(".context_length"))?
                    .1
                    .as_u64()
            });
        }
        Ok(ModelDetails {
            summary,
            parameters: shown.parameters,
            template: shown.template,
            model_info: shown.model_info,
        })
    }

    async fn placement(&self, model: &str) -> Option<Placement> {
        let loaded = self
            .loaded()
            .await?
            .into_iter()
            .find(|one| same(&one.name, model))?;
        let size = loaded.size.unwrap_or_default();
        let vram = loaded.size_vram.unwrap_or_default();
        Some(Placement {
            size_bytes: size,
            size_vram_bytes: vram,
            cpu_percent: (size > 0).then(|| 100.0 * size.saturating_sub(vram) as f64 / size as f64),
            context_length: loaded.context_length,
            digest: loaded.digest,
            expires_at: loaded.expires_at.map(to_milliseconds),
        })
    }

    async fn unload(&self, model: &str) -> Result<(), BackendError> {
        let body = json!({ "model": model, "keep_alive": 0 });
        self.http.post::<Value>("/api/generate", &body).await?;
        // The answer comes before it happened.
        let begun = tokio::time::Instant::now();
        while begun.elapsed() < UNLOAD_TIMEOUT {
            // No answer says nothing: the server may be silent just while it unloads.
            if let Some(loaded) = self.loaded().await
                && !loaded.iter().any(|one| same(&one.name, model))
            {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Err(BackendError::Protocol {
            backend: self.http.backend().to_owned(),
            reason: format!("`{model}` is still loaded {UNLOAD_TIMEOUT:?} after it was unloaded"),
        })
    }

    async fn embed(&self, model: &str, texts: &[String]) -> Result<Vec<Vec<f32>>, BackendError> {
        if texts.is_empty() {
            return Ok(Vec::new());
        }
        let question = Question {
            model,
            input: texts,
        };
        let answer: OllamaAnswer = self
            .http
            .post_within("/api/embed", &question, embedding::TIMEOUT)
            .await?;
        answer.vectors(self.http.backend(), texts.len())
    }

    fn call(&self, request: &BenchmarkRequest, model: &str, words: Words) -> Call {
        let Words { system, prompt } = words;
        let mut body = json!({ "model": model, "stream": true, "options": request.parameters });
        if self.chat {
            let system = system
                .iter()
                .map(|text| json!({"role": "system", "content": text}));
            let user = std::iter::once(json!({"role": "user", "content": prompt}));
            body["messages"] = system.chain(user).collect();
        } else {
            body["prompt"] = prompt.into();
            if let Some(system) = system {
                body["system"] = system.into();
            }
        }
        if let Some(think) = request.think {
            body["think"] = json!(think);
        }
        if let Some(format) = &request.format {
            body["format"] = format.clone();
        }
        if let Some(keep_alive) = &request.keep_alive {
            body["keep_alive"] = json!(keep_alive);
        }
        Call {
            url: self.http.uri(if self.chat {
                "/api/chat"
            } else {
                "/api/generate"
            }),
            token: self.http.token().clone(),
            body: Bytes::from(body.to_string()),
            due: None,
        }
    }

    fn decoder(&self) -> Box<dyn Decoder> {
        Box::new(OllamaDecoder::default())
    }
}

#[derive(Deserialize)]
struct Version {
    version: Option<String>,
}

#[derive(Deserialize)]
struct Tags {
    models: Option<Vec<Model>>,
}

#[derive(Default, Deserialize)]
struct Model {
    name: String,
    size: Option<u64>,
    digest: Option<String>,
    details: Option<Details>,
    capabilities: Option<Vec<String>>,
}

#[derive(Default, Deserialize)]
struct Details {
    family: Option<String>,
    parameter_size: Option<String>,
    quantization_level: Option<String>,
    context_length: Option<u64>,
}

#[derive(Deserialize)]
struct Running {
    models: Option<Vec<Loaded>>,
}

#[derive(Deserialize)]
struct Loaded {
    name: String,
    size: Option<u64>,
    size_vram: Option<u64>,
    context_length: Option<u64>,
    digest: Option<String>,
    /// Absent or of another shape, it is not known.
    #[serde(default, deserialize_with = "lenient_time")]
    expires_at: Option<DateTime<Utc>>,
}

fn lenient_time<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<DateTime<Utc>>, D::Error> {
    let text = Value::deserialize(deserializer)?;
    Ok(text.as_str().and_then(|text| text.parse().ok()))
}

#[derive(Deserialize)]
struct Shown {
    parameters: Option<String>,
    template: Option<String>,
    #[serde(default)]
    model_info: Value,
    capabilities: Option<Vec<String>>,
}

/// Reads the objects of `/api/generate` and `/api/chat`.
#[derive(Default)]
struct OllamaDecoder {
    finish: Finish,
}

#[derive(Deserialize)]
struct Line {
    error: Option<String>,
    response: Option<String>,
    thinking: Option<String>,
    message: Option<Message>,
    #[serde(default)]
    done: bool,
    done_reason: Option<String>,
    total_duration: Option<u64>,
    load_duration: Option<u64>,
    prompt_eval_count: Option<u64>,
    prompt_eval_cached_count: Option<u64>,
    prompt_eval_duration: Option<u64>,
    eval_count: Option<u64>,
    eval_duration: Option<u64>,
}

#[derive(Deserialize)]
struct Message {
    content: Option<String>,
    thinking: Option<String>,
}

impl Line {
    /// The server leaves out what is zero, so zero and absent are alike unknown.
    fn report(&self) -> ServerReport {
        let duration = |value: Option<u64>| {
            value
                .filter(|nanoseconds| *nanoseconds > 0)
                .map(Duration::from_nanos)
        };
        ServerReport {
            prompt_tokens: self.prompt_eval_count.filter(|count| *count > 0),
            cached_prompt_tokens: self.prompt_eval_cached_count,
            output_tokens: self.eval_count.filter(|count| *count > 0),
            total: duration(self.total_duration),
            load: duration(self.load_duration),
            prompt_eval: duration(self.prompt_eval_duration),
            eval: duration(self.eval_duration),
        }
    }
}

impl Decoder for OllamaDecoder {
    fn framing(&self) -> Framing {
        Framing::Lines
    }

    fn frame(&mut self, frame: &[u8]) -> Result<Step, DecodeError> {
        let line: Line = serde_json::from_slice(frame).map_err(|error| {
            DecodeError::Protocol(format!("a line of the stream is no answer object: {error}"))
        })?;
        if let Some(error) = line.error {
            return Err(DecodeError::Server(error));
        }
        if line.done {
            self.finish = Finish {
                complete: true,
                report: line.report(),
                reason: line.done_reason.clone().filter(|reason| !reason.is_empty()),
            };
        }
        let (content, thought) = line
            .message
            .map_or((None, None), |message| (message.content, message.thinking));
        Ok(Step {
            text: line.response.or(content).unwrap_or_default(),
            thinking: line.thinking.or(thought).unwrap_or_default(),
            done: line.done,
        })
    }

    fn finish(&mut self) -> Finish {
        self.finish.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_final_object_carries_counts_and_durations() {
        let mut decoder = OllamaDecoder::default();
        let line = br#"{"model":"m","response":"end","done":true,"done_reason":"stop","x":1,
            "total_duration":1403095324,"eval_count":8,"prompt_eval_count":16,"eval_duration":0}"#;
        let step = decoder.frame(line).unwrap();
        assert_eq!((step.text.as_str(), step.done), ("end", true));
        let finish = decoder.finish();
        assert_eq!(finish.reason.as_deref(), Some("stop"));
        assert_eq!(finish.report.output_tokens, Some(8));
        assert_eq!(
            finish.report.total,
            Some(Duration::from_nanos(1_403_095_324))
        );
        assert_eq!(finish.report.eval, None);
    }

    #[test]
    fn chat_messages_may_be_null_or_missing() {
        let mut decoder = OllamaDecoder::default();
        for line in [
            r#"{"message":{"content":null},"done":false}"#,
            r#"{"done":false}"#,
        ] {
            assert_eq!(decoder.frame(line.as_bytes()), Ok(Step::default()));
        }
        let line = r#"{"message":{"content":"a","thinking":"b"},"done":false}"#;
        let step = decoder.frame(line.as_bytes()).unwrap();
        assert_eq!((step.text.as_str(), step.thinking.as_str()), ("a", "b"));
    }

    #[test]
    fn errors_and_garbage_are_told_apart() {
        let mut decoder = OllamaDecoder::default();
        let error = decoder.frame(br#"{"error":"out of memory"}"#);
        assert_eq!(error, Err(DecodeError::Server("out of memory".into())));
        for garbage in [
            &b"<html>"[..],
            b"\xff\xfe",
            b"[1]",
            br#"{"response":"\ud800"}"#,
        ] {
            assert!(matches!(
                decoder.frame(garbage),
                Err(DecodeError::Protocol(_))
            ));
        }
    }

    #[test]
    fn names_without_a_tag_mean_latest() {
        assert!(same("llama3:latest", "llama3"));
        assert!(same("host:80/a/llama3:latest", "host:80/a/llama3"));
        assert!(!same("llama3:1b", "llama3"));
    }
}
