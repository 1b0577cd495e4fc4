//! The bugs that the laws must catch. Each is in the model's own operator, or turns what goes into the real core or comes
//! out of it: production code has no switches.

use crate::laws::Law;

/// A bug that somebody may write one day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mutant {
    /// What was decided to be recorded is given first.
    CreateBeforeIntent,
    /// A 404 settles at once what may still land.
    TerminalBeforeLateCreates,
    /// An accepted DELETE is taken for a binding that is gone.
    NoGetAfterDelete,
    /// A 404 of a proxy, or of another Rancher, is taken for proof.
    AnyNotFoundBelieved,
    /// A binding is deleted before Rancher can clean up after it.
    DeleteBeforeFinalizers,
    /// The binding's 404 is all that is asked for.
    NoLookForLeftovers,
    /// A 409 is taken for a binding of ours.
    AdoptOnConflict,
    /// Two grants work on one binding at the same time.
    CoHoldersWithoutLock,
    /// A binding that is missing is made again, whoever took it.
    MissingMadeAgain,
    /// Nothing but the timer that was set when access was given knows of the end: a new process knows none.
    ExpiryByTimerAlone,
    /// A call waits for its answer for ever, and keeps its place and its lock meanwhile.
    RetryWithoutDeadline,
    /// There is one queue: what is to be taken away waits until what is being given has been.
    RevokeBehindCreations,
    /// A DELETE names no UID.
    DeleteWithoutUid,
    /// Whoever has lost the lease takes nothing away.
    DeletesGatedByLease,
}

impl Mutant {
    /// All of them, each with the law that names it and the world in which it shows.
    pub const ALL: [(Self, Law, &'static str); 14] = [
        (Self::CreateBeforeIntent, Law::Authority, "one grant"),
        (Self::TerminalBeforeLateCreates, Law::Expiry, "one grant"),
        (Self::NoGetAfterDelete, Law::Honesty, "one grant"),
        (Self::AnyNotFoundBelieved, Law::Honesty, "one grant"),
        (Self::DeleteBeforeFinalizers, Law::Honesty, "one grant"),
        (Self::NoLookForLeftovers, Law::Honesty, "one grant"),
        (Self::AdoptOnConflict, Law::Ownership, "somebody else's binding, equals refused"),
        (Self::CoHoldersWithoutLock, Law::Ownership, "two grants, one binding"),
        (Self::MissingMadeAgain, Law::Authority, "one grant"),
        (Self::ExpiryByTimerAlone, Law::Expiry, "one grant"),
        (Self::RetryWithoutDeadline, Law::Expiry, "one grant"),
        (Self::RevokeBehindCreations, Law::Expiry, "two grants, two clusters"),
        (Self::DeleteWithoutUid, Law::Ownership, "two grants, one binding"),
        (Self::DeletesGatedByLease, Law::Expiry, "two operators"),
    ];
}
