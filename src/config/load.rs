//! From defaults, file, environment and flags to one [`Config`].

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use figment::error::{Actual, Kind};
use figment::providers::{Format, Toml};
use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};
use serde::Serialize;

use super::environment::{self, Variable};
use super::{Config, LogFormat, keys, ollama_host};

/// Why there is no configuration. Every variant names the setting and where it came from.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration file {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not TOML.
    #[error("the configuration file {} is not valid TOML: {message}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// What is wrong and where.
        message: String,
    },
    /// No such setting.
    #[error("there is no setting `{key}` (from {origin}); the nearest is `{near}`")]
    UnknownKey {
        /// As it was written.
        key: String,
        /// Where it was written.
        origin: String,
        /// The known one that looks most like it.
        near: String,
    },
    /// A value that the setting cannot take.
    #[error("`{key}` (from {origin}): {message}")]
    Value {
        /// The setting.
        key: String,
        /// Where it was set.
        origin: String,
        /// What is wrong, and what would be right.
        message: String,
    },
}

/// Settings from the command line; what is absent leaves the other sources as they are.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Overrides {
    /// Address to listen on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Port to listen on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Where runs are stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database_url: Option<String>,
    /// What is logged, and how.
    pub log: LogOverrides,
}

/// Log settings from the command line.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct LogOverrides {
    /// Filter as in `RUST_LOG`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// How lines look.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<LogFormat>,
}

/// A source of settings that knows its name.
struct Layer {
    origin: String,
    values: Dict,
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.origin.clone())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Profile::Default.collect(self.values.clone()))
    }
}

impl Layer {
    fn of(origin: &str, settings: &impl Serialize) -> Self {
        let values = Value::serialize(settings).ok().and_then(Value::into_dict);
        Self {
            origin: origin.to_owned(),
            values: values.unwrap_or_default(),
        }
    }
}

impl Config {
    /// Reads every source. `file` must exist where it is named; `benchmarker.toml` in the working
    /// folder is read where there is one.
    pub fn load(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
        flags: &Overrides,
    ) -> Result<Self, ConfigError> {
        let environment = environment::texts(environment)?;
        let path = file.map_or_else(Self::default_file, Path::to_path_buf);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => Some(text),
            Err(error) if file.is_none() && error.kind() == std::io::ErrorKind::NotFound => None,
            Err(source) => return Err(ConfigError::File { path, source }),
        };
        Self::merge(
            text.as_deref().map(|text| (path.as_path(), text)),
            environment,
            flags,
        )
    }

    /// As [`Config::load`], with the file's text at hand.
    pub fn merge(
        file: Option<(&Path, &str)>,
        environment: impl IntoIterator<Item = (String, String)>,
        flags: &Overrides,
    ) -> Result<Self, ConfigError> {
        let mut figment = Figment::from(Layer::of("the defaults", &Self::default()));
        let mut backends = Vec::new();
        if let Some((path, text)) = file {
            let layer = file_layer(path, text)?;
            backends = backend_names(&layer.values);
            figment = figment.merge(layer);
        }
        for Variable { name, values } in environment::variables(environment, &backends)? {
            figment = figment.merge(Layer {
                origin: name,
                values,
            });
        }
        figment = figment.merge(Layer::of("the command line", flags));
        let mut config: Self = figment.extract().map_err(|error| value_error(&error))?;
        let ollama = config.backends.entry("ollama".to_owned()).or_default();
        if ollama.url.is_empty() {
            ollama_host::DEFAULT_URL.clone_into(&mut ollama.url);
        }
        match config.problem() {
            None => Ok(config),
            Some((key, message)) => Err(ConfigError::Value {
                origin: origin_of(&figment, &key),
                key,
                message,
            }),
        }
    }
}

fn file_layer(path: &Path, text: &str) -> Result<Layer, ConfigError> {
    let data = Toml::string(text)
        .data()
        .map_err(|error| ConfigError::Syntax {
            path: path.to_path_buf(),
            message: without_source(&error.kind.to_string()),
        })?;
    let values = data.into_values().next().unwrap_or_default();
    let origin = path.display().to_string();
    let defaults = keys::defaults();
    for key in keys::leaves(&values) {
        if keys::default_of(&key, &defaults).is_none() && !keys::is_group(&key, &defaults) {
            return Err(ConfigError::UnknownKey {
                near: keys::nearest(&key, &defaults),
                key,
                origin,
            });
        }
    }
    Ok(Layer { origin, values })
}

/// The place and the fault without the lines between, which quote the file: a secret may stand there.
fn without_source(message: &str) -> String {
    let lines = message.trim().lines();
    let told = lines.filter(|line| {
        !line
            .trim_start()
            .starts_with(|it: char| it == '|' || it.is_ascii_digit())
    });
    told.map(str::trim).collect::<Vec<_>>().join(": ")
}

fn backend_names(values: &Dict) -> Vec<String> {
    let backends = values.get("backends").and_then(|value| value.as_dict());
    backends
        .into_iter()
        .flat_map(BTreeMap::keys)
        .cloned()
        .collect()
}

fn value_error(error: &figment::Error) -> ConfigError {
    let key = error.path.join(".");
    let secret = key == "api_token" || key.ends_with(".api_key");
    let message = if secret {
        "must be a text in quotes".to_owned()
    } else if let Kind::UnknownVariant(found, known) = &error.kind {
        format!(
            "`{}` is not one of {}",
            found.escape_debug(),
            known.join(", ")
        )
    } else if let Kind::InvalidType(found, wanted) | Kind::InvalidValue(found, wanted) = &error.kind
    {
        format!("{} is not {}", in_words(found), wanted_in_words(wanted))
    } else {
        error.kind.to_string()
    };
    let origin = error
        .metadata
        .as_ref()
        .map(|metadata| metadata.name.to_string());
    ConfigError::Value {
        key,
        origin: origin.unwrap_or_else(|| "the configuration".to_owned()),
        message,
    }
}

fn in_words(found: &Actual) -> String {
    match found {
        Actual::Bool(value) => format!("`{value}`"),
        Actual::Unsigned(value) => format!("`{value}`"),
        Actual::Signed(value) => format!("`{value}`"),
        Actual::Float(value) => format!("`{value}`"),
        Actual::Str(value) => format!("`{}`", value.escape_debug()),
        Actual::Seq => "a list".to_owned(),
        Actual::Map => "a table".to_owned(),
        other => other.to_string(),
    }
}

/// The types of [`Config`], as people call them.
fn wanted_in_words(wanted: &str) -> &str {
    match wanted {
        "u16" => "a whole number from 0 to 65535",
        "u32" => "a whole number from 0 to 4294967295",
        "u64" | "usize" => "a whole number from 0 on",
        "f64" => "a number",
        "a boolean" => "`true` or `false`",
        "a string" => "a text in quotes",
        "a sequence" => "a list in brackets",
        wanted if wanted.starts_with("struct ") || wanted == "a map" => "a table of settings",
        other => other,
    }
}

/// Where a setting, or what is in it, was set.
fn origin_of(figment: &Figment, key: &str) -> String {
    let metadata = figment.find_metadata(key);
    metadata.map_or_else(|| "the configuration".to_owned(), |it| it.name.to_string())
}
