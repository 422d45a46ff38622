//! OpenAI's protocol: reading its requests, wording its objects.

use serde_json::{Map, Value, json};

use super::dialect::Metrics;
use super::question::{
    DEFAULT_CONTEXT, Fields, Question, Refusal, effective_limit, effective_seed, find,
};
use super::residents::KeepAlive;
use super::words::Piece;

/// Reads `/v1/chat/completions`.
pub fn chat(object: &Map<String, Value>) -> Result<Question, Refusal> {
    let fields = Fields {
        object,
        of: "ChatCompletionRequest",
    };
    let mut question = common(&fields)?;
    let messages = fields.list("messages")?.map_or(&[][..], Vec::as_slice);
    if messages.is_empty() {
        return Err(Refusal::bad("[] is too short - 'messages'"));
    }
    for message in messages {
        question.prompt.push_str(&content(message.get("content"))?);
        question.prompt.push('\n');
    }
    Ok(question)
}

/// Reads `/v1/completions`.
pub fn completions(object: &Map<String, Value>) -> Result<Question, Refusal> {
    let fields = Fields {
        object,
        of: "CompletionRequest",
    };
    let mut question = common(&fields)?;
    question
        .prompt
        .push_str(fields.text("prompt")?.unwrap_or_default());
    Ok(question)
}

/// A message's content: a text, or parts of which the texts count.
fn content(content: Option<&Value>) -> Result<String, Refusal> {
    match content {
        None | Some(Value::Null) => Ok(String::new()),
        Some(Value::String(text)) => Ok(text.clone()),
        Some(Value::Array(parts)) => Ok(parts
            .iter()
            .filter_map(|part| part.get("text")?.as_str())
            .collect::<Vec<_>>()
            .join("\n")),
        Some(_) => Err(Refusal::bad("invalid message content type")),
    }
}

fn common(fields: &Fields<'_>) -> Result<Question, Refusal> {
    let model = find(fields.text("model")?.unwrap_or_default())?;
    let stop = match fields.get("stop") {
        None => Vec::new(),
        Some(Value::String(stop)) => vec![stop.clone()],
        Some(Value::Array(list)) => list
            .iter()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect(),
        Some(_) => return Err(Refusal::bad("invalid type for 'stop' field")),
    };
    let limit = fields
        .integer("max_completion_tokens")?
        .or(fields.integer("max_tokens")?);
    let usage = fields
        .map("stream_options")?
        .and_then(|options| options.get("include_usage"));
    Ok(Question {
        think: model.thinks() && fields.text("reasoning_effort")? != Some("none"),
        model,
        prompt: String::new(),
        empty: false,
        stream: fields.flag("stream")?.unwrap_or(false),
        limit: effective_limit(limit),
        seed: effective_seed(fields.integer("seed")?, fields.number("temperature")?),
        stop,
        context: DEFAULT_CONTEXT,
        truncate: true,
        settings: "{}".into(),
        format: format(fields)?,
        keep_alive: KeepAlive::default(),
        raw: true,
        include_usage: usage.and_then(Value::as_bool).unwrap_or(false),
    })
}

/// What the answer is to fit: `"json"` or a schema.
fn format(fields: &Fields<'_>) -> Result<Option<Value>, Refusal> {
    let Some(wanted) = fields.map("response_format")? else {
        return Ok(None);
    };
    match wanted.get("type").and_then(Value::as_str) {
        Some("text") => Ok(None),
        Some("json_object") => Ok(Some(json!("json"))),
        Some("json_schema") => {
            let schema = wanted
                .get("json_schema")
                .and_then(|format| format.get("schema"));
            let schema = schema.filter(|schema| schema.is_object());
            let missing = || Refusal::bad("response_format: json_schema has no schema");
            schema.cloned().ok_or_else(missing).map(Some)
        }
        _ => Err(Refusal::bad(
            "response_format type must be one of \"text\", \"json_object\" or \"json_schema\"",
        )),
    }
}

/// Who speaks, and when.
#[derive(Clone, Copy)]
pub struct Voice<'a> {
    /// The model's name.
    pub model: &'a str,
    /// Number of the request.
    pub id: u64,
    /// Seconds since 1970.
    pub created: i64,
    /// Messages instead of text.
    pub chat: bool,
}

impl Voice<'_> {
    /// An object with text.
    pub fn piece(self, piece: &Piece) -> Value {
        let choice = match (self.chat, piece) {
            (true, Piece::Answer(text)) => json!({"delta": {"role": "assistant", "content": text}}),
            (true, Piece::Thinking(text)) => {
                json!({"delta": {"role": "assistant", "content": "", "reasoning_content": text}})
            }
            (false, Piece::Answer(text)) => json!({"text": text}),
            (false, Piece::Thinking(text)) => json!({"text": "", "reasoning_content": text}),
        };
        self.object(true, Some(finished(choice, None)))
    }

    /// The object that tells why the output ends.
    pub fn finish(self, text: &str, reason: &str) -> Value {
        let choice = if self.chat {
            json!({"delta": {"role": "assistant", "content": text}})
        } else {
            json!({"text": text})
        };
        self.object(true, Some(finished(choice, Some(reason))))
    }

    /// The object that counts tokens.
    pub fn usage(self, metrics: &Metrics) -> Value {
        let mut object = self.object(true, None);
        object["usage"] = counts(metrics);
        object
    }

    /// The whole answer in one object.
    pub fn whole(
        self,
        text: &str,
        thinking: Option<&str>,
        reason: &str,
        metrics: &Metrics,
    ) -> Value {
        let mut choice = if self.chat {
            json!({"message": {"role": "assistant", "content": text}})
        } else {
            json!({"text": text})
        };
        if let Some(thinking) = thinking {
            let place = if self.chat {
                &mut choice["message"]
            } else {
                &mut choice
            };
            place["reasoning_content"] = json!(thinking);
        }
        let mut object = self.object(false, Some(finished(choice, Some(reason))));
        object["usage"] = counts(metrics);
        object
    }

    fn object(self, streamed: bool, choice: Option<Value>) -> Value {
        let (prefix, kind) = match (self.chat, streamed) {
            (true, true) => ("chatcmpl", "chat.completion.chunk"),
            (true, false) => ("chatcmpl", "chat.completion"),
            (false, _) => ("cmpl", "text_completion"),
        };
        json!({
            "id": format!("{prefix}-{}", self.id),
            "object": kind,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": "fp_reference",
            "choices": choice.into_iter().collect::<Vec<_>>(),
        })
    }
}

fn finished(mut choice: Value, reason: Option<&str>) -> Value {
    choice["index"] = json!(0);
    choice["finish_reason"] = json!(reason);
    choice
}

fn counts(metrics: &Metrics) -> Value {
    json!({
        "prompt_tokens": metrics.prompt_tokens,
        "completion_tokens": metrics.output_tokens,
        "total_tokens": metrics.prompt_tokens + metrics.output_tokens,
    })
}

/// The body of a refusal.
pub fn error(status: u16, message: &str) -> Value {
    let kind = match status {
        404 => "not_found_error",
        400..=499 => "invalid_request_error",
        _ => "api_error",
    };
    json!({"error": {"message": message, "type": kind, "param": null, "code": null}})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read() {
        let body = json!({
            "model": "thinking", "stream": true, "max_completion_tokens": 4, "max_tokens": 9,
            "seed": 3, "stop": "x", "reasoning_effort": "none",
            "stream_options": {"include_usage": true},
            "messages": [
                {"role": "system", "content": "brief"},
                {"role": "user", "content": [{"type": "text", "text": "hi"}, {"type": "image_url"}]},
            ],
        });
        let question = chat(body.as_object().unwrap()).unwrap();
        assert_eq!(question.prompt, "brief\nhi\n");
        assert_eq!((question.limit, question.seed), (Some(4), 3));
        assert_eq!(
            (question.think, question.stream, question.include_usage),
            (false, true, true)
        );
        assert_eq!(question.stop, ["x"]);
    }

    #[test]
    fn a_format_is_read() {
        let ask = |format: Value| {
            let body = json!({"model": "steady", "prompt": "hi", "response_format": format});
            completions(body.as_object().unwrap()).map(|question| question.format)
        };
        let schema = json!({"type": "object"});
        assert_eq!(
            ask(json!({"type": "json_schema", "json_schema": {"name": "x", "schema": schema}})),
            Ok(Some(schema))
        );
        assert_eq!(ask(json!({"type": "json_object"})), Ok(Some(json!("json"))));
        assert_eq!(ask(json!({"type": "text"})), Ok(None));
        for broken in [json!({"type": "xml"}), json!({"type": "json_schema"})] {
            assert_eq!(ask(broken).unwrap_err().status, 400);
        }
    }

    #[test]
    fn no_messages_are_refused() {
        let body = json!({"model": "steady", "messages": []});
        assert_eq!(chat(body.as_object().unwrap()).unwrap_err().status, 400);
    }
}
