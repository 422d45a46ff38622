//! The text that models write: made from prompt, model and seed, the same for the same three.

use serde_json::Value;

use super::catalogue::{Json, Manner, Script};
use super::structured;

/// What tokens are drawn from. Some have several bytes a character, so that a client that cuts
/// characters apart is found out.
const WORDS: [&str; 64] = [
    "the",
    "a",
    "river",
    "stone",
    "light",
    "slow",
    "quick",
    "over",
    "under",
    "bridge",
    "morning",
    "paper",
    "copper",
    "wind",
    "field",
    "seven",
    "blue",
    "quiet",
    "engine",
    "letter",
    "winter",
    "garden",
    "north",
    "carries",
    "turns",
    "keeps",
    "finds",
    "opens",
    "measures",
    "waits",
    "and",
    "or",
    "but",
    "with",
    "without",
    "between",
    "around",
    "again",
    "often",
    "never",
    "almost",
    "evenly",
    "glass",
    "harbour",
    "signal",
    "table",
    "cloud",
    "thread",
    "answer",
    "question",
    "café",
    "naïve",
    "straße",
    "smörgås",
    "日本",
    "語",
    "Ελλάδα",
    "мост",
    "🙂",
    "🌊",
    "fin",
    "word",
    "clock",
    "second",
];

/// Words between two full stops.
const SENTENCE: usize = 12;
/// Characters of a token, where the text is not made of words.
const TOKEN_CHARS: usize = 4;

/// A chunk of output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Thinking before the answer.
    Thinking(String),
    /// Text of the answer.
    Answer(String),
}

impl Piece {
    /// What is written.
    pub fn text(&self) -> &str {
        match self {
            Self::Thinking(text) | Self::Answer(text) => text,
        }
    }
}

/// Everything a model will write for one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Chunks in order.
    pub pieces: Vec<Piece>,
    /// Tokens in them.
    pub tokens: u32,
    /// Why it ends: `stop` or `length`.
    pub reason: &'static str,
}

/// What the text depends on, and what bounds it.
#[derive(Clone, Copy, Debug)]
pub struct Wish<'a> {
    /// The whole input.
    pub prompt: &'a str,
    /// The model's name.
    pub model: &'a str,
    /// What tells otherwise equal requests apart.
    pub seed: u64,
    /// Whether the model thinks first.
    pub think: bool,
    /// Most tokens, thinking included.
    pub limit: Option<u32>,
    /// Texts that end the answer and are not part of it.
    pub stop: &'a [String],
    /// `"json"`, or the JSON schema of what is to be answered.
    pub format: Option<&'a Value>,
    /// What the model makes of it.
    pub manner: Manner,
}

/// Writes the whole output.
pub fn write(script: &Script, wish: Wish<'_>) -> Output {
    let thinking = if wish.think { script.thinking } else { 0 };
    let mut random = Random(hash(wish.prompt) ^ hash(wish.model).rotate_left(1) ^ wish.seed);
    let other = other_text(script, &wish, random.0).map(|text| cut(&text));
    let count = |tokens: &Vec<String>| u32::try_from(tokens.len()).unwrap_or(u32::MAX);
    let wanted = thinking.saturating_add(other.as_ref().map_or(script.tokens, count));
    let allowed = wish.limit.map_or(wanted, |limit| wanted.min(limit));
    let mut reason = if allowed < wanted { "length" } else { "stop" };

    let thought = thinking.min(allowed);
    let thoughts = tokens(&mut random, thought);
    let left = allowed - thought;
    let mut answer = match other {
        Some(mut other) => {
            other.truncate(usize::try_from(left).unwrap_or(usize::MAX));
            other
        }
        None => tokens(&mut random, left),
    };
    if stop(&mut answer, wish.stop) {
        reason = "stop";
    }
    let tokens = u32::try_from(thoughts.len() + answer.len()).unwrap_or(u32::MAX);
    let together = |tokens: &[String]| tokens.concat();
    let size = usize::try_from(script.chunk).unwrap_or(1).max(1);
    let thoughts = thoughts.chunks(size).map(together).map(Piece::Thinking);
    let answer = answer.chunks(size).map(together).map(Piece::Answer);
    Output {
        pieces: thoughts.chain(answer).collect(),
        tokens,
        reason,
    }
}

/// What is answered instead of words, where something is.
fn other_text(script: &Script, wish: &Wish<'_>, seed: u64) -> Option<String> {
    if script.tokens == 0 {
        return None;
    }
    let json = match wish.manner.json {
        Json::Repair if wish.prompt.to_lowercase().contains("repair") => Json::Fits,
        Json::Repair => Json::Broken,
        json => json,
    };
    if let Some(format) = wish.format.filter(|_| json != Json::Prose) {
        let mut random = Random(seed);
        let mut text = match json {
            Json::Wrong => structured::misfit(format, &mut random),
            _ => structured::fitting(format, &mut random),
        }
        .to_string();
        if json == Json::Broken {
            text.truncate(text.floor_char_boundary(text.len() / 2));
        }
        return Some(text);
    }
    let bytes = usize::try_from(wish.manner.echo?).unwrap_or(usize::MAX);
    let prompt = wish.prompt.trim_end();
    let start = prompt.ceil_char_boundary(prompt.len().saturating_sub(bytes));
    Some(prompt[start..].to_owned())
}

/// Cuts a text into tokens.
fn cut(text: &str) -> Vec<String> {
    let characters: Vec<char> = text.chars().collect();
    characters
        .chunks(TOKEN_CHARS)
        .map(String::from_iter)
        .collect()
}

/// Tokens of a text, as this server counts them: its words, and at least one.
pub fn count(text: &str) -> u64 {
    u64::try_from(text.split_whitespace().count())
        .unwrap_or(u64::MAX)
        .max(1)
}

fn tokens(random: &mut Random, count: u32) -> Vec<String> {
    (0..usize::try_from(count).unwrap_or(usize::MAX))
        .map(|index| {
            let space = if index == 0 { "" } else { " " };
            let end = if (index + 1) % SENTENCE == 0 { "." } else { "" };
            format!("{space}{}{end}", random.word())
        })
        .collect()
}

/// Cuts the tokens before the first stop text; tells whether there was one.
fn stop(tokens: &mut Vec<String>, stops: &[String]) -> bool {
    let text = tokens.concat();
    let found = stops
        .iter()
        .filter(|stop| !stop.is_empty())
        .filter_map(|stop| text.find(stop.as_str()))
        .min();
    let Some(mut left) = found else {
        return false;
    };
    for index in 0..tokens.len() {
        if left <= tokens[index].len() {
            tokens[index].truncate(left);
            let whole = if left == 0 { index } else { index + 1 };
            tokens.truncate(whole);
            break;
        }
        left -= tokens[index].len();
    }
    true
}

/// FNV-1a, 64 bits: small, and the same on every machine and in every release.
pub(super) fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// `SplitMix64` (Steele, Lea, Flood 2014): one word of state, and the same everywhere for ever.
pub(super) struct Random(pub(super) u64);

impl Random {
    /// 64 bits.
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// One of the words.
    pub(super) fn word(&mut self) -> &'static str {
        // The list has 64 entries, so six bits choose evenly.
        let index = usize::from(u8::try_from(self.next() & 63).unwrap_or(0));
        WORDS[index]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(seed: u64, stop: &[String]) -> Wish<'_> {
        Wish {
            prompt: "Hi",
            model: "steady",
            seed,
            think: true,
            limit: None,
            stop,
            format: None,
            manner: Manner::default(),
        }
    }

    fn text(output: &Output) -> String {
        output.pieces.iter().map(Piece::text).collect()
    }

    #[test]
    fn the_same_seed_writes_the_same_and_another_does_not() {
        let script = Script::default();
        let first = write(&script, wish(7, &[]));
        assert_eq!(first, write(&script, wish(7, &[])));
        assert_ne!(text(&first), text(&write(&script, wish(8, &[]))));
        let other = Wish {
            prompt: "Ho",
            ..wish(7, &[])
        };
        assert_ne!(text(&first), text(&write(&script, other)));
    }

    #[test]
    fn a_limit_counts_thinking_and_answer() {
        let script = Script {
            thinking: 5,
            tokens: 10,
            chunk: 2,
            ..Script::default()
        };
        let output = write(
            &script,
            Wish {
                limit: Some(8),
                ..wish(1, &[])
            },
        );
        assert_eq!((output.tokens, output.reason), (8, "length"));
        let thoughts = output
            .pieces
            .iter()
            .filter(|piece| matches!(piece, Piece::Thinking(_)));
        assert_eq!((thoughts.count(), output.pieces.len()), (3, 5));
        let silent = write(
            &script,
            Wish {
                think: false,
                ..wish(1, &[])
            },
        );
        assert_eq!((silent.tokens, silent.reason), (10, "stop"));
    }

    #[test]
    fn a_stop_text_ends_the_answer_before_it() {
        let script = Script::default();
        let whole = text(&write(&script, wish(3, &[])));
        let inside: String = whole.chars().skip(20).take(4).collect();
        let at = whole.find(&inside).unwrap();
        let stops = [inside];
        let output = write(&script, wish(3, &stops));
        assert_eq!(text(&output), whole[..at]);
        assert_eq!(output.reason, "stop");
    }

    /// The answer of a model of this manner to a request for an object with a text `name`.
    fn answer(json: Json, prompt: &str) -> String {
        let format = serde_json::json!({
            "type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"],
        });
        let asked = Wish {
            prompt,
            format: Some(&format),
            manner: Manner { echo: None, json },
            ..wish(1, &[])
        };
        text(&write(&Script::default(), asked))
    }

    #[test]
    fn a_format_is_kept_to_well_or_badly_as_scripted() {
        let read = |text: &str| serde_json::from_str::<Value>(text).ok();
        let fits = |text: &str| read(text).is_some_and(|it| it["name"].is_string());
        assert!(fits(&answer(Json::Fits, "Hi")));
        assert_eq!(read(&answer(Json::Prose, "Hi")), None);
        let broken = answer(Json::Broken, "Hi");
        assert!(broken.starts_with('{') && read(&broken).is_none());
        let wrong = answer(Json::Wrong, "Hi");
        assert!(read(&wrong).is_some() && !fits(&wrong), "{wrong}");
        assert_eq!(read(&answer(Json::Repair, "Hi")), None);
        assert!(fits(&answer(Json::Repair, "Repair this")));
    }

    #[test]
    fn a_format_is_bounded_and_stopped_like_words() {
        let format = serde_json::json!("json");
        let asked = Wish {
            format: Some(&format),
            limit: Some(2),
            ..wish(1, &[])
        };
        let output = write(&Script::default(), asked);
        assert_eq!((output.tokens, output.reason), (2, "length"));
        let silent = Script {
            tokens: 0,
            ..Script::default()
        };
        assert_eq!(write(&silent, asked).pieces, []);
    }

    #[test]
    fn an_echo_is_the_end_of_the_prompt() {
        let echo = |bytes, prompt| {
            let asked = Wish {
                prompt,
                manner: Manner {
                    echo: Some(bytes),
                    ..Manner::default()
                },
                ..wish(1, &[])
            };
            text(&write(&Script::default(), asked))
        };
        assert_eq!(echo(9, "what is the marker-17\n"), "marker-17");
        assert_eq!(echo(900, "short"), "short");
        assert_eq!(echo(5, "日本"), "本", "no character is cut apart");
    }

    #[test]
    fn some_words_have_several_bytes_a_character() {
        assert!(WORDS.iter().filter(|word| !word.is_ascii()).count() >= 8);
    }
}
