//! The OpenAPI document, mended where the generator says less than the program does.

mod clients;
mod parameters;
mod schemas;
mod statuses;

use std::sync::LazyLock;

use poem::endpoint::{BoxEndpoint, make_sync};
use poem::http::{HeaderValue, header};
use poem::{Endpoint, EndpointExt, Request, Response};
use serde_json::{Value, json};

use super::examples;

/// The document.
pub fn document() -> Value {
    let mut document: Value = serde_json::from_str(&super::service().spec()).unwrap_or_default();
    let schemas = document
        .pointer_mut("/components/schemas")
        .and_then(Value::as_object_mut);
    if let Some(schemas) = schemas {
        schemas::mend(schemas);
    }
    document["components"]["securitySchemes"] = json!({
        "token": {
            "type": "http", "scheme": "bearer",
            "description": "Needed only where the server is configured with an API token.",
        },
    });
    // Once for all: beside an operation, generators of clients take it for something that must be there.
    document["security"] = json!([{}, {"token": []}]);
    for (path, item) in document
        .get_mut("paths")
        .and_then(Value::as_object_mut)
        .into_iter()
        .flatten()
    {
        for (method, operation) in item.as_object_mut().into_iter().flatten() {
            if !path.starts_with("/api") && path != "/metrics" {
                operation["security"] = json!([]);
            }
            statuses::mend(&method.to_ascii_uppercase(), path, operation);
            parameters::mend(path, operation);
            give_examples(operation);
        }
    }
    parameters::link(&mut document);
    clients::mend(&mut document);
    document
}

/// The document as it is committed and served.
pub fn text() -> String {
    let mut text = serde_json::to_string_pretty(&document()).unwrap_or_default();
    text.push('\n');
    text
}

/// Serves the document under this type. It is made when it is first asked for: that takes longer than all
/// else at the start. As YAML it is the same text, since every JSON document is one.
pub fn serve(kind: &'static str) -> impl Endpoint<Output = Response> {
    static TEXT: LazyLock<String> = LazyLock::new(text);
    make_sync(move |_| {
        let mut response = Response::builder().content_type(kind).body(TEXT.as_str());
        let cache = HeaderValue::from_static("no-cache");
        response.headers_mut().insert(header::CACHE_CONTROL, cache);
        response
    })
}

/// Swagger UI, made when it is first asked for.
pub struct Explorer;

impl Endpoint for Explorer {
    type Output = Response;

    async fn call(&self, request: Request) -> poem::Result<Response> {
        static PAGES: LazyLock<BoxEndpoint<'static, Response>> =
            LazyLock::new(|| super::service().swagger_ui().map_to_response().boxed());
        PAGES.call(request).await
    }
}

/// Puts examples beside the schemas of bodies and answers.
fn give_examples(operation: &mut Value) {
    let known = examples::of(operation["operationId"].as_str().unwrap_or_default());
    if let (Some(body), Some(example)) = (operation.get_mut("requestBody"), known.request) {
        give_example(body, &example);
    }
    let responses = operation
        .get_mut("responses")
        .and_then(Value::as_object_mut);
    for (status, response) in responses.into_iter().flatten() {
        if response["description"] == "" {
            response["description"] = "It worked.".into();
        }
        let status: u16 = status.parse().unwrap_or_default();
        if status >= 400 {
            give_example(response, &examples::problem(status));
        } else if let Some(example) = &known.answer {
            give_example(response, example);
            let stream = response.pointer_mut("/content/text~1event-stream/example");
            if let (Some(stream), Some(events)) = (stream, &known.events) {
                *stream = events.clone();
            }
        }
    }
}

fn give_example(holder: &mut Value, example: &Value) {
    let content = holder.get_mut("content").and_then(Value::as_object_mut);
    for (kind, media) in content.into_iter().flatten() {
        media["example"] = if media["schema"]["type"] == "string" {
            examples::documents(kind).into()
        } else {
            example.clone()
        };
    }
}
