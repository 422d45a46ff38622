//! The form that asks the agents: its fields, what each says, and the request that it makes. Its rules
//! are the request's own; fields are called and messages find them as in the form of a benchmark.

use serde::Serialize;

use crate::record::{
    FieldError, MemoryUse, NovaPipeline, NovaRequest, NovaRole, NovaSession, NovaStage, RunId,
};
use crate::web::form::Fields;
use crate::web::run_form::fields::{Field, Group, Kind, PARAMETERS, field};
use crate::web::run_form::{Messages, Reader, lines};

use super::words;

/// What the page offers to somebody who does not know what to ask.
pub const EXAMPLE: &str = "I want to learn to play the piano in a year, with half an hour a day. What is a good plan, and what is most likely to go wrong?";

/// Pipelines: name, title, what it does in a line.
const PIPELINES: [(&str, &str, &str); 2] = [
    (
        "turn",
        "Plan and answer",
        "A planner breaks the prompt into steps, an executor carries them out and writes the answer. Few calls, quick.",
    ),
    (
        "nova_process",
        "Experts in rounds",
        "Experts and a critic discuss the problem until the critic is content, then the answer is written. Many calls, thorough.",
    ),
];

/// Groups of options that are folded away, in the order of the page.
pub const GROUPS: [Group; 3] = [
    Group {
        title: "Course of the turn",
        fields: &COURSE,
    },
    Group {
        title: "Memory",
        fields: &MEMORY,
    },
    Group {
        title: "Generation parameters",
        fields: &PARAMETERS,
    },
];

const COURSE: [Field; 4] = [
    field(
        "domains",
        Kind::Area,
        "Fields of the experts",
        "Two to eight, one a line, for experts in rounds. Empty: a model chooses them.",
    ),
    field(
        "max_iterations",
        Kind::Whole,
        "Most rounds",
        "Of experts, 1 to 10. Empty: the server's setting.",
    ),
    Field {
        options: &[
            ("", "never"),
            ("recall", "after looking into the memory"),
            ("planning", "after planning"),
            ("problem_unpacking", "after taking the problem apart"),
            ("expertise_assembly", "after choosing the experts"),
            ("collaborative_ideation", "after the experts' rounds"),
        ],
        ..field(
            "pause_after",
            Kind::Choice,
            "Pause for my word",
            "The turn ends there with what there is, and your next prompt goes on with it.",
        )
    },
    field(
        "timeout",
        Kind::Decimal,
        "Longest call, s",
        "A call of a model that takes longer is stopped and fails. Empty: the server's setting.",
    ),
];

const MEMORY: [Field; 3] = [
    Field {
        default: "on",
        ..field(
            "memory/read",
            Kind::Check,
            "Look into the memory",
            "Documents that fit the prompt are told to the agents.",
        )
    },
    Field {
        default: "on",
        ..field(
            "memory/write",
            Kind::Check,
            "Keep the exchange",
            "Later turns of this session can recall it.",
        )
    },
    Field {
        default: "5",
        ..field(
            "memory/limit",
            Kind::Whole,
            "Most documents",
            "That are recalled for a turn, 0 to 50.",
        )
    },
];

/// A pipeline to choose.
#[derive(Debug, Serialize)]
pub struct PipelineChoice {
    value: &'static str,
    title: &'static str,
    hint: &'static str,
    selected: bool,
}

/// A role that may have a model of its own.
#[derive(Debug, Serialize)]
pub struct RoleChoice {
    name: String,
    id: String,
    label: &'static str,
    value: String,
    errors: Vec<String>,
}

impl RoleChoice {
    /// It was given a model, or there is something wrong with it.
    pub fn is_touched(&self) -> bool {
        !self.value.trim().is_empty() || !self.errors.is_empty()
    }
}

/// The form before anyone touched it, with what the session is set to.
pub fn untouched(session: Option<&NovaSession>) -> Fields {
    let mut fields = Fields::default();
    let pipeline = session.and_then(|it| it.pipeline).unwrap_or_default();
    let name = match pipeline {
        NovaPipeline::Turn => "turn",
        NovaPipeline::NovaProcess => "nova_process",
    };
    fields.set("pipeline", name);
    for field in GROUPS.iter().flat_map(|group| group.fields) {
        fields.set(field.name, field.default);
    }
    fields
}

/// The pipelines, one of them chosen.
pub fn pipelines(fields: &Fields) -> [PipelineChoice; 2] {
    let chosen = fields.text("pipeline");
    PIPELINES.map(|(value, title, hint)| PipelineChoice {
        value,
        title,
        hint,
        selected: value == chosen,
    })
}

/// The roles with the models that they were given.
pub fn roles(fields: &Fields, errors: &Messages) -> Vec<RoleChoice> {
    let roles = NovaRole::ALL.into_iter();
    let shown = roles.map(|role| {
        let name = format!("models/{}", role.as_str());
        RoleChoice {
            id: name.replace('/', "-"),
            label: words::role(role),
            value: fields.text(&name).to_owned(),
            errors: errors.get(&name).cloned().unwrap_or_default(),
            name,
        }
    });
    shown.collect()
}

/// What a pipeline is called on the page.
pub fn pipeline_title(pipeline: NovaPipeline) -> &'static str {
    match pipeline {
        NovaPipeline::Turn => PIPELINES[0].1,
        NovaPipeline::NovaProcess => PIPELINES[1].1,
    }
}

/// The request that the form makes, and which fields could not be read. Those are left out of it.
pub fn read(fields: &Fields, session: Option<RunId>) -> (NovaRequest, Vec<FieldError>) {
    let mut reader = Reader::new(fields);
    let named = |name: &str| fields.filled(name).map(str::to_owned);
    let models = NovaRole::ALL.into_iter().filter_map(|role| {
        let model = named(&format!("models/{}", role.as_str()))?;
        Some((role.as_str().to_owned(), model))
    });
    let request = NovaRequest {
        session_id: session,
        parameters: reader.parameters(),
        model: named("other_model").or_else(|| named("model")),
        pipeline: fields.text("pipeline").parse().ok(),
        models: models.collect(),
        domains: lines(fields.text("domains")),
        max_iterations: reader.positive("max_iterations"),
        timeout: reader.decimal("timeout"),
        memory: MemoryUse {
            read: fields.filled("memory/read").is_some(),
            write: fields.filled("memory/write").is_some(),
            limit: reader.count("memory/limit"),
        },
        pause_after: stage(fields.text("pause_after")),
        ..NovaRequest::new(fields.text("prompt"))
    };
    (request, reader.errors)
}

fn stage(name: &str) -> Option<NovaStage> {
    let pauses = [
        NovaStage::Recall,
        NovaStage::Planning,
        NovaStage::ProblemUnpacking,
        NovaStage::ExpertiseAssembly,
        NovaStage::CollaborativeIdeation,
    ];
    pauses.into_iter().find(|stage| stage.as_str() == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Parameters;

    #[test]
    fn the_untouched_form_lacks_only_a_prompt() {
        let mut fields = untouched(None);
        fields.set("prompt", "Why?");
        let (request, errors) = read(&fields, None);
        assert_eq!(errors, []);
        let expected = NovaRequest {
            pipeline: Some(NovaPipeline::Turn),
            ..NovaRequest::new("Why?")
        };
        assert_eq!(request, expected);
    }

    #[test]
    fn every_field_gets_into_the_request() {
        let mut fields = untouched(None);
        for (name, value) in [
            ("prompt", "A bridge?"),
            ("pipeline", "nova_process"),
            ("model", "a"),
            ("other_model", " b@c "),
            ("models/cae", "d"),
            ("domains", "statics\n\neconomics"),
            ("max_iterations", "2"),
            ("memory/read", ""),
            ("memory/limit", "7"),
            ("parameters/num_ctx", "512"),
            ("timeout", "1,5"),
            ("pause_after", "problem_unpacking"),
        ] {
            fields.set(name, value);
        }
        let (request, errors) = read(&fields, None);
        assert_eq!(errors, []);
        let expected = NovaRequest {
            pipeline: Some(NovaPipeline::NovaProcess),
            model: Some("b@c".into()),
            models: [("cae".to_owned(), "d".to_owned())].into(),
            domains: vec!["statics".into(), "economics".into()],
            max_iterations: Some(2),
            memory: MemoryUse {
                read: false,
                write: true,
                limit: 7,
            },
            parameters: Parameters {
                num_ctx: Some(512),
                ..Parameters::default()
            },
            timeout: Some(1.5),
            pause_after: Some(NovaStage::ProblemUnpacking),
            ..NovaRequest::new("A bridge?")
        };
        assert_eq!(request, expected);
    }

    #[test]
    fn every_pause_that_is_offered_is_known() {
        let offered = COURSE[2].options.iter().map(|(value, _)| *value);
        for value in offered.filter(|it| !it.is_empty()) {
            assert!(stage(value).is_some(), "{value}");
        }
    }
}
