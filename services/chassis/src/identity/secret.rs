//! The secret of users' tokens, where an operator chose one: found, and judged before it is used.

use super::Config;
use crate::config::Faults;
use crate::secret::Secret;
use crate::tokens::TokenSecret;

impl Config {
    /// The secret that signs users' tokens; `None` when keys do. One that can be guessed is a fault, unless
    /// that is allowed.
    pub fn token_secret(&self) -> Result<Option<TokenSecret>, Faults> {
        let (key, secret) = if !self.jwt_secret.expose().is_empty() {
            ("jwt_secret", self.jwt_secret.clone())
        } else if !self.jwt_secret_file.as_os_str().is_empty() {
            let secret = Secret::from_file(&self.jwt_secret_file);
            (
                "jwt_secret_file",
                secret.map_err(|error| fault("jwt_secret_file", &error.to_string()))?,
            )
        } else {
            return Ok(None);
        };
        let secret = TokenSecret::new(secret);
        match secret.weakness() {
            Some(weakness) if !self.weak_secret_allowed => {
                let told = "expected at least 32 bytes that nobody can guess";
                Err(fault(key, &format!("{told}, and {weakness}")))
            }
            _ => Ok(Some(secret)),
        }
    }
}

fn fault(key: &str, message: &str) -> Faults {
    Faults::one(format!("identity.{key}"), message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Layers;

    const GOOD: &str = "9f8c2d7be1a04c5f93d6e7b8a1c2f405";

    fn config(settings: &[(&str, &str)]) -> Config {
        let mut layers = Layers::defaults();
        let vars = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        layers.environment("user.listen", vars);
        layers.section("identity").unwrap()
    }

    #[test]
    fn without_a_secret_keys_sign() {
        for none in [&[][..], &[("JWT_SECRET", "")]] {
            assert_eq!(config(none).token_secret(), Ok(None));
        }
    }

    #[test]
    fn the_older_name_and_the_key_mean_the_same_secret() {
        let good = Some(TokenSecret::new(Secret::new(GOOD.to_owned())));
        assert_eq!(config(&[("JWT_SECRET", GOOD)]).token_secret(), Ok(good.clone()));
        assert_eq!(config(&[("HUBBUB__IDENTITY__JWT_SECRET", GOOD)]).token_secret(), Ok(good));
    }

    #[test]
    fn a_secret_that_can_be_guessed_is_refused_without_being_told_unless_that_is_allowed() {
        let weak = "12345678901234567890";
        let faults = config(&[("JWT_SECRET", weak)]).token_secret().unwrap_err().to_string();
        assert!(faults.contains("identity.jwt_secret") && !faults.contains(weak), "{faults}");
        let allowed = [("JWT_SECRET", weak), ("HUBBUB__IDENTITY__WEAK_SECRET_ALLOWED", "true")];
        let secret = config(&allowed).token_secret().unwrap().unwrap();
        assert!(secret.weakness().is_some());
    }

    #[test]
    fn a_secret_may_stand_in_a_file_and_a_file_that_is_not_there_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        let named = [("HUBBUB__IDENTITY__JWT_SECRET_FILE", path.to_str().unwrap())];
        let absent = config(&named).token_secret().unwrap_err().to_string();
        assert!(absent.contains(path.to_str().unwrap()), "{absent}");
        std::fs::write(&path, "short\n").unwrap();
        let weak = config(&named).token_secret().unwrap_err().to_string();
        assert!(weak.contains("identity.jwt_secret_file") && !weak.contains("short\n"), "{weak}");
        std::fs::write(&path, format!("{GOOD}\n")).unwrap();
        let good = Some(TokenSecret::new(Secret::new(GOOD.to_owned())));
        assert_eq!(config(&named).token_secret(), Ok(good));
    }
}
