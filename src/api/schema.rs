//! Patterns and limits that several fields share.

/// One line of text: no control characters, and none that change the direction of text.
pub const TEXT: &str = r"^[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}]*$";

/// A Kubernetes object name (RFC 1123 subdomain).
pub const NAME: &str = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$";

/// A name of one DNS label, as of a namespace.
pub const LABEL: &str = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";

/// Like [`LABEL`], but `*` stands for any run of characters.
pub const LABEL_PATTERN: &str = r"^[-a-z0-9*]+$";

/// The id of a Rancher object: what stands in its `metadata.name`.
pub const RANCHER_ID: &str = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$";

/// A Rancher object by its id or by the name that Rancher shows: [`TEXT`] without what would be a path, a pattern, or two ids.
pub const TARGET: &str = r"^[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}/:*]+$";

/// Like [`RANCHER_ID`], but `*` stands for any run of characters.
pub const RANCHER_ID_PATTERN: &str = r"^[-a-z0-9.*]+$";

/// A Rancher principal, as Rancher writes it: `okta_user://alice`.
pub const PRINCIPAL: &str = r"^[a-z0-9_]+://[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+$";

/// A template of a principal in which `{name}` stands for the Kubernetes name.
pub const PRINCIPAL_TEMPLATE: &str =
    r"^[a-z0-9_]+://[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}{}]*\{name\}[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}{}]*$";

/// A DNS name or an IPv4 address, or nothing: no scheme, no port, no path.
pub const HOST: &str = r"^([a-zA-Z0-9]([-a-zA-Z0-9.]*[a-zA-Z0-9])?)?$";

/// An https URL.
pub const HTTPS_URL: &str = r"^https://[^\s\p{Cc}\p{Cf}]+$";

/// A positive duration in Go's syntax, in hours, minutes and seconds: `1h30m`.
pub const DURATION: &str = r"^([0-9]{1,6}h)?([0-9]{1,7}m)?([0-9]{1,9}s)?$";

/// A time of this century, in RFC 3339, with at most nine digits after the second: what the API server takes for a
/// date-time is wider than what everyone can read, and a time that cannot be read is an end that cannot be kept.
pub const TIME: &str = r"^20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?(Z|[+-](0[0-9]|1[0-9]|2[0-3]):[0-5][0-9])$";

/// A key in a Secret or ConfigMap.
pub const DATA_KEY: &str = r"^[-._a-zA-Z0-9]+$";
