//! `nova ask`: one prompt through the agents. What they do is told on standard error as it happens, the
//! answer is written to standard output as it comes.

use std::io::{self, IsTerminal, Write};

use anyhow::Context;
use clap::{Args, Subcommand};
use futures_util::StreamExt;
use serde::Deserialize;

use super::show::parse_id;
use super::{Exit, Usage, parameters, signals, values};
use crate::app::{App, AppError};
use crate::config::Config;
use crate::record::{
    JsonOutcome, NovaEvent, NovaPipeline, NovaRequest, NovaResponse, NovaStatus, NovaStep,
};

/// Flags of `nova`.
#[derive(Debug, Args)]
pub struct Nova {
    #[command(subcommand)]
    command: NovaCommand,
}

#[derive(Debug, Subcommand)]
enum NovaCommand {
    /// Ask the agents, with their steps shown as they come
    Ask(Box<Ask>),
}

/// Flags of `nova ask`.
#[derive(Debug, Args)]
struct Ask {
    /// What is asked
    #[arg(value_name = "PROMPT")]
    prompt: String,
    /// Session to go on with, as it was told before; a new one without
    #[arg(long, value_name = "ID")]
    session: Option<String>,
    /// Model of the agents, NAME or NAME@BACKEND
    #[arg(long, short, value_name = "MODEL")]
    model: Option<String>,
    /// Which agents work: turn or `nova_process`
    #[arg(long, value_name = "PIPELINE")]
    pipeline: Option<NovaPipeline>,
    /// Generation parameter, such as temperature=0 or seed=7; may be repeated
    #[arg(long = "param", value_name = "KEY=VALUE")]
    parameters: Vec<String>,
    /// Longest time for one call of a model, s
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    timeout: Option<f64>,
    /// Write the answer at once, when it is whole
    #[arg(long)]
    no_stream: bool,
    /// The answer as a text, or everything of the turn for programs, when it is whole
    #[arg(long, value_name = "FORMAT", default_value = "text", value_parser = values::choice::<AnswerFormat>(&["text", "json"]))]
    format: AnswerFormat,
}

/// What is written of a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum AnswerFormat {
    /// The answer.
    Text,
    /// The whole response.
    Json,
}

impl Nova {
    /// Carries the command out, to its end or the first signal.
    pub async fn execute(self, config: Config) -> anyhow::Result<Exit> {
        match self.command {
            NovaCommand::Ask(command) => command.execute(config).await,
        }
    }
}

impl Ask {
    async fn execute(self, config: Config) -> anyhow::Result<Exit> {
        let request = self.request()?;
        let signal = signals::listen().context("cannot listen for signals")?;
        let app = App::open(config).await?;
        let told = follow(&app, request, signal, self.screen()).await;
        app.shutdown().await;
        let Some((response, interrupted)) = told? else {
            return Ok(Exit::Interrupted);
        };
        Ok(match response.status {
            _ if interrupted => Exit::Interrupted,
            NovaStatus::Completed | NovaStatus::AwaitingUser => Exit::Done,
            NovaStatus::Cancelled | NovaStatus::Interrupted => Exit::Interrupted,
            NovaStatus::Failed | NovaStatus::Running => Exit::Failed,
        })
    }

    fn screen(&self) -> Screen {
        Screen {
            format: self.format,
            streams: !self.no_stream && self.format == AnswerFormat::Text,
            wrote: false,
            is_open: false,
        }
    }

    fn request(&self) -> Result<NovaRequest, Usage> {
        let mut request = NovaRequest::new(self.prompt.clone());
        let session = self.session.as_deref();
        request.session_id = session.map(parse_id).transpose()?;
        request.model.clone_from(&self.model);
        request.pipeline = self.pipeline;
        request.parameters = parameters::parse(&self.parameters)
            .map_err(|message| Usage(format!("--param: {message}")))?;
        request.timeout = self.timeout;
        Ok(request)
    }
}

/// Asks and shows what happens until the turn ends; a signal stops it. Whether one came is told beside what
/// came of it; `None` where it came before there was a turn.
async fn follow(
    app: &App,
    request: NovaRequest,
    signal: impl Future<Output = ()>,
    mut screen: Screen,
) -> anyhow::Result<Option<(NovaResponse, bool)>> {
    tokio::pin!(signal);
    let turn = tokio::select! {
        turn = app.ask(request) => turn?,
        () = &mut signal => return Ok(None),
    };
    let id = turn.response.turn_id;
    let mut events = app.own_turn_events(&id, None).await?;
    let mut interrupted = false;
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some(told) => screen.tell(&told.event)?,
                None => break,
            },
            () = &mut signal, if !interrupted => {
                interrupted = true;
                stop(app, &id).await?;
            }
        }
    }
    let response = app.turn_ended(&id).await?.response;
    screen.finish(&response)?;
    Ok(Some((response, interrupted)))
}

async fn stop(app: &App, id: &crate::record::RunId) -> Result<(), AppError> {
    app.cancel_turn(id).await.map(drop)
}

/// What is shown of a turn.
struct Screen {
    format: AnswerFormat,
    streams: bool,
    /// Part of the answer is on standard output already.
    wrote: bool,
    /// Its last line has no end yet.
    is_open: bool,
}

impl Screen {
    fn tell(&mut self, event: &NovaEvent) -> io::Result<()> {
        // On a screen steps and answer share the lines.
        if self.is_open && !matches!(event, NovaEvent::Token(_)) && io::stdout().is_terminal() {
            eprintln!();
            self.is_open = false;
        }
        match event {
            // First of all: it is what an interrupted turn is gone on with.
            NovaEvent::TurnStarted(turn) => eprintln!("session {}", turn.session_id),
            NovaEvent::StepStarted(step) => {
                let model = step.model.as_deref().unwrap_or("no model");
                eprintln!("{} ({model}) …", values::visible(&step.agent_name));
            }
            NovaEvent::Memory(recalled) => {
                for document in &recalled.documents {
                    let line = document.text.lines().next().unwrap_or_default();
                    let reason = document.reason.as_deref().unwrap_or_default();
                    let told = format!("  recalls `{line}`: {reason}");
                    eprintln!("{}", values::visible(&told));
                }
            }
            NovaEvent::StepFinished(finished) => {
                eprintln!("{}", values::visible(&summary(&finished.step)));
            }
            NovaEvent::Iteration(round) => {
                let state = if round.converged {
                    "agreed"
                } else {
                    "not yet agreed"
                };
                eprintln!("round {} of {}: {state}", round.iteration, round.at_most);
            }
            NovaEvent::Token(token) if token.answers && self.streams && !token.text.is_empty() => {
                let mut out = io::stdout().lock();
                out.write_all(values::visible(&token.text).as_bytes())?;
                out.flush()?;
                (self.wrote, self.is_open) = (true, true);
            }
            NovaEvent::Cancelled(cancelled) => {
                eprintln!("stopped after {:.1} ms", cancelled.after_ms);
            }
            NovaEvent::Error(failed) => {
                eprintln!("error: {}", values::visible(&failed.error.message));
            }
            _ => {}
        }
        Ok(())
    }

    fn finish(&self, response: &NovaResponse) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if self.format == AnswerFormat::Json {
            serde_json::to_writer_pretty(&mut out, response)?;
            return writeln!(out);
        }
        if !self.wrote {
            out.write_all(values::visible(&response.text).as_bytes())?;
        }
        if self.is_open || !self.wrote {
            writeln!(out)?;
        }
        out.flush()
    }
}

/// A step in a line.
fn summary(step: &NovaStep) -> String {
    // Named again, since experts end in another order than they began.
    let mut line = format!("  {}: {:.2} s", step.agent_name, step.elapsed_time_ms / 1e3);
    if let Some(tokens) = step.throughput.output_tokens {
        line = format!("{line}, {tokens} tokens");
    }
    line.push_str(match step.json {
        Some(JsonOutcome::Repaired) => ", JSON at the second attempt",
        Some(JsonOutcome::Unreadable) => ", JSON cannot be read",
        Some(JsonOutcome::FellBack) => ", JSON cannot be read again: a rule stands in",
        Some(JsonOutcome::Asked) | None => "",
    });
    if step.prompt_truncated {
        line.push_str(", the context is full");
    }
    if let Some(error) = &step.error {
        line = format!("{line}, {}", error.message);
    }
    line
}
