//! A Kubernetes API server in memory: no sockets, no etcd, works under paused time, and the same seed gives the same answers.
//!
//! It does what the operator and the Rancher simulator need of a real one, with the same answers: list and watch with
//! bookmarks and 410, optimistic concurrency, the status subresource, merge and JSON patches, finalizers, UID
//! preconditions, generateName, selectors, CustomResourceDefinitions with schemas and CEL rules, admission policies.
//! What it does not know it refuses, with a message that begins `testkit apiserver:`.
//!
//! Unlike a real server it runs, at once and within the request that caused it, what kube-controller-manager does later:
//! the deletion of a namespace's content and the garbage collection of dependents.
use std::{
    future::Future,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use jiff::Timestamp;
use tokio::sync::watch as signal;

mod access;
mod admission;
mod backup;
mod builtin;
mod create;
mod custom;
mod delete;
mod direct;
mod discovery;
mod kind;
mod metadata;
mod object;
mod observe;
mod patch;
mod policy;
mod read;
mod request;
mod schema;
pub mod script;
mod selector;
mod serve;
mod settle;
mod state;
mod status;
mod texts;
mod update;
mod watch;

#[cfg(test)]
mod tests;

pub use access::{Attributes, Authorizer, Recorded};
pub use admission::{Admission, AdmissionRequest, Denied, Operation};
pub use backup::Backup;
pub use direct::Event;
pub use kind::{Gvr, Resource};
pub use observe::{Changed, Observer};
pub use serve::{Service, streamed};
pub use state::EventType;
pub use status::ApiError;

use state::State;

/// Who a request comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    /// The user name.
    pub name: String,
    /// The groups; `system:authenticated` is added by the server.
    pub groups: Vec<String>,
}

impl User {
    /// A user in the given groups.
    pub fn new(name: &str, groups: &[&str]) -> Self {
        Self { name: name.to_owned(), groups: groups.iter().map(|&group| group.to_owned()).collect() }
    }

    /// The user that may do everything.
    pub fn admin() -> Self {
        Self::new("system:admin", &["system:masters"])
    }
}

type Now = Box<dyn Fn() -> Timestamp + Send + Sync>;

struct Inner {
    state: Mutex<State>,
    /// Ticks whenever a watch may have something to read.
    wake: signal::Sender<u64>,
    now: Now,
    hooks: Mutex<Vec<Arc<dyn Admission>>>,
    authorizer: Mutex<Option<Authorizer>>,
    recorded: Mutex<Vec<Recorded>>,
    /// What was read, as text. Forks share it, and what follows.
    texts: Arc<Mutex<texts::Texts>>,
    /// The expressions of admission policies, read; and what policies said.
    expressions: Arc<Mutex<policy::Expressions>>,
    verdicts: Arc<Mutex<policy::Verdicts>>,
    available: AtomicBool,
    /// How often running connections were cut.
    cuts: AtomicU64,
}

/// Locks; a test that panicked while it held the lock does not poison the others' answers.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    fn wake(&self) {
        self.wake.send_modify(|tick| *tick += 1);
    }
}

/// A handle to the server; clones share it.
#[derive(Clone)]
pub struct ApiServer(Arc<Inner>);

/// Builds an [`ApiServer`].
pub struct Builder {
    now: Now,
    seed: u64,
}

#[allow(clippy::disallowed_methods)] // the default clock of a test server whose author gave none
fn wall_clock() -> Timestamp {
    Timestamp::now()
}

impl Builder {
    /// The clock that stamps objects. Default: the wall clock.
    #[must_use]
    pub fn now(mut self, now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        self.now = Box::new(now);
        self
    }

    /// The seed of UIDs and generated names. Default: 0.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// The server, with its built-in kinds and namespaces.
    pub fn build(self) -> ApiServer {
        let state = State::new(self.seed, (self.now)());
        ApiServer(Arc::new(Inner {
            state: Mutex::new(state),
            wake: signal::Sender::new(0),
            now: self.now,
            hooks: Mutex::default(),
            authorizer: Mutex::default(),
            recorded: Mutex::default(),
            texts: Arc::default(),
            expressions: Arc::default(),
            verdicts: Arc::default(),
            available: AtomicBool::new(true),
            cuts: AtomicU64::new(0),
        }))
    }
}

impl ApiServer {
    /// Starts to describe a server.
    pub fn builder() -> Builder {
        Builder { now: Box::new(wall_clock), seed: 0 }
    }

    /// Serves a kind that has no CustomResourceDefinition: without a schema, everything in it is kept.
    pub fn register(&self, resource: Resource) {
        let kind = kind::Kind::custom(&resource);
        self.0.state().kinds.insert(kind.gvr.clone(), Arc::new(kind));
    }

    /// A client of the administrator (`system:masters`).
    pub fn client(&self) -> kube::Client {
        serve::client(self.service_as(User::admin()))
    }

    /// A client of somebody else.
    pub fn client_as(&self, user: &str, groups: &[&str]) -> kube::Client {
        serve::client(self.service_as(User::new(user, groups)))
    }

    /// The HTTP face: any host, the path decides.
    pub fn service_as(&self, user: User) -> Service {
        serve::service(Arc::clone(&self.0), user)
    }

    /// Adds an admission webhook; hooks run in the order they were added.
    pub fn hook(&self, hook: Arc<dyn Admission>) {
        lock(&self.0.hooks).push(hook);
    }

    /// Decides who may do what from now on; without an authorizer everyone may do everything.
    pub fn authorize(&self, authorizer: Authorizer) {
        *lock(&self.0.authorizer) = Some(authorizer);
    }

    /// Every request that arrived and was understood, with its answer's code.
    pub fn requests(&self) -> Vec<Recorded> {
        lock(&self.0.recorded).clone()
    }

    /// Forgets the recorded requests.
    pub fn clear_requests(&self) {
        lock(&self.0.recorded).clear();
    }

    /// Compacts the history: running watches get `ERROR` 410 in their stream, older resourceVersions answer 410.
    pub fn expire_watches(&self) {
        self.0.state().compact();
        self.0.wake();
    }

    /// `false`: every call fails to connect and running watches are cut; `true`: back again.
    pub fn set_available(&self, available: bool) {
        self.0.available.store(available, Ordering::SeqCst);
        if !available {
            self.0.cuts.fetch_add(1, Ordering::SeqCst);
        }
        self.0.wake();
    }

    /// The newest resourceVersion.
    pub fn revision(&self) -> u64 {
        self.0.state().revision
    }
}

/// A future that can be kept in a trait object.
pub(crate) type Boxed<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + Send + 'a>>;
