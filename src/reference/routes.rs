//! Which path answers what.

use std::net::IpAddr;
use std::time::Instant;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::{Value, json};

use super::State;
use super::catalogue::{self, Model};
use super::dialect::{Dialect, Route};
use super::embeddings::{self, EmbedRoute};
use super::faults;
use super::generation::{self, Answer};
use super::http::{Reply, Request};
use super::question::{self, DEFAULT_CONTEXT, Fields, Refusal};
use super::residents::Loaded;
use super::tape::{Step, Tape};
use crate::clock::Pair;
use crate::version::VERSION;

/// Nominal size of a model that has no weights, bytes: it keeps shares of it defined.
const SIZE: u64 = 1 << 20;
/// Listed as changed then: models are part of the program and have no file.
const MODIFIED_AT: &str = "2026-01-01T00:00:00Z";
/// What is listed as the end of a model that stays for ever, days: 100 years.
const FOREVER_DAYS: i64 = 36_500;

/// The paths that are read with GET.
const READ: [&str; 6] = [
    "/",
    "/api/version",
    "/api/tags",
    "/api/ps",
    "/v1/models",
    "/reference/requests",
];

/// When a request came.
#[derive(Clone, Copy)]
pub struct Arrival {
    /// By the monotonic clock.
    pub received: Instant,
    /// By the wall clock.
    pub received_at: DateTime<Utc>,
}

/// Answers a request; the number is its place in the journal, if it has one.
pub fn answer(state: &State, request: &Request, arrival: Arrival) -> (Answer, Option<u64>) {
    if state.loopback && is_foreign(request) {
        return (
            Answer::Now(Reply {
                status: 403,
                content_type: "",
                body: Vec::new(),
            }),
            None,
        );
    }
    let path = request.path.as_str();
    let embeds = EmbedRoute::of(path).is_some();
    let writes = path == "/api/show" || embeds || Route::of(path).is_some();
    match request.method.as_str() {
        "GET" | "HEAD" if READ.contains(&path) => (read(state, path, arrival), None),
        "POST" if writes => {
            let (answer, id) = ask(state, request, arrival);
            (answer, Some(id))
        }
        _ if writes || READ.contains(&path) => (
            Answer::Now(Reply::text(405, "405 method not allowed")),
            None,
        ),
        _ => (Answer::Now(Reply::text(404, "404 page not found")), None),
    }
}

/// A host name or an origin that is neither an address nor this machine's own name: a page of
/// another site, or a name that was bent to point here.
fn is_foreign(request: &Request) -> bool {
    let origin = request.origin.as_deref().map(|origin| {
        origin
            .split_once("://")
            .map_or(origin, |(_, authority)| authority)
    });
    let foreign = |authority: &str| {
        let end = authority
            .rfind(':')
            .filter(|colon| !authority[*colon..].contains(']'));
        let host = &authority[..end.unwrap_or(authority.len())];
        let address: Option<IpAddr> = host.trim_matches(['[', ']']).parse().ok();
        address.is_none() && host != "localhost" && !host.ends_with(".localhost")
    };
    [request.host.as_deref(), origin]
        .into_iter()
        .flatten()
        .any(foreign)
}

fn read(state: &State, path: &str, arrival: Arrival) -> Answer {
    let body = match path {
        "/" => {
            let mut reply = Reply::text(200, "Ollama is running");
            reply.content_type = "text/plain; charset=utf-8";
            return Answer::Now(reply);
        }
        "/api/version" => json!({"version": VERSION}),
        "/api/tags" => json!({"models": catalogue::listed().iter().map(tag).collect::<Vec<_>>()}),
        "/api/ps" => {
            let loaded = state.residents.loaded(arrival.received);
            if loaded
                .iter()
                .any(|model| faults::hangs_the_list(&model.name))
            {
                return Answer::Later(Tape::closing([Step::Stall]), None);
            }
            let models: Vec<Value> = loaded
                .iter()
                .map(|model| resident(model, arrival.received_at))
                .collect();
            json!({"models": models})
        }
        "/v1/models" => {
            let models: Vec<Value> = catalogue::listed()
                .iter()
                .map(|model| {
                    json!({"id": model.name, "object": "model", "created": 0, "owned_by": "reference"})
                })
                .collect();
            json!({"object": "list", "data": models})
        }
        _ => {
            let now = Pair::read();
            let requests = state.journal.requests();
            requests
                .iter()
                .map(|request| request.to_json(now))
                .collect()
        }
    };
    Answer::Now(Reply::json(200, &body))
}

fn details() -> Value {
    json!({
        "parent_model": "",
        "format": "script",
        "family": "reference",
        "families": ["reference"],
        "parameter_size": "0",
        "quantization_level": "none",
        "context_length": DEFAULT_CONTEXT,
    })
}

fn tag(model: &Model) -> Value {
    json!({
        "name": model.name,
        "model": model.name,
        "modified_at": MODIFIED_AT,
        "size": SIZE,
        "digest": model.digest(),
        "details": details(),
        "capabilities": model.capabilities(),
    })
}

fn resident(loaded: &Loaded, now: DateTime<Utc>) -> Value {
    let remaining = loaded
        .remaining
        .and_then(|time| TimeDelta::from_std(time).ok())
        .unwrap_or(TimeDelta::days(FOREVER_DAYS));
    let expires_at = now
        .checked_add_signed(remaining)
        .unwrap_or(DateTime::<Utc>::MAX_UTC);
    let mut entry = match catalogue::resolve(&loaded.name) {
        Ok(Some(model)) => tag(&model),
        _ => json!({}),
    };
    if let Some(entry) = entry.as_object_mut() {
        entry.remove("capabilities");
        entry.remove("modified_at");
    }
    entry["size_vram"] = json!(SIZE);
    entry["context_length"] = json!(loaded.context);
    entry["expires_at"] = json!(expires_at.to_rfc3339_opts(SecondsFormat::Nanos, true));
    entry
}

/// The routes that name a model. They are written down.
fn ask(state: &State, request: &Request, arrival: Arrival) -> (Answer, u64) {
    let object = question::object(&request.body);
    let name = object
        .as_ref()
        .ok()
        .and_then(|object| object.get("model")?.as_str());
    let Arrival {
        received,
        received_at,
    } = arrival;
    let (id, earlier) =
        state
            .journal
            .begin(&request.path, name, &request.body, received, received_at);
    if let Some(route) = EmbedRoute::of(&request.path) {
        let answer = object.and_then(|object| embeddings::answer(state, route, &object, received));
        return (
            answer.unwrap_or_else(|refusal| Answer::Now(route.refuse(&refusal))),
            id,
        );
    }
    let Some(route) = Route::of(&request.path) else {
        let reply = object.and_then(|object| {
            show(&Fields {
                object: &object,
                of: "ShowRequest",
            })
        });
        return (
            Answer::Now(reply.unwrap_or_else(|refusal| Route::Generate.refuse(&refusal))),
            id,
        );
    };
    let question = object.and_then(|object| route.question(&object));
    let answer = match question {
        Err(refusal) => Answer::Now(route.refuse(&refusal)),
        Ok(question) => {
            let dialect = Dialect {
                route,
                model: question.model.name.clone(),
                id,
                received_at,
                include_usage: question.include_usage,
            };
            generation::answer(state, dialect, &question, received, earlier)
        }
    };
    (answer, id)
}

fn show(fields: &Fields<'_>) -> Result<Reply, Refusal> {
    let name = fields.text("model")?.unwrap_or_default();
    let model = question::find(name).map_err(|refusal| match refusal.status {
        // Here, and nowhere else, the real server spells the tag out.
        404 if !name.contains(':') => Refusal::not_found(&format!("{name}:latest")),
        _ => refusal,
    })?;
    Ok(Reply::json(
        200,
        &json!({
            "modelfile": format!("FROM {}\n", model.name),
            "parameters": "",
            "template": "{{ .Prompt }}",
            "details": details(),
            "model_info": {
                "general.architecture": "reference",
                "general.basename": model.name,
                "general.parameter_count": 0,
                "reference.context_length": DEFAULT_CONTEXT,
                "reference.script": format!("{:?}", model.behaviour),
            },
            "capabilities": model.capabilities(),
            "modified_at": MODIFIED_AT,
        }),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(host: &str, origin: Option<&str>) -> Request {
        Request {
            method: "GET".into(),
            path: "/".into(),
            host: Some(host.into()),
            origin: origin.map(str::to_owned),
            body: Vec::new(),
            keep_alive: true,
        }
    }

    #[test]
    fn only_this_machines_own_names_are_answered() {
        for host in [
            "127.0.0.1:11434",
            "localhost",
            "localhost:1",
            "[::1]:11434",
            "a.localhost:1",
        ] {
            assert!(!is_foreign(&request(host, None)), "{host}");
        }
        assert!(is_foreign(&request("attacker.example:11434", None)));
        assert!(is_foreign(&request(
            "localhost",
            Some("https://attacker.example")
        )));
        assert!(!is_foreign(&request(
            "localhost",
            Some("http://localhost:8000")
        )));
    }
}
