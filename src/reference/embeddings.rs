//! Texts as vectors: `/api/embed` and `/v1/embeddings`.
//!
//! The one model that can is `embedding`. Each word of a text, in lower case, adds to one of 64
//! numbers, and the whole is made one long: texts that share words point the same way, others
//! hardly. The same text has the same vector everywhere and for ever.

use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::State;
use super::catalogue::{Behaviour, Model};
use super::generation::Answer;
use super::http::Reply;
use super::openai;
use super::question::{DEFAULT_CONTEXT, Fields, Refusal, find};
use super::residents::KeepAlive;
use super::tape::{Step, Tape};
use super::{ollama, words};

/// Numbers of a vector.
pub const DIMENSIONS: usize = 64;

/// A route that makes vectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EmbedRoute {
    /// `/api/embed`.
    Ollama,
    /// `/v1/embeddings`.
    Openai,
}

impl EmbedRoute {
    /// The route of a path.
    pub fn of(path: &str) -> Option<Self> {
        Some(match path {
            "/api/embed" => Self::Ollama,
            "/v1/embeddings" => Self::Openai,
            _ => return None,
        })
    }

    /// Words a refusal.
    pub fn refuse(self, refusal: &Refusal) -> Reply {
        let body = match self {
            Self::Ollama => json!({"error": refusal.message}),
            Self::Openai => openai::error(refusal.status, &refusal.message),
        };
        Reply::json(refusal.status, &body)
    }
}

/// What is to be made vectors of.
struct Wish {
    model: Model,
    texts: Vec<String>,
    truncate: bool,
    keep_alive: KeepAlive,
}

#[derive(Serialize)]
struct OllamaAnswer<'a> {
    model: &'a str,
    embeddings: Vec<Vec<f32>>,
    total_duration: u64,
    load_duration: u64,
    prompt_eval_count: u64,
}

#[derive(Serialize)]
struct OpenaiAnswer<'a> {
    object: &'static str,
    data: Vec<OpenaiVector>,
    model: &'a str,
    usage: Value,
}

#[derive(Serialize)]
struct OpenaiVector {
    object: &'static str,
    embedding: Vec<f32>,
    index: usize,
}

/// Answers a request of the route.
pub(super) fn answer(
    state: &State,
    route: EmbedRoute,
    object: &Map<String, Value>,
    received: Instant,
) -> Result<Answer, Refusal> {
    let fields = Fields {
        object,
        of: "EmbedRequest",
    };
    let wish = read(route, &fields)?;
    let tokens: Vec<u64> = wish.texts.iter().map(|text| words::count(text)).collect();
    if !wish.truncate && tokens.iter().any(|tokens| *tokens > DEFAULT_CONTEXT) {
        return Err(Refusal::bad("the input length exceeds the context length"));
    }
    let stay = state.residents.enter(
        &wish.model.name,
        "{}",
        DEFAULT_CONTEXT,
        Duration::ZERO,
        wish.keep_alive,
        received,
    );
    let vectors = wish.texts.iter().map(|text| vector(text));
    let count = tokens
        .iter()
        .map(|tokens| (*tokens).min(DEFAULT_CONTEXT))
        .sum();
    let reply = match route {
        EmbedRoute::Ollama => {
            let taken = u64::try_from(received.elapsed().as_nanos()).unwrap_or(u64::MAX);
            Reply::json(
                200,
                &OllamaAnswer {
                    model: &wish.model.name,
                    embeddings: vectors.collect(),
                    total_duration: taken.max(1),
                    load_duration: 1,
                    prompt_eval_count: count,
                },
            )
        }
        EmbedRoute::Openai => Reply::json(200, &openai_answer(&wish.model.name, vectors, count)),
    };
    let step = Step::Write {
        at: Duration::ZERO,
        bytes: reply.to_bytes(true),
        content: false,
    };
    Ok(Answer::Later(Tape::complete([step]), Some(stay)))
}

fn openai_answer(
    model: &str,
    vectors: impl Iterator<Item = Vec<f32>>,
    tokens: u64,
) -> OpenaiAnswer<'_> {
    OpenaiAnswer {
        object: "list",
        data: vectors
            .enumerate()
            .map(|(index, embedding)| OpenaiVector {
                object: "embedding",
                embedding,
                index,
            })
            .collect(),
        model,
        usage: json!({"prompt_tokens": tokens, "total_tokens": tokens}),
    }
}

fn read(route: EmbedRoute, fields: &Fields<'_>) -> Result<Wish, Refusal> {
    let keep_alive = fields
        .get("keep_alive")
        .map(ollama::keep_alive)
        .transpose()?;
    let texts = texts(fields.get("input"))?;
    if route == EmbedRoute::Openai {
        if texts.is_empty() {
            return Err(Refusal::bad("invalid input"));
        }
        if !matches!(fields.text("encoding_format")?, None | Some("float")) {
            return Err(Refusal::bad("encoding_format must be \"float\" here"));
        }
    }
    let model = find(fields.text("model")?.unwrap_or_default())?;
    if model.behaviour != Behaviour::Embeds {
        return Err(Refusal {
            status: 501,
            message: "This server does not support embeddings. Start it with `--embeddings`".into(),
        });
    }
    Ok(Wish {
        model,
        texts,
        truncate: fields.flag("truncate")?.unwrap_or(true),
        keep_alive: keep_alive.unwrap_or_default(),
    })
}

/// One text or a list of them; an empty one alone is none.
fn texts(input: Option<&Value>) -> Result<Vec<String>, Refusal> {
    let invalid = || Refusal::bad("invalid input type");
    match input {
        None => Ok(Vec::new()),
        Some(Value::String(text)) if text.is_empty() => Ok(Vec::new()),
        Some(Value::String(text)) => Ok(vec![text.clone()]),
        Some(Value::Array(list)) => list
            .iter()
            .map(|text| text.as_str().map(str::to_owned).ok_or_else(invalid))
            .collect(),
        Some(_) => Err(invalid()),
    }
}

/// The vector of a text, one long.
fn vector(text: &str) -> Vec<f32> {
    let lower = text.to_lowercase();
    let mut sums = [0_i32; DIMENSIONS];
    for word in lower.split(|letter: char| !letter.is_alphanumeric()) {
        if !word.is_empty() {
            add(&mut sums, word);
        }
    }
    if sums.iter().all(|sum| *sum == 0) {
        // No words, or words that cancel out: the text as a whole stands for them.
        add(&mut sums, &lower);
    }
    let squares: f64 = sums.iter().map(|sum| f64::from(*sum).powi(2)).sum();
    let length = squares.sqrt();
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the parts of a vector of length one"
    )]
    sums.map(|sum| (f64::from(sum) / length) as f32).to_vec()
}

/// Adds a word to its place. Half of them count down, so that words which share a place by chance
/// seldom add up.
fn add(sums: &mut [i32; DIMENSIONS], word: &str) {
    let hash = words::hash(word);
    // The low bits of this hash alone are too regular.
    let mixed = hash ^ (hash >> 32);
    let place = usize::try_from(mixed % 64).unwrap_or(0) % DIMENSIONS;
    sums[place] += if mixed & 64 == 0 { 1 } else { -1 };
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn likeness(one: &str, other: &str) -> f32 {
        vector(one)
            .iter()
            .zip(vector(other))
            .map(|(one, other)| one * other)
            .sum()
    }

    #[test]
    fn texts_that_share_words_are_close() {
        let question = "How fast does the river carry the boat?";
        let near = likeness(question, "The river is fast, and the boat is light.");
        let far = likeness(question, "Copper wires glow under heavy loads.");
        assert!(near > 0.4 && near > far + 0.3, "{near} {far}");
        assert!(likeness("Two Words", "words, two!") > 0.999);
    }

    #[test]
    fn what_is_no_text_is_refused() {
        let invalid = Refusal::bad("invalid input type");
        assert_eq!(texts(Some(&json!(5))), Err(invalid.clone()));
        assert_eq!(texts(Some(&json!(["a", 5]))), Err(invalid));
        assert_eq!(texts(Some(&json!(""))), Ok(vec![]));
        assert_eq!(texts(Some(&json!("a"))), Ok(vec!["a".to_owned()]));
    }

    proptest! {
        #[test]
        fn every_vector_is_one_long(text in ".{0,80}") {
            let square: f32 = vector(&text).iter().map(|part| part * part).sum();
            prop_assert!((square - 1.0).abs() < 1e-4, "{}", square);
        }
    }
}
