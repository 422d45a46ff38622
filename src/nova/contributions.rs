//! What agents tell each other, made to fit beside the rest of a prompt. Pure; whatever is shortened or
//! left out is named.

/// A shorter piece of what somebody said says nothing, characters.
const SHORTEST: usize = 120;
/// What a template says around each, characters.
const AROUND: usize = 8;

/// Names and texts, oldest first, of which not more than `room` characters are left: the longest are
/// shortened first, and where even that leaves too little of each, the oldest are left out. With what was
/// done, in words.
pub fn fitted(found: &[(String, String)], room: usize) -> (Vec<(String, String)>, Vec<String>) {
    let length = |text: &str| text.chars().count();
    let fixed = |name: &str| length(name) + AROUND;
    let mut notes = Vec::new();
    let mut kept = found;
    let mut cap = 0;
    while let [oldest, rest @ ..] = kept {
        let names: usize = kept.iter().map(|(name, _)| fixed(name)).sum();
        let lengths: Vec<usize> = kept.iter().map(|(_, text)| length(text)).collect();
        cap = highest(&lengths, room.saturating_sub(names));
        let longest = lengths.iter().copied().max().unwrap_or_default();
        if cap >= longest.min(SHORTEST) {
            break;
        }
        let name = &oldest.0;
        notes.push(format!(
            "what came of `{name}` was left out, since the context has no room for it"
        ));
        kept = rest;
    }
    let told = kept.iter().map(|(name, text)| {
        let all = length(text);
        if all <= cap {
            return (name.clone(), text.clone());
        }
        let short = beginning(text, cap);
        notes.push(format!(
            "what came of `{name}` was shortened from {all} to {} characters, to fit into the context",
            length(&short)
        ));
        (name.clone(), short)
    });
    (told.collect(), notes)
}

/// The greatest length to which all may be cut so that they have no more than `room` together.
fn highest(lengths: &[usize], room: usize) -> usize {
    let mut sorted = lengths.to_vec();
    sorted.sort_unstable();
    let mut left = room;
    let mut others = sorted.len();
    for length in &sorted {
        let share = left / others;
        if *length > share {
            return share;
        }
        left -= length;
        others -= 1;
    }
    sorted.last().copied().unwrap_or_default()
}

/// At most so many characters of a text, whole words where it has some, and a sign that it went on.
fn beginning(text: &str, most: usize) -> String {
    let short: String = text.chars().take(most.saturating_sub(2)).collect();
    let whole = short.rsplit_once(char::is_whitespace).map(|(it, _)| it);
    let enough = whole.filter(|it| it.chars().count() * 2 > most);
    format!("{} …", enough.unwrap_or(&short).trim_end())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn said(lengths: &[usize]) -> Vec<(String, String)> {
        let texts = lengths.iter().enumerate();
        texts
            .map(|(at, length)| (format!("e{at}"), "word ".repeat(length / 5)))
            .collect()
    }

    fn all(told: &[(String, String)]) -> usize {
        let each = told.iter();
        each.map(|(name, text)| name.chars().count() + AROUND + text.chars().count())
            .sum()
    }

    #[test]
    fn what_fits_stays_as_it_is() {
        let found = said(&[500, 200]);
        assert_eq!(fitted(&found, 720), (found.clone(), Vec::new()));
    }

    #[test]
    fn the_longest_is_shortened_first_and_named() {
        let found = said(&[1000, 200, 900]);
        let (told, notes) = fitted(&found, 1000);
        assert_eq!(told[1], found[1]);
        assert!(
            told[0].1.len() < 400 && told[0].1.ends_with("word …"),
            "{told:?}"
        );
        assert!(told[2].1.len() > 300, "{told:?}");
        assert!(all(&told) <= 1000);
        assert_eq!(notes.len(), 2);
        assert!(
            notes[0].contains("`e0` was shortened from 1000 to"),
            "{notes:?}"
        );
    }

    #[test]
    fn where_nothing_would_be_left_of_each_the_oldest_go_and_are_named() {
        let found = said(&[1000, 1000, 1000]);
        let (told, notes) = fitted(&found, 300);
        assert_eq!(told.len(), 2);
        assert_eq!(told[0].0, "e1");
        assert!(notes[0].contains("`e0` was left out"), "{notes:?}");
        let (told, notes) = fitted(&found, 50);
        assert_eq!((told.len(), notes.len()), (0, 3));
    }

    proptest! {
        #[test]
        fn what_is_told_fits_and_what_is_not_is_named(
            lengths in prop::collection::vec(0_usize..3000, 0..8), room in 0_usize..5000,
        ) {
            let found = said(&lengths);
            let (told, notes) = fitted(&found, room);
            prop_assert!(told.is_empty() || all(&told) <= room);
            let untouched = told.iter().filter(|it| found.contains(it)).count();
            prop_assert_eq!(untouched + notes.len(), found.len());
        }
    }
}
