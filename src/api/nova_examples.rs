//! Examples of what agents are asked and answer, for the OpenAPI document.

use super::examples::{Examples, id, moment, queued};
use super::nova::{Forgotten, ForkRequest};
use sha2::{Digest, Sha256};

use crate::record::{
    BenchmarkResult, DifferenceKind, Execution, MemoryDocument, NewMemory, NewSession,
    NovaCheckpoint, NovaEvent, NovaMetrics, NovaPipeline, NovaRequest, NovaResponse, NovaRole,
    NovaSession, NovaSetting, NovaStage, NovaState, NovaStatus, NovaStep, NovaTurn, Parameters,
    PinnedCall, RecallReason, ReplayMode, ReplayReport, ReplayedStep, RoleModel, SessionBenchmark,
    SessionPatch, SessionReplay, SessionStep, StepDifference, StepHashes, TextDifference,
    TokensArrived, TurnAccounting, TurnFinished, TurnReplay, TurnReplayMode, TurnStarted,
};

/// The examples of an operation, whose step is what was measured of a request; empty where it neither
/// takes nor gives anything.
pub fn of(operation: &str, result: &BenchmarkResult) -> Examples {
    let turn = || turn(result);
    match operation {
        "askNova" => Examples {
            events: Some(serde_json::json!(events(&turn()))),
            ..Examples::exchange(turn().request, turn().response)
        },
        "followTurn" => Examples::answer(events(&turn())),
        "cancelTurn" => Examples::answer(cancelled(turn().response)),
        "listTurns" => {
            let mut turn = turn();
            turn.response.steps.clear();
            Examples::answer([turn])
        }
        "getTurn" => Examples::answer(turn()),
        "benchmarkSession" => {
            let wanted = SessionBenchmark {
                models: vec!["llama3.2:1b".into(), "qwen3:0.6b".into()],
                mode: ReplayMode::Pinned,
                repetitions: 3,
                warmup: 1,
                execution: Execution::Interleaved,
                timeout: None,
                name: Some("The sky on two models".into()),
                tags: Vec::new(),
            };
            let replay = replay(&turn());
            let prompts = vec![result.prompt.clone()];
            let request = wanted.clone().request(prompts, replay, "");
            Examples::exchange(wanted, queued(request))
        }
        "replayTurn" => {
            let turn = turn();
            let wanted = TurnReplay {
                mode: TurnReplayMode::Rerun,
                model: Some("qwen3:0.6b".into()),
            };
            Examples::exchange(wanted, replayed(&turn))
        }
        "exportSession" => Examples::answer(checkpoint(turn())),
        "importSession" => Examples::exchange(checkpoint(turn()), session()),
        other => of_keeping(other),
    }
}

/// The same of what is kept: sessions by themselves, and the memory.
fn of_keeping(operation: &str) -> Examples {
    match operation {
        "beginSession" => {
            let wanted = NewSession {
                title: Some("The sky".into()),
                ..NewSession::default()
            };
            Examples::exchange(wanted, session())
        }
        "listSessions" => Examples::answer([session()]),
        "getSession" | "closeSession" => Examples::answer(session()),
        "changeSession" => {
            let patch = SessionPatch {
                title: Some("The sky".into()),
                ..SessionPatch::default()
            };
            Examples::exchange(patch, session())
        }
        "forkSession" => Examples::exchange(ForkRequest { turn: 1 }, session()),
        "listMemory" => Examples::answer([MemoryDocument {
            score: None,
            found_by: None,
            reason: None,
            ..document()
        }]),
        "searchMemory" => Examples::answer([document()]),
        "addMemory" => {
            let wanted = NewMemory {
                text: document().text,
                tags: document().tags,
                session_id: None,
            };
            Examples::exchange(wanted, document())
        }
        "clearMemory" => Examples::answer(Forgotten { deleted: 3 }),
        _ => Examples::default(),
    }
}

fn replay(turn: &NovaTurn) -> SessionReplay {
    let steps = turn.response.steps.iter();
    let calls = steps.map(|step| PinnedCall {
        step: SessionStep::of(turn.number, step),
        parameters: step.parameters.clone(),
        format: step.format.clone(),
    });
    SessionReplay {
        session_id: id(),
        mode: ReplayMode::Pinned,
        calls: calls.collect(),
        turns: Vec::new(),
    }
}

/// A turn that another model carried out in another way.
fn replayed(turn: &NovaTurn) -> ReplayReport {
    let response = &turn.response;
    let hashes = |output: &str| StepHashes {
        prompt_sha256: hex::encode(Sha256::digest("Why is the sky blue?")),
        output_sha256: hex::encode(Sha256::digest(output)),
    };
    let text = "Light is scattered.";
    let steps = response.steps.iter().map(|step| ReplayedStep {
        number: step.number,
        agent_name: step.agent_name.clone(),
        role: step.role,
        stage: step.stage,
        iteration: step.iteration,
        model: Some("qwen3:0.6b@ollama".into()),
        hashes: hashes(text),
        identical: false,
    });
    ReplayReport {
        session_id: response.session_id.clone(),
        turn_id: response.turn_id.clone(),
        number: turn.number,
        mode: TurnReplayMode::Rerun,
        identical: false,
        status: NovaStatus::Completed,
        text: text.into(),
        recorded_text_sha256: hashes(&response.text).output_sha256,
        text_sha256: hashes(text).output_sha256,
        first_difference: Some(StepDifference {
            step: Some(2),
            agent_name: "executor".into(),
            kind: DifferenceKind::Output,
            recorded: Some(hashes(&response.text)),
            replayed: Some(hashes(text)),
            text: Some(TextDifference {
                word: 2,
                character: 7,
                baseline: response.text.clone(),
                candidate: text.into(),
            }),
        }),
        steps: steps.collect(),
        error: None,
    }
}

fn session() -> NovaSession {
    let wanted = NewSession {
        title: Some("The sky".into()),
        model: Some("llama3.2:1b".into()),
        ..NewSession::default()
    };
    NovaSession {
        turns: 1,
        ..NovaSession::new(id(), moment(), wanted)
    }
}

fn document() -> MemoryDocument {
    MemoryDocument {
        id: id(),
        text: "Short waves of light are scattered more than long ones.".into(),
        tags: vec!["optics".into()],
        created_at: moment(),
        session_id: None,
        embedding_model: None,
        score: Some(0.5),
        found_by: Some(RecallReason::FullText),
        reason: Some("it has the words light".into()),
    }
}

fn step(result: &BenchmarkResult) -> NovaStep {
    NovaStep {
        number: 2,
        agent_name: "executor".into(),
        role: NovaRole::Executor,
        stage: NovaStage::Execution,
        iteration: None,
        input: result.prompt.clone(),
        output: result.response.clone(),
        thinking: None,
        timestamp: result.timestamp,
        elapsed_time_ms: 172.4,
        offset: 0.211,
        queue_time: 0.0,
        model: Some(result.model.clone()),
        backend: Some(result.backend.clone()),
        backend_version: Some("0.12.6".into()),
        digest: None,
        parameters: Parameters {
            num_ctx: Some(4096),
            num_predict: Some(1024),
            seed: Some(7),
            ..Parameters::default()
        },
        format: None,
        json: None,
        prompt_sha256: Some(result.response_sha256.clone()),
        output_sha256: result.response_sha256.clone(),
        prompt_truncated: false,
        partial: false,
        success: true,
        error: None,
        done_reason: result.done_reason.clone(),
        contended: false,
        timing: result.timing.clone(),
        throughput: result.throughput.clone(),
        system_impact: result.system_impact.clone(),
        energy: None,
        documents: Vec::new(),
        notes: Vec::new(),
        chunks: result.chunks.clone(),
    }
}

fn turn(result: &BenchmarkResult) -> NovaTurn {
    let step = step(result);
    NovaTurn {
        number: 1,
        timestamp: moment(),
        finished_at: Some(moment()),
        pipeline: NovaPipeline::Turn,
        request: NovaRequest::new("Why is the sky blue?"),
        response: NovaResponse {
            text: step.output.clone(),
            chain_of_thought: vec![step.output.clone()],
            metrics: NovaMetrics {
                wall_time: Some(0.384),
                time_to_first_chunk: Some(0.333),
                model_calls: 1,
                prompt_tokens: Some(31),
                output_tokens: Some(4),
                accounting: Some(TurnAccounting {
                    model: 0.381,
                    queue: 0.0,
                    memory: 0.002,
                    overhead: 0.001,
                }),
                ..NovaMetrics::default()
            },
            session_id: id(),
            turn_id: id(),
            status: NovaStatus::Completed,
            status_reason: None,
            state: NovaState {
                turns: 1,
                context_size: Some(4096),
                context_used: Some(35),
                memory_documents: vec![document()],
                ..NovaState::default()
            },
            steps: vec![step],
            questions: Vec::new(),
            error: None,
        },
        setting: Some(setting()),
    }
}

fn setting() -> NovaSetting {
    let model = RoleModel {
        model: "llama3.2:1b@ollama".into(),
        digest: None,
        parameters: Parameters {
            num_ctx: Some(4096),
            num_predict: Some(1024),
            ..Parameters::default()
        },
        context_size: 4096,
        most_output: 1024,
    };
    let roles = NovaRole::ALL.into_iter();
    NovaSetting {
        models: roles
            .map(|role| (role.as_str().to_owned(), model.clone()))
            .collect(),
        plan_steps: 4,
        iterations: 3,
        counted_characters: 0,
        counted_tokens: 0,
        summary: None,
    }
}

fn cancelled(mut response: NovaResponse) -> NovaResponse {
    response.status = NovaStatus::Cancelled;
    response.metrics.cancelled_after_ms = Some(1.8);
    response
}

fn events(turn: &NovaTurn) -> [NovaEvent; 3] {
    let mut response = turn.response.clone();
    for step in &mut response.steps {
        step.chunks = None;
    }
    [
        NovaEvent::TurnStarted(TurnStarted {
            session_id: id(),
            turn_id: id(),
            number: 1,
            pipeline: NovaPipeline::Turn,
        }),
        NovaEvent::Token(TokensArrived {
            step: 2,
            text: "Light".into(),
            thinking: String::new(),
            answers: true,
            chunks: 1,
            offset: 1.25,
        }),
        NovaEvent::TurnFinished(TurnFinished { response }),
    ]
}

fn checkpoint(turn: NovaTurn) -> NovaCheckpoint {
    NovaCheckpoint {
        version: NovaCheckpoint::VERSION,
        session: session(),
        turns: vec![turn],
        memory: Vec::new(),
    }
}
