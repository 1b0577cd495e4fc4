//! Every rule of `RancherIntegration`.

use serde_json::{Value, json};

use crate::server::{Kind, OK, Row, long};

fn base() -> Value {
    json!({"host": "rancher.example.com", "credentialsSecretRef": {"name": "rancher-prod"}})
}

async fn kind() -> Kind {
    Kind::new("RancherIntegration", "rancherintegrations", None).await
}

fn one(pointer: &'static str, value: Value, expected: &'static str) -> Row {
    (vec![(pointer, value)], expected)
}

#[tokio::test]
async fn where_the_server_is() {
    let key = "credentialsSecretRef is required with host, and may not be set without";
    let rows = vec![
        (vec![], OK),
        one("/host", json!("192.0.2.7"), OK),
        one("/host", json!("Rancher"), OK),
        one("/host", Value::Null, key),
        one("/host", json!(""), key),
        (vec![("/host", Value::Null), ("/credentialsSecretRef", Value::Null)], OK),
        (vec![("/host", json!("")), ("/credentialsSecretRef", Value::Null)], OK),
        (
            vec![
                ("/host", Value::Null),
                ("/credentialsSecretRef", Value::Null),
                ("/certificateAuthority", json!({"secretRef": {"name": "a", "key": "b"}})),
            ],
            "may not be set without host",
        ),
        one("/host", json!("https://rancher.example.com"), "spec.host in body should match"),
        one("/host", json!("rancher.example.com:8443"), "spec.host in body should match"),
        one("/host", json!("rancher.example.com/v3"), "spec.host in body should match"),
        one("/host", json!("user@rancher"), "spec.host in body should match"),
        one("/host", json!("rancher\n"), "spec.host in body should match"),
        one("/host", long(254, "a"), "spec.host: Too long"),
        one("/port", json!(1), OK),
        one("/port", json!(65535), OK),
        one("/port", json!(0), "spec.port"),
        one("/port", json!(65536), "spec.port"),
        one("/port", json!("443"), "spec.port"),
        one("/uiUrl", json!("https://rancher.example.com/dashboard"), OK),
        one("/uiUrl", json!("http://rancher.example.com"), "spec.uiUrl in body should match"),
        one("/uiUrl", json!("https://"), "spec.uiUrl in body should match"),
        one("/uiUrl", json!("https://a b"), "spec.uiUrl in body should match"),
        one("/uiUrl", json!("https://a\u{202e}b"), "spec.uiUrl in body should match"),
        one("/uiUrl", long(300, "https://"), "spec.uiUrl: Too long"),
        one("/displayName", json!("Production: Frankfurt ü"), OK),
        one("/displayName", json!(""), "spec.displayName"),
        one("/displayName", json!("a\tb"), "spec.displayName in body should match"),
        one("/displayName", long(254, "a"), "spec.displayName: Too long"),
        one("/connector", json!("blue"), OK),
        one("/connector", json!("Blue"), "spec.connector in body should match"),
        one("/connector", json!(""), "spec.connector"),
        one("/connector", long(64, "a"), "spec.connector: Too long"),
        one("/apiKeyRotationDays", json!(30), OK),
        one("/apiKeyRotationDays", json!(0), "spec.apiKeyRotationDays"),
        one("/apiKeyRotationDays", json!(3651), "spec.apiKeyRotationDays"),
        one("/credentialRotationDays", json!(30), OK),
        one("/credentialRotationDays", json!(0), "spec.credentialRotationDays"),
        one("/userCleanupDays", json!(7), OK),
        one("/userCleanupDays", json!(-1), "spec.userCleanupDays"),
        one("/userCleanupDays", json!(3651), "spec.userCleanupDays"),
        one("/rotateNow", json!("INC-4711"), OK),
        one("/rotateNow", json!(""), "spec.rotateNow"),
        one("/rotateNow", long(65, "a"), "spec.rotateNow: Too long"),
        one("/rotateNow", json!("a\nb"), "spec.rotateNow in body should match"),
        (
            vec![("/host", Value::Null), ("/credentialsSecretRef", Value::Null), ("/rotateNow", json!("1"))],
            "apiKeyRotationDays and rotateNow need credentialsSecretRef",
        ),
        one("/suspend", json!(true), OK),
        one("/suspend", json!("true"), "spec.suspend"),
    ];
    kind().await.creates(&base(), rows).await;
}

#[tokio::test]
async fn which_keys_and_certificates() {
    let reference = || json!({"name": "rancher-ca", "key": "ca.crt"});
    let rows = vec![
        one("/credentialsSecretRef", Value::Null, "credentialsSecretRef is required with host"),
        one("/credentialsSecretRef", json!({}), "spec.credentialsSecretRef.name: Required"),
        one("/credentialsSecretRef/name", json!("A"), "spec.credentialsSecretRef.name in body should match"),
        one("/credentialsSecretRef/name", json!("../a"), "spec.credentialsSecretRef.name in body should match"),
        one("/credentialsSecretRef/name", long(254, "a"), "spec.credentialsSecretRef.name: Too long"),
        one("/certificateAuthority/configMapRef", reference(), OK),
        one("/certificateAuthority/secretRef", reference(), OK),
        one("/certificateAuthority", json!({}), "must set exactly one of configMapRef and secretRef"),
        (
            vec![("/certificateAuthority/secretRef", reference()), ("/certificateAuthority/configMapRef", reference())],
            "must set exactly one of configMapRef and secretRef",
        ),
        one("/certificateAuthority/secretRef", json!({"name": "a"}), "secretRef.key: Required"),
        one("/certificateAuthority/secretRef", json!({"key": "a"}), "secretRef.name: Required"),
        one("/certificateAuthority/configMapRef", json!({"name": "a"}), "configMapRef.key: Required"),
        one("/certificateAuthority/configMapRef", json!({"name": "a", "key": "a/b"}), "key in body should match"),
        one("/certificateAuthority/secretRef", json!({"name": "A", "key": "a"}), "name in body should match"),
    ];
    kind().await.creates(&base(), rows).await;
}

#[tokio::test]
async fn how_names_map_and_what_users_are_told() {
    let rows = vec![
        one("/identityMapping", json!({}), OK),
        one("/identityMapping/userPrincipal", json!("okta_user://{name}"), OK),
        one("/identityMapping/userPrincipal", json!("openldap_user://uid={name},ou=people,dc=example"), OK),
        one("/identityMapping/userPrincipal", json!("okta_user://alice"), "userPrincipal in body should match"),
        one("/identityMapping/userPrincipal", json!("okta_user://{user}"), "userPrincipal in body should match"),
        one("/identityMapping/userPrincipal", json!("a://{name}{name}"), "userPrincipal in body should match"),
        one("/identityMapping/userPrincipal", json!("{name}"), "userPrincipal in body should match"),
        one("/identityMapping/groupPrincipal", json!("okta_group://{name}"), OK),
        one("/identityMapping/groupPrincipal", json!("okta_group://all"), "groupPrincipal in body should match"),
        one("/identityMapping/groupPrincipal", long(90, "g://{n"), "groupPrincipal"),
        one("/customAccessDetails", long(400, "ü"), OK),
        one("/customAccessDetails", long(401, "a"), "spec.customAccessDetails: Too long"),
        one("/customAccessDetails", json!("a\nb"), "spec.customAccessDetails in body should match"),
        one("/customAccessDetails", json!("a\u{202e}b"), "spec.customAccessDetails in body should match"),
        one("/customAccessDetails", json!("a\u{200b}b"), "spec.customAccessDetails in body should match"),
    ];
    kind().await.creates(&base(), rows).await;
}

#[tokio::test]
async fn what_is_left_out_is_filled_in() {
    let stored = kind().await.stored(&base()).await;
    let mut expected = base();
    expected["connector"] = json!("default");
    expected["port"] = json!(443);
    expected["suspend"] = json!(false);
    assert_eq!(stored, expected);
}

#[tokio::test]
async fn only_the_connector_is_immutable() {
    let mut blue = base();
    blue["connector"] = json!("blue");
    let immutable = "connector is immutable: delete the integration and create it anew";
    let others = || {
        vec![
            (vec![], OK),
            one("/host", json!("other.example.com"), OK),
            one("/port", json!(8443), OK),
            one("/credentialsSecretRef/name", json!("other"), OK),
            one("/suspend", json!(true), OK),
            one("/displayName", json!("Other"), OK),
            one("/identityMapping/userPrincipal", json!("okta_user://{name}"), OK),
            one("/connector", json!("green"), immutable),
        ]
    };
    let kind = kind().await;
    let mut rows = others();
    rows.push(one("/connector", json!("default"), OK));
    kind.updates("default-connector", &base(), rows).await;
    let mut rows = others();
    // Taken away, it would be filled in as `default`.
    rows.push(one("/connector", Value::Null, immutable));
    kind.updates("blue-connector", &blue, rows).await;
}

#[tokio::test]
async fn whose_resources_are() {
    let needs = "resourceOwner needs integrationOwner";
    let owner = json!({"key": "example.com/owner", "kind": "Group", "settle": "0s"});
    let platform = json!([{"kind": "Group", "name": "platform"}]);
    let with =
        |owner: Value, expected| (vec![("/resourceOwner", owner), ("/integrationOwner", platform.clone())], expected);
    let rows = vec![
        one("/integrationOwner", platform.clone(), OK),
        one("/resourceOwner", owner.clone(), needs),
        (vec![("/resourceOwner", owner.clone()), ("/integrationOwner", json!([]))], needs),
        with(owner, OK),
        with(json!({"key": "owner", "kind": "User"}), OK),
        with(json!({"key": "owner", "kind": "Team"}), "Unsupported value"),
        with(json!({"key": "", "kind": "User"}), "spec.resourceOwner.key"),
        with(json!({"key": "owner", "kind": "User", "settle": "1d"}), "settle in body should match"),
    ];
    kind().await.creates(&base(), rows).await;
}

#[tokio::test]
async fn what_becomes_of_left_over_tokens() {
    let keyless = |wanted: &str, expected| {
        (
            vec![("/host", Value::Null), ("/credentialsSecretRef", Value::Null), ("/leftoverTokens", json!(wanted))],
            expected,
        )
    };
    let rows = vec![
        one("/leftoverTokens", json!("Report"), OK),
        one("/leftoverTokens", json!("Disable"), OK),
        one("/leftoverTokens", json!("Delete"), OK),
        one("/leftoverTokens", json!("Revoke"), "Unsupported value"),
        one("/leftoverTokens", json!(""), "Unsupported value"),
        keyless("Report", OK),
        keyless("Delete", "leftoverTokens needs credentialsSecretRef"),
    ];
    kind().await.creates(&base(), rows).await;
    let token = |name: &str| {
        json!({"name": name, "user": "u-1", "grant": "web/g", "createdTime": "2026-12-01T08:00:00Z", "action": "Reported",
            "time": "2026-12-01T09:00:00Z"})
    };
    let mut odd = token("token-1");
    odd["action"] = json!("Forgotten");
    let rows = vec![
        (json!({"leftoverTokens": [token("ext/token-1")], "moreLeftoverTokens": 1}), OK),
        (json!({"leftoverTokens": [token("a\nb")]}), "name in body should match"),
        (json!({"leftoverTokens": [odd]}), "Unsupported value"),
        (json!({"leftoverTokens": vec![token("token-1"); 65]}), "must have at most 64 items"),
        (json!({"moreLeftoverTokens": 0}), "moreLeftoverTokens"),
    ];
    kind().await.statuses("with-tokens", &base(), rows).await;
}

#[tokio::test]
async fn what_is_mirrored() {
    let rows = vec![
        one("/discovery", json!({}), OK),
        one("/discovery", json!({"interval": "10m", "namespaces": true}), OK),
        one("/discovery", json!({"interval": "1d"}), "spec.discovery.interval in body should match"),
        one("/discovery", json!({"interval": ""}), "spec.discovery.interval"),
        one("/discovery", json!({"namespaces": "yes"}), "spec.discovery.namespaces"),
    ];
    kind().await.creates(&base(), rows).await;
    let mut on = base();
    on["discovery"] = json!({});
    assert_eq!(kind().await.stored(&on).await["discovery"], json!({"interval": "10m", "namespaces": false}));
    let counts =
        json!({"clusters": 1, "projects": 2, "namespaces": 0, "clusterRoles": 3, "projectRoles": 4, "globalRoles": 5});
    let mut wrong = counts.clone();
    wrong["error"] = json!("a\nb");
    let rows =
        vec![(json!({"discovery": counts}), OK), (json!({"discovery": wrong}), "discovery.error in body should match")];
    kind().await.statuses("mirrored", &base(), rows).await;
}
