//! This machine and what it is connected to.

use std::pin::Pin;
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use poem::web::Data;
use poem::web::sse::Event;
use poem_openapi::OpenApi;
use poem_openapi::payload::EventStream;

use super::Part;
use super::payload::Answer;
use super::problem::Failure;
use crate::app::{App, AppError, Watched};
use crate::record::{Calibration, SystemNow};

/// The routes.
pub struct System;

/// Often enough to watch, seldom enough to cost nothing.
const INTERVAL: Duration = Duration::from_secs(2);

type Looks = EventStream<Pin<Box<dyn Stream<Item = SystemNow> + Send>>>;

#[OpenApi]
#[expect(
    clippy::unused_async,
    reason = "the framework takes only async functions"
)]
impl System {
    /// Show this machine and the backends, now
    #[oai(
        path = "/api/system",
        method = "get",
        tag = "Part::System",
        operation_id = "getSystem"
    )]
    async fn now(&self, app: Data<&App>) -> Result<Answer<SystemNow>, Failure> {
        Ok(Answer(app.system().await))
    }

    /// Show how well this machine can measure
    ///
    /// The newest calibration of this machine by this version of the program. It is made unasked
    /// when nothing else goes on (`calibration.automatic`), or by `ollama-benchmarker calibrate`.
    #[oai(
        path = "/api/system/calibration",
        method = "get",
        tag = "Part::System",
        operation_id = "getCalibration"
    )]
    async fn calibration(&self, app: Data<&App>) -> Result<Answer<Calibration>, Failure> {
        let found = app.calibration().await?;
        Ok(Answer(found.ok_or(AppError::NotCalibrated)?))
    }

    /// Watch this machine and the backends
    ///
    /// Server-sent events of type `system`, one every two seconds.
    #[oai(
        path = "/api/system/events",
        method = "get",
        tag = "Part::System",
        operation_id = "watchSystem"
    )]
    async fn events(&self, app: Data<&App>) -> Result<Looks, Failure> {
        let app = app.clone();
        let keep_alive = super::following::keep_alive(&app);
        let stopping = app.stopping().cancelled_owned();
        let open = app.watching(Watched::System);
        let begin = (app, open, true);
        let looks = futures_util::stream::unfold(begin, |(app, open, first)| async move {
            if !first {
                tokio::time::sleep(INTERVAL).await;
            }
            Some((app.system().await, (app, open, false)))
        });
        let looks: Pin<Box<dyn Stream<Item = SystemNow> + Send>> =
            Box::pin(looks.take_until(stopping));
        Ok(EventStream::new(looks)
            .keep_alive(keep_alive)
            .to_event(|look| {
                Event::message(serde_json::to_string(&look).unwrap_or_default())
                    .event_type("system")
            }))
    }
}
