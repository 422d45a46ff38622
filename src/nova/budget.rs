//! What of a session fits into a model's context. Pure, and nothing is cut: whatever does not fit
//! is named in what is returned, so that it can be summarised, left out knowingly, or refused.

use std::ops::{Range, RangeInclusive};

/// Characters a token where nothing is known yet: fewer than English has, so that rather too many
/// tokens are expected than too few.
const CHARACTERS_A_TOKEN: f64 = 2.5;
/// What is believed of a server's counts: from one token a character of several bytes to whole words.
const BELIEVABLE: RangeInclusive<f64> = 0.5..=8.0;
/// Texts differ from those that were counted: tokens that are reckoned are taken for so many times more.
const CAUTION: f64 = 1.1;
/// What a server adds around a prompt: the roles of its template, tokens.
const FRAME: u64 = 32;
/// Part of the context that is kept for the output where nobody says how long that may be.
const OUTPUT_SHARE: u64 = 4;
/// Part of what is left after the prompt that documents may take before the exchanges.
const DOCUMENT_SHARE: u64 = 4;
/// Part of what is left after the prompt that a summary may take.
const SUMMARY_SHARE: u64 = 6;
/// Part of what is left after the prompt that is kept for what agents write for each other, at most.
const KEPT_SHARE: u64 = 3;
/// Longest summary, tokens.
const LONGEST_SUMMARY: u64 = 256;
/// A shorter summary says nothing, tokens.
const SHORTEST_SUMMARY: u64 = 24;

/// How many tokens a text has, as far as the server's own counts tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TokenRate {
    characters: u64,
    tokens: u64,
}

impl TokenRate {
    /// Takes in what a server counted: the tokens of a prompt (`prompt_eval_count`) of so many
    /// characters. A count that reached the context's size is of a prompt that may have been cut,
    /// and is not taken.
    pub fn observe(&mut self, characters: u64, tokens: u64, num_ctx: u64) {
        if tokens > 0 && tokens < num_ctx {
            self.characters = self.characters.saturating_add(characters);
            self.tokens = self.tokens.saturating_add(tokens);
        }
    }

    /// Characters a token.
    pub fn characters_a_token(self) -> f64 {
        if self.tokens == 0 {
            return CHARACTERS_A_TOKEN;
        }
        let rate = self.characters as f64 / self.tokens as f64;
        rate.clamp(*BELIEVABLE.start(), *BELIEVABLE.end())
    }

    /// Characters and tokens that were counted.
    pub fn counted(self) -> (u64, u64) {
        (self.characters, self.tokens)
    }

    /// What was counted before.
    pub fn from_counted(characters: u64, tokens: u64) -> Self {
        Self { characters, tokens }
    }

    /// Characters that so many tokens have, rather too few than too many.
    pub fn characters(self, tokens: u64) -> usize {
        let characters = (tokens as f64 * self.characters_a_token() / CAUTION).floor();
        // No context has more than fit into 64 bits.
        format!("{characters:.0}").parse().unwrap_or(usize::MAX)
    }

    /// Tokens of a text that nobody counted, rather too many than too few.
    pub fn tokens(self, text: &str) -> u64 {
        let characters = text.chars().count() as f64;
        let tokens = (characters / self.characters_a_token() * CAUTION).ceil();
        // No text in memory has more tokens than fit into 64 bits.
        format!("{tokens:.0}").parse().unwrap_or(u64::MAX)
    }
}

/// A part of what a model is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part<'a> {
    /// Its words.
    pub text: &'a str,
    /// Its tokens, where the server has counted them.
    pub tokens: Option<u64>,
}

impl<'a> Part<'a> {
    /// A part that nobody counted.
    pub fn of(text: &'a str) -> Self {
        Self { text, tokens: None }
    }

    fn count(&self, rate: TokenRate) -> u64 {
        self.tokens.unwrap_or_else(|| rate.tokens(self.text))
    }
}

/// The context that there is, tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context {
    /// Size that is asked of the server.
    pub num_ctx: u64,
    /// Longest output; `None` where it is not bounded.
    pub num_predict: Option<u64>,
}

impl Context {
    /// What is kept for the output: as much as it may have, but at most half of all.
    fn output(self) -> u64 {
        let wanted = self.num_predict.unwrap_or(self.num_ctx / OUTPUT_SHARE);
        wanted.min(self.num_ctx / 2)
    }

    /// Room for a prompt.
    pub fn room(self) -> u64 {
        (self.num_ctx - self.output()).saturating_sub(FRAME)
    }
}

/// Everything that a model could be told.
#[derive(Clone, Copy, Debug)]
pub struct Parts<'a> {
    /// What is always said around the rest: the template of the role.
    pub system: Part<'a>,
    /// Documents of the memory, the best first.
    pub documents: &'a [Part<'a>],
    /// Earlier exchanges of the session, the oldest first. A summary of still older ones is the
    /// oldest of them.
    pub exchanges: &'a [Part<'a>],
    /// What is asked now.
    pub prompt: Part<'a>,
    /// What is kept for what agents write for each other, as far as the prompt leaves that much, tokens.
    pub kept: u64,
}

/// What is told, what is not, and how much room that leaves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fit {
    /// Documents that are told, by their place, in their order.
    pub documents: Vec<usize>,
    /// Documents that do not fit.
    pub documents_left_out: Vec<usize>,
    /// Exchanges that are told word for word: the newest ones.
    pub verbatim: Range<usize>,
    /// Exchanges that are told as a summary: all older ones.
    pub summarised: Range<usize>,
    /// Exchanges that are not told, since there is no room even for a summary of them.
    pub left_out: Range<usize>,
    /// Longest that the summary may be, tokens; 0 where nothing is summarised.
    pub summary_tokens: u64,
    /// Tokens of all that is told, the summary at its longest and the server's frame included.
    pub tokens: u64,
    /// Tokens that are left for the output. Fewer than `num_predict` means that the output can be cut
    /// at the end of the context.
    pub output_tokens: u64,
}

/// The prompt alone does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the prompt has about {tokens} tokens, and a context of {num_ctx} tokens has room for {room} \
     beside the output: shorten it, or ask for a larger `num_ctx`"
)]
pub struct PromptTooLong {
    /// Tokens of the prompt and of what is always said around it.
    pub tokens: u64,
    /// Tokens that there is room for.
    pub room: u64,
    /// Size of the context, tokens.
    pub num_ctx: u64,
}

/// Decides what is told.
///
/// The prompt comes first. Of what is left, the best documents get up to a quarter, the exchanges
/// the rest, the newest first and without a gap; what they leave goes to further documents. Where not every
/// exchange fits, room for a summary of the older ones is kept first.
pub fn fit(context: Context, rate: TokenRate, parts: Parts<'_>) -> Result<Fit, PromptTooLong> {
    let room = context.num_ctx - context.output();
    let must = [parts.system.count(rate), parts.prompt.count(rate), FRAME]
        .into_iter()
        .fold(0, u64::saturating_add);
    let Some(mut left) = room.checked_sub(must) else {
        return Err(PromptTooLong {
            tokens: must,
            room,
            num_ctx: context.num_ctx,
        });
    };
    let kept = parts.kept.min(left / KEPT_SHARE);
    left -= kept;
    let counts = |parts: &[Part<'_>]| parts.iter().map(|part| part.count(rate)).collect();
    let (documents, exchanges): (Vec<u64>, Vec<u64>) =
        (counts(parts.documents), counts(parts.exchanges));
    let summary = (left / SUMMARY_SHARE).min(LONGEST_SUMMARY);

    let mut share = left / DOCUMENT_SHARE;
    let before = share;
    let mut taken = vec![false; documents.len()];
    take(&documents, &mut taken, &mut share);
    left -= before - share;

    let all = exchanges.iter().copied().fold(0, u64::saturating_add);
    let mut fit = Fit::default();
    if all <= left {
        left -= all;
        fit.verbatim = 0..exchanges.len();
    } else {
        let can_summarise = summary >= SHORTEST_SUMMARY;
        if can_summarise {
            fit.summary_tokens = summary;
            left -= summary;
        }
        let from = newest(&exchanges, &mut left);
        fit.verbatim = from..exchanges.len();
        *(if can_summarise {
            &mut fit.summarised
        } else {
            &mut fit.left_out
        }) = 0..from;
    }
    take(&documents, &mut taken, &mut left);

    let places = |wanted: bool| {
        (0..documents.len())
            .filter(|at| taken[*at] == wanted)
            .collect()
    };
    fit.documents = places(true);
    fit.documents_left_out = places(false);
    left += kept;
    fit.tokens = room - left;
    fit.output_tokens = context.num_ctx - fit.tokens;
    Ok(fit)
}

/// Takes what fits of what is not taken yet, in order.
fn take(counts: &[u64], taken: &mut [bool], left: &mut u64) {
    for (count, taken) in counts.iter().zip(taken) {
        if !*taken && count <= left {
            *left -= count;
            *taken = true;
        }
    }
}

/// Where the newest exchanges begin that fit without a gap.
fn newest(counts: &[u64], left: &mut u64) -> usize {
    let mut from = counts.len();
    while let Some(count) = from.checked_sub(1).map(|last| counts[last])
        && count <= *left
    {
        *left -= count;
        from -= 1;
    }
    from
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn counted(tokens: u64) -> Part<'static> {
        Part {
            text: "",
            tokens: Some(tokens),
        }
    }

    fn parts<'a>(documents: &'a [Part<'a>], exchanges: &'a [Part<'a>]) -> Parts<'a> {
        Parts {
            system: counted(40),
            documents,
            exchanges,
            prompt: counted(28),
            kept: 0,
        }
    }

    /// 1000 tokens of context, 200 of output: 700 are left beside a prompt.
    fn fitted(documents: &[u64], exchanges: &[u64]) -> Fit {
        let context = Context {
            num_ctx: 1000,
            num_predict: Some(200),
        };
        let part = |tokens: &u64| counted(*tokens);
        let documents: Vec<Part> = documents.iter().map(part).collect();
        let exchanges: Vec<Part> = exchanges.iter().map(part).collect();
        fit(context, TokenRate::default(), parts(&documents, &exchanges)).unwrap()
    }

    #[test]
    fn what_fits_is_told_as_it_is() {
        let fit = fitted(&[100, 50], &[200, 200]);
        assert_eq!(fit.documents, [0, 1]);
        assert_eq!(
            (fit.verbatim, fit.summarised, fit.left_out),
            (0..2, 0..0, 0..0)
        );
        assert_eq!((fit.tokens, fit.output_tokens), (650, 350));
        assert_eq!(fit.summary_tokens, 0);
    }

    #[test]
    fn the_oldest_exchanges_are_summarised_first() {
        let fit = fitted(&[], &[300, 300, 300, 200]);
        assert_eq!((fit.summarised, fit.verbatim), (0..2, 2..4));
        assert_eq!(fit.summary_tokens, 700 / 6);
        assert_eq!(fit.tokens, 100 + 500 + 116);
    }

    #[test]
    fn documents_take_a_quarter_at_most_while_exchanges_need_the_rest() {
        let fit = fitted(&[100, 180, 60], &[300, 250, 250]);
        assert_eq!(fit.documents, [0, 2]);
        assert_eq!(fit.documents_left_out, [1]);
        assert_eq!((fit.summarised, fit.verbatim), (0..2, 2..3));
        let alone = fitted(&[100, 180, 60, 440, 300], &[]);
        assert_eq!(alone.documents, [0, 1, 2, 4]);
        assert_eq!(alone.documents_left_out, [3]);
    }

    #[test]
    fn a_prompt_that_is_too_long_is_refused_with_its_size() {
        let context = Context {
            num_ctx: 120,
            num_predict: None,
        };
        let error = fit(context, TokenRate::default(), parts(&[], &[])).unwrap_err();
        assert_eq!((error.tokens, error.room, error.num_ctx), (100, 90, 120));
        assert!(error.to_string().contains("larger `num_ctx`"), "{error}");
    }

    #[test]
    fn exchanges_are_left_out_by_name_where_no_summary_fits() {
        let context = Context {
            num_ctx: 300,
            num_predict: Some(1000),
        };
        let exchanges = [counted(60), counted(20)];
        let fit = fit(context, TokenRate::default(), parts(&[], &exchanges)).unwrap();
        assert_eq!(
            (fit.left_out, fit.summarised, fit.verbatim),
            (0..1, 0..0, 1..2)
        );
        assert_eq!(fit.output_tokens, 180, "the output was promised more");
    }

    #[test]
    fn the_servers_counts_make_the_rate() {
        let mut rate = TokenRate::default();
        assert_eq!(rate.tokens(&"a".repeat(25)), 11);
        rate.observe(4000, 1000, 4096);
        rate.observe(90_000, 4096, 4096);
        assert!(
            (rate.characters_a_token() - 4.0).abs() < 1e-9,
            "a cut prompt tells nothing"
        );
        assert_eq!(rate.tokens(&"é".repeat(80)), 22);
        rate.observe(0, 1_000_000, u64::MAX);
        assert_eq!(rate.tokens("ab"), 5, "no rate is beyond belief");
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_nothing_is_too_much(
            num_ctx in 1..5000_u64,
            num_predict in proptest::option::of(0..9000_u64),
            documents in proptest::collection::vec(0..600_u64, 0..8),
            exchanges in proptest::collection::vec(0..600_u64, 0..12),
        ) {
            let context = Context { num_ctx, num_predict };
            let part = |tokens: &u64| counted(*tokens);
            let document_parts: Vec<Part> = documents.iter().map(part).collect();
            let exchange_parts: Vec<Part> = exchanges.iter().map(part).collect();
            let all = parts(&document_parts, &exchange_parts);
            let Ok(fit) = fit(context, TokenRate::default(), all) else {
                prop_assert!(num_ctx - context.output() < 100);
                return Ok(());
            };
            let mut named = [fit.documents.clone(), fit.documents_left_out.clone()].concat();
            named.sort_unstable();
            prop_assert!(named.into_iter().eq(0..documents.len()));
            let older = fit.summarised.len() + fit.left_out.len();
            prop_assert_eq!(fit.verbatim.clone(), older..exchanges.len());
            prop_assert!(fit.summarised.is_empty() || fit.left_out.is_empty());
            prop_assert_eq!(fit.summarised.is_empty(), fit.summary_tokens == 0);
            let told = fit.documents.iter().map(|at| documents[*at]).sum::<u64>()
                + exchanges[fit.verbatim.clone()].iter().sum::<u64>();
            prop_assert_eq!(fit.tokens, 100 + told + fit.summary_tokens);
            prop_assert!(fit.output_tokens >= context.output());
            prop_assert_eq!(fit.tokens + fit.output_tokens, num_ctx);
        }
    }
}
