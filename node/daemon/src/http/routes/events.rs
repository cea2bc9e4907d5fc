//! `/v1/events`.

use axum::extract::State;
use axum::response::IntoResponse;
use futures::StreamExt;
use serde::Deserialize;
use starling_api::{ApiError, Event, EventKind};
use utoipa::IntoParams;

use crate::http::extract::Params;
use crate::http::reply::Reply;
use crate::http::router::App;
use crate::http::sse::sse;

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct EventParams {
    /// Whether to go on with what comes.
    #[serde(default)]
    follow: bool,
    /// Without what is remembered, only what comes.
    #[serde(default)]
    new_only: bool,
    /// Only this job's, by its whole id.
    job: Option<String>,
    /// Only of these kinds, with commas between.
    kinds: Option<String>,
}

/// What changes in the cluster
///
/// Server-sent events, each an Event; an event named `error` carries an ApiError and is the last.
#[utoipa::path(
    get,
    path = "/v1/events",
    tag = "events",
    params(EventParams),
    responses((status = 200, body = Event, content_type = "text/event-stream"))
)]
pub(in crate::http) async fn events(
    State(app): State<App>,
    Params(params): Params<EventParams>,
) -> Reply<impl IntoResponse> {
    let kinds = params.kinds.as_deref().map(parse_kinds).transpose()?;
    let events = app.backend.events(params.follow, params.new_only).await?;
    let job = params.job;
    let wanted = events.filter(move |event| {
        let wanted = event.as_ref().map_or(true, |event| {
            let missed = event.kind == EventKind::Missed;
            let of_job = job.is_none() || event.job == job;
            let of_kind = kinds
                .as_ref()
                .is_none_or(|kinds| kinds.contains(&event.kind));
            missed || (of_job && of_kind)
        });
        std::future::ready(wanted)
    });
    Ok(sse(Box::pin(wanted), app.stop.clone(), |event| {
        Some(event.seq)
    }))
}

fn parse_kinds(text: &str) -> Result<Vec<EventKind>, ApiError> {
    text.split(',')
        .map(|name| {
            let known = EventKind::ALL.iter().find(|kind| kind.name() == name);
            known.copied().ok_or_else(|| {
                let shown: String = name.chars().take(40).collect();
                let names: Vec<_> = EventKind::ALL.iter().map(|kind| kind.name()).collect();
                ApiError::invalid(
                    "kinds",
                    format!("`{shown}` is no kind of event"),
                    format!("choose from {}", names.join(", ")),
                )
            })
        })
        .collect()
}
