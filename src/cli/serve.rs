//! `serve`: web page, API and executor.

use std::io::ErrorKind;

use anyhow::Context;
use clap::Args;
use tokio::net::TcpListener;

use super::{Exit, Usage, signals};
use crate::app::App;
use crate::config::Config;
use crate::serve::serve;

/// Flags of `serve`.
#[derive(Clone, Debug, Default, Args)]
pub struct Serve {
    /// Address to listen on; `0.0.0.0` is every network of this machine
    #[arg(long, value_name = "ADDRESS")]
    pub host: Option<String>,
    /// Port to listen on; 0 takes a free one
    #[arg(long, value_name = "PORT")]
    pub port: Option<u16>,
}

impl Serve {
    /// Serves until a signal comes.
    pub async fn execute(self, config: Config) -> anyhow::Result<Exit> {
        let signal = signals::listen().context("cannot listen for signals")?;
        // The place first: a port that is taken must not cost a run in the database its process.
        let listener = listen(&config).await?;
        let address = listener
            .local_addr()
            .context("the listener has no address")?;
        if !address.ip().is_loopback() && config.api_token.reveal().is_none() {
            tracing::warn!(
                "everyone who reaches {address} can use this server: set BENCHMARKER_API_TOKEN"
            );
        }
        let app = App::open(config).await?;
        tracing::info!("serving on http://{address}");
        serve(app, listener, signal)
            .await
            .context("the server failed")?;
        tracing::info!("stopped");
        Ok(Exit::Done)
    }
}

async fn listen(config: &Config) -> anyhow::Result<TcpListener> {
    let place = (config.host.as_str(), config.port);
    TcpListener::bind(place).await.map_err(|error| {
        let advice = match error.kind() {
            ErrorKind::AddrInUse => "; another program listens there: choose another with --port",
            ErrorKind::PermissionDenied => {
                "; ports below 1024 need more rights: choose another with --port"
            }
            _ => "; check `host` and `port`",
        };
        Usage(format!(
            "cannot listen on {}:{}: {error}{advice}",
            config.host, config.port
        ))
        .into()
    })
}
