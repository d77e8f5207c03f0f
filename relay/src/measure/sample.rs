//! Made-up orders, where no events were given.

use crate::event::{Event, Operation, Position};
use bytes::Bytes;
use serde_json::json;

/// How many different ones: more than caches of a guest should hide.
const EVENTS: u64 = 256;

/// Orders whose payloads have about this many bytes.
#[must_use]
pub fn orders(payload_bytes: usize) -> Vec<Event> {
    (0..EVENTS).map(|number| order(number, payload_bytes)).collect()
}

fn order(number: u64, payload_bytes: usize) -> Event {
    let mut order = json!({
        "id": format!("order-{number:06}"),
        "email": "ada@example.com",
        "card": "4111 1111 1111 1111",
        "total": 129.95,
        "customer": { "name": "Ada Lovelace", "email": "ada@example.com", "tier": "gold" },
        "items": [],
        "remarks": "",
    });
    let item = json!({ "sku": "sku-00017", "price": 19.95, "quantity": 2 });
    let (mut size, one) = (order.to_string().len(), item.to_string().len() + 1);
    while size + one <= payload_bytes {
        if let Some(items) = order["items"].as_array_mut() {
            items.push(item.clone());
        }
        size += one;
    }
    let size = order.to_string().len();
    order["remarks"] = ".".repeat(payload_bytes.saturating_sub(size)).into();
    Event {
        id: format!("0198c0de-0000-7000-8000-{number:012}").into(),
        position: Position { commit: number, index: 0 },
        time: 1_700_000_000_000_000,
        operation: Operation::Insert,
        entity: "order".into(),
        event_type: "OrderPlaced".into(),
        topic: "outbox.event.order".into(),
        partition: None,
        key: Some(Bytes::from(format!("customer-{number}"))),
        payload: Some(Bytes::from(order.to_string())),
        before: None,
        unchanged: Vec::new(),
        headers: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_have_the_size_that_was_asked_for() {
        for bytes in [500, 1000, 100_000] {
            let sizes = orders(bytes).into_iter().map(|event| event.payload.map_or(0, |payload| payload.len()));
            assert!(sizes.into_iter().all(|size| size == bytes), "{bytes}");
        }
    }
}
