//! Environment variables as settings.
//!
//! `BENCHMARKER_` and a key with `__` for each dot, letter case aside. A backend's name is written
//! with `-` in the configuration and with `_` here: `BENCHMARKER_BACKENDS__GPU_BOX__URL` is
//! `backends.gpu-box.url`. An empty variable counts as unset.

use std::ffi::OsString;

use figment::value::{Dict, Value};

use super::ollama_host;
use super::{ConfigError, keys};

const PREFIX: &str = "BENCHMARKER_";
/// Variables that other programs know too.
const SHARED: [&str; 5] = [
    "OLLAMA_HOST",
    "DATABASE_URL",
    "PORT",
    "RUST_LOG",
    "NO_COLOR",
];

/// One variable as a setting.
pub struct Variable {
    /// The variable's own name.
    pub name: String,
    /// The setting, as a dictionary that holds nothing else.
    pub values: Dict,
}

/// The variables that are text. Those of other programs may be anything; of ours, one that is no
/// text must not pass for one that is not set: it may be the token.
pub fn texts(
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Vec<(String, String)>, ConfigError> {
    let mut texts = Vec::new();
    for (name, value) in environment {
        let Ok(name) = name.into_string() else {
            continue;
        };
        match value.into_string() {
            Ok(value) => texts.push((name, value)),
            Err(_) if is_read(&name) => {
                return Err(ConfigError::Value {
                    key: name,
                    origin: "the environment".into(),
                    message: "is not UTF-8".into(),
                });
            }
            Err(_) => {}
        }
    }
    Ok(texts)
}

fn is_read(name: &str) -> bool {
    strip_prefix(name).is_some() || SHARED.contains(&name)
}

/// The variables that set something, the ecosystem's own before ours, which are stronger.
/// `backends` are the names of backends that the file configures.
pub fn variables(
    environment: impl IntoIterator<Item = (String, String)>,
    backends: &[String],
) -> Result<Vec<Variable>, ConfigError> {
    let defaults = keys::defaults();
    let mut shared = Vec::new();
    let mut own = Vec::new();
    for (name, value) in environment {
        if value.is_empty() {
            continue;
        }
        if let Some((key, value)) = shared_setting(&name, &value)? {
            shared.push(variable(name, &key, value));
        } else if let Some(rest) = strip_prefix(&name) {
            let key = key_of(rest, backends);
            let Some(default) = keys::default_of(&key, &defaults) else {
                return Err(ConfigError::UnknownKey {
                    near: name_of(&keys::nearest(&key, &defaults)),
                    key: name,
                    origin: "the environment".into(),
                });
            };
            let value = typed(&name, &value, default)?;
            own.push(variable(name, &key, value));
        }
    }
    shared.append(&mut own);
    Ok(shared)
}

/// Variables that other programs know too.
fn shared_setting(name: &str, value: &str) -> Result<Option<(String, Value)>, ConfigError> {
    let (key, value) = match name {
        "OLLAMA_HOST" => ("backends.ollama.url", Value::from(ollama_host::url(value))),
        "DATABASE_URL" => ("database_url", Value::from(value)),
        "PORT" => ("port", typed(name, value, &Value::from(0))?),
        "RUST_LOG" => ("log.filter", Value::from(value)),
        "NO_COLOR" => ("log.color", Value::from("never")),
        _ => return Ok(None),
    };
    Ok(Some((key.to_owned(), value)))
}

fn strip_prefix(name: &str) -> Option<&str> {
    name.get(..PREFIX.len())
        .filter(|start| start.eq_ignore_ascii_case(PREFIX))
        .and_then(|_| name.get(PREFIX.len()..))
}

/// `LIMITS__MAX_MODELS` → `limits.max_models`.
fn key_of(name: &str, backends: &[String]) -> String {
    let lower = name.to_lowercase();
    let mut parts: Vec<String> = lower.split("__").map(str::to_owned).collect();
    if let [group, backend, _, ..] = parts.as_mut_slice()
        && group == "backends"
    {
        let dashed = |text: &str| text.to_lowercase().replace('_', "-");
        let configured = backends
            .iter()
            .find(|known| dashed(known) == dashed(backend));
        *backend = configured.cloned().unwrap_or_else(|| dashed(backend));
    }
    parts.join(".")
}

/// `limits.max_models` → `BENCHMARKER_LIMITS__MAX_MODELS`.
pub fn name_of(key: &str) -> String {
    let name = key.replace('.', "__").replace('-', "_").to_uppercase();
    format!("{PREFIX}{name}")
}

/// Reads a text as what the setting's default is.
fn typed(name: &str, text: &str, default: &Value) -> Result<Value, ConfigError> {
    let trimmed = text.trim();
    let refused = |what: &str| ConfigError::Value {
        key: name.to_owned(),
        origin: "the environment".into(),
        message: format!("`{}` is not {what}", trimmed.escape_debug()),
    };
    match default {
        Value::Bool(..) => match trimmed.to_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => Ok(Value::from(true)),
            "false" | "0" | "no" | "off" => Ok(Value::from(false)),
            _ => Err(refused("true or false")),
        },
        Value::Num(..) => {
            let whole = trimmed.parse::<i64>().map(Value::from);
            let number = whole.or_else(|_| trimmed.parse::<f64>().map(Value::from));
            number.map_err(|_| refused("a number"))
        }
        Value::Array(..) => Ok(trimmed
            .split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty())
            .collect::<Vec<_>>()
            .into()),
        _ => Ok(Value::from(text)),
    }
}

fn variable(name: String, key: &str, value: Value) -> Variable {
    let values = figment::util::nest(key, value)
        .into_dict()
        .unwrap_or_default();
    Variable { name, values }
}
