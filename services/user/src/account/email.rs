//! The rule for e-mail addresses: the plain form that mail servers everywhere take.

use std::str::FromStr;

use super::Broken;

/// An e-mail address: a dot-atom, `@` and a domain name of two labels or more (RFC 5321 section
/// 4.1.2, without quoted names, address literals and characters beyond ASCII).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Email(String);

impl Email {
    /// RFC 5321 section 4.5.3.1.3, less the angle brackets.
    const LENGTH_MAX: usize = 254;
    /// RFC 5321 section 4.5.3.1.1.
    const LOCAL_MAX: usize = 64;
    /// RFC 1035 section 2.3.4.
    const LABEL_MAX: usize = 63;

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// What has to be unique: the lower-case form.
    pub(crate) fn key(&self) -> String {
        self.0.to_ascii_lowercase()
    }
}

impl FromStr for Email {
    type Err = Broken;

    fn from_str(text: &str) -> Result<Self, Broken> {
        const RULE: Broken = Broken("must be an e-mail address such as ada@example.com");
        let text = text.trim();
        let (local, domain) = text.rsplit_once('@').ok_or(RULE)?;
        let fits = text.len() <= Self::LENGTH_MAX && local.len() <= Self::LOCAL_MAX;
        if fits && is_dot_atom(local) && is_domain(domain) {
            Ok(Self(text.to_owned()))
        } else {
            Err(RULE)
        }
    }
}

fn is_dot_atom(local: &str) -> bool {
    let is_atom = |atom: &str| {
        let mut bytes = atom.bytes();
        !atom.is_empty()
            && bytes.all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&b))
    };
    local.split('.').all(is_atom)
}

fn is_domain(domain: &str) -> bool {
    let is_label = |label: &str| {
        (1..=Email::LABEL_MAX).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    domain.contains('.') && domain.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_name_and_a_domain() {
        for good in ["ada@example.com", "a.b+tag@mail.example.org", " ada@example.com "] {
            assert!(good.parse::<Email>().is_ok(), "{good}");
        }
        let long = format!("{}@example.com", "x".repeat(65));
        for bad in [
            "",
            "ada",
            "@example.com",
            "ada@",
            "ada@localhost",
            "a..b@example.com",
            ".a@example.com",
            "ada@-example.com",
            "ada@example..com",
            "a b@example.com",
            "ada@exam ple.com",
            "ada@example.com\nbcc: x@example.com",
            "\"a\"@example.com",
            "ada@[127.0.0.1]",
            "ädä@example.com",
            &long,
        ] {
            assert!(bad.parse::<Email>().is_err(), "{bad}");
        }
    }

    #[test]
    fn addresses_that_differ_in_case_alone_have_one_key() {
        let email = "Ada@Example.com".parse::<Email>().unwrap();
        assert_eq!(email.key(), "ada@example.com");
        assert_eq!(email.as_str(), "Ada@Example.com");
    }
}
