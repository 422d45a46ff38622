//! The agent's own small server: it answers what its machine is, what time it is there, and what the
//! machine does from now on. It changes nothing and keeps nothing.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures_util::stream;
use poem::http::{Method, StatusCode, header};
use poem::listener::TcpAcceptor;
use poem::{Body, Endpoint, Request, Response, Server};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use super::{Clock, Line};
use crate::config::{BackendKind, Secret};
use crate::machine::{self, Lookup, Machine, Sampler, Sampling, Target};

/// Most streams at once.
const MOST_STREAMS: usize = 16;
/// Samples that wait for a slow reader; beyond it the oldest are not told.
const BACKLOG: usize = 256;
/// Intervals that are granted, s.
const INTERVALS: std::ops::RangeInclusive<f64> = 0.02..=60.0;
/// Longest name of a process that is looked for, bytes.
const LONGEST_NAME: usize = 200;

/// Serves until `shutdown` is done.
pub async fn serve(
    machine: Arc<Machine>,
    token: Secret,
    listener: TcpListener,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let stopping = CancellationToken::new();
    let desk = Desk {
        machine,
        token,
        begun: Instant::now(),
        wall: SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs_f64(),
        places: Arc::new(Semaphore::new(MOST_STREAMS)),
        stopping: stopping.clone(),
    };
    let told = async {
        shutdown.await;
        stopping.cancel();
    };
    Server::new_with_acceptor(TcpAcceptor::from_tokio(listener)?)
        .run_with_graceful_shutdown(desk, told, Some(Duration::from_secs(2)))
        .await
}

struct Desk {
    machine: Arc<Machine>,
    token: Secret,
    begun: Instant,
    /// Wall clock at `begun`. From there the time goes on by the monotonic clock, whose steps are even.
    wall: f64,
    places: Arc<Semaphore>,
    stopping: CancellationToken,
}

impl Endpoint for Desk {
    type Output = Response;

    async fn call(&self, request: Request) -> poem::Result<Response> {
        if request.uri().path() == "/healthz" {
            return Ok(text(StatusCode::OK, "alive\n"));
        }
        if !self.is_allowed(&request) {
            return Ok(text(
                StatusCode::UNAUTHORIZED,
                "the token is missing or wrong\n",
            ));
        }
        if request.method() != Method::GET {
            return Ok(text(
                StatusCode::METHOD_NOT_ALLOWED,
                "an agent only answers GET\n",
            ));
        }
        Ok(match request.uri().path() {
            "/v1/clock" => json(&Clock { now: self.now() }),
            "/v1/machine" => self.describe().await,
            "/v1/samples" => self.samples(&request).await,
            _ => text(
                StatusCode::NOT_FOUND,
                "here are /healthz, /v1/clock, /v1/machine and /v1/samples\n",
            ),
        })
    }
}

impl Desk {
    fn now(&self) -> f64 {
        self.wall + self.begun.elapsed().as_secs_f64()
    }

    fn is_allowed(&self, request: &Request) -> bool {
        let Some(token) = self.token.reveal() else {
            return true;
        };
        let offered = request.header(header::AUTHORIZATION).unwrap_or_default();
        let offered = offered.strip_prefix("Bearer ").unwrap_or_default();
        // Digests: neither content nor length shows in the time taken.
        let digest = |text: &str| Sha256::digest(text.trim().as_bytes());
        digest(offered).ct_eq(&digest(token)).into()
    }

    async fn describe(&self) -> Response {
        let machine = Arc::clone(&self.machine);
        let described = tokio::task::spawn_blocking(move || super::Machine {
            system_info: machine.info(),
            host: machine::hostname(),
        });
        match described.await {
            Ok(machine) => json(&machine),
            Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, &format!("{error}\n")),
        }
    }

    /// A stream of samples, one JSON object a line, until the reader goes away.
    async fn samples(&self, request: &Request) -> Response {
        let wanted = match Wanted::parse(request.uri().query().unwrap_or_default()) {
            Ok(wanted) => wanted,
            Err(reason) => return text(StatusCode::UNPROCESSABLE_ENTITY, &format!("{reason}\n")),
        };
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            return text(
                StatusCode::TOO_MANY_REQUESTS,
                "too many readers; try again later\n",
            );
        };
        let (sender, lines) = mpsc::channel(BACKLOG);
        let machine = Arc::clone(&self.machine);
        let started = tokio::task::spawn_blocking(move || {
            let sampling = Sampling {
                baseline: Duration::ZERO,
                interval: wanted.interval,
                // The reader keeps them.
                max_samples: 2,
                targets: wanted.target.into_iter().collect(),
            };
            Sampler::start(&machine, sampling, move |sample| {
                // One that reads too slowly misses some.
                let _ = sender.try_send(sample.clone());
            })
        });
        let sampler = match started.await {
            Ok(Ok(sampler)) => sampler,
            Ok(Err(error)) => {
                return text(StatusCode::SERVICE_UNAVAILABLE, &format!("{error}\n"));
            }
            Err(error) => {
                return text(StatusCode::INTERNAL_SERVER_ERROR, &format!("{error}\n"));
            }
        };
        let zero = self.wall
            + sampler
                .zero()
                .saturating_duration_since(self.begun)
                .as_secs_f64();
        let reading = Reading {
            lines,
            zero,
            stopping: self.stopping.clone(),
            _sampler: sampler,
            _place: place,
        };
        let lines = stream::unfold(reading, |mut reading| async {
            let sample = tokio::select! {
                sample = reading.lines.recv() => sample?,
                () = reading.stopping.cancelled() => return None,
            };
            let line = Line {
                at: reading.zero + sample.offset,
                sample,
            };
            let mut text = serde_json::to_vec(&line).ok()?;
            text.push(b'\n');
            Some((Ok::<_, io::Error>(text), reading))
        });
        Response::builder()
            .content_type("application/x-ndjson")
            .body(Body::from_bytes_stream(lines))
    }
}

/// One reader. The sampler ends when it goes.
struct Reading {
    lines: mpsc::Receiver<crate::record::Sample>,
    /// The agent's time at which offsets are zero.
    zero: f64,
    stopping: CancellationToken,
    _sampler: Sampler,
    _place: OwnedSemaphorePermit,
}

/// What a reader wants to know.
struct Wanted {
    interval: Duration,
    target: Option<Target>,
}

impl Wanted {
    fn parse(query: &str) -> Result<Self, String> {
        let mut interval = 0.25;
        let (mut kind, mut port, mut process) = (BackendKind::Ollama, None, String::new());
        for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            let value = percent_encoding::percent_decode_str(value).decode_utf8_lossy();
            match name {
                "interval" => {
                    let read = value.parse().ok();
                    let read = read.filter(|seconds| INTERVALS.contains(seconds));
                    interval = read.ok_or("interval must be from 0.02 to 60 seconds")?;
                }
                "kind" => {
                    kind = match value.as_ref() {
                        "ollama" => BackendKind::Ollama,
                        "openai" => BackendKind::Openai,
                        _ => return Err("kind must be `ollama` or `openai`".to_owned()),
                    };
                }
                "port" => port = Some(value.parse().map_err(|_| "port must be a number")?),
                "process" if value.len() <= LONGEST_NAME => process = value.into_owned(),
                _ => return Err(format!("`{name}` is not known here, or too long")),
            }
        }
        let lookup = machine::lookup(&process, kind, None, port);
        Ok(Self {
            interval: Duration::from_secs_f64(interval),
            target: lookup.map(|lookup: Lookup| Target {
                backend: AS_SEEN_HERE.to_owned(),
                lookup,
            }),
        })
    }
}

/// The reader knows for which backend it asked; here it has no name.
const AS_SEEN_HERE: &str = "";

fn json(value: &impl serde::Serialize) -> Response {
    match serde_json::to_vec(value) {
        Ok(body) => Response::builder()
            .content_type("application/json")
            .body(body),
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, &format!("{error}\n")),
    }
}

fn text(status: StatusCode, words: &str) -> Response {
    Response::builder()
        .status(status)
        .content_type("text/plain; charset=utf-8")
        .body(words.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_reader_wants_is_checked() {
        let wanted = Wanted::parse("interval=0.1&kind=openai&port=8080").unwrap();
        assert_eq!(wanted.interval, Duration::from_millis(100));
        assert!(matches!(
            wanted.target.map(|it| it.lookup),
            Some(Lookup::Listens { port: 8080, .. })
        ));
        let named = Wanted::parse("process=my%20server").unwrap().target;
        assert_eq!(
            named.map(|it| it.lookup),
            Some(Lookup::Name("my server".into()))
        );
        assert!(Wanted::parse("").is_ok());
        for wrong in [
            "interval=0",
            "interval=NaN",
            "kind=x",
            "port=x",
            "port=99999",
            "x=1",
        ] {
            assert!(Wanted::parse(wrong).is_err(), "{wrong}");
        }
    }
}
