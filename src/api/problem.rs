//! The one place where errors become HTTP statuses: RFC 9457 problem details.

use poem::PathPattern;
use poem::Response;
use poem::error::{MethodNotAllowedError, NotFoundError, ParsePathError, ResponseError};
use poem::http::{HeaderValue, StatusCode, header};
use poem_openapi::error::{ParseParamError, ParsePathError as ApiPathError};
use poem_openapi::registry::{MetaMediaType, MetaResponse, MetaResponses, Registry};
use poem_openapi::types::Type;
use poem_openapi::{ApiResponse, Object};
use serde::Serialize;

use crate::app::AppError;
use crate::backend::BackendError;
use crate::record::{FieldError, RunId};

const CONTENT_TYPE: &str = "application/problem+json";

/// What went wrong (RFC 9457).
#[derive(Clone, Debug, PartialEq, Serialize, Object, thiserror::Error)]
#[error("{detail}")]
pub struct Problem {
    /// A name for this kind of problem.
    #[serde(rename = "type")]
    #[oai(rename = "type")]
    pub kind: String,
    /// The kind in words.
    pub title: String,
    /// HTTP status.
    pub status: u16,
    /// What went wrong here, and what to do.
    pub detail: String,
    /// Each invalid field; empty unless fields are invalid.
    pub errors: Vec<FieldError>,
    /// The stored record of a run in which no request succeeded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub benchmark_id: Option<RunId>,
    /// Seconds to wait before trying again, also in `Retry-After`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u32>,
}

/// Every status that a problem can have, with its name and title.
const KINDS: [(u16, &str, &str); 16] = [
    (400, "malformed-request", "The request is malformed"),
    (401, "unauthorized", "A token is needed"),
    (403, "forbidden", "Foreign host or origin"),
    (404, "not-found", "There is no such thing"),
    (
        405,
        "method-not-allowed",
        "This route does not take this method",
    ),
    (408, "request-timeout", "The request did not come in time"),
    (409, "conflict", "Not possible as things stand"),
    (413, "too-large", "The request is too large"),
    (415, "unsupported-media-type", "The body must be JSON"),
    (422, "invalid-fields", "Some fields are not valid"),
    (429, "queue-full", "Too many runs wait"),
    (500, "internal", "Something broke in here"),
    (501, "unsupported", "The model server cannot do that"),
    (502, "backend-unavailable", "A model server does not work"),
    (503, "unavailable", "Not possible at the moment"),
    (504, "timed-out", "It took too long"),
];

impl Problem {
    /// A problem with this status.
    pub fn new(status: u16, detail: impl Into<String>) -> Self {
        let known = KINDS.iter().find(|(known, ..)| *known == status);
        let (_, kind, title) = known
            .copied()
            .unwrap_or((status, "error", "It did not work"));
        Self {
            kind: format!("urn:ollama-benchmarker:problem:{kind}"),
            title: title.to_owned(),
            status,
            detail: detail.into(),
            errors: Vec::new(),
            benchmark_id: None,
            retry_after: None,
        }
    }

    /// Invalid fields.
    pub fn invalid(errors: Vec<FieldError>) -> Self {
        let words: Vec<String> = errors
            .iter()
            .map(|error| match error.pointer.as_str() {
                "" => error.message.clone(),
                pointer => format!("{pointer}: {}", error.message),
            })
            .collect();
        Self {
            errors,
            ..Self::new(422, words.join("; "))
        }
    }
}

impl From<AppError> for Problem {
    fn from(error: AppError) -> Self {
        let detail = error.to_string();
        match error {
            AppError::Invalid(errors) => Self::invalid(errors),
            AppError::UnknownModel { .. }
            | AppError::UnknownBackend { .. }
            | AppError::UnknownId { .. }
            | AppError::NotCalibrated => Self::new(404, detail),
            AppError::Conflict(_) => Self::new(409, detail),
            AppError::QueueFull { .. } => Self {
                retry_after: Some(5),
                ..Self::new(429, detail)
            },
            AppError::Backend(BackendError::Unsupported { .. }) => Self::new(501, detail),
            AppError::Backend(_) => Self::new(502, detail),
            AppError::Storage(_) | AppError::Stopping | AppError::TooManyWatchers { .. } => Self {
                retry_after: Some(5),
                ..Self::new(503, detail)
            },
            AppError::Broken(_)
            | AppError::Start(_)
            | AppError::Prompts(_)
            | AppError::Tracing(_)
            | AppError::Calibration(_)
            | AppError::NotWritten { .. } => Self::new(500, detail),
        }
    }
}

impl ResponseError for Problem {
    fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn as_response(&self) -> Response {
        let body = serde_json::to_vec(self).unwrap_or_default();
        let mut response = Response::builder()
            .status(self.status())
            .content_type(CONTENT_TYPE)
            .body(body);
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if self.status == 401 {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// Why an operation failed; documents every status that any operation can fail with.
pub struct Failure(Problem);

impl<E: Into<Problem>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl From<Failure> for poem::Error {
    fn from(failure: Failure) -> Self {
        Self::from(failure.0)
    }
}

impl ApiResponse for Failure {
    fn meta() -> MetaResponses {
        let response = |(status, _, title): (u16, &'static str, &'static str)| MetaResponse {
            description: title,
            status: Some(status),
            status_range: None,
            content: vec![MetaMediaType {
                content_type: CONTENT_TYPE,
                schema: Problem::schema_ref(),
            }],
            headers: Vec::new(),
        };
        MetaResponses {
            responses: KINDS.into_iter().map(response).collect(),
        }
    }

    fn register(registry: &mut Registry) {
        Problem::register(registry);
    }
}

/// The framework names its own types around what is wrong; nobody else knows them.
fn of_parameter(name: &str, reason: &str) -> Problem {
    let message = reason
        .split_once(": ")
        .filter(|(before, _)| before.starts_with("failed to parse"))
        .map_or(reason, |(_, message)| message);
    let message = message.split(" (occurred while").next().unwrap_or(message);
    let message = match message {
        "Expect a valid enumeration value." => "is none of the values that it can have; see /docs",
        _ if message.ends_with("expects an input value.") => "is missing",
        other => other,
    };
    Problem::invalid(vec![FieldError {
        pointer: format!("/{name}"),
        message: message.to_owned(),
    }])
}

/// Makes a problem of whatever the framework refused: unknown routes and methods, parameters of
/// the wrong type. What is a problem already stays as it is.
pub async fn refused(error: poem::Error) -> Response {
    // By it the request is counted.
    let route = error.data::<PathPattern>().cloned();
    let mut response = presented(error);
    if let Some(route) = route {
        response.set_data(route);
    }
    response
}

fn presented(error: poem::Error) -> Response {
    if error.is_from_response() || error.is::<Problem>() {
        return error.into_response();
    }
    let problem = if error.is::<NotFoundError>() || error.is::<ParsePathError>() {
        Problem::new(404, "there is no such route; see /docs")
    } else if error.is::<MethodNotAllowedError>() {
        Problem::new(405, "this route does not take this method; see /docs")
    } else if let Some(parameter) = error.downcast_ref::<ParseParamError>() {
        of_parameter(parameter.name, &parameter.reason)
    } else if let Some(parameter) = error.downcast_ref::<ApiPathError>() {
        of_parameter(parameter.name, &parameter.reason)
    } else {
        let status = error.status();
        if status.is_server_error() {
            tracing::error!(%error, "a request failed");
            Problem::new(
                status.as_u16(),
                "something broke in here; the log tells more",
            )
        } else {
            Problem::new(status.as_u16(), error.to_string())
        }
    };
    problem.as_response()
}
