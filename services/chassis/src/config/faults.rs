//! What is wrong with a configuration: all of it at once.

use std::fmt;

use super::Layer;

/// One key that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The key, dots between levels.
    pub key: String,
    /// What stands there, masked when it is a secret; absent when nothing does.
    pub value: Option<String>,
    /// Who wrote it.
    pub layer: Option<Layer>,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.key)?;
        if let Some(value) = &self.value {
            write!(f, " = {value}")?;
        }
        if let Some(layer) = &self.layer {
            write!(f, " (from {layer})")?;
        }
        write!(f, ": {}", self.message)
    }
}

/// Every fault that was found; empty means none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Faults(pub Vec<Fault>);

impl Faults {
    /// A single fault of `key`.
    pub fn one(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self(vec![Fault { key: key.into(), value: None, layer: None, message: message.into() }])
    }

    /// Takes the value of `result`, or its faults into these.
    pub fn take<T>(&mut self, result: Result<T, Self>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(faults) => {
                self.0.extend(faults.0);
                None
            }
        }
    }

    /// `value` when there are no faults and it is there.
    pub fn or<T>(self, value: Option<T>) -> Result<T, Self> {
        match value {
            Some(value) if self.0.is_empty() => Ok(value),
            _ => Err(self),
        }
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            let end = if index + 1 == self.0.len() { "" } else { "\n" };
            write!(f, "  {fault}{end}")?;
        }
        Ok(())
    }
}
