//! Whether what agents did and remember can be read and fits together.

use serde::de::DeserializeOwned;

use super::super::check::found_or_failed;
use super::super::database::{Row, Statement};
use super::super::runs::decode;
use super::super::{Store, StoreError, series};
use crate::record::{CheckReport, MemoryDocument, NovaSession, NovaStep, NovaTurn};

/// Rows that are read at once.
const MOST_ROWS: u32 = 64;

/// A table whose rows are documents.
struct Table {
    /// What each is.
    what: &'static str,
    /// Reads those behind one, in the order of their keys; `$1` and `$2` are the key of that one, and `$3` is
    /// how many.
    read: &'static str,
    /// What is wrong with a row.
    faults: fn(&Row, &str) -> Result<Vec<String>, StoreError>,
}

const TABLES: [Table; 4] = [
    Table {
        what: "session",
        read: "select id, id as key, cast(0 as bigint) as place, document from nova_sessions
            where id > $1 or (id = $1 and cast(0 as bigint) > $2) order by id limit $3",
        faults: faults_of_session,
    },
    Table {
        what: "turn",
        read: "select id, id as key, cast(0 as bigint) as place, status, session, number, document from nova_turns
            where id > $1 or (id = $1 and cast(0 as bigint) > $2) order by id limit $3",
        faults: faults_of_turn,
    },
    Table {
        what: "step",
        read: "select turn as id, turn as key, position as place, document, chunks from nova_steps
            where turn > $1 or (turn = $1 and position > $2) order by turn, position limit $3",
        faults: faults_of_step,
    },
    Table {
        what: "memory",
        read: "select id, id as key, cast(0 as bigint) as place, document, embedding from nova_memory
            where id > $1 or (id = $1 and cast(0 as bigint) > $2) order by id limit $3",
        faults: faults_of_memory,
    },
];

impl Store {
    /// Reads all sessions, turns, steps and memories. Tells how far it is after each few.
    pub(in crate::store) async fn check_nova(
        &self,
        report: &mut CheckReport,
        tell: &mut impl FnMut(&CheckReport),
    ) -> Result<(), StoreError> {
        for table in TABLES {
            let (mut key, mut place) = (String::new(), i64::MAX);
            loop {
                let read = Statement::new(table.read)
                    .bind(&*key)
                    .bind(place)
                    .bind(MOST_ROWS);
                let rows = match self.database.fetch_all(read).await {
                    Ok(rows) => rows,
                    Err(error) => {
                        let words = format!("not every {} can be found", table.what);
                        found_or_failed(report, None, &words, error)?;
                        break;
                    }
                };
                let Some(last) = rows.last() else { break };
                (key, place) = (last.get("key")?, last.get("place")?);
                for row in &rows {
                    let id: String = row.get("id")?;
                    report.others += 1;
                    for fault in (table.faults)(row, &id)? {
                        report.find(Some(&id), fault);
                    }
                }
                tell(report);
            }
        }
        Ok(())
    }
}

/// The document, unless it cannot be read.
fn read<T: DeserializeOwned>(
    row: &Row,
    what: &'static str,
    id: &str,
    faults: &mut Vec<String>,
) -> Option<T> {
    let read = decode(row, what, id);
    read.map_err(|error| faults.push(error.to_string())).ok()
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "one of several that stand in a table, and others read columns"
)]
fn faults_of_session(row: &Row, id: &str) -> Result<Vec<String>, StoreError> {
    let mut faults = Vec::new();
    if let Some(session) = read::<NovaSession>(row, "session", id, &mut faults)
        && session.id.as_str() != id
    {
        faults.push(format!("the document is of the session {}", session.id));
    }
    Ok(faults)
}

fn faults_of_turn(row: &Row, id: &str) -> Result<Vec<String>, StoreError> {
    let mut faults = Vec::new();
    let Some(turn) = read::<NovaTurn>(row, "turn", id, &mut faults) else {
        return Ok(faults);
    };
    let (status, session): (String, String) = (row.get("status")?, row.get("session")?);
    let number: i64 = row.get("number")?;
    let response = &turn.response;
    let is_own = response.turn_id.as_str() == id && response.session_id.as_str() == session;
    if !is_own || i64::from(turn.number) != number || response.status.as_str() != status {
        faults.push(format!(
            "the document is of turn {} of {} ({}), the row of turn {number} of {session} ({status})",
            turn.number,
            response.session_id,
            response.status.as_str()
        ));
    }
    Ok(faults)
}

fn faults_of_step(row: &Row, id: &str) -> Result<Vec<String>, StoreError> {
    let mut faults = Vec::new();
    let position: i64 = row.get("place")?;
    if let Some(step) = read::<NovaStep>(row, "step", id, &mut faults)
        && i64::from(step.number) != position
    {
        faults.push(format!(
            "step {position}: its document is of step {}",
            step.number
        ));
    }
    if let Some(packed) = row.get::<Option<Vec<u8>>>("chunks")?
        && series::unpack(&packed).is_none()
    {
        faults.push(format!("step {position}: its chunks are cut off"));
    }
    Ok(faults)
}

fn faults_of_memory(row: &Row, id: &str) -> Result<Vec<String>, StoreError> {
    let mut faults = Vec::new();
    if let Some(document) = read::<MemoryDocument>(row, "memory", id, &mut faults)
        && document.id.as_str() != id
    {
        faults.push(format!("the document is of the memory {}", document.id));
    }
    if let Some(embedding) = row.get::<Option<Vec<u8>>>("embedding")?
        && !embedding.len().is_multiple_of(4)
    {
        faults.push("its embedding is cut off".into());
    }
    Ok(faults)
}
