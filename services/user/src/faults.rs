//! Collects what is wrong with the fields of a body, so that a caller hears all of it at once.

use std::str::FromStr;

use contract::problem::FieldFault;

use crate::account::Broken;

/// The faults found so far.
#[derive(Debug, Default)]
pub(crate) struct Faults(Vec<FieldFault>);

impl Faults {
    /// Adds a fault of `field`.
    pub(crate) fn add(&mut self, field: &str, message: &str) {
        self.0.push(FieldFault::new(field, message));
    }

    /// Parses a field that has to be there.
    pub(crate) fn parse<T: FromStr<Err = Broken>>(&mut self, field: &str, text: &str) -> Option<T> {
        text.parse().map_err(|Broken(rule)| self.add(field, rule)).ok()
    }

    /// Parses a field that may be absent; an empty text, as forms send it, is an absent one.
    pub(crate) fn parse_optional<T: FromStr<Err = Broken>>(
        &mut self,
        field: &str,
        text: Option<&str>,
    ) -> Option<T> {
        let text = text.filter(|text| !text.trim().is_empty())?;
        self.parse(field, text)
    }

    /// Whether nothing was found so far.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<Faults> for Vec<FieldFault> {
    fn from(faults: Faults) -> Self {
        faults.0
    }
}
