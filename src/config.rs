//! Every setting: type, default, meaning. Sources: defaults < file < environment < flags.
//!
//! Here is what can be set; [`load`] merges the sources, [`check`] has the rules. Nothing here
//! reads the process environment by itself: the caller hands it in.

mod check;
mod environment;
mod keys;
mod load;
mod ollama_host;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::record::Limits;

pub use check::SMALLEST_DATABASE;
pub use load::{ConfigError, LogOverrides, Overrides};

/// Every setting of the program.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Address to listen on.
    pub host: String,
    /// Port to listen on; 0 takes a free one. `PORT` sets it too.
    pub port: u16,
    /// Where runs are stored: `sqlite:FILE`, or `postgres://USER:PASSWORD@HOST/DATABASE`; empty is `benchmarker.db` in the platform's data folder. `DATABASE_URL` sets it too.
    pub database_url: String,
    /// Asking a database on a server.
    pub database: DatabaseConfig,
    /// Name of the backend that a model without `@BACKEND` belongs to.
    pub default_backend: String,
    /// Model servers by name. `ollama` (from `OLLAMA_HOST`) and `reference` are always there.
    pub backends: BTreeMap<String, BackendConfig>,
    /// Token that every API call and page must carry (`Authorization: Bearer …`); empty asks for none.
    pub api_token: Secret,
    /// Host names, besides loopback ones and `host`, that requests may be addressed to.
    pub allowed_hosts: Vec<String>,
    /// Bounds.
    pub limits: LimitsConfig,
    /// Times to give up after.
    pub timeouts: TimeoutsConfig,
    /// Looking at the machine.
    pub sampling: SamplingConfig,
    /// What energy costs.
    pub energy: EnergyConfig,
    /// The agents.
    pub nova: NovaConfig,
    /// Finding out how well this machine can measure.
    pub calibration: CalibrationConfig,
    /// How much of the history a server keeps.
    pub retention: RetentionConfig,
    /// Figures for monitoring.
    pub metrics: MetricsConfig,
    /// What is logged, and how.
    pub log: LogConfig,
}

/// A model server.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BackendConfig {
    /// `ollama` or `openai`.
    pub kind: BackendKind,
    /// Where it listens, such as `http://192.0.2.7:11434`.
    pub url: String,
    /// Token to send to it.
    pub api_key: Secret,
    /// Route that is timed: `generate`/`chat` for Ollama, `chat`/`completions` for OpenAI-compatible ones; empty is the kind's own default.
    pub endpoint: Endpoint,
    /// Its process on this machine, by number or by its program's name; empty finds whoever listens at `url`.
    pub process: String,
    /// Where `ollama-benchmarker agent` listens on its machine, such as `http://192.0.2.7:8001`; empty is no agent.
    pub agent_url: String,
    /// Token of that agent.
    pub agent_token: Secret,
    /// Calls of agents that it works on at once; more wait here. 0 is one at a time, as servers are set where nobody sets them.
    pub parallel: usize,
}

/// Which protocol a model server speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BackendKind {
    /// Ollama's own protocol.
    #[default]
    Ollama,
    /// OpenAI's protocol, as llama.cpp's server, vLLM, LM Studio and Ollama's `/v1` speak it.
    Openai,
}

/// Which route of a model server is timed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Endpoint {
    /// The kind's own default: `generate` for Ollama, `chat` for OpenAI.
    #[default]
    Default,
    /// Ollama's `/api/generate`.
    Generate,
    /// Chat messages.
    Chat,
    /// OpenAI's `/v1/completions`.
    Completions,
}

/// Asking a database on a server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DatabaseConfig {
    /// Most connections to it at once, at least 2.
    pub max_connections: u32,
    /// How long a connection is waited for, s.
    pub connect_timeout: f64,
    /// How long a statement may take, s.
    pub statement_timeout: f64,
}

/// Bounds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsConfig {
    /// Longest prompt, bytes of UTF-8.
    pub max_prompt_bytes: usize,
    /// Largest request body, bytes.
    pub max_body_bytes: usize,
    /// Most models in a run.
    pub max_models: usize,
    /// Most requests in a run, warm-up included.
    pub max_requests: u64,
    /// Most runs that wait or go on at once.
    pub max_queued_runs: usize,
    /// Most bytes of text in one answer.
    pub max_response_bytes: usize,
    /// Longest line of a stream, bytes.
    pub max_line_bytes: usize,
    /// Most connections at once.
    pub max_connections: usize,
    /// Most clients that follow events at once.
    pub max_watchers: usize,
}

/// Times to give up after, s.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TimeoutsConfig {
    /// Connecting to a model server.
    pub connect: f64,
    /// From send to the first byte: queue, load and prompt are in it.
    pub first_byte: f64,
    /// Between two bytes of a stream.
    pub idle: f64,
    /// One request, where the request names no timeout.
    pub request: f64,
    /// One run, where the request names no timeout.
    pub run: f64,
    /// Longest timeout that a request may name.
    pub max: f64,
    /// A client of this server: until its request is whole, and until it takes what it is sent.
    pub client: f64,
}

/// Looking at the machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SamplingConfig {
    /// Time between two samples, s, at least 0.02.
    pub interval: f64,
    /// Samples before the first request, s.
    pub baseline: f64,
    /// Most samples a run keeps; beyond it the interval doubles.
    pub max_samples: usize,
    /// NVIDIA's management library (NVML), where it is not in one of the usual places.
    pub nvml_library: String,
}

/// What energy costs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EnergyConfig {
    /// Price of a kilowatt-hour; 0 is not known, and then no cost is told.
    pub price_per_kwh: f64,
    /// What that price is in, such as `EUR`.
    pub currency: String,
}

/// The agents.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NovaConfig {
    /// Model of turns for which nothing names one, `NAME` or `NAME@BACKEND`; empty is the first of the default backend that writes text.
    pub model: String,
    /// Model for embeddings, `NAME` or `NAME@BACKEND`; empty is the first on the backend of the turn's model that can make them.
    pub embedding_model: String,
    /// Folder with prompts of your own for the agents; a file there takes the place of the built-in one of its name.
    pub prompts: String,
    /// Size of the context of a call, tokens, where the parameters name none.
    pub num_ctx: u32,
    /// Most tokens that a call writes, where the parameters name no number.
    pub num_predict: u32,
    /// Most steps of a plan.
    pub plan_steps: u32,
    /// Most rounds of experts, where the request names no number.
    pub iterations: u32,
    /// Most turns at once.
    pub max_turns: usize,
}

/// Finding out how well this machine can measure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CalibrationConfig {
    /// Do it unasked, once for each machine and version: when nothing else goes on, or before the first run of the terminal.
    pub automatic: bool,
}

/// How much of the history a server keeps: what lies beyond any bound is deleted, oldest runs first. Without
/// a bound nothing is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetentionConfig {
    /// Most runs; 0 is no bound.
    pub runs: u64,
    /// Days since a run was asked for; 0 is no bound.
    pub days: u32,
    /// Most bytes of the database, of SQLite only; 0 is no bound.
    pub bytes: u64,
    /// Folder in which runs are written down before they are deleted, in a file a month; empty deletes them without.
    pub archive: String,
}

/// Figures for monitoring.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MetricsConfig {
    /// `/metrics` is told to everyone who reaches the server, also where an API token is set.
    pub open: bool,
}

/// What is logged, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// Filter as in `RUST_LOG`, which sets it too; empty is `info` for servers, `warn` for other commands.
    pub filter: String,
    /// `pretty` or `json`.
    pub format: LogFormat,
    /// Colours in pretty lines: `auto` where standard error is a terminal, `always` or `never`, which `NO_COLOR` sets too.
    pub color: LogColor,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    #[default]
    Pretty,
    /// For programs, one object a line.
    Json,
}

/// Whether log lines have colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogColor {
    /// Where they are read on a terminal.
    #[default]
    Auto,
    /// Everywhere.
    Always,
    /// Nowhere.
    Never,
}

/// A text that shows as stars.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// The text itself; `None` where it is empty.
    pub fn reveal(&self) -> Option<&str> {
        Some(self.0.as_str()).filter(|text| !text.is_empty())
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(if self.0.is_empty() { "unset" } else { "***" })
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            host: "127.0.0.1".into(),
            port: 8000,
            database_url: String::new(),
            database: DatabaseConfig::default(),
            default_backend: "ollama".into(),
            backends: BTreeMap::new(),
            api_token: Secret::default(),
            allowed_hosts: Vec::new(),
            limits: LimitsConfig::default(),
            timeouts: TimeoutsConfig::default(),
            sampling: SamplingConfig::default(),
            energy: EnergyConfig::default(),
            nova: NovaConfig::default(),
            calibration: CalibrationConfig::default(),
            retention: RetentionConfig::default(),
            metrics: MetricsConfig::default(),
            log: LogConfig::default(),
        }
    }
}

impl Default for DatabaseConfig {
    fn default() -> Self {
        Self {
            max_connections: 8,
            connect_timeout: 5.0,
            statement_timeout: 60.0,
        }
    }
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            max_prompt_bytes: 1_000_000,
            max_body_bytes: 4_000_000,
            max_models: 32,
            max_requests: 10_000,
            max_queued_runs: 64,
            max_response_bytes: 16 << 20,
            max_line_bytes: 16 << 20,
            max_connections: 4096,
            max_watchers: 2048,
        }
    }
}

impl Default for TimeoutsConfig {
    fn default() -> Self {
        Self {
            connect: 5.0,
            first_byte: 600.0,
            idle: 120.0,
            request: 600.0,
            run: 14_400.0,
            max: 86_400.0,
            client: 30.0,
        }
    }
}

impl Default for SamplingConfig {
    fn default() -> Self {
        Self {
            interval: 0.25,
            baseline: 0.5,
            max_samples: 2048,
            nvml_library: String::new(),
        }
    }
}

impl Default for EnergyConfig {
    fn default() -> Self {
        Self {
            price_per_kwh: 0.0,
            currency: "EUR".into(),
        }
    }
}

impl Default for NovaConfig {
    fn default() -> Self {
        Self {
            model: String::new(),
            embedding_model: String::new(),
            prompts: String::new(),
            num_ctx: 4096,
            num_predict: 1024,
            plan_steps: 4,
            iterations: 3,
            max_turns: 256,
        }
    }
}

impl Default for CalibrationConfig {
    fn default() -> Self {
        Self { automatic: true }
    }
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            filter: String::new(),
            format: LogFormat::Pretty,
            color: LogColor::Auto,
        }
    }
}

impl Config {
    /// The bounds that a request must keep.
    pub fn request_limits(&self) -> Limits {
        Limits {
            max_prompt_bytes: self.limits.max_prompt_bytes,
            max_models: self.limits.max_models,
            max_requests: self.limits.max_requests,
            max_timeout: Duration::from_secs_f64(self.timeouts.max),
        }
    }

    /// Where runs are stored: as set, else `benchmarker.db` in the platform's data folder, else
    /// (for an account without a home) in the working folder.
    pub fn database_url(&self) -> String {
        if !self.database_url.is_empty() {
            return self.database_url.clone();
        }
        let folders = directories::ProjectDirs::from("", "", "ollama-benchmarker");
        let folder = folders.map_or_else(PathBuf::new, |it| it.data_dir().to_path_buf());
        format!("sqlite:{}", folder.join("benchmarker.db").display())
    }

    /// NVIDIA's management library, where that is named.
    pub fn nvml_library(&self) -> Option<PathBuf> {
        let path = self.sampling.nvml_library.trim();
        (!path.is_empty()).then(|| PathBuf::from(path))
    }

    /// Path of the configuration file that is read where none is named.
    pub fn default_file() -> PathBuf {
        PathBuf::from("benchmarker.toml")
    }
}

#[cfg(test)]
mod tests;
