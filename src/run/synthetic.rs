//! Pure: prompts of a given length that mean nothing.

use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use crate::record::Synthetic;

/// Words that the usual tokenisers know whole: each of them with the space before it is one token.
const WORDS: [&str; 64] = [
    "about", "after", "again", "air", "all", "always", "and", "animal", "answer", "area", "back",
    "before", "book", "build", "by", "call", "change", "city", "close", "country", "day", "door",
    "early", "earth", "end", "every", "far", "father", "find", "food", "form", "game", "give",
    "good", "group", "hand", "head", "help", "home", "house", "idea", "land", "large", "learn",
    "letter", "life", "light", "line", "long", "man", "morning", "mother", "name", "night",
    "number", "order", "part", "people", "place", "point", "school", "story", "water", "world",
];

/// The prompts: the same seed gives the same ones, and each is different from the first words on.
pub fn prompts(synthetic: &Synthetic) -> Vec<String> {
    let mut random = StdRng::seed_from_u64(synthetic.seed);
    let mut prompt = || {
        let words = (0..synthetic.tokens).filter_map(|_| WORDS.choose(&mut random).copied());
        words.collect::<Vec<_>>().join(" ")
    };
    (0..synthetic.prompts).map(|_| prompt()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompts_have_their_length_and_repeat_by_their_seed() {
        let asked = Synthetic {
            tokens: 200,
            prompts: 3,
            seed: 5,
        };
        let made = prompts(&asked);
        assert_eq!(made.len(), 3);
        assert!(made.iter().all(|it| it.split(' ').count() == 200));
        assert_ne!(made[0], made[1]);
        assert_eq!(made, prompts(&asked));
        assert_ne!(made, prompts(&Synthetic { seed: 6, ..asked }));
    }
}
