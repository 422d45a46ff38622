//! The figures for monitoring.

use poem::http::header;
use poem::web::Data;
use poem::{IntoResponse, Request, Response};
use poem_openapi::payload::Payload;
use poem_openapi::registry::MetaSchemaRef;
use poem_openapi::types::Type;
use poem_openapi::{ApiResponse, OpenApi, ResponseContent};

use super::Part;
use super::problem::Failure;
use crate::app::{App, MetricsFormat};

/// The route.
pub struct Metrics;

/// Prometheus' own text.
pub struct PrometheusText(String);

/// The text of OpenMetrics.
pub struct OpenMetricsText(String);

/// The figures as a text.
#[derive(ResponseContent)]
enum Figures {
    /// As Prometheus has it.
    Prometheus(PrometheusText),
    /// As OpenMetrics has it.
    OpenMetrics(OpenMetricsText),
}

/// The figures were written.
#[derive(ApiResponse)]
enum Scraped {
    /// Every figure, in the format that was asked for by `Accept`.
    #[oai(status = 200)]
    Figures(Figures),
}

macro_rules! texts {
    ($($payload:ident, $kind:literal, $sent:literal;)*) => {$(
        impl Payload for $payload {
            const CONTENT_TYPE: &'static str = $kind;

            fn schema_ref() -> MetaSchemaRef {
                String::schema_ref()
            }
        }

        impl IntoResponse for $payload {
            fn into_response(self) -> Response {
                Response::builder()
                    .content_type($sent)
                    .header(header::VARY, "accept")
                    .body(self.0)
            }
        }
    )*};
}

texts! {
    PrometheusText, "text/plain", "text/plain; version=0.0.4; charset=utf-8";
    OpenMetricsText, "application/openmetrics-text",
        "application/openmetrics-text; version=1.0.0; charset=utf-8";
}

#[OpenApi]
impl Metrics {
    /// Give the figures of this server to Prometheus
    ///
    /// Requests, runs, queue, models, errors, database and process, in Prometheus' text format, or in that of
    /// OpenMetrics where `Accept` names `application/openmetrics-text`. Where the server is configured with
    /// an API token, it is needed here too, unless `metrics.open` is set.
    #[oai(
        path = "/metrics",
        method = "get",
        tag = "Part::Health",
        operation_id = "getMetrics"
    )]
    async fn figures(&self, app: Data<&App>, request: &Request) -> Result<Scraped, Failure> {
        let format = format(request);
        let text = app.metrics_text(format).await;
        Ok(Scraped::Figures(match format {
            MetricsFormat::Prometheus => Figures::Prometheus(PrometheusText(text)),
            MetricsFormat::OpenMetrics => Figures::OpenMetrics(OpenMetricsText(text)),
        }))
    }
}

/// OpenMetrics to who names it and does not refuse it by a weight of zero.
fn format(request: &Request) -> MetricsFormat {
    let named = request.headers().get_all(header::ACCEPT).iter();
    let mut ranges = named
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    let is_wanted = ranges.any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let kind = parts.next().unwrap_or_default();
        let weight = parts.find_map(|it| it.strip_prefix("q=")?.parse::<f32>().ok());
        kind.eq_ignore_ascii_case(OpenMetricsText::CONTENT_TYPE) && weight.is_none_or(|it| it > 0.0)
    });
    if is_wanted {
        MetricsFormat::OpenMetrics
    } else {
        MetricsFormat::Prometheus
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openmetrics_is_for_who_asks_for_it() {
        let of = |accept: &str| format(&Request::builder().header(header::ACCEPT, accept).finish());
        let prometheus =
            "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5";
        assert_eq!(of(prometheus), MetricsFormat::OpenMetrics);
        for accept in [
            "",
            "*/*",
            "text/plain",
            "application/openmetrics-text;q=0, */*",
        ] {
            assert_eq!(of(accept), MetricsFormat::Prometheus, "{accept}");
        }
    }
}
