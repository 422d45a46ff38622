//! `reference`: the built-in model server alone.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use anyhow::Context;
use clap::Args;

use super::{Exit, Usage, signals};
use crate::app;

/// Flags of `reference`.
#[derive(Debug, Args)]
pub struct Reference {
    /// Port to listen on; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 11435)]
    port: u16,
    /// Address to listen on
    #[arg(long, value_name = "ADDRESS", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    address: IpAddr,
    /// Keep to one processor core, so that the other ones are free for what is checked against it
    #[arg(long)]
    one_core: bool,
    /// End when standard input does: so it ends with the program that started it
    #[arg(long)]
    until_eof: bool,
}

impl Reference {
    /// Serves until a signal comes. Prints its address.
    pub async fn execute(self) -> anyhow::Result<Exit> {
        let signal = signals::listen().context("cannot listen for signals")?;
        let place = SocketAddr::from((self.address, self.port));
        let server = app::start_reference(place, self.one_core)
            .map_err(|error| Usage(format!("cannot listen on {place}: {error}")))?;
        println!("http://{}", server.addr());
        tracing::info!(
            "serving Ollama's and OpenAI's protocol on http://{}",
            server.addr()
        );
        tokio::select! {
            () = signal => {}
            () = end_of_input(), if self.until_eof => {}
        }
        // Its thread is waited for, and every connection closed.
        tokio::task::spawn_blocking(move || server.stop()).await?;
        Ok(Exit::Done)
    }
}

/// Reading blocks its thread, which nobody waits for.
async fn end_of_input() {
    let (told, heard) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        let _ = told.send(());
    });
    let _ = heard.await;
}
