//! What agents remember, and finding it: by embeddings of one model, or by words.

use std::collections::{BTreeSet, HashMap};

use super::super::database::{Dialect, Row, Statement, Work};
use super::super::runs::{decode, packed};
use super::super::{Store, StoreError};
use crate::record::{MemoryDocument, MemoryPage, MemoryScope, RecallReason, RunId};

const DEFAULT_LIMIT: u32 = 50;
const MAX_LIMIT: u32 = 500;
/// The newest so many documents are compared with what is looked for: of vectors of a thousand numbers
/// that reads 8 MiB and takes a few milliseconds.
const MOST_COMPARED: u32 = 2000;
/// So many documents are ranked by the database before the best are taken.
const MOST_RANKED: u32 = 200;
/// Bytes of words that a document is found by; Postgres takes no more than a mebibyte.
const MOST_WORD_BYTES: usize = 256 << 10;
/// Longest word, characters; what is longer is no word.
const LONGEST_WORD: usize = 64;
/// Most words that are looked for at once.
const MOST_LOOKED_FOR: usize = 64;
/// Words that are shorter say little; they are looked for only where there are no others.
const SHORT_WORD: usize = 3;

/// What a model makes of a text.
#[derive(Clone, Debug, PartialEq)]
pub struct Embedding {
    /// The model, `NAME@BACKEND`: only vectors of the same one can be compared.
    pub model: String,
    /// Its numbers.
    pub vector: Vec<f32>,
}

/// A document as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Remembered {
    /// The document.
    pub document: MemoryDocument,
    /// Its embedding, where there was a model for that.
    pub embedding: Option<Embedding>,
}

impl Store {
    /// Keeps a document. The same one again, after an attempt whose answer was lost, changes nothing.
    pub async fn remember(&self, remembered: &Remembered) -> Result<(), StoreError> {
        let mut work = self.database.write().await?;
        insert(&mut work, remembered).await?;
        work.commit().await?;
        Ok(())
    }

    /// A page of documents, newest first.
    pub async fn memory(
        &self,
        scope: &MemoryScope,
        limit: u32,
        cursor: Option<&str>,
    ) -> Result<MemoryPage, StoreError> {
        let limit = match limit {
            0 => DEFAULT_LIMIT,
            limit => limit.min(MAX_LIMIT),
        };
        let mut find = Statement::new("select number, id, document from nova_memory where true");
        within(&mut find, scope);
        if let Some(cursor) = cursor {
            let number = i64::from_str_radix(cursor, 16).map_err(|_| StoreError::BadCursor)?;
            find.push(" and number < ").push_bind(number);
        }
        find.push(" order by number desc limit ");
        find.push_bind(limit + 1);
        let mut rows = self.database.fetch_all(find).await?;
        let more = rows.len() > limit as usize;
        rows.truncate(limit as usize);
        let mut page = MemoryPage {
            documents: rows.iter().map(read).collect::<Result<_, _>>()?,
            next: None,
        };
        if let (true, Some(row)) = (more, rows.last()) {
            page.next = Some(format!("{:x}", row.get::<i64>("number")?));
        }
        Ok(page)
    }

    /// What a session alone remembers, oldest first, with embeddings.
    pub async fn memory_of(&self, session: &RunId) -> Result<Vec<Remembered>, StoreError> {
        let find = "select id, document, embedding_model, embedding from nova_memory
            where session = $1 order by number";
        let find = Statement::new(find).bind(session.as_str());
        let rows = self.database.fetch_all(find).await?;
        let whole = |row: &Row| {
            let model: Option<String> = row.get("embedding_model")?;
            let vector: Option<Vec<u8>> = row.get("embedding")?;
            let embedding = model.zip(vector).map(|(model, bytes)| Embedding {
                model,
                vector: numbers(&bytes).collect(),
            });
            Ok(Remembered {
                document: read(row)?,
                embedding,
            })
        };
        rows.iter().map(whole).collect()
    }

    /// Deletes a document; whether there was one.
    pub async fn forget(&self, id: &RunId) -> Result<bool, StoreError> {
        let delete = Statement::new("delete from nova_memory where id = $1").bind(id.as_str());
        Ok(self.database.execute(delete).await? > 0)
    }

    /// Deletes all documents; how many there were.
    pub async fn forget_all(&self, scope: &MemoryScope) -> Result<u64, StoreError> {
        let mut delete = Statement::new("delete from nova_memory where true");
        within(&mut delete, scope);
        Ok(self.database.execute(delete).await?)
    }

    /// Documents whose embeddings by the same model lie nearest, the nearest first; `score` is the cosine
    /// of the angle between them, and none without any likeness is given.
    pub async fn recall_by_embedding(
        &self,
        scope: &MemoryScope,
        wanted: &Embedding,
        limit: usize,
    ) -> Result<Vec<MemoryDocument>, StoreError> {
        let mut find = Statement::new("select number, embedding from nova_memory where true");
        within(&mut find, scope);
        find.push(" and embedding_model = ");
        find.push_bind(&*wanted.model);
        find.push(" order by number desc limit ");
        find.push_bind(MOST_COMPARED);
        let mut near: Vec<(f64, i64)> = Vec::new();
        for row in self.database.fetch_all(find).await? {
            let likeness = cosine(&wanted.vector, row.bytes("embedding")?);
            if let Some(likeness) = likeness.filter(|it| *it > 0.0) {
                near.push((likeness, row.get("number")?));
            }
        }
        near.sort_by(|a, b| b.0.total_cmp(&a.0).then(b.1.cmp(&a.1)));
        near.truncate(limit);
        if near.is_empty() {
            return Ok(Vec::new());
        }
        let mut find =
            Statement::new("select number, id, document from nova_memory where number in (");
        find.push_list(near.iter().map(|(_, number)| *number))
            .push(")");
        let mut found: HashMap<i64, MemoryDocument> = HashMap::new();
        for row in self.database.fetch_all(find).await? {
            found.insert(row.get("number")?, read(&row)?);
        }
        // One that is not there was forgotten since.
        let documents = near.into_iter().filter_map(|(likeness, number)| {
            Some(MemoryDocument {
                score: Some(likeness),
                found_by: Some(RecallReason::Embedding),
                reason: Some(format!(
                    "its meaning is near by {}: {likeness:.2} of 1",
                    wanted.model
                )),
                ..found.remove(&number)?
            })
        });
        Ok(documents.collect())
    }

    /// Documents that share words with a text, the best first; `score` is the share of its words that
    /// they have.
    pub async fn recall_by_words(
        &self,
        scope: &MemoryScope,
        text: &str,
        limit: usize,
    ) -> Result<Vec<MemoryDocument>, StoreError> {
        let wanted = looked_for(text);
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let mut find = ranked(self.database.dialect(), &wanted);
        within(&mut find, scope);
        find.push(self.database.dialect().pick(
            " order by nova_memory_words.rank, number desc limit ",
            " order by ts_rank_cd(lexemes, query) desc, number desc limit ",
        ));
        find.push_bind(MOST_RANKED);
        let rows = self.database.fetch_all(find).await?;
        let mut found = Vec::new();
        for row in &rows {
            let words: String = row.get("words")?;
            let own: BTreeSet<&str> = words.split(' ').collect();
            let shared: Vec<&str> = wanted
                .iter()
                .map(String::as_str)
                .filter(|word| own.contains(word))
                .collect();
            found.push(MemoryDocument {
                score: Some(shared.len() as f64 / wanted.len() as f64),
                found_by: Some(RecallReason::FullText),
                reason: Some(format!("it has the words {}", shared.join(", "))),
                ..read(row)?
            });
        }
        // Stable: of those that share as many words the database's ranking decides.
        found.sort_by(|a, b| b.score.unwrap_or(0.0).total_cmp(&a.score.unwrap_or(0.0)));
        found.truncate(limit);
        Ok(found)
    }
}

/// Every document with one of these words, for its ranking.
fn ranked(dialect: Dialect, wanted: &BTreeSet<String>) -> Statement {
    let words = wanted.iter().map(String::as_str);
    match dialect {
        Dialect::Sqlite => {
            let quoted: Vec<String> = words.map(|word| format!("\"{word}\"")).collect();
            let mut find = Statement::new(
                "select number, id, document, nova_memory.words from nova_memory_words
                 join nova_memory on nova_memory.number = nova_memory_words.rowid
                 where nova_memory_words match ",
            );
            find.push_bind(quoted.join(" OR "));
            find
        }
        Dialect::Postgres => {
            let words: Vec<&str> = words.collect();
            let mut find = Statement::new(
                "select number, id, document, words from nova_memory, to_tsquery('simple', ",
            );
            find.push_bind(words.join(" | "));
            find.push(") query where lexemes @@ query");
            find
        }
    }
}

/// Adds which documents are looked through.
fn within(find: &mut Statement, scope: &MemoryScope) {
    match scope {
        MemoryScope::All => {}
        MemoryScope::Shared => {
            find.push(" and session is null");
        }
        MemoryScope::Session(session) => {
            find.push(" and (session is null or session = ");
            find.push_bind(session.as_str());
            find.push(")");
        }
    }
}

/// A new document.
pub(super) async fn insert(work: &mut Work, remembered: &Remembered) -> Result<(), StoreError> {
    let Remembered {
        document,
        embedding,
    } = remembered;
    let insert =
        "insert into nova_memory (id, session, words, embedding_model, embedding, document)
        values ($1, $2, $3, $4, $5, $6) on conflict (id) do nothing";
    let bytes = embedding
        .as_ref()
        .map(|it| it.vector.iter().flat_map(|it| it.to_le_bytes()).collect());
    let bytes: Option<Vec<u8>> = bytes;
    let insert = Statement::new(insert)
        .bind(document.id.as_str())
        .bind(document.session_id.as_ref().map(RunId::as_str))
        .bind(words(&document.text))
        .bind(embedding.as_ref().map(|it| it.model.as_str()))
        .bind(bytes)
        .bind(packed(document)?);
    work.execute(insert).await?;
    Ok(())
}

fn read(row: &Row) -> Result<MemoryDocument, StoreError> {
    let id: String = row.get("id")?;
    decode(row, "memory", &id)
}

/// Stretches of letters and digits, in lower case.
fn each_word(text: &str) -> impl Iterator<Item = String> {
    text.split(|letter: char| !letter.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        // Lower case may come with signs that are no letters.
        .map(|word| word.chars().filter(|it| it.is_alphanumeric()).collect())
        .filter(|word: &String| !word.is_empty() && word.chars().count() <= LONGEST_WORD)
}

/// What a document is found by.
fn words(text: &str) -> String {
    let mut all = String::new();
    for word in each_word(text) {
        if all.len() + word.len() > MOST_WORD_BYTES {
            break;
        }
        if !all.is_empty() {
            all.push(' ');
        }
        all.push_str(&word);
    }
    all
}

/// The words that are worth looking for.
fn looked_for(text: &str) -> BTreeSet<String> {
    let all: BTreeSet<String> = each_word(text).take(MOST_LOOKED_FOR * 4).collect();
    let is_long = |word: &&String| word.chars().count() >= SHORT_WORD;
    let long: BTreeSet<String> = all.iter().filter(is_long).cloned().collect();
    let chosen = if long.is_empty() { all } else { long };
    chosen.into_iter().take(MOST_LOOKED_FOR).collect()
}

fn numbers(bytes: &[u8]) -> impl Iterator<Item = f32> {
    bytes.as_chunks().0.iter().map(|it| f32::from_le_bytes(*it))
}

/// The cosine of the angle between two vectors; `None` where they cannot be compared.
fn cosine(wanted: &[f32], bytes: &[u8]) -> Option<f64> {
    if size_of_val(wanted) != bytes.len() {
        return None;
    }
    let (mut product, mut own, mut other) = (0.0, 0.0, 0.0);
    for (a, b) in wanted.iter().zip(numbers(bytes)) {
        let (a, b) = (f64::from(*a), f64::from(b));
        product += a * b;
        own += a * a;
        other += b * b;
    }
    let likeness = product / (own.sqrt() * other.sqrt());
    likeness.is_finite().then(|| likeness.clamp(-1.0, 1.0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn short_words_are_looked_for_only_where_there_are_no_others() {
        let found = |text| looked_for(text).into_iter().collect::<Vec<_>>().join(" ");
        assert_eq!(found("What is the ÄRGER of 42?"), "the what ärger");
        assert_eq!(found("is it?"), "is it");
        assert_eq!(found("\u{0} \" * -"), "");
    }

    #[test]
    fn vectors_of_other_lengths_are_not_compared() {
        let bytes: Vec<u8> = [1.0_f32, 0.0]
            .iter()
            .flat_map(|it| it.to_le_bytes())
            .collect();
        assert_eq!(cosine(&[2.0, 0.0], &bytes), Some(1.0));
        assert_eq!(cosine(&[0.0, 3.0], &bytes), Some(0.0));
        assert_eq!(cosine(&[0.0, 0.0], &bytes), None);
        assert_eq!(cosine(&[1.0], &bytes), None);
    }

    proptest! {
        #[test]
        fn words_hold_only_letters_and_digits(text in ".*") {
            prop_assert!(words(&text).chars().all(|it| it.is_alphanumeric() || it == ' '));
        }
    }
}
