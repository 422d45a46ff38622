//! Where two texts part.

use crate::record::TextDifference;

/// So much of each text is shown from a little before the place on, characters.
const SHOWN: usize = 60;
const SHOWN_BEFORE: usize = 20;

/// The first difference between two texts; `None` where they are equal.
pub fn first_difference(baseline: &str, candidate: &str) -> Option<TextDifference> {
    if baseline == candidate {
        return None;
    }
    let same = baseline
        .chars()
        .zip(candidate.chars())
        .take_while(|(a, b)| a == b)
        .count();
    let before: String = baseline.chars().take(same).collect();
    // A word that both began alike is the one in which they part.
    let begun = before.split_whitespace().count();
    let is_within = before
        .chars()
        .last()
        .is_some_and(|last| !last.is_whitespace());
    let parts_within = |text: &str| {
        let next = text.chars().nth(same);
        next.is_some_and(|next| !next.is_whitespace())
    };
    let word = if is_within && (parts_within(baseline) || parts_within(candidate)) {
        // Where the common part is a whole word of one text and the beginning of a longer one of the
        // other, that word differs.
        begun
    } else {
        begun + 1
    };
    Some(TextDifference {
        word: word as u64,
        character: same as u64 + 1,
        baseline: around(baseline, same),
        candidate: around(candidate, same),
    })
}

/// What stands around a place, on one line.
fn around(text: &str, place: usize) -> String {
    let from = place.saturating_sub(SHOWN_BEFORE);
    let mut shown = String::new();
    if from > 0 {
        shown.push('…');
    }
    let part = text.chars().skip(from).take(SHOWN);
    shown.extend(part.map(|c| if c.is_control() { ' ' } else { c }));
    if text.chars().nth(from + SHOWN).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn parts(baseline: &str, candidate: &str, word: u64, character: u64) {
        let found = first_difference(baseline, candidate).unwrap();
        assert_eq!((found.word, found.character), (word, character));
        let back = first_difference(candidate, baseline).unwrap();
        assert_eq!((back.word, back.character), (word, character));
    }

    #[test]
    fn the_word_and_the_character_are_named() {
        parts("the sky is blue", "the sky is red", 4, 12);
        parts("the sky is blue", "the sea is blue", 2, 6);
        parts("one", "two", 1, 1);
        parts("one two", "one", 2, 4);
        parts("one two", "one  two", 2, 5);
        parts("über", "übel", 1, 4);
        parts("", "a", 1, 1);
        parts("sky", "skyward", 1, 4);
        assert_eq!(first_difference("same", "same"), None);
    }

    #[test]
    fn what_stands_around_it_is_short_and_on_one_line() {
        let long = "word\n".repeat(50);
        let found = first_difference(&long, &format!("{}x", &long[..120])).unwrap();
        assert_eq!(found.character, 121);
        assert!(found.baseline.starts_with('…') && found.baseline.ends_with('…'));
        assert!(found.baseline.chars().count() <= SHOWN + 2);
        assert!(!found.baseline.contains('\n'));
    }

    proptest! {
        #[test]
        fn everything_before_the_character_is_equal(a in ".{0,30}", b in ".{0,30}", both in ".{0,30}") {
            let (left, right) = (format!("{both}{a}"), format!("{both}{b}"));
            match first_difference(&left, &right) {
                None => prop_assert_eq!(left, right),
                Some(found) => {
                    let place = usize::try_from(found.character).unwrap() - 1;
                    let (mut l, mut r) = (left.chars(), right.chars());
                    prop_assert!(l.by_ref().take(place).eq(r.by_ref().take(place)));
                    prop_assert_ne!(l.next(), r.next());
                    prop_assert!(found.word >= 1);
                }
            }
        }
    }
}
