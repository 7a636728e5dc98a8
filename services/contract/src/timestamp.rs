//! Moments on the wire: RFC 3339, UTC, with milliseconds.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use utoipa::ToSchema;

/// A moment, written as `2026-11-20T17:00:00.123Z`; here milliseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, ToSchema)]
#[schema(value_type = String, format = DateTime, example = "2026-11-20T17:00:00.123Z")]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Whole seconds, as `exp`, `nbf` and `iat` of a JWT have them (RFC 7519 section 2).
    #[must_use]
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// The moment `later` after this one; the last moment there is when that cannot be told.
    #[must_use]
    pub fn plus(self, later: Duration) -> Self {
        let later = i64::try_from(later.as_millis()).unwrap_or(i64::MAX);
        Self(self.0.saturating_add(later))
    }

    /// What has passed since `earlier`; zero when that lies ahead.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = i128::from(self.0) * 1_000_000;
        let Ok(at) = OffsetDateTime::from_unix_timestamp_nanos(nanos) else {
            return f.write_str("out of range");
        };
        let (year, month, day) = at.to_calendar_date();
        let (hour, minute, second, milli) = at.to_hms_milli();
        let month = u8::from(month);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// The text is no moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a time as in RFC 3339")]
pub struct NoTime;

impl FromStr for Timestamp {
    type Err = NoTime;

    /// With any offset.
    fn from_str(text: &str) -> Result<Self, NoTime> {
        let at = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| NoTime)?;
        let millis = at.unix_timestamp_nanos().div_euclid(1_000_000);
        i64::try_from(millis).map(Self).map_err(|_| NoTime)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_with_milliseconds_and_read_with_any_offset() {
        let at = Timestamp(1_795_194_000_123);
        assert_eq!(serde_json::to_string(&at).unwrap(), r#""2026-11-20T17:00:00.123Z""#);
        let read: Timestamp = serde_json::from_str(r#""2026-11-20T18:00:00.123+01:00""#).unwrap();
        assert_eq!(read, at);
        assert!(serde_json::from_str::<Timestamp>(r#""yesterday""#).is_err());
    }
}
