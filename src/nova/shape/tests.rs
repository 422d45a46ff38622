use proptest::prelude::*;

use super::*;

const MOST: usize = 4;

fn plan(steps: &[&str]) -> Plan {
    Plan {
        steps: steps.iter().map(|step| (*step).to_owned()).collect(),
    }
}

#[track_caller]
fn check_wrong<T: Shape + std::fmt::Debug>(text: &str, words: &str) {
    let wrong = T::read(text, MOST).unwrap_err().to_string();
    assert!(wrong.contains(words), "{text}: {wrong}");
}

#[test]
fn an_object_is_found_in_what_stands_around_it() {
    let expected = Ok(plan(&["a } b", "c \" {"]));
    let json = r#"{"steps": ["a } b", "c \" {"]}"#;
    for text in [
        json.to_owned(),
        format!("```json\n{json}\n```"),
        format!("Here is the plan:\n{json}\nI hope that helps {{or not."),
        format!("{json}{json}"),
        r#"{"why": {"so": 1}, "steps": ["a } b", "c \" {"]}"#.to_owned(),
    ] {
        assert_eq!(Plan::read(&text, MOST), expected, "{text}");
    }
}

#[test]
fn what_is_wrong_is_said_in_words() {
    check_wrong::<Plan>(" \n", "no text");
    check_wrong::<Plan>("First, boil the water.", "no JSON object");
    check_wrong::<Plan>(r#"{"steps": ["boil"#, "not finished");
    check_wrong::<Plan>(r#"{"steps": ["boil",]}"#, "no valid JSON: trailing comma");
    check_wrong::<Plan>("{steps: []}", "no valid JSON: key must be a string");
    check_wrong::<Plan>(r#"{"plan": ["boil"]}"#, "missing field `steps`");
    check_wrong::<Plan>(r#"{"steps": "boil"}"#, "`steps`: invalid type: string");
    check_wrong::<Plan>(
        r#"{"steps": ["a", {"b": 1}]}"#,
        "`steps[1]`: invalid type: map",
    );
    check_wrong::<Plan>(r#"{"steps": []}"#, "`steps` is empty");
    check_wrong::<Plan>(r#"{"steps": ["a", " "]}"#, "a text of `steps` is blank");
    check_wrong::<Plan>(
        r#"{"steps": ["1","2","3","4","5"]}"#,
        "has 5 elements; at most 4",
    );
    check_wrong::<Verdict>(
        r#"{"converged": "yes", "reasons": []}"#,
        "`converged`: invalid type",
    );
    check_wrong::<Experts>(r#"{"experts": ["law"]}"#, "needs at least 2");
    check_wrong::<Experts>(r#"{"experts": ["Law", "law "]}"#, "names \"law \" twice");
    check_wrong::<Experts>(r#"{"experts": ["law", "a\nb"]}"#, "is no name");
    check_wrong::<Summary>(
        r#"{"summary": "", "goals": [], "questions": []}"#,
        "`summary` is blank",
    );
}

#[test]
fn examples_and_fallbacks_are_of_their_shape() {
    fn check<T: Shape + PartialEq + std::fmt::Debug>(fallback: &T) {
        assert!(
            T::read(&T::example().to_string(), MOST).is_ok(),
            "{}",
            T::NAME
        );
        assert_eq!(fallback.check(MOST), Ok(()));
        let schema = T::schema(MOST);
        let example = T::example();
        let required: Vec<&str> = schema["required"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(Value::as_str)
            .collect();
        assert!(example.as_object().unwrap().keys().eq(required), "{schema}");
    }
    check(&Plan::fallback("Boil an egg."));
    check(&Experts::fallback(&[]));
    check(&Verdict::fallback(&WhatIsWrong::Nothing));
    check(&Summary::fallback("One. Two."));
}

#[test]
fn fallbacks_follow_from_what_was_asked() {
    assert_eq!(Plan::fallback("Boil an egg.").steps, ["Boil an egg."]);
    let domains = |domains: &[&str]| {
        let domains: Vec<String> = domains.iter().map(|it| (*it).to_owned()).collect();
        Experts::fallback(&domains).experts
    };
    assert_eq!(domains(&["law", "ethics", "art"]), ["law", "ethics", "art"]);
    assert_eq!(domains(&["law"]), ["law", GENERAL[0]]);
    assert_eq!(domains(&[GENERAL[0]]), GENERAL);
    assert_eq!(domains(&[]), GENERAL);
    let verdict = Verdict::fallback(&WhatIsWrong::NoObject);
    assert!(!verdict.converged);
    assert_eq!(
        verdict.reasons,
        ["the verdict could not be read: there is no JSON object in it"]
    );
}

#[test]
fn a_summary_without_a_model_is_the_first_sentences() {
    let summary = |text: &str| Summary::fallback(text).summary;
    assert_eq!(
        summary("It costs 2.50 a day.\nIs that much? No! It is little."),
        "It costs 2.50 a day. Is that much? No!"
    );
    assert_eq!(
        summary("川は速い。石は重い。風は静か。終わり。"),
        "川は速い。石は重い。風は静か。"
    );
    let long = summary(&"word ".repeat(500));
    assert!(long.ends_with("word…") || long.ends_with('…'), "{long}");
    assert!(long.chars().count() <= SUMMARY_CHARS + 1);
    assert_eq!(summary("no full stop"), "no full stop");
}

/// Text that is likely to be nearly JSON.
fn near_json() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("{".to_owned()),
        Just("}".to_owned()),
        Just("\"".to_owned()),
        Just("\\".to_owned()),
        Just("[".to_owned()),
        Just("]".to_owned()),
        Just("\"steps\":".to_owned()),
        Just(",".to_owned()),
        Just("```".to_owned()),
        ".{0,3}",
    ];
    proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn no_text_is_too_strange_to_be_refused(text in prop_oneof![near_json(), any::<String>()]) {
        let plan = Plan::read(&text, MOST);
        prop_assert!(plan.is_err() || text.contains("\"steps\""));
        let _ = (Experts::read(&text, MOST), Verdict::read(&text, MOST), Summary::read(&text, MOST));
        let summary = Summary::fallback(&text).summary;
        prop_assert!(summary.chars().count() <= SUMMARY_CHARS + 1);
    }

    #[test]
    fn what_was_written_is_read_back(
        steps in proptest::collection::vec("\\PC*[a-z]\\PC*|[\\n\"{}\\\\]+x", 1..=MOST),
        // Whatever comes before the first brace, and after the last one.
        before in "[^{]*",
        after in any::<String>(),
    ) {
        let plan = Plan { steps };
        let json = serde_json::to_string(&plan).unwrap();
        prop_assert_eq!(Plan::read(&json, MOST), Ok(plan.clone()));
        let fenced = format!("```json\n{}\n```", serde_json::to_string_pretty(&plan).unwrap());
        prop_assert_eq!(Plan::read(&fenced, MOST), Ok(plan.clone()));
        prop_assert_eq!(Plan::read(&format!("{before}{json}{after}"), MOST), Ok(plan));
    }

    #[test]
    fn a_cut_object_is_never_read(steps in proptest::collection::vec("[ -~]*[a-z]", 1..=MOST), keep in 0.0..1.0_f64) {
        let json = serde_json::to_string(&Plan { steps }).unwrap();
        let bytes = (json.len() as f64 * keep).floor();
        let cut: usize = format!("{bytes:.0}").parse().unwrap();
        prop_assert!(Plan::read(&json[..cut.min(json.len() - 1)], MOST).is_err());
    }
}
