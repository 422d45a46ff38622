//! What is told to the agents is fitted into the context: what does not fit is summed up by a model, or
//! left out and named; nothing is cut unseen.

use super::agent::{Task, call, conclude};
use super::budget::{self, Fit, Part, Parts};
use super::core::Conversation;
use super::orchestrator::Context;
use super::prompts::{Exchange, Template, Values};
use super::recall::{Desk, Recalled};
use super::turn::Stop;
use crate::record::{ErrorCode, MemoryDocument, NovaRole, NovaStage, NovaState, SessionSummary};

/// What the longest of our templates says around the rest, tokens.
const TEMPLATE_TOKENS: u64 = 120;
/// Part of the context that is kept for what agents write for each other.
const AGENTS_SHARE: u64 = 4;

impl Desk<'_> {
    /// Fits documents and exchanges into the context beside the prompt.
    pub async fn fit(
        &self,
        conversation: Conversation,
        prompt: String,
        documents: Vec<MemoryDocument>,
        state: &mut NovaState,
    ) -> Result<Recalled, Stop> {
        let Conversation {
            summary, exchanges, ..
        } = conversation;
        let pairs = exchanges
            .iter()
            .map(|it| format!("{}\n{}", it.prompt, it.answer));
        // The summary of still older turns is the oldest of them.
        let told: Vec<String> = summary
            .iter()
            .map(|it| it.text.clone())
            .chain(pairs)
            .collect();
        let fit = self.fitted(&prompt, &told, &documents)?;
        let offset = usize::from(summary.is_some());
        let first = fit.verbatim.start.saturating_sub(offset);
        let mut context = Context {
            prompt,
            summary: summary
                .as_ref()
                .map(|it| it.text.clone())
                .unwrap_or_default(),
            ..Context::default()
        };
        let mut renewed = None;
        if !fit.summarised.is_empty() && first > 0 {
            let old: Vec<Exchange<'_>> = exchanges[..first]
                .iter()
                .map(|it| Exchange {
                    prompt: &it.prompt,
                    answer: &it.answer,
                })
                .collect();
            let text = self
                .sum_up(&context.summary, &old, fit.summary_tokens)
                .await?;
            let through = exchanges[first - 1].number;
            context.summary.clone_from(&text);
            renewed = Some(SessionSummary { text, through });
        } else if !fit.left_out.is_empty() {
            context.summary.clear();
        }
        let of_summary = renewed.as_ref().or(summary.as_ref());
        let is_told = !context.summary.is_empty();
        state.turns_summarised = of_summary.filter(|_| is_told).map_or(0, |it| it.through);
        let rest = &exchanges[first..];
        state.turns_told = u32::try_from(rest.len()).unwrap_or(u32::MAX);
        context.exchanges = rest
            .iter()
            .map(|it| (it.prompt.clone(), it.answer.clone()))
            .collect();
        let at = |place: &usize| documents.get(*place).cloned();
        context.documents = fit.documents.iter().filter_map(at).collect();
        state.memory_documents.clone_from(&context.documents);
        let left_out = fit.documents_left_out.iter().filter_map(at);
        state.memory_left_out = left_out.map(|it| it.id).collect();
        Ok(Recalled {
            context,
            summary: renewed,
        })
    }

    fn fitted(
        &self,
        prompt: &str,
        told: &[String],
        documents: &[MemoryDocument],
    ) -> Result<Fit, Stop> {
        // The smallest context counts: every agent is told the same.
        let placed = self.turn.models.values().min_by_key(|it| it.context_size);
        let Some(placed) = placed else {
            return Err(Stop::failed(ErrorCode::Server, "no agent has a model"));
        };
        let exchanges: Vec<Part<'_>> = told.iter().map(|it| Part::of(it)).collect();
        let documents: Vec<Part<'_>> = documents.iter().map(|it| Part::of(&it.text)).collect();
        let context = budget::Context {
            num_ctx: placed.context_size,
            num_predict: Some(placed.most_output),
        };
        let parts = Parts {
            system: Part {
                text: "",
                tokens: Some(TEMPLATE_TOKENS),
            },
            documents: &documents,
            exchanges: &exchanges,
            prompt: Part::of(prompt),
            kept: placed.context_size / AGENTS_SHARE,
        };
        let fit = budget::fit(context, self.rate, parts);
        fit.map_err(|error| Stop::failed(ErrorCode::Limit, error.to_string()))
    }

    /// Lets the memory's model sum up old exchanges.
    async fn sum_up(
        &self,
        before: &str,
        exchanges: &[Exchange<'_>],
        most_tokens: u64,
    ) -> Result<String, Stop> {
        let values = Values {
            summary: before,
            exchanges,
            // A word has more than a token.
            most_words: most_tokens * 3 / 5,
            ..Values::default()
        };
        let rendered = self.prompts.render(Template::MemorySummary, &values);
        let prompt =
            rendered.map_err(|error| Stop::failed(ErrorCode::Server, error.to_string()))?;
        let task = Task {
            agent_name: NovaRole::Memory.as_str().into(),
            role: NovaRole::Memory,
            stage: NovaStage::Recall,
            iteration: None,
            prompt,
            format: None,
            answers: false,
            notes: Vec::new(),
        };
        let step = call(self.turn, &task).await?;
        conclude(self.turn, step).await
    }
}
