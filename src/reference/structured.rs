//! JSON that fits a schema, or does not: what a model writes whose output is bound to a format. Pure;
//! the same random numbers write the same.
//!
//! Understood are `type` (of several the first), `properties`, `required`, `items`, `minItems`,
//! `maxItems`, `minLength`, `maxLength`, `minimum`, `maximum`, `enum`, `const`, `anyOf` and `oneOf` (the first of
//! either), and `$ref` into the same document. Anything else leaves the value as free as without it.
//! Truth values are true, arrays have as few elements as they may, or else two, and texts a few words.

use serde_json::{Map, Value, json};

use super::words::Random;

/// How deep a value may go; a schema that refers to itself ends there.
const DEEPEST: u32 = 12;
/// Elements of an array whose schema asks for no number of them.
const ELEMENTS: u64 = 2;
/// Most elements and characters that are written because a schema asks for so many.
const MOST: u64 = 1000;
/// Most values of all; a schema can ask for more than fit anywhere.
const VALUES: u32 = 10_000;
/// Words of a text.
const WORDS: u64 = 3;

/// A value that fits the format: `"json"` for any object, or a schema.
pub fn fitting(format: &Value, random: &mut Random) -> Value {
    if format.is_object() {
        Writer {
            root: format,
            random,
            left: VALUES,
        }
        .value(format, 0)
    } else {
        json!({"answer": words(random, WORDS)})
    }
}

/// JSON of another shape than the format asks for.
pub fn misfit(format: &Value, random: &mut Random) -> Value {
    let text = words(random, WORDS);
    if fitting(format, random).is_object() {
        json!([text])
    } else {
        json!({"unasked": text})
    }
}

fn words(random: &mut Random, count: u64) -> String {
    let words: Vec<&str> = (0..count).map(|_| random.word()).collect();
    words.join(" ")
}

struct Writer<'a> {
    /// What references point into.
    root: &'a Value,
    random: &'a mut Random,
    /// Values that may still be written.
    left: u32,
}

impl<'a> Writer<'a> {
    fn value(&mut self, schema: &'a Value, depth: u32) -> Value {
        if self.left == 0 {
            return Value::Null;
        }
        self.left -= 1;
        if depth > DEEPEST {
            return Value::Null;
        }
        let next = depth + 1;
        if let Some(value) = schema.get("const") {
            return value.clone();
        }
        if let Some(values) = list(schema, "enum") {
            return self.one_of(values).cloned().unwrap_or_default();
        }
        let first = |key| list(schema, key)?.first();
        if let Some(first) = first("anyOf").or_else(|| first("oneOf")) {
            return self.value(first, next);
        }
        if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
            let target = reference
                .strip_prefix('#')
                .and_then(|path| self.root.pointer(path));
            return target.map_or(Value::Null, |target| self.value(target, next));
        }
        match kind(schema) {
            "object" => self.object(schema, next),
            "array" => self.array(schema, next),
            "integer" => self.number(schema).into(),
            "number" => json!(self.number(schema) as f64),
            "boolean" => json!(true),
            "null" => Value::Null,
            _ => self.text(schema).into(),
        }
    }

    /// Every property at first; deep down only those that must be there.
    fn object(&mut self, schema: &'a Value, depth: u32) -> Value {
        let required = list(schema, "required");
        let must_be = |name: &str| required.is_some_and(|list| list.iter().any(|it| it == name));
        let properties = schema.get("properties").and_then(Value::as_object);
        let mut object = Map::new();
        for (name, property) in properties.into_iter().flatten() {
            if depth <= DEEPEST / 2 || must_be(name) {
                object.insert(name.clone(), self.value(property, depth));
            }
        }
        for name in required.into_iter().flatten().filter_map(Value::as_str) {
            if !object.contains_key(name) {
                let text = words(self.random, WORDS);
                object.insert(name.to_owned(), text.into());
            }
        }
        Value::Object(object)
    }

    fn array(&mut self, schema: &'a Value, depth: u32) -> Value {
        let least = count(schema, "minItems");
        let usual = if depth <= DEEPEST / 2 { ELEMENTS } else { 0 };
        let most = count(schema, "maxItems").unwrap_or(u64::MAX);
        let elements = least.unwrap_or(usual).min(most).min(MOST);
        let items = schema.get("items").unwrap_or(&Value::Null);
        let mut array = Vec::new();
        for _ in 0..elements {
            if self.left == 0 {
                break;
            }
            array.push(self.value(items, depth));
        }
        Value::Array(array)
    }

    /// A small whole number within the bounds, as far as they leave one.
    fn number(&mut self, schema: &Value) -> i64 {
        let bound = |key| schema.get(key).and_then(Value::as_f64);
        let number = i64::try_from(self.random.next() % 10).unwrap_or(0);
        let least = bound("minimum").map(|least| whole(least.ceil()));
        let most = bound("maximum").map(|most| whole(most.floor()));
        number
            .max(least.unwrap_or(i64::MIN))
            .min(most.unwrap_or(i64::MAX))
    }

    fn text(&mut self, schema: &Value) -> String {
        let least = count(schema, "minLength").unwrap_or(0).min(MOST);
        let mut text = words(self.random, WORDS);
        while u64::try_from(text.chars().count()).is_ok_and(|length| length < least) {
            text.push(' ');
            text.push_str(self.random.word());
        }
        match count(schema, "maxLength").and_then(|most| usize::try_from(most).ok()) {
            Some(most) => text.chars().take(most).collect(),
            None => text,
        }
    }

    fn one_of(&mut self, values: &'a [Value]) -> Option<&'a Value> {
        let count = u64::try_from(values.len())
            .ok()
            .filter(|count| *count > 0)?;
        let index = usize::try_from(self.random.next() % count).ok()?;
        values.get(index)
    }
}

/// The type that a schema names, or the one that its keywords are of.
fn kind(schema: &Value) -> &str {
    let named = match schema.get("type") {
        Some(Value::Array(kinds)) => kinds.first(),
        kind => kind,
    };
    let implied = if schema.get("properties").is_some() {
        "object"
    } else if schema.get("items").is_some() {
        "array"
    } else {
        "string"
    };
    named.and_then(Value::as_str).unwrap_or(implied)
}

fn list<'a>(schema: &'a Value, key: &str) -> Option<&'a [Value]> {
    schema.get(key)?.as_array().map(Vec::as_slice)
}

fn count(schema: &Value, key: &str) -> Option<u64> {
    schema.get(key)?.as_u64()
}

/// The number without a fraction, as far as 64 bits reach.
fn whole(number: f64) -> i64 {
    let sign = if number < 0.0 { i64::MIN } else { i64::MAX };
    format!("{number:.0}").parse().unwrap_or(sign)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(schema: &Value) -> Value {
        fitting(schema, &mut Random(7))
    }

    #[test]
    fn every_kind_of_value_is_written() {
        let written = write(&json!({
            "type": "object",
            "properties": {
                "steps": {"type": "array", "minItems": 1, "items": {"type": "string"}},
                "two": {"type": "array", "items": {"type": "integer"}},
                "one": {"type": "array", "maxItems": 1, "items": {"type": "null"}},
                "share": {"type": "number", "minimum": 20.5, "maximum": 22},
                "done": {"type": "boolean"},
                "kind": {"enum": ["a", "b"]},
                "version": {"const": 3},
                "short": {"type": "string", "maxLength": 2},
                "long": {"type": ["string", "null"], "minLength": 60},
                "either": {"anyOf": [{"type": "boolean"}, {"type": "string"}]},
                "named": {"$ref": "#/$defs/named"},
            },
            "required": ["steps", "unknown"],
            "$defs": {"named": {"properties": {"name": {"type": "string"}}}},
        }));
        assert_eq!(written["steps"].as_array().map(Vec::len), Some(1));
        assert!(written["two"][1].is_i64(), "{written}");
        assert_eq!(written["one"], json!([null]));
        assert_eq!(written["share"], json!(21.0));
        assert_eq!(written["done"], json!(true));
        assert!(written["kind"] == "a" || written["kind"] == "b");
        assert_eq!(written["version"], json!(3));
        assert_eq!(written["short"].as_str().unwrap().chars().count(), 2);
        assert!(written["long"].as_str().unwrap().chars().count() >= 60);
        assert_eq!(written["either"], json!(true));
        assert!(written["named"]["name"].is_string());
        assert!(written["unknown"].is_string(), "required, and undescribed");
    }

    #[test]
    fn a_schema_that_refers_to_itself_ends() {
        let tree = json!({
            "type": "object", "required": ["children"],
            "properties": {"children": {"type": "array", "items": {"$ref": "#"}}},
        });
        assert!(write(&tree)["children"][1]["children"].is_array());
        let endless = json!({"$ref": "#"});
        assert_eq!(write(&endless), Value::Null);
        assert_eq!(write(&json!({"$ref": "elsewhere.json"})), Value::Null);
    }

    #[test]
    fn the_same_numbers_write_the_same() {
        let schema = json!({"type": "string"});
        let with = |seed| fitting(&schema, &mut Random(seed));
        assert_eq!(with(1), with(1));
        assert_ne!(with(1), with(2));
    }

    #[test]
    fn no_schema_at_all_is_an_object() {
        assert!(write(&json!("json"))["answer"].is_string());
    }

    #[test]
    fn a_misfit_is_of_another_kind() {
        let misfit = |schema: &Value| misfit(schema, &mut Random(7));
        assert!(misfit(&json!({"type": "object"})).is_array());
        assert!(misfit(&json!({"type": "array"})).is_object());
        assert!(misfit(&json!("json")).is_array());
    }

    #[test]
    fn bounds_beyond_all_measure_are_borne() {
        let schema = json!({"type": "integer", "minimum": 1e300});
        assert_eq!(write(&schema), json!(i64::MAX));
        let many = json!({"type": "array", "minItems": u64::MAX, "items": {"type": "null"}});
        assert_eq!(write(&many).as_array().map(Vec::len), Some(1000));
        let wide = json!({
            "type": "array", "minItems": 1000, "items": {"$ref": "#"},
        });
        assert!(write(&wide).to_string().len() < 10_000_000);
        let upside_down = json!({"type": "integer", "minimum": 9, "maximum": 2});
        assert_eq!(write(&upside_down), json!(2));
    }
}
