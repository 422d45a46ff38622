//! Prompts that are made up.

use poem_openapi::Object;
use serde::{Deserialize, Serialize};

use super::BenchmarkRequest;
use super::request::Check;

/// A made-up word and the space after it, bytes at most.
pub(super) const LONGEST_WORD: u64 = 8;

/// Prompts made of common words in random order, for when only their length matters. How many tokens
/// a server makes of them is in each result (`prompt_tokens`): about one for each word, and those of
/// the model's chat template.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Object)]
#[serde(
    deny_unknown_fields,
    expecting = "an object that says what prompts to make up"
)]
pub struct Synthetic {
    /// Length of each, tokens, 1 to 1000000.
    #[oai(validator(minimum(value = "1"), maximum(value = "1000000")))]
    pub tokens: u32,
    /// How many different ones, 1 to 10000; requests take them in turn.
    #[serde(default = "one")]
    #[oai(
        default = "one",
        validator(minimum(value = "1"), maximum(value = "10000"))
    )]
    pub prompts: u32,
    /// The same seed makes the same prompts.
    #[serde(default)]
    #[oai(default)]
    pub seed: u64,
}

fn one() -> u32 {
    1
}

impl BenchmarkRequest {
    /// How many different prompts there are.
    pub(super) fn prompt_count(&self) -> u64 {
        let made_up = self.synthetic.map(|it| u64::from(it.prompts));
        made_up.unwrap_or(self.all_prompts().len() as u64)
    }

    /// Bytes of the longest prompt, at most.
    pub(super) fn longest_prompt(&self) -> u64 {
        let made_up = self
            .synthetic
            .map(|it| u64::from(it.tokens).saturating_mul(LONGEST_WORD));
        let given = self.all_prompts().into_iter().map(|text| text.len() as u64);
        made_up.or(given.max()).unwrap_or_default()
    }

    pub(super) fn check_synthetic(&self, most_bytes: usize, check: &mut Check) {
        let Some(synthetic) = &self.synthetic else {
            return;
        };
        if self.prompt.is_some() || !self.prompts.is_empty() {
            check.push(
                "/synthetic",
                "made-up prompts do not go together with given ones",
            );
        }
        check.range("/synthetic/prompts", Some(synthetic.prompts), 1, 10_000);
        check.range("/synthetic/tokens", Some(synthetic.tokens), 1, 1_000_000);
        if self.longest_prompt() > most_bytes as u64 {
            check.push(
                "/synthetic/tokens",
                &format!("so many may have more than the {most_bytes} bytes that are allowed"),
            );
        }
    }
}
