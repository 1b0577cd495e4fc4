//! The table of what counts as privileged.

/// Stands for all groups, resources or verbs.
pub(super) const ALL: &str = "*";

/// Verbs that change something. `*` is matched apart.
pub(super) const WRITE: &[&str] = &["create", "update", "patch", "delete", "deletecollection"];
pub(super) const CHANGE: &[&str] = &["create", "update", "patch"];
pub(super) const READ: &[&str] = &["get", "list", "watch"];
pub(super) const ANY: &[&str] = &[ALL];

/// Some access that counts as privileged: one of these verbs on one of these resources in one of these API groups.
pub(super) struct Guard {
    pub(super) groups: &'static [&'static str],
    /// `*`: every resource of the groups.
    pub(super) resources: &'static [&'static str],
    /// `*`: every verb.
    pub(super) verbs: &'static [&'static str],
    /// What its holder may do: completes "role x may …".
    pub(super) may: &'static str,
    /// Whether everybody has it in Rancher as a whole, by his default global role.
    pub(super) everybody: bool,
}

/// What counts wherever the role is bound. The most telling first.
pub(super) const EVERYWHERE: &[Guard] = &[
    Guard {
        groups: &["rbac.authorization.k8s.io"],
        resources: ANY,
        verbs: WRITE,
        may: "write Kubernetes roles or bindings",
        everybody: false,
    },
    Guard {
        groups: &["management.cattle.io"],
        resources: &[
            "clusterroletemplatebindings",
            "projectroletemplatebindings",
            "globalrolebindings",
            "globalroles",
            "roletemplates",
        ],
        verbs: WRITE,
        may: "write Rancher roles or bindings",
        everybody: false,
    },
    // Rancher has written `userattribute` in its own roles where it meant `userattributes`.
    Guard {
        groups: &["management.cattle.io"],
        resources: &[
            "users",
            "tokens",
            "userattributes",
            "userattribute",
            "groups",
            "groupmembers",
            "authconfigs",
            "authproviders",
            "authtokens",
            "samltokens",
            "oidcclients",
            "settings",
            "features",
        ],
        verbs: WRITE,
        may: "write Rancher users, tokens or how people log in",
        everybody: false,
    },
    Guard {
        groups: &["ext.cattle.io"],
        resources: &["tokens", "kubeconfigs", "passwordchangerequests", "groupmembershiprefreshrequests"],
        verbs: WRITE,
        may: "make credentials that outlive the grant",
        everybody: true,
    },
    // The objects behind Rancher's authorized cluster endpoint: who writes them logs in there as anyone.
    Guard {
        groups: &["cluster.cattle.io"],
        resources: ANY,
        verbs: WRITE,
        may: "make credentials for the cluster's own endpoint",
        everybody: false,
    },
    // Their tokens are what a cluster's agent registers with.
    Guard {
        groups: &["management.cattle.io", "fleet.cattle.io"],
        resources: &["clusterregistrationtokens"],
        verbs: ANY,
        may: "use the tokens that clusters register with",
        everybody: false,
    },
    // `own` is the verb by which Rancher knows an owner; `updatepsa` lifts the limits on pods.
    Guard {
        groups: &["management.cattle.io"],
        resources: &["clusters", "projects"],
        verbs: &["own", "updatepsa"],
        may: "act as owner of clusters or projects",
        everybody: false,
    },
    Guard {
        groups: &["management.cattle.io", "provisioning.cattle.io"],
        resources: &["clusters", "clusterproxyconfigs"],
        verbs: WRITE,
        may: "rewrite clusters",
        everybody: false,
    },
    Guard {
        groups: &["management.cattle.io"],
        resources: &["nodedrivers", "kontainerdrivers", "dynamicschemas"],
        verbs: WRITE,
        may: "have Rancher run drivers",
        everybody: false,
    },
    // Controllers that run whatever these objects say, as administrators of the cluster: RKE2 and K3s have the Helm
    // controller built in, Rancher brings Fleet and the upgrade controller.
    Guard {
        groups: &["helm.cattle.io", "upgrade.cattle.io", "k3s.cattle.io"],
        resources: &["helmcharts", "helmchartconfigs", "plans", "addons"],
        verbs: CHANGE,
        may: "have a controller install anything",
        everybody: false,
    },
    Guard {
        groups: &["fleet.cattle.io"],
        resources: &["bundles", "bundledeployments", "gitrepos", "helmops", "clusters"],
        verbs: CHANGE,
        may: "have Fleet install anything",
        everybody: false,
    },
    // `get` is enough: the kubelet lets a reader run commands in every pod of the node.
    Guard { groups: &[""], resources: &["nodes/proxy"], verbs: ANY, may: "speak to kubelets", everybody: false },
    Guard {
        groups: &["certificates.k8s.io"],
        resources: &[
            "certificatesigningrequests",
            "certificatesigningrequests/approval",
            "certificatesigningrequests/status",
        ],
        verbs: WRITE,
        may: "ask for or approve certificates",
        everybody: false,
    },
    Guard {
        groups: &["certificates.k8s.io"],
        resources: &["signers"],
        verbs: &["approve", "sign", "attest"],
        may: "approve certificates",
        everybody: false,
    },
    Guard {
        groups: &["admissionregistration.k8s.io"],
        resources: ANY,
        verbs: WRITE,
        may: "change what the API server admits",
        everybody: false,
    },
    Guard {
        groups: &["apiextensions.k8s.io", "apiregistration.k8s.io"],
        resources: ANY,
        verbs: WRITE,
        may: "change what the API server serves",
        everybody: false,
    },
    // A hostPath volume is the node's disk. Rancher binds this right cluster-wide even for a role on a project.
    Guard {
        groups: &[""],
        resources: &["persistentvolumes"],
        verbs: CHANGE,
        may: "mount the disks of nodes",
        everybody: false,
    },
];

/// What counts besides when the role is bound on a cluster, and so reaches `kube-system`.
pub(super) const ON_CLUSTERS: &[Guard] = &[
    Guard {
        groups: &[""],
        resources: &["serviceaccounts"],
        verbs: &["impersonate", "impersonate:serviceaccount"],
        may: "impersonate every ServiceAccount of the cluster",
        everybody: false,
    },
    Guard {
        groups: &[""],
        resources: &["serviceaccounts/token"],
        verbs: &["create"],
        may: "make tokens of every ServiceAccount of the cluster",
        everybody: false,
    },
    Guard {
        groups: &[""],
        resources: &["secrets"],
        verbs: READ,
        may: "read every Secret of the cluster",
        everybody: false,
    },
    Guard {
        groups: &[""],
        resources: &["secrets", "configmaps"],
        verbs: &["update", "patch"],
        may: "change every Secret or ConfigMap of the cluster",
        everybody: false,
    },
    Guard {
        groups: &["", "apps", "batch", "extensions"],
        resources: &[
            "pods",
            "pods/ephemeralcontainers",
            "replicationcontrollers",
            "daemonsets",
            "deployments",
            "replicasets",
            "statefulsets",
            "jobs",
            "cronjobs",
        ],
        verbs: CHANGE,
        may: "run pods in every namespace of the cluster",
        everybody: false,
    },
    Guard {
        groups: &[""],
        resources: &["pods/exec", "pods/attach"],
        verbs: &["get", "create"],
        may: "run commands in every pod of the cluster",
        everybody: false,
    },
    // A namespace's annotation says to which project it belongs, its labels what its pods may do.
    Guard {
        groups: &[""],
        resources: &["namespaces"],
        verbs: &["update", "patch"],
        may: "move every namespace of the cluster into another project",
        everybody: false,
    },
];
