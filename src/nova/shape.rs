//! What agents write for other agents: JSON of four shapes, the schemas that bind a model to them,
//! how they are read, and what stands for each where a model could not write it. Pure.
//!
//! Small models write poor JSON, so reading is tolerant, in one defined way: the JSON object is what
//! lies between the first `{` and the brace that closes it; whatever stands before and after, such as
//! a code fence or a sentence, does not matter, nor do fields that nobody asked for. Everything
//! else must be right: a trailing comma, a missing field, a blank text, or one element too many is
//! wrong, and what is wrong is told to the model once.

use std::collections::HashSet;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Sentences of a summary that is taken from the text itself.
const SENTENCES: usize = 3;
/// Longest such summary, characters.
const SUMMARY_CHARS: usize = 600;
/// Longest name of an expert's field, characters.
const DOMAIN_CHARS: usize = 60;
/// The experts that can say something to any question.
const GENERAL: [&str; 2] = ["general knowledge", "practical experience"];

/// Why a text is not of the shape that was asked for, in words that a model can be told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WhatIsWrong {
    /// Nothing but white space.
    #[error("there is no text")]
    Nothing,
    /// No brace in it.
    #[error("there is no JSON object in it")]
    NoObject,
    /// The first object is not closed.
    #[error("the JSON object is not finished")]
    Unfinished,
    /// The first object is not JSON, or has other fields or types than it should.
    #[error("{0}")]
    Misfit(String),
    /// A list that must not be empty is.
    #[error("`{field}` is empty; it needs at least {least}")]
    TooFew {
        /// The list.
        field: &'static str,
        /// Fewest elements.
        least: usize,
    },
    /// A list that is too long.
    #[error("`{field}` has {found} elements; at most {most} are allowed")]
    TooMany {
        /// The list.
        field: &'static str,
        /// Its elements.
        found: usize,
        /// Most elements.
        most: usize,
    },
    /// A text without words.
    #[error("a text of `{field}` is blank")]
    Blank {
        /// The text, or the list that it is in.
        field: &'static str,
    },
    /// An element that stands in its list twice.
    #[error("`{field}` names \"{element}\" twice")]
    Twice {
        /// The list.
        field: &'static str,
        /// The element.
        element: String,
    },
    /// A name that is a text.
    #[error(
        "an element of `{field}` is no name: it has several lines, or more than {most} characters"
    )]
    NoName {
        /// The list.
        field: &'static str,
        /// Most characters.
        most: usize,
    },
}

/// An output that other agents read.
pub trait Shape: Serialize + DeserializeOwned {
    /// What the shape is called, such as `plan`.
    const NAME: &'static str;

    /// Its JSON schema, with at most so many elements in a list. It needs only what every backend's
    /// grammar knows: objects, arrays with bounds, texts and truth values.
    fn schema(most: usize) -> Value;

    /// JSON of the shape, to show a model what is meant.
    fn example() -> Value;

    /// What is wrong with it beyond its types.
    fn check(&self, most: usize) -> Result<(), WhatIsWrong>;

    /// Reads it from what a model wrote, with at most so many elements in a list.
    fn read(text: &str, most: usize) -> Result<Self, WhatIsWrong> {
        let object = first_object(text)?;
        let mut json = serde_json::Deserializer::from_str(object);
        let shape: Self =
            serde_path_to_error::deserialize(&mut json).map_err(|error| misfit(&error))?;
        shape.check(most)?;
        Ok(shape)
    }
}

/// The steps that a prompt is broken into.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// What to do, one after another; at least one.
    pub steps: Vec<String>,
}

/// The experts that a question needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Experts {
    /// Their fields, such as `statistics`; at least two.
    pub experts: Vec<String>,
}

/// Whether a discussion has come to its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// Nothing of weight is left to say.
    pub converged: bool,
    /// Why, or why not.
    pub reasons: Vec<String>,
}

/// How a discussion stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// What it has come to.
    pub summary: String,
    /// What is to be reached.
    pub goals: Vec<String>,
    /// What only the user can answer.
    pub questions: Vec<String>,
}

impl Shape for Plan {
    const NAME: &'static str = "plan";

    fn schema(most: usize) -> Value {
        object(&json!({ "steps": texts(1, most) }))
    }

    fn example() -> Value {
        json!({"steps": ["what to do first", "what to do next"]})
    }

    fn check(&self, most: usize) -> Result<(), WhatIsWrong> {
        check_list("steps", &self.steps, 1, most)
    }
}

impl Plan {
    /// One step: the prompt itself.
    pub fn fallback(prompt: &str) -> Self {
        Self {
            steps: vec![prompt.to_owned()],
        }
    }
}

impl Shape for Experts {
    const NAME: &'static str = "experts";

    fn schema(most: usize) -> Value {
        object(&json!({ "experts": texts(2, most) }))
    }

    fn example() -> Value {
        json!({"experts": ["one field", "another field"]})
    }

    fn check(&self, most: usize) -> Result<(), WhatIsWrong> {
        let field = "experts";
        check_list(field, &self.experts, 2, most)?;
        let mut seen = HashSet::new();
        for element in &self.experts {
            if element.chars().any(char::is_control) || element.chars().count() > DOMAIN_CHARS {
                let most = DOMAIN_CHARS;
                return Err(WhatIsWrong::NoName { field, most });
            }
            if !seen.insert(element.trim().to_lowercase()) {
                let element = element.clone();
                return Err(WhatIsWrong::Twice { field, element });
            }
        }
        Ok(())
    }
}

impl Experts {
    /// The fields that the user asked for; where there are fewer than two, general ones besides.
    pub fn fallback(domains: &[String]) -> Self {
        let mut experts = domains.to_vec();
        for domain in GENERAL {
            if experts.len() < 2 && !experts.iter().any(|it| it == domain) {
                experts.push(domain.to_owned());
            }
        }
        Self { experts }
    }
}

impl Shape for Verdict {
    const NAME: &'static str = "verdict";

    fn schema(most: usize) -> Value {
        object(&json!({ "converged": {"type": "boolean"}, "reasons": texts(0, most) }))
    }

    fn example() -> Value {
        json!({"converged": false, "reasons": ["what is still missing or wrong"]})
    }

    fn check(&self, most: usize) -> Result<(), WhatIsWrong> {
        check_list("reasons", &self.reasons, 0, most)
    }
}

impl Verdict {
    /// Not converged, since the verdict could not be read.
    pub fn fallback(wrong: &WhatIsWrong) -> Self {
        Self {
            converged: false,
            reasons: vec![format!("the verdict could not be read: {wrong}")],
        }
    }
}

impl Shape for Summary {
    const NAME: &'static str = "summary";

    fn schema(most: usize) -> Value {
        object(&json!({
            "summary": {"type": "string", "minLength": 1},
            "goals": texts(0, most),
            "questions": texts(0, most),
        }))
    }

    fn example() -> Value {
        json!({
            "summary": "what is known and decided so far",
            "goals": ["what is to be reached"],
            "questions": ["what only the user can answer"],
        })
    }

    fn check(&self, most: usize) -> Result<(), WhatIsWrong> {
        if self.summary.trim().is_empty() {
            return Err(WhatIsWrong::Blank { field: "summary" });
        }
        check_list("goals", &self.goals, 0, most)?;
        check_list("questions", &self.questions, 0, most)
    }
}

impl Summary {
    /// The first sentences of the text that was to be summarised, which is never the text that
    /// could not be read.
    pub fn fallback(text: &str) -> Self {
        Self {
            summary: first_sentences(text),
            goals: Vec::new(),
            questions: Vec::new(),
        }
    }
}

/// An object of these properties, all of which must be there.
fn object(properties: &Value) -> Value {
    let names = properties.as_object().into_iter().flatten();
    let required: Vec<&String> = names.map(|(name, _)| name).collect();
    json!({
        "type": "object",
        "required": required,
        "properties": properties,
        "additionalProperties": false,
    })
}

/// The schema of a list of texts.
fn texts(least: usize, most: usize) -> Value {
    json!({
        "type": "array",
        "minItems": least,
        "maxItems": most.max(least),
        "items": {"type": "string", "minLength": 1},
    })
}

fn check_list(
    field: &'static str,
    list: &[String],
    least: usize,
    most: usize,
) -> Result<(), WhatIsWrong> {
    let most = most.max(least);
    if list.len() < least {
        return Err(WhatIsWrong::TooFew { field, least });
    }
    if list.len() > most {
        let found = list.len();
        return Err(WhatIsWrong::TooMany { field, found, most });
    }
    if list.iter().any(|text| text.trim().is_empty()) {
        return Err(WhatIsWrong::Blank { field });
    }
    Ok(())
}

/// What lies between the first brace and the one that closes it, both included.
fn first_object(text: &str) -> Result<&str, WhatIsWrong> {
    if text.trim().is_empty() {
        return Err(WhatIsWrong::Nothing);
    }
    let start = text.find('{').ok_or(WhatIsWrong::NoObject)?;
    let mut depth = 0_usize;
    let (mut in_text, mut escaped) = (false, false);
    for (at, byte) in text.bytes().enumerate().skip(start) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'{' if !in_text => depth += 1,
            b'}' if !in_text => {
                depth -= 1;
                if depth == 0 {
                    return Ok(&text[start..=at]);
                }
            }
            _ => {}
        }
    }
    Err(WhatIsWrong::Unfinished)
}

fn misfit(error: &serde_path_to_error::Error<serde_json::Error>) -> WhatIsWrong {
    let path = error.path().to_string();
    let inner = error.inner();
    WhatIsWrong::Misfit(if inner.is_syntax() || inner.is_eof() {
        format!("it is no valid JSON: {inner}")
    } else if path == "." {
        inner.to_string()
    } else {
        format!("`{path}`: {inner}")
    })
}

/// The first sentences, on one line; a mark stands for what is left away in the middle of one.
fn first_sentences(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let line = words.join(" ");
    let mut sentences = 0;
    let mut end = line.len();
    let mut letters = line.char_indices().peekable();
    while let Some((at, letter)) = letters.next() {
        let is_wide = matches!(letter, '。' | '！' | '？');
        let is_last = letters.peek().is_none_or(|(_, next)| *next == ' ');
        if is_wide || (matches!(letter, '.' | '!' | '?') && is_last) {
            sentences += 1;
        }
        if sentences == SENTENCES {
            end = at + letter.len_utf8();
            break;
        }
    }
    match line[..end].char_indices().nth(SUMMARY_CHARS) {
        Some((cut, _)) => format!("{}…", line[..cut].trim_end()),
        None => line[..end].to_owned(),
    }
}

#[cfg(test)]
mod tests;
