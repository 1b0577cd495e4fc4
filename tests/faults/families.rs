//! Families of runs: which faults happen at which requests.
//!
//! A crash at a read is a crash after the change before it, for nothing has changed in between: so reads are crashed at once,
//! and twice only what changes something.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::ExitCode,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    Args, call,
    fault::{Fault, Kind, ON_CLOCKS, ON_EVENTS},
    fuzz,
    run::{Manner, Outcome, Plan, run},
    scenarios::{self, Scenario},
    traces,
};

/// How often the same read is broken in one scenario: a look that is repeated until something happens is one look.
const SAME_READS: u32 = 2;
/// How many events of one watch are broken in one scenario.
const SAME_EVENTS: u32 = 4;
/// A run that takes so long by the machine's clock goes round in circles: they take a twentieth of a second.
const STUCK: Duration = Duration::from_secs(20);
/// How many random plans are told of together.
const PART: usize = 500;
/// How many failures of one family are shown.
const SHOWN: usize = 8;

/// How a scenario goes when nothing is broken.
pub struct Reference {
    pub scenario: &'static Scenario,
    pub calls: Vec<(String, u32)>,
    events: Vec<(String, u32)>,
    pub end: String,
}

/// What is known to be broken, and why: it is played and told, so that nobody forgets it.
fn open(plan: &Plan) -> Option<&'static str> {
    let any = |kinds: &[Kind]| plan.faults.iter().any(|fault| kinds.contains(&fault.kind));
    match plan.scenario.name {
        "upgrade" if any(&[Kind::CrashAway]) => {
            Some("Rancher is upgraded before the operator can yield: the administrator's binding is lost")
        }
        _ => None,
    }
}

/// One run, and what it is held to.
struct Job {
    plan: Plan,
    manner: Manner,
    /// How everything must stand at the end, where a fault may make no difference.
    end: Option<String>,
}

/// What came of a run, as far as it is needed later.
struct Done {
    plan: Plan,
    broken: Vec<String>,
    /// What was broken in one of two runs.
    once: Vec<String>,
    calls: Vec<(String, u32)>,
    happened: bool,
}

/// Runs all families, or what was asked for.
pub fn all(args: &Args) -> ExitCode {
    let began = Instant::now();
    let mut report = Report { args, runs: 0, failed: 0 };
    let references = references(&mut report);
    if args.first && report.failed > 0 {
        return report.verdict(began);
    }
    if let Some(count) = args.fuzz {
        // One part after the other, so that a run that is broken off has told what it found.
        let mut jobs: Vec<_> = fuzz::plans(&references, count, args.seed).map(sound).collect();
        while !jobs.is_empty() {
            let rest = jobs.split_off(jobs.len().min(PART));
            report.family("random plans", std::mem::replace(&mut jobs, rest));
        }
        return report.verdict(began);
    }
    let references: Vec<_> = references.into_iter().filter(|one| one.scenario.is_broken()).collect();
    let single = report.family("one fault", references.iter().flat_map(single).collect());
    report.family("two crashes", twice(&single));
    report.family("crash, then Rancher away", references.iter().flat_map(|r| at_changes(r, Kind::CrashAway)).collect());
    report.family("stale cache", references.iter().flat_map(time_travel).collect());
    let specified = || references.iter().filter(|one| one.scenario.is_specified());
    report.family("unobserved", specified().flat_map(unobserved).collect());
    report.family("watch", references.iter().flat_map(watched).collect());
    report.family("two leaders", references.iter().flat_map(leaders).collect());
    report.family("clock", specified().flat_map(clocks).collect());
    report.verdict(began)
}

fn references(report: &mut Report<'_>) -> Vec<Reference> {
    let filter = report.args.filter.clone().unwrap_or_default();
    let chosen: Vec<_> = scenarios::ALL.iter().filter(|one| one.name.contains(&filter) || filter.is_empty()).collect();
    let plans = chosen.iter().map(|scenario| Plan { scenario, faults: Vec::new() });
    let jobs = plans.map(|plan| Job { plan, manner: Manner::WHOLE, end: None }).collect();
    let found: Mutex<BTreeMap<String, Reference>> = Mutex::default();
    let (bless, untraced) = (report.args.bless, report.args.untraced);
    report.family_with("as it should go", jobs, |plan, outcome| {
        let (scenario, calls, events) = (plan.scenario, outcome.calls(), outcome.events());
        let differs = if untraced { None } else { traces::compare(scenario, &calls, bless) };
        let reference = Reference { scenario, calls, events, end: outcome.end.clone() };
        found.lock().unwrap_or_else(PoisonError::into_inner).insert(scenario.name.to_owned(), reference);
        differs
    });
    found.into_inner().unwrap_or_else(PoisonError::into_inner).into_values().collect()
}

fn sound(plan: Plan) -> Job {
    Job { plan, manner: Manner::BRIEF, end: None }
}

fn with(reference: &Reference, faults: Vec<Fault>) -> Plan {
    Plan { scenario: reference.scenario, faults }
}

/// Whether a request changes something that matters to a grant.
pub fn changes(name: &str) -> bool {
    call::mutates(name) && !name.contains(":events")
}

fn single(reference: &Reference) -> Vec<Job> {
    let core = reference.scenario.is_specified();
    let same_reads = if core { SAME_READS } else { 1 };
    let counts = |(name, nth): &&(String, u32)| call::mutates(name) || *nth <= same_reads;
    let all = reference.calls.iter().filter(counts).flat_map(|(name, nth)| {
        let kinds = if core { Kind::of(name) } else { Kind::chief(name) };
        let kinds = kinds.iter().filter(|kind| changes(name) || !call::mutates(name) || kind.is_of_silence());
        kinds.map(move |kind| Fault::new(*kind, name, *nth))
    });
    all.map(|fault| {
        let same = fault.kind.makes_no_difference() && !reference.scenario.is_a_race();
        let end = same.then(|| reference.end.clone());
        Job { plan: with(reference, vec![fault]), manner: Manner::BRIEF, end }
    })
    .collect()
}

/// A crash after each change of S1 to S14, followed by one after each change by which it is mended. A crash before a change is
/// one after the change before it.
fn twice(single: &[Done]) -> Vec<Job> {
    let crashed = single.iter().filter(|done| {
        let first = done.plan.faults.first();
        let crashed = first.is_some_and(|fault| fault.kind == Kind::CrashAfter && changes(&fault.call));
        done.happened && crashed && done.plan.scenario.is_specified()
    });
    let mut jobs = Vec::new();
    for done in crashed {
        let Some(first) = done.plan.faults.first() else { continue };
        let at = done.calls.iter().position(|(name, nth)| *name == first.call && *nth == first.nth);
        let after = done.calls.iter().skip(at.map_or(usize::MAX, |at| at + 1)).filter(|(name, _)| changes(name));
        for (name, nth) in after {
            let faults = vec![first.clone(), Fault::new(Kind::CrashAfter, name, *nth)];
            jobs.push(sound(Plan { scenario: done.plan.scenario, faults }));
        }
    }
    jobs
}

fn at_changes(reference: &Reference, kind: Kind) -> Vec<Job> {
    let changes = reference.calls.iter().filter(|(name, _)| changes(name));
    changes.map(|(name, nth)| sound(with(reference, vec![Fault::new(kind, name, *nth)]))).collect()
}

/// After each create, delete and change of a grant's finalizer the next process sees the grants as they were.
fn time_travel(reference: &Reference) -> Vec<Job> {
    at_changes(reference, Kind::TimeTravel)
}

/// Every stretch of up to four events about grants that is never seen.
fn unobserved(reference: &Reference) -> Vec<Job> {
    let grants: Vec<u32> =
        reference.events.iter().filter(|(name, _)| name == "K:event:accessgrants").map(|(_, nth)| *nth).collect();
    let mut jobs = Vec::new();
    for (at, first) in grants.iter().enumerate() {
        for length in 2..=4 {
            if at + length <= grants.len() {
                let dropped = (*first..).take(length).map(|nth| Fault::new(Kind::Dropped, "K:event:accessgrants", nth));
                jobs.push(sound(with(reference, dropped.collect())));
            }
        }
    }
    jobs
}

fn watched(reference: &Reference) -> Vec<Job> {
    let events = reference.events.iter().filter(|(_, nth)| *nth <= SAME_EVENTS);
    let faults = events.flat_map(|(name, nth)| ON_EVENTS.map(|kind| Fault::new(kind, name, *nth)));
    faults.map(|fault| sound(with(reference, vec![fault]))).collect()
}

fn leaders(reference: &Reference) -> Vec<Job> {
    [Kind::Deposed, Kind::Ghost].into_iter().flat_map(|kind| at_changes(reference, kind)).collect()
}

fn clocks(reference: &Reference) -> Vec<Job> {
    let calls = reference.calls.iter().filter(|(name, nth)| changes(name) || *nth == 1);
    let faults = calls.flat_map(|(name, nth)| ON_CLOCKS.map(|kind| Fault::new(kind, name, *nth)));
    faults.map(|fault| sound(with(reference, vec![fault]))).collect()
}

/// Counts, and shows what failed.
struct Report<'a> {
    args: &'a Args,
    runs: usize,
    failed: usize,
}

impl Report<'_> {
    fn family(&mut self, name: &str, jobs: Vec<Job>) -> Vec<Done> {
        self.family_with(name, jobs, |_, _| None)
    }

    /// Runs a family on all cores. `judge` may find fault with a run besides.
    fn family_with(
        &mut self,
        name: &str,
        jobs: Vec<Job>,
        judge: impl Fn(&Plan, &Outcome) -> Option<String> + Sync,
    ) -> Vec<Done> {
        let began = Instant::now();
        // Once something failed, nothing more is wanted.
        let jobs = if self.args.first && self.failed > 0 { Vec::new() } else { jobs };
        let (next, stop) = (AtomicUsize::new(0), AtomicUsize::new(usize::MAX));
        let done: Mutex<Vec<(usize, Done)>> = Mutex::default();
        let threads = thread::available_parallelism().map_or(2, usize::from);
        let first = self.args.first;
        thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    loop {
                        let at = next.fetch_add(1, Ordering::Relaxed);
                        let Some(job) = jobs.get(at).filter(|_| at < stop.load(Ordering::Relaxed)) else { return };
                        let (played, told) = mpsc::channel::<()>();
                        let plan = job.plan.to_string();
                        // Ends with the run; one that never ends is named.
                        thread::spawn(move || {
                            if told.recv_timeout(STUCK) == Err(mpsc::RecvTimeoutError::Timeout) {
                                eprintln!("has been at it for {STUCK:?}: {plan}");
                            }
                        });
                        let one = play(job, &judge);
                        drop(played);
                        if !one.broken.is_empty() && first {
                            stop.store(0, Ordering::Relaxed);
                        }
                        done.lock().unwrap_or_else(PoisonError::into_inner).push((at, one));
                    }
                });
            }
        });
        let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
        done.sort_by_key(|(at, _)| *at);
        let done: Vec<Done> = done.into_iter().map(|(_, one)| one).collect();
        self.tell(name, &done, began);
        done
    }

    fn tell(&mut self, name: &str, done: &[Done], began: Instant) {
        let broken = done.iter().filter(|one| !one.broken.is_empty());
        let (known, failed): (Vec<_>, Vec<_>) = broken.partition(|one| open(&one.plan).is_some());
        let never = done.iter().filter(|one| !one.happened).count();
        self.runs += done.len();
        self.failed += failed.len();
        let spared = if never > 0 { format!(", {never} in which the request never came") } else { String::new() };
        let seconds = began.elapsed().as_secs_f64();
        println!("{name:26} {:6} runs, {} failed, {seconds:.1} s{spared}", done.len(), failed.len());
        for one in done.iter().filter(|one| !one.once.is_empty()) {
            println!("  failed in one of two runs: {}: {}", one.plan, one.once.join("; "));
        }
        let reasons: BTreeSet<_> = known.iter().filter_map(|one| open(&one.plan)).collect();
        for reason in reasons {
            let count = known.iter().filter(|one| open(&one.plan) == Some(reason)).count();
            println!("  open, {count} runs: {reason}");
        }
        for one in failed.iter().take(SHOWN) {
            println!("  {}", one.plan);
            for what in &one.broken {
                println!("    {what}");
            }
            println!("    again: cargo test --test faults -- --replay '{}'", one.plan);
        }
        if failed.len() > SHOWN {
            println!("  and {} more:", failed.len() - SHOWN);
            for one in failed.iter().skip(SHOWN) {
                let first = one.broken.first().map(|what| what.lines().next().unwrap_or_default());
                println!("  {}: {}", one.plan, first.unwrap_or_default());
            }
        }
    }

    fn verdict(&self, began: Instant) -> ExitCode {
        let seconds = began.elapsed().as_secs_f64();
        println!("{:26} {:6} runs, {} failed, {seconds:.1} s", "all", self.runs, self.failed);
        if self.failed == 0 && self.runs > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

/// Plays a run; one that fails is played once more. What fails once only cannot be played again by its name: hash maps have
/// no seed that a run could set, so what happens in one moment may happen in another order. It is told, and does not count.
fn play(job: &Job, judge: &impl Fn(&Plan, &Outcome) -> Option<String>) -> Done {
    let first = play_once(job, judge);
    if first.broken.is_empty() {
        return first;
    }
    let again = play_once(job, judge);
    let once = if again.broken.is_empty() { first.broken } else { Vec::new() };
    Done { once, ..again }
}

fn play_once(job: &Job, judge: &impl Fn(&Plan, &Outcome) -> Option<String>) -> Done {
    let outcome = run(&job.plan, job.manner);
    let mut broken = outcome.violations.clone();
    broken.dedup();
    broken.extend(judge(&job.plan, &outcome));
    let happened = outcome.unused.is_empty();
    if let Some(end) = job.end.as_ref().filter(|end| happened && **end != outcome.end) {
        broken.push(format!(
            "I10 differential: it ends otherwise than without the fault\n{}",
            differences(end, &outcome.end)
        ));
    }
    Done { plan: job.plan.clone(), broken, once: Vec::new(), calls: outcome.calls(), happened }
}

fn differences(expected: &str, found: &str) -> String {
    let lines = |text: &str, other: &str, sign: &str| {
        let missing = text.lines().filter(|line| !other.lines().any(|one| one == *line));
        missing.map(|line| format!("      {sign} {line}")).collect::<Vec<_>>()
    };
    [lines(expected, found, "-"), lines(found, expected, "+")].concat().join("\n")
}
