//! Ollama's protocol: reading its requests, wording its objects.

use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value};

use super::dialect::{Ending, Metrics};
use super::http::go_json;
use super::question::{
    DEFAULT_CONTEXT, Fields, Question, Refusal, effective_limit, effective_seed, find, whole,
};
use super::residents::KeepAlive;
use super::words::Piece;

/// Options whose change makes a model load again.
const LOAD_TIME: [&str; 6] = [
    "main_gpu",
    "num_batch",
    "num_ctx",
    "num_gpu",
    "num_thread",
    "use_mmap",
];
const INTEGERS: [&str; 10] = [
    "main_gpu",
    "num_batch",
    "num_ctx",
    "num_gpu",
    "num_keep",
    "num_predict",
    "num_thread",
    "repeat_last_n",
    "seed",
    "top_k",
];
const NUMBERS: [&str; 7] = [
    "frequency_penalty",
    "min_p",
    "presence_penalty",
    "repeat_penalty",
    "temperature",
    "top_p",
    "typical_p",
];

/// Reads `/api/generate`.
pub fn generate(object: &Map<String, Value>) -> Result<Question, Refusal> {
    let fields = Fields {
        object,
        of: "GenerateRequest",
    };
    let mut question = common(&fields)?;
    let prompt = fields.text("prompt")?.unwrap_or_default();
    let system = fields.text("system")?.unwrap_or_default();
    question.raw = fields.flag("raw")?.unwrap_or(false);
    question.empty = prompt.is_empty();
    question.prompt = [system, prompt].join("\n");
    Ok(question)
}

/// Reads `/api/chat`.
pub fn chat(object: &Map<String, Value>) -> Result<Question, Refusal> {
    let fields = Fields {
        object,
        of: "ChatRequest",
    };
    let mut question = common(&fields)?;
    let messages = fields.list("messages")?.map_or(&[][..], Vec::as_slice);
    question.empty = messages.is_empty();
    for message in messages {
        let object = message
            .as_object()
            .ok_or_else(|| Refusal::bad("json: cannot unmarshal into Go struct field ChatRequest.messages of type api.Message"))?;
        let message = Fields {
            object,
            of: "Message",
        };
        question
            .prompt
            .push_str(message.text("content")?.unwrap_or_default());
        question.prompt.push('\n');
    }
    Ok(question)
}

fn common(fields: &Fields<'_>) -> Result<Question, Refusal> {
    let keep_alive = fields.get("keep_alive").map(keep_alive).transpose()?;
    let model = find(fields.text("model")?.unwrap_or_default())?;
    let empty = Map::new();
    let options = fields.map("options")?.unwrap_or(&empty);
    check_options(options)?;
    let think = think(fields.get("think"))?;
    if think == Some(true) && !model.thinks() {
        return Err(Refusal::bad(format!(
            "\"{}\" does not support thinking",
            model.name
        )));
    }
    let integer = |key: &str| options.get(key).and_then(whole);
    let settings: Map<String, Value> = options
        .iter()
        .filter(|(key, _)| LOAD_TIME.contains(&key.as_str()))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    let temperature = options.get("temperature").and_then(Value::as_f64);
    let stop = options.get("stop").and_then(Value::as_array);
    Ok(Question {
        think: model.thinks() && think.unwrap_or(true),
        model,
        prompt: String::new(),
        empty: false,
        stream: fields.flag("stream")?.unwrap_or(true),
        limit: effective_limit(integer("num_predict")),
        seed: effective_seed(integer("seed"), temperature),
        stop: stop.map(|list| texts(list)).unwrap_or_default(),
        context: integer("num_ctx")
            .and_then(|tokens| u64::try_from(tokens).ok())
            .filter(|tokens| *tokens > 0)
            .unwrap_or(DEFAULT_CONTEXT),
        truncate: fields.flag("truncate")?.unwrap_or(true),
        settings: Value::Object(settings).to_string(),
        format: format(fields.get("format"))?,
        keep_alive: keep_alive.unwrap_or_default(),
        raw: false,
        include_usage: false,
    })
}

fn texts(list: &[Value]) -> Vec<String> {
    list.iter()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}

fn check_options(options: &Map<String, Value>) -> Result<(), Refusal> {
    for (key, value) in options.iter().filter(|(_, value)| !value.is_null()) {
        let name = key.as_str();
        let (fits, kind) = if INTEGERS.contains(&name) {
            (value.is_number(), "integer")
        } else if NUMBERS.contains(&name) {
            (value.is_number(), "float32")
        } else if name == "use_mmap" {
            (value.is_boolean(), "boolean")
        } else if name == "stop" {
            (value.is_array(), "array")
        } else {
            continue;
        };
        if !fits {
            let message = format!("option \"{name}\" must be of type {kind}");
            return Err(Refusal {
                status: 500,
                message,
            });
        }
    }
    Ok(())
}

fn format(value: Option<&Value>) -> Result<Option<Value>, Refusal> {
    match value {
        None => Ok(None),
        Some(Value::String(text)) if text.is_empty() => Ok(None),
        Some(format) if format.is_object() || format == "json" => Ok(Some(format.clone())),
        Some(other) => Err(Refusal {
            status: 500,
            message: format!(
                "invalid format: {other}; expected \"json\" or a valid JSON Schema object"
            ),
        }),
    }
}

fn think(value: Option<&Value>) -> Result<Option<bool>, Refusal> {
    match value {
        None => Ok(None),
        Some(Value::Bool(think)) => Ok(Some(*think)),
        Some(Value::String(level))
            if ["low", "medium", "high", "max"].contains(&level.as_str()) =>
        {
            Ok(Some(true))
        }
        Some(other) => Err(Refusal::bad(format!(
            "invalid think value: {other} (must be \"high\", \"medium\", \"low\", \"max\", true, or false)"
        ))),
    }
}

/// Reads `keep_alive`: a number of seconds, or a duration as Go writes it; negative is for ever.
pub fn keep_alive(value: &Value) -> Result<KeepAlive, Refusal> {
    let seconds = match value {
        Value::Number(number) => number.as_f64().unwrap_or_default(),
        Value::String(text) => go_duration(text).map_err(Refusal::bad)?,
        other => return Err(Refusal::bad(format!("invalid keep_alive value: {other}"))),
    };
    if seconds < 0.0 {
        return Ok(KeepAlive::Forever);
    }
    Ok(Duration::try_from_secs_f64(seconds).map_or(KeepAlive::Forever, KeepAlive::For))
}

/// Seconds of a duration such as `1h30m` or `-1s` (Go's `time.ParseDuration`).
fn go_duration(text: &str) -> Result<f64, String> {
    let invalid = || format!("time: invalid duration {text:?}");
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Ok(0.0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let number: f64 = rest[..digits].parse().map_err(|_| invalid())?;
        rest = &rest[digits..];
        let letters = rest
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(rest.len());
        seconds += number
            * match &rest[..letters] {
                "" => return Err(format!("time: missing unit in duration {text:?}")),
                "ns" => 1e-9,
                "us" | "µs" | "μs" => 1e-6,
                "ms" => 1e-3,
                "s" => 1.0,
                "m" => 60.0,
                "h" => 3600.0,
                unit => return Err(format!("time: unknown unit {unit:?} in duration {text:?}")),
            };
        rest = &rest[letters..];
    }
    Ok(sign * seconds)
}

/// An object of the stream, fields in the order of the real server.
#[derive(Serialize)]
struct Object<'a> {
    model: &'a str,
    created_at: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    response: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<Message<'a>>,
    done: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    done_reason: Option<&'a str>,
    #[serde(skip_serializing_if = "<[u32]>::is_empty")]
    context: &'a [u32],
    #[serde(flatten)]
    metrics: Durations,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    content: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking: Option<&'a str>,
}

/// Integer nanoseconds and counts; what is zero is left out.
#[derive(Default, Serialize)]
#[serde(rename_all = "snake_case")]
struct Durations {
    #[serde(skip_serializing_if = "Option::is_none")]
    total_duration: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    load_duration: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_eval_count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_eval_duration: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    eval_count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    eval_duration: Option<u64>,
}

impl From<&Metrics> for Durations {
    fn from(metrics: &Metrics) -> Self {
        let nanoseconds = |time: Duration| {
            Some(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)).filter(|time| *time > 0)
        };
        let count = |count: u64| Some(count).filter(|count| *count > 0);
        Self {
            total_duration: nanoseconds(metrics.total),
            load_duration: nanoseconds(metrics.load),
            prompt_eval_count: count(metrics.prompt_tokens),
            prompt_eval_duration: nanoseconds(metrics.prompt_eval),
            eval_count: count(metrics.output_tokens),
            eval_duration: nanoseconds(metrics.eval),
        }
    }
}

/// Who speaks, and when.
#[derive(Clone, Copy)]
pub struct Voice<'a> {
    /// The model's name.
    pub model: &'a str,
    /// RFC 3339.
    pub created_at: &'a str,
    /// `message` instead of `response`.
    pub chat: bool,
}

impl Voice<'_> {
    /// An object with text, without its line end.
    pub fn piece(self, piece: &Piece) -> String {
        match piece {
            Piece::Answer(text) => self.object(text, None, None),
            Piece::Thinking(text) => self.object("", Some(text), None),
        }
    }

    /// The final object, without its line end.
    pub fn end(self, text: &str, thinking: Option<&str>, ending: &Ending) -> String {
        self.object(text, thinking, Some(ending))
    }

    fn object(self, text: &str, thinking: Option<&str>, ending: Option<&Ending>) -> String {
        let context = ending.map_or(&[][..], |ending| ending.context.as_slice());
        go_json(&Object {
            model: self.model,
            created_at: self.created_at,
            response: (!self.chat).then_some(text),
            thinking: thinking.filter(|_| !self.chat),
            message: self.chat.then_some(Message {
                role: "assistant",
                content: text,
                thinking,
            }),
            done: ending.is_some(),
            done_reason: ending.map(|ending| ending.reason),
            context: if self.chat { &[] } else { context },
            metrics: ending
                .map(|ending| Durations::from(&ending.metrics))
                .unwrap_or_default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn ask(body: &Value) -> Result<Question, Refusal> {
        generate(body.as_object().unwrap())
    }

    #[test]
    fn keep_alive_is_read_as_go_reads_it() {
        let minutes = |minutes| Ok(KeepAlive::For(Duration::from_mins(minutes)));
        assert_eq!(keep_alive(&json!("1h30m")), minutes(90));
        assert_eq!(keep_alive(&json!(300)), minutes(5));
        assert_eq!(keep_alive(&json!("0")), minutes(0));
        assert_eq!(keep_alive(&json!(-1)), Ok(KeepAlive::Forever));
        assert_eq!(keep_alive(&json!("-1m")), Ok(KeepAlive::Forever));
        for (text, message) in [
            ("5", "time: missing unit in duration \"5\""),
            ("", "time: invalid duration \"\""),
            ("5y", "time: unknown unit \"y\" in duration \"5y\""),
        ] {
            assert_eq!(keep_alive(&json!(text)), Err(Refusal::bad(message)));
        }
    }

    #[test]
    fn refusals_are_worded_as_by_the_real_server() {
        for (body, status, message) in [
            (json!({"prompt": "hi"}), 404, "model '' not found"),
            (json!({"model": "nope"}), 404, "model 'nope' not found"),
            (
                json!({"model": "steady", "options": {"temperature": "hot"}}),
                500,
                "option \"temperature\" must be of type float32",
            ),
            (
                json!({"model": "steady", "think": true}),
                400,
                "\"steady\" does not support thinking",
            ),
            (
                json!({"model": "steady", "format": "xml"}),
                500,
                "invalid format: \"xml\"; expected \"json\" or a valid JSON Schema object",
            ),
        ] {
            let refusal = Refusal {
                status,
                message: message.into(),
            };
            assert_eq!(ask(&body), Err(refusal));
        }
    }

    #[test]
    fn options_bound_and_seed_the_output() {
        let question = ask(&json!({
            "model": "thinking", "prompt": "hi", "think": false, "stream": false,
            "format": {"type": "object"},
            "options": {"num_predict": 5, "seed": 9, "num_ctx": 256, "stop": ["x"], "what": []},
        }));
        let question = question.unwrap();
        assert_eq!(
            (question.limit, question.seed, question.context),
            (Some(5), 9, 256)
        );
        assert_eq!(
            (question.think, question.stream, question.empty),
            (false, false, false)
        );
        assert_eq!(question.stop, ["x"]);
        assert_eq!(question.format, Some(json!({"type": "object"})));
        assert_eq!(question.settings, r#"{"num_ctx":256}"#);
    }

    #[test]
    fn an_empty_prompt_asks_nothing() {
        assert!(
            ask(&json!({"model": "steady", "system": "be brief"}))
                .unwrap()
                .empty
        );
        let chat = chat(
            json!({"model": "steady", "messages": []})
                .as_object()
                .unwrap(),
        );
        assert!(chat.unwrap().empty);
    }
}
