//! Whole sessions, copied.

use super::super::{Store, StoreError};
use super::memory::{self, Remembered};
use super::sessions;
use super::turns::{self, TurnDetail};
use crate::record::{NovaCheckpoint, NovaSession, NovaTurn, RunId};

impl Store {
    /// A session with the first `through` turns that have ended, and what only it remembers; `None`
    /// where there is no such session.
    pub async fn checkpoint(
        &self,
        id: &RunId,
        through: Option<u32>,
    ) -> Result<Option<(NovaSession, Vec<NovaTurn>, Vec<Remembered>)>, StoreError> {
        let Some(session) = self.session(id).await? else {
            return Ok(None);
        };
        let through = through.unwrap_or(u32::MAX);
        let mut turns = self.turns(id, 0, through, TurnDetail::Whole).await?;
        turns.retain(|turn| turn.response.status.is_final());
        let memory = self.memory_of(id).await?;
        Ok(Some((session, turns, memory)))
    }

    /// Keeps a whole session under the ids that it has, all or nothing.
    pub async fn keep_checkpoint(
        &self,
        checkpoint: &NovaCheckpoint,
        memory: &[Remembered],
    ) -> Result<(), StoreError> {
        let mut work = self.database.write().await?;
        sessions::insert(&mut work, &checkpoint.session).await?;
        for turn in &checkpoint.turns {
            turns::insert(&mut work, turn, None).await?;
            for step in &turn.response.steps {
                turns::insert_step(&mut work, &turn.response.turn_id, step).await?;
            }
        }
        for remembered in memory {
            memory::insert(&mut work, remembered).await?;
        }
        work.commit().await?;
        Ok(())
    }
}
