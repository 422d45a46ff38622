//! The web server: a listener in, pages and API out, until it is told to end.
//! What it answers is made in `api` and `web`; who may ask is decided in [`guard`], and how the answer is
//! packed in [`compression`].

mod compression;
mod guard;
mod listener;

use std::io;
use std::time::Duration;

use poem::{EndpointExt, Server};
use tokio::net::TcpListener;

use self::compression::Compressing;
use self::guard::Guard;
use self::listener::BoundedListener;
use crate::api;
use crate::app::App;
use crate::web;

/// How long answers that have begun may take to end once the program is stopping. Event streams
/// end by themselves as soon as it is.
const GRACE: Duration = Duration::from_secs(3);

/// Serves until `shutdown` is done; then cancels what runs, stores it and closes the database.
pub async fn serve(
    app: App,
    listener: TcpListener,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let routes = api::routes(app.clone()).nest_no_strip("/", web::routes(&app));
    let bounded = BoundedListener::new(
        listener,
        app.config.limits.max_connections,
        Duration::from_secs_f64(app.config.timeouts.client),
    );
    let endpoint = routes
        .catch_all_error(api::refused)
        .with(Compressing)
        .with(Guard::new(&app, bounded.connections()));
    let told = async {
        shutdown.await;
        app.begin_to_stop();
    };
    app.start_keeping();
    let calibrating = app.clone();
    tokio::spawn(async move { calibrating.calibrate_when_idle().await });
    let served = Server::new_with_acceptor(bounded)
        .run_with_graceful_shutdown(endpoint, told, Some(GRACE))
        .await;
    app.shutdown().await;
    served
}
