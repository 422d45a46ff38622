//! Finding texts by a part of them: SQLite by trigrams of its full-text index, Postgres by those of its own
//! where it has them.

use super::database::{Dialect, Statement};
use super::facets;

/// So many texts that hold what is looked for are found in four milliseconds. Of what more texts hold, a
/// page is found in the list's own order.
pub const MOST_TEXTS: u32 = if cfg!(test) { 15 } else { 4000 };
/// So many trigrams of a text are looked up.
const MOST_TRIGRAMS: usize = 3;

/// The texts that hold what is looked for, and one more than [`MOST_TEXTS`] where there are so many.
pub fn texts(dialect: Dialect, pattern: &str) -> Statement {
    let trigrams = match dialect {
        Dialect::Sqlite => trigrams(pattern),
        Dialect::Postgres => None,
    };
    let mut sql = Statement::new(match (dialect, &trigrams) {
        (Dialect::Sqlite, Some(_)) => {
            "select texts.id from text_trigrams cross join texts on texts.id = text_trigrams.rowid
             where text_trigrams match "
        }
        (Dialect::Sqlite, None) => "select rowid as id from text_trigrams where text ",
        (Dialect::Postgres, _) => "select id from texts where text ",
    });
    if let Some(trigrams) = trigrams {
        sql.push_bind(trigrams).push(" and texts.text ");
    }
    push_like(&mut sql, dialect, pattern);
    sql.push(" limit ").push_bind(MOST_TEXTS + 1);
    sql
}

/// The rarest trigrams of a pattern, for SQLite's index of texts: by itself it looks through the list of
/// every trigram there is in the pattern, of which most are in every other text. `None` where there are
/// too few.
fn trigrams(pattern: &str) -> Option<String> {
    let plain: Vec<char> = pattern.trim_matches('*').chars().collect();
    // A character in brackets stands for itself: what is around it is not in the text.
    if plain.contains(&'[') {
        return None;
    }
    let mut found: Vec<&[char]> = plain.windows(3).collect();
    if found.is_empty() {
        return None;
    }
    found.sort_by_key(|trigram| trigram.iter().map(|it| commonness(*it)).sum::<u32>());
    let quoted = found.iter().take(MOST_TRIGRAMS).map(|trigram| {
        let text: String = trigram.iter().collect();
        format!("\"{}\"", text.replace('"', "\"\""))
    });
    Some(quoted.collect::<Vec<_>>().join(" AND "))
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
        let of = |text: &str| trigrams(&pattern(Dialect::Sqlite, text));
        assert_eq!(
            of("Question 1234:").as_deref(),
            Some("\"123\" AND \"234\" AND \"34:\"")
        );
        assert_eq!(
            of("say \"x").as_deref(),
            Some("\" \"\"x\" AND \"y \"\"\" AND \"say\"")
        );
        assert_eq!(
            of("größe").as_deref(),
            Some("\"röß\" AND \"öße\" AND \"grö\"")
        );
        for few in ["", "ab", "a*bcd", "[abc"] {
            assert_eq!(of(few), None, "{few}");
        }
    }
}
