//! Pure: whether a request is allowed, and by which policy.
