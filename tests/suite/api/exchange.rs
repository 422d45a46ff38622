//! Runs out as documents and in again, over sockets.

use std::time::Duration;

use bson::Bson;
use serde_json::{Value, json};

use super::{LONG, QUICK, request};
use crate::support::{Answer, Server, start, start_with};

const EXPORT: &str = "/api/benchmarks/export";
const IMPORT: &str = "/api/benchmarks/import";

/// What the program before this one stored, with times without a zone.
fn old_document() -> Value {
    json!({
        "timestamp": "2024-12-25T12:21:26.209945",
        "system_info": {"platform": "macOS", "processor": "i386", "python_version": "3.10.0",
            "cpu": {"physical_cores": 4, "total_cores": 8, "max_frequency": 2200, "min_frequency": 2200,
                "current_frequency": 2200},
            "memory": {"total": 16.0, "available": 11.8, "used": 3.6, "percent_used": 26.3}, "gpu": []},
        "results": [{"model": "wizardlm2", "timing": {"time_to_first_chunk": 15.9, "total_time": 29.1},
            "throughput": {"total_chunks": 54, "total_bytes": 213, "average_chunk_size": 3.9,
                "bytes_per_second": 7.3},
            "system_impact": {"cpu_delta": [-6.2, 0.0], "memory_delta": 30.3}, "success": true,
            "timestamp": "2024-12-25T12:20:58.088789", "prompt": "Hello Wizard!", "response": "hi"}]
    })
}

/// Three runs: one whole, one in part, one whose answer thinks.
async fn fill(server: &Server) -> Vec<String> {
    let mut ids = Vec::new();
    for (models, tag) in [
        (&[QUICK][..], "a"),
        (&[QUICK, "fault-truncated@reference"][..], "b"),
        (&["thinking@reference"][..], "a"),
    ] {
        let mut body = request(models);
        body["tags"] = json!([tag]);
        body["prompt"] = json!("Why, \"in\"\r\nthe ü end?\u{2028}");
        body["format"] = json!({"type": "object", "properties": {"a": {"$ref": "#"}}});
        ids.push(server.run(&body).await["id"].as_str().unwrap().to_owned());
    }
    ids
}

async fn import(server: &Server, text: impl Into<reqwest::Body>) -> Answer {
    server.post_raw(IMPORT, "application/x-ndjson", text).await
}

fn tally(answer: &Answer) -> [u64; 4] {
    ["documents", "stored", "known", "failed"].map(|name| {
        let number = answer.body[name].as_u64();
        number.unwrap_or_else(|| panic!("{}", answer.text))
    })
}

/// As JSON has it: an id is text, and so is a time.
fn plain(value: Bson) -> Value {
    match value {
        Bson::Document(document) => {
            let members = document.into_iter();
            Value::Object(members.map(|(name, value)| (name, plain(value))).collect())
        }
        Bson::Array(items) => items.into_iter().map(plain).collect(),
        Bson::ObjectId(id) => json!(id.to_hex()),
        Bson::DateTime(time) => json!(time.try_to_rfc3339_string().unwrap()),
        Bson::Decimal128(number) => json!(number.to_string().parse::<u64>().unwrap()),
        Bson::Int32(number) => json!(number),
        Bson::Int64(number) => json!(number),
        Bson::Double(number) => json!(number),
        Bson::Boolean(truth) => json!(truth),
        Bson::String(text) => json!(text),
        Bson::Null => Value::Null,
        other => panic!("nothing of ours is {other:?}"),
    }
}

/// The same, of a record: times as MongoDB says them, whole numbers whatever their type.
fn normal(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let members = members.iter().map(|(name, value)| {
                let time = value.as_str().filter(|_| name != "prompt");
                let time = time.and_then(|text| chrono::DateTime::parse_from_rfc3339(text).ok());
                let time = time.map(|time| {
                    let time = bson::DateTime::from_millis(time.timestamp_millis());
                    json!(time.try_to_rfc3339_string().unwrap())
                });
                (name.clone(), time.unwrap_or_else(|| normal(value)))
            });
            Value::Object(members.collect())
        }
        Value::Array(items) => items.iter().map(normal).collect(),
        other => other.clone(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_official_parser_reads_what_is_stored() {
    let server = start().await;
    let ids = fill(&server).await;
    for query in ["", "?canonical=true"] {
        let answer = server.get(&format!("{EXPORT}{query}")).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert_eq!(answer.header("content-type"), "application/x-ndjson");
        assert!(
            answer
                .header("content-disposition")
                .contains("benchmarks.jsonl")
        );
        let lines: Vec<&str> = answer.text.lines().collect();
        assert_eq!(lines.len(), ids.len());
        for (line, id) in lines.into_iter().zip(&ids) {
            let document = Bson::try_from(serde_json::from_str::<Value>(line).unwrap()).unwrap();
            // Into bytes and back: MongoDB can store it.
            let bytes = bson::serialize_to_vec(document.as_document().unwrap()).unwrap();
            let document = bson::deserialize_from_slice::<bson::Document>(&bytes).unwrap();
            let mut found = plain(document.into());
            assert_eq!(found["_id"], json!(id));
            let mut stored = normal(
                &server
                    .get(&format!("/api/benchmarks/history/{id}"))
                    .await
                    .body,
            );
            found.as_object_mut().unwrap().shift_remove("_id");
            stored.as_object_mut().unwrap().shift_remove("id");
            // A schema has names that MongoDB keeps for itself.
            let schema = found["request"]["format"].take();
            let schema: Value = serde_json::from_str(schema.as_str().unwrap()).unwrap();
            assert_eq!(schema, stored["request"]["format"].take());
            assert_eq!(found, stored);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn out_and_in_and_out_again_is_the_same() {
    let server = start().await;
    let ids = fill(&server).await;
    for format in ["mongodb", "mongodb&canonical=true", "json", "csv"] {
        let path = format!("{EXPORT}?format={format}");
        let before = server.get(&path).await;
        assert_eq!(before.status, 200);
        let other = start().await;
        let report = import(&other, before.text.clone()).await;
        assert_eq!(tally(&report), [3, 3, 0, 0], "{}", report.text);
        // Again, and nothing changes.
        assert_eq!(
            tally(&import(&other, before.text.clone()).await),
            [3, 0, 3, 0]
        );
        assert_eq!(other.get(&path).await.text, before.text, "{format}");
        if format.starts_with('c') {
            continue;
        }
        for id in &ids {
            let path = format!("/api/benchmarks/history/{id}");
            assert_eq!(other.get(&path).await.body, server.get(&path).await.body);
        }
    }
    let listed = server.get("/api/benchmarks/history?order=asc").await.body;
    let exported = server.get(&format!("{EXPORT}?format=json")).await;
    assert_eq!(exported.header("content-type"), "application/json");
    assert_eq!(exported.body[1]["id"], listed[1]["id"]);
    assert!(exported.body[0]["results"][0]["chunks"]["offsets"].is_array());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_takes_the_filters_of_history_and_goes_on_where_it_ended() {
    let server = start().await;
    let ids = fill(&server).await;
    let going = server
        .post("/api/benchmarks/start", &request(&[LONG]))
        .await;
    let going = going.body["id"].as_str().unwrap().to_owned();
    let exported = |query: String| {
        let server = &server;
        async move {
            let answer = server.get(&format!("{EXPORT}?format=json&{query}")).await;
            let runs = answer
                .body
                .as_array()
                .unwrap_or_else(|| panic!("{}", answer.text));
            runs.iter()
                .map(|run| run["id"].as_str().unwrap().to_owned())
                .collect::<Vec<_>>()
        }
    };
    let some = |places: &[usize]| {
        places
            .iter()
            .map(|place| ids[*place].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        exported(String::new()).await,
        ids,
        "what goes on is not among them"
    );
    assert_eq!(exported("tag=a".into()).await, some(&[0, 2]));
    assert_eq!(exported("tag=nothing".into()).await, some(&[]));
    assert_eq!(exported("status=partial".into()).await, some(&[1]));
    assert_eq!(exported("model=thinking".into()).await, some(&[2]));
    assert_eq!(exported("model=thinking@ollama".into()).await, some(&[]));
    assert_eq!(exported("backend=reference&tag=b".into()).await, some(&[1]));
    assert_eq!(exported("q=THE+%C3%BC".into()).await, ids);
    assert_eq!(
        exported("from=2100-01-01T00:00:00Z".into()).await,
        some(&[])
    );
    assert_eq!(exported("to=2100-01-01T00:00:00Z".into()).await, ids);
    assert_eq!(exported(format!("after={}", ids[0])).await, some(&[1, 2]));
    assert_eq!(
        exported(format!("ids={},{}", ids[2], ids[0])).await,
        some(&[0, 2])
    );
    assert_eq!(
        exported(format!("ids={}&ids={}", ids[2], ids[1])).await,
        some(&[1, 2])
    );
    server
        .post(&format!("/api/benchmarks/{going}/cancel"), &json!({}))
        .await;
    assert_eq!(exported(String::new()).await.len(), 4);
    for (query, pointer) in [
        ("format=xml", "/format"),
        ("format=csv&canonical=true", "/canonical"),
        ("ids=1,2", "/ids"),
        ("ids=", "/ids"),
        ("after=x", "/after"),
        ("status=odd", "/status"),
    ] {
        let answer = server.get(&format!("{EXPORT}?{query}")).await;
        answer.problem(422);
        assert_eq!(answer.pointers(), [pointer], "{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn old_documents_come_in_however_they_are_laid_out() {
    let (old, mut other) = (old_document(), old_document());
    other["results"][0]["response"] = json!("something else");
    let spread = serde_json::to_string_pretty(&old).unwrap();
    for text in [
        format!("{old}\n{other}\n"),
        json!([old, other]).to_string(),
        serde_json::to_string_pretty(&json!([old, other])).unwrap(),
        format!("{spread}\n{other}"),
    ] {
        let server = start().await;
        let answer = import(&server, text.clone()).await;
        assert_eq!(tally(&answer), [2, 2, 0, 0], "{text}: {}", answer.text);
        let found = server
            .get("/api/benchmarks/history?model=wizardlm2")
            .await
            .body;
        assert_eq!(found[0]["timestamp"], "2024-12-25T12:21:26.209945Z");
        assert_eq!(
            found[0]["summary"][0]["time_to_first_chunk"]["median"],
            15.9
        );
        assert_eq!(found[0]["system_info"]["cpu"]["total_cores"], 8);
        // It is like any other on the page.
        let page = server
            .get(&format!("/runs/{}", found[0]["id"].as_str().unwrap()))
            .await;
        assert_eq!(page.status, 200, "{}", page.text);
        assert!(page.text.contains("Hello Wizard!"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_named_by_its_line_and_the_rest_goes_on() {
    let server = start().await;
    let old = old_document();
    let mut no_model = old_document();
    no_model["results"][0]["model"] = Value::Null;
    let text = format!("{old}\n{{\"a\":\nnonsense\n\n{no_model}\n{{\"results\":[]}}\n[1]\n{old}");
    let dry = server
        .post_raw(
            &format!("{IMPORT}?dry_run=true"),
            "text/plain",
            text.clone(),
        )
        .await;
    assert_eq!(tally(&dry), [6, 1, 1, 4], "{}", dry.text);
    assert_eq!(server.get("/api/benchmarks/history").await.body, json!([]));
    let answer = import(&server, text).await;
    assert_eq!(answer.status, 200);
    assert_eq!(tally(&answer), [6, 1, 1, 4], "{}", answer.text);
    let errors = answer.body["errors"].as_array().unwrap();
    let lines: Vec<u64> = errors
        .iter()
        .map(|error| error["line"].as_u64().unwrap())
        .collect();
    assert_eq!(lines, [2, 5, 6, 7]);
    let message = errors[1]["message"].as_str().unwrap();
    assert!(message.contains("results[0].model"), "{message}");
    // Nothing of use at all is an error.
    let useless = import(&server, "{\"a\":1}\n").await;
    assert!(
        useless.problem(422).contains("line 1: "),
        "{}",
        useless.text
    );
    import(&server, "").await.problem(400);
    import(&server, "name,age\nx,3\ny,4").await.problem(422);
    import(&server, vec![0xff_u8; 1000]).await.problem(422);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_may_be_larger_than_other_bodies_and_must_not_stand_still() {
    let server = start_with(|config| {
        config.limits.max_body_bytes = 1000;
        config.timeouts.client = 0.3;
    })
    .await;
    let text = format!("{}\n", old_document()).repeat(10);
    assert!(text.len() > 1000);
    assert_eq!(tally(&import(&server, text).await), [10, 1, 9, 0]);
    let mut second = old_document();
    second["results"][0]["response"] = json!("another");
    let (send, body) = tokio::sync::mpsc::unbounded_channel();
    send.send(Ok::<_, std::io::Error>(format!("{second}\n{{")))
        .unwrap();
    let mut body = body;
    let stream = futures_util::stream::poll_fn(move |context| body.poll_recv(context));
    let answer = import(&server, reqwest::Body::wrap_stream(stream)).await;
    // What came whole is stored, and the rest is told.
    assert_eq!(tally(&answer), [2, 1, 0, 1], "{}", answer.text);
    assert!(answer.text.contains("nothing came for"), "{}", answer.text);
    drop(send);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_goes_away_in_the_middle_of_an_export_holds_nothing_up() {
    let server = start().await;
    fill(&server).await;
    for _ in 0..20 {
        let call = server.http.get(format!("{}{EXPORT}", server.url));
        drop(call.send().await.unwrap());
    }
    let answer = tokio::time::timeout(Duration::from_secs(20), server.get(EXPORT)).await;
    assert_eq!(answer.unwrap().text.lines().count(), 3);
}
