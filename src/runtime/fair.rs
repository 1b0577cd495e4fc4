//! Places for work, shared fairly: among tenants in turn, and no more than so many for one target.
//!
//! A place that becomes free goes to the next tenant who can use one, and of his to whoever waits longest; those whose target
//! has all the places that it may have are passed over. Nothing is polled: each place is handed over as it is given back.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Bound,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::oneshot;

/// A pool of places. Cheap to clone; clones share.
#[derive(Clone, Debug)]
pub struct FairPool(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// The most places for one target.
    each: usize,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    free: usize,
    /// Places taken, by target.
    taken: HashMap<String, usize>,
    waiting: BTreeMap<String, Tenant>,
    /// Whose turn it was last.
    last: Option<String>,
    /// How many ever waited: the next one's number.
    came: u64,
}

/// One tenant's waiters: by target, in the order in which they came.
type Tenant = BTreeMap<Option<String>, BTreeMap<u64, oneshot::Sender<Place>>>;

/// A place, until it is dropped.
#[derive(Debug)]
#[must_use = "the place is free again once this is dropped"]
pub struct Place {
    pool: FairPool,
    target: Option<String>,
}

/// Leaves the queue when it is dropped.
struct Waiter<'a> {
    pool: &'a FairPool,
    tenant: &'a str,
    target: &'a Option<String>,
    number: u64,
}

impl FairPool {
    /// A pool of `total` places, of which at most `each` go to one target.
    pub fn new(total: usize, each: usize) -> Self {
        let state = State { free: total, taken: HashMap::new(), waiting: BTreeMap::new(), last: None, came: 0 };
        Self(Arc::new(Inner { each, state: Mutex::new(state) }))
    }

    /// A place for that tenant, for work on that target, if it is on one. Dropping the future leaves the queue.
    pub async fn place(&self, tenant: &str, target: Option<String>) -> Place {
        let (number, turn) = self.queue(tenant, target.clone());
        let _waiter = Waiter { pool: self, tenant, target: &target, number };
        self.serve();
        match turn.await {
            Ok(place) => place,
            // The other end goes only with its place, or with the waiter.
            Err(_) => std::future::pending().await,
        }
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.state().waiting.values().flat_map(BTreeMap::values).map(BTreeMap::len).sum()
    }

    fn queue(&self, tenant: &str, target: Option<String>) -> (u64, oneshot::Receiver<Place>) {
        let (sender, receiver) = oneshot::channel();
        let mut state = self.state();
        let number = state.came;
        state.came += 1;
        state.waiting.entry(tenant.to_owned()).or_default().entry(target).or_default().insert(number, sender);
        (number, receiver)
    }

    /// Hands out what is free.
    fn serve(&self) {
        loop {
            let next = self.state().next(self.0.each);
            let Some((target, waiter)) = next else { return };
            // One who is just leaving does not take it: then it is dropped here, past the lock, and goes to the next.
            let _ = waiter.send(Place { pool: self.clone(), target });
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing under this lock can panic half-way through a change.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The next to get a place, which is taken for him already.
    fn next(&mut self, each: usize) -> Option<(Option<String>, oneshot::Sender<Place>)> {
        if self.free == 0 {
            return None;
        }
        let (tenant, target, number) = self.turn(each)?;
        let waiter = self.leave(&tenant, &target, number)?;
        self.free -= 1;
        if let Some(target) = &target {
            *self.taken.entry(target.clone()).or_default() += 1;
        }
        self.last = Some(tenant);
        Some((target, waiter))
    }

    /// The first tenant after the last one who has somebody whose target may have another place.
    fn turn(&self, each: usize) -> Option<(String, Option<String>, u64)> {
        let after = self.last.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        let up_to = self.last.as_ref().map(|last| (Bound::Unbounded, Bound::Included(last)));
        let tenants = self
            .waiting
            .range::<String, _>((after, Bound::Unbounded))
            .chain(up_to.into_iter().flat_map(|range| self.waiting.range::<String, _>(range)));
        let may = |target: &Option<String>| {
            target.as_ref().is_none_or(|target| self.taken.get(target).is_none_or(|taken| *taken < each))
        };
        for (tenant, targets) in tenants {
            let first = targets
                .iter()
                .filter(|(target, _)| may(target))
                .filter_map(|(target, queue)| Some((*queue.keys().next()?, target)))
                .min_by_key(|(number, _)| *number);
            if let Some((number, target)) = first {
                return Some((tenant.clone(), target.clone(), number));
            }
        }
        None
    }

    /// Takes a waiter out of the queue; `None` where he is out already.
    fn leave(&mut self, tenant: &str, target: &Option<String>, number: u64) -> Option<oneshot::Sender<Place>> {
        let targets = self.waiting.get_mut(tenant)?;
        let queue = targets.get_mut(target)?;
        let waiter = queue.remove(&number);
        if queue.is_empty() {
            targets.remove(target);
        }
        if targets.is_empty() {
            self.waiting.remove(tenant);
        }
        waiter
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.pool.state().leave(self.tenant, self.target, self.number);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.pool.state();
        state.free += 1;
        if let Some(target) = &self.target
            && let Some(taken) = state.taken.get_mut(target)
        {
            *taken -= 1;
            if *taken == 0 {
                state.taken.remove(target);
            }
        }
        drop(state);
        self.pool.serve();
    }
}

#[cfg(test)]
mod tests {
    use std::{pin::pin, time::Duration};

    use futures::{FutureExt, future::join_all};
    use tokio::time::{sleep, timeout};

    use super::*;

    fn on(target: &str) -> Option<String> {
        Some(target.to_owned())
    }

    /// Queues one for each, and tells in which order they were served by a pool with one free place.
    async fn order(pool: &FairPool, waiters: &[(&str, &str)]) -> Vec<String> {
        let held = pool.place("holder", None).await;
        let served = Mutex::new(Vec::new());
        let work = waiters.iter().map(|(tenant, target)| {
            let served = &served;
            async move {
                let place = pool.place(tenant, on(target)).await;
                served.lock().unwrap().push(format!("{tenant}/{target}"));
                sleep(Duration::from_millis(10)).await;
                drop(place);
            }
        });
        futures::future::join(join_all(work), async {
            sleep(Duration::from_millis(1)).await;
            drop(held);
        })
        .await;
        served.into_inner().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn tenants_take_turns_and_each_ones_own_go_in_order() {
        let pool = FairPool::new(1, 1);
        let storm = [("a", "1"), ("a", "2"), ("a", "3"), ("b", "4"), ("c", "5"), ("b", "6")];
        assert_eq!(order(&pool, &storm).await, ["a/1", "b/4", "c/5", "a/2", "b/6", "a/3"]);
        assert_eq!(pool.waiting(), 0);
        assert_eq!(pool.state().free, 1);
        assert!(pool.state().taken.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_target_with_all_its_places_is_passed_over_and_holds_up_nobody() {
        let pool = FairPool::new(8, 2);
        let held = [pool.place("a", on("x")).await, pool.place("a", on("x")).await];
        let mut waits = pin!(pool.place("a", on("x")));
        assert!(waits.as_mut().now_or_never().is_none());
        assert!(timeout(Duration::from_secs(1), pool.place("b", on("x"))).await.is_err());
        let others = [pool.place("a", on("y")).await, pool.place("a", None).await, pool.place("b", on("z")).await];
        let [first, _second] = held;
        drop(first);
        assert!(waits.now_or_never().is_some(), "one of its own came free");
        drop(others);
    }

    #[tokio::test(start_paused = true)]
    async fn who_leaves_the_queue_takes_nothing_along() {
        let pool = FairPool::new(1, 1);
        let held = pool.place("a", on("x")).await;
        assert!(timeout(Duration::from_secs(1), pool.place("a", on("x"))).await.is_err());
        assert_eq!(pool.waiting(), 0);
        // One to whom the place was handed, and who leaves without having looked.
        let mut leaves = Box::pin(pool.place("b", on("x")));
        assert!(leaves.as_mut().now_or_never().is_none());
        let mut stays = Box::pin(pool.place("c", on("x")));
        assert!(stays.as_mut().now_or_never().is_none());
        drop(held);
        assert_eq!(pool.waiting(), 1);
        drop(leaves);
        assert!(stays.now_or_never().is_some(), "the place went on to the next");
        assert_eq!(pool.state().free, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn no_place_is_lost_when_many_come_and_go() {
        let pool = FairPool::new(4, 2);
        let work = (0..500_u64).map(|n| {
            let pool = pool.clone();
            tokio::spawn(async move {
                let (tenant, target) = (format!("t{}", n % 7), on(&format!("c{}", n % 5)));
                let patience = Duration::from_millis(if n % 3 == 0 { n % 40 } else { 100_000 });
                if let Ok(_place) = timeout(patience, pool.place(&tenant, target)).await {
                    sleep(Duration::from_millis(1 + n % 4)).await;
                    return n % 3 != 0;
                }
                false
            })
        });
        let patient = join_all(work).await.into_iter().filter(|served| *served.as_ref().unwrap()).count();
        assert_eq!(patient, (0..500).filter(|n| n % 3 != 0).count());
        assert_eq!((pool.waiting(), pool.state().free), (0, 4));
        assert!(pool.state().taken.is_empty());
    }
}
