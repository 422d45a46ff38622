//! Small files of the kernel that hold one value.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// The text of a file, trimmed; `None` where it cannot be read or is empty.
pub fn text(path: &Path) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// The number in a file, or why there is none.
pub fn number(path: &Path) -> Result<f64, String> {
    let text = std::fs::read_to_string(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => format!("{} is not there", path.display()),
        ErrorKind::PermissionDenied => format!("{} may be read by root only", path.display()),
        _ => format!("{} cannot be read: {error}", path.display()),
    })?;
    let number = text.trim().parse::<f64>().ok();
    number
        .filter(|number| number.is_finite())
        .ok_or_else(|| format!("{} holds no number", path.display()))
}

/// What lies in a folder, by name; empty where it cannot be read.
pub fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let mut paths: Vec<PathBuf> = entries
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .collect();
    paths.sort();
    paths
}

/// The last part of a path.
pub fn name(path: &Path) -> &str {
    path.file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default()
}

/// A folder with files in it.
#[cfg(test)]
pub fn write(folder: &Path, files: &[(&str, &str)]) {
    for (file, text) in files {
        let path = folder.join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, format!("{text}\n")).unwrap();
    }
}
