//! Samples of another machine: where a model server runs elsewhere, `ollama-benchmarker agent` there
//! streams what its machine does, and a run reads it beside its own. Here is what the two say to each
//! other and the reading end; [`server`] is the other one.
//!
//! Both count time by clocks of their own. The reader asks the agent a few times what time it is and
//! takes the quickest answer, as NTP does (RFC 5905, section 8): it is wrong by half the round trip
//! at most.

pub mod server;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures_util::StreamExt;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::config::{BackendConfig, BackendKind, Secret};
use crate::machine::{Series, host_and_port};
use crate::record::{RemoteSamples, Sample, SystemInfo};

/// So often the agent is asked for the time.
const EXCHANGES: usize = 9;
/// A connection that takes longer is none.
const CONNECT: Duration = Duration::from_secs(3);
/// An answer that takes longer is none.
const ANSWER: Duration = Duration::from_secs(5);
/// So many intervals without a sample, and a second: then the stream is broken.
const SILENCE: u32 = 10;
/// A stream that broke is begun anew after so long.
const AGAIN_AFTER: Duration = Duration::from_secs(2);
/// Longest line that is read, bytes: a sample of a thousand cores is a hundredth of it.
const LONGEST_LINE: usize = 1 << 20;
/// Most bytes of one short answer.
const LONGEST_ANSWER: usize = 1 << 20;

/// The agent's clock, s since 1970 by its wall clock when it was started.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Clock {
    now: f64,
}

/// The machine of an agent.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Machine {
    system_info: SystemInfo,
    host: Option<String>,
}

/// A line of the stream of samples.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Line {
    /// When, by the agent's clock; the sample's own offset says nothing here.
    at: f64,
    sample: Sample,
}

/// An agent to be read.
#[derive(Clone)]
pub struct Agent {
    backend: String,
    base: String,
    token: Secret,
    /// Which of its processes are the model server.
    query: Vec<(&'static str, String)>,
}

/// Why an agent tells nothing.
#[derive(Debug, thiserror::Error)]
enum AgentError {
    #[error(
        "the agent at {base} cannot be reached: {reason}; start `ollama-benchmarker agent` there"
    )]
    Unreachable { base: String, reason: String },
    #[error("the agent at {base} answered {status}: check the backend's `agent_token`")]
    Refused { base: String, status: u16 },
    #[error("the agent at {base} answered something else than samples: {reason}")]
    Protocol { base: String, reason: String },
    #[error("the agent at {base} fell silent")]
    Silent { base: String },
}

/// How the agent's clock stands to this process's.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Offset {
    /// The agent's time − seconds since zero.
    agent: f64,
    /// How far that may be wrong, s.
    error: f64,
}

/// What is known so far.
struct Known {
    remote: RemoteSamples,
    series: Option<Series>,
}

impl Agent {
    /// The agent of a backend, where one is configured.
    pub fn of(backend: &str, settings: &BackendConfig) -> Option<Self> {
        let base = settings.agent_url.trim().trim_end_matches('/');
        if base.is_empty() {
            return None;
        }
        let mut query = vec![(
            "kind",
            match settings.kind {
                BackendKind::Ollama => "ollama".to_owned(),
                BackendKind::Openai => "openai".to_owned(),
            },
        )];
        if let Some((_, port)) = host_and_port(&settings.url) {
            query.push(("port", port.to_string()));
        }
        if !settings.process.trim().is_empty() {
            query.push(("process", settings.process.trim().to_owned()));
        }
        Some(Self {
            backend: backend.to_owned(),
            base: base.to_owned(),
            token: settings.agent_token.clone(),
            query,
        })
    }

    /// Reads its samples until [`Following::stop`]. Offsets count from `zero`; no more than
    /// `max_samples` are kept; `observer` sees every one.
    pub fn follow(
        self,
        zero: Instant,
        interval: Duration,
        max_samples: usize,
        mut observer: impl FnMut(&Sample) + Send + 'static,
    ) -> Following {
        let known = Arc::new(Mutex::new(Known {
            remote: RemoteSamples {
                backend: self.backend.clone(),
                ..RemoteSamples::default()
            },
            series: Some(Series::new(interval, max_samples)),
        }));
        let cancel = CancellationToken::new();
        let (kept, ended) = (Arc::clone(&known), cancel.clone());
        let task = tokio::spawn(async move {
            let reading = async {
                loop {
                    let end = self.read(zero, interval, &kept, &mut observer).await;
                    let Err(error) = end;
                    tracing::warn!(backend = %self.backend, %error, "no samples of the model's machine");
                    lock(&kept).remote.error = Some(error.to_string());
                    tokio::time::sleep(AGAIN_AFTER).await;
                }
            };
            tokio::select! {
                () = reading => {}
                () = ended.cancelled() => {}
            }
            // A clock that runs away from the other shows in a second look; one that could not be read
            // is not waited for again.
            if lock(&kept).remote.error.is_some() {
                return;
            }
            let last = tokio::time::timeout(ANSWER, self.offset(&self.client(), zero)).await;
            if let Ok(Ok(last)) = last {
                let mut known = lock(&kept);
                if let Some(error) = known.remote.clock_error {
                    let drift = known
                        .remote
                        .clock_offset
                        .map_or(0.0, |first| (wall_offset(last, zero) - first).abs());
                    known.remote.clock_error = Some(error.max(last.error).max(drift));
                }
            }
        });
        Following {
            known,
            cancel,
            task,
        }
    }

    /// Reads samples until something fails.
    async fn read(
        &self,
        zero: Instant,
        interval: Duration,
        known: &Mutex<Known>,
        observer: &mut impl FnMut(&Sample),
    ) -> Result<std::convert::Infallible, AgentError> {
        let client = self.client();
        let machine: Machine = self.get(&client, "/v1/machine").await?;
        let offset = self.offset(&client, zero).await?;
        {
            let mut known = lock(known);
            known.remote.system_info = machine.system_info;
            known.remote.host = machine.host;
            known.remote.clock_offset = Some(wall_offset(offset, zero));
            known.remote.clock_error = Some(offset.error);
        }
        let query = self.query.iter().map(|(name, value)| {
            let value = utf8_percent_encode(value, NON_ALPHANUMERIC);
            format!("&{name}={value}")
        });
        let query: String = query.collect();
        let path = format!("/v1/samples?interval={}{query}", interval.as_secs_f64());
        let answer = self.request(&client, &path).send();
        let answer = self.checked(tokio::time::timeout(ANSWER, answer).await)?;
        let mut stream = answer.bytes_stream();
        let mut rest: Vec<u8> = Vec::new();
        let patience = SILENCE * interval + Duration::from_secs(1);
        loop {
            let piece = match tokio::time::timeout(patience, stream.next()).await {
                Ok(Some(Ok(piece))) => piece,
                Ok(Some(Err(error))) => return Err(self.unreachable(&error)),
                Ok(None) | Err(_) => {
                    return Err(AgentError::Silent {
                        base: self.base.clone(),
                    });
                }
            };
            rest.extend_from_slice(&piece);
            while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                let line: Line = serde_json::from_slice(&rest[..end])
                    .map_err(|error| self.protocol(&error.to_string()))?;
                rest.drain(..=end);
                let mut sample = Sample {
                    offset: line.at - offset.agent,
                    ..line.sample
                };
                // The agent does not know what the server is called here.
                for server in &mut sample.servers {
                    server.backend.clone_from(&self.backend);
                }
                observer(&sample);
                let mut known = lock(known);
                known.remote.error = None;
                if let Some(series) = &mut known.series {
                    series.push(sample);
                }
            }
            if rest.len() > LONGEST_LINE {
                return Err(self.protocol("a line is too long"));
            }
        }
    }

    /// The quickest of some exchanges.
    async fn offset(&self, client: &reqwest::Client, zero: Instant) -> Result<Offset, AgentError> {
        let mut best: Option<Offset> = None;
        for _ in 0..EXCHANGES {
            let sent = Instant::now();
            let clock: Clock = self.get(client, "/v1/clock").await?;
            let error = sent.elapsed().as_secs_f64() / 2.0;
            let middle = seconds_since(zero, sent) + error;
            if best.is_none_or(|best| error < best.error) {
                best = Some(Offset {
                    agent: clock.now - middle,
                    error,
                });
            }
        }
        best.ok_or_else(|| self.protocol("it does not know the time"))
    }

    fn client(&self) -> reqwest::Client {
        let builder = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .tcp_nodelay(true)
            .connect_timeout(CONNECT);
        let builder = if self.base.starts_with("https:") {
            builder
        } else {
            builder.tls_certs_only([])
        };
        // It fails only where TLS cannot be set up; then the first request says so.
        builder.build().unwrap_or_default()
    }

    fn request(&self, client: &reqwest::Client, path: &str) -> reqwest::RequestBuilder {
        let request = client.get(format!("{}{path}", self.base));
        match self.token.reveal() {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    async fn get<T: serde::de::DeserializeOwned>(
        &self,
        client: &reqwest::Client,
        path: &str,
    ) -> Result<T, AgentError> {
        let answer = self.request(client, path).timeout(ANSWER).send().await;
        let mut stream = self.checked(Ok(answer))?.bytes_stream();
        let mut body = Vec::new();
        while let Some(piece) = stream.next().await {
            body.extend_from_slice(&piece.map_err(|error| self.unreachable(&error))?);
            if body.len() > LONGEST_ANSWER {
                return Err(self.protocol("its answer is too long"));
            }
        }
        serde_json::from_slice(&body).map_err(|error| self.protocol(&error.to_string()))
    }

    fn checked(
        &self,
        answer: Result<reqwest::Result<reqwest::Response>, tokio::time::error::Elapsed>,
    ) -> Result<reqwest::Response, AgentError> {
        let answer = answer.map_err(|_| AgentError::Silent {
            base: self.base.clone(),
        })?;
        let answer = answer.map_err(|error| self.unreachable(&error))?;
        if answer.status().is_success() {
            Ok(answer)
        } else {
            Err(AgentError::Refused {
                base: self.base.clone(),
                status: answer.status().as_u16(),
            })
        }
    }

    fn unreachable(&self, error: &reqwest::Error) -> AgentError {
        // The innermost cause says what happened; the outer ones repeat the address.
        let mut cause: &dyn std::error::Error = error;
        while let Some(inner) = cause.source() {
            cause = inner;
        }
        AgentError::Unreachable {
            base: self.base.clone(),
            reason: cause.to_string(),
        }
    }

    fn protocol(&self, reason: &str) -> AgentError {
        AgentError::Protocol {
            base: self.base.clone(),
            reason: reason.to_owned(),
        }
    }
}

/// Seconds from `zero` to a moment before or after it.
fn seconds_since(zero: Instant, moment: Instant) -> f64 {
    moment.saturating_duration_since(zero).as_secs_f64()
        - zero.saturating_duration_since(moment).as_secs_f64()
}

/// The agent's wall clock − this machine's, s.
fn wall_offset(offset: Offset, zero: Instant) -> f64 {
    let wall = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs_f64();
    offset.agent + seconds_since(zero, Instant::now()) - wall
}

fn lock(known: &Mutex<Known>) -> MutexGuard<'_, Known> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An agent that is being read.
pub struct Following {
    known: Arc<Mutex<Known>>,
    cancel: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Following {
    /// Stops reading and gives what was told.
    pub async fn stop(self) -> RemoteSamples {
        self.cancel.cancel();
        // It ends by itself, after one more look at the other clock.
        let _ = tokio::time::timeout(2 * ANSWER, self.task).await;
        let mut known = lock(&self.known);
        let mut remote = std::mem::take(&mut known.remote);
        if let Some(series) = known.series.take() {
            remote.samples = series.finish();
        }
        remote
    }
}
