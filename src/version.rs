//! Which version of the program this is, and which commit of its sources, as `build.rs` found it.

use std::sync::LazyLock;

/// Version of the program, such as `0.1.0`.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit that the program was built from, abbreviated; with `-modified` behind it where the sources
/// were changed since. `None` where nobody said: in a debug build, which is not for measuring, and
/// where there is no git.
pub const COMMIT: Option<&str> = option_env!("BUILT_FROM_COMMIT");

/// Day of that commit, UTC, such as `2026-11-29`.
pub const DAY: Option<&str> = option_env!("BUILT_FROM_DAY");

/// Version with commit and day, such as `0.1.0 (abc1234 2026-11-29)`.
pub static DESCRIPTION: LazyLock<String> = LazyLock::new(|| describe(COMMIT, DAY));

fn describe(commit: Option<&str>, day: Option<&str>) -> String {
    match (commit, day) {
        (Some(commit), Some(day)) => format!("{VERSION} ({commit} {day})"),
        (Some(commit), None) => format!("{VERSION} ({commit})"),
        (None, _) if cfg!(debug_assertions) => format!("{VERSION} (debug build)"),
        (None, _) => VERSION.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_tells_its_commit_where_it_is_known() {
        let told = |commit, day| describe(commit, day).replacen(VERSION, "V", 1);
        assert_eq!(
            told(Some("abc1234-modified"), Some("2026-11-29")),
            "V (abc1234-modified 2026-11-29)"
        );
        assert_eq!(told(Some("abc1234"), None), "V (abc1234)");
        assert!(!told(None, Some("2026-11-29")).contains("2026"));
    }
}
