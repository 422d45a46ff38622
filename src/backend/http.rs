//! Questions to a model server that are not timed: models, versions, placement.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::BackendError;
use super::stream::error_text;
use crate::config::Secret;

/// Long enough for a server that is busy loading, short enough for a page that waits.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Questions come in bursts, such as when many runs are asked for at once. What is kept open for the next ones costs
/// a file handle here and one at the model server.
const IDLE_CONNECTIONS: usize = 4;
/// How long they are kept.
const IDLE_TIME: Duration = Duration::from_secs(5);
/// A list of a thousand models is some 300 KB.
const MAX_BODY_BYTES: usize = 32 << 20;

/// A client for one model server.
#[derive(Clone)]
pub struct Http {
    backend: String,
    base: String,
    token: Secret,
    client: reqwest::Client,
    advice: &'static str,
}

impl Http {
    /// A client for the server at `base`. Redirects are not followed, so that a token never
    /// leaves for another host; no proxy is used, since it would be measured too.
    pub fn new(
        backend: &str,
        base: &str,
        token: Secret,
        advice: &'static str,
    ) -> Result<Self, BackendError> {
        let base = base.trim_end_matches('/').to_owned();
        let builder = || {
            reqwest::Client::builder()
                .redirect(reqwest::redirect::Policy::none())
                .no_proxy()
                .connect_timeout(Duration::from_secs(3))
                .pool_max_idle_per_host(IDLE_CONNECTIONS)
                .pool_idle_timeout(IDLE_TIME)
                .timeout(TIMEOUT)
        };
        // Reading the machine's certificates takes milliseconds and fails where there are none, so
        // it is done only for those who need them. Without any, `https` says so when it is used.
        let trusting_nobody = || builder().tls_certs_only([]).build();
        let client = if base.starts_with("https:") {
            builder().build().or_else(|_| trusting_nobody())
        } else {
            trusting_nobody()
        };
        let client = client.map_err(|error| BackendError::Unreachable {
            backend: backend.to_owned(),
            url: base.clone(),
            reason: error.to_string(),
            advice: "check the TLS set-up of this machine".into(),
        })?;
        Ok(Self {
            backend: backend.to_owned(),
            base,
            token,
            client,
            advice,
        })
    }

    /// The backend's name.
    pub fn backend(&self) -> &str {
        &self.backend
    }

    /// The server's address, without credentials.
    pub fn public_base(&self) -> String {
        match self.base.split_once("://") {
            Some((scheme, rest)) => {
                format!(
                    "{scheme}://{}",
                    rest.rsplit_once('@').map_or(rest, |(_, host)| host)
                )
            }
            None => self.base.clone(),
        }
    }

    /// The token to send.
    pub fn token(&self) -> &Secret {
        &self.token
    }

    /// The address of a timed call, checked when the backend was made.
    pub fn uri(&self, path: &str) -> hyper::Uri {
        format!("{}{path}", self.base).parse().unwrap_or_default()
    }

    /// Asks and reads a JSON answer.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, BackendError> {
        self.answer(self.client.get(format!("{}{path}", self.base)))
            .await
    }

    /// Sends JSON and reads a JSON answer.
    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, BackendError> {
        self.answer(self.client.post(format!("{}{path}", self.base)).json(body))
            .await
    }

    /// The same with another time to wait.
    pub async fn post_within<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
        timeout: Duration,
    ) -> Result<T, BackendError> {
        let request = self.client.post(format!("{}{path}", self.base));
        self.answer(request.json(body).timeout(timeout)).await
    }

    async fn answer<T: DeserializeOwned>(
        &self,
        mut request: reqwest::RequestBuilder,
    ) -> Result<T, BackendError> {
        if let Some(token) = self.token.reveal() {
            request = request.bearer_auth(token);
        }
        let mut response = request
            .send()
            .await
            .map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        let mut body = Vec::new();
        while let Some(bytes) = response
            .chunk()
            .await
            .map_err(|error| self.unreachable(&error))?
        {
            body.extend_from_slice(&bytes);
            if body.len() > MAX_BODY_BYTES {
                return Err(self.protocol("the answer is too large"));
            }
        }
        if !status.is_success() {
            return Err(BackendError::Refused {
                backend: self.backend.clone(),
                status: status.as_u16(),
                message: error_text(status.as_u16(), &body),
            });
        }
        serde_json::from_slice(&body).map_err(|error| self.protocol(&error.to_string()))
    }

    fn protocol(&self, reason: &str) -> BackendError {
        BackendError::Protocol {
            backend: self.backend.clone(),
            reason: reason.to_owned(),
        }
    }

    fn unreachable(&self, error: &reqwest::Error) -> BackendError {
        let mut deepest: &dyn std::error::Error = error;
        while let Some(cause) = deepest.source() {
            deepest = cause;
        }
        let reason = if error.is_timeout() {
            "no answer in time".to_owned()
        } else {
            deepest.to_string()
        };
        BackendError::Unreachable {
            backend: self.backend.clone(),
            url: self.public_base(),
            reason,
            advice: self.advice.to_owned(),
        }
    }
}
