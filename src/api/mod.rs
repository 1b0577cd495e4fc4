//! The kinds of `rancheraccess.io/v1alpha1`, as the API server stores them. Types only.
