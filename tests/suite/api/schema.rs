//! Does a value keep what a schema of OpenAPI 3.0 says? Knows the words that our document uses and
//! refuses others, so that none is passed over in silence.

use serde_json::Value;

const KNOWN: [&str; 26] = [
    "$ref",
    "type",
    "format",
    "description",
    "title",
    "default",
    "example",
    "nullable",
    "enum",
    "properties",
    "required",
    "items",
    "allOf",
    "oneOf",
    "anyOf",
    "discriminator",
    "additionalProperties",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "minItems",
    "maxItems",
    "uniqueItems",
    "minLength",
    "maxLength",
    "pattern",
];

/// What is wrong with a value, each with its place; empty where nothing is.
pub fn violations(document: &Value, schema: &Value, value: &Value, place: &str) -> Vec<String> {
    let check = Check { document };
    let mut found = Vec::new();
    check.value(schema, value, place, &mut found);
    check.unknown_fields(schema, value, place, &mut found);
    found
}

struct Check<'a> {
    document: &'a Value,
}

impl Check<'_> {
    fn value(&self, schema: &Value, value: &Value, place: &str, found: &mut Vec<String>) {
        for word in schema.as_object().unwrap().keys() {
            assert!(
                KNOWN.contains(&word.as_str()),
                "the schema at {place} says `{word}`"
            );
        }
        if value.is_null() && schema["nullable"] == true {
            return;
        }
        if let Some(reference) = schema["$ref"].as_str() {
            let target = self
                .document
                .pointer(reference.trim_start_matches('#'))
                .unwrap();
            return self.value(target, value, place, found);
        }
        for part in schema["allOf"].as_array().into_iter().flatten() {
            self.value(part, value, place, found);
        }
        for choice in ["oneOf", "anyOf"] {
            if let Some(choices) = schema[choice].as_array() {
                let fits = |schema| violations(self.document, schema, value, place).is_empty();
                if !choices.iter().any(fits) {
                    found.push(format!("{place}: {value} fits no choice"));
                }
            }
        }
        if let Some(allowed) = schema["enum"].as_array()
            && !allowed.contains(value)
        {
            found.push(format!("{place}: {value} is not one of {allowed:?}"));
        }
        self.shape(schema, value, place, found);
    }

    fn shape(&self, schema: &Value, value: &Value, place: &str, found: &mut Vec<String>) {
        let fits = match schema["type"].as_str() {
            None => true,
            Some("object") => value.is_object(),
            Some("array") => value.is_array(),
            Some("string") => value.is_string(),
            Some("boolean") => value.is_boolean(),
            Some("integer") => value.is_i64() || value.is_u64(),
            Some("number") => value.is_number(),
            Some(other) => panic!("the schema at {place} has the type {other}"),
        };
        if !fits {
            found.push(format!("{place}: {value} is no {}", schema["type"]));
            return;
        }
        Self::bounds(schema, value, place, found);
        for (index, item) in value.as_array().into_iter().flatten().enumerate() {
            if schema["items"].is_object() {
                let place = format!("{place}/{index}");
                found.extend(violations(self.document, &schema["items"], item, &place));
            }
        }
        if let (Some(fields), Some(known)) = (value.as_object(), schema["properties"].as_object()) {
            for (name, field) in fields {
                if let Some(schema) = known.get(name) {
                    let place = format!("{place}/{name}");
                    found.extend(violations(self.document, schema, field, &place));
                }
            }
            for name in schema["required"].as_array().into_iter().flatten() {
                if !fields.contains_key(name.as_str().unwrap()) {
                    found.push(format!("{place}: {name} is missing"));
                }
            }
        }
    }

    /// Whether a number, a text and a list are as large as they may be. Patterns are for the fuzzer.
    fn bounds(schema: &Value, value: &Value, place: &str, found: &mut Vec<String>) {
        let size = match value {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => Some(text.chars().count() as f64),
            Value::Array(items) => Some(items.len() as f64),
            _ => None,
        };
        let (low, high) = match value {
            Value::String(_) => ("minLength", "maxLength"),
            Value::Array(_) => ("minItems", "maxItems"),
            _ => ("minimum", "maximum"),
        };
        let Some(size) = size else { return };
        let is_low = schema[low].as_f64().is_some_and(|it| size < it);
        let is_high = schema[high].as_f64().is_some_and(|it| size > it);
        if is_low || is_high {
            found.push(format!("{place}: {value} is out of its bounds"));
        }
    }

    /// Fields that neither the schema nor a part of it names.
    fn unknown_fields(&self, schema: &Value, value: &Value, place: &str, found: &mut Vec<String>) {
        let Some(known) = self.fields(schema) else {
            return;
        };
        for name in value
            .as_object()
            .into_iter()
            .flat_map(|fields| fields.keys())
        {
            if !known.contains(name) {
                found.push(format!("{place}/{name} is not in the schema"));
            }
        }
    }

    /// The fields that a schema and its parts name; `None` where it names none or is a choice.
    fn fields(&self, schema: &Value) -> Option<Vec<String>> {
        if let Some(reference) = schema["$ref"].as_str() {
            return self.fields(
                self.document
                    .pointer(reference.trim_start_matches('#'))
                    .unwrap(),
            );
        }
        if let Some(parts) = schema["allOf"].as_array() {
            let fields = parts.iter().map(|part| self.fields(part));
            return Some(fields.collect::<Option<Vec<_>>>()?.concat());
        }
        Some(schema["properties"].as_object()?.keys().cloned().collect())
    }
}
