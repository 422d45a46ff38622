//! Model servers behind TLS: who is trusted, and what is told where nobody is.

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;

use ollama_benchmarker::record::BenchmarkResponse;
use ollama_benchmarker::reference;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;

use super::{Home, Outcome};

const MODEL: &str = "steady@safe";

/// A reference server behind TLS, with the certificate that it shows.
struct Secured {
    port: u16,
    certificate: String,
    _server: reference::Server,
    _runtime: Runtime,
}

fn secured() -> Secured {
    let server = reference::Server::start("127.0.0.1:0".parse().unwrap()).unwrap();
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    let runtime = Runtime::new().unwrap();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let port = listener.local_addr().unwrap().port();
    runtime.spawn(terminate(
        listener,
        TlsAcceptor::from(Arc::new(config)),
        server.addr(),
    ));
    Secured {
        port,
        certificate: cert.pem(),
        _server: server,
        _runtime: runtime,
    }
}

async fn terminate(listener: TcpListener, acceptor: TlsAcceptor, behind: SocketAddr) {
    while let Ok((socket, _)) = listener.accept().await {
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            // A client that does not trust us breaks off: that is what some tests are about.
            let Ok(mut outer) = acceptor.accept(socket).await else {
                return;
            };
            let mut inner = TcpStream::connect(behind).await.unwrap();
            let _ = copy_bidirectional(&mut outer, &mut inner).await;
        });
    }
}

impl Secured {
    /// Runs a benchmark on it with a machine that trusts these certificates.
    fn benchmark(&self, home: &Home, trusted: &str) -> Outcome {
        let file = home.path().join("trusted.pem");
        fs::write(&file, trusted).unwrap();
        let mut command = home.command();
        command
            .env(
                "BENCHMARKER_BACKENDS__SAFE__URL",
                format!("https://localhost:{}", self.port),
            )
            .env("SSL_CERT_FILE", &file)
            .env("SSL_CERT_DIR", home.path().join("none"));
        Home::outcome(command.args(["run", "--model", MODEL, "--prompt", "x", "--format", "json"]))
    }
}

#[test]
fn a_trusted_server_is_measured() {
    let (home, server) = (Home::new(), secured());
    let outcome = server.benchmark(&home, &server.certificate);
    assert_eq!(outcome.code, Some(0), "{}", outcome.err);
    let run: BenchmarkResponse = serde_json::from_str(&outcome.out).unwrap();
    let result = run.results.last().unwrap();
    assert_eq!(result.throughput.total_chunks, 64);
    let chunks = result.chunks.as_ref().unwrap();
    assert!(
        chunks.offsets.is_sorted() && chunks.offsets[0] > 0.0,
        "{chunks:?}"
    );
}

#[test]
fn a_server_of_unknown_origin_is_refused() {
    let (home, server) = (Home::new(), secured());
    let other = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let outcome = server.benchmark(&home, &other.cert.pem());
    assert_eq!(outcome.code, Some(1), "{}", outcome.err);
    assert!(
        outcome.err.contains("invalid peer certificate"),
        "{}",
        outcome.err
    );
}

#[test]
fn a_machine_without_certificates_can_do_all_that_needs_none() {
    let (home, server) = (Home::new(), secured());
    let outcome = server.benchmark(&home, "");
    assert_eq!(outcome.code, Some(1), "{}", outcome.err);
    assert!(
        outcome.err.contains("invalid peer certificate"),
        "{}",
        outcome.err
    );
    let mut command = home.command();
    command
        .env("SSL_CERT_FILE", home.path().join("none.pem"))
        .env("SSL_CERT_DIR", home.path().join("none"));
    let outcome =
        Home::outcome(command.args(["run", "--model", "steady@reference", "--prompt", "x"]));
    assert_eq!(outcome.code, Some(0), "{}", outcome.err);
}
