//! The password of a local user: made, kept for the requester, and given to Rancher.
//!
//! It is written into the requester's Secret first, with a note that Rancher does not have it yet, so that a crash in between
//! loses nothing: it is set again. What Rancher keeps is changed only if it is still what was read before that, so that a
//! request of an earlier process that lands late does not make the Secret wrong.

use data_encoding::BASE64URL_NOPAD;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;

use super::{
    provide::{Him, Trouble},
    secret::{self, Credentials, State},
};
use crate::{
    grant::record::whole_seconds,
    rancher::{Password, wire::User},
};

/// Random bytes in a password: 192 bits, 32 characters.
const BYTES: usize = 24;

impl Him<'_> {
    /// Makes sure that Rancher has the password that stands in the Secret, and that it is newer than `older_than`.
    pub(super) async fn password(&self, user: &User, older_than: Option<Timestamp>) -> Result<(), Trouble> {
        let secrets = secret::secrets(self.ctx);
        let found = secrets.find(&self.id).await;
        let found = found.map_err(|error| self.secret_trouble(&super::super::brief(&error)))?;
        let state = found.as_ref().and_then(|secret| State::of(&secret.metadata));
        let state = state.filter(|state| state.user == user.meta.uid && older_than.is_none_or(|old| state.made > old));
        match (found, state) {
            (Some(_), Some(State { set: Some(_), .. })) => Ok(()),
            (Some(secret), Some(state)) => match kept(&secret) {
                Some(password) => {
                    let version = self.version().await?;
                    self.hand_over(&secret, state, &password, version.as_deref()).await
                }
                None => self.renew(user, Some(&secret)).await,
            },
            (found, _) => self.renew(user, found.as_ref()).await,
        }
    }

    /// Gives him a new one.
    async fn renew(&self, user: &User, before: Option<&Secret>) -> Result<(), Trouble> {
        let version = self.version().await?;
        let password = fresh().map_err(|error| {
            Trouble::waiting(
                "NoRandomness",
                format!("The operating system gave no random bytes for a password: {error}."),
            )
        })?;
        let state = State { user: user.meta.uid.clone(), made: whole_seconds(self.ctx.now()), set: None };
        let (login, url) = (user.username.clone().unwrap_or_default(), self.url());
        let credentials = Credentials { login: &login, password: &password, url: &url };
        self.may()?;
        let written = secret::write(self.ctx, &self.whose, &self.id, before, &credentials, &state).await;
        let secret = written.map_err(|why| self.secret_trouble(&why))?;
        self.hand_over(&secret, state, &password, version.as_deref()).await
    }

    /// Gives Rancher the password that stands in the Secret, and says so there.
    async fn hand_over(
        &self,
        secret: &Secret,
        state: State,
        password: &Password,
        version: Option<&str>,
    ) -> Result<(), Trouble> {
        self.may()?;
        secret::share(self.ctx, &self.whose, secret).await.map_err(|why| self.secret_trouble(&why))?;
        self.may()?;
        let set = self.connection.rancher.set_password(&self.id, password, version).await;
        set.map_err(|error| self.rancher_trouble("set the password of", &error))?;
        let state = State { set: Some(whole_seconds(self.ctx.now())), ..state };
        secret::is_set(self.ctx, secret, &state).await.map_err(|why| self.secret_trouble(&why))
    }

    /// The version of what Rancher keeps of his password.
    async fn version(&self) -> Result<Option<String>, Trouble> {
        let version = self.connection.rancher.password_version(&self.id).await;
        version.map_err(|error| self.rancher_trouble("look at the password of", &error))
    }
}

/// The password that stands in a Secret.
fn kept(secret: &Secret) -> Option<Password> {
    let bytes = secret.data.as_ref()?.get("password")?;
    let text = String::from_utf8(bytes.0.clone()).ok().filter(|text| !text.is_empty())?;
    Some(Password::new(text))
}

/// A new one, of the operating system's randomness.
fn fresh() -> Result<Password, getrandom::Error> {
    let mut bytes = [0; BYTES];
    getrandom::fill(&mut bytes)?;
    Ok(Password::new(BASE64URL_NOPAD.encode(&bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_long_and_different() {
        let (one, other) = (fresh().unwrap(), fresh().unwrap());
        assert_eq!(one.expose().len(), 32);
        assert_ne!(one.expose(), other.expose());
        assert!(!format!("{one:?}").contains(one.expose()));
    }
}
