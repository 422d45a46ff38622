//! Figures that could not be read, each told once.

use std::collections::BTreeMap;

use crate::record::{SampleRemark, UnknownFigure};

/// What could not be read, and since when.
#[derive(Debug, Default)]
pub struct Remarks {
    offset: f64,
    first: BTreeMap<String, (f64, String)>,
}

impl Remarks {
    /// What is remarked from now on was so at this offset, s since the run began.
    pub fn at(&mut self, offset: f64) {
        self.offset = offset;
    }

    /// The value of a figure, or nothing and a remark.
    pub fn value<T>(&mut self, field: &str, read: Result<T, String>) -> Option<T> {
        match read {
            Ok(value) => Some(value),
            Err(reason) => {
                if !self.first.contains_key(field) {
                    self.first.insert(field.to_owned(), (self.offset, reason));
                }
                None
            }
        }
    }

    /// All of them, the earliest first.
    pub fn into_list(self) -> Vec<SampleRemark> {
        let remarks = self.first.into_iter();
        let mut list: Vec<SampleRemark> = remarks
            .map(|(field, (offset, reason))| SampleRemark {
                offset,
                field,
                reason,
            })
            .collect();
        list.sort_by(|a, b| a.offset.total_cmp(&b.offset));
        list
    }

    /// The same without times.
    pub fn into_unavailable(self) -> Vec<UnknownFigure> {
        let remarks = self.first.into_iter();
        remarks
            .map(|(field, (_, reason))| UnknownFigure { field, reason })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_figure_is_remarked_once_when_it_first_fails() {
        let mut remarks = Remarks::default();
        assert_eq!(remarks.value("a", Ok::<_, String>(1)), Some(1));
        remarks.at(2.0);
        assert_eq!(remarks.value::<u32>("b", Err("gone".into())), None);
        remarks.at(3.0);
        assert_eq!(remarks.value::<u32>("b", Err("still gone".into())), None);
        assert_eq!(remarks.value::<u32>("a", Err("too".into())), None);
        let found: Vec<(f64, String, String)> = remarks
            .into_list()
            .into_iter()
            .map(|it| (it.offset, it.field, it.reason))
            .collect();
        assert_eq!(
            found,
            [
                (2.0, "b".to_owned(), "gone".to_owned()),
                (3.0, "a".to_owned(), "too".to_owned()),
            ]
        );
    }
}
