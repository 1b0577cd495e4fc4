//! Which runs there are, and how one is named.

use std::fmt;

/// What a grant goes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scenario {
    /// A grant on a cluster becomes Active.
    S1,
    /// It ends, and that is verified.
    S3,
    /// It is deleted while Active.
    S4,
    /// Two overlap on one binding; the first ends, then the second.
    S8,
    /// A start finds a pending, an active and an overdue grant, an orphan, and a foreign binding.
    S13,
}

/// At which write the fault comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Rancher,
    Api,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The write is done, and the answer is lost.
    ReplyLost,
    /// The operator dies when the write is done, before it knows.
    Killed,
    /// The operator freezes when the write is done, until another leads; then it thaws with the answer in its hands.
    Frozen,
    /// The API server dies (at a write to it: before that is done) and is back some seconds later.
    ApiKilled,
    /// The same with etcd.
    EtcdKilled,
    /// All connections that way are cut before the write is done, watches too.
    Cut,
}

/// One life with one fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) scenario: Scenario,
    pub(crate) place: Place,
    pub(crate) fault: Fault,
}

const SCENARIOS: [Scenario; 5] = [Scenario::S13, Scenario::S8, Scenario::S3, Scenario::S1, Scenario::S4];
const PLACES: [Place; 2] = [Place::Rancher, Place::Api];
const FAULTS: [Fault; 6] =
    [Fault::ApiKilled, Fault::EtcdKilled, Fault::Frozen, Fault::Killed, Fault::ReplyLost, Fault::Cut];

/// Options of the usual test harness that are followed by a value.
const WITH_VALUE: [&str; 6] = ["--test-threads", "--skip", "--format", "--color", "--logfile", "--shuffle-seed"];

impl Run {
    /// All of them, what takes longest first.
    fn all() -> impl Iterator<Item = Self> {
        SCENARIOS.into_iter().flat_map(|scenario| {
            let places = PLACES.into_iter();
            places.flat_map(move |place| FAULTS.into_iter().map(move |fault| Self { scenario, place, fault }))
        })
    }

    /// Those that the command line names, as the usual test harness would read it: all where it names none. With `--list`,
    /// prints them, and none is to be done.
    pub(crate) fn asked(args: impl Iterator<Item = String>) -> Vec<Self> {
        let (mut names, mut is_value, mut list) = (Vec::new(), false, false);
        for arg in args {
            list |= arg == "--list";
            if !is_value && !arg.starts_with('-') {
                names.push(arg.clone());
            }
            is_value = WITH_VALUE.contains(&arg.as_str());
        }
        let is_asked = |run: &Self| names.is_empty() || names.iter().any(|name| run.to_string().contains(name));
        let asked: Vec<_> = Self::all().filter(is_asked).collect();
        if list {
            asked.iter().for_each(|run| println!("{run}: test"));
            return Vec::new();
        }
        asked
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = match self.place {
            Place::Rancher => "rancher",
            Place::Api => "api",
        };
        let fault = match self.fault {
            Fault::ReplyLost => "reply-lost",
            Fault::Killed => "sigkill",
            Fault::Frozen => "sigstop",
            Fault::ApiKilled => "api-server-killed",
            Fault::EtcdKilled => "etcd-killed",
            Fault::Cut => "connection-cut",
        };
        write!(f, "{:?}/{place}/{fault}", self.scenario)
    }
}
