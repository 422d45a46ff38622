//! Nova: a conversation with agents. Sessions beside it, each turn with what its agents did, and the form
//! that asks. What goes on is followed by the page's script, and without one by loading again.

mod ask_form;
mod benchmark;
mod sessions;
mod turn;
mod words;

use poem::web::{Data, Path};
use poem::{Body, Request, Response, Route, get, handler, post};
use serde_json::{Value, json};

use super::form::{Fields, encoded};
use super::run_form::{self, Messages};
use super::{page, runs, start};
use crate::api::Problem;
use crate::app::{App, AppError};
use crate::record::{NovaSession, NovaStatus, NovaTurn, SessionStatus};

/// Sessions that are listed beside a conversation.
const SESSIONS: u32 = 20;
/// Turns a page.
const TURNS: u32 = 10;

/// Adds these pages and forms to the others.
pub fn add_to(pages: Route) -> Route {
    pages
        .at("/nova", get(view_new))
        .at("/nova/:id", get(view))
        .at("/nova/:id/turns/:turn", get(view_turn))
        .at("/nova/:id/delete", get(sessions::ask_to_delete))
        .at("/nova/:id/benchmark", get(benchmark::view))
        .at("/ui/nova/ask", post(ask))
        .at("/ui/nova/turns/:id/cancel", post(cancel))
        .at("/ui/nova/sessions/import", post(sessions::import))
        .at("/ui/nova/sessions/:id/rename", post(sessions::rename))
        .at("/ui/nova/sessions/:id/close", post(sessions::close))
        .at("/ui/nova/sessions/:id/fork", post(sessions::fork))
        .at("/ui/nova/sessions/:id/delete", post(sessions::delete))
        .at("/ui/nova/sessions/:id/benchmark", post(benchmark::begin))
}

/// A page of a conversation, or of one that is to begin.
#[derive(Default)]
struct Shown {
    session: Option<NovaSession>,
    /// What was typed into the form that asks; untouched where `None`.
    fields: Option<Fields>,
    /// What is wrong, by the name of the field.
    errors: Messages,
    /// What is wrong beyond any field.
    general: Option<String>,
    /// What was done.
    done: Option<&'static str>,
    /// Where the list of sessions goes on.
    cursor: Option<String>,
    /// Only turns before this one.
    before: Option<u32>,
}

#[handler]
async fn view_new(app: Data<&App>, request: &Request) -> Result<Response, Problem> {
    let query = Fields::of_query(request)?;
    let mut fields = ask_form::untouched(None);
    if query.filled("example").is_some() {
        fields.set("prompt", ask_form::EXAMPLE);
    }
    let shown = Shown {
        fields: Some(fields),
        done: query.filled("deleted").map(|_| "The session is deleted."),
        cursor: query.filled("cursor").map(str::to_owned),
        ..Shown::default()
    };
    show(&app, 200, shown).await
}

#[handler]
async fn view(
    app: Data<&App>,
    Path(id): Path<String>,
    request: &Request,
) -> Result<Response, Problem> {
    let query = Fields::of_query(request)?;
    let shown = Shown {
        session: Some(app.nova_session(&runs::id(&id)?).await?),
        cursor: query.filled("cursor").map(str::to_owned),
        before: query.filled("before").and_then(|text| text.parse().ok()),
        ..Shown::default()
    };
    show(&app, 200, shown).await
}

/// One turn alone, with all of every text.
#[handler]
async fn view_turn(
    app: Data<&App>,
    Path((id, number)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let id = runs::id(&id)?;
    let (session, turn) = tokio::join!(app.nova_session(&id), app.turn_of(&id, &number));
    let values = json!({
        "session": values_of(&session?),
        "turn": turn::whole(turn?),
        "is_whole": true,
    });
    page::render(200, "nova-turn.html", values)
}

#[handler]
async fn ask(app: Data<&App>, body: Body) -> Result<Response, Problem> {
    let fields = Fields::of_body(&app, body).await?;
    let session = match fields.filled("session_id") {
        Some(id) => Some(app.nova_session(&runs::id(id)?).await?),
        None => None,
    };
    let id = session.as_ref().map(|it| it.id.clone());
    let (request, mut errors) = ask_form::read(&fields, id);
    if !errors.is_empty() {
        // Whatever else is wrong is told at once. What could not be read was told already.
        let limits = app.config.request_limits();
        let pipeline = request.pipeline.unwrap_or_default();
        let more = request.problems(&limits, &app.config.default_backend, pipeline);
        let more = more.into_iter();
        errors.extend(
            more.filter(|it| !start::is_told(&errors, &it.pointer))
                .collect::<Vec<_>>(),
        );
        return refuse(&app, session, fields, AppError::Invalid(errors)).await;
    }
    match app.ask(request).await {
        Ok(turn) => Ok(page::see_other(&address(&turn))),
        Err(error) => refuse(&app, session, fields, error).await,
    }
}

/// Where a turn is shown.
fn address(turn: &NovaTurn) -> String {
    format!("/nova/{}#turn-{}", turn.response.session_id, turn.number)
}

/// The page once more, with what was typed and what is wrong.
async fn refuse(
    app: &App,
    session: Option<NovaSession>,
    fields: Fields,
    error: AppError,
) -> Result<Response, Problem> {
    let (status, told) = start::refusal(error, "/model");
    let shown = Shown {
        session,
        fields: Some(fields),
        errors: told.errors,
        general: told.general,
        ..Shown::default()
    };
    show(app, status, shown).await
}

#[handler]
async fn cancel(app: Data<&App>, Path(id): Path<String>) -> Result<Response, Problem> {
    let turn = app.cancel_turn(&runs::id(&id)?).await?;
    Ok(page::see_other(&address(&turn)))
}

async fn show(app: &App, status: u16, shown: Shown) -> Result<Response, Problem> {
    let session = shown.session.as_ref();
    let turns = match session {
        Some(session) => turns(app, session, shown.before).await?,
        None => Vec::new(),
    };
    let first = turns.first().map_or(0, |it| it.number);
    let last = turns.last().filter(|it| it.response.status.is_final());
    let awaits = last.is_some_and(|it| it.response.status == NovaStatus::AwaitingUser);
    let listed = app.nova_sessions(SESSIONS, shown.cursor.as_deref()).await?;
    let (roles, stages) = words::for_script();
    let here = session.map_or_else(|| "/nova".to_owned(), |it| format!("/nova/{}", it.id));
    let next = listed
        .next
        .map(|it| format!("{here}?cursor={}", encoded(&it)));
    let sessions: Vec<Value> = listed.sessions.iter().map(values_of).collect();
    let is_open = session.is_none_or(|it| it.status == SessionStatus::Open);
    let values = json!({
        "session": session.map(values_of),
        "turns": turn::shown(turns),
        "earlier": (first > 1).then(|| format!("{here}?before={first}")),
        "is_newest": shown.before.is_none(),
        "sessions": sessions,
        "next": next,
        "is_first_page": shown.cursor.is_none(),
        "is_open": is_open,
        "ask": ask_values(app, &shown).await,
        "awaits": awaits,
        "general": shown.general,
        "done": shown.done,
        "mistakes": start::mistakes(&shown.errors),
        "errors": shown.errors,
        "here": here,
        "roles": roles,
        "stages": stages,
    });
    page::render(status, "nova.html", values)
}

/// A session's newest turns, or those before one.
async fn turns(
    app: &App,
    session: &NovaSession,
    before: Option<u32>,
) -> Result<Vec<NovaTurn>, Problem> {
    let before = before.unwrap_or(session.turns.saturating_add(1)).max(1);
    let after = (before - 1).saturating_sub(TURNS);
    let limit = before - 1 - after;
    if limit == 0 {
        return Ok(Vec::new());
    }
    Ok(app.turns_with_steps(&session.id, after, limit).await?)
}

fn values_of(session: &NovaSession) -> Value {
    let title = match session.title.as_str() {
        "" => "Untitled session",
        title => title,
    };
    json!({
        "id": session.id,
        "title": title,
        "turns": session.turns,
        "created_at": session.created_at,
        "updated_at": session.updated_at,
        "is_closed": session.status == SessionStatus::Closed,
        "is_busy": session.active_turn.is_some(),
        "model": session.model,
        "forked_from": session.forked_from,
        "summarised": session.summary.as_ref().map(|it| it.through),
        "parameters": session.parameters,
    })
}

/// What the form that asks shows.
async fn ask_values(app: &App, shown: &Shown) -> Value {
    let session = shown.session.as_ref();
    let mut groups = start::groups(app, app.models().await);
    let mut fields = match &shown.fields {
        Some(fields) => fields.clone(),
        None => ask_form::untouched(session),
    };
    let configured = app.config.nova.model.trim();
    let usual = match session.and_then(|it| it.model.as_deref()) {
        Some(model) => format!("That of this session: {model}"),
        None if configured.is_empty() => "The first one in memory".to_owned(),
        None => format!("As configured: {configured}"),
    };
    let is_untouched = shown.errors.is_empty() && shown.general.is_none();
    let is_new = session.is_none_or(|it| it.model.is_none());
    if is_untouched
        && is_new
        && configured.is_empty()
        && let Some(model) = start::preselected(&groups)
    {
        fields.set("model", model);
    }
    let chosen = fields.text("model").to_owned();
    let mut choices = groups.iter_mut().flat_map(|group| &mut group.models);
    match choices.find(|it| it.value == chosen) {
        Some(choice) => choice.selected = true,
        // It is not listed any more, or never was.
        None if !chosen.is_empty() && fields.filled("other_model").is_none() => {
            fields.set("other_model", chosen);
        }
        None => {}
    }
    let roles = ask_form::roles(&fields, &shown.errors);
    json!({
        "is_touched": !is_untouched,
        "prompt": fields.text("prompt"),
        "other_model": fields.text("other_model"),
        "usual": usual,
        "pipelines": ask_form::pipelines(&fields),
        "backends": groups,
        "roles": roles,
        "roles_open": roles.iter().any(ask_form::RoleChoice::is_touched),
        "groups": run_form::shown(&ask_form::GROUPS, &fields, &shown.errors),
        "default_backend": app.config.default_backend,
    })
}
