//! Parses the command line, loads the configuration, runs one command.

use std::process::ExitCode;

use clap::Parser;
use ollama_benchmarker::cli::{Cli, Exit, conclude};
use ollama_benchmarker::config::Config;
use ollama_benchmarker::{logging, machine};

#[tokio::main]
async fn main() -> ExitCode {
    conclude(run(Cli::parse()).await)
}

async fn run(cli: Cli) -> anyhow::Result<Exit> {
    let config = Config::load(
        cli.config_file().as_deref(),
        std::env::vars_os(),
        &cli.overrides(),
    )?;
    logging::init(&config.log, cli.log_filter())?;
    // It is the first: nothing before it speaks TLS.
    let _ = rustls::crypto::ring::default_provider().install_default();
    machine::allow_many_files();
    cli.execute(config).await
}
