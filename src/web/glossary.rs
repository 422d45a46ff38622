//! What each figure is called and what it means. The meanings are the API's own descriptions, read from its
//! specification: there is one text for both.

use std::collections::HashMap;
use std::sync::LazyLock;

use poem::{Response, handler};
use serde::Serialize;
use serde_json::{Value, json};

use super::page;
use crate::api::{self, Problem};

/// A figure: its name in addresses and templates, what people call it, and the type of the API whose field of
/// some name describes it.
type Entry = (&'static str, &'static str, &'static str, &'static str);

/// The figures that pages show, in groups.
const GROUPS: [(&str, &[Entry]); 6] = [
    (
        "Of a request",
        &[
            field("time_to_first_chunk", "First chunk", "Timing"),
            field("time_to_first_output", "First answer text", "Timing"),
            field("time_to_second_chunk", "Second chunk", "Timing"),
            field("waterfall", "Until the first chunk", "Timing"),
            field(
                "inter_chunk_latency",
                "Gap between chunks",
                "ModelSummaryStatistics",
            ),
            field("time_per_output_token", "Time per token", "Timing"),
            field("request_latency", "Last chunk", "Timing"),
            field("total_time", "Total time", "Timing"),
            field("in_flight_time", "In flight", "Timing"),
            field("thinking_time", "Thinking", "Timing"),
            field("load_time", "Model load", "Timing"),
            field("schedule_delay", "Sent late", "Timing"),
            field("output_tokens_per_second", "Decode rate", "Throughput"),
            field(
                "server_output_tokens_per_second",
                "Decode rate, server",
                "Throughput",
            ),
            field(
                "prompt_tokens_per_second",
                "Prompt rate, server",
                "Throughput",
            ),
            field("bytes_per_second", "Bytes of text a second", "Throughput"),
            field("total_chunks", "Chunks", "Throughput"),
            field("output_tokens", "Tokens", "Throughput"),
            field("chunks_per_second", "Rate so far", "TextArrived"),
        ],
    ),
    (
        "Of many requests together",
        &[
            field("succeeded", "Requests", "ModelSummaryStatistics"),
            field("failed", "Failed", "ModelSummaryStatistics"),
            field(
                "distinct_outputs",
                "Different texts",
                "ModelSummaryStatistics",
            ),
            field("runs", "Benchmarks", "ModelStatistics"),
            field("n", "n", "Distribution"),
            field("min", "Smallest", "Distribution"),
            field("max", "Largest", "Distribution"),
            field("mean", "Mean", "Distribution"),
            field("median", "Median", "Distribution"),
            ("interval", "Interval", "Distribution", "median_low"),
            field("low_quartile", "First quartile", "Spread"),
            field("high_quartile", "Third quartile", "Spread"),
            field("percentiles", "Percentiles", "Spread"),
            field("p90", "p90", "Distribution"),
            field("p95", "p95", "Distribution"),
            field("p99", "p99", "Distribution"),
            field("standard_deviation", "Standard deviation", "Distribution"),
        ],
    ),
    (
        "Against each other",
        &[
            field("verdict", "Verdict", "ComparisonRow"),
            field("ratio", "Ratio", "ComparisonRow"),
            (
                "ratio_interval",
                "Interval of the ratio",
                "ComparisonRow",
                "ratio_low",
            ),
        ],
    ),
    (
        "Under load",
        &[
            field(
                "offered_requests_per_second",
                "Offered, requests/s",
                "LoadStage",
            ),
            field("answered", "Answered", "LoadStage"),
            field("requests_per_second", "Answered, requests/s", "LoadStage"),
            (
                "system_output",
                "Output, tokens/s",
                "LoadStage",
                "output_tokens_per_second",
            ),
            field("peak_in_flight", "At once", "LoadStage"),
            field("objectives_met", "Objectives", "LoadStage"),
            field("saturated", "Server", "LoadStage"),
        ],
    ),
    (
        "Energy",
        &[
            field("joules_per_output_token", "A token", "EnergySummary"),
            field(
                "net_joules_per_output_token",
                "A token, net",
                "EnergySummary",
            ),
            field("joules_per_request", "A request", "EnergySummary"),
            field("mean_watts", "Mean power", "EnergySummary"),
            field("idle_watts", "Idle power", "EnergySummary"),
            field("gpu_joules", "By GPUs", "EnergySummary"),
            field("cpu_joules", "By processors", "EnergySummary"),
            field(
                "cost_per_million_output_tokens",
                "A million tokens cost",
                "EnergySummary",
            ),
        ],
    ),
    (
        "Of the machine",
        &[
            field("cpu_percent", "CPU", "Sample"),
            field("memory_percent", "Memory", "Sample"),
            ("server_cpu", "Model server", "ServerSample", "cpu_percent"),
            field("utilization_percent", "GPU", "GpuSample"),
            field("cpu_temperature_celsius", "Processor", "Sample"),
        ],
    ),
];

/// A figure that is called as its field is.
const fn field(name: &'static str, title: &'static str, schema: &'static str) -> Entry {
    (name, title, schema, name)
}

/// A figure with its meaning.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Figure {
    name: &'static str,
    title: &'static str,
    meaning: String,
    schema: &'static str,
    field: &'static str,
}

/// What the specification says of each figure. A figure that it does not know is left out, and a test finds it.
static FIGURES: LazyLock<HashMap<&str, Figure>> = LazyLock::new(|| {
    let document = api::document();
    let entries = GROUPS.iter().flat_map(|(_, entries)| entries.iter());
    entries
        .filter_map(|entry| Some((entry.0, figure(&document, entry)?)))
        .collect()
});

fn figure(document: &Value, (name, title, schema, field): &Entry) -> Option<Figure> {
    let place = format!("/components/schemas/{schema}/properties/{field}/description");
    let lines = document.pointer(&place)?.as_str()?;
    Some(Figure {
        name,
        title,
        meaning: lines.split_whitespace().collect::<Vec<_>>().join(" "),
        schema,
        field,
    })
}

/// What people call a figure, by its name.
pub fn title(name: &str) -> String {
    let known = entry(name).map(|(_, title, ..)| (*title).to_owned());
    known.unwrap_or_else(|| name.replace('_', " "))
}

fn entry(name: &str) -> Option<&'static Entry> {
    let mut entries = GROUPS.iter().flat_map(|(_, entries)| entries.iter());
    entries.find(|entry| entry.0 == name)
}

/// What a figure means, by its name.
pub fn meaning(name: &str) -> Option<&'static str> {
    FIGURES.get(name).map(|figure| figure.meaning.as_str())
}

/// Every figure that has a meaning, in its group.
pub fn groups() -> Vec<Value> {
    let groups = GROUPS.iter().map(|(title, entries)| {
        let figures: Vec<_> = entries.iter().filter_map(|it| FIGURES.get(it.0)).collect();
        json!({ "title": title, "figures": figures })
    });
    groups.collect()
}

#[handler]
pub fn view() -> Result<Response, Problem> {
    page::render(200, "figures.html", json!({ "groups": groups() }))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_figure_is_described_by_the_specification() {
        let entries = || GROUPS.iter().flat_map(|(_, entries)| entries.iter());
        for (name, ..) in entries() {
            let text = meaning(name).unwrap_or_default();
            assert!(text.ends_with('.'), "{name}: {text}");
            // Plain words: no markup, and no name that only programs know.
            assert!(
                !text.contains(['`', '_', '−']) || *name == "standard_deviation",
                "{name}: {text}"
            );
        }
        let names: HashSet<&str> = entries().map(|it| it.0).collect();
        assert_eq!(names.len(), entries().count(), "a name is there twice");
    }

    #[test]
    fn what_has_no_title_is_called_by_its_name() {
        assert_eq!(title("total_time"), "Total time");
        assert_eq!(title("some_figure"), "some figure");
        assert_eq!(meaning("some_figure"), None);
    }
}
