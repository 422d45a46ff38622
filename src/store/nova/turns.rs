//! What was asked in conversations and what came of it, written as it happens.

use chrono::{DateTime, Utc};

use super::super::database::{Row, Statement, Work};
use super::super::runs::{decode, packed};
use super::super::{Store, StoreError, damaged, series};
use super::sessions;
use crate::record::{NovaResponse, NovaSession, NovaStep, NovaTurn, RunId, SessionStatus};

/// How much of a turn is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TurnDetail {
    /// Without its steps.
    Bare,
    /// With its steps, without their chunks.
    Steps,
    /// All of it.
    Whole,
}

impl Store {
    /// Begins a turn of an open session in which none goes on: gives it its number, and the session a
    /// name where it has none. The session as it is then, with the turn active.
    pub async fn begin_turn(&self, turn: &mut NovaTurn) -> Result<Option<NovaSession>, StoreError> {
        let owner = self.owner().await?.map(str::to_owned);
        let id = turn.response.session_id.clone();
        let mut work = self.database.write().await?;
        let Some(mut session) = self.held(&mut work, &id).await? else {
            return Ok(None);
        };
        if session.active_turn.is_some() {
            return Err(StoreError::TurnActive { session: id });
        }
        if session.status == SessionStatus::Closed {
            return Err(StoreError::SessionClosed { session: id });
        }
        turn.number = session.turns + 1;
        turn.response.state.turns = turn.number;
        session.name_by(&turn.request.prompt);
        session.updated_at = turn.timestamp;
        sessions::update(&mut work, &session).await?;
        insert(&mut work, turn, owner).await?;
        work.commit().await?;
        session.turns = turn.number;
        session.active_turn = Some(turn.response.turn_id.clone());
        Ok(Some(session))
    }

    /// Keeps a step of a turn, in place of what was kept of it before.
    pub async fn save_step(&self, turn: &RunId, step: &NovaStep) -> Result<(), StoreError> {
        let mut work = self.database.write().await?;
        insert_step(&mut work, turn, step).await?;
        work.commit().await?;
        Ok(())
    }

    /// Keeps the end of a turn, and what else it changes of its session; whether it went on until then.
    pub async fn finish_turn(
        &self,
        turn: &NovaTurn,
        now: DateTime<Utc>,
        change: impl FnOnce(&mut NovaSession) + Send,
    ) -> Result<bool, StoreError> {
        let mut work = self.database.write().await?;
        let Some(mut session) = self.held(&mut work, &turn.response.session_id).await? else {
            return Ok(false);
        };
        let update = "update nova_turns set status = $2, owner = null, document = $3
            where id = $1 and status = 'running'";
        let update = Statement::new(update)
            .bind(turn.response.turn_id.as_str())
            .bind(turn.response.status.as_str())
            .bind(document(turn)?);
        if work.execute(update).await? == 0 {
            return Ok(false);
        }
        change(&mut session);
        session.updated_at = now;
        sessions::update(&mut work, &session).await?;
        work.commit().await?;
        Ok(true)
    }

    /// One turn by its id.
    pub async fn turn(
        &self,
        id: &RunId,
        detail: TurnDetail,
    ) -> Result<Option<NovaTurn>, StoreError> {
        let find = "select id, document from nova_turns where id = $1";
        let find = Statement::new(find).bind(id.as_str());
        Ok(self.read_turns(find, detail).await?.pop())
    }

    /// Turns of a session after the one with this number, in their order.
    pub async fn turns(
        &self,
        session: &RunId,
        after: u32,
        limit: u32,
        detail: TurnDetail,
    ) -> Result<Vec<NovaTurn>, StoreError> {
        let find = "select id, document from nova_turns
            where session = $1 and number > $2 order by number limit $3";
        let find = Statement::new(find)
            .bind(session.as_str())
            .bind(after)
            .bind(limit);
        self.read_turns(find, detail).await
    }

    /// Turns that a process left behind that is no more, with what is kept of their steps.
    pub async fn abandoned_turns(&self) -> Result<Vec<NovaTurn>, StoreError> {
        let unfinished = "select id, owner from nova_turns where status = 'running'";
        let rows = self.database.fetch_all(Statement::new(unfinished)).await?;
        let mut abandoned = Vec::new();
        for row in &rows {
            let owner: Option<String> = row.get("owner")?;
            if let Some(owner) = &owner
                && self.is_alive(owner).await
            {
                continue;
            }
            let id: String = row.get("id")?;
            let Ok(id) = id.parse() else { continue };
            // One that cannot be read must not keep all others from being read.
            match self.turn(&id, TurnDetail::Steps).await {
                Ok(turn) => abandoned.extend(turn),
                Err(error) => tracing::error!(%error, "an unfinished turn is left as it is"),
            }
        }
        Ok(abandoned)
    }

    async fn read_turns(
        &self,
        find: Statement,
        detail: TurnDetail,
    ) -> Result<Vec<NovaTurn>, StoreError> {
        // One snapshot, so that a turn that ends meanwhile is seen before or after, not between.
        let mut snapshot = self.database.read().await?;
        let mut turns = Vec::new();
        for row in snapshot.fetch_all(find).await? {
            let id: String = row.get("id")?;
            let mut turn: NovaTurn = decode(&row, "turn", &id)?;
            if detail != TurnDetail::Bare {
                let find = match detail {
                    TurnDetail::Whole => "select document, chunks",
                    _ => "select document",
                };
                let mut find = Statement::new(find);
                find.push(" from nova_steps where turn = ").push_bind(&*id);
                find.push(" order by position");
                for row in snapshot.fetch_all(find).await? {
                    turn.response.steps.push(read_step(&row, &id, detail)?);
                }
            }
            turns.push(turn);
        }
        Ok(turns)
    }
}

fn read_step(row: &Row, turn: &str, detail: TurnDetail) -> Result<NovaStep, StoreError> {
    let mut step: NovaStep = decode(row, "step", turn)?;
    if detail == TurnDetail::Whole
        && let Some(packed) = row.get::<Option<Vec<u8>>>("chunks")?
    {
        let chunks = series::unpack(&packed);
        let cut_off = || damaged("chunks", turn, &"they are cut off");
        step.chunks = Some(chunks.ok_or_else(cut_off)?);
    }
    Ok(step)
}

/// A new turn.
pub(super) async fn insert(
    work: &mut Work,
    turn: &NovaTurn,
    owner: Option<String>,
) -> Result<(), StoreError> {
    let insert = "insert into nova_turns (id, session, number, status, owner, document)
        values ($1, $2, $3, $4, $5, $6)";
    let insert = Statement::new(insert)
        .bind(turn.response.turn_id.as_str())
        .bind(turn.response.session_id.as_str())
        .bind(turn.number)
        .bind(turn.response.status.as_str())
        .bind(owner)
        .bind(document(turn)?);
    work.execute(insert).await?;
    Ok(())
}

/// A step of a turn, in place of what was kept of it before.
pub(super) async fn insert_step(
    work: &mut Work,
    turn: &RunId,
    step: &NovaStep,
) -> Result<(), StoreError> {
    let chunks = step.chunks.as_ref().map(series::pack);
    let bare = NovaStep {
        chunks: None,
        ..step.clone()
    };
    let insert = "insert into nova_steps (turn, position, document, chunks)
        values ($1, $2, $3, $4)
        on conflict (turn, position) do update
        set document = excluded.document, chunks = excluded.chunks";
    let insert = Statement::new(insert)
        .bind(turn.as_str())
        .bind(step.number)
        .bind(packed(&bare)?)
        .bind(chunks);
    work.execute(insert).await?;
    Ok(())
}

/// The turn without its steps, which have rows of their own.
fn document(turn: &NovaTurn) -> Result<Vec<u8>, StoreError> {
    packed(&NovaTurn {
        response: NovaResponse {
            steps: Vec::new(),
            ..turn.response.clone()
        },
        ..turn.clone()
    })
}
