//! Rules that a type cannot say: ranges, and settings that must fit each other.

use super::{BackendConfig, BackendKind, Config, Endpoint};
use crate::record::{MOST_ITERATIONS, REFERENCE};

/// A year; beyond it a duration is a mistake.
const LONGEST_TIMEOUT: f64 = 31_536_000.0;
/// Far beyond any machine, and small enough for every counter.
const LARGEST_LIMIT: usize = 1 << 40;

/// An empty one takes a quarter of it; a smaller bound would be a mistake that deletes everything.
pub const SMALLEST_DATABASE: u64 = 1_000_000;

/// A setting's key, and what is wrong with it.
type Problem = (String, String);

impl Config {
    /// The first setting that breaks a rule.
    pub(super) fn problem(&self) -> Option<Problem> {
        self.address_problem()
            .or_else(|| self.backends_problem())
            .or_else(|| self.limits_problem())
            .or_else(|| self.times_problem())
            .or_else(|| self.retention_problem())
            .or_else(|| self.nova_problem())
    }

    fn nova_problem(&self) -> Option<Problem> {
        let nova = &self.nova;
        let turns = u32::try_from(nova.max_turns).unwrap_or(u32::MAX);
        [
            ("num_ctx", nova.num_ctx, 256, 10_000_000),
            ("num_predict", nova.num_predict, 16, 1_000_000),
            ("plan_steps", nova.plan_steps, 1, 16),
            ("iterations", nova.iterations, 1, MOST_ITERATIONS),
            ("max_turns", turns, 1, 100_000),
        ]
        .into_iter()
        .find(|(_, value, least, most)| !(least..=most).contains(&value))
        .map(|(name, value, least, most)| {
            let message = format!("is {value}; must be from {least} to {most}");
            (format!("nova.{name}"), message)
        })
    }

    fn retention_problem(&self) -> Option<Problem> {
        let bytes = self.retention.bytes;
        if bytes == 0 {
            return None;
        }
        if self.database_url.starts_with("postgres") {
            return Some(problem(
                "retention.bytes",
                "is for SQLite: Postgres does not give the room of deleted rows back; bound `retention.runs` or `retention.days`",
            ));
        }
        (bytes < SMALLEST_DATABASE).then(|| {
            let message =
                format!("is {bytes}; must be at least {SMALLEST_DATABASE}, or 0 for no bound");
            ("retention.bytes".into(), message)
        })
    }

    fn address_problem(&self) -> Option<Problem> {
        let token = self.api_token.reveal().unwrap_or_default();
        if self.host.trim().is_empty() {
            return Some(problem(
                "host",
                "must not be empty; 127.0.0.1 is this machine only",
            ));
        }
        let known = ["sqlite:", "postgres:", "postgresql:"];
        if !self.database_url.is_empty()
            && !known.iter().any(|it| self.database_url.starts_with(it))
        {
            return Some(problem(
                "database_url",
                "must begin with `sqlite:`, as in `sqlite:runs.db`, or with `postgres:`",
            ));
        }
        if !(2..=1000).contains(&self.database.max_connections) {
            let message = format!(
                "is {}; must be from 2 to 1000",
                self.database.max_connections
            );
            return Some(("database.max_connections".into(), message));
        }
        if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Some(problem(
                "api_token",
                "must be of visible ASCII characters without spaces",
            ));
        }
        if self.allowed_hosts.iter().any(|host| host.trim().is_empty()) {
            return Some(problem("allowed_hosts", "must not hold an empty name"));
        }
        None
    }

    fn backends_problem(&self) -> Option<Problem> {
        let default = &self.default_backend;
        if default != REFERENCE && !self.backends.contains_key(default) {
            let known = self.backends.keys().map(String::as_str);
            let nearest = known
                .chain([REFERENCE])
                .min_by_key(|name| strsim::damerau_levenshtein(name, default))
                .unwrap_or_default();
            let message = format!("there is no backend `{default}`; the nearest is `{nearest}`");
            return Some(("default_backend".into(), message));
        }
        self.backends.iter().find_map(|(name, backend)| {
            backend_problem(name, backend).map(|(field, message)| {
                let dot = if field.is_empty() { "" } else { "." };
                (format!("backends.{name}{dot}{field}"), message.to_owned())
            })
        })
    }

    fn limits_problem(&self) -> Option<Problem> {
        let limits = &self.limits;
        let requests = usize::try_from(limits.max_requests).unwrap_or(usize::MAX);
        [
            ("max_prompt_bytes", limits.max_prompt_bytes, LARGEST_LIMIT),
            ("max_body_bytes", limits.max_body_bytes, LARGEST_LIMIT),
            ("max_models", limits.max_models, 10_000),
            ("max_requests", requests, 1_000_000_000),
            ("max_queued_runs", limits.max_queued_runs, 1_000_000),
            (
                "max_response_bytes",
                limits.max_response_bytes,
                LARGEST_LIMIT,
            ),
            ("max_line_bytes", limits.max_line_bytes, LARGEST_LIMIT),
            ("max_connections", limits.max_connections, 1_000_000),
            ("max_watchers", limits.max_watchers, 1_000_000),
        ]
        .into_iter()
        .find(|(_, value, most)| !(1..=*most).contains(value))
        .map(|(name, value, most)| {
            (
                format!("limits.{name}"),
                format!("is {value}; must be from 1 to {most}"),
            )
        })
    }

    fn times_problem(&self) -> Option<Problem> {
        let (times, sampling) = (&self.timeouts, &self.sampling);
        let most = times.max.clamp(0.001, LONGEST_TIMEOUT);
        let seconds = [
            ("timeouts.connect", times.connect, 0.001, LONGEST_TIMEOUT),
            (
                "timeouts.first_byte",
                times.first_byte,
                0.001,
                LONGEST_TIMEOUT,
            ),
            ("timeouts.idle", times.idle, 0.001, LONGEST_TIMEOUT),
            ("timeouts.client", times.client, 0.1, 3600.0),
            ("timeouts.max", times.max, 0.001, LONGEST_TIMEOUT),
            ("timeouts.request", times.request, 0.001, most),
            ("timeouts.run", times.run, 0.001, most),
            (
                "database.connect_timeout",
                self.database.connect_timeout,
                0.1,
                3600.0,
            ),
            (
                "database.statement_timeout",
                self.database.statement_timeout,
                0.1,
                86_400.0,
            ),
            ("sampling.interval", sampling.interval, 0.02, 60.0),
            ("sampling.baseline", sampling.baseline, 0.0, 60.0),
        ];
        // NaN is in no range, so it is refused too.
        let wrong = seconds
            .into_iter()
            .find(|(_, value, low, high)| !(low..=high).contains(&value));
        if let Some((key, value, low, high)) = wrong {
            let message = format!("is {value} s; must be from {low} to {high} s");
            return Some((key.to_owned(), message));
        }
        let price = self.energy.price_per_kwh;
        if !(0.0..=1e9).contains(&price) {
            let message = format!("is {price}; must be from 0 to 1000000000");
            return Some(("energy.price_per_kwh".into(), message));
        }
        if !(16..=1_000_000).contains(&sampling.max_samples) {
            let message = format!("is {}; must be from 16 to 1000000", sampling.max_samples);
            return Some(("sampling.max_samples".into(), message));
        }
        None
    }
}

/// The field of a backend that breaks a rule, empty for its name.
fn backend_problem(name: &str, backend: &BackendConfig) -> Option<(&'static str, &'static str)> {
    if name == REFERENCE {
        return Some((
            "",
            "`reference` is the built-in model server; choose another name",
        ));
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if name.is_empty() || !name.bytes().all(plain) {
        return Some(("", "a backend's name is of letters, digits, `-` and `_`"));
    }
    if backend.url.is_empty() {
        return Some((
            "url",
            "is missing; give the address, such as `http://192.0.2.7:11434`",
        ));
    }
    let uri = backend.url.parse::<hyper::Uri>().ok();
    let usable = uri.is_some_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https"))
            && uri.host().is_some_and(|host| !host.is_empty())
            && uri.query().is_none()
    });
    if !usable {
        return Some(("url", "must be an address such as `http://192.0.2.7:11434`"));
    }
    if backend.url.contains('@') {
        return Some((
            "url",
            "must hold no user name and password; a token goes into `api_key`",
        ));
    }
    let key = backend.api_key.reveal().unwrap_or_default();
    if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Some((
            "api_key",
            "must be of visible ASCII characters without spaces",
        ));
    }
    match (backend.kind, backend.endpoint) {
        (BackendKind::Ollama, Endpoint::Completions) => Some((
            "endpoint",
            "`completions` is for kind `openai`; Ollama has `generate` and `chat`",
        )),
        (BackendKind::Openai, Endpoint::Generate) => Some((
            "endpoint",
            "`generate` is for kind `ollama`; OpenAI has `chat` and `completions`",
        )),
        _ => None,
    }
}

fn problem(key: &str, message: &str) -> Problem {
    (key.to_owned(), message.to_owned())
}
