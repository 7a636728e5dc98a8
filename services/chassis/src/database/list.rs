//! Many values as one parameter: an array in PostgreSQL, the text of a JSON array in SQLite.

use uuid::Uuid;

/// Values of one type.
#[derive(Debug, Clone)]
pub enum List<'q> {
    /// Texts.
    Texts(Vec<&'q str>),
    /// Whole numbers.
    Integers(Vec<i64>),
    /// Ids, or none.
    Ids(Vec<Option<Uuid>>),
}

impl List<'_> {
    /// As `json_each` takes it; an id is its hyphenated text.
    pub(super) fn json(&self) -> String {
        let text = match self {
            Self::Texts(texts) => serde_json::to_string(texts),
            Self::Integers(numbers) => serde_json::to_string(numbers),
            Self::Ids(ids) => serde_json::to_string(ids),
        };
        // Texts, numbers and ids always have a form in JSON.
        text.unwrap_or_default()
    }
}
