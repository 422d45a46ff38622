//! The schemas of the document, mended where the generator says less than `serde` does.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

/// Objects of requests that refuse fields they do not know (`deny_unknown_fields`).
const STRICT: [&str; 19] = [
    "BenchmarkRequest",
    "Cooldown",
    "ForkRequest",
    "LiveTurn",
    "Load",
    "MemoryUse",
    "NewMemory",
    "NewPrompt",
    "NewSession",
    "NewView",
    "NovaRequest",
    "Parameters",
    "PinnedCall",
    "SessionBenchmark",
    "SessionPatch",
    "SessionReplay",
    "SessionStep",
    "Synthetic",
    "TurnReplay",
];

/// A duration of Go, such as `1h30m`.
const DURATION: &str = r"^[+-]?(([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|ms|s|m|h))+$";

/// The type of what a reference is to, where it has one.
type Types = HashMap<String, Value>;

/// Mends every schema.
pub fn mend(schemas: &mut Map<String, Value>) {
    for schema in schemas.values_mut().filter_map(Value::as_object_mut) {
        // The generator calls every choice an object, also one between a number and a text.
        if schema.contains_key("oneOf") || schema.contains_key("anyOf") {
            schema.remove("type");
        }
    }
    let types = schemas.iter().filter_map(|(name, schema)| {
        let reference = format!("#/components/schemas/{name}");
        Some((reference, schema.get("type")?.clone()))
    });
    let types: Types = types.collect();
    for (name, schema) in schemas.iter_mut() {
        mend_object(schema, STRICT.contains(&name.as_str()), &types);
    }
    if let Some(text) = schemas
        .get_mut("KeepAlive")
        .and_then(|it| it.pointer_mut("/oneOf/1"))
    {
        text["pattern"] = DURATION.into();
    }
    for name in ["BenchmarkRequest", "PinnedCall"] {
        let schema = schemas.get_mut(name);
        if let Some(format) = schema.and_then(|it| it.pointer_mut("/properties/format")) {
            format["oneOf"] = json!([
                { "type": "string", "enum": ["json"] },
                { "type": "object", "additionalProperties": true },
                nothing(),
            ]);
        }
    }
}

/// The schema of null alone.
fn nothing() -> Value {
    json!({ "enum": [null] })
}

fn mend_object(schema: &mut Value, is_strict: bool, types: &Types) {
    let mut required: Vec<String> = schema
        .get("required")
        .and_then(Value::as_array)
        .map(|names| names.iter().filter_map(Value::as_str))
        .map(|names| names.map(str::to_owned).collect())
        .unwrap_or_default();
    let properties = schema.get_mut("properties").and_then(Value::as_object_mut);
    for (name, property) in properties.into_iter().flatten() {
        mend_property(property, required.contains(name), types);
        if is_strict && property.get("default").is_some() {
            required.retain(|it| it != name);
        }
    }
    if !is_strict {
        return;
    }
    schema["additionalProperties"] = false.into();
    if let Some(schema) = schema.as_object_mut() {
        if required.is_empty() {
            schema.remove("required");
        } else {
            schema.insert("required".into(), json!(required));
        }
    }
}

fn mend_property(property: &mut Value, is_required: bool, types: &Types) {
    bound(property);
    if let Some(default) = property.get_mut("default") {
        forget_nulls(default);
    }
    if property.get("default").is_some_and(Value::is_null)
        && let Some(property) = property.as_object_mut()
    {
        property.remove("default");
    }
    let part = property
        .pointer("/allOf/0")
        .filter(|it| is_reference(it))
        .cloned();
    let reference = part.or_else(|| is_reference(property).then(|| property.clone()));
    let may_be_null = !is_required && property.get("default").is_none();
    let Some(reference) = reference else {
        // A field that need not be there is written as null when it is not.
        if may_be_null && property.get("type").is_some() {
            property["nullable"] = true.into();
        }
        return;
    };
    if let Some(property) = property.as_object_mut() {
        property.remove("$ref");
        property.remove("allOf");
    }
    if may_be_null {
        // `nullable` counts only beside a `type`, and takes nothing back that a part says. Some generators
        // go by the one and some by the other.
        let named = reference["$ref"].as_str().and_then(|it| types.get(it));
        if let Some(named) = named {
            property["type"] = named.clone();
            property["nullable"] = true.into();
        }
        property["oneOf"] = json!([reference, nothing()]);
    } else {
        // What a part repeats is said by the property itself.
        property["allOf"] = json!([reference]);
    }
}

fn is_reference(schema: &Value) -> bool {
    schema.get("$ref").is_some()
}

/// Fields that are not set are not part of what stands for an absent object.
fn forget_nulls(default: &mut Value) {
    if let Some(members) = default.as_object_mut() {
        members.retain(|_, value| !value.is_null());
    }
}

/// Bounds of integers: whole numbers, and those of their type where none are stated.
pub fn bound(schema: &mut Value) {
    if let Some(items) = schema.get_mut("items") {
        bound(items);
    }
    if schema["type"] != "integer" {
        return;
    }
    for name in ["minimum", "maximum"] {
        if let Some(bound) = schema.get(name).and_then(Value::as_f64) {
            #[expect(clippy::cast_possible_truncation, reason = "all are whole and small")]
            let bound = bound as i64;
            schema[name] = bound.into();
        }
    }
    let most = match schema["format"].as_str() {
        Some("uint16") => u64::from(u16::MAX),
        Some("uint32") => u64::from(u32::MAX),
        Some("uint64") => u64::MAX,
        _ => return,
    };
    for (name, bound) in [("minimum", 0), ("maximum", most)] {
        if schema.get(name).is_none() {
            schema[name] = bound.into();
        }
    }
}
