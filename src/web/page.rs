//! From a template and values to an answer; errors become pages of the same status.

use std::sync::LazyLock;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, UndefinedBehavior};
use poem::error::{MethodNotAllowedError, NotFoundError};
use poem::http::{HeaderValue, StatusCode, header};
use poem::{Endpoint, IntoResponse, PathPattern, Request, Response};
use rust_embed::RustEmbed;
use serde::Serialize;

use super::{assets, figures};
use serde_json::json;

use crate::api::Problem;
use crate::version::VERSION;

#[derive(RustEmbed)]
#[folder = "$CARGO_MANIFEST_DIR/templates/pages"]
struct Templates;

/// What templates are kept in. A template that does not compile is left out here and found by the
/// tests, which render every page.
static ENVIRONMENT: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut environment = bare();
    for name in Templates::iter() {
        let Some(file) = Templates::get(&name) else {
            continue;
        };
        let source = String::from_utf8_lossy(&file.data).into_owned();
        if let Err(error) = environment.add_template_owned(name.to_string(), source) {
            tracing::error!(%error, template = %name, "a template is broken");
        }
    }
    environment
});

/// Everything of a model or a person is hostile: every template escapes what it prints.
fn bare() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    // Refused are only bad delimiters, and those stay as they are.
    if let Ok(syntax) = SyntaxConfig::builder()
        .trim_blocks(true)
        .lstrip_blocks(true)
        .build()
    {
        environment.set_syntax(syntax);
    }
    environment.add_function("asset", |name: &str| {
        assets::address(name).ok_or_else(|| no_asset(name))
    });
    // Our own files: a test sees to it that none ends the element that it stands in.
    environment.add_function("inline", |name: &str| {
        let (element, _) = assets::inline(name).ok_or_else(|| no_asset(name))?;
        Ok::<_, minijinja::Error>(minijinja::Value::from_safe_string(element.to_owned()))
    });
    environment.add_function("hash_of", |name: &str| {
        let (_, hash) = assets::inline(name).ok_or_else(|| no_asset(name))?;
        Ok::<_, minijinja::Error>(hash)
    });
    environment.add_global("version", VERSION);
    figures::add_to(&mut environment);
    environment
}

fn no_asset(name: &str) -> minijinja::Error {
    let kind = minijinja::ErrorKind::InvalidOperation;
    minijinja::Error::new(kind, format!("there is no asset {name}"))
}

/// What a template makes of values.
pub fn text(template: &str, values: impl Serialize) -> Result<String, Problem> {
    ENVIRONMENT
        .get_template(template)
        .and_then(|template| template.render(Serde(&values)))
        .map_err(|error| {
            tracing::error!(%error, template, "a page could not be made");
            Problem::new(500, "this page could not be made; the log tells more")
        })
}

/// A page or a fragment, answered with `status`.
pub fn render(status: u16, template: &str, values: impl Serialize) -> Result<Response, Problem> {
    let text = text(template, values)?;
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    Ok(Response::builder()
        .status(status)
        .content_type("text/html; charset=utf-8")
        // The same address answers a whole page or a part of it.
        .header(header::VARY, "HX-Request")
        .header(header::CACHE_CONTROL, "no-store")
        .body(text))
}

/// Go there and GET it.
pub fn see_other(address: &str) -> Response {
    match HeaderValue::from_str(address) {
        Ok(location) => Response::builder()
            .status(StatusCode::SEE_OTHER)
            .header(header::LOCATION, location)
            .finish(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// Whether a part of the page asks, to be put into it.
pub fn is_partial(request: &Request) -> bool {
    request.headers().contains_key("HX-Request")
}

/// Whether a browser shows the answer to a person; programs seldom say that they read HTML.
pub fn is_of_person(request: &Request) -> bool {
    let accept = request.headers().get(header::ACCEPT);
    accept
        .and_then(|value| value.to_str().ok())
        .is_some_and(|kinds| kinds.contains("text/html"))
}

/// Shows people what went wrong. Programs get the problem as it is.
pub async fn with_error_pages<E: Endpoint>(
    endpoint: std::sync::Arc<E>,
    request: Request,
) -> poem::Result<Response> {
    if !is_of_person(&request) && !is_partial(&request) {
        return endpoint
            .call(request)
            .await
            .map(IntoResponse::into_response);
    }
    match endpoint.call(request).await {
        Ok(response) => Ok(response.into_response()),
        Err(error) => {
            // By it the request is counted.
            let route = error.data::<PathPattern>().cloned();
            let mut response = error_page(error)?;
            if let Some(route) = route {
                response.set_data(route);
            }
            Ok(response)
        }
    }
}

fn error_page(error: poem::Error) -> poem::Result<Response> {
    let problem = if error.is::<NotFoundError>() {
        Problem::new(404, "There is no page at this address.")
    } else if error.is::<MethodNotAllowedError>() {
        Problem::new(405, "This address is not for that.")
    } else {
        error.downcast::<Problem>()?
    };
    Ok(page_of(&problem)?)
}

/// A problem as a page.
pub fn page_of(problem: &Problem) -> Result<Response, Problem> {
    let mut response = render(problem.status, "error.html", json!({ "problem": problem }))?;
    if let Some(seconds) = problem.retry_after {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, seconds.into());
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_template_compiles() {
        for name in Templates::iter() {
            assert!(ENVIRONMENT.get_template(&name).is_ok(), "{name}");
        }
    }

    #[test]
    fn every_template_escapes() {
        let hostile = "<script>alert(1)</script>&\"'";
        for name in Templates::iter() {
            let file = Templates::get(&name).unwrap();
            let source = std::str::from_utf8(&file.data).unwrap();
            for way_out in ["|safe", "| safe", "autoescape"] {
                assert!(!source.contains(way_out), "{name} holds {way_out}");
            }
            let mut environment = bare();
            let probe = "{{ probe }}".to_owned();
            environment
                .add_template_owned(name.to_string(), probe)
                .unwrap();
            let values = json!({ "probe": hostile });
            let text = environment
                .get_template(&name)
                .unwrap()
                .render(Serde(&values))
                .unwrap();
            assert!(!text.contains(['<', '>', '"', '\'']), "{name}: {text}");
        }
    }
}
