//! The releases of Rancher whose behaviour is modelled.

/// A line of releases. What each does differently is said where it is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// 2.11.0: projects have no backing namespace yet; the webhook is 0.7.
    V2_11,
    /// 2.12.
    V2_12,
    /// 2.13.
    V2_13,
    /// 2.14: duplicates of cluster bindings are refused.
    V2_14,
    /// 2.15: duplicates of project bindings are refused too, and those that are there are deleted.
    #[default]
    V2_15,
}

impl Version {
    /// All of them, the oldest first.
    pub const ALL: [Self; 5] = [Self::V2_11, Self::V2_12, Self::V2_13, Self::V2_14, Self::V2_15];

    /// As `/rancherversion` says it.
    pub fn tag(self) -> &'static str {
        match self {
            Self::V2_11 => "v2.11.0",
            Self::V2_12 => "v2.12.12",
            Self::V2_13 => "v2.13.8",
            Self::V2_14 => "v2.14.4",
            Self::V2_15 => "v2.15.0",
        }
    }
}
