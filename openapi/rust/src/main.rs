//! Generates the client in Rust: `generate-client SPECIFICATION FOLDER`. Everything that is decided about it is
//! here and in `client.toml`, which becomes its manifest.

use std::error::Error;
use std::fs;
use std::path::Path;

use progenitor_impl::{GenerationSettings, Generator, InterfaceStyle, TagStyle};
use serde_json::Value;

/// The longest that a run may be asked to take, seconds. The generator's own 15 would end most of them.
const TIMEOUT: u64 = 86_400;
const MANIFEST: &str = include_str!("../client.toml");

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(specification), Some(folder)) = (arguments.next(), arguments.next()) else {
        return Err("usage: generate-client SPECIFICATION FOLDER".into());
    };
    let mut document = serde_json::from_str(&fs::read_to_string(specification)?)?;
    leave_texts_plain(&mut document);
    let document = serde_json::from_value(document)?;
    let mut settings = GenerationSettings::new();
    settings
        .with_interface(InterfaceStyle::Builder)
        .with_tag(TagStyle::Merged)
        .with_timeout(TIMEOUT);
    let code = Generator::new(&settings).generate_tokens(&document)?;
    let code = prettyplease::unparse(&syn::parse2(code)?);
    let sources = Path::new(&folder).join("src");
    fs::create_dir_all(&sources)?;
    fs::write(sources.join("lib.rs"), code)?;
    fs::write(Path::new(&folder).join("Cargo.toml"), MANIFEST)?;
    Ok(())
}

/// Of a text with bounds the generator makes a type of its own, and of two texts with the same bounds two. Here
/// each is a `String`, and what does not keep its bounds is told by the server.
fn leave_texts_plain(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            if fields.get("type").is_some_and(|it| it == "string") {
                for bound in ["pattern", "minLength", "maxLength"] {
                    fields.remove(bound);
                }
            }
            fields.values_mut().for_each(leave_texts_plain);
        }
        Value::Array(items) => items.iter_mut().for_each(leave_texts_plain),
        _ => {}
    }
}
