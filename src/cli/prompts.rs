//! Flags that say what the models are asked.

use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;

use super::{Usage, dataset};
use crate::record::{BenchmarkRequest, Synthetic};

/// Flags of prompts; one kind of them.
#[derive(Debug, Args)]
#[group(required = true, multiple = true, args = ["prompts", "prompt_file", "dataset", "tokens"])]
pub struct PromptFlags {
    /// Text that is sent to every model; may be repeated
    #[arg(long = "prompt", short, value_name = "TEXT", conflicts_with_all = ["prompt_file", "dataset", "tokens"])]
    prompts: Vec<String>,
    /// File with the text; `-` is standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["dataset", "tokens"])]
    prompt_file: Option<PathBuf>,
    /// File with many prompts: .jsonl with `prompt`, .csv with the column `prompt`, or one a line
    #[arg(long, value_name = "FILE", conflicts_with = "tokens")]
    dataset: Option<PathBuf>,
    /// Make up prompts of about so many tokens
    #[arg(long = "synthetic-tokens", value_name = "N")]
    tokens: Option<u32>,
    /// How many different ones to make up
    #[arg(
        long = "synthetic-prompts",
        value_name = "N",
        default_value_t = 1,
        requires = "tokens"
    )]
    made_up: u32,
    /// Put something different before every prompt, so that no server takes it from its cache: true
    /// or false; where absent, true under a load
    #[arg(long, value_name = "BOOL")]
    unique_prefix: Option<bool>,
}

impl PromptFlags {
    /// Puts the prompts into a request. `most` is the longest that may be sent, bytes.
    pub fn fill(&self, request: &mut BenchmarkRequest, most: usize) -> Result<(), Usage> {
        request.unique_prefix = self.unique_prefix;
        request.prompt = None;
        request.synthetic = self.tokens.map(|tokens| Synthetic {
            tokens,
            prompts: self.made_up,
            seed: 0,
        });
        let mut prompts = match (&self.prompt_file, &self.dataset) {
            (Some(path), _) => vec![read_prompt(path, most)?],
            (None, Some(path)) => dataset::read(path, most)?,
            (None, None) => self.prompts.clone(),
        };
        if prompts.len() == 1 {
            request.prompt = prompts.pop();
        }
        request.prompts = prompts;
        Ok(())
    }
}

/// Reads no more than may be sent, and one byte, so that too much is noticed.
fn read_prompt(path: &Path, most: usize) -> Result<String, Usage> {
    let trouble = |error| {
        Usage(format!(
            "cannot read the prompt from {}: {error}",
            path.display()
        ))
    };
    let bound = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    let mut text = String::new();
    if path == Path::new("-") {
        std::io::stdin()
            .lock()
            .take(bound)
            .read_to_string(&mut text)
            .map_err(trouble)?;
    } else {
        let file = std::fs::File::open(path).map_err(trouble)?;
        file.take(bound)
            .read_to_string(&mut text)
            .map_err(trouble)?;
    }
    if text.len() > most {
        return Err(Usage(format!(
            "{} has more than {most} bytes",
            path.display()
        )));
    }
    Ok(text)
}
