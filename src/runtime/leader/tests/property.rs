//! Two never lead, whatever the links do and whoever restarts.

use proptest::prelude::*;

use super::*;

/// Contenders at a time.
const CONTENDERS: usize = 3;
const STEP: Duration = Duration::from_millis(25);

/// What happens to one contender for a while.
#[derive(Clone, Debug)]
enum Phase {
    Link(Mode),
    /// It ends in good order and starts anew.
    Restart,
    /// Its election stops dead and gives nothing back, while the rest of it may live on to its deadline.
    Crash,
}

fn phase() -> impl Strategy<Value = Phase> {
    let millis = |range: std::ops::Range<u64>| range.prop_map(Duration::from_millis);
    prop_oneof![
        3 => Just(Phase::Link(Mode::Up)),
        2 => Just(Phase::Link(Mode::Refuse)),
        2 => Just(Phase::Link(Mode::LoseAnswer)),
        2 => millis(1..30_000).prop_map(|delay| Phase::Link(Mode::LandLate(delay))),
        2 => millis(1..9_000).prop_map(|latency| Phase::Link(Mode::Slow(latency))),
        1 => Just(Phase::Restart),
        1 => Just(Phase::Crash),
    ]
}

/// For each contender: phases with their lengths in milliseconds.
fn schedules() -> impl Strategy<Value = Vec<Vec<(u64, Phase)>>> {
    let one = prop::collection::vec((100u64..25_000, phase()), 4..12);
    prop::collection::vec(one, CONTENDERS)
}

/// A contender that is started again whenever it ends, as a kubelet would.
struct Slot<'s> {
    server: &'s Server,
    name: usize,
    starts: usize,
    running: Contender,
    crashed: Vec<LeaderHandle>,
    phases: std::vec::IntoIter<(u64, Phase)>,
    next: Instant,
}

impl<'s> Slot<'s> {
    fn new(server: &'s Server, name: usize, phases: Vec<(u64, Phase)>) -> Self {
        let running = Contender::start(server, &format!("{name}-0"));
        Self { server, name, starts: 0, running, crashed: Vec::new(), phases: phases.into_iter(), next: Instant::now() }
    }

    fn restart(&mut self) {
        self.starts += 1;
        let identity = format!("{}-{}", self.name, self.starts);
        let config = LeaseConfig::new("ops", "operator", identity);
        self.running = Contender::with(self.server, config, self.running.link.clone());
    }

    fn leaders(&self) -> impl Iterator<Item = usize> {
        let handles = self.crashed.iter().chain([&self.running.handle]);
        handles.filter(|handle| handle.may_create()).map(|_| self.name)
    }

    /// Whether its schedule is over.
    async fn step(&mut self) -> bool {
        if self.running.task.is_finished() {
            self.restart();
        }
        if Instant::now() < self.next {
            return false;
        }
        let Some((millis, phase)) = self.phases.next() else {
            self.running.link.set(Mode::Up);
            return true;
        };
        self.next = Instant::now() + Duration::from_millis(millis);
        match phase {
            Phase::Link(mode) => self.running.link.set(mode),
            Phase::Restart => self.running.token.cancel(), // started again when it has ended
            Phase::Crash => {
                self.running.task.abort();
                self.crashed.push(self.running.handle.clone());
                self.restart();
            }
        }
        false
    }
}

async fn run(schedules: Vec<Vec<(u64, Phase)>>) -> Result<(), TestCaseError> {
    let server = Server::default();
    let mut slots: Vec<_> =
        schedules.into_iter().enumerate().map(|(name, phases)| Slot::new(&server, name, phases)).collect();
    let mut healed: Option<Instant> = None;
    loop {
        let mut over = true;
        for slot in &mut slots {
            over &= slot.step().await;
        }
        let leaders: Vec<_> = slots.iter().flat_map(Slot::leaders).collect();
        prop_assert!(leaders.len() <= 1, "{leaders:?} lead together");
        if over {
            let since = *healed.get_or_insert_with(Instant::now);
            if leaders.len() == 1 {
                return Ok(());
            }
            prop_assert!(since.elapsed() < 60 * SECOND, "nobody leads though all links are up");
        }
        sleep(STEP).await;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn two_never_lead_and_one_does_in_the_end(schedules in schedules()) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(run(schedules))?;
    }
}
