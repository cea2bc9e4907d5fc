//! Streams as server-sent events.

use std::convert::Infallible;
use std::time::Duration;

use axum::response::sse::{self, KeepAlive, Sse};
use futures::{Stream, StreamExt, stream};
use serde::Serialize;
use starling_api::{ApiError, codes};
use tokio_util::sync::CancellationToken;

use super::backend::ItemStream;

/// How often a quiet stream says that it lives.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Sends each item as one event; an error is sent as the last one, named `error`. So is the end of
/// the daemon: only a stream that is whole ends without.
pub(super) fn sse<T: Serialize + Send + 'static>(
    items: ItemStream<T>,
    stop: CancellationToken,
    id: impl Fn(&T) -> Option<u64> + Send + 'static,
) -> Sse<impl Stream<Item = Result<sse::Event, Infallible>> + Send> {
    let mut failed = false;
    let events = items
        .take_while(move |item| {
            let go_on = !failed;
            failed = item.is_err();
            std::future::ready(go_on)
        })
        .map(move |item| event(item, &id))
        .take_until(stop.clone().cancelled_owned())
        .chain(stream::once(std::future::ready(())).filter_map(move |()| {
            let stopping = stop.is_cancelled().then(|| {
                let error = ApiError::new(codes::UNAVAILABLE, "the daemon is stopping");
                event::<()>(Err(error), &|()| None)
            });
            std::future::ready(stopping)
        }))
        .map(Ok);
    Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
}

fn event<T: Serialize>(item: Result<T, ApiError>, id: &impl Fn(&T) -> Option<u64>) -> sse::Event {
    let encoded = match &item {
        Ok(item) => {
            let event = sse::Event::default();
            let event = match id(item) {
                Some(id) => event.id(id.to_string()),
                None => event,
            };
            event.json_data(item)
        }
        Err(error) => sse::Event::default().event("error").json_data(error),
    };
    encoded.unwrap_or_else(|error| {
        sse::Event::default()
            .event("error")
            .data(format!("an item does not encode: {error}"))
    })
}
