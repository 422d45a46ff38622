//! JSON in and out, by `serde` alone: what is stored and what is served cannot differ. The
//! framework gives only the schema.

use std::time::Duration;

use poem::error::{ReadBodyError, ResponseError};
use poem::{FromRequest, IntoResponse, Request, RequestBody, Response};
use poem_openapi::payload::{ParsePayload, Payload};
use poem_openapi::registry::{MetaMediaType, MetaResponse, MetaResponses, MetaSchemaRef, Registry};
use poem_openapi::types::Type;
use poem_openapi::{ApiExtractor, ApiExtractorType, ApiResponse, ExtractParamOptions};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::problem::Problem;
use crate::app::App;
use crate::config::Config;
use crate::record::{FieldError, only_object};

/// A JSON request body.
pub struct Body<T>(pub T);

impl<T: Type> Payload for Body<T> {
    const CONTENT_TYPE: &'static str = "application/json";

    fn check_content_type(content_type: &str) -> bool {
        let kind = content_type
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase();
        kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"))
    }

    fn schema_ref() -> MetaSchemaRef {
        T::schema_ref()
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

impl<T: Type + DeserializeOwned> ParsePayload for Body<T> {
    const IS_REQUIRED: bool = true;

    async fn from_request(request: &Request, body: &mut RequestBody) -> poem::Result<Self> {
        let app = <poem::web::Data<&App>>::from_request_without_body(request).await?;
        let bytes = whole(body.take()?, &app.config).await?;
        parse(&bytes).map(Self).map_err(Into::into)
    }
}

/// The whole body of a request, within the limits of size and time.
pub async fn whole(body: poem::Body, config: &Config) -> Result<Vec<u8>, Problem> {
    let most = config.limits.max_body_bytes;
    let patience = Duration::from_secs_f64(config.timeouts.client);
    match tokio::time::timeout(patience, body.into_bytes_limit(most)).await {
        Ok(Ok(bytes)) => Ok(bytes.into()),
        Ok(Err(ReadBodyError::PayloadTooLarge)) => Err(Problem::new(
            413,
            format!("the body has more than {most} bytes"),
        )),
        Ok(Err(error)) => Err(Problem::new(
            400,
            format!("the body could not be read: {error}"),
        )),
        Err(_) => Err(Problem::new(
            408,
            format!("the body was not whole after {patience:?}"),
        )),
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let mut track = serde_path_to_error::Track::new();
    let tracked = serde_path_to_error::Deserializer::new(&mut deserializer, &mut track);
    match only_object(tracked) {
        Ok(value) => match deserializer.end() {
            Ok(()) => Ok(value),
            Err(error) => Err(Problem::new(400, format!("malformed JSON: {error}"))),
        },
        Err(error) if error.classify() == serde_json::error::Category::Data => {
            let pointer = pointer(&track.path());
            let message = error.to_string();
            Err(Problem::invalid(vec![FieldError { pointer, message }]))
        }
        Err(error) => Err(Problem::new(400, format!("malformed JSON: {error}"))),
    }
}

/// RFC 6901.
fn pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    let escape = |text: &str| text.replace('~', "~0").replace('/', "~1");
    path.iter()
        .filter_map(|segment| match segment {
            Segment::Seq { index } => Some(format!("/{index}")),
            Segment::Map { key } => Some(format!("/{}", escape(key))),
            Segment::Enum { .. } | Segment::Unknown => None,
        })
        .collect()
}

impl<'a, T: Type + DeserializeOwned> ApiExtractor<'a> for Body<T> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];
    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        <Self as Payload>::register(registry);
    }

    fn request_meta() -> Option<poem_openapi::registry::MetaRequest> {
        Some(poem_openapi::registry::MetaRequest {
            description: None,
            content: vec![MetaMediaType {
                content_type: Self::CONTENT_TYPE,
                schema: Self::schema_ref(),
            }],
            required: true,
        })
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _options: ExtractParamOptions<Self::ParamType>,
    ) -> poem::Result<Self> {
        let stated = request.content_type().unwrap_or_default();
        if !Self::check_content_type(stated) {
            let detail = if stated.is_empty() {
                "state `Content-Type: application/json`".to_owned()
            } else {
                format!("`{stated}` is not taken; send application/json")
            };
            return Err(Problem::new(415, detail).into());
        }
        <Self as ParsePayload>::from_request(request, body).await
    }
}

/// A JSON answer.
pub struct Answer<T>(pub T);

impl<T: Type> Payload for Answer<T> {
    const CONTENT_TYPE: &'static str = "application/json";

    fn schema_ref() -> MetaSchemaRef {
        T::schema_ref()
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

impl<T: Type + Serialize> IntoResponse for Answer<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(body) => Response::builder()
                .content_type(Self::CONTENT_TYPE)
                .body(body),
            Err(error) => {
                tracing::error!(%error, "an answer could not be written");
                Problem::new(500, "the answer could not be written".to_owned()).as_response()
            }
        }
    }
}

/// A text in Markdown.
pub struct Markdown(pub String);

impl Payload for Markdown {
    const CONTENT_TYPE: &'static str = "text/markdown";

    fn schema_ref() -> MetaSchemaRef {
        String::schema_ref()
    }
}

impl IntoResponse for Markdown {
    fn into_response(self) -> Response {
        Response::builder()
            .content_type("text/markdown; charset=utf-8")
            .body(self.0)
    }
}

impl<T: Type> ApiResponse for Answer<T> {
    fn meta() -> MetaResponses {
        MetaResponses {
            responses: vec![MetaResponse {
                description: "It worked.",
                status: Some(200),
                status_range: None,
                content: vec![MetaMediaType {
                    content_type: Self::CONTENT_TYPE,
                    schema: Self::schema_ref(),
                }],
                headers: Vec::new(),
            }],
        }
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::BenchmarkRequest;

    #[track_caller]
    fn refused(text: &str, status: u16, pointer: Option<&str>) {
        let problem = parse::<BenchmarkRequest>(text.as_bytes()).unwrap_err();
        assert_eq!(problem.status, status, "{problem:?}");
        let found = problem.errors.first().map(|error| error.pointer.as_str());
        assert_eq!(found, pointer);
    }

    #[test]
    fn malformed_and_wrong_are_told_apart() {
        refused("{", 400, None);
        refused("{} x", 422, Some(""));
        refused(r#"{"prompt":"a","models":["b"]} x"#, 400, None);
        refused(r#"{"prompt":1,"models":[]}"#, 422, Some("/prompt"));
        refused(r#"{"prompt":"a","models":[1]}"#, 422, Some("/models/0"));
        refused(
            r#"{"prompt":"a","models":["b"],"parameters":{"top_k":"x"}}"#,
            422,
            Some("/parameters/top_k"),
        );
        refused(
            r#"{"prompt":"a","models":["b"],"parameters":{"temperature":NaN}}"#,
            400,
            None,
        );
    }
}
