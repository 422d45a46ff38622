//! `calibrate`: the instrument is held against a server of its own, in another process.

use serde_json::Value;

use super::{Home, QUICK};

#[test]
fn the_error_is_found_kept_and_told_with_every_run() {
    let home = Home::new();
    let quick = [
        "calibrate",
        "--streams",
        "1",
        "--streams",
        "3",
        "--duration",
        "0.3",
    ];
    let found = home.run(&[&quick[..], &["--format", "json"]].concat());
    assert_eq!(found.code, Some(0), "{}", found.err);
    let calibration: Value = serde_json::from_str(&found.out).unwrap();
    let levels = calibration["levels"].as_array().unwrap();
    for (level, streams) in levels.iter().zip([1, 3]) {
        assert_eq!(level["streams"], streams);
        assert_eq!(
            (&level["chunks"], &level["missed"]),
            (&(streams * 30).into(), &0.into())
        );
        assert_eq!(level["arrival"]["n"], level["chunks"]);
        assert_eq!(level["inter_chunk_latency"]["n"], streams * 29);
        assert!(level["resolution"].as_f64().unwrap() > 0.0);
        if cfg!(target_os = "linux") {
            // Most stamps lie within the write itself; a reader's own would all be later.
            assert_eq!(level["clock"], "kernel");
            assert_eq!(level["arrival"]["median"], 0.0, "{level:#}");
        }
    }
    assert_eq!(levels.len(), 2);

    let run = home.run(&["run", "-m", QUICK, "-p", "x", "--format", "json"]);
    let run: Value = serde_json::from_str(&run.out).unwrap();
    let error = &run["results"][0]["timing"]["clock_error"];
    assert_eq!(
        (&error["streams"], &error["calibrated"]),
        (&1.into(), &calibration["timestamp"])
    );
    let shown = home.run(&["show", run["id"].as_str().unwrap()]).out;
    assert!(shown.contains("99 of 100 are right within"), "{shown}");
}

#[test]
fn every_form_says_the_same_and_nonsense_is_refused() {
    let home = Home::new();
    let quick = [
        "calibrate",
        "--streams",
        "2",
        "--duration",
        "0.1",
        "--format",
    ];
    for (form, words) in [
        ("table", "Errors are microseconds"),
        ("markdown", "| --- |"),
        ("csv", "arrival_p99_seconds"),
    ] {
        let found = home.run(&[&quick[..], &[form]].concat());
        assert_eq!(found.code, Some(0), "{}", found.err);
        assert!(found.out.contains(words), "{form}: {}", found.out);
    }
    for nonsense in [
        ["--streams", "0"],
        ["--streams", "1001"],
        ["--duration", "NaN"],
        ["--duration", "0"],
        ["--duration", "1e9"],
    ] {
        let refused = home.run(&[&["calibrate"][..], &nonsense].concat());
        assert_eq!(refused.code, Some(2), "{nonsense:?}: {}", refused.err);
    }
}
