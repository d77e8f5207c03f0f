//! The few names that many events carry, each kept once.

use crate::event::{Shared, TopicTemplate};
use std::collections::HashSet;

/// Distinct entity, event type and topic names shared instead of copied; more
/// are correct, only costlier.
const SHARED_NAMES: usize = 4096;

/// See the module.
pub struct Names<'a> {
    topic: &'a TopicTemplate,
    known: HashSet<Shared>,
    /// Entity, event type and topic of the last event: the next one is often of its kind.
    last: Option<[Shared; 3]>,
}

impl<'a> Names<'a> {
    /// None yet; `topic` makes the default topics.
    #[must_use]
    pub fn new(topic: &'a TopicTemplate) -> Self {
        Self { topic, known: HashSet::new(), last: None }
    }

    /// The default topic of an event of this entity and type.
    pub fn topic(&mut self, entity: &str, event_type: &str) -> Shared {
        if let Some([last, of, topic]) = &self.last
            && **last == *entity
            && **of == *event_type
        {
            return topic.clone();
        }
        let rendered = self.topic.render(entity, event_type);
        let topic = self.share(&rendered);
        self.last = Some([self.share(entity), self.share(event_type), topic.clone()]);
        topic
    }

    /// One copy of a name that many events carry.
    pub fn share(&mut self, name: &str) -> Shared {
        if let Some(known) = self.known.get(name) {
            return known.clone();
        }
        let shared: Shared = name.into();
        if self.known.len() < SHARED_NAMES {
            self.known.insert(shared.clone());
        }
        shared
    }
}
