//! Histories, one or more for each rule of the session log.
