//! From a document that came in to a record: of any version of this program, of the one before it, in
//! plain or Extended JSON.

use std::collections::BTreeSet;

use chrono::{DateTime, NaiveDateTime};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::{Extra, FOREIGN_NAMES, extended, is_time};
use crate::record::{BenchmarkResponse, Chunks, RunId, Status};

/// A document of a later version may ask for so many things that this one does not know.
const MOST_UNKNOWN: usize = 100;

/// A record that came in.
#[derive(Debug)]
pub struct Incoming {
    /// What is known of it.
    pub run: BenchmarkResponse,
    /// What is not.
    pub extra: Extra,
    /// It has results, and nothing that sums them up.
    pub lacks_summary: bool,
}

/// Reads a document. Models without a backend are taken for those of `backend`.
pub fn read(text: &[u8], backend: &str) -> Result<Incoming, String> {
    let document =
        serde_json::from_slice(text).map_err(|error| format!("malformed JSON: {error}"))?;
    read_value(&document, backend)
}

/// The same, of a document that has been read as JSON.
pub fn read_value(document: &Value, backend: &str) -> Result<Incoming, String> {
    let Value::Object(mut plain) = extended::plain(document.clone()) else {
        return Err("this is no document: one is an object".into());
    };
    if !plain.contains_key("results") {
        return Err("`results` is missing: this is no benchmark".into());
    }
    for (name, value) in &mut plain {
        make_times_whole(name, value);
    }
    make_format_an_object(&mut plain);
    let own_id = identify(&mut plain)?;
    complete(&mut plain, backend)?;
    let mut run = record(Value::Object(plain))?;
    check_chunks(&run)?;
    let lacks_summary = run.summary.is_empty() && !run.results.is_empty();
    if !run.status.is_final() {
        run.status = Status::Interrupted;
        run.status_reason = Some("the run was not over when it was exported".into());
        run.queue_position = None;
    }
    let known = serde_json::to_value(&run).map_err(|error| error.to_string())?;
    let mut extra = Extra::of(document, &known);
    if let Some(id) = own_id {
        extra.add("", "imported_id", id);
    }
    Ok(Incoming {
        run,
        extra,
        lacks_summary,
    })
}

/// Arrivals and sizes are kept in pairs.
fn check_chunks(run: &BenchmarkResponse) -> Result<(), String> {
    for (index, result) in run.results.iter().enumerate() {
        if let Some(Chunks { offsets, sizes }) = &result.chunks
            && offsets.len() != sizes.len()
        {
            return Err(format!(
                "`results[{index}].chunks` has {} offsets and {} sizes; a chunk has one of each",
                offsets.len(),
                sizes.len()
            ));
        }
    }
    Ok(())
}

/// Older documents say times without a zone: they are UTC.
fn make_times_whole(name: &str, value: &mut Value) {
    match value {
        Value::Object(members) if !FOREIGN_NAMES.contains(&name) => {
            for (name, inner) in members {
                make_times_whole(name, inner);
            }
        }
        Value::Array(items) => {
            for item in items {
                make_times_whole(name, item);
            }
        }
        Value::String(text) if is_time(name) => {
            let spelled = text.replacen(' ', "T", 1);
            let naive = NaiveDateTime::parse_from_str(&spelled, "%Y-%m-%dT%H:%M:%S%.f");
            if naive.is_ok() {
                *text = format!("{spelled}Z");
            }
        }
        _ => {}
    }
}

/// A schema is exported as text: see the writer.
fn make_format_an_object(document: &mut Map<String, Value>) {
    let format = document
        .get_mut("request")
        .and_then(|it| it.get_mut("format"));
    if let Some(format) = format
        && let Some(text) = format.as_str()
        && text.starts_with('{')
        && let Ok(schema) = serde_json::from_str::<Value>(text)
    {
        *format = schema;
    }
}

/// Sees to it that the document has an id of ours, and gives what it was called elsewhere.
fn identify(document: &mut Map<String, Value>) -> Result<Option<Value>, String> {
    let named = document.remove("_id");
    let id = match (&named, document.get("id")) {
        (Some(id), _) | (None, Some(id)) => id.as_str().and_then(|it| it.parse::<RunId>().ok()),
        (None, None) => None,
    };
    if let Some(id) = id {
        document.insert("id".into(), json!(id.as_str()));
        return Ok(None);
    }
    if let (None, Some(id)) = (&named, document.get("id")) {
        return Err(format!("`id` is {id}: an id is 24 hexadecimal digits"));
    }
    // The same document gets the same id each time.
    let mut hash = Sha256::new();
    digest(&Value::Object(document.clone()), &mut hash);
    if let Some(named) = &named {
        digest(named, &mut hash);
    }
    let time = document.get("timestamp").and_then(Value::as_str);
    let time = time.and_then(|text| DateTime::parse_from_rfc3339(text).ok());
    let seconds = time
        .and_then(|time| u32::try_from(time.timestamp()).ok())
        .unwrap_or_default();
    let hash = hex::encode(hash.finalize());
    let id = format!("{seconds:08x}{}", hash.get(..16).unwrap_or_default());
    document.insert("id".into(), json!(id));
    Ok(named)
}

/// Of a value, whatever the order of its members.
fn digest(value: &Value, hash: &mut Sha256) {
    match value {
        Value::Object(members) => {
            let names: BTreeSet<&String> = members.keys().collect();
            hash.update(b"{");
            for name in names {
                hash.update(Value::from(name.as_str()).to_string());
                hash.update(b":");
                if let Some(inner) = members.get(name) {
                    digest(inner, hash);
                }
                hash.update(b",");
            }
            hash.update(b"}");
        }
        Value::Array(items) => {
            hash.update(b"[");
            for item in items {
                digest(item, hash);
                hash.update(b",");
            }
            hash.update(b"]");
        }
        other => hash.update(other.to_string()),
    }
}

/// Gives a document what older ones lack.
fn complete(document: &mut Map<String, Value>, backend: &str) -> Result<(), String> {
    let Some(time) = document.get("timestamp").cloned() else {
        return Err("`timestamp` is missing".into());
    };
    let cold_start = document
        .get("request")
        .and_then(|it| it.get("cold_start"))
        .is_some_and(|it| *it == json!(true));
    let Some(Value::Array(results)) = document.get_mut("results") else {
        return Err("`results` is no array".into());
    };
    let mut told = Told::default();
    for (index, result) in results.iter_mut().enumerate() {
        let Value::Object(result) = result else {
            return Err(format!("`results[{index}]` is no object"));
        };
        let Some(model) = text(result, "model") else {
            return Err(format!("`results[{index}].model` is missing"));
        };
        let backend = text(result, "backend").unwrap_or_else(|| backend.to_owned());
        let before = told.results_of(&model, &backend);
        complete_result(result, &backend, &time, before, cold_start);
        told.add(model, backend, result);
    }
    let defaults = [
        ("status", json!(told.status())),
        ("total_requests", json!(told.results)),
        ("request", told.request()),
        ("system_info", json!({})),
        ("summary", json!([])),
        ("environment", json!({})),
        ("validity", json!({})),
    ];
    fill(document, defaults);
    if let Some(Value::Object(environment)) = document.get_mut("environment") {
        fill(environment, [("models", told.environments())]);
    }
    Ok(())
}

/// Gives a result what older ones lack; `before` of the same model came before it.
fn complete_result(
    result: &mut Map<String, Value>,
    backend: &str,
    time: &Value,
    before: usize,
    cold_start: bool,
) {
    let response = text(result, "response").unwrap_or_default();
    let hash = hex::encode(Sha256::digest(response.as_bytes()));
    let defaults = [
        ("backend", json!(backend)),
        ("repetition", json!(before + 1)),
        ("warmup", json!(false)),
        ("contended", json!(false)),
        ("cold_start", json!(cold_start)),
        ("success", json!(false)),
        ("timestamp", time.clone()),
        ("prompt", json!("")),
        ("response", json!("")),
        ("response_sha256", json!(hash)),
        ("timing", json!({})),
        ("throughput", json!({})),
        ("system_impact", json!({})),
        ("notes", json!([])),
    ];
    fill(result, defaults);
}

/// What the results tell of a run that does not tell it itself.
#[derive(Default)]
struct Told {
    results: usize,
    /// Each model with its backend, and how many results it has.
    models: Vec<((String, String), usize)>,
    prompts: Vec<String>,
    succeeded: usize,
}

impl Told {
    fn add(&mut self, model: String, backend: String, result: &Map<String, Value>) {
        let prompt = text(result, "prompt").unwrap_or_default();
        let model = (model, backend);
        match self.models.iter_mut().find(|(it, _)| *it == model) {
            Some((_, results)) => *results += 1,
            None => self.models.push((model, 1)),
        }
        // A request with a blank prompt is none that this program would take.
        if !prompt.trim().is_empty() && !self.prompts.contains(&prompt) {
            self.prompts.push(prompt);
        }
        self.results += 1;
        self.succeeded += usize::from(result.get("success") == Some(&Value::Bool(true)));
    }

    fn results_of(&self, model: &str, backend: &str) -> usize {
        let known = self.models.iter();
        known
            .filter(|((name, its), _)| name == model && its == backend)
            .map(|(_, results)| results)
            .sum()
    }

    fn status(&self) -> Status {
        match self.succeeded {
            0 => Status::Failed,
            all if all == self.results => Status::Completed,
            _ => Status::Partial,
        }
    }

    fn request(&self) -> Value {
        let names = self
            .models
            .iter()
            .filter(|((model, _), _)| !model.is_empty());
        let names: Vec<String> = names
            .map(|((model, backend), _)| format!("{model}@{backend}"))
            .collect();
        let sets = self.models.len() * self.prompts.len().max(1);
        let repetitions = self.results.checked_div(sets).unwrap_or_default();
        let repetitions = repetitions.clamp(1, 1000);
        match self.prompts.as_slice() {
            [] => json!({"models": names, "repetitions": repetitions}),
            [prompt] => json!({"prompt": prompt, "models": names, "repetitions": repetitions}),
            prompts => json!({"prompts": prompts, "models": names, "repetitions": repetitions}),
        }
    }

    fn environments(&self) -> Value {
        let models = self.models.iter();
        models
            .map(|((model, backend), _)| json!({"model": model, "backend": backend}))
            .collect()
    }
}

fn text(object: &Map<String, Value>, name: &str) -> Option<String> {
    object.get(name).and_then(Value::as_str).map(str::to_owned)
}

/// Sets what is not there or null.
fn fill<const N: usize>(object: &mut Map<String, Value>, defaults: [(&str, Value); N]) {
    for (name, value) in defaults {
        if object.get(name).is_none_or(Value::is_null) {
            object.insert(name.to_owned(), value);
        }
    }
}

/// Reads a record, without the fields that the strict parts of it refuse.
fn record(mut document: Value) -> Result<BenchmarkResponse, String> {
    let mut unknown = 0;
    loop {
        let mut track = serde_path_to_error::Track::new();
        let tracked = serde_path_to_error::Deserializer::new(&document, &mut track);
        let error = match BenchmarkResponse::deserialize(tracked) {
            Ok(run) => return Ok(run),
            Err(error) => error.to_string(),
        };
        let path = track.path();
        let name = error
            .strip_prefix("unknown field `")
            .and_then(|rest| rest.split('`').next());
        let removed = name.is_some_and(|name| remove(&mut document, &path, name));
        if !removed || unknown == MOST_UNKNOWN {
            return Err(format!("`{path}`: {error}"));
        }
        unknown += 1;
    }
}

/// Removes a field of the innermost object on a path.
fn remove(document: &mut Value, path: &serde_path_to_error::Path, name: &str) -> bool {
    use serde_path_to_error::Segment;
    let mut at = document;
    for segment in path {
        let is_last =
            matches!(segment, Segment::Map { key } if key == name) && at.get(name).is_some();
        let next = match segment {
            _ if is_last => break,
            Segment::Seq { index } => at.get_mut(index),
            Segment::Map { key } => at.get_mut(key.as_str()),
            Segment::Enum { .. } | Segment::Unknown => return false,
        };
        match next {
            Some(next) => at = next,
            None => return false,
        }
    }
    at.as_object_mut()
        .is_some_and(|members| members.remove(name).is_some())
}
