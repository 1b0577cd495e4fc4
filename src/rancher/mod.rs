//! How to talk to a Rancher server. Knows nothing of our kinds.
