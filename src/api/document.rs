//! The OpenAPI document, mended where the generator says less than the program does.

use poem::http::{HeaderValue, header};
use poem::{Endpoint, Response, endpoint::make_sync};
use serde_json::{Map, Value, json};

/// The document.
pub fn document() -> Value {
    let mut document: Value = serde_json::from_str(&super::service().spec()).unwrap_or_default();
    if let Some(schemas) = document
        .pointer_mut("/components/schemas")
        .and_then(Value::as_object_mut)
    {
        for schema in schemas.values_mut() {
            allow_null(schema);
        }
    }
    document["components"]["securitySchemes"] = json!({
        "token": {
            "type": "http", "scheme": "bearer",
            "description": "Needed only where the server is configured with an API token.",
        },
    });
    if let Some(paths) = document.get_mut("paths").and_then(Value::as_object_mut) {
        for (path, item) in paths {
            for operation in item.as_object_mut().into_iter().flat_map(Map::values_mut) {
                operation["security"] = if path.starts_with("/api") {
                    json!([{}, {"token": []}])
                } else {
                    json!([])
                };
            }
        }
    }
    document
}

/// The document as it is committed and served.
pub fn text() -> String {
    let mut text = serde_json::to_string_pretty(&document()).unwrap_or_default();
    text.push('\n');
    text
}

/// The document as YAML. Every JSON document is one.
pub fn yaml() -> String {
    text()
}

/// Serves a text that does not change.
pub fn serve(kind: &'static str, text: String) -> impl Endpoint<Output = Response> {
    make_sync(move |_| {
        let mut response = Response::builder().content_type(kind).body(text.clone());
        let cache = HeaderValue::from_static("no-cache");
        response.headers_mut().insert(header::CACHE_CONTROL, cache);
        response
    })
}

/// A field that need not be there is written as null when it is not: the schema must say so.
fn allow_null(schema: &mut Value) {
    let required: Vec<String> = schema
        .get("required")
        .and_then(Value::as_array)
        .map(|names| {
            names
                .iter()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect()
        })
        .unwrap_or_default();
    let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) else {
        return;
    };
    for (name, property) in properties {
        if required.contains(name) || property.get("default").is_some() {
            continue;
        }
        if property.get("$ref").is_some() {
            *property = json!({ "allOf": [property.take()] });
        }
        property["nullable"] = true.into();
    }
}
