//! Where a stored text is written otherwise, found by looking for names and digits instead of going through
//! it: most of a run is of no interest to an export, and looking is several times as fast.

use std::sync::LazyLock;

use aho_corasick::packed::Searcher;

use super::{FOREIGN_NAMES, TIME_FIELDS, extended};

/// Members of a run in whose place something else is put, or that are read by rules of their own.
pub const OF_RUN: [&str; 4] = ["request", "results", "samples", "remote_samples"];
/// The same of a result.
pub const OF_RESULT: [&str; 1] = ["chunks"];

/// What is looked for, and how it is done; `None` on a processor for which the library has no way.
static SEARCH: LazyLock<Option<(Vec<&'static str>, Searcher)>> = LazyLock::new(|| {
    let mut names = [&TIME_FIELDS[..], &FOREIGN_NAMES, &OF_RUN, &OF_RESULT].concat();
    names.sort_unstable();
    names.dedup();
    let searcher = Searcher::new(names.iter().map(|name| format!("\"{name}\":")))?;
    Some((names, searcher))
});

/// A member that is looked for.
pub struct Member {
    /// Its name.
    pub name: &'static str,
    /// Where that begins, at its quote.
    pub at: usize,
    /// Where its value begins.
    pub value_at: usize,
}

/// All members that are looked for, in their order, however deep they stand; `None` where there is no quick
/// way.
pub fn members(text: &[u8]) -> Option<impl Iterator<Item = Member>> {
    let (names, searcher) = SEARCH.as_ref()?;
    let found = searcher.find_iter(text).filter_map(|found| {
        // A quote after one of these begins a name: one that ends a text is followed by no letter, and one
        // within a text has a backslash before it.
        let before = found.start().checked_sub(1)?;
        matches!(text.get(before), Some(b'{' | b',')).then_some(())?;
        Some(Member {
            name: names.get(found.pattern().as_usize())?,
            at: found.start(),
            value_at: found.end(),
        })
    });
    Some(found)
}

/// Whether quotes and brackets add up, those within texts among them. Damage mostly shows in that, and then
/// the text has to be gone through step by step, which tells where it is.
pub fn adds_up(text: &[u8]) -> bool {
    // Numbers of one byte, so that many are counted at once: they need to be right by their remainder only.
    let count = |byte: u8, wanted: u8| u8::from(byte == wanted);
    let (mut quotes, mut braces, mut brackets) = (0_u8, 0_u8, 0_u8);
    for &byte in text {
        quotes = quotes.wrapping_add(count(byte, b'"'));
        braces = braces.wrapping_add(count(byte, b'{'));
        braces = braces.wrapping_sub(count(byte, b'}'));
        brackets = brackets.wrapping_add(count(byte, b'['));
        brackets = brackets.wrapping_sub(count(byte, b']'));
    }
    quotes.is_multiple_of(2) && braces == 0 && brackets == 0
}

/// Whether a whole number may be among these bytes that has so many digits that MongoDB wants to know its type.
/// Text that looks like one counts too.
pub fn may_have_long_integer(text: &[u8]) -> bool {
    // Among so many digits there are eight that begin at a multiple of eight.
    const { assert!(extended::SHORTEST_TYPED > 15) };
    let (words, _) = text.as_chunks::<8>();
    let (blocks, rest) = words.as_chunks::<8>();
    let block_may = |(place, block): (usize, &[[u8; 8]; 8])| {
        let has_digits = block.iter().fold(false, |it, word| it | is_digits(*word));
        has_digits && words_may(text, place * 8, block)
    };
    blocks.iter().enumerate().any(block_may) || words_may(text, blocks.len() * 8, rest)
}

fn words_may(text: &[u8], first: usize, words: &[[u8; 8]]) -> bool {
    let mut words = (first..).zip(words);
    words.any(|(place, word)| is_digits(*word) && is_long_integer(text, place * 8))
}

/// Whether the digits around one are many, and stand where a number begins.
fn is_long_integer(text: &[u8], at: usize) -> bool {
    let (before, after) = text.split_at_checked(at).unwrap_or_default();
    let is_digit = |byte: &&u8| byte.is_ascii_digit();
    let left = before.iter().rev().take_while(is_digit).count();
    let right = after.iter().take_while(is_digit).count();
    let begins = before.iter().rev().nth(left);
    left + right >= extended::SHORTEST_TYPED
        && matches!(begins, None | Some(b':' | b',' | b'[' | b'-'))
}

/// Whether all bytes of a word are digits, without a branch: eight words are looked at side by side.
fn is_digits(word: [u8; 8]) -> bool {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    let high = |word: u64| word & (ONES * 0xf0);
    let word = u64::from_le_bytes(word);
    // `0` to `9` are 0x30 to 0x39, and six more than each still begins with a three.
    high(word) == ONES * 0x30 && high(word.wrapping_add(ONES * 6)) == ONES * 0x30
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_found_and_texts_that_look_like_them_are_not() {
        let text = br#"{"timestamp":1,"a":{"chunks":null},"b":",\"request\":","x\",\"samples":0,"request":[{"results":2}]}"#;
        let found: Vec<(&str, u8)> = (members(text).unwrap())
            .map(|it| (it.name, text[it.value_at]))
            .collect();
        let expected = [
            ("timestamp", b'1'),
            ("chunks", b'n'),
            ("request", b'['),
            ("results", b'2'),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn only_what_can_be_a_long_integer_counts() {
        for (text, may) in [
            (r#"{"a":1234567890123456}"#, true),
            (r#"{"a":-1234567890123456}"#, true),
            (r#"{"a":[1,1234567890123456789012]}"#, true),
            (r#"{"a":123456789012345}"#, false),
            (r#"{"a":0.12345678901234567}"#, false),
            (r#"{"a":"1234567890123456"}"#, false),
            (r#"{"a":"ab1234567890123456cd"}"#, false),
            ("1234567890123456", true),
            ("", false),
        ] {
            for room in 0..70 {
                let text = format!("{}{text}", " ".repeat(room));
                assert_eq!(
                    may_have_long_integer(text.trim_start().as_bytes()),
                    may,
                    "{text}"
                );
                let shifted = format!(r#"{{"{}":{text}}}"#, "x".repeat(room));
                assert_eq!(
                    may_have_long_integer(shifted.replace(' ', "").as_bytes()),
                    may,
                    "{shifted}"
                );
            }
        }
    }

    #[test]
    fn a_bracket_or_a_quote_too_many_is_seen() {
        let text = format!(r#"{{"a":[{}],"b":{{}}}}"#, r#""x","#.repeat(300) + "1");
        assert!(adds_up(text.as_bytes()));
        for place in 0..text.len() {
            let is_structure = b"{}[]\"".contains(&text.as_bytes()[place]);
            let mut damaged = text.clone().into_bytes();
            damaged[place] = b'y';
            assert_eq!(adds_up(&damaged), !is_structure, "{place}");
        }
    }

    proptest! {
        #[test]
        fn words_of_digits_are_told(word in any::<[u8; 8]>(), digits in prop::array::uniform8(b'0'..=b'9'), place in 0_usize..8) {
            prop_assert_eq!(is_digits(word), word.iter().all(u8::is_ascii_digit));
            prop_assert!(is_digits(digits));
            let mut broken = digits;
            broken[place] = word[place];
            prop_assert_eq!(is_digits(broken), broken.iter().all(u8::is_ascii_digit));
        }
    }
}
