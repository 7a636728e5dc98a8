//! Free text that people write about themselves: trimmed, bounded, and unable to disturb the
//! text around it.

use std::str::FromStr;

use super::Broken;

macro_rules! text {
    ($($(#[$doc:meta])* $name:ident up to $max:literal, $fits:path, $rule:literal;)+) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, PartialEq, Eq)]
            pub(crate) struct $name(String);

            impl $name {
                /// In characters.
                const LENGTH_MAX: usize = $max;

                pub(crate) fn as_str(&self) -> &str {
                    &self.0
                }
            }

            impl FromStr for $name {
                type Err = Broken;

                fn from_str(text: &str) -> Result<Self, Broken> {
                    let text = text.trim();
                    let short = (1..=Self::LENGTH_MAX).contains(&text.chars().count());
                    if short && $fits(text) { Ok(Self(text.to_owned())) } else { Err(Broken($rule)) }
                }
            }
        )+
    };
}

text! {
    /// What others read as the name.
    DisplayName up to 80, is_one_line, "must be one line of 1 to 80 characters";
    /// What its owner calls a machine key.
    KeyName up to 80, is_one_line, "must be one line of 1 to 80 characters";
    /// A given name.
    FirstName up to 80, is_one_line, "must be one line of 1 to 80 characters";
    /// A family name.
    LastName up to 80, is_one_line, "must be one line of 1 to 80 characters";
    /// A place, as its owner calls it.
    Location up to 100, is_one_line, "must be one line of 1 to 100 characters";
    /// A few words, on several lines if need be.
    Bio up to 500, is_lines, "must be 1 to 500 characters without control characters";
    /// Where a picture is.
    AvatarUrl up to 2048, is_web_address, "must be an http or https address of at most 2048 characters";
}

impl DisplayName {
    /// What is searched: the lower-case form, of the letters A to Z alone.
    pub(crate) fn key(&self) -> String {
        self.0.to_ascii_lowercase()
    }
}

fn is_one_line(text: &str) -> bool {
    !text.chars().any(|c| c.is_control() || turns_direction(c))
}

fn is_lines(text: &str) -> bool {
    !text.chars().any(|c| (c.is_control() && c != '\n' && c != '\t') || turns_direction(c))
}

/// Characters that change the order in which the text after them is shown (Unicode UAX #9).
fn turns_direction(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Other schemes (`javascript:`, `data:`) could act in the page that shows the picture.
fn is_web_address(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    rest.is_some_and(|rest| {
        rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '[')
            && rest.bytes().all(|b| b.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&b))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_trimmed_line() {
        assert_eq!("  Ada Lovelace ".parse::<DisplayName>().unwrap().as_str(), "Ada Lovelace");
        for bad in ["", "   ", "a\nb", "a\u{202e}b", "a\0b", &"x".repeat(81)] {
            assert!(bad.parse::<DisplayName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_bio_may_have_lines() {
        assert!("one\ntwo".parse::<Bio>().is_ok());
        assert!("one\u{7}".parse::<Bio>().is_err());
        assert!("x".repeat(501).parse::<Bio>().is_err());
    }

    #[test]
    fn an_avatar_is_reached_over_the_web() {
        for good in ["https://example.com/a.png", "http://[::1]:8000/a?b=c#d"] {
            assert!(good.parse::<AvatarUrl>().is_ok(), "{good}");
        }
        for bad in
            ["javascript:alert(1)", "data:image/png;base64,x", "https://", "https:// x", "//x"]
        {
            assert!(bad.parse::<AvatarUrl>().is_err(), "{bad}");
        }
    }
}
