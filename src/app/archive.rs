//! Runs that are about to be deleted, in a file: one document a line in MongoDB's format, as exports
//! are. What is told to be in it is on the disk.
//!
//! A program that ends between writing and deleting leaves runs in both places, never in none; reading
//! the file in again changes nothing then, since runs are known by their ids.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// How each line begins.
const BEGIN: &[u8] = br#"{"_id":{"$oid":""#;
/// So much is looked through at once for the begin of the last line.
const STEP: u64 = 64 << 10;

/// A file that this process alone adds to.
#[derive(Debug)]
pub struct Archive {
    path: PathBuf,
    file: File,
    length: u64,
}

impl Archive {
    /// Opens a file, or makes it with its folder.
    pub fn open(path: &Path) -> io::Result<Self> {
        let folder = path.parent().filter(|it| !it.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder)?;
        let mut options = OpenOptions::new();
        let mut file = options.read(true).append(true).create(true).open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(io::Error::other("another process writes to it just now"));
            }
            Err(TryLockError::Error(error)) => return Err(error),
        }
        let length = cut_off_torn_line(&mut file)?;
        // Its name must be on the disk too.
        File::open(folder)?.sync_all()?;
        Ok(Self {
            path: path.to_path_buf(),
            file,
            length,
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds whole lines. When this returns a power cut takes nothing of them; where it fails the file is
    /// as it was before.
    pub fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        let written = self
            .file
            .write_all(lines)
            .and_then(|()| self.file.sync_all());
        if written.is_err() {
            // What stays of it is cut off when it is opened next.
            let _ = self.file.set_len(self.length);
        } else {
            self.length += lines.len() as u64;
        }
        written
    }
}

/// Cuts off what a crash left of a line that was being written; gives the length. A file that is
/// something else is left alone.
fn cut_off_torn_line(file: &mut File) -> io::Result<u64> {
    let length = file.seek(SeekFrom::End(0))?;
    let mut end = length;
    let mut torn = Vec::new();
    while end > 0 {
        let begin = end.saturating_sub(STEP);
        file.seek(SeekFrom::Start(begin))?;
        let mut piece = Vec::new();
        Read::by_ref(file)
            .take(end - begin)
            .read_to_end(&mut piece)?;
        if let Some(at) = piece.iter().rposition(|byte| *byte == b'\n') {
            torn.splice(..0, piece.drain(at + 1..));
            break;
        }
        torn.splice(..0, piece);
        end = begin;
    }
    let is_ours = torn
        .iter()
        .zip(BEGIN)
        .all(|(found, expected)| found == expected);
    if !is_ours {
        return Err(io::Error::other(
            "it ends in the middle of a line that is no document; name another file",
        ));
    }
    let whole = length - torn.len() as u64;
    if whole < length {
        file.set_len(whole)?;
        file.sync_all()?;
    }
    Ok(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "{\"_id\":{\"$oid\":\"6742f0a1c3d2e1f0a9b8c7d6\"}}\n";

    #[test]
    fn lines_are_added_to_those_that_are_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/down/runs.jsonl");
        for _ in 0..2 {
            Archive::open(&path)
                .unwrap()
                .append(LINE.as_bytes())
                .unwrap();
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), LINE.repeat(2));
    }

    #[test]
    fn what_a_crash_left_of_a_line_is_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("runs.jsonl");
        let long = format!("{}{}", &LINE[..30], "x".repeat(200_000));
        for torn in ["{", &LINE[..10], &LINE[..LINE.len() - 1], &long] {
            for before in [String::new(), LINE.repeat(2)] {
                std::fs::write(&path, format!("{before}{torn}")).unwrap();
                let mut archive = Archive::open(&path).unwrap();
                archive.append(LINE.as_bytes()).unwrap();
                let text = std::fs::read_to_string(&path).unwrap();
                assert_eq!(text, format!("{before}{LINE}"));
            }
        }
    }

    #[test]
    fn a_file_of_something_else_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notes.txt");
        std::fs::write(&path, "my notes\nand no line break").unwrap();
        let error = Archive::open(&path).unwrap_err().to_string();
        assert!(error.contains("name another file"), "{error}");
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text, "my notes\nand no line break");
    }

    #[test]
    fn two_processes_do_not_write_to_one_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("runs.jsonl");
        let first = Archive::open(&path).unwrap();
        let error = Archive::open(&path).unwrap_err().to_string();
        assert!(error.contains("another process"), "{error}");
        drop(first);
        Archive::open(&path).unwrap();
    }
}
