//! Whether whoever decides is whoever asks, or whoever gets the access.
//!
//! By user name, by the Rancher user that each name leads to, and through groups as far as Rancher knows them. What
//! cannot be told is told so: it is no leave to approve.

use super::{SubjectFacts, fold, subject::Wanted};
use crate::api::reference::Caller;

/// Somebody, as Kubernetes and Rancher know him.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Person {
    /// His user name in Kubernetes, and the groups that he named.
    pub caller: Option<Caller>,
    /// Whom that name leads to in Rancher; `None` where nowhere.
    pub wanted: Option<Wanted>,
    /// Id of the Rancher user, where there is one.
    pub user_id: Option<String>,
    /// All principals of that user.
    pub principals: Vec<String>,
    /// The groups that Rancher knows him to be in, or that the groups he named lead to; `None` where Rancher does not know.
    pub groups: Option<Vec<String>>,
    /// What the groups that he named himself lead to in Rancher.
    pub named_groups: Vec<String>,
}

impl Person {
    /// Every name that he has in Rancher, folded.
    fn names(&self) -> Vec<String> {
        let wanted = match &self.wanted {
            Some(Wanted::User(name) | Wanted::Principal(name)) => Some(name),
            _ => None,
        };
        self.user_id.iter().chain(&self.principals).chain(wanted).map(|name| fold(name)).collect()
    }

    /// What he counts as in Rancher: the same for the same user, by whatever name he came.
    pub fn rancher_user(&self) -> Option<String> {
        match (&self.user_id, &self.wanted) {
            (Some(id), _) | (None, Some(Wanted::User(id))) => Some(format!("user:{id}")),
            (None, Some(Wanted::Principal(principal))) => Some(format!("principal:{principal}")),
            (None, _) => None,
        }
    }
}

/// Whether the decider asked for the access, or gets it.
///
/// # Errors
/// Why that cannot be told.
pub fn is_himself(
    decider: &Person,
    requester: &Person,
    subject: &SubjectFacts,
    wanted: &Wanted,
) -> Result<bool, String> {
    let (Some(by), Some(asked)) = (&decider.caller, &requester.caller) else {
        return Err("who decides is not known".to_owned());
    };
    if fold(&by.username) == fold(&asked.username) {
        return Ok(true);
    }
    if by.is_service_account() {
        // Nobody in Rancher; it approves because a policy names it.
        return Ok(false);
    }
    let his = decider.names();
    if his.is_empty() {
        return Err(format!(
            "nobody knows who {} is in Rancher: the integration's spec.identityMapping leads nowhere for that name",
            by.username
        ));
    }
    if requester.names().iter().any(|name| his.contains(name)) {
        return Ok(true);
    }
    match wanted {
        Wanted::Group(group) => is_member(decider, group),
        // Nobody's name leads to him, and nobody but the requester has his password.
        Wanted::LocalUser(_) => Ok(false),
        Wanted::User(name) | Wanted::Principal(name) => {
            let known = decider.user_id.is_some();
            let mut names = subject.user_id.iter().chain(&subject.principals).chain([name]).map(|name| fold(name));
            match names.any(|name| his.contains(&name)) {
                true => Ok(true),
                false if known => Ok(false),
                false => Err(format!("{} never logged in to Rancher, so who he is there is not known", by.username)),
            }
        }
    }
}

fn is_member(decider: &Person, group: &str) -> Result<bool, String> {
    let group_folded = fold(group);
    let among = |groups: &[String]| groups.iter().any(|known| fold(known) == group_folded);
    if among(&decider.named_groups) {
        return Ok(true);
    }
    match &decider.groups {
        Some(groups) => Ok(among(groups)),
        None => Err(format!("Rancher does not know which groups he is in, and the access is for the group {group}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(name: &str, user_id: Option<&str>, principals: &[&str]) -> Person {
        Person {
            caller: Some(Caller { username: name.to_owned(), groups: Vec::new() }),
            wanted: Some(Wanted::Principal(format!("okta_user://{name}"))),
            user_id: user_id.map(str::to_owned),
            principals: principals.iter().map(|p| (*p).to_owned()).collect(),
            ..Person::default()
        }
    }

    fn alice() -> SubjectFacts {
        SubjectFacts {
            user_id: Some("u-alice".to_owned()),
            principals: vec!["okta_user://alice".to_owned(), "local://u-alice".to_owned()],
            group: None,
        }
    }

    #[test]
    fn one_person_has_many_names() {
        let (wanted, subject) = (Wanted::User("u-alice".to_owned()), alice());
        let requester = person("pipeline", None, &[]);
        let himself = |decider: &Person| is_himself(decider, &requester, &subject, &wanted);
        assert_eq!(himself(&person("bob", Some("u-bob"), &["okta_user://bob"])), Ok(false));
        assert_eq!(himself(&person("Pipeline", None, &[])), Ok(true), "upper case is no other person");
        assert_eq!(himself(&person("alice", None, &[])), Ok(true), "by his principal");
        assert!(himself(&person("erin", None, &[])).is_err(), "nobody knows who that is in Rancher");
        let through_rancher = Person {
            wanted: Some(Wanted::User("u-alice".to_owned())),
            ..person("u-alice", Some("u-alice"), &["okta_user://alice"])
        };
        assert_eq!(himself(&through_rancher), Ok(true), "by his id");
        let nobody = Person { wanted: None, ..person("alice@example.com", None, &[]) };
        assert!(himself(&nobody).is_err());
        let account = Person { wanted: None, ..person("system:serviceaccount:argocd:bot", None, &[]) };
        assert_eq!(himself(&account), Ok(false));
    }

    #[test]
    fn the_requester_counts_by_his_rancher_user_too() {
        let (wanted, subject) = (
            Wanted::User("u-ext".to_owned()),
            SubjectFacts { user_id: Some("u-ext".into()), ..SubjectFacts::default() },
        );
        let requester = person("bob", Some("u-bob"), &["okta_user://bob"]);
        let by_id = Person {
            wanted: Some(Wanted::User("u-bob".to_owned())),
            ..person("u-bob", Some("u-bob"), &["okta_user://bob"])
        };
        assert_eq!(is_himself(&by_id, &requester, &subject, &wanted), Ok(true));
    }

    #[test]
    fn membership_that_cannot_be_read_is_no_leave() {
        let (wanted, subject) = (Wanted::Group("okta_group://web".to_owned()), SubjectFacts::default());
        let requester = person("alice", Some("u-alice"), &[]);
        let bob = |groups: Option<&[&str]>, named: &[&str]| Person {
            groups: groups.map(|groups| groups.iter().map(|g| (*g).to_owned()).collect()),
            named_groups: named.iter().map(|g| (*g).to_owned()).collect(),
            ..person("bob", Some("u-bob"), &[])
        };
        let himself = |decider: &Person| is_himself(decider, &requester, &subject, &wanted);
        assert_eq!(himself(&bob(Some(&["okta_group://sre"]), &[])), Ok(false));
        assert_eq!(himself(&bob(Some(&["okta_group://WEB"]), &[])), Ok(true));
        assert_eq!(himself(&bob(None, &["okta_group://web"])), Ok(true));
        assert!(himself(&bob(None, &[])).is_err());
    }
}
