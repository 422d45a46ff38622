//! The text that models write: made from prompt, model and seed, the same for the same three.

use super::catalogue::Script;

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
}

/// Writes the whole output.
pub fn write(script: &Script, wish: Wish<'_>) -> Output {
    let thinking = if wish.think { script.thinking } else { 0 };
    let wanted = thinking + script.tokens;
    let allowed = wish.limit.map_or(wanted, |limit| wanted.min(limit));
    let mut reason = if allowed < wanted { "length" } else { "stop" };

    let mut random = Random(hash(wish.prompt) ^ hash(wish.model).rotate_left(1) ^ wish.seed);
    let thought = thinking.min(allowed);
    let thoughts = tokens(&mut random, thought);
    let mut answer = tokens(&mut random, allowed - thought);
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
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// `SplitMix64` (Steele, Lea, Flood 2014): one word of state, and the same everywhere for ever.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn word(&mut self) -> &'static str {
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

    #[test]
    fn some_words_have_several_bytes_a_character() {
        assert!(WORDS.iter().filter(|word| !word.is_ascii()).count() >= 8);
    }
}
