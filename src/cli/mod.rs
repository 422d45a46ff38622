//! The command line: one file a command, each thin (parse, call [`App`](crate::app::App), present).
//!
//! Results go to standard output, progress and logs to standard error. What a command found is an
//! [`Exit`]; what went wrong is an error whose kind decides the exit code.

mod agent;
mod backup;
mod calibrate;
mod check;
mod compare;
mod completions;
mod dataset;
mod export;
mod figures;
mod filter;
mod health;
mod history;
mod import;
mod load;
mod man;
mod migrate;
mod models;
mod nova;
mod openapi;
mod output;
mod parameters;
mod progress;
mod prompts;
mod prune;
mod reference;
mod report;
mod run;
mod serve;
mod show;
mod signals;
mod statistics;
mod values;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::app::AppError;
use crate::config::{Config, ConfigError, LogFormat, LogOverrides, Overrides};
use crate::logging::LogError;
use crate::version;

/// What the program is called.
const PROGRAM: &str = "ollama-benchmarker";

/// Measures local language models: every chunk timed at arrival, stored, shown live and compared.
#[derive(Debug, Parser)]
#[command(name = PROGRAM, version = version::DESCRIPTION.as_str())]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: serve::Serve,
    #[command(flatten)]
    general: General,
}

/// Flags of every command.
#[derive(Debug, Args)]
#[command(next_help_heading = "General")]
struct General {
    /// Configuration file; without it `benchmarker.toml` is read where there is one
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where runs are stored, such as `sqlite:runs.db`
    #[arg(long, global = true, value_name = "URL")]
    database_url: Option<String>,
    /// What is logged, as in `RUST_LOG`
    #[arg(long, global = true, value_name = "FILTER")]
    log: Option<String>,
    /// How log lines look
    #[arg(long, global = true, value_name = "FORMAT", value_parser = values::choice::<LogFormat>(&["pretty", "json"]))]
    log_format: Option<LogFormat>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the web page and the API (also without any command)
    Serve(serve::Serve),
    /// Run one benchmark here, with its result stored like any other
    Run(Box<run::Run>),
    /// List what can be benchmarked
    Models(models::Models),
    /// Ask agents that work with local models
    Nova(nova::Nova),
    /// List the stored runs
    History(history::History),
    /// What the stored runs say about each model
    Statistics(statistics::Statistics),
    /// Show one stored run
    Show(show::Show),
    /// Compare stored runs with the first of them, or the models of one run
    Compare(compare::Compare),
    /// Write stored runs as documents: for MongoDB, as JSON or as CSV
    Export(Box<export::Export>),
    /// Read documents of runs into the database
    Import(import::Import),
    /// Find out how well this machine can measure, and keep it for reports
    Calibrate(calibrate::Calibrate),
    /// Delete the oldest runs beyond a number, an age or a size, into an archive where one is named
    Prune(prune::Prune),
    /// Copy the database to a file while it is in use
    Backup(backup::Backup),
    /// Look whether everything that is stored can be read and fits together
    Check(check::Check),
    /// Create or update the database schema
    Migrate,
    /// Print the OpenAPI document of the API
    Openapi,
    /// Run the built-in reference model server alone
    Reference(reference::Reference),
    /// Tell what this machine does to runs on another one, where models are served here
    Agent(agent::Agent),
    /// Ask a running server whether it is ready, for health checks of containers
    Health,
    /// Print shell completions
    Completions(completions::Completions),
    /// Print manual pages
    Man(man::Man),
}

/// What a command found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// All well.
    Done,
    /// A request failed, or what was asked about is not well.
    Failed,
    /// An objective was missed.
    Missed,
    /// Stopped by a signal.
    Interrupted,
}

/// Something that the caller can mend on the command line.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Usage(String);

impl Cli {
    /// The settings that the command line names.
    pub fn overrides(&self) -> Overrides {
        let serve = match &self.command {
            Some(Command::Serve(serve)) => serve.clone(),
            _ => serve::Serve::default(),
        };
        Overrides {
            host: serve.host.or_else(|| self.serve.host.clone()),
            port: serve.port.or(self.serve.port),
            database_url: self.general.database_url.clone(),
            log: LogOverrides {
                filter: self.general.log.clone(),
                format: self.general.log_format,
            },
        }
    }

    /// The configuration file, where one is named.
    pub fn config_file(&self) -> Option<PathBuf> {
        self.general.config.clone()
    }

    /// What is logged where no source says: servers tell what they do, other commands only what
    /// is wrong.
    pub fn log_filter(&self) -> &'static str {
        match &self.command {
            None | Some(Command::Serve(_) | Command::Reference(_) | Command::Agent(_)) => "info",
            _ => "warn",
        }
    }

    /// Carries out the command.
    pub async fn execute(self, config: Config) -> anyhow::Result<Exit> {
        match self.command {
            None => self.serve.execute(config).await,
            Some(Command::Serve(command)) => command.execute(config).await,
            Some(Command::Run(command)) => Box::pin(command.execute(config)).await,
            Some(Command::Models(command)) => command.execute(config).await,
            Some(Command::Nova(command)) => Box::pin(command.execute(config)).await,
            Some(Command::History(command)) => command.execute(config).await,
            Some(Command::Statistics(command)) => command.execute(config).await,
            Some(Command::Show(command)) => command.execute(config).await,
            Some(Command::Compare(command)) => command.execute(config).await,
            Some(Command::Export(command)) => command.execute(config).await,
            Some(Command::Import(command)) => command.execute(config).await,
            Some(Command::Calibrate(command)) => command.execute(config).await,
            Some(Command::Prune(command)) => Box::pin(command.execute(config)).await,
            Some(Command::Backup(command)) => command.execute(config).await,
            Some(Command::Check(command)) => command.execute(config).await,
            Some(Command::Migrate) => migrate::execute(&config).await,
            Some(Command::Openapi) => openapi::execute(),
            Some(Command::Reference(command)) => command.execute().await,
            Some(Command::Agent(command)) => command.execute(config).await,
            Some(Command::Health) => health::execute(&config).await,
            Some(Command::Completions(command)) => command.execute(),
            Some(Command::Man(command)) => command.execute(),
        }
    }
}

/// The exit code of a command, its error told on standard error.
pub fn conclude(result: anyhow::Result<Exit>) -> ExitCode {
    match result {
        Ok(Exit::Done) => ExitCode::SUCCESS,
        Ok(Exit::Failed) => ExitCode::from(1),
        Ok(Exit::Missed) => ExitCode::from(3),
        Ok(Exit::Interrupted) => ExitCode::from(130),
        // Whoever read the results has seen enough.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", values::visible(&describe(&error)));
            ExitCode::from(if is_usage(&error) { 2 } else { 1 })
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let io = cause.downcast_ref::<std::io::Error>();
        io.is_some_and(|io| io.kind() == std::io::ErrorKind::BrokenPipe)
    })
}

fn is_usage(error: &anyhow::Error) -> bool {
    let asked = matches!(
        error.downcast_ref::<AppError>(),
        Some(
            AppError::Invalid(_)
                | AppError::Prompts(_)
                | AppError::Tracing(_)
                | AppError::UnknownModel { .. }
                | AppError::UnknownBackend { .. }
                | AppError::UnknownId { .. }
        )
    );
    asked || error.is::<Usage>() || error.is::<ConfigError>() || error.is::<LogError>()
}

/// The whole error in words; fields of a request are named as the flags that set them.
fn describe(error: &anyhow::Error) -> String {
    match error.downcast_ref::<AppError>() {
        Some(AppError::Invalid(problems)) => problems
            .iter()
            .map(|problem| format!("{}: {}", values::flag_of(&problem.pointer), problem.message))
            .collect::<Vec<_>>()
            .join("\n       "),
        _ => chain(error),
    }
}

/// An error and its causes; what was said already is not said again.
fn chain(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn general_flags_stand_before_and_after_a_command() {
        let before = Cli::parse_from(["x", "--config", "a.toml", "models"]);
        let after = Cli::parse_from(["x", "models", "--config", "a.toml"]);
        assert_eq!(before.config_file(), after.config_file());
    }

    #[test]
    fn serving_needs_no_command() {
        assert_eq!(
            Cli::parse_from(["x", "--port", "1"]).overrides().port,
            Some(1)
        );
        assert_eq!(
            Cli::parse_from(["x", "serve", "--port", "1"])
                .overrides()
                .port,
            Some(1)
        );
    }
}
