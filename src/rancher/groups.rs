//! Which groups Rancher's users are in, by what Rancher keeps of each who ever logged in: refreshed then, at set times, and
//! when an administrator asks for it.
use super::{absence::Sighting, client::Rancher, error::Error, wire::UserAttribute};

/// Users a page: what is kept of each may list hundreds of groups.
const PAGE: usize = 100;

impl Rancher {
    /// The groups that a user is in, by their principals; `None` where Rancher keeps nothing of him, so that it cannot be
    /// told.
    ///
    /// # Errors
    /// As for every call: see [`Error`].
    pub async fn user_groups(&self, user_id: &str) -> Result<Option<Vec<String>>, Error> {
        let seen: Sighting<UserAttribute> = self.exchange.look(self.look_at("userattributes", None, user_id)?).await?;
        Ok(seen.found().map(|kept| kept.groups().map(str::to_owned).collect()))
    }

    /// Whether any user is in that group, compared exactly.
    ///
    /// # Errors
    /// As for every call: see [`Error`]. A user of whom it cannot be read is an error too where no other is in it, for he
    /// may be.
    pub async fn known_group(&self, principal: &str) -> Result<bool, Error> {
        let path = self.management("userattributes", None, None)?;
        let mut unreadable = 0_usize;
        let found = self.list_has(&path, PAGE, |value| match serde_json::from_value::<UserAttribute>(value) {
            Ok(kept) => kept.groups().any(|group| group == principal),
            Err(_) => {
                unreadable = unreadable.saturating_add(1);
                false
            }
        });
        match found.await? {
            false if unreadable > 0 => Err(Error::unknown(format!(
                "the groups of {unreadable} users cannot be read, so whether anybody is in that one is not known"
            ))),
            found => Ok(found),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::rancher::fake::{self, M, not_found, rancher};

    const ALICE: &str = r#"{"metadata":{"name":"u-alice"},"UserName":"","GroupPrincipals":{"local":{"Items":null},
        "okta":{"Items":[{"metadata":{"name":"okta_group://web","creationTimestamp":null},"displayName":"Web"},
        {"metadata":{"name":"okta_group://sre"}}]}},"LastRefresh":"","NeedsRefresh":false,"ExtraByProvider":{}}"#;

    #[tokio::test]
    async fn groups_are_those_of_all_providers() {
        let (server, asked) = fake::client(|request| match request.uri().path().rsplit('/').next().unwrap() {
            "u-alice" => rancher(200, ALICE),
            "u-local" => rancher(200, r#"{"metadata":{"name":"u-local"},"GroupPrincipals":null}"#),
            "u-odd" => rancher(200, r#"{"metadata":{"name":"u-odd"},"GroupPrincipals":["okta_group://web"]}"#),
            name => not_found("management.cattle.io", "userattributes", name),
        });
        assert_eq!(server.user_groups("u-alice").await.unwrap().unwrap(), ["okta_group://web", "okta_group://sre"]);
        assert_eq!(asked.lines(), [format!("GET {M}/userattributes/u-alice")]);
        assert_eq!(server.user_groups("u-local").await.unwrap(), Some(Vec::new()));
        assert_eq!(server.user_groups("u-never").await.unwrap(), None);
        assert!(server.user_groups("u-odd").await.is_err(), "unreadable is not: in no group");
    }

    #[tokio::test]
    async fn a_group_is_known_by_its_members() {
        let (server, asked) = fake::client(|request| match request.uri().query().unwrap() {
            "limit=100" => rancher(200, format!(r#"{{"metadata":{{"continue":"two"}},"items":[{ALICE}]}}"#)),
            _ => rancher(200, r#"{"metadata":{},"items":[{"metadata":{"name":"u-bob"}}]}"#),
        });
        assert!(server.known_group("okta_group://sre").await.unwrap());
        assert_eq!(asked.lines().len(), 1, "no page after the one that has it");
        assert!(!server.known_group("okta_group://SRE").await.unwrap());
        assert_eq!(asked.lines().len(), 3);
    }

    #[tokio::test]
    async fn whoever_cannot_be_read_may_be_a_member() {
        let odd = r#"{"metadata":{"name":"u-odd"},"GroupPrincipals":7}"#;
        let (server, _) = fake::client(move |_| rancher(200, format!(r#"{{"items":[{odd},{ALICE}]}}"#)));
        assert!(server.known_group("okta_group://web").await.unwrap());
        assert!(server.known_group("okta_group://other").await.is_err());
    }
}
