//! OpenAI's protocol, as llama.cpp's server, vLLM, LM Studio and Ollama's own `/v1` speak it.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use super::embedding::{self, OpenAiAnswer, Question};
use super::framing::Framing;
use super::http::Http;
use super::stream::{Call, DecodeError, Decoder, Finish, Step, error_text};
use super::{Backend, BackendError, Words};
use crate::config::{BackendConfig, Endpoint};
use crate::measure::timeline::ServerReport;
use crate::record::{BenchmarkRequest, FieldError, ModelDetails, ModelSummary, Placement, Think};

const ADVICE: &str = "check that the server runs and that the backend's `url` is right";

/// A server that speaks OpenAI's protocol.
pub struct OpenAi {
    http: Http,
    chat: bool,
}

impl OpenAi {
    /// A backend as configured; a `/v1` at the end of its address is optional.
    pub fn new(name: &str, config: &BackendConfig) -> Result<Self, BackendError> {
        let base = config.url.trim_end_matches('/');
        let base = base.strip_suffix("/v1").unwrap_or(base);
        let http = Http::new(name, base, config.api_key.clone(), ADVICE)?;
        Ok(Self {
            http,
            chat: config.endpoint != Endpoint::Completions,
        })
    }

    fn summary(&self, model: Listed) -> ModelSummary {
        let context = model
            .meta
            .as_ref()
            .and_then(|meta| meta["n_ctx_train"].as_u64());
        let size = model.meta.as_ref().and_then(|meta| meta["size"].as_u64());
        ModelSummary {
            name: model.id,
            backend: self.http.backend().to_owned(),
            synthetic: false,
            size_bytes: size,
            parameter_size: None,
            quantization: None,
            context_length: model.max_model_len.or(context),
            family: None,
            loaded: None,
            digest: None,
            capabilities: Vec::new(),
        }
    }
}

#[async_trait]
impl Backend for OpenAi {
    fn name(&self) -> &str {
        self.http.backend()
    }

    fn kind(&self) -> &'static str {
        "openai"
    }

    fn url(&self) -> String {
        self.http.public_base()
    }

    /// The protocol has no version; asking for the models tells at least whether it is there.
    async fn version(&self) -> Result<Option<String>, BackendError> {
        self.http.get::<Models>("/v1/models").await.map(|_| None)
    }

    async fn models(&self) -> Result<Vec<ModelSummary>, BackendError> {
        let models: Models = self.http.get("/v1/models").await?;
        Ok(models
            .data
            .into_iter()
            .map(|model| self.summary(model))
            .collect())
    }

    async fn details(&self, model: &str) -> Result<ModelDetails, BackendError> {
        let models: Models = self.http.get("/v1/models").await?;
        let found = models.data.into_iter().find(|listed| listed.id == model);
        let listed = found.ok_or_else(|| BackendError::Refused {
            backend: self.http.backend().to_owned(),
            status: 404,
            message: format!("model '{model}' not found"),
        })?;
        let model_info = listed.meta.clone().unwrap_or(Value::Null);
        Ok(ModelDetails {
            summary: self.summary(listed),
            parameters: None,
            template: None,
            model_info,
        })
    }

    async fn placement(&self, _model: &str) -> Option<Placement> {
        None
    }

    async fn unload(&self, _model: &str) -> Result<(), BackendError> {
        Err(BackendError::Unsupported {
            backend: self.http.backend().to_owned(),
            what: "unload a model: the protocol has no such call".into(),
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
        let answer: OpenAiAnswer = self
            .http
            .post_within("/v1/embeddings", &question, embedding::TIMEOUT)
            .await?;
        answer.vectors(self.http.backend(), texts.len())
    }

    fn refusals(&self, request: &BenchmarkRequest) -> Vec<FieldError> {
        let parameters = &request.parameters;
        let unknown = [
            ("typical_p", parameters.typical_p.is_some()),
            ("num_ctx", parameters.num_ctx.is_some()),
            ("num_keep", parameters.num_keep.is_some()),
            ("num_batch", parameters.num_batch.is_some()),
            ("num_gpu", parameters.num_gpu.is_some()),
            ("main_gpu", parameters.main_gpu.is_some()),
            ("num_thread", parameters.num_thread.is_some()),
            ("use_mmap", parameters.use_mmap.is_some()),
            ("repeat_last_n", parameters.repeat_last_n.is_some()),
        ];
        let parameters = unknown
            .into_iter()
            .filter(|(_, given)| *given)
            .map(|(name, _)| (format!("/parameters/{name}"), name));
        let cold = request
            .cold_start
            .then(|| ("/cold_start".to_owned(), "cold_start"));
        let keep = request
            .keep_alive
            .is_some()
            .then(|| ("/keep_alive".to_owned(), "keep_alive"));
        parameters
            .chain(cold)
            .chain(keep)
            .map(|(pointer, name)| FieldError {
                pointer,
                message: format!(
                    "backend `{}` speaks OpenAI's protocol, which has no `{name}`",
                    self.http.backend()
                ),
            })
            .collect()
    }

    fn call(&self, request: &BenchmarkRequest, model: &str, words: Words) -> Call {
        let Words { system, prompt } = words;
        let mut body = json!({
            "model": model, "stream": true, "stream_options": { "include_usage": true },
        });
        let system = system.into_iter();
        if self.chat {
            let system = system.map(|text| json!({"role": "system", "content": text}));
            let user = std::iter::once(json!({"role": "user", "content": prompt}));
            body["messages"] = system.chain(user).collect();
        } else {
            let parts: Vec<&str> = system.chain([prompt]).collect();
            body["prompt"] = parts.join("\n\n").into();
        }
        sampling(request, &mut body);
        match request.think {
            Some(Think::Flag(on)) => body["chat_template_kwargs"] = json!({"enable_thinking": on}),
            Some(Think::Level(level)) => body["reasoning_effort"] = json!(level),
            None => {}
        }
        match &request.format {
            Some(Value::String(_)) => body["response_format"] = json!({"type": "json_object"}),
            Some(schema) => {
                body["response_format"] = json!({
                    "type": "json_schema", "json_schema": {"name": "output", "schema": schema},
                });
            }
            None => {}
        }
        Call {
            url: self.http.uri(if self.chat {
                "/v1/chat/completions"
            } else {
                "/v1/completions"
            }),
            token: self.http.token().clone(),
            body: Bytes::from(body.to_string()),
            due: None,
        }
    }

    fn decoder(&self) -> Box<dyn Decoder> {
        Box::new(OpenAiDecoder::default())
    }
}

fn sampling(request: &BenchmarkRequest, body: &mut Value) {
    let parameters = &request.parameters;
    let limit = parameters.num_predict.filter(|limit| *limit > 0);
    let fields = [
        ("temperature", json!(parameters.temperature)),
        ("top_p", json!(parameters.top_p)),
        ("top_k", json!(parameters.top_k)),
        ("min_p", json!(parameters.min_p)),
        ("seed", json!(parameters.seed)),
        ("max_tokens", json!(limit)),
        ("repeat_penalty", json!(parameters.repeat_penalty)),
        ("presence_penalty", json!(parameters.presence_penalty)),
        ("frequency_penalty", json!(parameters.frequency_penalty)),
        ("stop", json!(parameters.stop)),
    ];
    for (name, value) in fields {
        if !value.is_null() {
            body[name] = value;
        }
    }
}

#[derive(Deserialize)]
struct Models {
    data: Vec<Listed>,
}

#[derive(Deserialize)]
struct Listed {
    id: String,
    max_model_len: Option<u64>,
    meta: Option<Value>,
}

/// Reads the events of a chat or text completion.
#[derive(Default)]
struct OpenAiDecoder {
    finish: Finish,
}

#[derive(Deserialize)]
struct Event {
    error: Option<Value>,
    choices: Option<Vec<Choice>>,
    usage: Option<Usage>,
    timings: Option<Timings>,
}

#[derive(Deserialize)]
struct Choice {
    delta: Option<Delta>,
    text: Option<String>,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Delta {
    content: Option<String>,
    reasoning: Option<String>,
    reasoning_content: Option<String>,
}

#[derive(Deserialize)]
struct Usage {
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
    prompt_tokens_details: Option<PromptDetails>,
}

#[derive(Deserialize)]
struct PromptDetails {
    cached_tokens: Option<u64>,
}

/// llama.cpp's own account; milliseconds.
#[derive(Deserialize)]
struct Timings {
    cache_n: Option<u64>,
    prompt_n: Option<u64>,
    prompt_ms: Option<f64>,
    predicted_n: Option<u64>,
    predicted_ms: Option<f64>,
}

fn milliseconds(value: Option<f64>) -> Option<Duration> {
    value
        .filter(|ms| *ms > 0.0)
        .and_then(|ms| Duration::try_from_secs_f64(ms / 1e3).ok())
}

impl OpenAiDecoder {
    fn account(&mut self, event: &Event) {
        let report: &mut ServerReport = &mut self.finish.report;
        if let Some(usage) = &event.usage {
            report.prompt_tokens = usage.prompt_tokens.or(report.prompt_tokens);
            report.output_tokens = usage.completion_tokens.or(report.output_tokens);
            let cached = usage
                .prompt_tokens_details
                .as_ref()
                .and_then(|it| it.cached_tokens);
            report.cached_prompt_tokens = cached.or(report.cached_prompt_tokens);
        }
        if let Some(timings) = &event.timings {
            // `prompt_n` counts the evaluated tokens only, `cache_n` the cached ones beside them.
            report.cached_prompt_tokens = timings.cache_n.or(report.cached_prompt_tokens);
            if let (Some(cached), Some(evaluated)) = (timings.cache_n, timings.prompt_n) {
                report.prompt_tokens = cached.checked_add(evaluated);
            }
            report.prompt_eval = milliseconds(timings.prompt_ms);
            report.eval = milliseconds(timings.predicted_ms);
            report.output_tokens = report.output_tokens.or(timings.predicted_n);
        }
    }
}

impl Decoder for OpenAiDecoder {
    fn framing(&self) -> Framing {
        Framing::Events
    }

    fn frame(&mut self, frame: &[u8]) -> Result<Step, DecodeError> {
        if frame.trim_ascii() == b"[DONE]" {
            self.finish.complete = true;
            return Ok(Step {
                done: true,
                ..Step::default()
            });
        }
        let event: Event = serde_json::from_slice(frame).map_err(|error| {
            DecodeError::Protocol(format!("an event of the stream is no completion: {error}"))
        })?;
        if event.error.as_ref().is_some_and(|error| !error.is_null()) {
            return Err(DecodeError::Server(error_text(200, frame)));
        }
        self.account(&event);
        let mut step = Step::default();
        if let Some(choice) = event.choices.unwrap_or_default().into_iter().next() {
            // Servers that write it as a plain string say nothing with an empty one.
            if let Some(reason) = choice.finish_reason.filter(|it| !it.is_empty()) {
                self.finish.complete = true;
                self.finish.reason = Some(reason);
            }
            if let Some(delta) = choice.delta {
                step.text = delta.content.unwrap_or_default();
                step.thinking = delta
                    .reasoning_content
                    .or(delta.reasoning)
                    .unwrap_or_default();
            }
            if let Some(text) = choice.text {
                step.text.push_str(&text);
            }
        }
        Ok(step)
    }

    fn finish(&mut self) -> Finish {
        self.finish.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_and_timings_come_on_late_events() {
        let mut decoder = OpenAiDecoder::default();
        let events = [
            r#"{"choices":[{"delta":{"role":"assistant","content":null},"finish_reason":null}]}"#,
            r#"{"choices":[{"delta":{"reasoning_content":"hm"}}],"usage":null}"#,
            r#"{"choices":[{"delta":{"content":"yes"},"finish_reason":"stop"}]}"#,
            r#"{"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":2}}"#,
            r#"{"choices":[],"timings":{"cache_n":3,"prompt_n":2,"prompt_ms":4.0,
                "predicted_n":2,"predicted_ms":8.0}}"#,
        ];
        let steps: Vec<Step> = events
            .iter()
            .map(|event| decoder.frame(event.as_bytes()).unwrap())
            .collect();
        assert_eq!(steps[1].thinking, "hm");
        assert_eq!(steps[2].text, "yes");
        assert!(decoder.frame(b"[DONE]").unwrap().done);
        let finish = decoder.finish();
        assert!(finish.complete);
        assert_eq!(finish.reason.as_deref(), Some("stop"));
        assert_eq!(finish.report.cached_prompt_tokens, Some(3));
        assert_eq!(finish.report.prompt_tokens, Some(5));
        assert_eq!(finish.report.eval, Some(Duration::from_millis(8)));
    }

    #[test]
    fn counts_beyond_all_measure_are_unknown() {
        let mut decoder = OpenAiDecoder::default();
        let event = r#"{"choices":[],"timings":{"cache_n":18446744073709551615,"prompt_n":2,
            "prompt_ms":1e300,"predicted_n":1,"predicted_ms":-4.0}}"#;
        decoder.frame(event.as_bytes()).unwrap();
        let report = decoder.finish().report;
        assert_eq!(report.prompt_tokens, None);
        assert_eq!((report.prompt_eval, report.eval), (None, None));
    }

    #[test]
    fn an_error_event_is_the_servers_word() {
        let mut decoder = OpenAiDecoder::default();
        let error = decoder.frame(br#"{"error":{"message":"out of memory","code":500}}"#);
        assert_eq!(error, Err(DecodeError::Server("out of memory".into())));
    }
}
