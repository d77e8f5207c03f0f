//! How the relays before this one ended: with a word, or killed, and by which event.
//!
//! An event can end the process itself: a defect of the runtime, memory that the host takes
//! back. No error says which one it was; what was written down before it was tried does.

use crate::event::Event;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Key of the record.
pub const LIFE: &str = "life";

/// Events whose attempts are remembered. More than one at a time is already odd.
const MOST: usize = 100;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Life {
    /// A relay began, and did not say that it ended.
    alive: bool,
    /// Which.
    relay: String,
    /// Relays in a row that were killed before they had lived well.
    deaths: u32,
    /// The event that is run alone, by the name of its letter.
    #[serde(skip_serializing_if = "Option::is_none")]
    trying: Option<String>,
    /// How often a relay was killed while it ran each of these alone.
    attempts: BTreeMap<String, u32>,
}

impl Life {
    /// Of the relay that begins, or begins anew, from what was left before.
    #[must_use]
    pub fn begin(before: Option<Self>, relay: &str) -> Self {
        let mut life = before.unwrap_or_default();
        let trying = life.trying.take();
        if life.alive && life.relay != relay {
            life.deaths = life.deaths.saturating_add(1);
            if let Some(event) = trying
                && (life.attempts.len() < MOST || life.attempts.contains_key(&event))
            {
                *life.attempts.entry(event).or_default() += 1;
            }
        }
        (life.alive, life.relay) = (true, relay.to_owned());
        life
    }

    /// Relays in a row that were killed before they had lived well.
    #[must_use]
    pub const fn deaths(&self) -> u32 {
        self.deaths
    }

    /// Events with which so many relays were killed, and how many.
    pub fn deadly(&self, attempts: u32) -> impl Iterator<Item = (&str, u32)> {
        self.attempts.iter().filter(move |(_, count)| **count >= attempts).map(|(name, count)| (&**name, *count))
    }

    /// This event is run alone next.
    pub fn attempt(&mut self, name: String) {
        self.trying = Some(name);
    }

    /// It went well for a while: what was before does not count any more.
    pub fn live_well(&mut self) {
        *self = Self { alive: true, relay: std::mem::take(&mut self.relay), ..Self::default() };
    }

    /// It ends by itself, perhaps because of trouble. Events that are known to be deadly
    /// stay so.
    pub fn end(&mut self, well: bool) {
        (self.alive, self.trying) = (false, None);
        if well {
            self.deaths = 0;
        }
    }
}

/// Ids of events, from the names of their letters.
#[must_use]
pub fn is_of(name: &str, event: &Event) -> bool {
    name.rsplit_once('@').is_some_and(|(id, _)| *id == *event.id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    /// The next relay, after one that was killed while it ran that.
    fn killed(mut life: Life, with: Option<&str>) -> Life {
        if let Some(name) = with {
            life.attempt(name.to_owned());
        }
        // As it is written and read.
        let read = serde_json::from_value(serde_json::to_value(life).expect("JSON")).expect("a life");
        Life::begin(Some(read), &Uuid::new_v4().to_string())
    }

    fn first() -> Life {
        Life::begin(None, &Uuid::new_v4().to_string())
    }

    #[test]
    fn deaths_are_counted_until_one_lives_well_or_ends() {
        let life = killed(killed(first(), None), None);
        assert_eq!(life.deaths(), 2);
        let mut well = life.clone();
        well.live_well();
        assert_eq!(killed(well, None).deaths(), 1);
        let (mut troubled, mut ended) = (life.clone(), life);
        troubled.end(false);
        assert_eq!(killed(troubled, None).deaths(), 2);
        ended.end(true);
        assert_eq!(killed(ended, None).deaths(), 0);
    }

    #[test]
    fn who_begins_anew_did_not_die() {
        assert_eq!(Life::begin(Some(Life::begin(None, "me")), "me").deaths(), 0);
    }

    #[test]
    fn an_event_is_deadly_after_so_many_attempts() {
        let life = killed(killed(killed(first(), Some("a")), Some("b")), Some("a"));
        assert_eq!(life.deadly(2).collect::<Vec<_>>(), [("a", 2)]);
        // Killed again before anything was tried: nobody's fault.
        let mut life = killed(life, None);
        assert_eq!(life.deadly(1).count(), 2);
        // An orderly end forgets no verdict.
        life.end(true);
        assert_eq!(killed(life, None).deadly(2).count(), 1);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let life = (0..2 * MOST).fold(first(), |life, n| killed(life, Some(&n.to_string())));
        assert_eq!(life.deadly(1).count(), MOST);
    }
}
