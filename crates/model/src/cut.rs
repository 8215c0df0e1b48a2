//! What can be taken out of the rules, and what breaks without it.

use crate::Invariant::{self, *};
use crate::Theme;

/// A part of a rule that the model can do without.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Cut {
    CallsOverlap,
    LaneMovesEarly,
    RetriesNotSeen,
    SeenByNumberAlone,
    OriginsNotSeen,
    GapWritten,
    AckBeforeStore,
    AckBeforeSave,
    ClaimTellsUnstored,
    NobodyIsTold,
    LastNotRaised,
    RowsNotReturned,
    UnheldIsResumed,
    CommitUnconfirmed,
    KeysNotInRows,
    OrphansHandedOut,
    SwapByCountAlone,
    MissingIsOver,
    AckedNotTold,
    RegisteredKeepsEpoch,
    SweepAtOnce,
    ReadUnstored,
    ReadBeyond,
    PullUnstored,
    OwedUnowned,
    WritesUntimed,
    HandedIsDone,
    SwitchUnchecked,
    AckStarvesOthers,
    EstateForgotten,
    EstateIsResumed,
    PassedNotRead,
    SaveUnfenced,
    DetachUnfenced,
    ClaimKeepsEpoch,
    StaleViewTaken,
}

/// What is known of a cut.
#[derive(Debug, Clone, Copy)]
pub struct Broken {
    pub cut: Cut,
    /// The rule that it is a part of.
    pub rule: u8,
    /// What is done without it.
    pub what: &'static str,
    /// Where it is seen, and what breaks there.
    pub theme: Theme,
    pub breaks: Invariant,
}

const fn broken(cut: Cut, rule: u8, theme: Theme, breaks: Invariant, what: &'static str) -> Broken {
    Broken { cut, rule, what, theme, breaks }
}

/// All of them, by rule.
pub const CUTS: &[Broken] = &[
    broken(
        Cut::CallsOverlap,
        1,
        Theme::Retries,
        Order,
        "a second commit call of a lane begins before the first is answered",
    ),
    broken(
        Cut::LaneMovesEarly,
        2,
        Theme::Retries,
        Order,
        "a lane goes on by another router while something is unanswered",
    ),
    broken(Cut::RetriesNotSeen, 3, Theme::Retries, DoneOnce, "what is sent again is done again"),
    broken(
        Cut::SeenByNumberAlone,
        3,
        Theme::GivenUp,
        ToldIsStored,
        "the same number is taken for the same stanza",
    ),
    broken(
        Cut::OriginsNotSeen,
        4,
        Theme::Retries,
        DoneOnce,
        "after a failed resumption the origin-id is not looked at",
    ),
    broken(
        Cut::GapWritten,
        5,
        Theme::Numbers,
        AckedIsKept,
        "a manager writes what was pushed though something before it is missing",
    ),
    broken(
        Cut::AckBeforeStore,
        6,
        Theme::Retries,
        ToldIsStored,
        "the sender is answered before the rows are stored",
    ),
    broken(
        Cut::AckBeforeSave,
        6,
        Theme::Retries,
        ToldNeverFalls,
        "the sender is answered before `h` is saved",
    ),
    broken(
        Cut::ClaimTellsUnstored,
        6,
        Theme::OwnCopies,
        ToldIsStored,
        "a claim tells an `h` whose owed rows are not stored",
    ),
    broken(
        Cut::NobodyIsTold,
        7,
        Theme::Numbers,
        NothingIsStuck,
        "renewal does not say that the log holds more",
    ),
    broken(Cut::LastNotRaised, 8, Theme::Older, NoIdTwice, "ids go on where the older Redis was"),
    broken(
        Cut::RowsNotReturned,
        8,
        Theme::Older,
        AckedIsKept,
        "what the archive has past the position does not wait again",
    ),
    broken(
        Cut::UnheldIsResumed,
        8,
        Theme::OlderDevices,
        NumberedOnce,
        "a session that no living manager holds is resumed",
    ),
    broken(
        Cut::CommitUnconfirmed,
        8,
        Theme::Older,
        DoneOnce,
        "a commit under another incarnation is acknowledged unseen",
    ),
    broken(
        Cut::KeysNotInRows,
        8,
        Theme::Older,
        DoneOnce,
        "rows do not say which stanza they are of, so that verifying cannot know a retry",
    ),
    broken(
        Cut::OrphansHandedOut,
        8,
        Theme::EmptiedDevices,
        ReceivedOnce,
        "a pull hands out rows whose commit was lost",
    ),
    broken(
        Cut::SwapByCountAlone,
        8,
        Theme::Swaps,
        AckedIsKept,
        "a swap compares the count of writes without the incarnation",
    ),
    broken(
        Cut::MissingIsOver,
        9,
        Theme::EmptiedDevices,
        ConnectedIsThere,
        "a missing record means that the session is over",
    ),
    broken(
        Cut::AckedNotTold,
        9,
        Theme::EmptiedDevices,
        ReceivedOnce,
        "who registers a session again does not say what was acknowledged",
    ),
    broken(
        Cut::RegisteredKeepsEpoch,
        9,
        Theme::OlderSenders,
        ToldNeverFalls,
        "a session that is registered again keeps its epoch, and its lane goes on",
    ),
    broken(
        Cut::SweepAtOnce,
        11,
        Theme::Outage,
        ConnectedIsThere,
        "a sweeper acts on leases that lapsed while Redis did not answer",
    ),
    broken(Cut::ReadUnstored, 12, Theme::Archive, ReaderMissesNone, "a reader does not store what is owed"),
    broken(
        Cut::ReadBeyond,
        12,
        Theme::Archive,
        ReaderMissesNone,
        "a reader asks for ids above the last that it was told",
    ),
    broken(Cut::PullUnstored, 12, Theme::EmptiedDevices, ReceivedOnce, "a pull hands out what is not stored"),
    broken(Cut::OwedUnowned, 13, Theme::Abandoned, NothingIsStuck, "nobody stores what a dead router owed"),
    broken(Cut::WritesUntimed, 14, Theme::LateWrites, DoneOnce, "a write that comes late undoes a delete"),
    broken(
        Cut::HandedIsDone,
        16,
        Theme::Numbers,
        AckedIsKept,
        "a message waits no longer when it is handed out",
    ),
    broken(
        Cut::SwitchUnchecked,
        17,
        Theme::Devices,
        NothingIsStuck,
        "the switch to live does not look whether something was committed meanwhile",
    ),
    broken(
        Cut::AckStarvesOthers,
        17,
        Theme::Devices,
        NothingIsStuck,
        "a backlog leaves out what another device has acknowledged",
    ),
    broken(
        Cut::EstateForgotten,
        18,
        Theme::Devices,
        NothingIsStuck,
        "what an ended session held goes to nobody",
    ),
    broken(Cut::EstateIsResumed, 18, Theme::Devices, ConnectedIsThere, "an ended session can be resumed"),
    broken(
        Cut::PassedNotRead,
        18,
        Theme::FullLogs,
        NothingIsStuck,
        "who has read past what an ended session held, and has a full log, does not get it",
    ),
    broken(Cut::SaveUnfenced, 21, Theme::GivenUp, ToldIsStored, "a former owner saves `h`"),
    broken(Cut::DetachUnfenced, 21, Theme::Numbers, ConnectedIsThere, "a former owner detaches the session"),
    broken(Cut::ClaimKeepsEpoch, 21, Theme::Numbers, ConnectedIsThere, "a claim does not raise the epoch"),
    broken(
        Cut::StaleViewTaken,
        24,
        Theme::Views,
        NothingIsStuck,
        "a commit takes what was decided on an older view",
    ),
];
