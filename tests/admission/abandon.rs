//! Giving up what is left in a Rancher that is gone, as a grant is made; the rest is in `table`.

use kube::{Api, api::PostParams};
use rancher_access_operator::api::ANNOTATION_ABANDON;
use serde_json::Value;

use super::{ABANDON, world::*};

#[tokio::test]
async fn a_grant_is_not_made_with_the_annotation_but_by_who_has_the_verb() {
    namespace("abandoning").await;
    let plane = plane().await;
    for (user, group, may) in [("anna", EVERYTHING, false), ("rex", "requesters", false), ("paul", PLATFORM, true)] {
        // He may ask as well.
        let client = plane.client_for(user, &[group, "requesters"]).await;
        let api = Api::namespaced_with(client, "abandoning", &resource("AccessGrant"));
        for value in ["", "uid"] {
            let mut made = grant(&format!("{user}-{}", value.len()), Value::Null);
            made.metadata.annotations = Some([(ANNOTATION_ABANDON.to_owned(), value.to_owned())].into());
            let answer = api.create(&PostParams::default(), &made).await.map_err(|error| error.to_string());
            if may {
                answer.unwrap();
            } else {
                refused(answer, ABANDON);
            }
        }
    }
}
