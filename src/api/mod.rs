//! The HTTP API: one file a resource, each thin (parse, call one function of [`App`], present).
//! The OpenAPI document is generated from it. No page is made here.

pub mod access;
mod benchmarks;
mod document;
mod examples;
mod exchange;
mod following;
mod health;
mod methods;
mod metrics;
mod models;
mod nova;
mod nova_examples;
mod nova_replay;
mod payload;
mod problem;
mod prompts;
mod statistics;
mod system;
mod views;

use std::sync::{Arc, LazyLock};

use poem::endpoint::BoxEndpoint;
use poem::http::{StatusCode, header};
use poem::{Endpoint, EndpointExt, IntoEndpoint, Request, Response, Route, get};
use poem_openapi::{OpenApiService, Tags};
use tokio_util::sync::CancellationToken;

pub use document::{document, text};
pub use exchange::take_in;
pub use payload::whole;
pub use problem::{Problem, refused};

use self::methods::Methods;
use crate::app::App;
use crate::version::VERSION;

/// Cancelled when the client of a request has closed its connection: an answer is made all the same, but
/// nobody hears it.
#[derive(Clone)]
pub struct ClientGone(pub CancellationToken);

/// The parts of the API.
#[derive(Tags)]
enum Part {
    /// Run benchmarks and read what they found.
    Benchmarks,
    /// What can be measured.
    Models,
    /// This machine and what it is connected to.
    System,
    /// Ask agents, and what they remember.
    Nova,
    /// Prompts saved for later.
    Prompts,
    /// Views of the history saved by a name.
    Views,
    /// Whether the program works.
    Health,
}

type Resources = (
    benchmarks::Benchmarks,
    exchange::Exchange,
    models::Models,
    nova::Nova,
    nova::Sessions,
    nova::Memory,
    nova_replay::Replays,
    prompts::Prompts,
    statistics::Statistics,
    system::System,
    views::Views,
    health::Health,
    metrics::Metrics,
);

fn service() -> OpenApiService<Resources, ()> {
    let resources = (
        benchmarks::Benchmarks,
        exchange::Exchange,
        models::Models,
        nova::Nova,
        nova::Sessions,
        nova::Memory,
        nova_replay::Replays,
        prompts::Prompts,
        statistics::Statistics,
        system::System,
        views::Views,
        health::Health,
        metrics::Metrics,
    );
    OpenApiService::new(resources, "Ollama Benchmarker", VERSION)
        .description(
            "Runs benchmarks on local language models, times every chunk at arrival, keeps the \
             results and compares them. Durations are seconds, sizes bytes, shares percent; a \
             figure that cannot be known is null.",
        )
        .license(poem_openapi::LicenseObject::new("MIT").url("https://opensource.org/license/mit"))
        .server(poem_openapi::ServerObject::new("/").description("This server"))
}

/// `/api`, the health routes, the figures for monitoring, the specification and Swagger UI.
pub fn routes(app: App) -> Route {
    let endpoint: Arc<BoxEndpoint<'static, Response>> = Arc::new(
        service()
            .into_endpoint()
            .data(app)
            .catch_all_error(refused)
            .around(|endpoint, request| async move {
                with_methods(endpoint, with_whole_name(request)).await
            })
            .boxed(),
    );
    Route::new()
        .nest_no_strip("/api", Arc::clone(&endpoint))
        // Nested, although they hold nothing: so each knows its route by one name.
        .nest_no_strip("/healthz", Arc::clone(&endpoint))
        .nest_no_strip("/readyz", Arc::clone(&endpoint))
        .nest_no_strip("/metrics", endpoint)
        .at("/openapi.json", get(document::serve("application/json")))
        .at("/openapi.yaml", get(document::serve("application/yaml")))
        .nest("/docs", document::Explorer)
}

/// Answers, and says to whoever used another method which ones the route takes.
async fn with_methods(
    endpoint: impl Endpoint<Output = Response>,
    request: Request,
) -> poem::Result<Response> {
    // Making the document takes a while, and few ask so.
    static METHODS: LazyLock<Methods> = LazyLock::new(|| Methods::of(&document()));
    let path = request.uri().path().to_owned();
    let mut response = endpoint.call(request).await?;
    if response.status() == StatusCode::METHOD_NOT_ALLOWED
        && let Some(methods) = METHODS.of_path(&path)
    {
        response.headers_mut().insert(header::ALLOW, methods);
    }
    Ok(response)
}

/// Names of models hold slashes (`hf.co/maker/model`): what follows `/api/models/` is one name.
fn with_whole_name(mut request: Request) -> Request {
    const MODELS: &str = "/api/models/";
    let uri = request.uri().to_string();
    if let Some((before, name)) = uri.split_once(MODELS)
        && request.uri().query().is_none()
        && name.contains('/')
        && let Ok(whole) = format!("{before}{MODELS}{}", name.replace('/', "%2F")).parse()
    {
        *request.uri_mut() = whole;
    }
    request
}
