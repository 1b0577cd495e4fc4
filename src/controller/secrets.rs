//! Secrets of the operator's own namespace: the one way to read and write them.
//!
//! Not by `kube::Api`: where an answer cannot be read (cut off, garbled by what stands in front), kube logs it as a whole, and
//! its error may repeat a part. Here nothing of an answer ever leaves but the Secret itself.

use http::Request;
use k8s_openapi::{api::core::v1::Secret, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::{
    Client, Resource,
    api::{DeleteParams, ListParams, ObjectList, PartialObjectMeta, Patch, PatchParams, PostParams, Preconditions},
    core::request,
};
use serde::de::Error as _;
use serde_json::Value;

use super::is_absent;

/// The Secrets of one namespace.
#[derive(Clone)]
pub(super) struct Secrets {
    client: Client,
    requests: request::Request,
}

impl Secrets {
    pub(super) fn new(client: Client, namespace: &str) -> Self {
        Self { client, requests: request::Request::new(Secret::url_path(&(), Some(namespace))) }
    }

    /// The Secret of that name; `None` where the API server says that there is none.
    pub(super) async fn find(&self, name: &str) -> Result<Option<Secret>, kube::Error> {
        let request = self.requests.get(name, &Default::default()).map_err(kube::Error::BuildRequest)?;
        match self.ask(request).await {
            Ok(found) => Ok(Some(found)),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes one.
    pub(super) async fn create(&self, secret: &Secret) -> Result<Secret, kube::Error> {
        let body = serde_json::to_vec(secret).map_err(kube::Error::SerdeError)?;
        let request = self.requests.create(&PostParams::default(), body).map_err(kube::Error::BuildRequest)?;
        self.ask(request).await
    }

    /// Changes one by a merge patch.
    pub(super) async fn patch(&self, name: &str, patch: Value) -> Result<Secret, kube::Error> {
        let request = self.requests.patch(name, &PatchParams::default(), &Patch::Merge(patch));
        self.ask(request.map_err(kube::Error::BuildRequest)?).await
    }

    /// What stands of those with such labels, without what is in them.
    pub(super) async fn labelled(&self, selector: &str) -> Result<Vec<ObjectMeta>, kube::Error> {
        let params = ListParams::default().labels(selector);
        let request = self.requests.list_metadata(&params).map_err(kube::Error::BuildRequest)?;
        let answer = self.client.request_text(request).await?;
        let listed: ObjectList<PartialObjectMeta<Secret>> = serde_json::from_str(&answer)
            .map_err(|_| kube::Error::SerdeError(serde_json::Error::custom("the answer is not a list of Secrets")))?;
        Ok(listed.items.into_iter().map(|secret| secret.metadata).collect())
    }

    /// Deletes one, if it is still that object. One that is gone already is fine.
    pub(super) async fn delete(&self, name: &str, uid: &str) -> Result<(), kube::Error> {
        let preconditions = Preconditions { uid: Some(uid.to_owned()), resource_version: None };
        let params = DeleteParams::default().preconditions(preconditions);
        let request = self.requests.delete(name, &params).map_err(kube::Error::BuildRequest)?;
        match self.client.request_text(request).await {
            Ok(_) => Ok(()),
            Err(error) if is_absent(&error) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn ask(&self, request: Request<Vec<u8>>) -> Result<Secret, kube::Error> {
        let answer = self.client.request_text(request).await?;
        serde_json::from_str(&answer)
            .map_err(|_| kube::Error::SerdeError(serde_json::Error::custom("the answer is not a Secret")))
    }
}

#[cfg(test)]
mod tests {
    use http::Response;
    use kube::client::Body;
    use serde_json::json;
    use tower::service_fn;

    use super::*;
    use crate::{
        controller::brief,
        runtime::telemetry::{LogFormat, tests::logged},
    };

    const CANARY: &str = "YzRuNHJ5YzRuNHJ5";

    fn server(code: u16, answer: String) -> Secrets {
        let service = service_fn(move |_: Request<Body>| {
            let answer = answer.clone();
            async move { Response::builder().status(code).body(Body::from(answer.into_bytes())) }
        });
        Secrets::new(Client::new(service, "default"), "own")
    }

    #[test]
    fn nothing_of_an_answer_that_cannot_be_read_is_told() {
        let whole = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}, "data": {"token": CANARY}});
        let cut = whole.to_string().replace("\"}}", "");
        let wrong = json!({"metadata": {"name": "a"}, "data": {"token": format!("?{CANARY}")}}).to_string();
        let log = logged(LogFormat::Text, "trace", || {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(async {
                for answer in [&cut, &wrong] {
                    let secrets = server(200, answer.clone());
                    let errors = [
                        secrets.find("a").await.map(drop).unwrap_err(),
                        secrets.patch("a", json!({})).await.map(drop).unwrap_err(),
                        secrets.create(&Secret::default()).await.map(drop).unwrap_err(),
                    ];
                    for error in errors {
                        let told = format!("{error} {error:?} {}", brief(&error));
                        assert!(!told.contains(CANARY), "{told}");
                    }
                }
                let found = server(200, whole.to_string()).find("a").await.unwrap().unwrap();
                assert!(found.data.is_some_and(|data| data.contains_key("token")));
            });
        });
        assert!(!log.contains(CANARY), "{log}");
    }

    #[tokio::test]
    async fn only_the_api_server_says_that_there_is_none() {
        let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": "NotFound",
            "code": 404, "message": "secrets \"a\" not found"});
        assert!(server(404, status.to_string()).find("a").await.unwrap().is_none());
        assert!(server(404, "<html>".to_owned()).find("a").await.is_err());
    }
}
