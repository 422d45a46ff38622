//! What a running server tells those who watch it, as a scraper sees it.

#![expect(clippy::float_cmp, reason = "counts are whole numbers")]

mod access;
mod dashboard;
mod figures;
mod traces;

use std::collections::{BTreeMap, BTreeSet};

use crate::support::Server;

/// A model that is done in a moment.
pub const QUICK: &str = "script:tokens=8,ttft=5,gap=1@reference";
/// A model that writes for about half a minute unless it is stopped.
pub const LONG: &str = "script:tokens=3000,ttft=5,gap=10@reference";

/// One line of the text.
#[derive(Clone, Debug)]
pub struct Figure {
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub value: f64,
}

/// What was scraped.
#[derive(Debug)]
pub struct Scrape {
    pub text: String,
    pub figures: Vec<Figure>,
}

impl Scrape {
    pub async fn of(server: &Server) -> Self {
        let answer = server.get("/metrics").await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let lines = answer.text.lines().filter(|line| !line.starts_with('#'));
        Self {
            figures: lines.map(figure).collect(),
            text: answer.text.clone(),
        }
    }

    /// The values of a name whose labels hold these.
    pub fn all(&self, name: &str, labels: &[(&str, &str)]) -> Vec<f64> {
        let holds = |it: &&Figure| {
            it.name == name
                && labels
                    .iter()
                    .all(|(key, value)| it.labels.get(*key).is_some_and(|own| own == value))
        };
        self.figures
            .iter()
            .filter(holds)
            .map(|it| it.value)
            .collect()
    }

    /// Their sum; there must be one at least.
    #[track_caller]
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let all = self.all(name, labels);
        assert!(!all.is_empty(), "no {name}{labels:?} in\n{}", self.text);
        all.iter().sum()
    }

    /// The values of a label in all figures of a name.
    pub fn values(&self, name: &str, label: &str) -> BTreeSet<&str> {
        let own = self.figures.iter().filter(|it| it.name == name);
        own.filter_map(|it| it.labels.get(label).map(String::as_str))
            .collect()
    }
}

/// `name{key="value",…} 1`
fn figure(line: &str) -> Figure {
    let (head, value) = line.rsplit_once(' ').unwrap();
    let (name, labels) = head.split_once('{').unwrap_or((head, "}"));
    let mut labels = labels.strip_suffix('}').unwrap();
    let mut found = BTreeMap::new();
    while let Some((key, rest)) = labels.split_once("=\"") {
        let (value, rest) = rest.split_once('"').unwrap();
        found.insert(key.to_owned(), value.to_owned());
        labels = rest.strip_prefix(',').unwrap_or(rest);
    }
    Figure {
        name: name.to_owned(),
        labels: found,
        value: value.parse().unwrap(),
    }
}
