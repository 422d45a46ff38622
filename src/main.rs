//! Parses the command line, loads the configuration, runs one command.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use ollama_benchmarker::cli::{Cli, Exit, conclude};
use ollama_benchmarker::config::Config;
use ollama_benchmarker::{logging, machine};

/// How long threads that wait for the system, such as for the name of a host, are waited for at the end.
const LAST_THREADS: Duration = Duration::from_millis(400);

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return conclude(Err(error).context("the system gives no threads")),
    };
    let code = conclude(runtime.block_on(run(cli)));
    runtime.shutdown_timeout(LAST_THREADS);
    code
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
