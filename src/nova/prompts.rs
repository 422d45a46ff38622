//! What agents are told: a template a role and stage, from `templates/nova` or from a folder of the
//! user's, where a file of the same name goes before ours.
//!
//! Every template is checked when they are loaded: that it can be read, that it names no variable
//! which there is not, and that it makes a text of sample values. Each says at its top what its variables
//! mean; any of them may be used in any template, and is empty where it does not apply.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, UndefinedBehavior};
use rust_embed::RustEmbed;
use serde::Serialize;
use serde_json::Value;

#[derive(RustEmbed)]
#[folder = "$CARGO_MANIFEST_DIR/templates/nova"]
struct Files;

/// Largest template, bytes: far more than any context has room for.
const MAX_BYTES: u64 = 64 << 10;

/// A template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Template {
    /// Memory: makes old exchanges short.
    MemorySummary,
    /// Planner: breaks the prompt into steps.
    Planning,
    /// Executor: carries out one step.
    ExecutionStep,
    /// Executor: writes the answer.
    ExecutionAnswer,
    /// DCE: takes the problem apart.
    ProblemUnpacking,
    /// DCE: chooses the experts.
    ExpertiseAssembly,
    /// Expert: what one has to say in a round.
    ExpertIdeation,
    /// CAE: what is missing or wrong, and whether it has converged.
    CriticIdeation,
    /// DCE: what a round came to.
    RoundSummary,
    /// DCE: writes the answer of the group.
    Synthesis,
    /// Any: asks once more for JSON that could not be read.
    Repair,
    /// What is asked, where paused work goes on.
    Resumption,
}

impl Template {
    /// Every template.
    pub const ALL: [Self; 12] = [
        Self::MemorySummary,
        Self::Planning,
        Self::ExecutionStep,
        Self::ExecutionAnswer,
        Self::ProblemUnpacking,
        Self::ExpertiseAssembly,
        Self::ExpertIdeation,
        Self::CriticIdeation,
        Self::RoundSummary,
        Self::Synthesis,
        Self::Repair,
        Self::Resumption,
    ];

    /// Its file: the role, and what for.
    pub fn file(self) -> &'static str {
        match self {
            Self::MemorySummary => "memory.summary.txt",
            Self::Planning => "planner.planning.txt",
            Self::ExecutionStep => "executor.step.txt",
            Self::ExecutionAnswer => "executor.answer.txt",
            Self::ProblemUnpacking => "dce.problem_unpacking.txt",
            Self::ExpertiseAssembly => "dce.expertise_assembly.txt",
            Self::ExpertIdeation => "expert.collaborative_ideation.txt",
            Self::CriticIdeation => "cae.collaborative_ideation.txt",
            Self::RoundSummary => "dce.collaborative_ideation.txt",
            Self::Synthesis => "dce.synthesis.txt",
            Self::Repair => "repair.txt",
            Self::Resumption => "resumption.txt",
        }
    }
}

/// An earlier exchange of the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Exchange<'a> {
    /// What the user asked.
    pub prompt: &'a str,
    /// What was answered.
    pub answer: &'a str,
}

/// What came of a step, or what an expert said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Contribution<'a> {
    /// The step, or the expert's field.
    pub name: &'a str,
    /// What came of it.
    pub text: &'a str,
}

/// The variables of the templates. What a stage has no use for stays empty.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Values<'a> {
    /// What the user asks.
    pub prompt: &'a str,
    /// Older exchanges of the session in short.
    pub summary: &'a str,
    /// Newer exchanges, the oldest first.
    pub exchanges: &'a [Exchange<'a>],
    /// Texts of the memory that may help.
    pub documents: &'a [&'a str],
    /// The step of the plan to carry out now.
    pub step: &'a str,
    /// Steps that are done, or what the experts said.
    pub contributions: &'a [Contribution<'a>],
    /// What is to be reached.
    pub goals: &'a [String],
    /// What the rounds before came to.
    pub discussion: &'a str,
    /// What the critic found missing or wrong.
    pub objections: &'a [String],
    /// What the user was asked meanwhile.
    pub questions: &'a [String],
    /// What the user says to that.
    pub word: &'a str,
    /// The expert's field.
    pub domain: &'a str,
    /// Most elements of the list that is asked for.
    pub most: usize,
    /// Longest summary, words.
    pub most_words: u64,
    /// An example of the JSON that is wanted.
    pub shape: &'a str,
    /// JSON that could not be read.
    pub output: &'a str,
    /// What is wrong with it.
    pub wrong: &'a str,
}

/// Why a template cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PromptError {
    /// The folder or a file in it cannot be read.
    #[error("cannot read {}: {reason}", path.display())]
    Unreadable {
        /// The folder or the file.
        path: PathBuf,
        /// What went wrong.
        reason: String,
    },
    /// A file that is no template: most likely one with a wrong name.
    #[error("{} is no template; there are {known}", path.display())]
    Unknown {
        /// The file.
        path: PathBuf,
        /// The names that there are.
        known: String,
    },
    /// A template that is wrong.
    #[error("{file}:{line}: {reason}")]
    Broken {
        /// The file, with its folder where it is the user's.
        file: String,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
}

/// The templates, ready to use.
#[derive(Debug)]
pub struct Prompts {
    environment: Environment<'static>,
    /// Where the user's templates are from, by their names.
    overridden: BTreeMap<String, PathBuf>,
}

impl Prompts {
    /// Loads and checks all templates; those in the folder `overrides` go before ours.
    pub fn load(overrides: Option<&Path>) -> Result<Self, PromptError> {
        let mut prompts = Self {
            environment: bare(),
            overridden: BTreeMap::new(),
        };
        let mut sources: BTreeMap<String, String> = Files::iter()
            .filter_map(|name| {
                let file = Files::get(&name)?;
                let source = String::from_utf8_lossy(&file.data).into_owned();
                Some((name.to_string(), source))
            })
            .collect();
        if let Some(folder) = overrides {
            for (name, path) in files_in(folder, &sources)? {
                sources.insert(name.clone(), read(&path)?);
                prompts.overridden.insert(name, path);
            }
        }
        for (name, source) in &sources {
            let added = prompts
                .environment
                .add_template_owned(name.clone(), source.clone());
            added.map_err(|error| prompts.broken(name, &error))?;
        }
        for (name, source) in &sources {
            prompts.check(name, source)?;
        }
        Ok(prompts)
    }

    /// What a model is told. An error is one of the template, with these values.
    pub fn render(&self, template: Template, values: &Values<'_>) -> Result<String, PromptError> {
        self.text(template.file(), values)
    }

    /// Whether the template is the user's.
    pub fn is_overridden(&self, template: Template) -> bool {
        self.overridden.contains_key(template.file())
    }

    fn text(&self, name: &str, values: &Values<'_>) -> Result<String, PromptError> {
        let text = self
            .environment
            .get_template(name)
            .and_then(|template| template.render(Serde(values)))
            .map_err(|error| self.broken(name, &error))?;
        Ok(text.trim().to_owned())
    }

    fn check(&self, name: &str, source: &str) -> Result<(), PromptError> {
        self.check_variables(name, source)?;
        sample(|values| {
            let text = self.text(name, values)?;
            if text.is_empty() {
                return Err(self.wrong(name, 1, "it makes no text".into()));
            }
            // What is empty must be borne as well.
            self.text(name, &Values::default()).map(drop)
        })
    }

    /// A variable that there is not would only be noticed in the branch that uses it.
    fn check_variables(&self, name: &str, source: &str) -> Result<(), PromptError> {
        let Ok(template) = self.environment.get_template(name) else {
            return Ok(());
        };
        let known = variables();
        let globals: Vec<&str> = self.environment.globals().map(|(name, _)| name).collect();
        let mut unknown: Vec<String> = template
            .undeclared_variables(false)
            .into_iter()
            .filter(|it| !known.contains(it) && !globals.contains(&it.as_str()))
            .collect();
        unknown.sort();
        let Some(variable) = unknown.first() else {
            return Ok(());
        };
        let line = source
            .lines()
            .position(|line| line.contains(variable.as_str()));
        let known = known.join(", ");
        Err(self.wrong(
            name,
            line.map_or(1, |line| line + 1),
            format!("there is no variable `{variable}`; there are {known}"),
        ))
    }

    /// An error of the template itself or of one that it includes.
    fn broken(&self, name: &str, error: &minijinja::Error) -> PromptError {
        let mut deepest = error;
        let mut next = std::error::Error::source(error);
        while let Some(source) = next {
            if let Some(error) = source.downcast_ref::<minijinja::Error>() {
                deepest = error;
            }
            next = source.source();
        }
        let reason = deepest
            .detail()
            .map_or_else(|| deepest.kind().to_string(), str::to_owned);
        self.wrong(
            deepest.name().unwrap_or(name),
            deepest.line().unwrap_or(1),
            reason,
        )
    }

    fn wrong(&self, name: &str, line: usize, reason: String) -> PromptError {
        let path = self.overridden.get(name);
        PromptError::Broken {
            file: path.map_or_else(|| name.to_owned(), |path| path.display().to_string()),
            line,
            reason,
        }
    }
}

/// What is written goes to a model as it is: there is nothing to escape.
fn bare() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    // Refused are only bad delimiters, and those stay as they are.
    if let Ok(syntax) = SyntaxConfig::builder()
        .trim_blocks(true)
        .lstrip_blocks(true)
        .build()
    {
        environment.set_syntax(syntax);
    }
    environment
}

/// The user's templates by their names. Every file must have the name of one of ours.
fn files_in(
    folder: &Path,
    ours: &BTreeMap<String, String>,
) -> Result<Vec<(String, PathBuf)>, PromptError> {
    let unreadable = |error: std::io::Error| PromptError::Unreadable {
        path: folder.to_owned(),
        reason: error.to_string(),
    };
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let Some(name) = name.filter(|name| ours.contains_key(*name)) else {
            let known: Vec<&str> = ours.keys().map(String::as_str).collect();
            return Err(PromptError::Unknown {
                path,
                known: known.join(", "),
            });
        };
        files.push((name.to_owned(), path.clone()));
    }
    files.sort();
    Ok(files)
}

fn read(path: &Path) -> Result<String, PromptError> {
    let unreadable = |reason: String| PromptError::Unreadable {
        path: path.to_owned(),
        reason,
    };
    let about = fs::metadata(path).map_err(|error| unreadable(error.to_string()))?;
    if about.len() > MAX_BYTES {
        return Err(unreadable(format!(
            "a template has at most {MAX_BYTES} bytes"
        )));
    }
    fs::read_to_string(path).map_err(|error| unreadable(error.to_string()))
}

/// The names of all variables, as they are written in templates.
fn variables() -> Vec<String> {
    match serde_json::to_value(Values::default()) {
        Ok(Value::Object(values)) => values.into_iter().map(|(name, _)| name).collect(),
        _ => Vec::new(),
    }
}

/// Hands on values of which none is empty.
fn sample<T>(with: impl FnOnce(&Values<'_>) -> T) -> T {
    let texts = ["a sample text".to_owned()];
    with(&Values {
        prompt: "a prompt",
        summary: "a summary",
        exchanges: &[Exchange {
            prompt: "a prompt",
            answer: "an answer",
        }],
        documents: &["a document"],
        step: "a step",
        contributions: &[Contribution {
            name: "a step",
            text: "what came of it",
        }],
        goals: &texts,
        discussion: "a discussion",
        objections: &texts,
        questions: &texts,
        word: "an answer",
        domain: "a field",
        most: 3,
        most_words: 100,
        shape: "{}",
        output: "{",
        wrong: "it is not finished",
    })
}

#[cfg(test)]
mod tests;
