//! Ask agents: one way in for prompts; sessions, turns and memory beside it.

use poem::http::header;
use poem::web::Data;
use poem_openapi::param::{Header, Path, Query};
use poem_openapi::{ApiResponse, Enum, Object, OpenApi, ResponseContent};
use serde::{Deserialize, Serialize};

use super::benchmarks::{next_link, parse_event_id, parse_id, parse_optional_id};
use super::following::Events;
use super::payload::{Answer, Body, Markdown};
use super::problem::{Failure, Problem};
use super::prompts::Deleted;
use super::{ClientGone, Part};
use crate::app::App;
use crate::record::{
    FieldError, MemoryDocument, NewMemory, NewSession, NovaCheckpoint, NovaEvent, NovaRequest,
    NovaResponse, NovaSession, NovaTurn, SessionPatch,
};

/// The routes of asking and of turns.
pub struct Nova;

/// The routes of sessions.
pub struct Sessions;

/// The routes of memory.
pub struct Memory;

/// What came of a prompt, at its end or as it comes.
#[expect(clippy::large_enum_variant, reason = "there is one an answer")]
#[derive(ResponseContent)]
enum Told {
    /// At its end.
    Whole(Answer<NovaResponse>),
    /// As it comes.
    Events(Events<NovaEvent>),
}

/// A prompt was answered, or a turn has ended otherwise.
#[derive(ApiResponse)]
enum Asked {
    /// What came of it; how it ended is its `status`.
    #[oai(status = 200)]
    Turn(Told),
}

/// A session is there now.
#[derive(ApiResponse)]
enum Begun {
    /// The session.
    #[oai(status = 201)]
    Session(
        Answer<NovaSession>,
        /// Where it is.
        #[oai(header = "Location")]
        String,
    ),
}

/// A page of sessions.
#[derive(ApiResponse)]
enum SessionList {
    /// The sessions, the ones in which something happened last first.
    #[oai(status = 200)]
    Page(
        Answer<Vec<NovaSession>>,
        /// The next page, `<…>; rel="next"`; absent on the last.
        #[oai(header = "Link")]
        Option<String>,
    ),
}

/// A page of what is remembered.
#[derive(ApiResponse)]
enum MemoryList {
    /// The documents, newest first.
    #[oai(status = 200)]
    Page(
        Answer<Vec<MemoryDocument>>,
        /// The next page, `<…>; rel="next"`; absent on the last.
        #[oai(header = "Link")]
        Option<String>,
    ),
}

/// A document was kept.
#[derive(ApiResponse)]
enum Kept {
    /// The document.
    #[oai(status = 201)]
    Document(Answer<MemoryDocument>),
}

/// As what a session is exported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Enum)]
#[oai(rename_all = "snake_case")]
enum SessionFormat {
    /// To begin one like it.
    #[default]
    Json,
    /// To read.
    Markdown,
}

/// A whole session.
#[expect(clippy::large_enum_variant, reason = "there is one an answer")]
#[derive(ResponseContent)]
enum ExportedSession {
    /// To begin one like it.
    Checkpoint(Answer<NovaCheckpoint>),
    /// To read.
    Text(Markdown),
}

/// A session was exported.
#[derive(ApiResponse)]
enum SessionExport {
    /// The session, in the format that was asked for.
    #[oai(status = 200)]
    Whole(ExportedSession),
}

/// Where a session is to be branched off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Object)]
#[serde(deny_unknown_fields)]
pub struct ForkRequest {
    /// The last turn of the branch, from 1; 0 begins it with none.
    pub turn: u32,
}

/// What was deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Object)]
pub struct Forgotten {
    /// How many documents are gone.
    pub deleted: u64,
}

fn begun(session: NovaSession) -> Begun {
    let location = format!("/api/nova/sessions/{}", session.id);
    Begun::Session(Answer(session), location)
}

fn check_limit(limit: Option<u32>) -> Result<u32, Problem> {
    match limit {
        Some(limit) if !(1..=500).contains(&limit) => Err(Problem::invalid(vec![FieldError {
            pointer: "/limit".into(),
            message: "must be from 1 to 500".into(),
        }])),
        limit => Ok(limit.unwrap_or_default()),
    }
}

/// Over when the client of a request has closed its connection.
pub fn client_gone(http: &poem::Request) -> impl Future<Output = ()> + use<> {
    let gone = http.extensions().get::<ClientGone>().cloned();
    async move {
        match &gone {
            Some(ClientGone(gone)) => gone.cancelled().await,
            None => std::future::pending().await,
        }
    }
}

#[OpenApi]
impl Nova {
    /// Ask the agents
    ///
    /// Answers when the turn has ended, with its steps and what each cost; how it ended is its `status`.
    /// With `stream`, or where `Accept` names `text/event-stream`, everything is told as it happens, and
    /// `turn_finished` is the last. Who waits for the whole answer and goes away stops the turn; who
    /// listens to events does not.
    #[oai(
        path = "/api/nova/ask",
        method = "post",
        tag = "Part::Nova",
        operation_id = "askNova"
    )]
    async fn ask(
        &self,
        app: Data<&App>,
        http: &poem::Request,
        request: Body<NovaRequest>,
    ) -> Result<Asked, Failure> {
        // No parameter of the document: OpenAPI has this header ignored there.
        let accepts = http.header(header::ACCEPT).unwrap_or_default();
        let streams = request.0.stream || accepts.contains("text/event-stream");
        let id = app.ask(request.0).await?.response.turn_id;
        if streams {
            let events = app.own_turn_events(&id, None).await?;
            return Ok(Asked::Turn(Told::Events(Events::new(
                &app,
                events,
                NovaEvent::name,
            ))));
        }
        let turn = app.wait_for_turn(&id, client_gone(http)).await?;
        Ok(Asked::Turn(Told::Whole(Answer(turn.response))))
    }

    /// Follow a turn
    ///
    /// Server-sent events, from the start or after `Last-Event-ID`; also of turns that have ended. What happens
    /// within 50 ms is sent together. Where the events after an id are not known one by one any more, since
    /// very many came, all that are known come from the start again, with `turn_started`.
    #[oai(
        path = "/api/nova/turns/:id/events",
        method = "get",
        tag = "Part::Nova",
        operation_id = "followTurn"
    )]
    async fn events(
        &self,
        app: Data<&App>,
        /// Id of the turn, 24 hexadecimal digits.
        id: Path<String>,
        /// Id of the last event that was seen.
        #[oai(name = "Last-Event-ID")]
        last_event_id: Header<Option<String>>,
        /// The same, for who cannot send the header; where both are there, the header counts.
        after: Query<Option<String>>,
    ) -> Result<Events<NovaEvent>, Failure> {
        let after = parse_event_id(last_event_id.0, after.0)?;
        let events = app.turn_events(&parse_id(&id)?, after).await?;
        Ok(Events::new(&app, events, NovaEvent::name))
    }

    /// Stop a turn
    ///
    /// Closes the connections to the model servers at once; what was written until then stays, and the
    /// answer says after how many milliseconds they were closed. A turn that has ended stays as it is.
    #[oai(
        path = "/api/nova/turns/:id/cancel",
        method = "post",
        tag = "Part::Nova",
        operation_id = "cancelTurn"
    )]
    async fn cancel(
        &self,
        app: Data<&App>,
        /// Id of the turn, 24 hexadecimal digits.
        id: Path<String>,
    ) -> Result<Answer<NovaResponse>, Failure> {
        let turn = app.cancel_turn(&parse_id(&id)?).await?;
        Ok(Answer(turn.response))
    }
}

#[OpenApi]
impl Sessions {
    /// Begin a session
    #[oai(
        path = "/api/nova/sessions",
        method = "post",
        tag = "Part::Nova",
        operation_id = "beginSession"
    )]
    async fn begin(&self, app: Data<&App>, session: Body<NewSession>) -> Result<Begun, Failure> {
        Ok(begun(app.begin_session(session.0).await?))
    }

    /// List sessions, the ones in which something happened last first
    #[oai(
        path = "/api/nova/sessions",
        method = "get",
        tag = "Part::Nova",
        operation_id = "listSessions"
    )]
    async fn list(
        &self,
        app: Data<&App>,
        request: &poem::Request,
        /// Sessions a page, 1 to 500; 50 where absent.
        limit: Query<Option<u32>>,
        /// Where the page before ended; take it from its `Link` header.
        cursor: Query<Option<String>>,
    ) -> Result<SessionList, Failure> {
        let limit = check_limit(limit.0)?;
        let page = app.nova_sessions(limit, cursor.0.as_deref()).await?;
        let query = request.uri().query();
        let link = |cursor: String| next_link("/api/nova/sessions", query, &cursor);
        let link = page.next.map(link);
        Ok(SessionList::Page(Answer(page.sessions), link))
    }

    /// Show a session
    #[oai(
        path = "/api/nova/sessions/:id",
        method = "get",
        tag = "Part::Nova",
        operation_id = "getSession"
    )]
    async fn show(
        &self,
        app: Data<&App>,
        /// Id of the session, 24 hexadecimal digits.
        id: Path<String>,
    ) -> Result<Answer<NovaSession>, Failure> {
        Ok(Answer(app.nova_session(&parse_id(&id)?).await?))
    }

    /// Change a session
    #[oai(
        path = "/api/nova/sessions/:id",
        method = "patch",
        tag = "Part::Nova",
        operation_id = "changeSession"
    )]
    async fn change(
        &self,
        app: Data<&App>,
        /// Id of the session, 24 hexadecimal digits.
        id: Path<String>,
        patch: Body<SessionPatch>,
    ) -> Result<Answer<NovaSession>, Failure> {
        Ok(Answer(app.change_session(&parse_id(&id)?, patch.0).await?))
    }

    /// Delete a session with its turns and what only it recalls
    #[oai(
        path = "/api/nova/sessions/:id",
        method = "delete",
        tag = "Part::Nova",
        operation_id = "deleteSession"
    )]
    async fn delete(
        &self,
        app: Data<&App>,
        /// Id of the session, 24 hexadecimal digits.
        id: Path<String>,
    ) -> Result<Deleted, Failure> {
        app.delete_session(&parse_id(&id)?).await?;
        Ok(Deleted::Gone)
    }

    /// List the turns of a session, without their steps
    #[oai(
        path = "/api/nova/sessions/:id/turns",
        method = "get",
        tag = "Part::Nova",
        operation_id = "listTurns"
    )]
    async fn turns(
        &self,
        app: Data<&App>,
        /// Id of the session, 24 hexadecimal digits.
        id: Path<String>,
        /// Only turns after the one with this number.
        after: Query<Option<u32>>,
        /// Most turns, 1 to 500; 500 where absent.
        limit: Query<Option<u32>>,
    ) -> Result<Answer<Vec<NovaTurn>>, Failure> {
        check_limit(limit.0)?;
        let after = after.0.unwrap_or_default();
        Ok(Answer(app.turns(&parse_id(&id)?, after, limit.0).await?))
    }

    /// Show a turn with every step and chunk
    #[oai(
        path = "/api/nova/sessions/:id/turns/:turn",
        method = "get",
        tag = "Part::Nova",
        operation_id = "getTurn"
    )]
    async fn turn(
        &self,
        app: Data<&App>,
        /// Id of the session, 24 hexadecimal digits.
        id: Path<String>,
        /// The turn's number, from 1, or its id.
        turn: Path<String>,
    ) -> Result<Answer<NovaTurn>, Failure> {
        Ok(Answer(app.turn_of(&parse_id(&id)?, &turn).await?))
    }

    /// Close a session: it can be read, branched off and exported
    #[oai(
        path = "/api/nova/sessions/:id/close",
        method = "post",
        tag = "Part::Nova",
        operation_id = "closeSession"
    )]
    async fn close(
        &self,
        app: Data<&App>,
        /// Id of the session, 24 hexadecimal digits.
        id: Path<String>,
    ) -> Result<Answer<NovaSession>, Failure> {
        Ok(Answer(app.close_session(&parse_id(&id)?).await?))
    }

    /// Branch a session off at a turn
    #[oai(
        path = "/api/nova/sessions/:id/fork",
        method = "post",
        tag = "Part::Nova",
        operation_id = "forkSession"
    )]
    async fn fork(
        &self,
        app: Data<&App>,
        /// Id of the session, 24 hexadecimal digits.
        id: Path<String>,
        fork: Body<ForkRequest>,
    ) -> Result<Begun, Failure> {
        Ok(begun(app.fork_session(&parse_id(&id)?, fork.0.turn).await?))
    }

    /// Export a session
    ///
    /// A checkpoint: everything that is needed to begin one like it elsewhere; or a text to read.
    #[oai(
        path = "/api/nova/sessions/:id/export",
        method = "get",
        tag = "Part::Nova",
        operation_id = "exportSession"
    )]
    async fn export(
        &self,
        app: Data<&App>,
        /// Id of the session, 24 hexadecimal digits.
        id: Path<String>,
        /// `json` (a checkpoint, where absent) or `markdown`.
        format: Query<Option<SessionFormat>>,
    ) -> Result<SessionExport, Failure> {
        let id = parse_id(&id)?;
        Ok(match format.0.unwrap_or_default() {
            SessionFormat::Json => {
                let checkpoint = app.export_session(&id).await?;
                SessionExport::Whole(ExportedSession::Checkpoint(Answer(checkpoint)))
            }
            SessionFormat::Markdown => {
                let text = Markdown(app.session_text(&id).await?);
                SessionExport::Whole(ExportedSession::Text(text))
            }
        })
    }

    /// Begin a session with what is in a checkpoint
    #[oai(
        path = "/api/nova/sessions/import",
        method = "post",
        tag = "Part::Nova",
        operation_id = "importSession"
    )]
    async fn import(
        &self,
        app: Data<&App>,
        checkpoint: Body<NovaCheckpoint>,
    ) -> Result<Begun, Failure> {
        Ok(begun(app.import_session(checkpoint.0).await?))
    }
}

#[OpenApi]
impl Memory {
    /// List what the agents remember, newest first
    #[oai(
        path = "/api/nova/memory",
        method = "get",
        tag = "Part::Nova",
        operation_id = "listMemory"
    )]
    async fn list(
        &self,
        app: Data<&App>,
        request: &poem::Request,
        /// Only what this session recalls.
        session: Query<Option<String>>,
        /// Documents a page, 1 to 500; 50 where absent.
        limit: Query<Option<u32>>,
        /// Where the page before ended; take it from its `Link` header.
        cursor: Query<Option<String>>,
    ) -> Result<MemoryList, Failure> {
        let limit = check_limit(limit.0)?;
        let session = parse_optional_id("/session", session.0.as_deref())?;
        let page = app.memory(session, limit, cursor.0.as_deref()).await?;
        let query = request.uri().query();
        let link = |cursor: String| next_link("/api/nova/memory", query, &cursor);
        let link = page.next.map(link);
        Ok(MemoryList::Page(Answer(page.documents), link))
    }

    /// Keep a document for the agents to recall
    #[oai(
        path = "/api/nova/memory",
        method = "post",
        tag = "Part::Nova",
        operation_id = "addMemory"
    )]
    async fn add(&self, app: Data<&App>, document: Body<NewMemory>) -> Result<Kept, Failure> {
        Ok(Kept::Document(Answer(app.remember(document.0).await?)))
    }

    /// Look through what the agents remember
    ///
    /// By embeddings where there is a model for them, else by words; each document says why it was found.
    #[oai(
        path = "/api/nova/memory/search",
        method = "get",
        tag = "Part::Nova",
        operation_id = "searchMemory"
    )]
    async fn search(
        &self,
        app: Data<&App>,
        /// What is looked for.
        q: Query<String>,
        /// Only what this session recalls.
        session: Query<Option<String>>,
        /// Most documents, 1 to 50; 10 where absent.
        limit: Query<Option<u32>>,
    ) -> Result<Answer<Vec<MemoryDocument>>, Failure> {
        let session = parse_optional_id("/session", session.0.as_deref())?;
        Ok(Answer(app.search_memory(&q.0, session, limit.0).await?))
    }

    /// Delete a document
    #[oai(
        path = "/api/nova/memory/:id",
        method = "delete",
        tag = "Part::Nova",
        operation_id = "deleteMemory"
    )]
    async fn delete(
        &self,
        app: Data<&App>,
        /// Id of the document, 24 hexadecimal digits.
        id: Path<String>,
    ) -> Result<Deleted, Failure> {
        app.forget(&parse_id(&id)?).await?;
        Ok(Deleted::Gone)
    }

    /// Delete every document that all sessions recall
    #[oai(
        path = "/api/nova/memory",
        method = "delete",
        tag = "Part::Nova",
        operation_id = "clearMemory"
    )]
    async fn clear(&self, app: Data<&App>) -> Result<Answer<Forgotten>, Failure> {
        let deleted = app.forget_all().await?;
        Ok(Answer(Forgotten { deleted }))
    }
}
