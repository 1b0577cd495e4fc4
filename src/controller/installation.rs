//! Who we are, to every Rancher: the installation's id and its secret key.
//!
//! Both lie in one Secret of the operator's namespace, made at the first start or supplied. Whoever carries it along to
//! another cluster moves the operator there, with all that it made. Whoever loses it loses the proof of what is ours:
//! then only recorded UIDs still say so.

use data_encoding::HEXLOWER;
use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::Client;

use super::secrets::Secrets;
use crate::grant::name::InstallationKey;

/// Name of the Secret.
pub const SECRET: &str = "rancher-access-installation";

/// The installation's identity.
#[derive(Clone, Debug)]
pub struct Installation {
    /// Its id: in labels, and in the name of the claim. Not secret.
    pub id: String,
    /// Its key, from which names are made.
    pub key: InstallationKey,
}

/// The installation's Secret cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InstallationError {
    /// The API server said no.
    #[error("cannot read or make the Secret {namespace}/{SECRET}: {source}")]
    Api {
        /// The operator's namespace.
        namespace: String,
        /// Why.
        source: kube::Error,
    },
    /// It is there, but not as it should be. It is never made anew by itself, for that would disown every binding.
    #[error(
        "the Secret {namespace}/{SECRET} is not an installation: {what}. Restore it from a backup; delete it only if nothing of this operator is left in any Rancher"
    )]
    Malformed {
        /// The operator's namespace.
        namespace: String,
        /// What is wrong.
        what: &'static str,
    },
    /// The operating system gave no random bytes.
    #[error("the operating system gave no random bytes: {0}")]
    Random(getrandom::Error),
}

/// Reads the installation's Secret, or makes it where there is none.
///
/// # Errors
/// See [`InstallationError`].
pub async fn load(client: &Client, namespace: &str) -> Result<Installation, InstallationError> {
    let secrets = Secrets::new(client.clone(), namespace);
    let api = |source| InstallationError::Api { namespace: namespace.to_owned(), source };
    if let Some(secret) = secrets.find(SECRET).await.map_err(api)? {
        return read(namespace, &secret);
    }
    let fresh = fresh().map_err(InstallationError::Random)?;
    match secrets.create(&fresh).await {
        Ok(secret) => read(namespace, &secret),
        // Another replica was faster: theirs counts.
        Err(error) if matches!(&error, kube::Error::Api(status) if status.is_already_exists()) => {
            match secrets.find(SECRET).await.map_err(api)? {
                Some(theirs) => read(namespace, &theirs),
                None => Err(api(error)),
            }
        }
        Err(error) => Err(api(error)),
    }
}

fn fresh() -> Result<Secret, getrandom::Error> {
    let (mut id, mut key) = ([0; 8], [0; 32]);
    getrandom::fill(&mut id)?;
    getrandom::fill(&mut key)?;
    let mut secret = Secret::default();
    secret.metadata.name = Some(SECRET.to_owned());
    secret.immutable = Some(true);
    secret.data = Some(
        [("id", ByteString(HEXLOWER.encode(&id).into_bytes())), ("key", ByteString(key.to_vec()))]
            .map(|(k, v)| (k.to_owned(), v))
            .into(),
    );
    Ok(secret)
}

fn read(namespace: &str, secret: &Secret) -> Result<Installation, InstallationError> {
    let malformed = |what| InstallationError::Malformed { namespace: namespace.to_owned(), what };
    let field = |name: &str| secret.data.as_ref().and_then(|data| data.get(name)).map(|value| value.0.clone());
    let id = field("id")
        .and_then(|id| String::from_utf8(id).ok())
        .ok_or_else(|| malformed("its key `id` is missing or not text"))?;
    let id = id.trim().to_owned();
    let fits = !id.is_empty() && id.len() <= 40 && id.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    if !fits {
        return Err(malformed("its key `id` must be 1 to 40 lower-case letters and digits"));
    }
    let key = field("key")
        .and_then(InstallationKey::new)
        .ok_or_else(|| malformed("its key `key` must be at least 32 bytes"))?;
    Ok(Installation { id, key })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fresh_one_reads_back_and_a_broken_one_is_not_replaced() {
        let mut secret = fresh().unwrap();
        let read_back = read("ns", &secret).unwrap();
        assert_eq!(read_back.id.len(), 16);
        secret.data.as_mut().unwrap().insert("key".into(), ByteString(vec![1; 5]));
        let error = read("ns", &secret).unwrap_err().to_string();
        assert!(error.contains("rancher-access-installation") && error.contains("at least 32 bytes"), "{error}");
    }
}
