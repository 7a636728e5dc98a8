//! How sessions end because somebody says so: signing out, ending one of one's others, changing the
//! password, deleting the account. Each is told to everybody who checks tokens.

use std::net::IpAddr;

use chassis::identity::UserCaller;
use contract::user::{ChangePassword, OpenSession};
use contract::{SessionId, UserId};

use crate::audit::{Action, Entry};
use crate::error::Error;
use crate::faults::Faults;
use crate::password::rules::{Names, Password};
use crate::store::ends::{Ends as _, NewPassword};
use crate::users::Users;

impl Users {
    /// The caller's sessions that are alive.
    pub(crate) async fn open_sessions(
        &self,
        caller: &UserCaller,
    ) -> Result<Vec<OpenSession>, Error> {
        let now = self.clock.now();
        Ok(self.store.open_sessions(caller.person.id, caller.session, now).await?)
    }

    /// Ends the session that calls.
    pub(crate) async fn log_out(&self, caller: &UserCaller, from: IpAddr) -> Result<(), Error> {
        match self.end(caller.person.id, caller.session, Action::LogOut, from).await {
            // It is over or forgotten, which is what was wanted; its last token may not be.
            Err(Error::NoSuchSession) => {
                let told = self.store.revoke(self.feed.session(caller.session)).await?;
                self.feed.tell(told);
                Ok(())
            }
            done => done,
        }
    }

    /// Ends every session of whoever calls.
    pub(crate) async fn log_out_everywhere(&self, id: UserId, from: IpAddr) -> Result<(), Error> {
        let now = self.clock.now();
        let mut entry = Entry::own(Action::LogOut, id, from, now);
        entry.detail = Some("everywhere".to_owned());
        let told = self.store.end_all_sessions(id, &self.feed, &entry).await?;
        self.feed.tell(told);
        Ok(())
    }

    /// Ends one of the caller's sessions.
    pub(crate) async fn end_session(
        &self,
        caller: &UserCaller,
        id: SessionId,
        from: IpAddr,
    ) -> Result<(), Error> {
        self.end(caller.person.id, id, Action::EndSession, from).await
    }

    async fn end(
        &self,
        of: UserId,
        id: SessionId,
        action: Action,
        from: IpAddr,
    ) -> Result<(), Error> {
        let now = self.clock.now();
        let entry = Entry::own(action, of, from, now);
        let ended = self.store.end_session(of, id, &self.feed.session(id), &entry).await?;
        self.feed.tell(ended.ok_or(Error::NoSuchSession)?);
        Ok(())
    }

    /// Changes the caller's password, for whoever knows the one so far; the caller's other sessions
    /// end. Guessing at it is counted like guessing at a sign-in: whoever found an open browser is not
    /// its owner.
    pub(crate) async fn change_password(
        &self,
        caller: &UserCaller,
        body: &ChangePassword,
        from: IpAddr,
    ) -> Result<(), Error> {
        let id = caller.person.id;
        let found = self.store.find_credentials_of(id).await?.ok_or(Error::AccountGone)?;
        let mut faults = Faults::default();
        let names = Names::of(&found.account);
        let new = self.rules.read(&mut faults, "newPassword", &body.new_password, names);
        let Some(new) = new else { return Err(faults.into()) };
        let checked = self.check_password(id, &body.current_password, found.password, from).await?;
        let hash = self.hash(&new).await?;
        let now = self.clock.now();
        let new = NewPassword { checked: &checked, hash: &hash, keep: caller.session };
        let entry = Entry::own(Action::ChangePassword, id, from, now);
        let told = self.store.change_password(id, new, &entry, |sid| self.feed.session(sid));
        self.feed.tell(told.await?);
        Ok(())
    }

    /// The PHC string behind which `password` is, when it is the account's.
    async fn check_password(
        &self,
        id: UserId,
        password: &str,
        stored: Option<String>,
        from: IpAddr,
    ) -> Result<String, Error> {
        let target = self.target(id, from).await?;
        let _turn = self.attempts.turn(&target, from).await?;
        let now = self.clock.now();
        self.attempts.spend(&target, from, now)?;
        let judged = self.passwords.verify(password, stored.clone()).await;
        let fits = judged.inspect_err(|_| self.attempts.take_back(Some(&target), from, now))?;
        let stored = stored.filter(|_| fits).ok_or(Error::WrongPassword)?;
        self.attempts.forgive(&target, from, now);
        Ok(stored)
    }

    /// The PHC string to store for a password that keeps the rules.
    pub(crate) async fn hash(&self, password: &Password) -> Result<String, Error> {
        Ok(self.passwords.hash(password.as_str(), self.draw_salt()).await?)
    }

    /// Deletes the caller's account. What was written in rooms stays there, under no name.
    pub(crate) async fn delete_account(&self, id: UserId, from: IpAddr) -> Result<(), Error> {
        let now = self.clock.now();
        let entry = Entry::own(Action::DeleteAccount, id, from, now);
        let told = self.store.delete_account(id, &self.feed, &entry).await?;
        self.feed.tell(told);
        Ok(())
    }
}
