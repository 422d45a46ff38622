//! The fields of the form as they are declared: names, words, first values. What is done with them
//! is in the module above.

use serde::Serialize;

/// How a field is filled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A line of text.
    Text,
    /// Several lines of text.
    Area,
    /// A whole number.
    Whole,
    /// A number.
    Decimal,
    /// Yes or no.
    Check,
    /// One of a list.
    Choice,
}

/// A field as it is declared.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Field {
    /// Its JSON pointer in the request, without the first slash.
    pub name: &'static str,
    /// What it is called on the page.
    pub label: &'static str,
    /// What it means, in a line.
    pub hint: &'static str,
    /// How it is filled in.
    pub kind: Kind,
    /// What it holds before anyone touched it.
    pub default: &'static str,
    /// Values and their words, of a choice.
    pub options: &'static [(&'static str, &'static str)],
}

/// A field without a first value.
pub const fn field(
    name: &'static str,
    kind: Kind,
    label: &'static str,
    hint: &'static str,
) -> Field {
    Field {
        name,
        label,
        hint,
        kind,
        default: "",
        options: &[],
    }
}

/// Options that are folded together.
pub struct Group {
    /// What it is called on the page.
    pub title: &'static str,
    /// Its fields, in the order of the page.
    pub fields: &'static [Field],
}

const YES_OR_NO: &[(&str, &str)] = &[("", "as the model says"), ("true", "yes"), ("false", "no")];

/// All groups, in the order of the page.
pub const GROUPS: [Group; 5] = [
    Group {
        title: "Measuring",
        fields: &MEASURING,
    },
    Group {
        title: "Load",
        fields: &LOAD,
    },
    Group {
        title: "What the model is told",
        fields: &TOLD,
    },
    Group {
        title: "Generation parameters",
        fields: &PARAMETERS,
    },
    Group {
        title: "Name and tags",
        fields: &NAMING,
    },
];

/// How often each model is asked beforehand.
pub const WARMUP: Field = Field {
    default: "1",
    ..field(
        "warmup",
        Kind::Whole,
        "Warm-up requests",
        "Sent first to each model, so that loading it is not averaged in.",
    )
};

const MEASURING: [Field; 10] = [
    Field {
        default: "3",
        ..field(
            "repetitions",
            Kind::Whole,
            "Repetitions",
            "Measured requests a model. Five or more give an interval, and so a sure verdict.",
        )
    },
    WARMUP,
    Field {
        default: "sequential",
        options: &[
            ("sequential", "one model after the other"),
            ("interleaved", "models in turn (A B B A)"),
            ("concurrent", "all models at once"),
        ],
        ..field(
            "execution",
            Kind::Choice,
            "Order",
            "In turn is fairest on a machine that warms up. At once shows them under contention.",
        )
    },
    field(
        "cold_start",
        Kind::Check,
        "Cold start",
        "Unload the model before each measured request, to measure loading.",
    ),
    field(
        "cooldown",
        Kind::Text,
        "Pause before each",
        "So that heat does not slow the next one down: seconds, such as 30, or until it is no warmer than, such as, 60C. Empty: none.",
    ),
    field(
        "timeout",
        Kind::Decimal,
        "Longest request, s",
        "A request that takes longer is stopped and counts as failed. Empty: the server's setting.",
    ),
    field(
        "run_timeout",
        Kind::Decimal,
        "Longest run, s",
        "The whole run is stopped after this. Empty: the server's setting.",
    ),
    field(
        "keep_alive",
        Kind::Text,
        "Keep loaded",
        "How long the model stays in memory afterwards: seconds, or such as 5m. Empty: as the model server does.",
    ),
    field(
        "until_decided",
        Kind::Check,
        "Until it is decided",
        "Ends as soon as it is sure which model is fastest; repetitions are then the most of them, 5 at least, better 100. Needs the order “in turn”.",
    ),
    field(
        "objectives",
        Kind::Area,
        "Objectives",
        "What a figure must keep, one a line, such as time_to_first_chunk.p95<0.5 or failed_percent<1.",
    ),
];

/// Names and kinds are those of `Load`.
pub const LOAD: [Field; 6] = [
    Field {
        options: &[
            ("", "none: one request at a time"),
            ("closed", "virtual users (closed loop)"),
            ("constant", "constant rate (open loop)"),
            ("poisson", "random arrivals (open loop)"),
            ("sweep", "sweep: rising rates until the server falls behind"),
        ],
        ..field(
            "load/pattern",
            Kind::Choice,
            "Pattern",
            "Works each model with many requests at once, instead of repetitions.",
        )
    },
    field(
        "load/concurrency",
        Kind::Whole,
        "Virtual users",
        "Closed loop: each sends its next request when its last one has ended. Empty: 1.",
    ),
    field(
        "load/rate",
        Kind::Decimal,
        "Requests a second",
        "Open loop: sent whatever the server does; latencies count from when they were due.",
    ),
    field(
        "load/duration",
        Kind::Decimal,
        "Duration, s",
        "So long requests are sent; of a sweep, in each stage (empty: 10).",
    ),
    field(
        "load/max_requests",
        Kind::Whole,
        "Requests",
        "Of each model. A closed loop needs it; an open one needs it or a duration. Of a sweep: of each stage at most (empty: 200).",
    ),
    field(
        "load/seed",
        Kind::Whole,
        "Seed of random arrivals",
        "The same seed gives the same times. Empty: 0.",
    ),
];

const TOLD: [Field; 6] = [
    field(
        "prompts",
        Kind::Area,
        "More prompts",
        "One a line; every model gets each of them, besides the one above.",
    ),
    field(
        "synthetic/tokens",
        Kind::Whole,
        "Made-up prompt, tokens",
        "Common words in random order, about so many tokens, in place of the prompt above.",
    ),
    Field {
        options: &[("", "only under a load"), ("true", "yes"), ("false", "no")],
        ..field(
            "unique_prefix",
            Kind::Choice,
            "Different beginnings",
            "Puts something different before every prompt, so that nothing of it comes from the server's cache.",
        )
    },
    field(
        "system",
        Kind::Area,
        "System prompt",
        "Sets the model's role. Empty: the model's own.",
    ),
    Field {
        options: &[
            ("", "as the model does"),
            ("true", "yes"),
            ("false", "no"),
            ("low", "low"),
            ("medium", "medium"),
            ("high", "high"),
            ("max", "max"),
        ],
        ..field(
            "think",
            Kind::Choice,
            "Thinking",
            "Whether, or how hard, a thinking model thinks before it answers.",
        )
    },
    field(
        "format",
        Kind::Area,
        "Output format",
        "The word json, or a JSON schema that the answer must follow.",
    ),
];

/// Names and kinds are those of `Parameters`.
pub const PARAMETERS: [Field; 19] = [
    field(
        "parameters/temperature",
        Kind::Decimal,
        "Temperature",
        "Randomness, 0 to 10. 0 takes the likeliest token, so that repetitions agree.",
    ),
    field(
        "parameters/seed",
        Kind::Whole,
        "Seed",
        "The same seed gives the same answer again. −1 for a random one.",
    ),
    field(
        "parameters/num_predict",
        Kind::Whole,
        "Most tokens to write",
        "Equal lengths make total times comparable. −1 without limit.",
    ),
    field(
        "parameters/num_ctx",
        Kind::Whole,
        "Context, tokens",
        "Longest prompt and answer together. A change reloads the model.",
    ),
    field(
        "parameters/top_k",
        Kind::Whole,
        "Top k",
        "Choose among the k likeliest tokens.",
    ),
    field(
        "parameters/top_p",
        Kind::Decimal,
        "Top p",
        "Choose among the likeliest tokens whose probabilities sum to this, 0 to 1.",
    ),
    field(
        "parameters/min_p",
        Kind::Decimal,
        "Min p",
        "Drop tokens less likely than this share of the likeliest, 0 to 1.",
    ),
    field(
        "parameters/typical_p",
        Kind::Decimal,
        "Typical p",
        "Locally typical sampling, 0 to 1.",
    ),
    field(
        "parameters/repeat_penalty",
        Kind::Decimal,
        "Repeat penalty",
        "Above 1 repetition is discouraged, 0 to 10.",
    ),
    field(
        "parameters/repeat_last_n",
        Kind::Whole,
        "Repeat window, tokens",
        "How far back repetition is looked for. −1: the whole context.",
    ),
    field(
        "parameters/presence_penalty",
        Kind::Decimal,
        "Presence penalty",
        "Of tokens that occurred, −2 to 2.",
    ),
    field(
        "parameters/frequency_penalty",
        Kind::Decimal,
        "Frequency penalty",
        "Of tokens by how often they occurred, −2 to 2.",
    ),
    field(
        "parameters/stop",
        Kind::Area,
        "Stop texts",
        "Each on a line of its own; the answer ends where one occurs.",
    ),
    field(
        "parameters/num_keep",
        Kind::Whole,
        "Keep, tokens",
        "Of the prompt, when the context shifts.",
    ),
    field(
        "parameters/num_batch",
        Kind::Whole,
        "Batch, tokens",
        "Evaluated at once. A change reloads the model.",
    ),
    field(
        "parameters/num_gpu",
        Kind::Whole,
        "Layers on the GPU",
        "−1 automatic, 0 none. A change reloads the model.",
    ),
    field(
        "parameters/main_gpu",
        Kind::Whole,
        "Main GPU",
        "The GPU for small tensors. A change reloads the model.",
    ),
    field(
        "parameters/num_thread",
        Kind::Whole,
        "Threads",
        "0 automatic. A change reloads the model.",
    ),
    Field {
        options: YES_OR_NO,
        ..field(
            "parameters/use_mmap",
            Kind::Choice,
            "Map weights",
            "From the disk instead of reading them. A change reloads the model.",
        )
    },
];

const NAMING: [Field; 2] = [
    field("name", Kind::Text, "Name", "To find the run by."),
    field(
        "tags",
        Kind::Text,
        "Tags",
        "Words to group runs by, with spaces between.",
    ),
];
