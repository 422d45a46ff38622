//! Fields of a document that this program does not know: kept as they came and written out again.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::extended;

/// Fields that are not known, in the order in which they came.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Extra(Vec<Field>);

/// One field that is not known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Field {
    /// The object that it stood in, as a JSON pointer (RFC 6901) into the record; empty is the record.
    of: String,
    name: String,
    /// As it came, but for numbers, which are plain ones.
    value: Value,
}

impl Extra {
    /// What a document has and its record lacks. Nulls tell nothing and are left out.
    pub fn of(document: &Value, known: &Value) -> Self {
        let mut found = Self::default();
        found.collect(document, known, "");
        found
    }

    fn collect(&mut self, document: &Value, known: &Value, path: &str) {
        match (document, known) {
            (Value::Object(document), Value::Object(known)) => {
                for (name, value) in document {
                    let is_dealt_with = matches!(
                        (path, name.as_str()),
                        ("", "_id" | "id")
                            | ("/system_info", "python_version")
                            | ("/request", "format")
                    );
                    if is_dealt_with || value.is_null() {
                        continue;
                    }
                    match known.get(name) {
                        Some(known) => self.collect(value, known, &step(path, name)),
                        None => self.add(path, name, value.clone()),
                    }
                }
            }
            (Value::Array(document), Value::Array(known)) => {
                for (index, (value, known)) in document.iter().zip(known).enumerate() {
                    self.collect(value, known, &format!("{path}/{index}"));
                }
            }
            _ => {}
        }
    }

    /// Keeps a field of the object at `path`.
    pub fn add(&mut self, path: &str, name: &str, value: Value) {
        self.0.push(Field {
            of: path.to_owned(),
            name: name.to_owned(),
            value: extended::with_plain_numbers(value),
        });
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those of the object at `path`.
    pub fn at(&self, path: &str) -> impl Iterator<Item = (&str, &Value)> {
        let own = self.0.iter().filter(move |field| field.of == path);
        own.map(|field| (field.name.as_str(), &field.value))
    }
}

/// The pointer of a member of the object at `path`.
pub fn step(path: &str, name: &str) -> String {
    let name = name.replace('~', "~0").replace('/', "~1");
    format!("{path}/{name}")
}
