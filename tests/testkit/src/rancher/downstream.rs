//! Which RBAC objects a binding is to have, in either model.
use serde_json::{Value, json};

use super::{
    Model,
    binding::Kind,
    core::{Core, management, meta, text},
    grants::{Grant, Owner, Part},
    names, roles,
};

/// Namespaces of a project, in its cluster.
pub(super) fn namespaces(core: &Core, cluster: &str, project: &str) -> Vec<String> {
    let wanted = format!("{cluster}:{project}");
    let server = core.server(cluster);
    let all = server.map(|server| server.list(&crate::apiserver::Gvr::core("namespaces"), None));
    all.into_iter()
        .flatten()
        .filter(|one| one["metadata"]["annotations"]["field.cattle.io/projectId"] == wanted.as_str())
        .filter(|one| one["metadata"]["deletionTimestamp"].is_null())
        .map(|one| meta(&one, "name").to_owned())
        .collect()
}

/// The namespace that a project's bindings belong into.
pub(super) fn backing_namespace(project: &Value) -> String {
    let backing = project["status"]["backingNamespace"].as_str();
    backing.filter(|name| !name.is_empty()).unwrap_or(meta(project, "name")).to_owned()
}

/// One binding, on its way to its objects.
struct Plan<'a> {
    core: &'a Core,
    kind: Kind,
    binding: &'a Value,
    subject: (&'static str, String),
    cluster: String,
    model: Model,
}

/// All objects the binding is to have now; none while its user is unknown or its role is gone.
pub(super) fn plan(core: &Core, kind: Kind, binding: &Value, model: Model) -> Vec<Grant> {
    let role = text(binding, "roleTemplateName");
    let Some(subject) = names::rbac_subject(binding) else {
        return Vec::new();
    };
    if roles::template(core, role).is_none() {
        return Vec::new();
    }
    let plan = Plan { core, kind, binding, subject, cluster: kind.cluster(binding), model };
    let mut grants = plan.rights();
    if kind == Kind::Project {
        grants.extend(plan.project_wide());
    }
    grants.extend(plan.memberships());
    grants.extend(plan.management());
    grants.extend(plan.fleet());
    grants
}

fn one_name(name: &str, verbs: &[&str], group: &str, resource: &str) -> Option<Vec<Value>> {
    Some(vec![json!({
        "apiGroups": [group], "resources": [resource], "resourceNames": [name], "verbs": verbs,
    })])
}

impl Plan<'_> {
    fn grant(&self, part: Part, namespace: &str, role: &str, rules: Option<Vec<Value>>, owner: Owner) -> Grant {
        let cluster = match part {
            Part::Downstream => self.cluster.clone(),
            _ => "local".to_owned(),
        };
        let (prefix, parts) = if namespace.is_empty() {
            ("crb", vec![role, self.subject.0, self.subject.1.as_str()])
        } else {
            let parts = vec![namespace, role, self.subject.0, self.subject.1.as_str()];
            ("rb", parts)
        };
        Grant {
            part,
            cluster,
            namespace: namespace.to_owned(),
            name: format!("{prefix}-{}", names::hashed(&parts)),
            role_kind: "ClusterRole",
            role: role.to_owned(),
            rules,
            subject: self.subject.clone(),
            owner,
        }
    }

    fn aggregated_owner(&self, mark: &str) -> Owner {
        let key = names::aggregated_key(self.kind, self.binding);
        let common = vec![(mark.to_owned(), "true".to_owned())];
        Owner::Key(key, "true".to_owned(), common)
    }

    /// Role names with their rules: one per role reached, or one aggregate of all.
    fn rights_roles(&self) -> Vec<(String, Option<Vec<Value>>)> {
        let name = text(self.binding, "roleTemplateName");
        match self.model {
            Model::Legacy => roles::reached(self.core, name)
                .iter()
                .map(|role| {
                    let rules = (role["external"] != true).then(|| roles::rules(self.core, role));
                    (meta(role, "name").to_owned(), rules)
                })
                .collect(),
            Model::Aggregated => {
                let rules = roles::all_rules(self.core, name);
                vec![(format!("{name}-aggregator"), Some(rules))]
            }
        }
    }

    fn rights(&self) -> Vec<Grant> {
        let places = match self.kind {
            Kind::Cluster => vec![String::new()],
            Kind::Project => {
                let project = self.kind.project(self.binding);
                namespaces(self.core, &self.cluster, &project)
            }
        };
        let owner = match self.model {
            Model::Legacy => Owner::Only(vec![(names::LEGACY_OWNER.to_owned(), names::pair(self.binding))]),
            Model::Aggregated => self.aggregated_owner(names::AGGREGATION),
        };
        let mut grants = Vec::new();
        for place in &places {
            for (role, rules) in self.rights_roles() {
                grants.push(self.grant(Part::Downstream, place, &role, rules, owner.clone()));
            }
        }
        grants
    }

    /// What a project binding has in the whole cluster.
    fn project_wide(&self) -> Vec<Grant> {
        let name = text(self.binding, "roleTemplateName");
        let rules = roles::all_rules(self.core, name);
        let project = self.kind.project(self.binding);
        let creates = roles::allow(&rules, "create", "", "namespaces");
        let access = if creates { "edit" } else { "readonly" };
        let namespaces = format!("{project}-namespaces-{access}");
        let promoted = match self.model {
            Model::Legacy => format!("{name}-promoted"),
            Model::Aggregated => format!("{name}-promoted-aggregator"),
        };
        let volumes = json!([{
            "apiGroups": ["", "storage.k8s.io"], "resources": ["persistentvolumes", "storageclasses"],
            "verbs": ["get", "list", "watch"],
        }]);
        let mut wide = vec![(namespaces.clone(), one_name(&namespaces, &["get"], "", "namespaces"))];
        if roles::allow(&rules, "get", "", "persistentvolumes") {
            wide.push((promoted, volumes.as_array().cloned()));
        }
        if creates {
            let rule = json!({"apiGroups": [""], "resources": ["namespaces"], "verbs": ["create"]});
            wide.push(("create-ns".to_owned(), Some(vec![rule])));
        }
        wide.into_iter()
            .map(|(role, rules)| {
                let owner = match self.model {
                    Model::Legacy => Owner::Key(names::pair(self.binding), names::OWNER_USER.to_owned(), Vec::new()),
                    Model::Aggregated => self.aggregated_owner(names::AGGREGATION),
                };
                self.grant(Part::Downstream, "", &role, rules, owner)
            })
            .collect()
    }

    fn memberships(&self) -> Vec<Grant> {
        let value = match self.model {
            Model::Legacy => names::MEMBERSHIP,
            Model::Aggregated => "true",
        };
        let owner = Owner::Key(names::pair(self.binding), value.to_owned(), Vec::new());
        let owns = roles::is_owner(self.core, text(self.binding, "roleTemplateName"));
        let of_cluster = if owns && self.kind == Kind::Cluster { "owner" } else { "member" };
        let role =
            |of: &str, context: &str, what: &str| self.core.version().membership_role(self.model, of, context, what);
        let cluster_role = role(&self.cluster, "cluster", of_cluster);
        let verbs: &[&str] = if of_cluster == "owner" { &["*"] } else { &["get"] };
        let rules = one_name(&self.cluster, verbs, "management.cattle.io", "clusters");
        let mut grants = vec![self.grant(Part::Management, "", &cluster_role, rules, owner.clone())];
        if self.kind == Kind::Project {
            let project = self.kind.project(self.binding);
            let (word, verbs): (_, &[&str]) = if owns { ("owner", &["*"]) } else { ("member", &["get"]) };
            let role = role(&project, "project", word);
            let rules = one_name(&project, verbs, "management.cattle.io", "projects");
            let mut grant = self.grant(Part::Management, &self.cluster, &role, rules, owner);
            grant.role_kind = "Role";
            grants.push(grant);
        }
        grants
    }

    /// Rights on Rancher's own objects: in the binding's namespace, and for cluster bindings in all projects' as well.
    fn management(&self) -> Vec<Grant> {
        let name = text(self.binding, "roleTemplateName");
        let own = meta(self.binding, "namespace").to_owned();
        let mut places = vec![own];
        if self.kind == Kind::Cluster {
            let projects = self.core.local.list(&management("projects"), Some(&self.cluster));
            places.extend(projects.iter().map(backing_namespace));
        }
        let mut grants = Vec::new();
        for role in roles::reached(self.core, name) {
            let rules = roles::management_rules(&roles::rules(self.core, &role));
            if rules.is_empty() {
                continue;
            }
            for place in &places {
                let role = meta(&role, "name");
                let mut grant = match self.model {
                    Model::Legacy => {
                        // Only in the binding's own namespace the name alone says whose it is.
                        let owner = if *place == meta(self.binding, "namespace") {
                            Owner::Named
                        } else {
                            Owner::Key(names::pair(self.binding), names::IN_PROJECT.to_owned(), Vec::new())
                        };
                        let mut grant = self.grant(Part::Management, place, role, Some(rules.clone()), owner);
                        grant.name = format!("{}-{role}", meta(self.binding, "name"));
                        grant
                    }
                    Model::Aggregated => {
                        let role = format!("{role}-{}-mgmt-aggregator", self.kind.context());
                        let owner = self.aggregated_owner(names::AGGREGATION_MGMT);
                        self.grant(Part::Management, place, &role, Some(rules.clone()), owner)
                    }
                };
                grant.role_kind = "Role";
                grants.push(grant);
            }
        }
        grants
    }

    fn fleet(&self) -> Vec<Grant> {
        let workspace = if self.cluster == "local" { "fleet-local" } else { "fleet-default" };
        let role = format!("r-cluster-{}-view", self.cluster);
        let name = meta(self.binding, "name");
        let mut labels = vec![(names::fleet_key(self.kind), name.to_owned())];
        if self.model == Model::Aggregated {
            labels.push((names::AGGREGATION.to_owned(), "true".to_owned()));
        }
        let twice = self.model == Model::Aggregated && self.kind == Kind::Project;
        let count = if twice { 2 } else { 1 };
        (0..count)
            .map(|index| {
                let rules = one_name(&self.cluster, &["get"], "provisioning.cattle.io", "clusters");
                let owner = Owner::Only(labels.clone());
                let mut grant = self.grant(Part::Fleet, workspace, &role, rules, owner);
                let own = [self.kind.short(), meta(self.binding, "namespace"), name, &index.to_string()];
                grant.name = format!("{}-{}", grant.name, names::hashed(&own));
                grant.role_kind = "Role";
                grant
            })
            .collect()
    }
}
