//! The program's own export, as a process: how fast, and how much memory at most.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Instant;

/// Exports everything in each form.
pub fn time(url: &str, runs: usize) {
    println!("| export | documents/s | MB/s | resident at most, MB |");
    println!("|---|---|---|---|");
    for format in ["mongodb", "json", "csv"] {
        let begun = Instant::now();
        let mut child = Command::new(env!("CARGO_BIN_EXE_ollama-benchmarker"))
            .args(["export", "--format", format, "--database-url", url])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let status = format!("/proc/{}/status", child.id());
        let mut out = BufReader::with_capacity(1 << 16, child.stdout.take().unwrap());
        let (mut bytes, mut most, mut looks) = (0_u64, 0_u64, 0_u64);
        loop {
            let length = out.fill_buf().unwrap().len();
            if length == 0 {
                break;
            }
            out.consume(length);
            bytes += length as u64;
            if looks.is_multiple_of(256) {
                most = most.max(peak(&status).unwrap_or_default());
            }
            looks += 1;
        }
        assert!(child.wait().unwrap().success());
        let seconds = begun.elapsed().as_secs_f64();
        println!(
            "| {format} | {:.0} | {:.1} | {} |",
            runs as f64 / seconds,
            bytes as f64 / 1e6 / seconds,
            most / 1024
        );
    }
}

/// KiB; `None` where the system does not tell.
fn peak(status: &str) -> Option<u64> {
    let text = std::fs::read_to_string(status).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches("kB").trim().parse().ok()
}
