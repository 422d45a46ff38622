//! Where an API token is set, a browser shows it here once and gets a cookie for it.

use std::time::Duration;

use poem::http::header;
use poem::web::Data;
use poem::{Body, Request, Response, handler};
use serde_json::json;

use super::form::Fields;
use super::page;
use crate::api::{Problem, access};
use crate::app::App;

#[handler]
pub fn view(Data(app): Data<&App>, request: &Request) -> Result<Response, Problem> {
    let query = Fields::of_query(request)?;
    let next = own_address(query.text("next"));
    if app.config.api_token.reveal().is_none() {
        return Ok(page::see_other(next));
    }
    page::render(
        200,
        "login.html",
        json!({ "next": next, "is_wrong": false }),
    )
}

/// How long a wrong token is thought about.
const AFTER_WRONG_TOKEN: Duration = Duration::from_secs(1);

#[handler]
pub async fn login(app: Data<&App>, body: Body) -> Result<Response, Problem> {
    let fields = Fields::of_body(&app, body).await?;
    let next = own_address(fields.text("next"));
    let Some(cookie) = access::session_cookie(&app.config, fields.text("token").trim()) else {
        // Who guesses shall not guess quickly.
        tokio::time::sleep(AFTER_WRONG_TOKEN).await;
        tracing::warn!("somebody tried to sign in with a wrong token");
        return page::render(422, "login.html", json!({ "next": next, "is_wrong": true }));
    };
    let mut response = page::see_other(next);
    let cookie = cookie
        .parse()
        .map_err(|_| Problem::new(500, "no cookie could be made"))?;
    response.headers_mut().insert(header::SET_COOKIE, cookie);
    Ok(response)
}

/// Only an address on this server: `//host` and `/\host` lead elsewhere.
fn own_address(text: &str) -> &str {
    let is_own = text.starts_with('/')
        && !text.starts_with("//")
        && !text.contains(['\\', '\n', '\r', '\t'])
        && text.is_ascii();
    if is_own { text } else { "/" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_sent_elsewhere() {
        assert_eq!(own_address("/history?q=x"), "/history?q=x");
        for elsewhere in [
            "",
            "history",
            "//evil.example",
            "/\\evil.example",
            "https://evil.example",
            "/\t/evil",
        ] {
            assert_eq!(own_address(elsewhere), "/", "{elsewhere:?}");
        }
    }
}
