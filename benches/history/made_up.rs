//! Runs that look like real ones: one is measured on the built-in model server, and others vary what
//! differs from run to run. Whose they are and how they did is random, from a seed.

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use ollama_benchmarker::app::App;
use ollama_benchmarker::config::Config;
use ollama_benchmarker::measure;
use ollama_benchmarker::record::{
    BenchmarkRequest, BenchmarkResponse, BenchmarkResult, RunId, Status,
};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Models there are; runs have three of them.
pub const MODELS: usize = 40;
/// Days over which runs are spread.
pub const DAYS: i64 = 730;
const MODEL: &str = "script:tokens=64,ttft=50,gap=10@reference";
const WORDS: [&str; 24] = [
    "light", "scatters", "in", "the", "air", "and", "blue", "more", "than", "red", "so", "a",
    "clear", "sky", "looks", "that", "way", "while", "evening", "turns", "it", "orange", "again",
    "slowly",
];

/// Makes runs of one pattern.
#[derive(Clone)]
pub struct Maker {
    pattern: BenchmarkResponse,
    begin: DateTime<Utc>,
    between: TimeDelta,
}

impl Maker {
    /// For so many runs, the last of them now.
    pub async fn new(runs: usize) -> Self {
        let mut config = Config {
            database_url: "sqlite::memory:".into(),
            ..Config::default()
        };
        config.calibration.automatic = false;
        let app = App::open(config).await.unwrap();
        let request = BenchmarkRequest {
            repetitions: 3,
            ..BenchmarkRequest::new("x", vec![MODEL.into()])
        };
        let id = app.start(request).await.unwrap().id;
        let pattern = app.finished(&id).await.unwrap();
        app.shutdown().await;
        let span = TimeDelta::days(DAYS);
        Self {
            pattern,
            begin: Utc::now() - span,
            between: span / i32::try_from(runs.max(1)).unwrap(),
        }
    }

    /// The run at a place in the history.
    pub fn make(&self, place: usize) -> BenchmarkResponse {
        let mut random = StdRng::seed_from_u64(place as u64);
        let mut run = self.pattern.clone();
        run.timestamp =
            (self.begin + self.between * i32::try_from(place).unwrap()).trunc_subsecs(3);
        run.id = RunId::new(run.timestamp);
        run.finished_at = Some(run.timestamp + TimeDelta::seconds(3));
        let first = random.random_range(0..MODELS);
        let names: Vec<String> = (0..3).map(|i| model((first + i * 7) % MODELS)).collect();
        run.request.models = names.iter().map(|name| format!("{name}@ollama")).collect();
        run.request.prompt = Some(prompt(random.random_range(0..2000)));
        run.request.name = random
            .random_bool(0.2)
            .then(|| format!("nightly {}", place % 500));
        run.request.tags = tags(place);
        run.request.repetitions = 1;
        run.status = match random.random_range(0..50) {
            0 => Status::Failed,
            1 => Status::Partial,
            2 => Status::Cancelled,
            _ => Status::Completed,
        };
        let environment = run.environment.models[0].clone();
        run.environment.models = (names.iter())
            .map(|name| {
                let mut one = environment.clone();
                (one.model, one.backend, one.synthetic) = (name.clone(), "ollama".into(), false);
                one
            })
            .collect();
        for (result, name) in run.results.iter_mut().zip(&names) {
            name.clone_into(&mut result.model);
            result.prompt = run.request.prompt.clone().unwrap_or_default();
            result.repetition = 1;
            vary(result, run.timestamp, &mut random);
        }
        let models: Vec<(String, String)> = names
            .into_iter()
            .map(|name| (name, "ollama".into()))
            .collect();
        run.summary = measure::summarize(&models, &run.results);
        run
    }
}

/// The name of a model.
pub fn model(number: usize) -> String {
    format!("model-{number:02}:8b-q4_K_M")
}

/// One tag in three is rare.
fn tags(place: usize) -> Vec<String> {
    match place % 3 {
        0 => vec!["nightly".into()],
        1 => vec![format!("issue-{}", place % 10_000)],
        _ => Vec::new(),
    }
}

fn prompt(number: usize) -> String {
    format!(
        "Question {number}: why is the sky blue at noon and not at night, in {} words?",
        number % 90
    )
}

/// Figures as another request would have them: every time a little longer or shorter.
fn vary(result: &mut BenchmarkResult, at: DateTime<Utc>, random: &mut StdRng) {
    let pace: f64 = random.random_range(0.5..3.0);
    let words = (0..64).map(|_| WORDS[random.random_range(0..WORDS.len())]);
    result.response = words.collect::<Vec<_>>().join(" ");
    result.response_sha256 = format!(
        "{:032x}{:032x}",
        random.random::<u128>(),
        random.random::<u128>()
    );
    result.backend = "ollama".into();
    result.timestamp = at;
    let timing = &mut result.timing;
    for time in [
        &mut timing.time_to_first_chunk,
        &mut timing.time_to_first_output,
        &mut timing.time_to_second_chunk,
        &mut timing.total_time,
        &mut timing.request_latency,
        &mut timing.longest_gap,
        &mut timing.time_per_output_token,
        &mut timing.connect_time,
    ] {
        *time = time.map(|time| (time * pace * random.random_range(0.9..1.1) * 1e6).round() / 1e6);
    }
    let throughput = &mut result.throughput;
    throughput.output_tokens_per_second =
        timing.time_per_output_token.map(|time| digits(1.0 / time));
    throughput.total_bytes = result.response.len() as u64;
    throughput.bytes_per_second = timing
        .total_time
        .map(|time| digits(result.response.len() as f64 / time));
    if let Some(chunks) = &mut result.chunks {
        let mut end = 0.0;
        for offset in &mut chunks.offsets {
            let jitter = random.random_range(-0.0005..0.0005);
            end = f64::max(end, *offset * pace + jitter);
            *offset = (end * 1e6).round() / 1e6;
        }
        let sizes = result
            .response
            .split(' ')
            .map(|word| u32::try_from(word.len() + 1).unwrap());
        chunks.sizes = sizes.take(chunks.offsets.len()).collect();
        chunks.sizes.resize(chunks.offsets.len(), 4);
    }
}

/// As many as the program gives of a rate.
fn digits(rate: f64) -> f64 {
    format!("{rate:.11e}").parse().unwrap()
}
