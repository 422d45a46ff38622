//! Which process runs a run. Several may use one database: a server, and a run from the terminal
//! beside it.
//!
//! A process that runs something holds a lock on a file beside the database. The system lets go of
//! the lock however the process ends, so a run whose lock is free has lost its process.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A file that is no older may not be locked yet.
const YOUNG: Duration = Duration::from_mins(1);

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
        // A file that stays costs nothing: a later start removes it.
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

/// Removes the files of processes that are no more. Young ones stay: between making its file and
/// locking it a process looks dead.
pub fn sweep(database: &Path) -> io::Result<()> {
    let prefix = lock_path(database, "");
    let folder = database.parent().filter(|it| !it.as_os_str().is_empty());
    for entry in std::fs::read_dir(folder.unwrap_or(Path::new(".")))? {
        let path = entry?.path();
        let path = match folder {
            Some(_) => path,
            None => path
                .strip_prefix(".")
                .map(Path::to_path_buf)
                .unwrap_or(path),
        };
        let name = path.to_str().zip(prefix.to_str());
        let Some(name) = name.and_then(|(path, prefix)| path.strip_prefix(prefix)) else {
            continue;
        };
        let is_young = std::fs::metadata(&path)
            .and_then(|about| about.modified())
            .is_ok_and(|made| made.elapsed().is_ok_and(|age| age < YOUNG));
        if !is_young {
            is_alive(database, name)?;
        }
    }
    Ok(())
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

    #[test]
    fn only_old_files_of_the_dead_are_swept_away() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("x.db");
        let owner = Owner::take(&database).unwrap();
        let old = |path: &Path| {
            let file = OpenOptions::new().write(true).open(path).unwrap();
            file.set_modified(std::time::UNIX_EPOCH).unwrap();
        };
        let of = |name: &str| lock_path(&database, name);
        for name in ["dead", "young"] {
            std::fs::write(of(name), "").unwrap();
        }
        let others = folder.path().join("y.db-owner-dead");
        std::fs::write(&others, "").unwrap();
        old(&of("dead"));
        old(&of(owner.name()));
        old(&others);
        sweep(&database).unwrap();
        assert!(!of("dead").exists());
        assert!(of("young").exists() && of(owner.name()).exists() && others.exists());
    }
}
