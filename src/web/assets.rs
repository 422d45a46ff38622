//! The files that pages load: our own from `templates/assets`, and the browser libraries that
//! `build.rs` fetched. Their address holds a hash of their content, so that a browser may keep them
//! for ever and still never sees an old one.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use base64::prelude::{BASE64_STANDARD, Engine};
use poem::http::{StatusCode, header};
use poem::web::Path;
use poem::{Response, handler};
use rust_embed::{EmbeddedFile, RustEmbed};
use sha2::{Digest, Sha256};

use crate::api::Problem;

#[derive(RustEmbed)]
#[folder = "$CARGO_MANIFEST_DIR/templates/assets"]
struct Own;

#[derive(RustEmbed)]
#[folder = "$OUT_DIR/assets"]
struct Fetched;

/// Digits of the hash in an address: enough to tell versions apart.
const HASH_DIGITS: usize = 16;

/// Address of each file by its name.
static ADDRESSES: LazyLock<BTreeMap<String, String>> = LazyLock::new(|| {
    Own::iter()
        .chain(Fetched::iter())
        .filter_map(|name| {
            let hash = hash(&find(&name)?);
            Some((name.to_string(), format!("/assets/{hash}/{name}")))
        })
        .collect()
});

fn find(name: &str) -> Option<EmbeddedFile> {
    Own::get(name).or_else(|| Fetched::get(name))
}

fn hash(file: &EmbeddedFile) -> String {
    let mut digits = hex::encode(file.metadata.sha256_hash());
    digits.truncate(HASH_DIGITS);
    digits
}

/// Of each file that can stand within a page: its element, and what a content security policy calls that
/// by (CSP 3, hash source).
static INLINED: LazyLock<BTreeMap<String, (String, String)>> = LazyLock::new(|| {
    let names = Own::iter().chain(Fetched::iter());
    names
        .filter_map(|name| Some((name.to_string(), inlined(&name)?)))
        .collect()
});

fn inlined(name: &str) -> Option<(String, String)> {
    let element = match name.rsplit_once('.')?.1 {
        "css" => "style",
        "js" => "script",
        _ => return None,
    };
    let text = String::from_utf8(find(name)?.data.into_owned()).ok()?;
    let hash = BASE64_STANDARD.encode(Sha256::digest(&text));
    let element = format!("<{element}>{text}</{element}>");
    Some((element, format!("'sha256-{hash}'")))
}

/// A file as an element of a page, and what a content security policy calls that by.
pub fn inline(name: &str) -> Option<(&'static str, &'static str)> {
    let (element, hash) = INLINED.get(name)?;
    Some((element, hash))
}

/// Where a page finds a file.
pub fn address(name: &str) -> Option<&'static str> {
    ADDRESSES.get(name).map(String::as_str)
}

/// Serves a file under the address that its content gives it, and under no other.
#[handler]
pub fn asset(Path((stated, name)): Path<(String, String)>) -> Result<Response, Problem> {
    let file = find(&name).filter(|file| hash(file) == stated);
    let file = file.ok_or_else(|| Problem::new(404, "there is no such file"))?;
    Ok(Response::builder()
        .status(StatusCode::OK)
        .content_type(content_type(&name))
        .header(header::CACHE_CONTROL, "public, max-age=31536000, immutable")
        .body(file.data.into_owned()))
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map_or("", |(_, ending)| ending) {
        "css" => "text/css; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "svg" => "image/svg+xml",
        _ => "text/plain; charset=utf-8",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_pages_has_an_address() {
        for name in [
            "page.css",
            "page.js",
            "explore.js",
            "live.js",
            "nova.js",
            "pace.js",
            "htmx.min.js",
            "htmx-licence.txt",
        ] {
            let address = address(name).unwrap_or_else(|| panic!("{name} is missing"));
            assert!(address.ends_with(&format!("/{name}")), "{address}");
        }
        assert_eq!(address("nothing.js"), None);
    }

    /// A file that stands within a page must not end the element that it stands in.
    #[test]
    fn what_stands_within_a_report_stays_there() {
        for (name, end) in [("page.css", "</style"), ("explore.js", "</script")] {
            let (element, hash) = inline(name).unwrap();
            assert_eq!(element.to_lowercase().matches(end).count(), 1, "{name}");
            assert!(!element.contains("<!--"), "{name}");
            assert!(
                hash.starts_with("'sha256-") && hash.ends_with("='"),
                "{hash}"
            );
        }
        assert_eq!(inline("nothing.js"), None);
    }
}
