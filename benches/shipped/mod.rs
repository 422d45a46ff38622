//! The program as it is shipped, started for a bench, and what its process uses.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

/// The program, as long as this lives.
pub struct Server {
    child: Child,
    /// Host and port.
    pub address: String,
    _folder: tempfile::TempDir,
}

impl Server {
    /// Starts it, on a free port and with a new database.
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_ollama-benchmarker"))
            .args(["serve", "--port", "0"])
            .current_dir(folder.path())
            .env("DATABASE_URL", "sqlite:benchmarker.db")
            .env("OLLAMA_HOST", "127.0.0.1:9")
            .env("BENCHMARKER_CALIBRATION__AUTOMATIC", "false")
            .env("NO_COLOR", "1")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = log
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| Some(line.split_once("serving on http://")?.1.trim().to_owned()))
            .unwrap();
        // A pipe that nobody reads would stop it.
        std::thread::spawn(move || log.for_each(drop));
        Self {
            child,
            address,
            _folder: folder,
        }
    }

    /// Processor time so far, s.
    pub fn used(&self) -> f64 {
        let path = format!("/proc/{}/stat", self.child.id());
        let text = std::fs::read_to_string(path).unwrap();
        let fields = text.rsplit_once(')').unwrap().1.split_whitespace();
        let ticks = fields.skip(11).take(2);
        // Hundredths of a second, on every Linux.
        ticks.map(|it| it.parse::<f64>().unwrap()).sum::<f64>() / 100.0
    }

    /// Memory now, MiB.
    pub fn memory(&self) -> f64 {
        let path = format!("/proc/{}/status", self.child.id());
        let text = std::fs::read_to_string(path).unwrap();
        let line = text
            .lines()
            .find(|line| line.starts_with("VmRSS:"))
            .unwrap();
        let kibibytes = line.split_whitespace().nth(1).unwrap();
        kibibytes.parse::<f64>().unwrap() / 1024.0
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
