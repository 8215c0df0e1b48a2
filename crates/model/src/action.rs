//! What can happen next.

use crate::address::Step as AddressStep;
use crate::presence::Step;
use crate::state::{Owner, Pull, Push};

/// One step of one part. Indices are those of the lists in `State`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    // senders and their lanes
    Send(usize),
    Submit(usize),
    Step(usize),
    SenderReturns(usize),
    // devices and their managers
    Pushed(Push),
    BeginPull(usize),
    StepPull(Pull),
    Write(usize),
    Hear(usize),
    Trim(usize),
    DeviceReturns(usize),
    Renew(usize),
    // what routers do unasked
    Detach(Owner),
    Sweep(usize),
    StoreOwed,
    Verify,
    VerifySender(usize),
    // time
    Read,
    SavePosition,
    Checkpoint,
    LateWrite,
    // presence
    Presence(Step),
    Address(AddressStep),
    // faults
    Fault(Fault),
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    SenderLost(usize),
    SenderExpires(usize),
    SenderGivesUp(usize),
    LinkLost(usize),
    RouterCrash(usize),
    ReplyLost(usize),
    WriteIsLate(usize),
    PushLost(Push),
    DeviceLost(usize),
    ManagerCrash(usize),
    DeviceExpires(usize),
    SignsIn(usize),
    Rollback,
    Emptied,
    Outage,
    Presence(Step),
    Address(AddressStep),
}
