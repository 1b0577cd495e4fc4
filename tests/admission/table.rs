//! Who may do what to which object: each verb, subresource, kind and caller, whether the object is being deleted or not.
//!
//! RBAC stands in few people's way here, so that what is left is what admission says.

use futures::future::join_all;
use kube::{
    Api, Client,
    api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams},
};
use rancher_access_operator::api::{ANNOTATION_ABANDON, FINALIZER};
use serde_json::{Value, json};

use super::{ABANDON, FINALIZER_ONLY, OWNERS, STATUS, STAYS, world::*};

const NAMESPACE: &str = "table";

/// Who tries.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Who {
    /// Made the decision, and may do everything in the namespace.
    Author,
    /// Made the grant, and has the role for that.
    Requester,
    /// Has the role for deciding; did not make this decision.
    Approver,
    /// May do everything with our kinds in the namespace.
    NamespaceAdmin,
    PlatformAdmin,
    ClusterAdmin,
    Operator,
    GarbageCollector,
    NamespaceController,
    /// Both of them, where they have no ServiceAccount of their own.
    ControllerManager,
}
use Who::*;

const EVERYBODY: [Who; 10] = [
    Author,
    Requester,
    Approver,
    NamespaceAdmin,
    PlatformAdmin,
    ClusterAdmin,
    Operator,
    GarbageCollector,
    NamespaceController,
    ControllerManager,
];

impl Who {
    async fn client(self) -> Client {
        let (user, group) = match self {
            Author => ("ann", EVERYTHING),
            Requester => ("rex", "requesters"),
            Approver => ("abe", "approvers"),
            NamespaceAdmin => ("nora", EVERYTHING),
            PlatformAdmin => ("paul", PLATFORM),
            ClusterAdmin => ("root", "system:masters"),
            Operator => ("system:serviceaccount:rancher-access-system:rancher-access-operator", EVERYTHING),
            GarbageCollector => ("system:serviceaccount:kube-system:generic-garbage-collector", EVERYTHING),
            NamespaceController => ("system:serviceaccount:kube-system:namespace-controller", EVERYTHING),
            ControllerManager => ("system:kube-controller-manager", EVERYTHING),
        };
        plane().await.client_for(user, &[group]).await
    }
}

/// What is tried.
#[derive(Clone, Copy, Debug)]
enum Deed {
    /// The object is changed so, by PUT, by a merge patch, by a JSON patch, and server-side.
    Change(fn() -> Value),
    /// The same without server-side apply, which takes away only what it gave.
    Take(fn() -> Value),
    /// Something is written to `/status`, in three ways.
    Status,
    Delete,
    DeleteCollection,
}
use Deed::*;

fn label() -> Value {
    json!({"metadata": {"labels": {"a": "b"}}})
}
fn annotation() -> Value {
    json!({"metadata": {"annotations": {"a": "b"}}})
}
fn nothing() -> Value {
    json!({})
}
fn another_spec() -> Value {
    json!({"spec": {"reason": "another"}})
}
fn finalizer() -> Value {
    json!({"metadata": {"finalizers": ["example.com/mine"]}})
}
fn no_finalizer() -> Value {
    json!({"metadata": {"finalizers": []}})
}
fn our_finalizer() -> Value {
    json!({"metadata": {"finalizers": [FINALIZER]}})
}
fn owner(api: &str, kind: &str, name: &str) -> Value {
    json!({"metadata": {"ownerReferences": [{"apiVersion": api, "kind": kind, "name": name, "uid": "0"}]}})
}
fn its_grant() -> Value {
    owner("rancheraccess.io/v1alpha1", "AccessGrant", "g")
}
fn another_owner() -> Value {
    owner("v1", "ConfigMap", "g")
}
fn abandon() -> Value {
    json!({"metadata": {"annotations": {ANNOTATION_ABANDON: "uid"}}})
}
fn abandon_not() -> Value {
    json!({"metadata": {"annotations": {ANNOTATION_ABANDON: null}}})
}

/// What is answered: it is done; RBAC refuses; or admission does, with these words.
const YES: &str = "";
const RBAC: &str = "cannot";

/// Whether the object is being deleted.
const ALIVE: &[bool] = &[false];
const BOTH: &[bool] = &[false, true];

/// One line: what is tried on what, in which of its states, and who gets which answer.
struct Line(&'static str, Deed, &'static [bool], &'static [&'static str], Vec<(Vec<Who>, &'static str)>);

/// Whose the decision is, and who clears up.
fn entitled() -> Vec<Who> {
    vec![Author, Operator, GarbageCollector, NamespaceController, ControllerManager]
}

fn but(some: &[Who]) -> Vec<Who> {
    EVERYBODY.into_iter().filter(|who| !some.contains(who)).collect()
}

/// What lines do with decisions.
fn decisions() -> Vec<Line> {
    let line = |deed, states, given, answers| Line("AccessDecision", deed, states, given, answers);
    // Whose role lets them do none of this.
    let readers = || (vec![Requester, Approver, PlatformAdmin], RBAC);
    let admins = || vec![NamespaceAdmin, ClusterAdmin];
    let guarded = || vec![(entitled(), YES), readers(), (admins(), STAYS)];
    vec![
        line(Change(label), BOTH, &[], guarded()),
        line(Change(annotation), ALIVE, &[], guarded()),
        line(Change(its_grant), BOTH, &[], guarded()),
        line(Change(finalizer), ALIVE, &[], guarded()),
        line(Take(no_finalizer), BOTH, &["example.com/hold"], guarded()),
        line(Delete, BOTH, &[], guarded()),
        line(DeleteCollection, BOTH, &[], guarded()),
        line(Change(nothing), BOTH, &[], vec![([entitled(), admins()].concat(), YES), readers()]),
        line(Change(another_owner), BOTH, &[], vec![(entitled(), OWNERS), readers(), (admins(), STAYS)]),
        line(Change(another_spec), BOTH, &[], vec![([entitled(), admins()].concat(), "immutable"), readers()]),
        line(
            Status,
            BOTH,
            &[],
            vec![(vec![Operator], YES), readers(), (but(&[Operator, Requester, Approver, PlatformAdmin]), STATUS)],
        ),
    ]
}

/// What lines do with grants.
fn grants_lines() -> Vec<Line> {
    let line = |deed, states, given, answers| Line("AccessGrant", deed, states, given, answers);
    let reader = || (vec![Approver], RBAC);
    let free = || vec![(but(&[Approver]), YES), reader()];
    let operators = || vec![(vec![Operator], YES), reader(), (but(&[Operator, Approver]), FINALIZER_ONLY)];
    let abandoning = || {
        vec![
            (vec![PlatformAdmin, ClusterAdmin], YES),
            reader(),
            (but(&[PlatformAdmin, ClusterAdmin, Approver]), ABANDON),
        ]
    };
    vec![
        line(Change(label), BOTH, &[], free()),
        line(Change(another_owner), ALIVE, &[], free()),
        line(Change(finalizer), ALIVE, &[], free()),
        line(Take(no_finalizer), BOTH, &["example.com/hold"], free()),
        line(Change(our_finalizer), ALIVE, &[], operators()),
        line(Take(no_finalizer), BOTH, &[FINALIZER], operators()),
        line(Change(abandon), BOTH, &[], abandoning()),
        line(Change(abandon), ALIVE, &["abandoned"], abandoning()),
        line(Take(abandon_not), BOTH, &["abandoned"], free()),
        line(Change(label), ALIVE, &["abandoned"], free()),
        line(Delete, BOTH, &[], free()),
        line(DeleteCollection, BOTH, &[], vec![(but(&[Approver, Requester]), YES), (vec![Approver, Requester], RBAC)]),
        line(Change(another_spec), ALIVE, &[], vec![(but(&[Approver]), "immutable"), reader()]),
        line(
            Status,
            BOTH,
            &[],
            vec![
                (vec![Operator], YES),
                (vec![Requester, Approver, PlatformAdmin], RBAC),
                (but(&[Operator, Requester, Approver, PlatformAdmin]), STATUS),
            ],
        ),
    ]
}

/// The ways to do a deed.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Put,
    Merge,
    Json,
    Apply,
    Only,
}

impl Deed {
    fn ways(self) -> &'static [Way] {
        match self {
            Change(_) => &[Way::Put, Way::Merge, Way::Json, Way::Apply],
            Take(_) => &[Way::Put, Way::Merge, Way::Json],
            Status => &[Way::Put, Way::Merge, Way::Apply],
            Delete | DeleteCollection => &[Way::Only],
        }
    }
}

fn api(client: &Client, kind: &str) -> Api<DynamicObject> {
    Api::namespaced_with(client.clone(), NAMESPACE, &resource(kind))
}

/// Makes an object as a line wants it: with these finalizers, or abandoned.
async fn make(kind: &str, name: &str, given: &[&str], ending: bool, makers: &[Client; 3]) -> DynamicObject {
    let [author, requester, root] = makers;
    let (mut object, maker) = match kind {
        "AccessDecision" => (decision(name, Value::Null), author),
        _ => (grant(name, Value::Null), requester),
    };
    let abandoned = given.contains(&"abandoned");
    let mut finalizers: Vec<String> =
        given.iter().filter(|one| **one != "abandoned").map(|&one| one.to_owned()).collect();
    if ending && finalizers.is_empty() {
        finalizers.push("example.com/hold".to_owned());
    }
    object.metadata.finalizers = Some(finalizers);
    object.metadata.labels = Some([("case".to_owned(), name.to_owned())].into());
    if abandoned {
        object.metadata.annotations = Some([(ANNOTATION_ABANDON.to_owned(), "before".to_owned())].into());
    }
    let api = api(if abandoned { root } else { maker }, kind);
    let made = api.create(&PostParams::default(), &object).await.unwrap_or_else(|error| panic!("{name}: {error}"));
    if !ending {
        return made;
    }
    api.delete(name, &DeleteParams::default()).await.unwrap();
    api.get(name).await.unwrap()
}

/// Does it, and says what was answered.
async fn attempt(api: Api<DynamicObject>, object: DynamicObject, deed: Deed, way: Way) -> Result<(), String> {
    let name = object.metadata.name.clone().unwrap();
    let (params, put) = (PatchParams::default(), PostParams::default());
    let applying = PatchParams::apply("table").force();
    let before = serde_json::to_value(&object).unwrap();
    let typed = |change: Value| {
        let mut typed = json!({"apiVersion": before["apiVersion"], "kind": before["kind"]});
        json_patch::merge(&mut typed, &change);
        typed
    };
    let after = |change: &Value| {
        let mut after = before.clone();
        json_patch::merge(&mut after, change);
        after
    };
    let field =
        if before["kind"] == "AccessDecision" { json!({"counted": true}) } else { json!({"observedGeneration": 1}) };
    let status = json!({"status": field});
    let answer = match (deed, way) {
        (Change(change) | Take(change), Way::Merge) => api.patch(&name, &params, &Patch::Merge(change())).await,
        (Change(change) | Take(change), Way::Apply) => {
            api.patch(&name, &applying, &Patch::Apply(typed(change()))).await
        }
        (Change(change) | Take(change), Way::Json) => {
            let patch = json_patch::diff(&before, &after(&change()));
            api.patch(&name, &params, &Patch::Json::<()>(patch)).await
        }
        (Change(change) | Take(change), _) => {
            api.replace(&name, &put, &serde_json::from_value(after(&change())).unwrap()).await
        }
        (Status, Way::Merge) => api.patch_status(&name, &params, &Patch::Merge(status)).await,
        (Status, Way::Apply) => api.patch_status(&name, &applying, &Patch::Apply(typed(status))).await,
        (Status, _) => api.replace_status(&name, &put, &serde_json::from_value(after(&status)).unwrap()).await,
        (Delete, _) => api.delete(&name, &DeleteParams::default()).await.map(|_| object),
        (DeleteCollection, _) => {
            let only = ListParams::default().labels(&format!("case={name}"));
            api.delete_collection(&DeleteParams::default(), &only).await.map(|_| object)
        }
    };
    answer.map(drop).map_err(|error| error.to_string())
}

/// Tries all of a line at once; what was answered otherwise than it says.
async fn tried(number: usize, line: &Line, clients: &[(Who, Client)], makers: &[Client; 3]) -> Vec<String> {
    let Line(kind, deed, states, given, answers) = line;
    let listed: Vec<Who> = answers.iter().flat_map(|(who, _)| who.clone()).collect();
    assert!(listed.len() == EVERYBODY.len() && EVERYBODY.iter().all(|who| listed.contains(who)), "line {number}");
    let mut cases = Vec::new();
    for (who, client) in clients {
        let expected = answers.iter().find(|(some, _)| some.contains(who)).map(|(_, answer)| *answer).unwrap();
        for &ending in *states {
            for &way in deed.ways() {
                let name = format!("{}-{number}-{}", kind.to_lowercase(), cases.len());
                cases.push(async move {
                    let object = make(kind, &name, given, ending, makers).await;
                    let answer = attempt(api(client, kind), object, *deed, way).await;
                    let fits = match (&answer, expected) {
                        (Ok(()), YES) => true,
                        (Err(message), expected) => expected != YES && message.contains(expected),
                        _ => false,
                    };
                    let case = format!("{name}: {who:?} {deed:?} {way:?}, ending: {ending}, given {given:?}");
                    (!fits).then(|| format!("{case}: expected {expected:?}, got {answer:?}"))
                });
            }
        }
    }
    join_all(cases).await.into_iter().flatten().collect()
}

#[tokio::test]
async fn everybody_may_what_is_his_and_nothing_else() {
    namespace(NAMESPACE).await;
    let clients = join_all(EVERYBODY.map(async |who| (who, who.client().await))).await;
    let makers = [Author.client().await, Requester.client().await, ClusterAdmin.client().await];
    let mut wrong = Vec::new();
    for (number, line) in decisions().iter().chain(&grants_lines()).enumerate() {
        wrong.extend(tried(number, line, &clients, &makers).await);
    }
    assert!(wrong.is_empty(), "{} answers are wrong:\n{}", wrong.len(), wrong.join("\n"));
}
