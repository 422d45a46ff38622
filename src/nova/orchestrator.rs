//! The agents of a turn, in their order: each is told what those before it found, and the last one writes
//! the answer.

use futures_util::future::join_all;
use serde_json::Value;

use super::agent::{Task, call, conclude, conclude_json};
use super::prompts::{Contribution, Exchange, Prompts, Template, Values};
use super::shape::{Experts, Plan, Shape, Summary, Verdict, WhatIsWrong};
use super::turn::{Stop, Turn};
use crate::record::{
    ErrorCode, JsonOutcome, MemoryDocument, NovaEvent, NovaPipeline, NovaRole, NovaStage, NovaStep,
    TurnIteration,
};

/// Most goals, questions and reasons: more than a small model can keep in mind.
const MOST_POINTS: usize = 5;
/// Most experts that a model may choose.
const MOST_EXPERTS: usize = 4;
/// Most characters of an output that could not be read that a model is shown.
const MOST_SHOWN: usize = 2000;

/// What the agents of a turn are told, besides what they tell each other.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Context {
    /// What is asked.
    pub prompt: String,
    /// What the oldest turns of the session came to; empty where nothing was summed up.
    pub summary: String,
    /// Prompts and answers of the session, oldest first.
    pub exchanges: Vec<(String, String)>,
    /// What is remembered of the matter.
    pub documents: Vec<MemoryDocument>,
}

/// The same as templates take it.
struct Base<'a> {
    context: &'a Context,
    exchanges: Vec<Exchange<'a>>,
    documents: Vec<&'a str>,
}

impl<'a> Base<'a> {
    fn new(context: &'a Context) -> Self {
        let exchanges = context.exchanges.iter();
        let exchanges = exchanges.map(|(prompt, answer)| Exchange { prompt, answer });
        Self {
            exchanges: exchanges.collect(),
            documents: context.documents.iter().map(|it| &*it.text).collect(),
            context,
        }
    }

    fn values(&'a self) -> Values<'a> {
        Values {
            prompt: &self.context.prompt,
            summary: &self.context.summary,
            exchanges: &self.exchanges,
            documents: &self.documents,
            ..Values::default()
        }
    }
}

/// A step of a plan, or the field of an expert, and what came of it.
type Found = (String, String);

fn contributions(found: &[Found]) -> Vec<Contribution<'_>> {
    let each = found.iter().map(|(name, text)| Contribution { name, text });
    each.collect()
}

/// What the agents wrote.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// The answer.
    pub text: String,
    /// What they want to know from the user.
    pub questions: Vec<String>,
    /// The stage that the turn paused after.
    pub paused_after: Option<NovaStage>,
}

impl Written {
    fn paused(text: String, questions: Vec<String>, stage: NovaStage) -> Self {
        Self {
            text,
            questions,
            paused_after: Some(stage),
        }
    }
}

/// Lets agents work.
pub struct AgentOrchestrator<'a> {
    /// What they share.
    pub turn: &'a Turn,
    /// What they are told.
    pub prompts: &'a Prompts,
    /// Most steps of a plan.
    pub plan_steps: u32,
    /// Most rounds of experts.
    pub iterations: u32,
}

/// Who shall do something.
struct Place {
    role: NovaRole,
    stage: NovaStage,
    iteration: Option<u32>,
    /// The field of an expert.
    domain: Option<String>,
}

impl Place {
    fn of(role: NovaRole, stage: NovaStage) -> Self {
        Self {
            role,
            stage,
            iteration: None,
            domain: None,
        }
    }

    fn in_round(self, iteration: u32) -> Self {
        Self {
            iteration: Some(iteration),
            ..self
        }
    }

    fn task(self, prompt: String, format: Option<Value>, answers: bool) -> Task {
        let role = self.role.as_str();
        Task {
            agent_name: match &self.domain {
                Some(domain) => format!("{role}: {domain}"),
                None => role.to_owned(),
            },
            role: self.role,
            stage: self.stage,
            iteration: self.iteration,
            prompt,
            format,
            answers,
        }
    }
}

impl AgentOrchestrator<'_> {
    /// Lets the agents of a pipeline work until there is an answer, or a pause.
    pub async fn process_turn(
        &self,
        pipeline: NovaPipeline,
        context: &Context,
    ) -> Result<Written, Stop> {
        if self.pauses(NovaStage::Recall) {
            let texts: Vec<&str> = context
                .documents
                .iter()
                .map(|it| it.text.as_str())
                .collect();
            let text = texts.join("\n\n");
            return Ok(Written::paused(text, Vec::new(), NovaStage::Recall));
        }
        match pipeline {
            NovaPipeline::Turn => self.plan_and_execute(context).await,
            NovaPipeline::NovaProcess => self.deliberate(context).await,
        }
    }

    fn pauses(&self, stage: NovaStage) -> bool {
        self.turn.request.pause_after == Some(stage)
    }

    async fn plan_and_execute(&self, context: &Context) -> Result<Written, Stop> {
        let (turn, base) = (self.turn, Base::new(context));
        turn.enter(NovaStage::Planning);
        let most = self.plan_steps as usize;
        let wanted = Wanted {
            place: Place::of(NovaRole::Planner, NovaStage::Planning),
            template: Template::Planning,
            most,
        };
        let fallback = |_: &WhatIsWrong| Plan::fallback(&context.prompt);
        let plan = self.structured(wanted, base.values(), fallback).await?;
        if self.pauses(NovaStage::Planning) {
            let text = numbered(&plan.steps);
            return Ok(Written::paused(text, Vec::new(), NovaStage::Planning));
        }
        turn.enter(NovaStage::Execution);
        let mut found: Vec<Found> = Vec::new();
        // What a plan of one step brings is the answer itself.
        let steps = if plan.steps.len() > 1 {
            plan.steps
        } else {
            Vec::new()
        };
        for (step, number) in steps.into_iter().zip(1..) {
            let done = contributions(&found);
            let values = Values {
                step: &step,
                contributions: &done,
                ..base.values()
            };
            let prompt = self.render(Template::ExecutionStep, &values)?;
            let place = Place::of(NovaRole::Executor, NovaStage::Execution).in_round(number);
            let output = self.text(place.task(prompt, None, false)).await?;
            found.push((step, output));
        }
        let done = contributions(&found);
        let values = Values {
            contributions: &done,
            ..base.values()
        };
        let prompt = self.render(Template::ExecutionAnswer, &values)?;
        let place = Place::of(NovaRole::Executor, NovaStage::Execution);
        let text = self.text(place.task(prompt, None, true)).await?;
        Ok(Written {
            text,
            ..Written::default()
        })
    }

    async fn deliberate(&self, context: &Context) -> Result<Written, Stop> {
        let (turn, base) = (self.turn, Base::new(context));
        turn.enter(NovaStage::ProblemUnpacking);
        let wanted = Wanted {
            place: Place::of(NovaRole::Dce, NovaStage::ProblemUnpacking),
            template: Template::ProblemUnpacking,
            most: MOST_POINTS,
        };
        let fallback = |_: &WhatIsWrong| Summary::fallback(&context.prompt);
        let mut talk = Talk {
            state: self.structured(wanted, base.values(), fallback).await?,
            found: Vec::new(),
            objections: Vec::new(),
        };
        if self.pauses(NovaStage::ProblemUnpacking) {
            return Ok(talk.paused(NovaStage::ProblemUnpacking));
        }
        let domains = self.assemble(&base, &talk).await?;
        if self.pauses(NovaStage::ExpertiseAssembly) {
            let stage = NovaStage::ExpertiseAssembly;
            return Ok(Written::paused(domains.join("\n"), Vec::new(), stage));
        }
        turn.enter(NovaStage::CollaborativeIdeation);
        for iteration in 1..=self.iterations {
            let verdict = self.round(&base, &mut talk, &domains, iteration).await?;
            // In the first round the critic has heard no expert yet.
            let converged = verdict.converged && iteration > 1;
            talk.objections.clone_from(&verdict.reasons);
            talk.state = self.sum_up(&base, &talk, iteration).await?;
            turn.log.announce(NovaEvent::Iteration(TurnIteration {
                iteration,
                at_most: self.iterations,
                converged,
                reasons: verdict.reasons,
            }));
            if converged {
                break;
            }
        }
        if self.pauses(NovaStage::CollaborativeIdeation) {
            return Ok(talk.paused(NovaStage::CollaborativeIdeation));
        }
        turn.enter(NovaStage::Synthesis);
        let said = contributions(&talk.found);
        let prompt = self.render(Template::Synthesis, &talk.values(&base, &said))?;
        let place = Place::of(NovaRole::Dce, NovaStage::Synthesis);
        let text = self.text(place.task(prompt, None, true)).await?;
        Ok(Written {
            text,
            questions: talk.state.questions,
            paused_after: None,
        })
    }

    /// The fields of the experts: those asked for, else those that a model finds.
    async fn assemble(&self, base: &Base<'_>, talk: &Talk) -> Result<Vec<String>, Stop> {
        let given = &self.turn.request.domains;
        if !given.is_empty() {
            return Ok(given.clone());
        }
        self.turn.enter(NovaStage::ExpertiseAssembly);
        let wanted = Wanted {
            place: Place::of(NovaRole::Dce, NovaStage::ExpertiseAssembly),
            template: Template::ExpertiseAssembly,
            most: MOST_EXPERTS,
        };
        let fallback = |_: &WhatIsWrong| Experts::fallback(given);
        let values = talk.values(base, &[]);
        let experts = self.structured(wanted, values, fallback).await?;
        Ok(experts.experts)
    }

    /// Experts and critic at the same time, as far as their backends work on several calls at once.
    async fn round(
        &self,
        base: &Base<'_>,
        talk: &mut Talk,
        domains: &[String],
        iteration: u32,
    ) -> Result<Verdict, Stop> {
        let stage = NovaStage::CollaborativeIdeation;
        let mut tasks = Vec::new();
        for domain in domains {
            let place = Place {
                domain: Some(domain.clone()),
                ..Place::of(NovaRole::Expert, stage).in_round(iteration)
            };
            let values = Values {
                domain,
                ..talk.values(base, &[])
            };
            let prompt = self.render(Template::ExpertIdeation, &values)?;
            tasks.push(place.task(prompt, None, false));
        }
        let experts = join_all(tasks.into_iter().map(|task| self.text(task)));
        let wanted = Wanted {
            place: Place::of(NovaRole::Cae, stage).in_round(iteration),
            template: Template::CriticIdeation,
            most: MOST_POINTS,
        };
        let said = contributions(&talk.found);
        let critic = self.structured(wanted, talk.values(base, &said), Verdict::fallback);
        let (experts, verdict) = tokio::join!(experts, critic);
        let named = domains.iter().cloned().zip(experts);
        let found = named.map(|(domain, text)| text.map(|text| (domain, text)));
        let found: Vec<Found> = found.collect::<Result<_, _>>()?;
        talk.found = found;
        verdict
    }

    async fn sum_up(&self, base: &Base<'_>, talk: &Talk, round: u32) -> Result<Summary, Stop> {
        let stage = NovaStage::CollaborativeIdeation;
        let wanted = Wanted {
            place: Place::of(NovaRole::Dce, stage).in_round(round),
            template: Template::RoundSummary,
            most: MOST_POINTS,
        };
        let said = contributions(&talk.found);
        let texts: Vec<&str> = talk.found.iter().map(|(_, text)| text.as_str()).collect();
        let texts = texts.join("\n");
        let fallback = |_: &WhatIsWrong| Summary {
            goals: talk.state.goals.clone(),
            ..Summary::fallback(&texts)
        };
        let values = talk.values(base, &said);
        self.structured(wanted, values, fallback).await
    }

    fn render(&self, template: Template, values: &Values<'_>) -> Result<String, Stop> {
        let rendered = self.prompts.render(template, values);
        rendered.map_err(|error| Stop::failed(ErrorCode::Server, error.to_string()))
    }

    /// A call for which text is asked.
    async fn text(&self, task: Task) -> Result<String, Stop> {
        let step = call(self.turn, &task).await?;
        conclude(self.turn, step).await
    }

    /// A call for which JSON of a shape is asked. What cannot be read is asked for once more, with what is
    /// wrong with it; then a rule stands in, and the step says so.
    async fn structured<T: Shape>(
        &self,
        wanted: Wanted,
        values: Values<'_>,
        fallback: impl FnOnce(&WhatIsWrong) -> T,
    ) -> Result<T, Stop> {
        let Wanted {
            place,
            template,
            most,
        } = wanted;
        let shape = T::example().to_string();
        let values = Values {
            most,
            shape: &shape,
            ..values
        };
        let prompt = self.render(template, &values)?;
        let task = place.task(prompt, Some(T::schema(most)), false);
        let step = call(self.turn, &task).await?;
        let (wrong, written) = match self.read::<T>(step, most, JsonOutcome::Asked).await? {
            Ok(value) => return Ok(value),
            Err(unread) => unread,
        };
        // Of what is very long, the beginning shows what is wrong with it.
        let written: String = written.chars().take(MOST_SHOWN).collect();
        let values = Values {
            output: &written,
            wrong: &wrong.to_string(),
            ..values
        };
        let again = Task {
            prompt: self.render(Template::Repair, &values)?,
            ..task
        };
        let step = call(self.turn, &again).await?;
        let read = self.read::<T>(step, most, JsonOutcome::Repaired).await?;
        Ok(read.unwrap_or_else(|(wrong, _)| fallback(&wrong)))
    }

    /// Reads what a step wrote, and keeps the step with what that came to; else what is wrong with it, and
    /// what it wrote.
    async fn read<T: Shape>(
        &self,
        step: NovaStep,
        most: usize,
        good: JsonOutcome,
    ) -> Result<Result<T, (WhatIsWrong, String)>, Stop> {
        let is_empty = |step: &NovaStep| {
            let error = step.error.as_ref();
            error.is_some_and(|it| it.code == ErrorCode::EmptyOutput)
        };
        if !step.success && !is_empty(&step) {
            conclude(self.turn, step).await?;
            return Err(Stop::Cancelled);
        }
        let written = step.output.clone();
        match T::read(&written, most) {
            Ok(value) => {
                conclude_json(self.turn, step, good, None).await?;
                Ok(Ok(value))
            }
            Err(wrong) => {
                let bad = match good {
                    JsonOutcome::Asked => JsonOutcome::Unreadable,
                    _ => JsonOutcome::FellBack,
                };
                let note = format!("the output cannot be used: {wrong}");
                conclude_json(self.turn, step, bad, Some(note)).await?;
                Ok(Err((wrong, written)))
            }
        }
    }
}

/// JSON that is wanted.
struct Wanted {
    place: Place,
    template: Template,
    /// Most elements of its lists.
    most: usize,
}

/// What experts and critic have said.
struct Talk {
    state: Summary,
    /// What each expert said last.
    found: Vec<Found>,
    /// What the critic said last.
    objections: Vec<String>,
}

impl Talk {
    fn values<'a>(&'a self, base: &'a Base<'_>, said: &'a [Contribution<'a>]) -> Values<'a> {
        Values {
            goals: &self.state.goals,
            discussion: &self.state.summary,
            objections: &self.objections,
            contributions: said,
            ..base.values()
        }
    }

    fn paused(self, stage: NovaStage) -> Written {
        Written::paused(told(&self.state), self.state.questions, stage)
    }
}

fn numbered(steps: &[String]) -> String {
    let lines = steps.iter().zip(1..);
    let lines: Vec<String> = lines
        .map(|(step, number)| format!("{number}. {step}"))
        .collect();
    lines.join("\n")
}

/// A summary, its goals and its questions in words.
fn told(state: &Summary) -> String {
    let goals = state.goals.iter().map(|goal| format!("- {goal}"));
    let questions = state
        .questions
        .iter()
        .map(|question| format!("? {question}"));
    let lines: Vec<String> = std::iter::once(state.summary.clone())
        .chain(goals)
        .chain(questions)
        .collect();
    lines.join("\n")
}
