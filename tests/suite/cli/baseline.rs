//! A run held against an earlier one.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ollama_benchmarker::reference::Server;

use super::{Home, Outcome, QUICK};

const SLOWER: &str = "script:tokens=8,ttft=5,gap=5@reference";

fn run(home: &Home, model: &str, more: &[&str]) -> Outcome {
    let base = [
        "run",
        "-m",
        model,
        "-p",
        "x",
        "--repetitions",
        "6",
        "--param",
        "seed=7",
        "--param",
        "temperature=0",
    ];
    home.run(&[&base[..], more].concat())
}

fn id_of(outcome: &Outcome) -> String {
    let line = outcome.out.lines().find(|line| line.starts_with("Run "));
    line.unwrap()["Run ".len()..].to_owned()
}

#[test]
fn the_same_again_is_not_slower_and_wrote_the_same() {
    let home = Home::new();
    let first = run(&home, QUICK, &[]);
    let again = run(&home, QUICK, &["--baseline", &id_of(&first)]);
    assert!(again.out.contains("Against the baseline:"), "{}", again.out);
    assert!(
        again.out.contains("the same text in all 6 answers"),
        "{}",
        again.out
    );
    let last = run(&home, QUICK, &["--baseline", "last", "--format", "json"]);
    assert!(last.err.contains("Against the baseline:"), "{}", last.err);
    serde_json::from_str::<serde_json::Value>(&last.out).unwrap();
}

#[test]
fn a_slower_model_ends_with_3() {
    let home = Home::new();
    let server = Server::start("127.0.0.1:0".parse().unwrap()).unwrap();
    let slow = Arc::new(AtomicBool::new(false));
    let url = relay(server.addr(), Arc::clone(&slow));
    let measure = |more: &[&str]| {
        let base = [
            "run",
            "-m",
            "steady@box",
            "-p",
            "x",
            "--repetitions",
            "8",
            "--param",
            "num_predict=5",
        ];
        let mut command = home.command();
        command.env("BENCHMARKER_BACKENDS__BOX__URL", &url);
        Home::outcome(command.args(base).args(more))
    };
    let first = measure(&[]);
    assert_eq!(first.code, Some(0), "{}", first.err);
    slow.store(true, Ordering::Relaxed);
    let after = measure(&["--baseline", "last"]);
    assert_eq!(after.code, Some(3), "{}{}", after.out, after.err);
    assert!(
        after.out.contains("- steady: first chunk: "),
        "{}",
        after.out
    );
    assert!(after.out.contains(" % slower ("), "{}", after.out);
}

/// A server that passes on what it is asked, and asks for a slower model where it is told to: so one
/// name can be quick first and slow then.
fn relay(to: SocketAddr, slow: Arc<AtomicBool>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let (mut client, mut server) = (client.unwrap(), TcpStream::connect(to).unwrap());
            let (mut back, mut answers) =
                (client.try_clone().unwrap(), server.try_clone().unwrap());
            std::thread::spawn(move || {
                // Whoever hangs up ends it.
                let _ = std::io::copy(&mut answers, &mut back);
                let _ = back.shutdown(Shutdown::Both);
            });
            let slow = Arc::clone(&slow);
            std::thread::spawn(move || {
                let mut buffer = vec![0; 65_536];
                while let Ok(size @ 1..) = client.read(&mut buffer) {
                    let mut bytes = String::from_utf8(buffer[..size].to_vec()).unwrap();
                    if slow.load(Ordering::Relaxed) {
                        // Of the same length, and slower to begin.
                        bytes = bytes.replace("steady", "bursty");
                    }
                    if server.write_all(bytes.as_bytes()).is_err() {
                        break;
                    }
                }
                let _ = server.shutdown(Shutdown::Both);
            });
        }
    });
    url
}

#[test]
fn what_is_no_baseline_is_refused_before_anything_is_asked() {
    let home = Home::new();
    let unknown = run(&home, QUICK, &["--baseline", "0123456789abcdef01234567"]);
    assert_eq!(unknown.code, Some(2), "{}", unknown.err);
    let none = run(&home, QUICK, &["--baseline", "last"]);
    assert_eq!(none.code, Some(2), "{}", none.err);
    assert!(
        none.err.contains("no earlier run of the same work"),
        "{}",
        none.err
    );
    let history = home.run(&["history", "--format", "json"]);
    assert_eq!(history.out.trim(), "[]");
    let first = run(&home, QUICK, &[]);
    assert_eq!(first.code, Some(0));
    let other = run(&home, SLOWER, &["--baseline", &id_of(&first)]);
    assert!(
        other.out.contains("the baseline has no such model"),
        "{}",
        other.out
    );
    let other_work = run(
        &home,
        QUICK,
        &["--baseline", "last", "--system", "be brief"],
    );
    assert_eq!(other_work.code, Some(2), "{}", other_work.err);
}
