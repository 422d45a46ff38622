//! Generation parameters and their ranges.

use poem_openapi::Object;
use serde::{Deserialize, Serialize};

use super::request::Check;

/// Generation parameters, named as Ollama's options.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, Object)]
#[serde(
    default,
    deny_unknown_fields,
    expecting = "an object of generation parameters"
)]
#[oai(default)]
pub struct Parameters {
    /// Randomness of sampling, 0 to 10; 0 always takes the likeliest token.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[oai(validator(minimum(value = "0"), maximum(value = "10")))]
    pub temperature: Option<f64>,
    /// Sample only from the K likeliest tokens, 0 to 100000.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[oai(validator(minimum(value = "0"), maximum(value = "100000")))]
    pub top_k: Option<i64>,
    /// Sample from the likeliest tokens whose probabilities sum to this, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[oai(validator(minimum(value = "0"), maximum(value = "1")))]
    pub top_p: Option<f64>,
    /// Drop tokens less likely than this share of the likeliest, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[oai(validator(minimum(value = "0"), maximum(value = "1")))]
    pub min_p: Option<f64>,
    /// Locally typical sampling, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[oai(validator(minimum(value = "0"), maximum(value = "1")))]
    pub typical_p: Option<f64>,
    /// Seed of the sampler, −1 for a random one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[oai(validator(minimum(value = "-1"), maximum(value = "4294967295")))]
    pub seed: Option<i64>,
    /// Most tokens to write: 1 to 1000000, −1 without limit, −2 until the context is full.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[oai(validator(minimum(value = "-2"), maximum(value = "1000000")))]
    pub num_predict: Option<i64>,
    /// Size of the context, tokens, 1 to 10000000. A change reloads the model.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[oai(validator(minimum(value = "1"), maximum(value = "10000000")))]
    pub num_ctx: Option<i64>,
    /// Prompt tokens kept when the context shifts, −1 to 10000000.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[oai(validator(minimum(value = "-1"), maximum(value = "10000000")))]
    pub num_keep: Option<i64>,
    /// Tokens evaluated at once, 1 to 1000000. A change reloads the model.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[oai(validator(minimum(value = "1"), maximum(value = "1000000")))]
    pub num_batch: Option<i64>,
    /// Layers on the GPU, −1 automatic, 0 none. A change reloads the model.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[oai(validator(minimum(value = "-1"), maximum(value = "100000")))]
    pub num_gpu: Option<i64>,
    /// The GPU for small tensors, 0 to 255. A change reloads the model.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[oai(validator(minimum(value = "0"), maximum(value = "255")))]
    pub main_gpu: Option<i64>,
    /// Threads of the engine, 0 (automatic) to 4096. A change reloads the model.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[oai(validator(minimum(value = "0"), maximum(value = "4096")))]
    pub num_thread: Option<i64>,
    /// Map the weights from disk. A change reloads the model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub use_mmap: Option<bool>,
    /// How far back repetition is looked for, tokens, −1 to 10000000.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[oai(validator(minimum(value = "-1"), maximum(value = "10000000")))]
    pub repeat_last_n: Option<i64>,
    /// Penalty of repetition, 0 to 10.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[oai(validator(minimum(value = "0"), maximum(value = "10")))]
    pub repeat_penalty: Option<f64>,
    /// Penalty of tokens that occurred, −2 to 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[oai(validator(minimum(value = "-2"), maximum(value = "2")))]
    pub presence_penalty: Option<f64>,
    /// Penalty of tokens by how often they occurred, −2 to 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[oai(validator(minimum(value = "-2"), maximum(value = "2")))]
    pub frequency_penalty: Option<f64>,
    /// Texts that end the output, at most 16 of 256 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[oai(validator(max_items = 16, min_length = 1, max_length = 256))]
    pub stop: Option<Vec<String>>,
}

impl Parameters {
    pub(super) fn check(&self, check: &mut Check) {
        check.range("/parameters/temperature", self.temperature, 0.0, 10.0);
        check.range("/parameters/top_k", self.top_k, 0, 100_000);
        check.range("/parameters/top_p", self.top_p, 0.0, 1.0);
        check.range("/parameters/min_p", self.min_p, 0.0, 1.0);
        check.range("/parameters/typical_p", self.typical_p, 0.0, 1.0);
        check.range("/parameters/seed", self.seed, -1, i64::from(u32::MAX));
        check.range("/parameters/num_predict", self.num_predict, -2, 1_000_000);
        if self.num_predict == Some(0) {
            check.push(
                "/parameters/num_predict",
                "0 would write nothing; use 1 or more, or -1",
            );
        }
        check.range("/parameters/num_ctx", self.num_ctx, 1, 10_000_000);
        check.range("/parameters/num_keep", self.num_keep, -1, 10_000_000);
        check.range("/parameters/num_batch", self.num_batch, 1, 1_000_000);
        check.range("/parameters/num_gpu", self.num_gpu, -1, 100_000);
        check.range("/parameters/main_gpu", self.main_gpu, 0, 255);
        check.range("/parameters/num_thread", self.num_thread, 0, 4096);
        check.range(
            "/parameters/repeat_last_n",
            self.repeat_last_n,
            -1,
            10_000_000,
        );
        check.range("/parameters/repeat_penalty", self.repeat_penalty, 0.0, 10.0);
        check.range(
            "/parameters/presence_penalty",
            self.presence_penalty,
            -2.0,
            2.0,
        );
        check.range(
            "/parameters/frequency_penalty",
            self.frequency_penalty,
            -2.0,
            2.0,
        );
        if let Some(stop) = &self.stop {
            if stop.len() > 16 {
                check.push("/parameters/stop", "at most 16 texts");
            }
            for (index, text) in stop.iter().enumerate() {
                // Blanks alone are fine: a line break is the usual text to end at.
                if text.is_empty() || text.chars().count() > 256 {
                    let pointer = format!("/parameters/stop/{index}");
                    check.push(&pointer, "must have 1 to 256 characters");
                }
            }
        }
    }
}
