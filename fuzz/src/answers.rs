//! Rancher's answers to every call that the operator makes.
//!
//! Input: the call, with a number where there are several of its kind; then for each answer a line with its code and header
//! (`rancher`, `stranger`, or nothing) and a line with its body. The last answer is given for ever.

use bytes::Bytes;
use rancher_access_operator::{
    controller::words,
    policy::privilege::{self, Privilege, RoleRules, Scope as Reach},
    rancher::{
        BindingRef, Error, NewBinding, NewSubject, ProofOfAbsence, Rancher, Sighting,
        claim::ConfigMap,
        identity::ResourceAccess,
        leftovers::{Remedy, Trace},
        wire::{BindingKind, ObjectMeta, PolicyRule, Scope, Subject},
    },
};
use serde_json::Value;

use super::{
    said,
    server::{self, Answer},
};

pub fn check(input: &[u8]) {
    let mut lines = input.split(|byte| *byte == b'\n');
    let call = String::from_utf8_lossy(lines.next().unwrap_or_default()).into_owned();
    let mut answers = Vec::new();
    while let (Some(head), true) = (lines.next(), answers.len() < 8) {
        answers.push(answer(head, lines.next().unwrap_or_default()));
    }
    let rancher = server::rancher(&answers, call.ends_with("ext"));
    let said = server::run(ask(&rancher, call.trim_end_matches(" ext"), &answers));
    if let Err(error) = said {
        said::fit(&error.to_string());
        said::secretless(&format!("{error:?}"));
        if let Error::NotFound(proof) = &error {
            proven(Some(proof.target().name.as_str()), &answers);
        }
    }
}

fn answer(head: &[u8], body: &[u8]) -> Answer {
    let head = String::from_utf8_lossy(head);
    let (code, from) = head.split_once(' ').unwrap_or((&head, ""));
    let code = code.parse().ok().filter(|code| (200..600).contains(code)).unwrap_or(200);
    let authenticated = match from {
        "rancher" => Some(true),
        "stranger" => Some(false),
        _ => None,
    };
    Answer { code, authenticated, body: Bytes::copy_from_slice(body) }
}

/// Panics where none of the answers is a `NotFound` of Rancher's about an object of that name (of any, where that is not
/// known): what is called absent must have been proven to be.
fn proven(name: Option<&str>, answers: &[Answer]) {
    let proves = |answer: &Answer| {
        let status: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let named = status["details"]["name"].as_str();
        answer.code == 404
            && answer.authenticated == Some(true)
            && status["kind"] == "Status"
            && status["reason"] == "NotFound"
            && named.is_some()
            && name.is_none_or(|name| named == Some(name))
    };
    assert!(answers.iter().any(proves), "nothing proves that {name:?} is absent");
}

/// What is there; else its absence must be proven.
fn sighted<T>(seen: Sighting<T>, name: &str, answers: &[Answer]) -> Option<T> {
    match seen {
        Sighting::Found(found) => Some(found),
        Sighting::Gone(proof) => gone(&proof, name, answers),
    }
}

fn gone<T>(proof: &ProofOfAbsence, name: &str, answers: &[Answer]) -> Option<T> {
    assert_eq!(proof.target().name, name);
    proven(Some(name), answers);
    None
}

fn there<T>(found: Option<T>, answers: &[Answer]) -> Option<T> {
    if found.is_none() {
        proven(None, answers);
    }
    found
}

async fn ask(rancher: &Rancher, call: &str, answers: &[Answer]) -> Result<(), Error> {
    let (verb, which) = call.split_once(' ').unwrap_or((call, ""));
    let which: usize = which.parse().unwrap_or_default();
    let kinds = [BindingKind::Cluster, BindingKind::Project, BindingKind::Global, BindingKind::Namespace];
    match verb {
        "cluster" => drop(sighted(rancher.cluster("c-1").await?, "c-1", answers).map(|c| same(&c.meta))),
        "clusters" => rancher.clusters().await?.iter().for_each(|c| same(&c.meta)),
        "project" => drop(sighted(rancher.project("c-1", "p-1").await?, "p-1", answers).map(|p| same(&p.meta))),
        "projects" => rancher.projects("c-1").await?.iter().for_each(|p| same(&p.meta)),
        "role" => {
            if let Some(role) = there(rancher.role_template("edit").await?, answers) {
                mighty(&role.rules, role.role_template_names.clone());
            }
        }
        "roles" => rancher.role_templates().await?.iter().for_each(|role| mighty(&role.rules, Vec::new())),
        "globalrole" => {
            if let Some(role) = there(rancher.global_role("user-base").await?, answers) {
                mighty(&role.rules, role.inherited_cluster_roles.clone());
            }
        }
        "clusterrole" => {
            let rules = there(rancher.cluster_role_rules("c-1", "edit").await?, answers);
            mighty(&rules.unwrap_or_default(), Vec::new());
        }
        "user" => drop(there(rancher.user("u-1").await?, answers)),
        "users" => {
            for user in rancher.users_with_principal("okta_user://alice").await? {
                assert!(user.principal_ids.iter().any(|p| p == "okta_user://alice"));
            }
        }
        "groups" => drop(there(rancher.user_groups("u-1").await?, answers)),
        "group" => drop(rancher.known_group("okta_group://web").await?),
        "namespace" => drop(rancher.namespace_uid("c-1", "api").await?),
        "uid" => assert!(!rancher.kube_system_uid("c-1").await?.is_empty()),
        "map" => drop(sighted(rancher.config_map("rancher-access-x").await?, "rancher-access-x", answers)),
        "claim" => drop(rancher.create_config_map(&ConfigMap::default()).await?),
        "leftovers" => left(rancher, which).await,
        "binding" | "create" | "delete" | "touch" | "bindings" => {
            on_binding(rancher, verb, kinds[which % 4], answers).await?
        }
        _ => about_the_server(rancher, verb).await?,
    }
    Ok(())
}

async fn about_the_server(rancher: &Rancher, verb: &str) -> Result<(), Error> {
    match verb {
        "version" => drop(rancher.version().await?.minor()),
        "allowed" => drop(rancher.allowed(&ResourceAccess::default()).await?),
        "uuid" => drop(rancher.install_uuid().await?),
        "namespaces" => assert!(rancher.system_namespaces().await?.iter().all(|name| !name.is_empty())),
        "model" => drop(rancher.aggregated_roletemplates().await?),
        "key" => assert!(rancher.key_info().await?.is_some()),
        _ => drop(rancher.whoami().await?),
    }
    Ok(())
}

async fn on_binding(rancher: &Rancher, verb: &str, kind: BindingKind, answers: &[Answer]) -> Result<(), Error> {
    let (cluster, name) = ("c-1".to_owned(), "rao-a".to_owned());
    let scope = match kind {
        BindingKind::Cluster => Scope::Cluster { cluster },
        BindingKind::Project => Scope::Project { cluster, project: "p-1".to_owned() },
        BindingKind::Global => Scope::Global,
        BindingKind::Namespace => Scope::Namespace { cluster, namespace: "api".to_owned() },
    };
    let new = NewBinding {
        name: name.clone(),
        namespace: if kind == BindingKind::Global { String::new() } else { "c-1".to_owned() },
        subject: NewSubject::User("u-1".to_owned()),
        scope,
        role: "edit".to_owned(),
        labels: Default::default(),
        annotations: Default::default(),
    };
    let at = new.reference();
    match verb {
        "binding" => {
            if let Some(found) = sighted(rancher.binding(&at).await?, &name, answers) {
                same(&found.meta);
                drop(words::subjects_of(&found));
                drop(words::access_of(&found));
            }
        }
        "create" => drop(rancher.create_binding(&new).await?),
        "delete" => drop(rancher.delete_binding(&at, "uid-1").await?),
        "touch" => drop(rancher.touch_binding(&at, "rancheraccess.io/touched", "now").await?),
        _ => {
            for found in rancher.bindings(kind, None).await? {
                same(&found.meta);
                assert_eq!(found.kind, kind);
            }
            drop(rancher.role_bindings("c-1", None, None).await?);
            drop(rancher.beside(&at).await?);
        }
    }
    Ok(())
}

async fn left(rancher: &Rancher, which: usize) {
    let kind = [BindingKind::Cluster, BindingKind::Project, BindingKind::Global][which % 3];
    let namespace = if kind == BindingKind::Global { String::new() } else { "c-1".to_owned() };
    let trace = Trace {
        binding: BindingRef { kind, cluster: "local".to_owned(), namespace, name: "rao-a".to_owned() },
        clusters: vec!["c-1".to_owned()],
        stays_admin: which.is_multiple_of(2),
        subject: Subject { user: Some("u-1".to_owned()), ..Subject::default() },
        roles: vec!["edit".to_owned()],
    };
    let looked = rancher.leftovers(&trace).await;
    for unreadable in &looked.unreadable {
        said::fit(&unreadable.error.to_string());
    }
    for found in &looked.found {
        assert!(found.remedy != Remedy::DropKeys(Vec::new()), "a remedy that does nothing: {found}");
    }
}

/// Metadata that is written reads the same.
fn same(meta: &ObjectMeta) {
    let shown = serde_json::to_vec(meta).unwrap();
    assert_eq!(&serde_json::from_slice::<ObjectMeta>(&shown).unwrap(), meta);
}

/// Whoever may do everything is privileged, wherever that stands.
fn mighty(rules: &[PolicyRule], inherits: Vec<String>) {
    let all = |list: &[String]| list.iter().any(|entry| entry == "*");
    let is_mighty = rules.iter().any(|rule| all(&rule.api_groups) && all(&rule.resources) && all(&rule.verbs));
    let read = RoleRules { rules: rules.iter().map(words::rule).collect(), inherits, external: None };
    for reach in [Reach::Cluster, Reach::Project, Reach::Global] {
        let found = privilege::privileged_rule("edit", reach, &|id| (id == "edit").then(|| read.clone()));
        assert!(!is_mighty || matches!(found, Privilege::Privileged(_)), "{reach:?}: {rules:?}");
        if let Some(words) = found.into_words() {
            said::fit(&words);
        }
    }
}
