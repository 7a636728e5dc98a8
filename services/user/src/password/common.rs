//! Knows the passwords that are guessed first.

/// The commonest of published leaks that are long enough to be set at all, lower-case, one a line.
const COMMON: &str = include_str!("common.txt");

/// Whether `password` is guessed first, whatever its case.
pub(crate) fn contains(password: &str) -> bool {
    let lower = password.to_lowercase();
    COMMON.lines().any(|common| common == lower)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commonest_passwords_are_known_in_every_case() {
        assert!(contains("password"));
        assert!(contains("PassWord1"));
        assert!(!contains("correct horse battery"));
    }

    #[test]
    fn every_line_is_one_that_could_be_typed() {
        for line in COMMON.lines() {
            assert_eq!(line, line.trim().to_lowercase());
            assert!(line.len() >= 8, "{line} is refused anyway");
            assert_eq!(COMMON.lines().filter(|other| *other == line).count(), 1, "{line}");
        }
    }
}
