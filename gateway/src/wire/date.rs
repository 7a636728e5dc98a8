//! `Date` (RFC 9110 section 6.6.1), which a second's answers share.

use std::cell::Cell;
use std::time::{Duration, UNIX_EPOCH};

use contract::Timestamp;

/// Length of an IMF-fixdate (RFC 9110 section 5.6.7).
const BYTES: usize = 29;

/// The date that was written last.
#[derive(Debug)]
pub(crate) struct Date(Cell<(i64, [u8; BYTES])>);

impl Default for Date {
    fn default() -> Self {
        Self(Cell::new((i64::MIN, [b' '; BYTES])))
    }
}

impl Date {
    /// As in `Sun, 06 Nov 1994 08:49:37 GMT`.
    pub(crate) fn at(&self, moment: Timestamp) -> [u8; BYTES] {
        let (second, text) = self.0.get();
        if second == moment.seconds() {
            return text;
        }
        let since = Duration::from_secs(u64::try_from(moment.seconds()).unwrap_or(0));
        let date = httpdate::fmt_http_date(UNIX_EPOCH + since);
        let mut text = [b' '; BYTES];
        text.iter_mut().zip(date.bytes()).for_each(|(to, from)| *to = from);
        self.0.set((moment.seconds(), text));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_written_as_the_standard_says() {
        let date = Date::default();
        assert_eq!(&date.at(Timestamp(784_111_777_500)), b"Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(&date.at(Timestamp(784_111_778_000)), b"Sun, 06 Nov 1994 08:49:38 GMT");
    }
}
