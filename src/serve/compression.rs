//! Answers in fewer bytes, for clients that read gzip (RFC 9110, section 12.5.3): a page over a home
//! network comes in a fifth of the time.
//!
//! Only what lies in memory as a whole is compressed. What streams (events, exports) goes out as it
//! comes: nothing of it waits for a block to be full.

use std::io::{self, Write};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http_body_util::BodyExt;
use http_body_util::combinators::BoxBody;
use hyper::body::Body as _;
use poem::http::{HeaderMap, HeaderValue, header};
use poem::{Body, Endpoint, Middleware, Request, Response, Result};
use tokio::sync::Semaphore;

/// What is smaller fits into a packet or two as it is, bytes.
const WORTHWHILE: u64 = 1024;
/// What is larger is compressed aside, so that other answers go on, bytes.
const LARGE: u64 = 64 << 10;

/// Stands between the guard and what answers.
pub struct Compressing;

impl<E: Endpoint> Middleware<E> for Compressing {
    type Output = Compressed<E>;

    fn transform(&self, inner: E) -> Self::Output {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Compressed {
            inner,
            aside: Semaphore::new((threads / 2).max(1)),
        }
    }
}

/// An endpoint whose answers are compressed.
pub struct Compressed<E> {
    inner: E,
    /// Of what is compressed aside, half of the processor, and one thread at least: what is measured meanwhile
    /// needs the rest.
    aside: Semaphore,
}

impl<E: Endpoint> Endpoint for Compressed<E> {
    type Output = Response;

    async fn call(&self, request: Request) -> Result<Response> {
        let is_read = reads_gzip(request.headers());
        let mut response = self.inner.get_response(request).await;
        if !is_text(response.headers()) || response.headers().contains_key(header::CONTENT_ENCODING)
        {
            return Ok(response);
        }
        let body: BoxBody<Bytes, io::Error> = response.take_body().into();
        let size = body.size_hint().exact().filter(|size| *size >= WORTHWHILE);
        let Some(size) = size else {
            response.set_body(Body::from(body));
            return Ok(response);
        };
        // Whoever keeps answers for several clients keeps one for each encoding.
        response
            .headers_mut()
            .append(header::VARY, HeaderValue::from_static("accept-encoding"));
        if !is_read {
            response.set_body(Body::from(body));
            return Ok(response);
        }
        let whole = body.collect().await.map_err(broken)?.to_bytes();
        let compressed = if size > LARGE {
            let _place = self.aside.acquire().await.map_err(broken)?;
            tokio::task::spawn_blocking(move || gzip(&whole))
                .await
                .map_err(broken)?
        } else {
            gzip(&whole)
        };
        response.set_body(compressed.map_err(broken)?);
        let headers = response.headers_mut();
        headers.remove(header::CONTENT_LENGTH);
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        Ok(response)
    }
}

fn broken(error: impl std::error::Error + Send + Sync + 'static) -> poem::Error {
    poem::error::InternalServerError(error)
}

fn gzip(text: &[u8]) -> io::Result<Vec<u8>> {
    let room = Vec::with_capacity(text.len() / 4 + 64);
    let mut encoder = GzEncoder::new(room, Compression::default());
    encoder.write_all(text)?;
    encoder.finish()
}

/// Whether a client names gzip, or anything, and does not refuse it by a weight of zero.
fn reads_gzip(headers: &HeaderMap) -> bool {
    let named = headers.get_all(header::ACCEPT_ENCODING).iter();
    let mut codings = named
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|coding| {
            let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
            let weight = weight.trim().strip_prefix("q=").unwrap_or("1");
            let is_wanted = weight.trim().parse::<f32>().is_ok_and(|it| it > 0.0);
            (name.trim().to_ascii_lowercase(), is_wanted)
        });
    let mut any = false;
    let by_name = codings.find_map(|(name, is_wanted)| {
        any |= name == "*" && is_wanted;
        (name == "gzip").then_some(is_wanted)
    });
    by_name.unwrap_or(any)
}

fn is_text(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE);
    kind.and_then(|kind| kind.to_str().ok())
        .is_some_and(|kind| {
            let kind = kind.split(';').next().unwrap_or_default().trim();
            kind.starts_with("text/")
                || kind.ends_with("json")
                || matches!(
                    kind,
                    "image/svg+xml" | "application/javascript" | "application/openmetrics-text"
                )
        })
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use poem::http::StatusCode;
    use poem::{EndpointExt, handler};

    use super::*;

    const LONG: &str = "Why is the sky blue? ";

    #[handler]
    fn page() -> Response {
        Response::builder()
            .content_type("text/html; charset=utf-8")
            .header("vary", "HX-Request")
            .body(LONG.repeat(100))
    }

    async fn ask(endpoint: impl Endpoint<Output = Response>, accepted: &str) -> Response {
        let request = Request::builder().header("accept-encoding", accepted);
        endpoint.call(request.finish()).await.unwrap()
    }

    #[tokio::test]
    async fn a_page_is_compressed_for_who_reads_it() {
        let mut response = ask(page.with(Compressing), "deflate, gzip;q=0.5, br").await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-encoding"], "gzip");
        let varies: Vec<_> = response.headers().get_all("vary").iter().collect();
        assert_eq!(varies, ["HX-Request", "accept-encoding"]);
        let bytes = response.take_body().into_bytes().await.unwrap();
        assert!(bytes.len() < 200, "{}", bytes.len());
        let mut text = String::new();
        flate2::read::GzDecoder::new(&bytes[..])
            .read_to_string(&mut text)
            .unwrap();
        assert_eq!(text, LONG.repeat(100));

        let mut response = ask(page.with(Compressing), "identity").await;
        assert!(!response.headers().contains_key("content-encoding"));
        assert!(response.headers().get_all("vary").iter().count() == 2);
        let text = response.take_body().into_string().await.unwrap();
        assert_eq!(text, LONG.repeat(100));
    }

    #[handler]
    fn pieces() -> Response {
        let pieces = (0..1000).map(|_| Ok::<_, io::Error>(LONG));
        let body = Body::from_bytes_stream(futures_util::stream::iter(pieces));
        Response::builder()
            .content_type("text/event-stream")
            .body(body)
    }

    #[handler]
    fn short() -> Response {
        Response::builder().content_type("text/html").body(LONG)
    }

    #[handler]
    fn picture() -> Response {
        Response::builder()
            .content_type("image/png")
            .body(LONG.repeat(100))
    }

    #[tokio::test]
    async fn what_streams_is_short_or_is_no_text_stays() {
        for response in [
            ask(pieces.with(Compressing), "gzip").await,
            ask(short.with(Compressing), "gzip").await,
            ask(picture.with(Compressing), "gzip").await,
        ] {
            assert!(!response.headers().contains_key("content-encoding"));
            let bytes = response.into_body().into_bytes().await.unwrap();
            assert!(bytes.starts_with(LONG.as_bytes()));
        }
    }

    #[test]
    fn weights_are_read() {
        for (accepted, is_read) in [
            ("gzip", true),
            ("GZIP ; q=0.1", true),
            ("br, *", true),
            ("gzip;q=0, *", false),
            ("*, gzip;q=0", false),
            ("*;q=0", false),
            ("br", false),
            ("gzip;q=high", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("accept-encoding", accepted.parse().unwrap());
            assert_eq!(reads_gzip(&headers), is_read, "{accepted}");
        }
    }
}
