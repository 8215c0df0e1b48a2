//! Sessions that come and go under one address (rule 18): at rest a contact sees whether somebody is available there, whoever died over
//! telling it.

use std::collections::{BTreeMap, BTreeSet};

use crate::{Config, Cut};

/// One address of an account, and one contact that sees its presence.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Address {
    /// How many sessions have come; the last of them may be there.
    came: u8,
    /// Whether it is available.
    there: Option<bool>,
    /// What the slot keeps: which sessions have gone, and not all have heard it; and how often somebody was to say that before.
    owed: BTreeMap<u8, u8>,
    /// What the contact's device shows.
    shown: bool,
    words: BTreeSet<Word>,
}

/// For whom a router speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Teller {
    Newcomer(u8),
    Gone(u8, u8),
}

/// What a router is about to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Word {
    /// Look who is there; `told` was told just now.
    Look { teller: Teller, told: Option<bool> },
    /// Tell the contact.
    Tell { teller: Teller, what: bool },
    /// All have heard it.
    Settle { session: u8, turn: u8 },
}

/// What happens next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Come,
    SayAvailable,
    Go,
    /// What is owed is said by somebody else.
    Late(u8),
    Do(Word),
    /// The router dies.
    Die(Word),
}

const SESSIONS: u8 = 2;
/// So many tellers of the same are about at once, and one more.
const TURNS: u8 = 1;

impl Address {
    /// What may happen in a world with such an address.
    pub(crate) fn steps(&self) -> Vec<Step> {
        let mut steps: Vec<Step> = self.words.iter().copied().map(Step::Do).collect();
        steps.extend((self.there.is_none() && self.came < SESSIONS).then_some(Step::Come));
        steps.extend((self.there == Some(false)).then_some(Step::SayAvailable));
        let is_silent = |turn: u8| turn < TURNS || self.words.is_empty();
        steps.extend(self.owed.iter().filter(|owed| is_silent(*owed.1)).map(|owed| Step::Late(*owed.0)));
        steps
    }

    /// What may happen, and need not.
    pub(crate) fn whims(&self) -> Vec<Step> {
        self.there.is_some().then_some(Step::Go).into_iter().collect()
    }

    /// What may go wrong. Not that whoever speaks for a session that is there dies: its client sends again what was not handled. Nor
    /// that one dies who was so slow that another has taken its turn.
    pub(crate) fn faults(&self, config: &Config) -> Vec<Step> {
        let is_forgotten = config.without == Some(Cut::FarewellForgotten);
        let has_turn = |session: u8, turn: u8| is_forgotten || self.owed.get(&session) == Some(&turn);
        let may_die = |word: &&Word| match **word {
            Word::Look { teller: Teller::Gone(session, turn), .. }
            | Word::Tell { teller: Teller::Gone(session, turn), .. }
            | Word::Settle { session, turn } => has_turn(session, turn),
            Word::Look { .. } | Word::Tell { .. } => false,
        };
        self.words.iter().filter(may_die).copied().map(Step::Die).collect()
    }

    pub(crate) fn has_converged(&self) -> bool {
        self.shown == self.is_available()
    }

    fn is_available(&self) -> bool {
        self.there == Some(true)
    }

    pub(crate) fn act(&mut self, config: &Config, step: Step) {
        match step {
            Step::Come => {
                self.came += 1;
                self.there = Some(false);
            }
            Step::SayAvailable => {
                self.there = Some(true);
                self.words.insert(Word::Tell { teller: Teller::Newcomer(self.came), what: true });
            }
            Step::Go => self.go(config),
            Step::Late(session) => self.take_turn(session),
            Step::Die(word) => drop(self.words.remove(&word)),
            Step::Do(word) => {
                self.words.remove(&word);
                self.go_on(config, word);
            }
        }
    }

    fn go(&mut self, config: &Config) {
        if self.is_available() {
            if config.without != Some(Cut::FarewellForgotten) {
                self.owed.insert(self.came, 0);
            }
            self.words.insert(Word::Look { teller: Teller::Gone(self.came, 0), told: None });
        }
        self.there = None;
    }

    fn take_turn(&mut self, session: u8) {
        let Some(turn) = self.owed.get_mut(&session) else { return };
        *turn = (*turn + 1).min(TURNS);
        self.words.insert(Word::Look { teller: Teller::Gone(session, *turn), told: None });
    }

    fn go_on(&mut self, config: &Config, word: Word) {
        match word {
            Word::Look { teller, told } => {
                let what = self.is_available();
                let nobody_told = matches!(teller, Teller::Gone(_, 0)) && told.is_none() && what;
                if told != Some(what) && !nobody_told {
                    self.words.insert(Word::Tell { teller, what });
                } else if let Teller::Gone(session, turn) = teller {
                    self.words.insert(Word::Settle { session, turn });
                }
            }
            Word::Tell { teller, what } => {
                self.shown = what;
                let looks = config.without != Some(Cut::ToldOnce);
                self.words.extend(looks.then_some(Word::Look { teller, told: Some(what) }));
                if let (Teller::Gone(session, turn), false) = (teller, looks) {
                    self.words.insert(Word::Settle { session, turn });
                }
            }
            Word::Settle { session, turn } if self.owed.get(&session) == Some(&turn) => {
                self.owed.remove(&session);
            }
            Word::Settle { .. } => {}
        }
    }
}
