//! Who may ask, where an API token is configured: programs carry it in `Authorization`, browsers
//! trade it for a cookie once. Tokens are compared in constant time and never logged.

use poem::Request;
use poem::http::header;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::config::Config;

/// Name of the cookie.
const COOKIE: &str = "benchmarker_session";

/// Whether the request may go on.
pub fn is_allowed(config: &Config, request: &Request) -> bool {
    let Some(token) = config.api_token.reveal() else {
        return true;
    };
    let text = |name| {
        request
            .headers()
            .get(name)
            .and_then(|value| value.to_str().ok())
    };
    let bearer = text(header::AUTHORIZATION)
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .is_some_and(|(_, offered)| is_same(offered.trim(), token));
    let session = session(token);
    let mut cookies = text(header::COOKIE)
        .into_iter()
        .flat_map(|value| value.split(';'));
    bearer
        || cookies.any(|cookie| {
            cookie
                .trim()
                .split_once('=')
                .is_some_and(|(name, value)| name == COOKIE && is_same(value, &session))
        })
}

/// The `Set-Cookie` that a browser gets for the right token; `None` for a wrong one.
pub fn session_cookie(config: &Config, offered: &str) -> Option<String> {
    let token = config.api_token.reveal()?;
    is_same(offered, token).then(|| {
        format!(
            "{COOKIE}={}; Path=/; HttpOnly; SameSite=Strict; Max-Age=2592000",
            session(token)
        )
    })
}

/// What the cookie holds: made from the token, so that it ends with it, and not the token itself.
fn session(token: &str) -> String {
    hex::encode(Sha256::digest(format!(
        "ollama-benchmarker session {token}"
    )))
}

/// Compares digests: neither content nor length shows in the time taken.
fn is_same(offered: &str, expected: &str) -> bool {
    Sha256::digest(offered)
        .ct_eq(&Sha256::digest(expected))
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(token: &str, name: header::HeaderName, value: &str) -> bool {
        let config = Config {
            api_token: token.into(),
            ..Config::default()
        };
        is_allowed(&config, &Request::builder().header(name, value).finish())
    }

    #[test]
    fn only_the_token_or_its_cookie_opens() {
        assert!(allowed("", header::ACCEPT, "x"));
        assert!(allowed("secret", header::AUTHORIZATION, "Bearer secret"));
        assert!(allowed("secret", header::AUTHORIZATION, "bearer  secret"));
        assert!(!allowed("secret", header::AUTHORIZATION, "Bearer secre"));
        assert!(!allowed("secret", header::AUTHORIZATION, "Basic secret"));
        assert!(!allowed(
            "secret",
            header::COOKIE,
            "benchmarker_session=secret"
        ));
        assert!(!allowed("secret", header::ACCEPT, "x"));
        let config = Config {
            api_token: "secret".into(),
            ..Config::default()
        };
        let cookie = session_cookie(&config, "secret").unwrap();
        let pair = format!("other=1; {}", cookie.split(';').next().unwrap());
        assert!(allowed("secret", header::COOKIE, &pair));
        assert!(!allowed("changed", header::COOKIE, &pair));
        assert_eq!(session_cookie(&config, "wrong"), None);
    }
}
