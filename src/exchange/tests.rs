use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::record::{Chunks, Clock, Status};

/// The example of the requirement, as the program before this one stored it.
fn old_document() -> Value {
    json!({
        "timestamp": "2024-12-25T12:21:26.209945",
        "system_info": {
            "platform": "macOS-12.7.4-x86_64-i386-64bit", "processor": "i386", "python_version": "3.10.0",
            "cpu": {"physical_cores": 4, "total_cores": 8, "max_frequency": 2200, "min_frequency": 2200,
                "current_frequency": 2200},
            "memory": {"total": 16.0, "available": 11.798_488_616_943_36, "used": 3.644_199_371_337_890_6,
                "percent_used": 26.3},
            "gpu": []
        },
        "results": [{
            "model": "wizardlm2",
            "timing": {"time_to_first_chunk": 15.938_036_918_640_137, "total_time": 29.094_534_158_706_665},
            "throughput": {"total_chunks": 54, "total_bytes": 213, "average_chunk_size": 3.944_444_444_444_444_6,
                "bytes_per_second": 7.320_962_722_348_962},
            "system_impact": {"cpu_delta": [-6.2, 0.0, -11.1, 1.0], "memory_delta": 30.3},
            "success": true, "timestamp": "2024-12-25T12:20:58.088789",
            "prompt": "Hello Wizard!", "response": "Wizard says hi"
        }]
    })
}

fn incoming(document: &Value) -> Incoming {
    read_value(document, "ollama").unwrap()
}

/// As the store keeps it and gives it back.
fn parts(incoming: Incoming) -> Parts<'static> {
    let Incoming { mut run, extra, .. } = incoming;
    let results = std::mem::take(&mut run.results);
    let results = results.into_iter().map(|mut result| {
        let chunks = result.chunks.take();
        let document = serde_json::to_vec(&result).unwrap();
        ResultPart {
            document: document.into(),
            chunks,
        }
    });
    let results = results.collect();
    let samples = run.samples.take().map(|samples| {
        let remote = serde_json::to_vec(&run.remote_samples).unwrap();
        (serde_json::to_vec(&samples).unwrap().into(), remote.into())
    });
    run.remote_samples.clear();
    Parts {
        document: serde_json::to_vec(&run).unwrap().into(),
        results,
        samples,
        extra,
    }
}

fn written(parts: &Parts<'_>, style: Style) -> String {
    let mut out = Vec::new();
    write(&mut out, parts, style).unwrap();
    String::from_utf8(out).unwrap()
}

fn value(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn an_old_document_becomes_a_record() {
    let Incoming {
        run,
        extra,
        lacks_summary,
    } = incoming(&old_document());
    assert!(lacks_summary && extra.is_empty(), "{extra:?}");
    assert_eq!(
        run.timestamp.to_rfc3339(),
        "2024-12-25T12:21:26.209945+00:00"
    );
    assert_eq!(run.status, Status::Completed);
    assert_eq!(run.request.models, ["wizardlm2@ollama"]);
    assert_eq!(run.request.prompt.as_deref(), Some("Hello Wizard!"));
    assert_eq!(run.system_info.cpu.total_cores, Some(8));
    let result = &run.results[0];
    assert_eq!(
        result.timing.time_to_first_chunk,
        Some(15.938_036_918_640_137)
    );
    assert_eq!(result.system_impact.cpu_delta, [-6.2, 0.0, -11.1, 1.0]);
    assert_eq!(result.backend, "ollama");
    assert_eq!(result.chunks, None);
    // The same document is the same run, whenever and however it comes.
    let mut spaced = old_document();
    spaced["timestamp"] = json!("2024-12-25 12:21:26.209945");
    assert_eq!(incoming(&spaced).run.id, run.id);
    spaced["results"][0]["response"] = json!("something else");
    assert_ne!(incoming(&spaced).run.id, run.id);
    assert!(
        run.id.as_str().starts_with("676bf8c6"),
        "its time: {}",
        run.id
    );
}

#[test]
fn ids_of_mongodb_are_kept_and_others_remembered() {
    let mut document = old_document();
    document["_id"] = json!({"$oid": "6742F0A1c3d2e1f0a9b8c7d6"});
    let known = incoming(&document);
    assert_eq!(known.run.id.as_str(), "6742f0a1c3d2e1f0a9b8c7d6");
    assert!(known.extra.is_empty());
    document["_id"] = json!({"$uuid": "c8edabc3-f738-4ca3-b68d-ab92a91478a3"});
    let foreign = incoming(&document);
    assert_eq!(foreign.extra.at("").next().unwrap().0, "imported_id");
    let again = written(&parts(foreign), Style::Relaxed);
    assert!(
        again.contains("c8edabc3-f738-4ca3-b68d-ab92a91478a3"),
        "{again}"
    );
    document.as_object_mut().unwrap().remove("_id");
    document["id"] = json!("none");
    let error = read_value(&document, "ollama").unwrap_err();
    assert!(error.contains("24 hexadecimal digits"), "{error}");
}

#[test]
fn fields_that_nobody_knows_come_out_again() {
    let mut document = old_document();
    document["_id"] = json!({"$oid": "6742f0a1c3d2e1f0a9b8c7d6"});
    document["mood"] = json!({"$numberLong": "9007199254740993"});
    document["when"] = json!({"$date": "2024-12-25T12:21:26Z"});
    document["results"][0]["timing"]["a/b~c"] = json!([1, {"x": {"$numberInt": "5"}}]);
    document["request"] = json!({"prompt": "x", "models": ["m"], "later": {"deep": true},
        "parameters": {"temperature": 0.5, "flux": 3}});
    let parts = parts(incoming(&document));
    for style in [Style::Plain, Style::Relaxed, Style::Canonical] {
        let again = value(&written(&parts, style));
        let plain = |pointer: &str| {
            let found = again.pointer(pointer).cloned().unwrap_or_default();
            super::extended::with_plain_numbers(found)
        };
        assert_eq!(plain("/mood"), json!(9_007_199_254_740_993_i64));
        assert_eq!(plain("/when"), json!({"$date": "2024-12-25T12:21:26Z"}));
        assert_eq!(plain("/results/0/timing/a~1b~0c"), json!([1, {"x": 5}]));
        assert_eq!(plain("/request/later"), json!({"deep": true}));
        assert_eq!(plain("/request/parameters/flux"), json!(3));
        assert_eq!(plain("/request/parameters/temperature"), json!(0.5));
    }
    let relaxed = written(&parts, Style::Relaxed);
    assert!(relaxed.contains(r#""mood":{"$numberLong":"9007199254740993"}"#));
    let again = read(relaxed.as_bytes(), "ollama").unwrap();
    assert_eq!(written(&self::parts(again), Style::Relaxed), relaxed);
}

#[test]
fn a_schema_is_written_as_text_where_mongodb_would_take_its_names() {
    let mut document = old_document();
    let schema = json!({"type": "object", "$defs": {"a": {"$ref": "#/$defs/b"}}});
    document["request"] = json!({"prompt": "x", "models": ["m"], "format": schema});
    let parts = parts(incoming(&document));
    let relaxed = written(&parts, Style::Relaxed);
    assert!(value(&relaxed)["request"]["format"].is_string());
    assert_eq!(
        value(&written(&parts, Style::Plain))["request"]["format"],
        schema
    );
    let again = read(relaxed.as_bytes(), "ollama").unwrap();
    assert_eq!(again.run.request.format, Some(schema));
}

#[test]
fn what_cannot_be_a_run_is_told_with_its_place() {
    let mut no_model = old_document();
    no_model["results"][0]["model"] = json!(null);
    let mut text_for_number = old_document();
    text_for_number["results"][0]["timing"]["total_time"] = json!("long");
    let mut no_time = old_document();
    no_time["timestamp"] = json!("yesterday");
    for (document, words) in [
        ("{", "malformed JSON"),
        ("[1]", "one is an object"),
        (r#"{"a":1}"#, "`results` is missing"),
        (r#"{"results":[]}"#, "`timestamp` is missing"),
        (
            r#"{"timestamp":"2024-12-25T12:21:26Z","results":3}"#,
            "`results` is no array",
        ),
        (&no_model.to_string(), "`results[0].model` is missing"),
        (&text_for_number.to_string(), "results[0].timing.total_time"),
        (&no_time.to_string(), "timestamp"),
    ] {
        let error = read(document.as_bytes(), "ollama").unwrap_err();
        assert!(error.contains(words), "{document}: {error}");
    }
}

#[test]
fn a_run_that_was_not_over_counts_as_interrupted() {
    let mut document = old_document();
    document["status"] = json!("running");
    let run = incoming(&document).run;
    assert_eq!(run.status, Status::Interrupted);
    assert!(run.status_reason.is_some());
}

#[test]
fn extended_json_tells_what_plain_digits_would_lose() {
    let mut document = old_document();
    document["memory"] = json!([
        u64::MAX,
        i64::MIN,
        9_007_199_254_740_991_i64,
        1.5,
        -0.0,
        1e300
    ]);
    let parts = parts(incoming(&document));
    let of = |style| value(&written(&parts, style))["memory"].clone();
    assert_eq!(
        of(Style::Relaxed).to_string(),
        r#"[{"$numberDecimal":"18446744073709551615"},{"$numberLong":"-9223372036854775808"},9007199254740991,1.5,-0.0,1e+300]"#
    );
    assert_eq!(
        of(Style::Canonical)[2],
        json!({"$numberLong": "9007199254740991"})
    );
    assert_eq!(of(Style::Canonical)[3], json!({"$numberDouble": "1.5"}));
}

#[test]
fn rows_hold_the_figures_and_come_back_as_a_run() {
    let mut document = old_document();
    document["request"] =
        json!({"prompt": "x", "models": ["m"], "tags": ["a b", "c"], "name": "n,\"1\""});
    document["results"][0]["response"] = json!("line\r\n\"two\", three");
    let mut second = document["results"][0].clone();
    second["stage"] = json!({"number": 2, "requests_per_second": 12.5});
    second["cold_start"] = json!(true);
    second["timing"] = json!({"total_time": 1.5, "in_flight_time": 2.5, "clock": "kernel"});
    document["results"].as_array_mut().unwrap().push(second);
    let parts = parts(incoming(&document));
    let mut text = header();
    write_rows(&mut text, &parts).unwrap();
    let mut splitter = Splitter::new(1 << 20);
    let mut gatherer = Gatherer::default();
    splitter.feed(&text);
    splitter.finish();
    let mut lines = Vec::new();
    while let Some(piece) = splitter.next_piece() {
        let Piece::Row { line, text } = piece else {
            panic!("{piece:?}");
        };
        lines.push(line);
        assert_eq!(gatherer.row(line, &text).unwrap(), None);
    }
    // A line break within a cell is a line of the file.
    assert_eq!(lines, [1, 2, 5]);
    let (line, run) = gatherer.last().unwrap();
    assert_eq!(line, 2);
    let again = incoming(&run).run;
    assert_eq!(again.request.tags, ["a b", "c"]);
    assert_eq!(again.request.name.as_deref(), Some("n,\"1\""));
    assert_eq!(again.results.len(), 2);
    assert_eq!(again.results[1].response, "line\r\n\"two\", three");
    assert_eq!(
        again.results[0].timing.total_time,
        Some(29.094_534_158_706_665)
    );
    // What decides whether and how a request counts.
    let (stage, timing) = (again.results[1].stage.unwrap(), &again.results[1].timing);
    assert_eq!((stage.number, stage.requests_per_second), (2, Some(12.5)));
    assert!(again.results[1].cold_start && !again.results[0].cold_start);
    assert_eq!(timing.in_flight_time, Some(2.5));
    assert_eq!(timing.clock, Clock::Kernel);
}

#[test]
fn rows_that_do_not_fit_are_told_and_others_go_on() {
    let mut gatherer = Gatherer::default();
    assert!(
        gatherer
            .row(1, b"run_id,model,success,total_time_s,of_others")
            .unwrap()
            .is_none()
    );
    let cut = gatherer.row(2, b"6742f0a1c3d2e1f0a9b8c7d6,m").unwrap_err();
    assert!(cut.contains("2 cells and the first one 5"), "{cut}");
    let wrong = gatherer
        .row(3, b"6742f0a1c3d2e1f0a9b8c7d6,m,maybe,1,x")
        .unwrap_err();
    assert_eq!(wrong, "`success` is `maybe`");
    assert_eq!(
        gatherer
            .row(4, b"6742f0a1c3d2e1f0a9b8c7d6,m,true,1,x")
            .unwrap(),
        None
    );
    assert!(gatherer.last().is_some());
    let mut foreign = Gatherer::default();
    assert!(
        foreign
            .row(1, b"name,age")
            .unwrap_err()
            .contains("neither JSON nor")
    );
    // It is told once.
    assert_eq!(foreign.row(2, b"x,3").unwrap(), None);
}

fn pieces(text: &[u8], step: usize) -> Vec<Piece> {
    let mut splitter = Splitter::new(200);
    let mut pieces = Vec::new();
    for part in text.chunks(step.max(1)) {
        splitter.feed(part);
        while let Some(piece) = splitter.next_piece() {
            pieces.push(piece);
        }
    }
    splitter.finish();
    while let Some(piece) = splitter.next_piece() {
        pieces.push(piece);
    }
    pieces
}

/// What was found, in short.
fn found(text: &str) -> Vec<(u64, String)> {
    let found = pieces(text.as_bytes(), text.len())
        .into_iter()
        .map(|piece| match piece {
            Piece::Document { line, text } | Piece::Row { line, text } => {
                (line, String::from_utf8(text).unwrap())
            }
            Piece::Trouble { line, reason } => (line, reason),
        });
    found.collect()
}

#[test]
fn documents_are_found_however_they_are_laid_out() {
    let one = |line, text: &str| (line, text.to_owned());
    assert_eq!(found("{\"a\":1}"), [one(1, "{\"a\":1}")]);
    assert_eq!(
        found("\u{feff}{}\r\n\r\n{}\n"),
        [one(1, "{}"), one(3, "{}")]
    );
    assert_eq!(found("[{},\n {}]"), [one(1, "{}"), one(2, "{}")]);
    assert_eq!(found("{\n \"a\": {\n}\n}"), [one(1, "{\n \"a\": {\n}\n}")]);
    assert_eq!(found("{\"}\":\"\\\"}\"}"), [one(1, "{\"}\":\"\\\"}\"}")]);
    assert_eq!(found(""), []);
    assert_eq!(found("[]"), []);
}

#[test]
fn what_is_cut_off_takes_no_other_with_it() {
    let one = |line, text: &str| (line, text.to_owned());
    let cut = "the document is cut off";
    assert_eq!(
        found("{\"a\":\n{\"b\":1}\n"),
        [one(1, cut), one(2, "{\"b\":1}")]
    );
    assert_eq!(
        found("{\"a\":\"x\n{\"b\":1}"),
        [one(1, cut), one(2, "{\"b\":1}")]
    );
    assert_eq!(
        found("{}\nnonsense\n{}"),
        [
            one(1, "{}"),
            one(2, "this is no document: one begins with `{`"),
            one(3, "{}")
        ]
    );
    assert_eq!(found("[{},{\"a\""), [one(1, "{}"), one(1, cut)]);
    assert_eq!(found("[{}"), [one(1, "{}"), one(1, "the array is cut off")]);
    let long = format!("{{\"a\":\"{}\"}}\n{{}}", "x".repeat(300));
    assert_eq!(
        found(&long),
        [one(1, "the document has more than 200 bytes"), one(2, "{}")]
    );
}

/// Texts of other people's making that look like what is looked for, or are long numbers.
#[test]
fn what_is_found_by_its_name_is_written_as_what_is_found_step_by_step() {
    let time = "2024-12-25T12:21:26Z";
    let tricky = json!({
        "timestamp": time, "results": [], "chunks": null, "samples": null,
        "request": {"id": 1}, "server_settings": {"expires_at": time},
        "x\",\"samples": [1, -1, 0.1], "n": [9_007_199_254_740_993_u64, u64::MAX, -9_007_199_254_740_993_i64],
    });
    let text = tricky.to_string();
    let mut old = old_document();
    old["id"] = json!("65f1c0ffee65f1c0ffee65f1");
    old["request"] = json!({"models": ["m"], "prompt": "p"});
    old["samples"] = json!({"interval": 1, "items": []});
    old["results"][0]["chunks"] = json!({"offsets": [0.1, 0.000_001], "sizes": [1, 2]});
    let mut plain = parts(incoming(&old));
    plain.extra = Extra::default();
    for (in_result, at, what) in [
        (true, "/response", json!(text)),
        (
            true,
            "/response",
            json!("1234567890123456 ,1234567890123456,"),
        ),
        (
            true,
            "/response_sha256",
            json!("1234567890".repeat(6) + "abcd"),
        ),
        (true, "/timing", tricky.clone()),
        (
            true,
            "/placement",
            json!({"expires_at": time, "size_bytes": u64::MAX}),
        ),
        (true, "/chunks", json!({})),
        (false, "/request/options", tricky.clone()),
        (false, "/request/options", json!({"timestamp": time})),
        (false, "/request/seed", json!(u64::MAX)),
        (false, "/request/format", tricky.clone()),
        (
            false,
            "/environment",
            json!({"server_settings": tricky, "calibrated": time}),
        ),
        (
            false,
            "/environment",
            json!({"results": [], "expires_at": time, "a": {"finished_at": null}}),
        ),
        (
            false,
            "/summary",
            json!([0.123_456_789_012_345_6, 1_234_567_890_123_456_768.0]),
        ),
        (false, "/samples", json!([])),
    ] {
        let mut parts = plain.clone();
        let stored = if in_result {
            &mut parts.results[0].document
        } else {
            &mut parts.document
        };
        let mut document: Value = serde_json::from_slice(stored).unwrap();
        let (of, name) = at.rsplit_once('/').unwrap();
        document.pointer_mut(of).unwrap()[name] = what;
        *stored = serde_json::to_vec(&document).unwrap().into();
        // What is not known has to be put in its place, so all places are gone through.
        let mut by_steps = parts.clone();
        by_steps.extra.add("/nowhere", "a", json!(1));
        for style in [Style::Plain, Style::Relaxed] {
            assert_eq!(written(&parts, style), written(&by_steps, style), "{at}");
        }
    }
}

#[test]
fn a_text_whose_structure_is_damaged_is_told() {
    let whole = parts(incoming(&old_document()));
    assert!(whole.extra.is_empty(), "{:?}", whole.extra);
    let structure = |text: &[u8]| -> Vec<usize> {
        let is_structure = |(_, byte): &(usize, &u8)| b"{}[]\"".contains(byte);
        let found = text.iter().enumerate().filter(is_structure);
        found.map(|(place, _)| place).collect()
    };
    for place in structure(&whole.document) {
        let mut parts = whole.clone();
        parts.document.to_mut()[place] = b'y';
        let written = write(&mut Vec::new(), &parts, Style::Relaxed);
        assert!(written.is_err(), "{place}");
    }
    for place in structure(&whole.results[0].document) {
        let mut parts = whole.clone();
        parts.results[0].document.to_mut()[place] = b'y';
        let written = write(&mut Vec::new(), &parts, Style::Relaxed);
        assert!(written.is_err(), "{place}");
    }
}

/// Any JSON.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_filter_map("finite", |it| {
            serde_json::Number::from_f64(it).map(Value::Number)
        }),
        ".*".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec(("[a-z/~.\"\\\\ü]{0,6}", inner), 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_document_is_written_and_read_as_it_was(
        members in prop::collection::vec(("[a-hj-z]{1,6}", any_json()), 0..8),
        results in prop::collection::vec(prop::collection::vec(("[a-z]{1,4}", any_json()), 0..4), 0..3),
        offsets in prop::collection::vec(0_u32..1_000_000, 0..5),
    ) {
        let object = |members: Vec<(String, Value)>| {
            let members = members.into_iter().filter(|(name, _)| {
                !["chunks", "results", "samples", "request", "id"].contains(&name.as_str())
            });
            Value::Object(members.collect())
        };
        let document = object(members);
        let chunks = Chunks {
            offsets: offsets.iter().map(|it| f64::from(*it) / 1e6).collect(),
            sizes: offsets,
        };
        let results: Vec<Value> = results.into_iter().map(object).collect();
        let parts = Parts {
            document: serde_json::to_vec(&document).unwrap().into(),
            results: results
                .iter()
                .map(|it| ResultPart { document: it.to_string().into_bytes().into(), chunks: Some(chunks.clone()) })
                .collect(),
            samples: None,
            extra: Extra::default(),
        };
        let mut expected = document;
        if !results.is_empty() {
            let with_chunks = results.into_iter().map(|mut it| {
                it["chunks"] = json!(chunks);
                it
            });
            expected["results"] = with_chunks.collect();
        }
        prop_assert_eq!(&value(&written(&parts, Style::Plain)), &expected);
        let mut by_steps = parts.clone();
        by_steps.extra.add("/nowhere", "a", json!(1));
        for style in [Style::Plain, Style::Relaxed] {
            prop_assert_eq!(written(&parts, style), written(&by_steps, style));
        }
        for style in [Style::Relaxed, Style::Canonical] {
            let plain = super::extended::with_plain_numbers(value(&written(&parts, style)));
            prop_assert_eq!(&plain, &expected);
        }
    }

    #[test]
    fn pieces_do_not_depend_on_how_bytes_come(text in "[\\[\\]{}\",:a\\\\\n x]{0,120}", step in 1_usize..9) {
        prop_assert_eq!(pieces(text.as_bytes(), step), pieces(text.as_bytes(), text.len()));
    }

    #[test]
    fn any_text_is_read_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..200), document in any_json()) {
        let _ = read(&bytes, "ollama");
        let _ = read_value(&document, "ollama");
        let mut old = old_document();
        old["results"][0]["timing"] = document.clone();
        old["extra"] = document;
        if let Ok(incoming) = read_value(&old, "ollama") {
            let parts = parts(incoming);
            let once = written(&parts, Style::Relaxed);
            let again = self::parts(read(once.as_bytes(), "ollama").unwrap());
            prop_assert_eq!(written(&again, Style::Relaxed), once);
        }
    }
}
