//! Conversations, without what was said in them.

use chrono::{DateTime, Utc};

use super::super::database::{Row, Statement, Work};
use super::super::runs::{decode, packed};
use super::super::{Store, StoreError};
use crate::record::{NovaSession, RunId, SessionPage};

const DEFAULT_LIMIT: u32 = 50;
const MAX_LIMIT: u32 = 500;

/// A session with what its turns tell of it.
const SESSIONS: &str = "select s.id, s.updated_at, s.document,
        (select count(*) from nova_turns t where t.session = s.id) as turns,
        (select t.id from nova_turns t where t.session = s.id and t.status = 'running') as active
     from nova_sessions s";

impl Store {
    /// Keeps a new session.
    pub async fn create_session(&self, session: &NovaSession) -> Result<(), StoreError> {
        let mut work = self.database.write().await?;
        insert(&mut work, session).await?;
        work.commit().await?;
        Ok(())
    }

    /// A session as it stands.
    pub async fn session(&self, id: &RunId) -> Result<Option<NovaSession>, StoreError> {
        let mut find = Statement::new(SESSIONS);
        find.push(" where s.id = ").push_bind(id.as_str());
        let row = self.database.fetch_optional(find).await?;
        row.as_ref().map(read).transpose()
    }

    /// A page of sessions, the ones in which something happened last first.
    pub async fn sessions(
        &self,
        limit: u32,
        cursor: Option<&str>,
    ) -> Result<SessionPage, StoreError> {
        let limit = match limit {
            0 => DEFAULT_LIMIT,
            limit => limit.min(MAX_LIMIT),
        };
        let mut find = Statement::new(SESSIONS);
        if let Some(cursor) = cursor {
            let (at, id) = parse(cursor).ok_or(StoreError::BadCursor)?;
            find.push(" where (s.updated_at, s.id) < (").push_bind(at);
            find.push(", ").push_bind(id).push(")");
        }
        find.push(" order by s.updated_at desc, s.id desc limit ");
        find.push_bind(limit + 1);
        let mut rows = self.database.fetch_all(find).await?;
        let more = rows.len() > limit as usize;
        rows.truncate(limit as usize);
        let mut page = SessionPage::default();
        for row in &rows {
            // One that cannot be read must not hide the others.
            match read(row) {
                Ok(session) => page.sessions.push(session),
                Err(error) => tracing::error!(%error, "a session is left out of the list"),
            }
        }
        if let (true, Some(row)) = (more, rows.last()) {
            let (at, id): (i64, String) = (row.get("updated_at")?, row.get("id")?);
            page.next = Some(format!("{at:x}-{id}"));
        }
        Ok(page)
    }

    /// Changes a session; what it is then, `None` where there is none.
    pub async fn change_session(
        &self,
        id: &RunId,
        now: DateTime<Utc>,
        change: impl FnOnce(&mut NovaSession) + Send,
    ) -> Result<Option<NovaSession>, StoreError> {
        let mut work = self.database.write().await?;
        let Some(mut session) = self.held(&mut work, id).await? else {
            return Ok(None);
        };
        change(&mut session);
        session.updated_at = now;
        update(&mut work, &session).await?;
        work.commit().await?;
        Ok(Some(session))
    }

    /// Deletes a session with its turns and what only it remembers; whether there was one. One with a
    /// turn that goes on stays.
    pub async fn delete_session(&self, id: &RunId) -> Result<bool, StoreError> {
        let mut work = self.database.write().await?;
        let Some(session) = self.held(&mut work, id).await? else {
            return Ok(false);
        };
        if session.active_turn.is_some() {
            return Err(StoreError::TurnActive {
                session: id.clone(),
            });
        }
        let delete = Statement::new("delete from nova_sessions where id = $1").bind(id.as_str());
        work.execute(delete).await?;
        work.commit().await?;
        Ok(true)
    }

    /// A session that nobody else changes until the work is done.
    pub(super) async fn held(
        &self,
        work: &mut Work,
        id: &RunId,
    ) -> Result<Option<NovaSession>, StoreError> {
        let mut lock = Statement::new("select id from nova_sessions where id = ");
        lock.push_bind(id.as_str());
        lock.push(self.database.dialect().pick("", " for update"));
        if work.fetch_optional(lock).await?.is_none() {
            return Ok(None);
        }
        let mut find = Statement::new(SESSIONS);
        find.push(" where s.id = ").push_bind(id.as_str());
        let row = work.fetch_optional(find).await?;
        row.as_ref().map(read).transpose()
    }
}

/// A new session.
pub(super) async fn insert(work: &mut Work, session: &NovaSession) -> Result<(), StoreError> {
    let insert = "insert into nova_sessions (id, updated_at, document) values ($1, $2, $3)
        on conflict (id) do nothing";
    let insert = Statement::new(insert)
        .bind(session.id.as_str())
        .bind(session.updated_at.timestamp_micros())
        .bind(packed(session)?);
    work.execute(insert).await?;
    Ok(())
}

/// A session that was changed.
pub(super) async fn update(work: &mut Work, session: &NovaSession) -> Result<(), StoreError> {
    let update = "update nova_sessions set updated_at = $2, document = $3 where id = $1";
    let update = Statement::new(update)
        .bind(session.id.as_str())
        .bind(session.updated_at.timestamp_micros())
        .bind(packed(session)?);
    work.execute(update).await?;
    Ok(())
}

fn read(row: &Row) -> Result<NovaSession, StoreError> {
    let id: String = row.get("id")?;
    let mut session: NovaSession = decode(row, "session", &id)?;
    let turns: i64 = row.get("turns")?;
    session.turns = u32::try_from(turns).unwrap_or(u32::MAX);
    let active: Option<String> = row.get("active")?;
    session.active_turn = active.and_then(|id| id.parse().ok());
    Ok(session)
}

fn parse(cursor: &str) -> Option<(i64, &str)> {
    let (at, id) = cursor.split_once('-')?;
    id.parse::<RunId>().ok()?;
    Some((i64::from_str_radix(at, 16).ok()?, id))
}
