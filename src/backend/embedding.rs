//! Vectors of texts: what servers answer, held against what was asked. Not timed, and no socket here.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::BackendError;

/// How long vectors may take, in which a model may have to be loaded.
pub const TIMEOUT: Duration = Duration::from_mins(1);

/// A request for vectors, the same in both protocols.
#[derive(Serialize)]
pub struct Question<'a> {
    /// The model.
    pub model: &'a str,
    /// The texts.
    pub input: &'a [String],
}

/// Ollama's answer.
#[derive(Deserialize)]
pub struct OllamaAnswer {
    embeddings: Vec<Vec<f32>>,
}

impl OllamaAnswer {
    /// A vector a text, in the order of the texts.
    pub fn vectors(self, backend: &str, texts: usize) -> Result<Vec<Vec<f32>>, BackendError> {
        checked(backend, texts, self.embeddings)
    }
}

/// `OpenAI`'s answer.
#[derive(Deserialize)]
pub struct OpenAiAnswer {
    data: Vec<Indexed>,
}

#[derive(Deserialize)]
struct Indexed {
    index: usize,
    embedding: Vec<f32>,
}

impl OpenAiAnswer {
    /// A vector a text, in the order of the texts.
    pub fn vectors(mut self, backend: &str, texts: usize) -> Result<Vec<Vec<f32>>, BackendError> {
        self.data.sort_by_key(|vector| vector.index);
        let is_in_order = (0..)
            .zip(&self.data)
            .all(|(at, it): (usize, _)| at == it.index);
        if !is_in_order {
            return Err(unexpected(
                backend,
                "the embeddings are not numbered from 0 on".into(),
            ));
        }
        let vectors = self.data.into_iter().map(|vector| vector.embedding);
        checked(backend, texts, vectors.collect())
    }
}

/// As many vectors as texts, all of one size, of numbers that can be reckoned with.
fn checked(
    backend: &str,
    texts: usize,
    vectors: Vec<Vec<f32>>,
) -> Result<Vec<Vec<f32>>, BackendError> {
    if vectors.len() != texts {
        let reason = format!(
            "{texts} texts were sent and {} embeddings came",
            vectors.len()
        );
        return Err(unexpected(backend, reason));
    }
    let size = vectors.first().map_or(0, Vec::len);
    if let Some(other) = vectors.iter().find(|vector| vector.len() != size) {
        let reason = format!(
            "embeddings of {size} and of {} numbers came together",
            other.len()
        );
        return Err(unexpected(backend, reason));
    }
    let is_length = |vector: &Vec<f32>| {
        let square: f64 = vector.iter().map(|part| f64::from(*part).powi(2)).sum();
        square.is_finite() && square > 0.0
    };
    if !vectors.iter().all(is_length) {
        return Err(unexpected(
            backend,
            "an embedding has no length or no end".into(),
        ));
    }
    Ok(vectors)
}

fn unexpected(backend: &str, reason: String) -> BackendError {
    BackendError::Protocol {
        backend: backend.to_owned(),
        reason,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn ollama(answer: Value, texts: usize) -> Result<Vec<Vec<f32>>, String> {
        let answer: OllamaAnswer = serde_json::from_value(answer).map_err(|it| it.to_string())?;
        answer.vectors("box", texts).map_err(|it| it.to_string())
    }

    fn openai(answer: Value, texts: usize) -> Result<Vec<Vec<f32>>, String> {
        let answer: OpenAiAnswer = serde_json::from_value(answer).map_err(|it| it.to_string())?;
        answer.vectors("box", texts).map_err(|it| it.to_string())
    }

    #[test]
    fn a_vector_a_text_is_read() {
        let expected = Ok(vec![vec![1.0, 0.0], vec![0.5, 0.5]]);
        assert_eq!(
            ollama(json!({"embeddings": [[1, 0], [0.5, 0.5]]}), 2),
            expected
        );
        let shuffled = json!({"data": [
            {"index": 1, "embedding": [0.5, 0.5]}, {"index": 0, "embedding": [1.0, 0.0]},
        ]});
        assert_eq!(openai(shuffled, 2), expected);
    }

    #[test]
    fn what_does_not_fit_the_texts_is_said() {
        for (vectors, texts, words) in [
            (json!([[1.0]]), 2, "2 texts were sent and 1 embeddings came"),
            (
                json!([[1.0], [1.0, 2.0]]),
                2,
                "embeddings of 1 and of 2 numbers",
            ),
            (json!([[]]), 1, "no length"),
            (json!([[0.0, 0.0]]), 1, "no length"),
            (json!([1.0]), 1, "invalid type"),
        ] {
            let error = ollama(json!({"embeddings": vectors}), texts).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
        let twice = json!({"data": [
            {"index": 0, "embedding": [1.0]}, {"index": 0, "embedding": [1.0]},
        ]});
        let error = openai(twice, 2).unwrap_err();
        assert!(error.contains("not numbered from 0"), "{error}");
    }
}
