//! Puts together what writes to people: letters, and codes to telephones.

use std::sync::Arc;

use chassis::config::Faults;
use chassis::{Deps, StartError, Stop};

use crate::allowance::Allowance;
use crate::config::Section;
use crate::confirmation::{Letters, Lives};
use crate::errands::Errands;
use crate::link::Links;
use crate::mail::Sender;
use crate::password::Passwords;
use crate::phone_code::{PhoneCodes, Provider};
use crate::store::Store;

/// What both need.
pub(crate) struct Writing<'a> {
    section: &'a Section,
    deps: &'a Deps,
    store: &'a Store,
    stop: &'a Stop,
    allowance: Arc<Allowance>,
}

impl<'a> Writing<'a> {
    pub(crate) fn new(
        section: &'a Section,
        deps: &'a Deps,
        store: &'a Store,
        stop: &'a Stop,
    ) -> Self {
        let allowance = Arc::new(Allowance::new(section.attempts_entries_max));
        Self { section, deps, store, stop, allowance }
    }

    pub(crate) fn letters(&self) -> Result<Letters, StartError> {
        let (config, public_url) = (&self.section.mail, &self.section.public_url);
        if public_url.is_empty() {
            let message = "expected the URL at which people reach the gateway";
            return Err(StartError::Config(Faults::one("user.public_url", message)));
        }
        let bounds = config.sending.clone();
        let (random, stop) = (self.deps.random.clone(), self.stop.clone());
        Ok(Letters {
            store: self.store.clone(),
            sender: Arc::new(Sender::open(config, &self.deps.data, self.stop)?),
            errands: Errands::new("A letter", bounds, random.clone(), stop),
            allowance: self.allowance.clone(),
            links: Links::new(public_url.clone(), &config.reset_url),
            lives: Lives { verify: config.verify_life, reset: config.reset_life },
            clock: self.deps.clock.clone(),
            random,
        })
    }

    pub(crate) fn codes(&self, passwords: &Passwords) -> Result<PhoneCodes, StartError> {
        let config = &self.section.phone_codes;
        let bounds = config.sending.clone();
        let (random, stop) = (self.deps.random.clone(), self.stop.clone());
        Ok(PhoneCodes {
            store: self.store.clone(),
            passwords: passwords.clone(),
            provider: Arc::new(Provider::open(config, &self.deps.data, self.stop)?),
            errands: Errands::new("A code", bounds, random.clone(), stop),
            allowance: self.allowance.clone(),
            limits: config.limits(),
            clock: self.deps.clock.clone(),
            random,
        })
    }
}
