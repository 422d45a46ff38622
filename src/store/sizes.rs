//! How large filters of the history are, as far as that matters for finding their runs.

use super::StoreError;
use super::database::{Row, Statement, Work};

/// So many runs of a filter are counted; which of two larger ones is smaller is told by the newest.
const MOST_COUNTED: u32 = if cfg!(test) { 10 } else { 2000 };
const NEWEST: u32 = if cfg!(test) { 30 } else { 5000 };

/// How large a filter is beside others.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub struct Size {
    /// How many runs fit it, up to [`MOST_COUNTED`].
    runs: u32,
    /// How many of the newest do, which tells apart those that are larger.
    newest: u32,
}

/// The sizes of filters, in their order. Two looks at an index for each, of a millisecond together, since
/// counting all would take longer than the page; and one statement, since each has its way to the
/// database and back.
pub async fn sizes_of(work: &mut Work, filters: &[Vec<i64>]) -> Result<Vec<Size>, StoreError> {
    let mut sql = Statement::new("select place, runs, newest from (");
    for (place, facets) in (0_i64..).zip(filters) {
        sql.push(if place == 0 {
            "select "
        } else {
            " union all select "
        });
        sql.push_bind(place).push(" as place, ");
        push_count(&mut sql, facets, None, MOST_COUNTED);
        sql.push(" as runs, ");
        push_count(&mut sql, facets, Some(NEWEST), NEWEST);
        sql.push(" as newest");
    }
    sql.push(") as sizes order by place");
    let size = |row: &Row| -> Result<Size, StoreError> {
        let n = |column| {
            Ok::<_, StoreError>(u32::try_from(row.get::<i64>(column)?).unwrap_or(u32::MAX))
        };
        let (runs, newest) = (n("runs")?, n("newest")?);
        let is_counted = runs <= MOST_COUNTED;
        Ok(Size {
            runs,
            newest: if is_counted { 0 } else { newest },
        })
    };
    work.fetch_all(sql).await?.iter().map(size).collect()
}

/// How many runs fit, or how many of so many newest ones do, up to one more than `most`.
fn push_count(sql: &mut Statement, facets: &[i64], of_newest: Option<u32>, most: u32) {
    sql.push("(select count(*) from (select 1 from run_facets where facet in (");
    sql.push_list(facets.iter().copied()).push(")");
    if let Some(newest) = of_newest {
        sql.push(" and run > (select max(run) from runs) - ");
        sql.push_bind(newest);
    }
    sql.push(" limit ").push_bind(most + 1).push(") as rows)");
}

/// How many rows there are, up to one more than `most`.
pub async fn count(work: &mut Work, rows: Statement, most: u32) -> Result<u32, StoreError> {
    let mut sql = rows;
    sql.enclose("select count(*) as n from (", " limit ");
    sql.push_bind(most.saturating_add(1)).push(") as rows");
    let n: i64 = work.fetch_one(sql).await?.get("n")?;
    Ok(u32::try_from(n).unwrap_or(u32::MAX))
}
