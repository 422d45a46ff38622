use super::*;

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

#[track_caller]
fn check_refused(files: &[(&str, &str)], words: &str) {
    let folder = folder(files);
    let error = Prompts::load(Some(folder.path())).unwrap_err().to_string();
    assert!(error.contains(words), "{error}");
    assert!(
        error.contains(&folder.path().display().to_string()),
        "{error}"
    );
}

#[test]
fn every_file_is_a_template_or_is_included_by_one() {
    let mut files: Vec<String> = Files::iter().map(String::from).collect();
    let mut known: Vec<&str> = Template::ALL.map(Template::file).into();
    known.push("context.txt");
    files.sort();
    known.sort_unstable();
    assert_eq!(files, known);
}

#[test]
fn every_template_says_what_its_variables_mean() {
    let prompts = Prompts::load(None).unwrap();
    for name in Files::iter() {
        let source = String::from_utf8(Files::get(&name).unwrap().data.into_owned()).unwrap();
        let (comment, _) = source.split_once("#}").unwrap();
        let mut said: Vec<&str> = comment
            .lines()
            .skip(1)
            .filter_map(|line| line.trim().split_once(": ")?.0.into())
            .collect();
        said.sort_unstable();
        let template = prompts.environment.get_template(&name).unwrap();
        let mut used: Vec<String> = template.undeclared_variables(false).into_iter().collect();
        used.sort();
        assert_eq!(said, used, "{name}");
    }
}

#[test]
fn a_prompt_is_short_and_in_order() {
    let prompts = Prompts::load(None).unwrap();
    let goals = ["say how long".to_owned(), "say how hot".to_owned()];
    let values = Values {
        prompt: "How do I boil an egg?",
        exchanges: &[Exchange {
            prompt: "Hello",
            answer: "Good morning",
        }],
        documents: &["The user has no watch.", "Water boils at 100 °C."],
        goals: &goals,
        most: 3,
        shape: r#"{"steps": ["one"]}"#,
        ..Values::default()
    };
    insta::assert_snapshot!(prompts.render(Template::Planning, &values).unwrap(), @r#"
    Earlier in this conversation:
    User: Hello
    Answer: Good morning

    Notes that may help:
    - The user has no watch.
    - Water boils at 100 °C.

    You are a planner. Break the task below into as few steps as it needs, at most 3. A simple task is one step. Each step is one short sentence that says what to do. Do not do the task.

    Task: How do I boil an egg?

    Answer with JSON like this and nothing else:
    {"steps": ["one"]}
    "#);
    let values = Values {
        domain: "cooking",
        exchanges: &[],
        documents: &[],
        discussion: "Seven minutes are enough.",
        objections: &goals,
        ..values
    };
    insta::assert_snapshot!(prompts.render(Template::ExpertIdeation, &values).unwrap(), @"
    You are an expert in cooking. Say what your field contributes to this problem: facts, ideas, and how sure you are. Be concrete and short.

    Problem: How do I boil an egg?
    Goal: say how long
    Goal: say how hot

    The discussion so far: Seven minutes are enough.

    Answer these objections where your field can:
    - say how long
    - say how hot
    ");
    let alone = Values {
        prompt: "How do I boil an egg?",
        ..Values::default()
    };
    let answer = prompts.render(Template::ExecutionAnswer, &alone);
    assert_eq!(answer.unwrap(), "How do I boil an egg?");
}

#[test]
fn only_the_repair_asks_for_one() {
    // A model of the reference server can be told to write well only then.
    let prompts = Prompts::load(None).unwrap();
    for template in Template::ALL {
        let text = sample(|values| prompts.render(template, values)).unwrap();
        let asks = text.to_lowercase().contains("repair");
        assert_eq!(asks, template == Template::Repair, "{text}");
    }
}

#[test]
fn what_a_person_or_a_model_wrote_stays_as_it_is() {
    let prompts = Prompts::load(None).unwrap();
    let values = Values {
        prompt: "{{ 7 * 7 }} <b> & \"x\" {% raw %}",
        ..Values::default()
    };
    let text = prompts.render(Template::ExecutionAnswer, &values).unwrap();
    assert_eq!(text, values.prompt);
}

#[test]
fn a_file_of_the_users_goes_before_ours() {
    let folder = folder(&[("executor.answer.txt", "Short, please: {{ prompt }}\n")]);
    let prompts = Prompts::load(Some(folder.path())).unwrap();
    let values = Values {
        prompt: "why?",
        ..Values::default()
    };
    let text = prompts.render(Template::ExecutionAnswer, &values).unwrap();
    assert_eq!(text, "Short, please: why?");
    assert!(prompts.is_overridden(Template::ExecutionAnswer));
    assert!(!prompts.is_overridden(Template::Planning));
}

#[test]
fn what_is_wrong_in_a_template_is_found_when_it_is_loaded() {
    let name = "planner.planning.txt";
    check_refused(&[(name, "a\nb {{ prompt")], "planner.planning.txt:2: ");
    check_refused(&[(name, "a\n{% if prompt %}")], "planner.planning.txt:2: ");
    check_refused(
        &[(name, "{{ prompt }}\n\n{% if false %}{{ promt }}{% endif %}")],
        "planner.planning.txt:3: there is no variable `promt`; there are prompt, summary,",
    );
    check_refused(
        &[(
            name,
            "\n{% for it in exchanges %}{{ it.reply }}{% endfor %}",
        )],
        "planner.planning.txt:2: ",
    );
    check_refused(
        &[(name, "{{ prompt | shout }}")],
        "planner.planning.txt:1: ",
    );
    check_refused(
        &[(name, "{% include 'other.txt' %}")],
        "planner.planning.txt:1: ",
    );
    check_refused(
        &[(name, "{# nothing #}\n")],
        "planner.planning.txt:1: it makes no text",
    );
    // The others include this one; the error is of the file that it is in.
    check_refused(
        &[("context.txt", "a\n{{ documents.x.y }}")],
        "context.txt:2: ",
    );
}

#[test]
fn a_folder_holds_templates_and_nothing_else() {
    check_refused(
        &[("planer.planning.txt", "x")],
        "planer.planning.txt is no template; there are cae.collaborative_ideation.txt, context.txt,",
    );
    let large = "x".repeat(70_000);
    check_refused(&[("repair.txt", &large)], "at most 65536 bytes");
    let error = Prompts::load(Some(Path::new("/nowhere/at-all"))).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("cannot read /nowhere/at-all: ")
    );
}

#[test]
fn a_file_that_is_no_text_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("repair.txt"), [0xff, 0xfe]).unwrap();
    let error = Prompts::load(Some(folder.path())).unwrap_err();
    assert!(matches!(error, PromptError::Unreadable { .. }), "{error}");
}
