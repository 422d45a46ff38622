//! Signals that ask the program to end.

use std::future::Future;
use std::io;
use std::process;

use tokio::signal::unix::{SignalKind, signal};

/// Exit code of whoever is interrupted, as shells give it.
const INTERRUPTED: i32 = 130;

/// Listens from now on; the future is done at the first SIGINT or SIGTERM. A second one ends the
/// program at once: a person who asks twice does not want to wait.
pub fn listen() -> io::Result<impl Future<Output = ()> + Send + 'static> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let (told, heard) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        let mut told = Some(told);
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            match told.take() {
                // Nobody waits any more: the program is about to end anyway.
                Some(told) => drop(told.send(())),
                None => process::exit(INTERRUPTED),
            }
        }
    });
    Ok(async move {
        // It fails only with the task above, which ends with the program.
        let _ = heard.await;
    })
}
