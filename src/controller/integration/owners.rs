//! Whose each cluster and project says it is, and since when that stands: kept in the integration's status, so that a value
//! is believed only once it was seen for a while, restarts or not.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;
use tracing::warn;

use crate::{
    api::{
        RancherIntegration,
        integration::{OwnerRecord, ResourceOwner},
    },
    controller::Context,
    grant::record::whole_seconds,
    policy::{record_owners, said_owner},
    rancher::{Error, Rancher},
};

/// How often all clusters and projects are looked at: how late a value begins to count, and how long one may have gone
/// unnoticed that changed and changed back.
const EVERY: Duration = Duration::from_secs(300);

/// What clusters and projects say: each, and the value if it has one.
type Sight = Vec<(String, Option<String>)>;

/// What is kept from one look to the next.
#[derive(Default)]
pub(super) struct Owners {
    /// What the spec asked for at the last look of this process.
    asked: Option<Option<ResourceOwner>>,
    seen: Option<(Instant, Sight)>,
    /// What was recorded before this time was of another key or kind. Whether these changed while no operator ran is not
    /// known: then a value that is the same under the new key goes on to count, for it names who was believed anyway.
    anew: Option<Timestamp>,
}

impl Owners {
    /// What status is to keep of owners, by a look if one is due and there is a way. Without one, what stood stays.
    pub(super) async fn look(
        &mut self,
        ctx: &Context,
        integration: &RancherIntegration,
        rancher: Option<&Rancher>,
    ) -> Vec<OwnerRecord> {
        let wanted = integration.spec.resource_owner.as_ref();
        self.follow(wanted, whole_seconds(ctx.now()));
        if let (Some(owner), Some(rancher), true) = (wanted, rancher, self.is_due()) {
            match sight(rancher, &owner.key).await {
                Ok(seen) => self.seen = Some((Instant::now(), seen)),
                Err(error) => warn!(
                    integration = integration.metadata.name,
                    %error,
                    "Whose clusters and projects are cannot be read; what is known stays, and it is tried again"
                ),
            }
        }
        let stood = integration.status.as_ref().map_or(&[][..], |status| &status.owners);
        self.record(wanted, stood, whole_seconds(ctx.now()))
    }

    /// Begins anew where the spec asks for something else than before.
    fn follow(&mut self, wanted: Option<&ResourceOwner>, now: Timestamp) {
        let before = self.asked.replace(wanted.cloned());
        let Some(before) = before.filter(|before| before.as_ref() != wanted) else { return };
        self.seen = None;
        let means = |owner: &ResourceOwner| (owner.key.clone(), owner.kind);
        if before.as_ref().map(means) != wanted.map(means) {
            self.anew = Some(now);
        }
    }

    fn is_due(&self) -> bool {
        self.seen.as_ref().is_none_or(|(at, _)| at.elapsed() >= EVERY)
    }

    fn record(&self, wanted: Option<&ResourceOwner>, stood: &[OwnerRecord], now: Timestamp) -> Vec<OwnerRecord> {
        let counts = |record: &&OwnerRecord| self.anew.is_none_or(|anew| record.since.0 >= anew);
        let stood: Vec<_> = stood.iter().filter(counts).cloned().collect();
        match (&self.seen, wanted) {
            (None, Some(_)) => stood,
            // Seen a while ago or just now, it comes to the same, and what could not be written then is written now.
            (Some((_, seen)), _) => record_owners(wanted, seen, &stood, now),
            (None, None) => Vec::new(),
        }
    }
}

/// What all clusters and projects say.
async fn sight(rancher: &Rancher, key: &str) -> Result<Sight, Error> {
    let said = |meta: &crate::rancher::wire::ObjectMeta| {
        said_owner(key, &meta.labels, &meta.annotations).ok().map(|(_, value)| value.to_owned())
    };
    let clusters = rancher.clusters().await?;
    let projects = rancher.all_projects().await?;
    let clusters = clusters.iter().map(|cluster| (cluster.meta.name.clone(), said(&cluster.meta)));
    let projects = projects.iter().map(|project| {
        let resource = format!("{}:{}", project.cluster, project.meta.name);
        (resource, said(&project.meta))
    });
    Ok(clusters.chain(projects).collect())
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;
    use crate::api::integration::OwnerKind;

    fn by(key: &str, kind: OwnerKind, settle: &str) -> ResourceOwner {
        ResourceOwner { key: key.to_owned(), kind, settle: settle.to_owned() }
    }

    fn saw(owner: &str) -> Option<(Instant, Sight)> {
        Some((Instant::now(), vec![("c-1".to_owned(), Some(owner.to_owned()))]))
    }

    #[tokio::test]
    async fn another_key_or_kind_begins_anew_and_another_settle_does_not() {
        let start: Timestamp = "2026-06-01T12:00:00Z".parse().unwrap();
        let at = |hours| start + SignedDuration::from_hours(hours);
        let old = by("owner", OwnerKind::Group, "24h");
        let stood = [OwnerRecord { resource: "c-1".to_owned(), owner: "web".to_owned(), since: Time(start) }];
        let look = |owners: &mut Owners, wanted: Option<&ResourceOwner>, now| {
            owners.follow(wanted, now);
            let before = owners.record(wanted, &stood, now);
            owners.seen = saw("web");
            (before, owners.record(wanted, &stood, now))
        };
        let mut owners = Owners::default();
        // A process that begins goes on where another ended.
        assert_eq!(look(&mut owners, Some(&old), at(1)), (stood.to_vec(), stood.to_vec()));
        let patient = by("owner", OwnerKind::Group, "48h");
        owners.follow(Some(&patient), at(2));
        assert!(owners.is_due(), "whatever changed, it is looked at again");
        assert_eq!(look(&mut owners, Some(&patient), at(2)).1, stood);
        for other in [by("team", OwnerKind::Group, "48h"), by("team", OwnerKind::User, "48h")] {
            let (before, after) = look(&mut owners, Some(&other), at(3));
            assert!(before.is_empty());
            assert_eq!(after.first().map(|record| record.since.0), Some(at(3)));
        }
        assert!(look(&mut owners, None, at(4)).1.is_empty());
        // What could not be taken out of the status meanwhile is not believed when the key comes back.
        assert_eq!(look(&mut owners, Some(&old), at(5)).1.first().map(|record| record.since.0), Some(at(5)));
    }
}
