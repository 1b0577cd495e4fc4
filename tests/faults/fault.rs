//! What goes wrong, and at which request.

use std::{fmt, str::FromStr};

use crate::call;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The process ends before the request is sent.
    CrashBefore,
    /// The process ends when the request has been carried out and before it is answered.
    CrashAfter,
    /// It is carried out, and the connection is cut instead of an answer.
    ReplyLost,
    /// 503; it is not carried out.
    Unavailable,
    /// 429, try again in 5 s; it is not carried out.
    TooMany,
    /// 409; it is not carried out.
    Conflict,
    /// 404 of a load balancer; it is not carried out.
    NotFound,
    /// 401; it is not carried out.
    Unauthorized,
    /// 403; it is not carried out.
    Forbidden,
    /// The connection is cut, and the request is carried out 25 s later.
    Late,
    /// It is carried out twice.
    Twice,
    /// It is carried out, and the answer is a page of HTML.
    Garbled,
    /// It is carried out, and the answer breaks off in the middle.
    Truncated,
    /// It has no answer; it is not carried out.
    Hang,
    /// It is answered as the same request was before.
    Stale,
    /// Its answer comes 5 s late.
    Slow,
    /// The process ends before it is sent, and Rancher is away for 15 minutes from then on.
    CrashAway,
    /// This process is cut off from the API server for a while, another takes over, and then the request arrives.
    Deposed,
    /// The process ends, another takes over, and then the request arrives.
    Ghost,
    /// The operator's clock jumps two hours ahead.
    Ahead,
    /// The operator's clock jumps back by an hour.
    Back,
    /// The machine sleeps for ten minutes: its timers stand still, all clocks go on.
    Asleep,
    /// A watch event is never delivered.
    Dropped,
    /// A watch event is delivered twice.
    Repeated,
    /// A watch event, and all after it, comes 20 s late.
    Delayed,
    /// The watch is told to begin anew (410) instead of an event.
    Gone,
    /// The watch ends instead of an event, without an error.
    Cut,
    /// The process ends when it has been carried out, and the next one is shown the grants as they were before, for 30 s.
    TimeTravel,
}

use Kind::{
    Ahead, Asleep, Back, Conflict, CrashAfter, CrashAway, CrashBefore, Cut, Delayed, Deposed, Dropped, Forbidden,
    Garbled, Ghost, Gone, Hang, Late, NotFound, Repeated, ReplyLost, Slow, Stale, TimeTravel, TooMany, Truncated,
    Twice, Unauthorized, Unavailable,
};

/// Every kind with the word for it.
const WORDS: [(Kind, &str); 28] = [
    (CrashBefore, "crash-before"),
    (CrashAfter, "crash-after"),
    (ReplyLost, "reply-lost"),
    (Unavailable, "503"),
    (TooMany, "429"),
    (Conflict, "409"),
    (NotFound, "404"),
    (Unauthorized, "401"),
    (Forbidden, "403"),
    (Late, "late"),
    (Twice, "twice"),
    (Garbled, "garbled"),
    (Truncated, "truncated"),
    (Hang, "hang"),
    (Stale, "stale"),
    (Slow, "slow"),
    (CrashAway, "crash-away"),
    (Deposed, "deposed"),
    (Ghost, "ghost"),
    (Ahead, "clock-ahead"),
    (Back, "clock-back"),
    (Asleep, "asleep"),
    (Dropped, "dropped"),
    (Repeated, "repeated"),
    (Delayed, "delayed"),
    (Gone, "410"),
    (Cut, "cut"),
    (TimeTravel, "time-travel"),
];

/// What happens to a request that changes something.
pub const ON_MUTATIONS: [Kind; 13] = [
    CrashBefore,
    CrashAfter,
    ReplyLost,
    Unavailable,
    TooMany,
    Conflict,
    Unauthorized,
    Forbidden,
    Late,
    Twice,
    Garbled,
    Truncated,
    NotFound,
];
/// What happens to a request that only reads.
pub const ON_READS: [Kind; 9] =
    [CrashBefore, Hang, Unavailable, Unauthorized, Forbidden, NotFound, Garbled, Stale, Slow];
/// What happens to the clock at any request.
pub const ON_CLOCKS: [Kind; 3] = [Ahead, Back, Asleep];
/// What happens to an event of a watch.
pub const ON_EVENTS: [Kind; 5] = [Dropped, Repeated, Delayed, Gone, Cut];

impl Kind {
    /// The faults that a request of this name can meet.
    pub fn of(name: &str) -> &'static [Self] {
        if call::mutates(name) { &ON_MUTATIONS } else { &ON_READS }
    }

    /// The ones that leave least to know: for scenarios whose requests were broken in every way in another.
    pub fn chief(name: &str) -> &'static [Self] {
        if call::mutates(name) {
            &[CrashBefore, CrashAfter, ReplyLost, Unavailable, Late, Garbled]
        } else {
            &[CrashBefore, Hang, NotFound, Slow]
        }
    }

    /// Those that are worth while for what nobody reads again, such as Events.
    pub fn is_of_silence(self) -> bool {
        matches!(self, CrashBefore | Unavailable | ReplyLost)
    }

    /// Whether everything must end as if it had not been. What is refused for good, and what is told wrong, may end otherwise.
    pub fn makes_no_difference(self) -> bool {
        !matches!(self, Conflict | Unauthorized | Forbidden | NotFound | Stale)
    }

    /// Whether the process ends of it.
    pub fn kills(self) -> bool {
        matches!(self, CrashBefore | CrashAfter | CrashAway | Ghost | TimeTravel)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(WORDS.iter().find(|(kind, _)| kind == self).map_or("?", |(_, word)| word))
    }
}

/// A fault: what, and at which request since the scenario's mark.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    pub kind: Kind,
    /// The request's name.
    pub call: String,
    /// Which of that name, counted from 1.
    pub nth: u32,
}

impl Fault {
    pub fn new(kind: Kind, call: &str, nth: u32) -> Self {
        Self { kind, call: call.to_owned(), nth }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}#{}", self.kind, self.call, self.nth)
    }
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = || {
            let (word, place) = text.split_once('@')?;
            let (call, nth) = place.rsplit_once('#')?;
            let kind = WORDS.iter().find(|(_, known)| *known == word)?.0;
            Some(Self::new(kind, call, nth.parse().ok()?))
        };
        parse().ok_or_else(|| format!("{text:?} is not like crash-after@R:create:clusterroletemplatebindings#1"))
    }
}
