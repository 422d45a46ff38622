//! Which process runs a run. Several may use one database: a server, and a run from the terminal
//! beside it.
//!
//! A process that runs something holds a lock on a file beside the database. The system lets go of
//! the lock however the process ends, so a run whose lock is free has lost its process.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

/// The lock of this process; let go, and its file removed, when dropped.
pub struct Owner {
    name: String,
    path: PathBuf,
    _lock: File,
}

impl Owner {
    /// Takes a lock that no other process has.
    pub fn take(database: &Path) -> io::Result<Self> {
        let name = format!("{:016x}", rand::random::<u64>());
        let path = lock_path(database, &name);
        let file = OpenOptions::new()
            .create_new(true)
            .write(true)
            .open(&path)?;
        file.lock()?;
        Ok(Self {
            name,
            path,
            _lock: file,
        })
    }

    /// What a run's row says of its owner.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        // A file that stays costs nothing: the next start removes it.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Whether the process with this lock is still there. Removes what a dead one left behind.
pub fn is_alive(database: &Path, name: &str) -> io::Result<bool> {
    let path = lock_path(database, name);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
        Ok(()) => {
            let _ = std::fs::remove_file(&path);
            Ok(false)
        }
    }
}

fn lock_path(database: &Path, name: &str) -> PathBuf {
    let mut path = database.as_os_str().to_owned();
    path.push(format!("-owner-{name}"));
    PathBuf::from(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_lives_as_long_as_its_lock() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("x.db");
        let owner = Owner::take(&database).unwrap();
        let name = owner.name().to_owned();
        assert!(is_alive(&database, &name).unwrap());
        drop(owner);
        assert!(!is_alive(&database, &name).unwrap());
        std::fs::write(lock_path(&database, "left"), "").unwrap();
        assert!(!is_alive(&database, "left").unwrap());
        assert!(!lock_path(&database, "left").exists());
    }
}
