//! CSV (RFC 4180): one row a request. It holds the figures, not everything: a record made of rows again
//! has no chunks and no samples.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::Parts;

/// A column: its name with the unit, where its value stands in the document of a run, and what it is.
struct Column {
    name: &'static str,
    /// JSON pointer into the result; with `..` before it, into the run.
    at: &'static str,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Number,
    Truth,
    /// Texts with line breaks between.
    List,
}

const fn text(name: &'static str, at: &'static str) -> Column {
    Column {
        name,
        at,
        kind: Kind::Text,
    }
}

const fn number(name: &'static str, at: &'static str) -> Column {
    Column {
        name,
        at,
        kind: Kind::Number,
    }
}

const fn truth(name: &'static str, at: &'static str) -> Column {
    Column {
        name,
        at,
        kind: Kind::Truth,
    }
}

const fn list(name: &'static str, at: &'static str) -> Column {
    Column {
        name,
        at,
        kind: Kind::List,
    }
}

/// All columns. New ones come last: others read them by place.
const COLUMNS: &[Column] = &[
    text("run_id", "../id"),
    text("run_timestamp_utc", "../timestamp"),
    text("run_status", "../status"),
    text("run_name", "../request/name"),
    list("run_tags", "../request/tags"),
    text("worker", "../worker"),
    text("benchmarker_version", "../environment/benchmarker_version"),
    text("platform", "../system_info/platform"),
    text("processor", "../system_info/processor"),
    text("model", "/model"),
    text("backend", "/backend"),
    text("digest", "/digest"),
    number("repetition", "/repetition"),
    truth("warmup", "/warmup"),
    truth("contended", "/contended"),
    truth("success", "/success"),
    text("error_code", "/error/code"),
    text("error_message", "/error/message"),
    text("timestamp_utc", "/timestamp"),
    number("time_to_first_chunk_s", "/timing/time_to_first_chunk"),
    number("time_to_first_output_s", "/timing/time_to_first_output"),
    number("time_to_second_chunk_s", "/timing/time_to_second_chunk"),
    number("thinking_time_s", "/timing/thinking_time"),
    number("total_time_s", "/timing/total_time"),
    number("request_latency_s", "/timing/request_latency"),
    number("longest_gap_s", "/timing/longest_gap"),
    number("time_per_output_token_s", "/timing/time_per_output_token"),
    number("connect_time_s", "/timing/connect_time"),
    number("send_offset_s", "/timing/send_offset"),
    number("schedule_delay_s", "/timing/schedule_delay"),
    number("load_time_s", "/timing/load_time"),
    number("server_total_duration_s", "/timing/server/total_duration"),
    number("server_load_duration_s", "/timing/server/load_duration"),
    number(
        "server_prompt_eval_duration_s",
        "/timing/server/prompt_eval_duration",
    ),
    number("server_eval_duration_s", "/timing/server/eval_duration"),
    number("total_chunks", "/throughput/total_chunks"),
    number("total_bytes", "/throughput/total_bytes"),
    number("average_chunk_size_bytes", "/throughput/average_chunk_size"),
    number("bytes_per_second", "/throughput/bytes_per_second"),
    number("thinking_percent", "/throughput/thinking_percent"),
    number("prompt_tokens", "/throughput/prompt_tokens"),
    number("cached_prompt_tokens", "/throughput/cached_prompt_tokens"),
    number("output_tokens", "/throughput/output_tokens"),
    number(
        "output_tokens_per_second",
        "/throughput/output_tokens_per_second",
    ),
    number(
        "server_output_tokens_per_second",
        "/throughput/server_output_tokens_per_second",
    ),
    number(
        "client_prompt_tokens_per_second",
        "/throughput/client_prompt_tokens_per_second",
    ),
    number(
        "prompt_tokens_per_second",
        "/throughput/prompt_tokens_per_second",
    ),
    number(
        "memory_delta_percentage_points",
        "/system_impact/memory_delta",
    ),
    number("cpu_mean_percent", "/system_impact/cpu_mean_percent"),
    number("cpu_peak_percent", "/system_impact/cpu_peak_percent"),
    number("memory_peak_bytes", "/system_impact/memory_peak_bytes"),
    number("swap_delta_bytes", "/system_impact/swap_delta_bytes"),
    number(
        "server_cpu_mean_percent",
        "/system_impact/server_cpu_mean_percent",
    ),
    number(
        "server_memory_peak_bytes",
        "/system_impact/server_memory_peak_bytes",
    ),
    number("gpu_mean_percent", "/system_impact/gpu_mean_percent"),
    number(
        "gpu_memory_peak_bytes",
        "/system_impact/gpu_memory_peak_bytes",
    ),
    text("done_reason", "/done_reason"),
    text("response_sha256", "/response_sha256"),
    text("prompt", "/prompt"),
    text("response", "/response"),
    text("thinking", "/thinking"),
    number("session_turn", "/step/turn"),
    number("session_step", "/step/step"),
    text("agent_name", "/step/agent_name"),
    text("agent_role", "/step/role"),
    text("agent_stage", "/step/stage"),
    number("agent_iteration", "/step/iteration"),
    number("stage", "/stage/number"),
    number("stage_requests_per_second", "/stage/requests_per_second"),
    truth("cold_start", "/cold_start"),
    number("in_flight_time_s", "/timing/in_flight_time"),
    text("clock", "/timing/clock"),
];

/// The first row.
pub fn header() -> Vec<u8> {
    let mut out = Vec::new();
    // Into memory, which takes everything.
    let _ = writer(&mut out).write_record(COLUMNS.iter().map(|column| column.name));
    out
}

/// What rows say of a run; the rest of its document, which is most of it, is skipped.
#[derive(Default, Deserialize)]
#[serde(default)]
struct RunCells {
    id: Value,
    timestamp: Value,
    status: Value,
    request: Value,
    worker: Value,
    environment: Value,
    system_info: Value,
}

impl RunCells {
    fn pointer(&self, at: &str) -> Option<&Value> {
        let path = at.strip_prefix('/')?;
        let end = path.find('/').unwrap_or(path.len());
        let (name, rest) = path.split_at_checked(end)?;
        let member = match name {
            "id" => &self.id,
            "timestamp" => &self.timestamp,
            "status" => &self.status,
            "request" => &self.request,
            "worker" => &self.worker,
            "environment" => &self.environment,
            "system_info" => &self.system_info,
            _ => return None,
        };
        member.pointer(rest)
    }
}

/// A run's rows.
pub fn write_rows(out: &mut Vec<u8>, parts: &Parts<'_>) -> serde_json::Result<()> {
    let run: RunCells = serde_json::from_slice(&parts.document)?;
    let results = parts.results.iter();
    let results: Vec<Value> = results
        .map(|result| serde_json::from_slice(&result.document))
        .collect::<Result<_, _>>()?;
    let mut rows = writer(out);
    for result in &results {
        for column in COLUMNS {
            let value = match column.at.strip_prefix("..") {
                Some(at) => run.pointer(at),
                None => result.pointer(column.at),
            };
            // Into memory, which takes everything.
            let _ = rows.write_field(cell(value).as_bytes());
        }
        let _ = rows.write_record(None::<&[u8]>);
    }
    Ok(())
}

fn writer(out: &mut Vec<u8>) -> csv::Writer<&mut Vec<u8>> {
    csv::WriterBuilder::new()
        .terminator(csv::Terminator::CRLF)
        .from_writer(out)
}

fn cell(value: Option<&Value>) -> Cow<'_, str> {
    match value {
        None | Some(Value::Null) => Cow::Borrowed(""),
        Some(Value::String(text)) => Cow::Borrowed(text),
        Some(Value::Array(items)) => {
            let texts: Vec<&str> = items.iter().filter_map(Value::as_str).collect();
            Cow::Owned(texts.join("\n"))
        }
        Some(other) => Cow::Owned(other.to_string()),
    }
}

/// Makes documents of rows: those of one run follow each other.
#[derive(Default)]
pub struct Gatherer {
    /// Of each column of the file, which of ours it is.
    columns: Option<Vec<Option<&'static Column>>>,
    /// The file is none of ours; that was told.
    is_foreign: bool,
    open: Option<(u64, Map<String, Value>)>,
}

impl Gatherer {
    /// Takes a row; gives the run before, where this one begins another.
    pub fn row(&mut self, line: u64, text: &[u8]) -> Result<Option<(u64, Value)>, String> {
        if self.is_foreign {
            return Ok(None);
        }
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .from_reader(text);
        let row = match reader.records().next() {
            Some(Ok(row)) => row,
            Some(Err(error)) => return Err(format!("the row cannot be read: {error}")),
            None => return Ok(None),
        };
        let Some(columns) = &self.columns else {
            let named = row
                .iter()
                .map(|name| COLUMNS.iter().find(|it| it.name == name.trim()));
            let columns: Vec<Option<&Column>> = named.collect();
            let has = |name| columns.iter().flatten().any(|it| it.name == name);
            if !has("run_id") || !has("model") {
                self.is_foreign = true;
                return Err("this is neither JSON nor a CSV of ours: its first row names no column `run_id` and `model`".into());
            }
            self.columns = Some(columns);
            return Ok(None);
        };
        if row.len() != columns.len() {
            return Err(format!(
                "the row has {} cells and the first one {}",
                row.len(),
                columns.len()
            ));
        }
        let (mut run, mut result) = (json!({}), json!({}));
        for (column, cell) in columns.iter().zip(&row) {
            let Some(column) = column else { continue };
            if cell.is_empty() {
                continue;
            }
            let value =
                parse(cell, column.kind).ok_or_else(|| format!("`{}` is `{cell}`", column.name))?;
            let (target, at) = match column.at.strip_prefix("..") {
                Some(at) => (&mut run, at),
                None => (&mut result, column.at),
            };
            put(target, at, value);
        }
        let Value::Object(mut run) = run else {
            return Ok(None);
        };
        let is_same = self
            .open
            .as_ref()
            .is_some_and(|(_, open)| open.get("id") == run.get("id"));
        if is_same {
            if let Some((_, open)) = &mut self.open
                && let Some(Value::Array(results)) = open.get_mut("results")
            {
                results.push(result);
            }
            return Ok(None);
        }
        let before = self.last();
        run.insert("results".into(), json!([result]));
        self.open = Some((line, run));
        Ok(before)
    }

    /// The run that is still open.
    pub fn last(&mut self) -> Option<(u64, Value)> {
        let (line, mut run) = self.open.take()?;
        ask(&mut run);
        Some((line, Value::Object(run)))
    }
}

/// What was asked is known in part; the rest follows from the results.
fn ask(run: &mut Map<String, Value>) {
    let Some(Value::Array(results)) = run.get("results") else {
        return;
    };
    let (mut models, mut prompts) = (Vec::new(), Vec::new());
    for result in results {
        let of = |name: &str| {
            result
                .get(name)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        let model = json!({"model": of("model"), "backend": of("backend")});
        if !models.contains(&model) {
            models.push(model);
        }
        if !prompts.contains(&of("prompt")) {
            prompts.push(of("prompt"));
        }
    }
    let names = models.iter().map(|it| {
        let of = |name: &str| it.get(name).and_then(Value::as_str).unwrap_or_default();
        format!("{}@{}", of("model"), of("backend"))
    });
    let names: Vec<String> = names.collect();
    let run = run.entry("request").or_insert_with(|| json!({}));
    put(run, "/models", json!(names));
    put(run, "/prompts", json!(prompts));
}

/// `None` where the cell does not hold what it should.
fn parse(cell: &str, kind: Kind) -> Option<Value> {
    match kind {
        Kind::Text => Some(json!(cell)),
        Kind::List => Some(json!(cell.lines().collect::<Vec<_>>())),
        Kind::Truth => Some(json!(cell.parse::<bool>().ok()?)),
        Kind::Number => Some(
            serde_json::from_str::<serde_json::Number>(cell)
                .ok()?
                .into(),
        ),
    }
}

/// Sets a value, with the objects on the way to it.
fn put(target: &mut Value, at: &str, value: Value) {
    let mut place = target;
    for name in at.split('/').skip(1) {
        if !place.is_object() {
            *place = json!({});
        }
        let Value::Object(members) = place else {
            return;
        };
        place = members.entry(name).or_insert(Value::Null);
    }
    *place = value;
}
