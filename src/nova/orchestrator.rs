//! The agents of a turn, in their order: each is told what those before it found, and the last one writes
//! the answer.

use futures_util::future::join_all;
use serde_json::Value;

use super::agent::{Task, call, conclude, conclude_json};
use super::budget::{self, TokenRate};
use super::contributions;
use super::pausing::{self, Resumed};
use super::prompts::{Contribution, Exchange, Prompts, Template, Values};
use super::shape::{Experts, Plan, Shape, Summary, Verdict, WhatIsWrong};
use super::turn::{Stop, Turn};
use crate::record::{
    ErrorCode, JsonOutcome, MemoryDocument, NovaEvent, NovaPipeline, NovaRole, NovaStage, NovaStep,
    PausedWork, TurnIteration,
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
pub type Found = (String, String);

/// What the agents wrote.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Written {
    /// The answer.
    pub text: String,
    /// What they want to know from the user.
    pub questions: Vec<String>,
    /// The stage that the turn paused after, and what there is until then.
    pub paused: Option<(NovaStage, PausedWork)>,
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
    /// How many tokens a text has, as far as is known.
    pub rate: TokenRate,
    /// Paused work that goes on.
    pub resumed: Option<&'a Resumed>,
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

    fn task(
        self,
        prompt: String,
        format: Option<Value>,
        answers: bool,
        notes: Vec<String>,
    ) -> Task {
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
            notes,
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
            return Ok(Written::paused(
                text,
                NovaStage::Recall,
                pausing::begun(context),
            ));
        }
        match pipeline {
            NovaPipeline::Turn => self.plan_and_execute(context).await,
            NovaPipeline::NovaProcess => self.deliberate(context).await,
        }
    }

    /// Whether the turn ends after this stage; one that was done before does not end it again.
    fn pauses(&self, stage: NovaStage) -> bool {
        self.turn.request.pause_after == Some(stage) && self.past(stage).is_none()
    }

    /// The work that goes on, where it had got past this stage.
    fn past(&self, stage: NovaStage) -> Option<&Resumed> {
        self.resumed.filter(|it| it.is_past(stage))
    }

    async fn plan_and_execute(&self, context: &Context) -> Result<Written, Stop> {
        let (turn, base) = (self.turn, Base::new(context));
        let steps = match self.past(NovaStage::Planning) {
            Some(resumed) => resumed.work.plan.clone(),
            None => self.plan(&base).await?,
        };
        if self.pauses(NovaStage::Planning) {
            let text = numbered(&steps);
            let work = PausedWork {
                plan: steps,
                ..pausing::begun(context)
            };
            return Ok(Written::paused(text, NovaStage::Planning, work));
        }
        turn.enter(NovaStage::Execution);
        let mut found: Vec<Found> = Vec::new();
        // What a plan of one step brings is the answer itself.
        let steps = if steps.len() > 1 { steps } else { Vec::new() };
        for (step, number) in steps.into_iter().zip(1..) {
            let values = Values {
                step: &step,
                ..base.values()
            };
            let place = Place::of(NovaRole::Executor, NovaStage::Execution).in_round(number);
            let (prompt, notes) = self.told(Template::ExecutionStep, &place, &found, values)?;
            let output = self.text(place.task(prompt, None, false, notes)).await?;
            found.push((step, output));
        }
        let place = Place::of(NovaRole::Executor, NovaStage::Execution);
        let (prompt, notes) =
            self.told(Template::ExecutionAnswer, &place, &found, base.values())?;
        let text = self.text(place.task(prompt, None, true, notes)).await?;
        Ok(Written {
            text,
            ..Written::default()
        })
    }

    async fn plan(&self, base: &Base<'_>) -> Result<Vec<String>, Stop> {
        self.turn.enter(NovaStage::Planning);
        let wanted = Wanted {
            place: Place::of(NovaRole::Planner, NovaStage::Planning),
            template: Template::Planning,
            most: self.plan_steps as usize,
        };
        let fallback = |_: &WhatIsWrong| Plan::fallback(&base.context.prompt);
        let plan = self
            .structured(wanted, &[], base.values(), fallback)
            .await?;
        Ok(plan.steps)
    }

    async fn unpack(&self, base: &Base<'_>) -> Result<Summary, Stop> {
        self.turn.enter(NovaStage::ProblemUnpacking);
        let wanted = Wanted {
            place: Place::of(NovaRole::Dce, NovaStage::ProblemUnpacking),
            template: Template::ProblemUnpacking,
            most: MOST_POINTS,
        };
        let fallback = |_: &WhatIsWrong| Summary::fallback(&base.context.prompt);
        self.structured(wanted, &[], base.values(), fallback).await
    }

    async fn deliberate(&self, context: &Context) -> Result<Written, Stop> {
        let (turn, base) = (self.turn, Base::new(context));
        let mut talk = match self.past(NovaStage::ProblemUnpacking) {
            Some(resumed) => Talk {
                state: resumed.state(),
                found: resumed.found(),
                objections: resumed.work.objections.clone(),
            },
            None => Talk {
                state: self.unpack(&base).await?,
                found: Vec::new(),
                objections: Vec::new(),
            },
        };
        if self.pauses(NovaStage::ProblemUnpacking) {
            return Ok(talk.paused(NovaStage::ProblemUnpacking, context, Vec::new()));
        }
        let domains = match self.past(NovaStage::ExpertiseAssembly) {
            Some(resumed) => resumed.work.domains.clone(),
            None => self.assemble(&base, &talk).await?,
        };
        if self.pauses(NovaStage::ExpertiseAssembly) {
            let written = talk.paused(NovaStage::ExpertiseAssembly, context, domains);
            return Ok(written);
        }
        if self.past(NovaStage::CollaborativeIdeation).is_none() {
            self.ideate(&base, &mut talk, &domains).await?;
        }
        if self.pauses(NovaStage::CollaborativeIdeation) {
            return Ok(talk.paused(NovaStage::CollaborativeIdeation, context, domains));
        }
        turn.enter(NovaStage::Synthesis);
        let place = Place::of(NovaRole::Dce, NovaStage::Synthesis);
        let values = talk.values(&base);
        let (prompt, notes) = self.told(Template::Synthesis, &place, &talk.found, values)?;
        let text = self.text(place.task(prompt, None, true, notes)).await?;
        Ok(Written {
            text,
            questions: talk.state.questions,
            paused: None,
        })
    }

    /// Rounds of experts and critic, until they agree or have had all of them.
    async fn ideate(
        &self,
        base: &Base<'_>,
        talk: &mut Talk,
        domains: &[String],
    ) -> Result<(), Stop> {
        let turn = self.turn;
        turn.enter(NovaStage::CollaborativeIdeation);
        for iteration in 1..=self.iterations {
            let verdict = self.round(base, talk, domains, iteration).await?;
            // In the first round the critic has heard no expert yet.
            let converged = verdict.converged && iteration > 1;
            talk.objections.clone_from(&verdict.reasons);
            talk.state = self.sum_up(base, talk, iteration).await?;
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
        Ok(())
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
        let values = talk.values(base);
        let experts = self.structured(wanted, &[], values, fallback).await?;
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
                ..talk.values(base)
            };
            let prompt = self.render(Template::ExpertIdeation, &values)?;
            tasks.push(place.task(prompt, None, false, Vec::new()));
        }
        let experts = join_all(tasks.into_iter().map(|task| self.text(task)));
        let wanted = Wanted {
            place: Place::of(NovaRole::Cae, stage).in_round(iteration),
            template: Template::CriticIdeation,
            most: MOST_POINTS,
        };
        let critic = self.structured(wanted, &talk.found, talk.values(base), Verdict::fallback);
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
        let texts: Vec<&str> = talk.found.iter().map(|(_, text)| text.as_str()).collect();
        let texts = texts.join("\n");
        let fallback = |_: &WhatIsWrong| Summary {
            goals: talk.state.goals.clone(),
            ..Summary::fallback(&texts)
        };
        self.structured(wanted, &talk.found, talk.values(base), fallback)
            .await
    }

    fn render(&self, template: Template, values: &Values<'_>) -> Result<String, Stop> {
        let rendered = self.prompts.render(template, values);
        rendered.map_err(|error| Stop::failed(ErrorCode::Server, error.to_string()))
    }

    /// A prompt with what others found, as far as that fits into the context of whoever is told it; and
    /// what was done to that.
    fn told(
        &self,
        template: Template,
        place: &Place,
        found: &[Found],
        values: Values<'_>,
    ) -> Result<(String, Vec<String>), Stop> {
        let alone = self.render(template, &values)?;
        let placed = self.turn.models.get(&place.role);
        let (Some(placed), false) = (placed, found.is_empty()) else {
            return Ok((alone, Vec::new()));
        };
        let context = budget::Context {
            num_ctx: placed.context_size,
            num_predict: Some(placed.most_output),
        };
        let room = context.room().saturating_sub(self.rate.tokens(&alone));
        let (told, notes) = contributions::fitted(found, self.rate.characters(room));
        let said: Vec<Contribution<'_>> = told
            .iter()
            .map(|(name, text)| Contribution { name, text })
            .collect();
        let values = Values {
            contributions: &said,
            ..values
        };
        Ok((self.render(template, &values)?, notes))
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
        found: &[Found],
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
        let (prompt, notes) = self.told(template, &place, found, values)?;
        let task = place.task(prompt, Some(T::schema(most)), false, notes);
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
            notes: Vec::new(),
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
    fn values<'a>(&'a self, base: &'a Base<'_>) -> Values<'a> {
        Values {
            goals: &self.state.goals,
            discussion: &self.state.summary,
            objections: &self.objections,
            ..base.values()
        }
    }

    fn paused(self, stage: NovaStage, context: &Context, domains: Vec<String>) -> Written {
        let text = match stage {
            NovaStage::ExpertiseAssembly => domains.join("\n"),
            _ => told(&self.state),
        };
        let work = PausedWork {
            summary: self.state.summary,
            goals: self.state.goals,
            questions: self.state.questions,
            domains,
            contributions: pausing::contributed(self.found),
            objections: self.objections,
            ..pausing::begun(context)
        };
        Written::paused(text, stage, work)
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
