//! The dashboard asks for figures that there are, and for all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Value, json};

use super::{QUICK, Scrape};
use crate::support::start;

/// Labels that Prometheus itself adds.
const ADDED: [&str; 2] = ["job", "instance"];

/// Figures that no panel shows.
const NOT_SHOWN: [&str; 1] = [
    // Address space says little on a machine with 64 bits.
    "process_virtual_memory_bytes",
];

fn dashboard() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("templates/grafana/dashboard.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// Every query: those of panels and those of variables.
fn queries(dashboard: &Value) -> Vec<String> {
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels
        .iter()
        .flat_map(|it| it["targets"].as_array().into_iter().flatten());
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    let variables = variables
        .iter()
        .filter_map(|it| it["query"]["query"].as_str());
    let of_panels = targets.map(|it| it["expr"].as_str().unwrap());
    of_panels.chain(variables).map(str::to_owned).collect()
}

fn is_word(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_'
}

/// The word at the end of a text.
fn last_word(text: &str) -> &str {
    let begin = text.rfind(|letter| !is_word(letter)).map_or(0, |it| it + 1);
    &text[begin..]
}

/// Each `name{…}` of a query, with the labels in the braces. Every selector of the dashboard has braces.
fn selectors(query: &str) -> Vec<(&str, Vec<&str>)> {
    let mut found = Vec::new();
    for (place, _) in query.match_indices('{') {
        let name = last_word(&query[..place]);
        let inside = query[place + 1..].split('}').next().unwrap();
        let labels = inside
            .match_indices('=')
            .map(|(at, _)| last_word(&inside[..at]))
            .filter(|label| !label.is_empty());
        found.push((name, labels.collect()));
    }
    found
}

/// The labels that a query groups by.
fn groups(query: &str) -> Vec<&str> {
    let lists = query
        .split("by (")
        .skip(1)
        .map(|it| it.split(')').next().unwrap());
    lists.flat_map(|it| it.split(", ")).collect()
}

/// What a server exposes after everything has happened once: the labels of each name.
async fn exposed() -> BTreeMap<String, BTreeSet<String>> {
    let server = start().await;
    let models = [QUICK, "fault-truncated@reference"];
    server
        .run(&json!({"prompt": "a", "models": models, "repetitions": 1}))
        .await;
    let body = json!({"prompt": "Why is the sky blue?", "model": QUICK});
    server.post("/api/nova/ask", &body).await;
    let mut names = BTreeMap::<String, BTreeSet<String>>::new();
    for figure in Scrape::of(&server).await.figures {
        names
            .entry(figure.name)
            .or_default()
            .extend(figure.labels.into_keys());
    }
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn the_dashboard_shows_what_is_exposed() {
    let exposed = exposed().await;
    let mut shown = BTreeSet::new();
    for query in queries(&dashboard()) {
        let selectors = selectors(&query);
        assert!(!selectors.is_empty(), "{query}");
        let mut known = BTreeSet::from(ADDED);
        for (name, labels) in selectors {
            let own = exposed
                .get(name)
                .unwrap_or_else(|| panic!("nothing exposes {name}: {query}"));
            for label in labels {
                let is_known = own.contains(label) || ADDED.contains(&label);
                assert!(is_known, "{name} has no label {label}: {query}");
            }
            known.extend(own.iter().map(String::as_str));
            shown.insert(family(name).to_owned());
        }
        for label in groups(&query) {
            assert!(known.contains(label), "no label {label}: {query}");
        }
    }
    let all: BTreeSet<String> = exposed.keys().map(|it| family(it).to_owned()).collect();
    let missing: Vec<&String> = all.difference(&shown).collect();
    assert_eq!(missing, NOT_SHOWN, "no panel shows these");
}

/// A histogram is three names.
fn family(name: &str) -> &str {
    let end = ["_bucket", "_sum", "_count"]
        .into_iter()
        .find_map(|it| name.strip_suffix(it));
    end.unwrap_or(name)
}

#[test]
fn the_dashboard_asks_the_source_that_is_chosen() {
    let dashboard = dashboard();
    let mut places = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        assert!(panel["title"].as_str().is_some_and(|it| !it.is_empty()));
        let at = &panel["gridPos"];
        assert!(places.insert((at["x"].as_u64(), at["y"].as_u64())), "{at}");
        if panel["type"] == "row" {
            continue;
        }
        assert!(
            panel["description"]
                .as_str()
                .is_some_and(|it| !it.is_empty())
        );
        for holder in panel["targets"].as_array().unwrap().iter().chain([panel]) {
            assert_eq!(holder["datasource"]["uid"], "${datasource}");
        }
    }
}
