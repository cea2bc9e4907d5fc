//! `/v1/tasks`.

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use serde::Deserialize;
use starling_api::{ApiError, LogChunk, Stopped, WhyView};
use utoipa::IntoParams;

use crate::http::backend::StopTarget;
use crate::http::extract::{Params, Segment};
use crate::http::reply::Reply;
use crate::http::router::App;
use crate::http::sse::sse;

/// Stop one task
#[utoipa::path(
    post,
    path = "/v1/tasks/{id}/stop",
    tag = "tasks",
    params(("id" = String, Path, description = "JOB.INDEX; a unique beginning of the job's id will do")),
    responses(
        (status = 200, body = Stopped),
        (status = 404, body = ApiError, description = "No such task"),
        (status = 409, body = ApiError, description = "It is over already"),
    )
)]
pub(in crate::http) async fn stop(
    State(app): State<App>,
    Segment(id): Segment,
) -> Reply<Json<Stopped>> {
    let target = StopTarget::Task(id.parse()?);
    Ok(Json(app.backend.stop(target).await?))
}

/// Why a task is where it is, or what it waits for
#[utoipa::path(
    get,
    path = "/v1/tasks/{id}/why",
    tag = "tasks",
    params(("id" = String, Path, description = "JOB.INDEX; a unique beginning of the job's id will do")),
    responses(
        (status = 200, body = WhyView),
        (status = 404, body = ApiError, description = "No such task"),
    )
)]
pub(in crate::http) async fn why(
    State(app): State<App>,
    Segment(id): Segment,
) -> Reply<Json<WhyView>> {
    Ok(Json(app.backend.why(id.parse()?).await?))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct LogParams {
    /// Whether to go on until the task is over.
    #[serde(default)]
    follow: bool,
    /// Only the last so many lines.
    tail: Option<u64>,
}

/// A task's output, from whichever node it runs or ran on
///
/// Server-sent events, each a LogChunk; an event named `error` carries an ApiError and is the last.
#[utoipa::path(
    get,
    path = "/v1/tasks/{id}/logs",
    tag = "tasks",
    params(("id" = String, Path, description = "JOB.INDEX; a unique beginning of the job's id will do"), LogParams),
    responses(
        (status = 200, body = LogChunk, content_type = "text/event-stream"),
        (status = 404, body = ApiError, description = "No such task, or it has no output yet"),
        (status = 503, body = ApiError, description = "The node that has the output is not there"),
    )
)]
pub(in crate::http) async fn logs(
    State(app): State<App>,
    Segment(id): Segment,
    Params(params): Params<LogParams>,
) -> Reply<impl IntoResponse> {
    let chunks = app
        .backend
        .logs(id.parse()?, params.tail, params.follow)
        .await?;
    Ok(sse(chunks, app.stop.clone(), |_| None))
}
