//! Presence (rule 22): what a contact sees at rest is what was said last, whatever overtakes what on the way.

use std::collections::BTreeSet;

use crate::{Config, Cut};

/// One sender of presence, one contact.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Presence {
    /// How many presences the client has sent; the number is the version that its slot gives.
    said: u8,
    /// The version in the sender's slot.
    current: u8,
    /// The contact stands in the roster.
    is_contact: bool,
    /// The contact is signed in, and its slot knows a version.
    known: Option<u8>,
    /// What its device shows.
    shown: u8,
    is_link_lost: bool,
    words: BTreeSet<Word>,
}

/// What a router is about to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Word {
    /// Write a version to the sender's slot; with the roster as it was read before, where it is read too early.
    Write { version: u8, was_contact: Option<bool>, is_lane: bool },
    /// Look into the roster for whom to tell.
    Look { version: u8, was_contact: Option<bool>, is_lane: bool },
    /// Tell the contact's slot.
    Tell { version: u8, is_lane: bool },
    /// Read the version of the sender's slot, for a probe or after an approval.
    Read,
}

/// What happens next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Say,
    Approve,
    SignIn,
    LinkLost,
    Do(Word),
}

const PRESENCES: u8 = 2;

impl Word {
    /// Whether the lane waits for it.
    fn is_lane(self) -> bool {
        match self {
            Word::Write { is_lane, .. } | Word::Look { is_lane, .. } | Word::Tell { is_lane, .. } => is_lane,
            Word::Read => false,
        }
    }
}

impl Presence {
    /// What may happen in a world with presence.
    pub(crate) fn steps(&self) -> Vec<Step> {
        let mut steps: Vec<Step> = self.words.iter().copied().map(Step::Do).collect();
        let is_busy = self.words.iter().any(|word| word.is_lane());
        steps.extend((self.said < PRESENCES && !is_busy).then_some(Step::Say));
        steps.extend((!self.is_contact).then_some(Step::Approve));
        steps.extend(self.known.is_none().then_some(Step::SignIn));
        steps
    }

    /// What may go wrong: the lane moves, and the router that it leaves goes on.
    pub(crate) fn faults(&self) -> Vec<Step> {
        let is_busy = self.words.iter().any(|word| word.is_lane());
        (is_busy && !self.is_link_lost).then_some(Step::LinkLost).into_iter().collect()
    }

    pub(crate) fn has_converged(&self) -> bool {
        !self.is_contact || self.known.is_none() || self.shown == self.said
    }

    pub(crate) fn act(&mut self, config: &Config, step: Step) {
        match step {
            Step::Say => {
                self.said += 1;
                self.send(config);
            }
            Step::Approve => {
                self.is_contact = true;
                self.words.insert(Word::Read);
            }
            Step::SignIn => {
                self.known = Some(0);
                self.words.extend(self.is_contact.then_some(Word::Read));
            }
            Step::LinkLost => {
                self.is_link_lost = true;
                self.words = self.words.iter().map(|word| word.left_behind()).collect();
                self.send(config);
            }
            Step::Do(word) => {
                self.words.remove(&word);
                self.go_on(config, word);
            }
        }
    }

    fn send(&mut self, config: &Config) {
        let reads_early = config.without == Some(Cut::RosterReadEarly);
        let was_contact = reads_early.then_some(self.is_contact);
        self.words.insert(Word::Write { version: self.said, was_contact, is_lane: true });
    }

    fn go_on(&mut self, config: &Config, word: Word) {
        match word {
            Word::Write { version, was_contact, is_lane } => {
                self.current = self.current.max(version);
                self.words.insert(Word::Look { version, was_contact, is_lane });
            }
            Word::Look { version, was_contact, is_lane } => {
                let tells = was_contact.unwrap_or(self.is_contact);
                self.words.extend(tells.then_some(Word::Tell { version, is_lane }));
            }
            Word::Read => {
                let version = self.current;
                self.words.extend((version > 0).then_some(Word::Tell { version, is_lane: false }));
            }
            Word::Tell { version, .. } => {
                let Some(known) = &mut self.known else { return };
                if version > *known || config.without == Some(Cut::OlderPresenceTaken) {
                    *known = version;
                    self.shown = version;
                }
            }
        }
    }
}

impl Word {
    fn left_behind(self) -> Word {
        match self {
            Word::Write { version, was_contact, .. } => Word::Write { version, was_contact, is_lane: false },
            Word::Look { version, was_contact, .. } => Word::Look { version, was_contact, is_lane: false },
            Word::Tell { version, .. } => Word::Tell { version, is_lane: false },
            Word::Read => Word::Read,
        }
    }
}
