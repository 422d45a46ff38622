//! What a request asks of a model, the same for both protocols, and the refusals a real server
//! words for what it cannot accept.

use serde_json::{Map, Value};

use super::catalogue::{self, Model};
use super::residents::KeepAlive;

/// A request that is refused before a model is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// HTTP status.
    pub status: u16,
    /// Why, in the server's words.
    pub message: String,
}

impl Refusal {
    /// 400.
    pub fn bad(message: impl Into<String>) -> Self {
        Self {
            status: 400,
            message: message.into(),
        }
    }

    /// 404 for a model.
    pub fn not_found(model: &str) -> Self {
        Self {
            status: 404,
            message: format!("model '{model}' not found"),
        }
    }
}

/// What a model is asked.
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent switches of the protocols"
)]
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    /// The model.
    pub model: Model,
    /// Everything it reads.
    pub prompt: String,
    /// Nothing is asked: the model is only to be loaded or unloaded.
    pub empty: bool,
    /// The answer comes in pieces.
    pub stream: bool,
    /// The model thinks first.
    pub think: bool,
    /// Most tokens.
    pub limit: Option<u32>,
    /// What tells otherwise equal questions apart.
    pub seed: u64,
    /// Texts that end the answer.
    pub stop: Vec<String>,
    /// Size of the context, tokens.
    pub context: u64,
    /// A prompt longer than the context is shortened rather than refused.
    pub truncate: bool,
    /// Load-time options; a change means loading again.
    pub settings: String,
    /// `"json"`, or the JSON schema that the answer is to fit.
    pub format: Option<Value>,
    /// How long the model stays.
    pub keep_alive: KeepAlive,
    /// The final object carries no `context`.
    pub raw: bool,
    /// Token counts at the end of an OpenAI stream.
    pub include_usage: bool,
}

/// Context size where none is asked for, tokens.
pub const DEFAULT_CONTEXT: u64 = 4096;

/// Reads a body as a JSON object, with Go's words for what is wrong with it.
pub fn object(body: &[u8]) -> Result<Map<String, Value>, Refusal> {
    if body.is_empty() {
        return Err(Refusal::bad("missing request body"));
    }
    match serde_json::from_slice(body) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(other) => Err(Refusal::bad(format!(
            "json: cannot unmarshal {} into Go value of type api.Request",
            go_type(&other)
        ))),
        Err(error) => Err(Refusal::bad(go_syntax_error(&error, body))),
    }
}

fn go_syntax_error(error: &serde_json::Error, body: &[u8]) -> String {
    if error.is_eof() {
        return "unexpected EOF".into();
    }
    let line = body
        .split(|byte| *byte == b'\n')
        .nth(error.line().saturating_sub(1));
    let byte = line.and_then(|line| line.get(error.column().saturating_sub(1)));
    let found = byte.map_or('\u{fffd}', |byte| char::from(*byte));
    let words = error.to_string();
    let place = if words.starts_with("key must be a string") {
        "looking for beginning of object key string"
    } else if words.starts_with("expected value") {
        "looking for beginning of value"
    } else if words.starts_with("trailing characters") {
        "after top-level value"
    } else if words.starts_with("expected `,` or `}`") {
        "after object key:value pair"
    } else {
        "in value"
    };
    format!("invalid character '{found}' {place}")
}

fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Typed access to an object's fields. Null counts as absent, as in Go.
#[derive(Clone, Copy)]
pub struct Fields<'a> {
    /// The object.
    pub object: &'a Map<String, Value>,
    /// What Go calls it in its errors.
    pub of: &'static str,
}

impl<'a> Fields<'a> {
    /// A field, whatever it is.
    pub fn get(&self, key: &str) -> Option<&'a Value> {
        self.object.get(key).filter(|value| !value.is_null())
    }

    fn typed<T>(
        &self,
        key: &str,
        kind: &str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, Refusal> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        read(value).map(Some).ok_or_else(|| {
            Refusal::bad(format!(
                "json: cannot unmarshal {} into Go struct field {}.{key} of type {kind}",
                go_type(value),
                self.of
            ))
        })
    }

    /// A text.
    pub fn text(&self, key: &str) -> Result<Option<&'a str>, Refusal> {
        self.typed(key, "string", Value::as_str)
    }

    /// A truth value.
    pub fn flag(&self, key: &str) -> Result<Option<bool>, Refusal> {
        self.typed(key, "bool", Value::as_bool)
    }

    /// A whole number.
    pub fn integer(&self, key: &str) -> Result<Option<i64>, Refusal> {
        self.typed(key, "int", whole)
    }

    /// A number.
    pub fn number(&self, key: &str) -> Result<Option<f64>, Refusal> {
        self.typed(key, "float64", Value::as_f64)
    }

    /// A list.
    pub fn list(&self, key: &str) -> Result<Option<&'a Vec<Value>>, Refusal> {
        self.typed(key, "[]json.RawMessage", Value::as_array)
    }

    /// An object.
    pub fn map(&self, key: &str) -> Result<Option<&'a Map<String, Value>>, Refusal> {
        self.typed(key, "map[string]interface {}", Value::as_object)
    }
}

/// A whole number, written as one or as a float without a fraction.
pub fn whole(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| {
        let number = value.as_f64().filter(|number| number.fract() == 0.0)?;
        format!("{number:.0}").parse().ok()
    })
}

/// Finds the model that a request names.
pub fn find(name: &str) -> Result<Model, Refusal> {
    catalogue::resolve(name)
        .map_err(Refusal::bad)?
        .ok_or_else(|| Refusal::not_found(name))
}

/// The seed that the text depends on: greedy decoding has no use for one, and where none was
/// given each request is another.
pub fn effective_seed(seed: Option<i64>, temperature: Option<f64>) -> u64 {
    match seed.filter(|seed| *seed >= 0) {
        _ if temperature == Some(0.0) => 0,
        Some(seed) => seed.unsigned_abs(),
        None => rand::random(),
    }
}

/// A bound on tokens; none where it is zero or negative.
pub fn effective_limit(limit: Option<i64>) -> Option<u32> {
    let limit = limit.filter(|limit| *limit > 0)?;
    Some(u32::try_from(limit).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(body: &str) -> String {
        object(body.as_bytes()).unwrap_err().message
    }

    #[test]
    fn broken_json_is_refused_in_the_words_of_the_real_server() {
        assert_eq!(
            message("{bad"),
            "invalid character 'b' looking for beginning of object key string"
        );
        assert_eq!(message(""), "missing request body");
        assert_eq!(message("{"), "unexpected EOF");
        assert_eq!(
            message("{} x"),
            "invalid character 'x' after top-level value"
        );
        assert_eq!(
            message("<"),
            "invalid character '<' looking for beginning of value"
        );
        assert!(message("[]").starts_with("json: cannot unmarshal array"));
    }

    #[test]
    fn a_wrong_type_names_the_field() {
        let object = object(br#"{"model":5,"stream":null}"#).unwrap();
        let fields = Fields {
            object: &object,
            of: "GenerateRequest",
        };
        assert_eq!(
            fields.text("model").unwrap_err().message,
            "json: cannot unmarshal number into Go struct field GenerateRequest.model of type string"
        );
        assert_eq!(fields.flag("stream"), Ok(None));
    }

    #[test]
    fn greedy_decoding_ignores_the_seed() {
        assert_eq!(effective_seed(Some(5), Some(0.0)), 0);
        assert_eq!(effective_seed(Some(5), Some(0.8)), 5);
        assert_eq!(effective_limit(Some(-1)), None);
        assert_eq!(effective_limit(Some(5)), Some(5));
    }
}
