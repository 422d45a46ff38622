//! How large filters of the history are, as far as that matters for finding their runs.

use super::StoreError;
use super::database::{Statement, Work};

/// So many runs of a filter are counted; which of two larger ones is smaller is told by the newest.
const MOST_COUNTED: u32 = if cfg!(test) { 10 } else { 2000 };
const NEWEST: u32 = if cfg!(test) { 30 } else { 5000 };

/// How large a filter is beside others.
#[derive(Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size {
    /// How many runs fit it, up to [`MOST_COUNTED`].
    runs: u32,
    /// How many of the newest do, which tells apart those that are larger.
    newest: u32,
}

/// Two looks at an index, of a millisecond together: counting all would take longer than the page.
pub async fn size_of(work: &mut Work, facets: &[i64]) -> Result<Size, StoreError> {
    let rows = || {
        let mut rows = Statement::new("select 1 as one from run_facets where facet in (");
        rows.push_list(facets.iter().copied()).push(")");
        rows
    };
    let runs = count(work, rows(), MOST_COUNTED).await?;
    if runs <= MOST_COUNTED {
        return Ok(Size { runs, newest: 0 });
    }
    let mut newest = rows();
    newest.push(" and run > (select max(run) from runs) - ");
    newest.push_bind(NEWEST);
    let newest = count(work, newest, NEWEST).await?;
    Ok(Size { runs, newest })
}

/// How many rows there are, up to one more than `most`.
pub async fn count(work: &mut Work, rows: Statement, most: u32) -> Result<u32, StoreError> {
    let mut sql = rows;
    sql.enclose("select count(*) as n from (", " limit ");
    sql.push_bind(most.saturating_add(1)).push(") as rows");
    let n: i64 = work.fetch_one(sql).await?.get("n")?;
    Ok(u32::try_from(n).unwrap_or(u32::MAX))
}
