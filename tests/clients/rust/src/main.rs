//! Uses the client that is generated in Rust, against the server whose address is the argument.
//! What the README shows is taken from here.

use anyhow::{Context, Result, bail, ensure};
use futures_util::TryStreamExt;
use ollama_benchmarker_client::types::{
    BenchmarkRequest, BenchmarkResponse, ExportFormat, NovaRequest, NovaStatus, Problem, RunEvent,
    RunFinished, Status,
};
use ollama_benchmarker_client::{ByteStream, Client, Error};

const MODEL: &str = "steady@reference";

async fn run(client: &Client, models: Vec<String>) -> Result<BenchmarkResponse> {
    let request = BenchmarkRequest::builder()
        .prompt("Why is the sky blue?".to_owned())
        .models(models)
        .repetitions(2u32);
    let run = client
        .run_benchmark()
        .body(request)
        .send()
        .await?
        .into_inner();
    for model in &run.summary {
        let median = model.time_to_first_chunk.median;
        println!("{} {median:?} s to the first chunk", model.model);
    }
    Ok(run)
}

/// Hands each event of a run to `told`, until the run has ended.
async fn events(client: &Client, id: &str, mut told: impl FnMut(RunEvent)) -> Result<()> {
    let mut stream = client.follow_benchmark().id(id).send().await?.into_inner();
    let mut unread = Vec::new();
    while let Some(bytes) = stream.try_next().await? {
        unread.extend_from_slice(&bytes);
        while let Some(end) = unread.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = unread.drain(..=end).collect();
            if let Some(data) = line.strip_prefix(b"data: ") {
                told(serde_json::from_slice(data)?);
            }
        }
    }
    Ok(())
}

async fn follow(client: &Client, models: Vec<String>) -> Result<RunFinished> {
    let request = BenchmarkRequest::builder()
        .prompt("Why is the sky blue?".to_owned())
        .models(models);
    let run = client.start_benchmark().body(request).send().await?;
    let mut finished = None;
    events(client, &run.id, |event| match event {
        RunEvent::TextArrived(arrived) => print!("{}", arrived.text),
        RunEvent::RunFinished(run) => finished = Some(run),
        _ => {}
    })
    .await?;
    finished.context("the stream ended before the run")
}

/// The problem that an operation answered with.
async fn problem(error: Error<ByteStream>) -> Result<Problem> {
    let Error::ErrorResponse(answer) = error else {
        bail!("{error}");
    };
    let pieces: Vec<_> = answer.into_inner().into_inner().try_collect().await?;
    Ok(serde_json::from_slice(&pieces.concat())?)
}

async fn history(client: &Client) -> Result<Vec<Vec<BenchmarkResponse>>> {
    let mut pages = Vec::new();
    let mut cursor = None::<String>;
    loop {
        let mut request = client.list_benchmarks().limit(2u32);
        if let Some(cursor) = cursor {
            request = request.cursor(cursor);
        }
        let page = request.send().await?;
        cursor = page.headers().get("Link").and_then(|link| {
            let (_, rest) = link.to_str().ok()?.split_once("cursor=")?;
            Some(rest.split(['&', '>']).next()?.to_owned())
        });
        pages.push(page.into_inner());
        if cursor.is_none() {
            return Ok(pages);
        }
    }
}

async fn refused(client: &Client) -> Result<()> {
    let missing = client.get_benchmark().id("0".repeat(24)).send().await;
    let missing = problem(missing.err().context("there is no such run")?).await?;
    ensure!(missing.status == 404, "{missing:?}");
    ensure!(missing.type_ == "urn:ollama-benchmarker:problem:not-found");

    let request = BenchmarkRequest::builder()
        .prompt(String::new())
        .models(Vec::new());
    let invalid = client.run_benchmark().body(request).send().await;
    let invalid = problem(invalid.err().context("it must be refused")?).await?;
    ensure!(invalid.status == 422, "{invalid:?}");
    for error in &invalid.errors {
        println!("{} {}", error.pointer, error.message);
    }
    ensure!(
        invalid
            .errors
            .iter()
            .any(|error| error.pointer == "/models")
    );
    Ok(())
}

async fn exchange(client: &Client, run: &BenchmarkResponse) -> Result<()> {
    let export = client
        .export_benchmarks()
        .format(ExportFormat::Json)
        .ids(vec![run.id.clone()]);
    let exported = export.send().await?.into_inner();
    let document = serde_json::to_value(&exported)?;
    ensure!(document == serde_json::to_value([run])?, "{document}");
    let import = client.import_benchmarks().body(document.to_string());
    let report = import.send().await?;
    ensure!(
        (report.documents, report.known, report.failed) == (1, 1, 0),
        "{report:?}"
    );
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let url = std::env::args().nth(1).context("usage: use-client URL")?;
    let client = Client::new(&url);
    let first = run(&client, vec![MODEL.to_owned()]).await?;
    ensure!(first.status == Status::Completed, "{}", first.status);
    ensure!(first.results[0].throughput.total_chunks > 1);
    let second = run(&client, vec![MODEL.to_owned()]).await?;

    let finished = follow(&client, vec![MODEL.to_owned()]).await?;
    println!();
    ensure!(finished.status == Status::Completed, "{}", finished.status);

    let pages = history(&client).await?;
    ensure!(pages.len() > 1 && pages.iter().all(|page| (1..=2).contains(&page.len())));
    let seen: Vec<&str> = pages.iter().flatten().map(|run| run.id.as_str()).collect();
    ensure!(
        [&first.id, &second.id, &finished.id]
            .iter()
            .all(|id| seen.contains(&id.as_str()))
    );

    let ids = format!("{},{}", first.id, second.id);
    let compared = client.compare_benchmarks().ids(ids).send().await?;
    ensure!(compared.runs == [first.id.as_str(), second.id.as_str()]);
    println!(
        "{}",
        compared
            .rows
            .first()
            .context("nothing is compared")?
            .sentence
    );

    let question = NovaRequest::builder()
        .prompt("Why?".to_owned())
        .model(MODEL.to_owned());
    let answer = client.ask_nova().body(question).send().await?;
    ensure!(answer.status == NovaStatus::Completed && !answer.steps.is_empty());

    exchange(&client, &first).await?;
    refused(&client).await
}
