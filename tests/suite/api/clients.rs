//! Clients that keep a connection and do not use it, and those that only look as if they did.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{QUICK, request};
use crate::support::{Server, start_with};

const SLOW: &str = "script:tokens=4,ttft=5,gap=500@reference";

async fn impatient() -> Server {
    start_with(|config| {
        config.timeouts.client = 0.3;
        config.limits.max_connections = 2;
    })
    .await
}

async fn connect(server: &Server) -> TcpStream {
    let address = server.url.strip_prefix("http://").unwrap();
    TcpStream::connect(address).await.unwrap()
}

/// What comes until the server closes the connection.
async fn rest(mut connection: TcpStream) -> String {
    let mut text = Vec::new();
    // It may be closed with bytes of ours unread: that is a reset.
    let _ = connection.read_to_end(&mut text).await;
    String::from_utf8_lossy(&text).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_asks_for_nothing_loses_its_place() {
    let server = impatient().await;
    let silent = connect(&server).await;
    let mut half = connect(&server).await;
    half.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n")
        .await
        .unwrap();
    // Both places are taken; this one waits until they are free.
    assert_eq!(server.get("/healthz").await.status, 200);
    assert_eq!(rest(silent).await, "");
    assert!(!rest(half).await.contains("200 OK"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_that_trickles_in_is_not_waited_for() {
    let server = impatient().await;
    let mut slow = connect(&server).await;
    let mut writes = 0;
    while slow.write_all(b"x").await.is_ok() && writes < 500 {
        writes += 1;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(writes < 500, "the connection was never closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_never_ends_is_told_so() {
    let server = impatient().await;
    let mut slow = connect(&server).await;
    let head = "POST /api/benchmarks/start HTTP/1.1\r\nHost: localhost\r\n\
                Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{";
    slow.write_all(head.as_bytes()).await.unwrap();
    let answer = rest(slow).await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.contains("the body was not whole"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_says_it_is_too_large_is_not_waited_for() {
    let server = start_with(|_| ()).await;
    let mut large = connect(&server).await;
    let head = "POST /api/benchmarks/start HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
                Content-Type: application/json\r\nContent-Length: 99999999999\r\n\r\n";
    large.write_all(head.as_bytes()).await.unwrap();
    let answer = rest(large).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_in_the_making_is_waited_for() {
    let server = impatient().await;
    // Many times as long as a silent client is borne.
    let run = server.run(&request(&[SLOW])).await;
    assert_eq!(run["status"], "completed");
    // The same connection is used again.
    let run = server.run(&request(&[QUICK])).await;
    assert_eq!(run["status"], "completed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_too_many_is_told_to_come_back() {
    let server = start_with(|config| config.limits.max_connections = 2).await;
    let kept = [connect(&server).await, connect(&server).await];
    let mut third = connect(&server).await;
    third
        .write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await
        .unwrap();
    let answer = rest(third).await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(answer.contains("\r\nRetry-After: 5\r\n"), "{answer}");
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    let problem: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(problem["retry_after"], 5);
    drop(kept);
    assert_eq!(server.get("/healthz").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_too_many_is_told_to_come_back() {
    let server = start_with(|config| config.limits.max_watchers = 1).await;
    let started = server
        .post("/api/benchmarks/start", &request(&[SLOW]))
        .await;
    let id = started.body["id"].as_str().unwrap();
    let first = server.events(id, None).await;
    let path = format!("/api/benchmarks/{id}/events");
    let refused = server.get(&path).await;
    refused.problem(503);
    assert_eq!(refused.header("retry-after"), "5", "{}", refused.text);
    // Others are served meanwhile.
    assert_eq!(server.get("/healthz").await.status, 200);
    drop(first);
    while server.get(&path).await.status == 503 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
