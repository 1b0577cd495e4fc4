//! Why it is not known what is left over, or why nothing was done about it.

use crate::rancher::Error;

/// What could not be found out or done. It is tried again. The texts hold no secret.
#[derive(Debug, thiserror::Error)]
pub(super) enum TokenError {
    /// Rancher said no, or nothing.
    #[error("{what}: {source}")]
    Rancher {
        /// What was to be done.
        what: &'static str,
        /// What came instead.
        source: Error,
    },
    /// Without them nobody knows what he may by them.
    #[error(
        "Rancher does not say which groups the user {0} is in (he has no UserAttribute): look at his tokens by hand"
    )]
    Groups(String),
    /// Another process may be at it by now.
    #[error("this process does not lead at the moment, the claim on Rancher is not ours, or the clock was set back")]
    NotNow,
}

/// Something that Rancher did not say or do.
pub(super) fn failed(what: &'static str) -> impl FnOnce(Error) -> TokenError {
    move |source| TokenError::Rancher { what, source }
}
