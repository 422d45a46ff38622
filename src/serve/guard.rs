//! Who may ask, decided before anything else looks at a request: not another web site through a
//! visitor's browser (DNS rebinding, cross-site requests), not a stranger where a token is set.
//! It also puts the security headers on every answer, and the span and line of the log on each, and counts it.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use poem::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use poem::{Endpoint, Middleware, PathPattern, Request, Response, Result};
use tracing::Instrument;

use super::listener::Connections;
use crate::api::{ClientGone, Problem, access};
use crate::app::{App, ServerMetrics};
use crate::config::Config;
use crate::web;

/// Scripts and styles are files of ours; nothing is loaded from elsewhere.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
/// Swagger UI comes as one page with its script and style in it. It shows only our own document.
const DOCS_POLICY: &str = "default-src 'none'; script-src 'self' 'unsafe-inline'; \
    style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; \
    frame-ancestors 'none'";

/// Stands in front of the whole server.
pub struct Guard {
    config: Arc<Config>,
    metrics: Arc<ServerMetrics>,
    connections: Connections,
}

impl Guard {
    /// A guard by the settings of this program, of these connections.
    pub fn new(app: &App, connections: Connections) -> Self {
        Self {
            config: Arc::clone(&app.config),
            metrics: Arc::clone(app.metrics()),
            connections,
        }
    }
}

impl<E: Endpoint> Middleware<E> for Guard {
    type Output = Guarded<E>;

    fn transform(&self, inner: E) -> Self::Output {
        Guarded {
            inner,
            config: Arc::clone(&self.config),
            metrics: Arc::clone(&self.metrics),
            connections: self.connections.clone(),
        }
    }
}

/// An endpoint behind the guard.
pub struct Guarded<E> {
    inner: E,
    config: Arc<Config>,
    metrics: Arc<ServerMetrics>,
    connections: Connections,
}

impl<E: Endpoint> Endpoint for Guarded<E> {
    type Output = Response;

    async fn call(&self, mut request: Request) -> Result<Response> {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let span = tracing::info_span!("http", %method, %path);
        async {
            let begun = Instant::now();
            let _active = self.metrics.request_came();
            let answering = self.connections.answering(request.remote_addr());
            if let Some(answering) = &answering {
                let gone = ClientGone(answering.gone());
                request.extensions_mut().insert(gone);
            }
            let mut response = match refusal(&self.config, &request) {
                Some(refusal) => refusal,
                None => self.inner.get_response(request).await,
            };
            harden(&path, response.headers_mut());
            let route = response.data::<PathPattern>().map(|it| template(&it.0));
            let (status, took) = (response.status(), begun.elapsed().as_secs_f64());
            self.metrics
                .answered(method.as_str(), route.as_deref(), status.as_u16(), took);
            log(&method, status, took);
            Ok(response)
        }
        .instrument(span)
        .await
    }
}

/// A route by the names of its parameters; those of the API are numbered by the framework.
fn template(pattern: &str) -> String {
    let first = if pattern.starts_with("/api/models/") {
        ":name"
    } else {
        ":id"
    };
    pattern
        .replace(":param0", first)
        .replace(":param1", ":turn")
}

/// Reading is told only to those who look closely; a page asks every few seconds.
fn log(method: &Method, status: StatusCode, seconds: f64) {
    let (status, milliseconds) = (status.as_u16(), seconds * 1000.0);
    if status >= 500 {
        tracing::warn!(status, milliseconds, "answered with an error");
    } else if method.is_safe() {
        tracing::debug!(status, milliseconds, "answered");
    } else {
        tracing::info!(status, milliseconds, "answered");
    }
}

/// The answer to who may not ask; `None` to who may.
fn refusal(config: &Config, request: &Request) -> Option<Response> {
    let path = request.uri().path();
    let refused = |status, detail: String| Some(refused(request, status, detail));
    let Some(host) = host(request) else {
        return refused(400, "the request does not name one host".to_owned());
    };
    // Who asks whether it lives calls it by any name, and learns no more than its version and commit.
    if path != "/healthz" && !is_own_host(config, &host) {
        let detail =
            format!("`{host}` is not a name of this server; add it to `allowed_hosts` if it is");
        return refused(403, detail);
    }
    if !request.method().is_safe() && is_foreign(request.headers(), &host) {
        return refused(403, "the request comes from another web site".to_owned());
    }
    let length = request.headers().get(header::CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    let most = config.limits.max_body_bytes;
    // Read as it comes, and not kept: it may be as large as it is.
    let is_bounded = !matches!(path, "/api/benchmarks/import" | "/ui/history/import");
    if is_bounded && length.is_some_and(|length| length > most as u64) {
        return refused(413, format!("the body has more than {most} bytes"));
    }
    let open = matches!(path, "/healthz" | "/readyz" | "/login")
        || path.starts_with("/assets/")
        || (path == "/metrics" && config.metrics.open);
    if open || access::is_allowed(config, request) {
        return None;
    }
    if request.method() == Method::GET && web::is_of_person(request) {
        let back = request.uri().path_and_query().map_or("/", |it| it.as_str());
        let login = format!(
            "/login?next={}",
            utf8_percent_encode(back, NON_ALPHANUMERIC)
        );
        let redirect = Response::builder().status(StatusCode::SEE_OTHER);
        return Some(redirect.header(header::LOCATION, login).finish());
    }
    let detail = if web::is_of_person(request) {
        "The session has ended: sign in in another tab, then go back and try again."
    } else {
        "send the API token as `Authorization: Bearer …`"
    };
    refused(401, detail.to_owned())
}

/// A page for people, a problem for programs.
fn refused(request: &Request, status: u16, detail: String) -> Response {
    let problem = Problem::new(status, detail);
    let page = web::is_of_person(request).then(|| web::page_of(&problem).ok());
    page.flatten()
        .unwrap_or_else(|| poem::Error::from(problem).into_response())
}

/// Host and port that the request is addressed to.
fn host(request: &Request) -> Option<String> {
    let mut named = request.headers().get_all(header::HOST).iter();
    let first = named.next();
    // An address with a host in it is stronger than the header (RFC 9112, section 3.2.2).
    let authority = request.uri().authority();
    let authority = authority.map(poem::http::uri::Authority::as_str);
    authority
        .or_else(|| first?.to_str().ok())
        .filter(|host| named.next().is_none() && !host.is_empty())
        .map(str::to_ascii_lowercase)
}

/// The host without its port; an IPv6 address without its brackets.
fn name_of(host: &str) -> &str {
    if let Some(rest) = host.strip_prefix('[') {
        return rest.split_once(']').map_or(rest, |(address, _)| address);
    }
    host.rsplit_once(':').map_or(host, |(name, _)| name)
}

/// A site that rebinds its name to our address still calls us by its own name. An address is no
/// name: whoever's page is at it is served from here.
fn is_own_host(config: &Config, host: &str) -> bool {
    let name = name_of(host).trim_end_matches('.');
    let is = |own: &String| own.eq_ignore_ascii_case(name) || own.eq_ignore_ascii_case(host);
    name == "localhost"
        || name.ends_with(".localhost")
        || name.parse::<IpAddr>().is_ok()
        || is(&config.host)
        || config.allowed_hosts.iter().any(is)
}

/// Browsers say where a request comes from; programs do not, and no site can speak through them.
fn is_foreign(headers: &HeaderMap, host: &str) -> bool {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    if let Some(site) = text("sec-fetch-site") {
        return !matches!(site, "same-origin" | "none");
    }
    text("origin").is_some_and(|origin| {
        let authority = origin
            .split_once("://")
            .map_or("", |(_, authority)| authority);
        !authority.eq_ignore_ascii_case(host)
    })
}

fn harden(path: &str, headers: &mut HeaderMap) {
    let docs = path == "/docs" || path.starts_with("/docs/");
    let mut set = |name: &'static str, value: &'static str| {
        headers.insert(name, HeaderValue::from_static(value));
    };
    set(
        "content-security-policy",
        if docs { DOCS_POLICY } else { POLICY },
    );
    set("x-content-type-options", "nosniff");
    set("referrer-policy", "same-origin");
    set("cross-origin-opener-policy", "same-origin");
    set("cross-origin-resource-policy", "same-origin");
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(
            header::CACHE_CONTROL,
            HeaderValue::from_static("private, no-cache"),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn status(request: &[(&str, &str)], method: Method, config: &Config) -> Option<u16> {
        let mut builder = Request::builder().method(method);
        for (name, value) in request {
            builder = builder.header(*name, *value);
        }
        refusal(config, &builder.finish()).map(|response| response.status().as_u16())
    }

    #[test]
    fn a_foreign_name_is_refused() {
        let config = Config {
            host: "bench.lan".into(),
            allowed_hosts: vec!["gpu-box".into(), "proxy:8443".into()],
            ..Config::default()
        };
        for own in [
            "localhost:8000",
            "LOCALHOST",
            "x.localhost:1",
            "127.0.0.1:8000",
            "[::1]:8000",
            "192.0.2.7:80",
            "bench.lan:8000",
            "gpu-box:1",
            "proxy:8443",
            "localhost.:8000",
        ] {
            assert_eq!(
                status(&[("host", own)], Method::GET, &config),
                None,
                "{own}"
            );
        }
        for foreign in [
            "evil.example",
            "localhost.evil.example:8000",
            "proxy:1",
            "xlocalhost",
        ] {
            assert_eq!(
                status(&[("host", foreign)], Method::GET, &config),
                Some(403),
                "{foreign}"
            );
        }
        assert_eq!(status(&[], Method::GET, &config), Some(400));
        let twice = [("host", "localhost"), ("host", "evil.example")];
        assert_eq!(status(&twice, Method::GET, &config), Some(400));
    }

    #[test]
    fn a_foreign_origin_may_not_change_anything() {
        let config = Config::default();
        let post = |headers: &[(&str, &str)]| {
            let host = [("host", "localhost:8000")];
            status(&[&host[..], headers].concat(), Method::POST, &config)
        };
        assert_eq!(post(&[]), None);
        assert_eq!(post(&[("origin", "http://localhost:8000")]), None);
        assert_eq!(post(&[("sec-fetch-site", "same-origin")]), None);
        for foreign in ["http://localhost:3000", "https://evil.example", "null", ""] {
            assert_eq!(post(&[("origin", foreign)]), Some(403), "{foreign}");
        }
        assert_eq!(post(&[("sec-fetch-site", "same-site")]), Some(403));
        assert_eq!(post(&[("sec-fetch-site", "cross-site")]), Some(403));
        let read = [("host", "localhost"), ("origin", "https://evil.example")];
        assert_eq!(status(&read, Method::GET, &config), None);
    }

    #[test]
    fn without_the_token_programs_are_refused_and_people_asked() {
        let config = Config {
            api_token: "secret".into(),
            ..Config::default()
        };
        let get = |headers: &[(&str, &str)]| {
            let host = [("host", "localhost")];
            status(&[&host[..], headers].concat(), Method::GET, &config)
        };
        assert_eq!(get(&[]), Some(401));
        assert_eq!(get(&[("accept", "text/html,*/*")]), Some(303));
        assert_eq!(get(&[("authorization", "Bearer secret")]), None);
    }
}
