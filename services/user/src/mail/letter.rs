//! What we write to people. The words are ours alone: a letter quotes nothing that a stranger chose, not
//! even a username, so that nobody writes to anybody in our name.

use std::fmt;
use std::time::{Duration, UNIX_EPOCH};

use contract::Timestamp;
use lettre::Message;
use lettre::message::header::{ContentTransferEncoding, ContentType, HeaderName, HeaderValue};
use lettre::message::{Body, Mailbox};
use uuid::Uuid;

use crate::account::Email;
use crate::errands::Fault;

/// Longest line, without its end (RFC 5322 section 2.1.1).
const LINE_MAX: usize = 998;

/// One letter, to one person. Never printed.
pub(crate) struct Letter {
    pub(crate) to: Email,
    subject: &'static str,
    text: String,
    pub(crate) at: Timestamp,
    pub(crate) id: Uuid,
}

impl fmt::Debug for Letter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Letter(***)")
    }
}

impl Letter {
    /// Asks whoever reads `to` to confirm that.
    pub(crate) fn verify(
        to: Email,
        link: &str,
        life: Duration,
        (at, id): (Timestamp, Uuid),
    ) -> Self {
        let text = format!(
            "Hello,\n\nsomebody, hopefully you, gave this e-mail address to Hubbub. To confirm that it is yours,\n\
             open this link within {} and press the button there:\n\n{link}\n\n\
             If it was not you, do nothing. Nobody will write to you again.\n",
            spoken(life)
        );
        Self { to, subject: "Confirm your e-mail address", text, at, id }
    }

    /// Leads whoever reads `to` to a new password.
    pub(crate) fn reset(
        to: Email,
        link: &str,
        life: Duration,
        (at, id): (Timestamp, Uuid),
    ) -> Self {
        let text = format!(
            "Hello,\n\nsomebody, hopefully you, forgot the password of your account at Hubbub. To set a new one,\n\
             open this link within {}:\n\n{link}\n\n\
             All your sessions end then. If it was not you, do nothing: the password stays as it is.\n",
            spoken(life)
        );
        Self { to, subject: "Set a new password", text, at, id }
    }

    /// Tells whoever reads `to`, which an account had, that it has another address now.
    pub(crate) fn address_changed(to: Email, (at, id): (Timestamp, Uuid)) -> Self {
        let text = "Hello,\n\nthe e-mail address of your account at Hubbub was changed: it is no longer this one.\n\n\
             If it was you, there is nothing to do. If it was not, sign in with your username, change your\n\
             password, which ends all other sessions, set the address back, and delete machine keys that\n\
             are not yours. If you cannot sign in any more, turn to whoever runs this Hubbub.\n";
        Self { to, subject: "Your e-mail address was changed", text: text.to_owned(), at, id }
    }

    /// Tells whoever reads `to` that the account has another password now.
    pub(crate) fn password_changed(to: Email, (at, id): (Timestamp, Uuid)) -> Self {
        let text = "Hello,\n\nthe password of your account at Hubbub was changed.\n\n\
             If it was you, there is nothing to do. If it was not, say on the page where you sign in that you\n\
             forgot the password: a letter to this address lets you set another one, and all sessions end\n\
             then. Delete machine keys that are not yours.\n";
        Self { to, subject: "Your password was changed", text: text.to_owned(), at, id }
    }

    /// As it is sent (RFC 5322). The body is ASCII and stays as it is, so that its link can be read in
    /// the raw text too.
    pub(super) fn message(&self, from: &Mailbox) -> Result<Message, Fault> {
        let cannot = |what: &str| Fault::Lasting(format!("the letter has no valid {what}"));
        let to = self.to.as_str().parse().map_err(|_| cannot("receiver"))?;
        let is_plain = self.text.is_ascii() && self.text.lines().all(|line| line.len() <= LINE_MAX);
        if !is_plain {
            return Err(cannot("body"));
        }
        let text = self.text.replace('\n', "\r\n").into_bytes();
        let body = Body::dangerous_pre_encoded(text, ContentTransferEncoding::SevenBit);
        let millis = u64::try_from(self.at.0).unwrap_or(0);
        // Nobody's out-of-office answers it (RFC 3834 section 5).
        let machine = HeaderName::new_from_ascii_str("Auto-Submitted");
        Message::builder()
            .from(from.clone())
            .to(Mailbox::new(None, to))
            .date(UNIX_EPOCH + Duration::from_millis(millis))
            .message_id(Some(format!("<{}@{}>", self.id, from.email.domain())))
            .subject(self.subject)
            .raw_header(HeaderValue::new(machine, "auto-generated".to_owned()))
            .header(ContentType::TEXT_PLAIN)
            .body(body)
            .map_err(|_| cannot("form"))
    }
}

/// In whole minutes: `1h 30m`.
fn spoken(life: Duration) -> String {
    let minutes = life.as_secs().div_ceil(60);
    match (minutes / 60, minutes % 60) {
        (0, 1) => "1 minute".to_owned(),
        (0, minutes) => format!("{minutes} minutes"),
        (1, 0) => "1 hour".to_owned(),
        (hours, 0) => format!("{hours} hours"),
        (hours, minutes) => format!("{hours} h {minutes} min"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_is_plain_text_whose_link_is_in_one_piece() {
        let link =
            format!("https://chat.example.com/api/auth/verify-email?token={}", "A".repeat(43));
        let stamp = (Timestamp(1_795_194_000_000), Uuid::nil());
        let to = "ada@example.com".parse().unwrap();
        let letter = Letter::verify(to, &link, Duration::from_hours(24), stamp);
        let from = "Hubbub <hubbub@example.com>".parse().unwrap();
        let text = String::from_utf8(letter.message(&from).unwrap().formatted()).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        for line in [
            "From: Hubbub <hubbub@example.com>",
            "To: ada@example.com",
            "Date: Fri, 20 Nov 2026 17:00:00 +0000",
            "Subject: Confirm your e-mail address",
            "Auto-Submitted: auto-generated",
            "Content-Transfer-Encoding: 7bit",
        ] {
            assert!(head.lines().any(|one| one == line), "{line} is not in\n{head}");
        }
        assert!(body.contains(&format!("\r\n{link}\r\n")) && body.contains("within 24 hours"));
        assert!(!text.replace("\r\n", "").contains('\n'));
        assert!(!format!("{letter:?}").contains("ada"));
    }

    #[test]
    fn what_tells_of_a_change_has_nothing_to_follow() {
        let to = || "ada@example.com".parse().unwrap();
        let stamp = (Timestamp(1_795_194_000_000), Uuid::nil());
        let from = "Hubbub <hubbub@example.com>".parse().unwrap();
        for letter in [Letter::address_changed(to(), stamp), Letter::password_changed(to(), stamp)]
        {
            let text = String::from_utf8(letter.message(&from).unwrap().formatted()).unwrap();
            let (_, body) = text.split_once("\r\n\r\n").unwrap();
            assert!(!body.contains("http") && !body.contains("token"), "{body}");
            assert!(!body.contains("  ") && body.contains("If it was not"), "{body}");
        }
    }

    #[test]
    fn a_life_is_told_as_people_do() {
        let told = [(60, "1 minute"), (300, "5 minutes"), (3600, "1 hour"), (5400, "1 h 30 min")];
        for (seconds, text) in told {
            assert_eq!(spoken(Duration::from_secs(seconds)), text);
        }
    }
}
