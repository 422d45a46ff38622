//! Whether the file of a database is still where it was opened.
//!
//! A system that lets an open file be removed goes on writing into what nobody will find again: `SQLite`
//! does not notice, and what it acknowledges is lost. The file is only looked at by name, never opened:
//! on POSIX systems closing it again would take `SQLite`'s own locks away.

use std::io;
use std::path::{Path, PathBuf};

/// A file that a database is in.
#[derive(Debug)]
pub struct OpenedFile {
    path: PathBuf,
    identity: Option<Identity>,
}

/// What tells files of one system apart: device and number.
type Identity = (u64, u64);

impl OpenedFile {
    /// Of a file that is there.
    pub fn of(path: &Path) -> io::Result<Self> {
        Ok(Self {
            path: path.to_path_buf(),
            identity: identity(path)?,
        })
    }

    /// Fails where the file is gone, or another one has its name.
    pub fn check(&self) -> io::Result<()> {
        let what = match identity(&self.path) {
            Ok(found) if found == self.identity => return Ok(()),
            Ok(_) => "another file has taken the place of the database".to_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                "the database was removed from".to_owned()
            }
            Err(error) => format!("the database can be reached no more ({error}) at"),
        };
        let message = format!(
            "{what} {}; put it back, or start this program anew",
            self.path.display()
        );
        Err(io::Error::new(
            io::ErrorKind::StaleNetworkFileHandle,
            message,
        ))
    }
}

#[cfg(unix)]
fn identity(path: &Path) -> io::Result<Option<Identity>> {
    use std::os::unix::fs::MetadataExt;
    let about = std::fs::metadata(path)?;
    Ok(Some((about.dev(), about.ino())))
}

/// Elsewhere an open file can be neither removed nor replaced.
#[cfg(not(unix))]
fn identity(_: &Path) -> io::Result<Option<Identity>> {
    Ok(None)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_gone_or_another_one_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let (path, aside) = (folder.path().join("x.db"), folder.path().join("y.db"));
        std::fs::write(&path, "a").unwrap();
        let opened = OpenedFile::of(&path).unwrap();
        std::fs::write(&path, "b").unwrap();
        opened.check().unwrap();
        let told = || opened.check().unwrap_err().to_string();
        std::fs::rename(&path, &aside).unwrap();
        assert!(told().contains("was removed"), "{}", told());
        std::fs::write(&path, "a").unwrap();
        assert!(told().contains("another file"), "{}", told());
        std::fs::rename(&aside, &path).unwrap();
        opened.check().unwrap();
        assert!(OpenedFile::of(&aside).is_err());
    }
}
