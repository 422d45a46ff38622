//! Finding texts by a part of them: SQLite by trigrams of its full-text index, Postgres by those of its own
//! where it has them.

use super::database::{Dialect, Statement};
use super::facets;

/// So many texts that hold what is looked for are found in four milliseconds. Of what more texts hold, a
/// page is found in the list's own order.
pub const MOST_TEXTS: u32 = if cfg!(test) { 15 } else { 4000 };
/// So many trigrams of a text are looked up. Postgres reads the list of each to its end, so the third, which is
/// less rare, costs more there than it leaves out.
const MOST_TRIGRAMS: usize = 3;
const MOST_IN_POSTGRES: usize = 2;

/// The texts that hold what is looked for, and one more than [`MOST_TEXTS`] where there are so many.
pub fn texts(dialect: Dialect, pattern: &str) -> Statement {
    let trigrams = trigrams(dialect, pattern);
    let mut sql = match (dialect, trigrams.as_slice()) {
        (Dialect::Sqlite, []) => {
            Statement::new("select rowid as id from text_trigrams where text ")
        }
        (Dialect::Postgres, []) => Statement::new("select id from texts where text "),
        (Dialect::Sqlite, some) => {
            let mut sql = Statement::new(
                "select texts.id from text_trigrams cross join texts on texts.id = text_trigrams.rowid
                 where text_trigrams match ",
            );
            let quoted = some
                .iter()
                .map(|it| format!("\"{}\"", it.replace('"', "\"\"")));
            sql.push_bind(quoted.collect::<Vec<_>>().join(" AND "));
            sql.push(" and texts.text ");
            sql
        }
        (Dialect::Postgres, some) => {
            let mut sql = Statement::new("select id from texts where");
            for trigram in some {
                sql.push(" text like ").push_bind(format!("%{trigram}%"));
                sql.push(" and");
            }
            // Not the column by itself: the index would be asked for all trigrams after all.
            sql.push(" (text || '') ");
            sql
        }
    };
    push_like(&mut sql, dialect, pattern);
    sql.push(" limit ").push_bind(MOST_TEXTS + 1);
    sql
}

/// The rarest trigrams of a pattern, for the index of texts: by itself it looks through the list of every
/// trigram there is in the pattern, of which most are in every other text. None where there are too few.
fn trigrams(dialect: Dialect, pattern: &str) -> Vec<String> {
    let plain: Vec<char> = pattern.trim_matches(['*', '%']).chars().collect();
    let is_indexed = |trigram: &&[char]| match dialect {
        Dialect::Sqlite => true,
        // What is a letter beyond these depends on the database's locale, and the rest is not indexed.
        Dialect::Postgres => trigram.iter().all(char::is_ascii_alphanumeric),
    };
    // A character in brackets stands for itself: what is around it is not in the text.
    if dialect == Dialect::Sqlite && plain.contains(&'[') {
        return Vec::new();
    }
    let mut found: Vec<&[char]> = plain.windows(3).filter(is_indexed).collect();
    found.sort_by_key(|trigram| trigram.iter().map(|it| commonness(*it)).sum::<u32>());
    let rarest = found.iter().take(match dialect {
        Dialect::Sqlite => MOST_TRIGRAMS,
        Dialect::Postgres => MOST_IN_POSTGRES,
    });
    rarest.map(|trigram| trigram.iter().collect()).collect()
}

/// How common a character is in what people write, roughly: the order of frequency of English letters.
fn commonness(character: char) -> u32 {
    const BY_FREQUENCY: &str = "zqxjkvbpygfwmucldrhsnioate ";
    let place = BY_FREQUENCY.find(character);
    place.map_or(0, |place| u32::try_from(place).unwrap_or_default() + 1)
}

/// That the text of the run `r` fits a pattern.
pub fn push_fits(sql: &mut Statement, dialect: Dialect, pattern: &str) {
    sql.push(" and exists (select 1 from texts where texts.id = r.text_id and texts.text ");
    push_like(sql, dialect, pattern);
    sql.push(")");
}

fn push_like(sql: &mut Statement, dialect: Dialect, pattern: &str) {
    // The trigrams of SQLite serve `glob`, and `like` only without `escape`.
    sql.push(dialect.pick("glob ", "like ")).push_bind(pattern);
}

/// A pattern that finds the text as it is, letter case aside: texts are stored in lower case.
pub fn pattern(dialect: Dialect, text: &str) -> String {
    let any = dialect.pick("*", "%");
    let mut pattern = String::from(any);
    for character in facets::storable(text).to_lowercase().chars() {
        match (dialect, character) {
            (Dialect::Sqlite, '*' | '?' | '[') => {
                pattern.push('[');
                pattern.push(character);
                pattern.push(']');
            }
            (Dialect::Postgres, '%' | '_' | '\\') => {
                pattern.push('\\');
                pattern.push(character);
            }
            _ => pattern.push(character),
        }
    }
    pattern + any
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rarest_trigrams_are_looked_up() {
        let of = |dialect, text: &str| trigrams(dialect, &pattern(dialect, text));
        let sqlite = |text| of(Dialect::Sqlite, text);
        assert_eq!(sqlite("Question 1234:"), ["123", "234", "34:"]);
        assert_eq!(sqlite("say \"x"), [" \"x", "y \"", "say"]);
        assert_eq!(sqlite("größe"), ["röß", "öße", "grö"]);
        for few in ["", "ab", "a*bcd", "[abc"] {
            assert!(sqlite(few).is_empty(), "{few}");
        }
        let postgres = |text| of(Dialect::Postgres, text);
        assert_eq!(postgres("Question 1234:"), ["123", "234"]);
        assert_eq!(postgres("a_bcd%ef"), ["bcd"]);
        assert_eq!(postgres("größere"), ["ere"]);
        for few in ["", "ab", "größe", "a b c", "a%b_c\\d"] {
            assert!(postgres(few).is_empty(), "{few}");
        }
    }

    /// What is looked up in the index is held against the whole pattern too.
    #[test]
    fn the_whole_pattern_decides() {
        for dialect in [Dialect::Sqlite, Dialect::Postgres] {
            let whole = pattern(dialect, "question 1234:");
            let sql = format!("{:?}", texts(dialect, &whole));
            assert!(sql.contains(&whole), "{sql}");
        }
    }
}
